"""The buyers of a soak, who live through one lease after the other, and who looks at all of it."""

from __future__ import annotations

import contextlib
import random
import threading
import time
from collections.abc import Callable
from typing import Any, Protocol

from bench.soak.record import Ledger, Life
from chain.generated.errors import Book_Skipped
from market.errors import OcxError
from tests.provisioner.conformance.fleet import Lane, patiently
from tests.provisioner.world import Buyer

__all__ = ["Buying", "Cloud", "Watching"]

_LIMIT = 400.0
"""Seconds within which a lease must reach what is waited for, killings and all."""
_OVER = ("terminated", "cancelled", "defaulted", "completed")
_FATES = {"end early": 60, "cancel": 25, "reject": 8, "run out": 7}
"""What buyers do with their leases, and how often."""


class Cloud(Protocol):
    """A cloud, looked at past every plugin."""

    def ready(self) -> set[str]:
        """Keys of servers that are usable now."""

    def carried(self) -> set[str]:
        """Keys that anything carries now."""

    def doubles(self) -> list[str]:
        """Keys under which more than one server ever was usable."""

    def ended(self) -> dict[str, float]:
        """When the machine of each key was free again."""


class Buying:
    """Buys one machine again and again, and does with it what the dice say.

    Leases that run out do so after `short` seconds; 0: none does.
    """

    def __init__(
        self, lane: Lane, place: int, buyer: Buyer, cloud: Cloud, ledger: Ledger, seed: str, short: int
    ) -> None:
        self._lane, self._place, self._buyer, self._short = lane, place, buyer, short
        self._cloud, self._ledger, self._dice = cloud, ledger, random.Random(seed)  # noqa: S311  repeatable
        self.enough = threading.Event()
        self.thread = threading.Thread(target=self._run, daemon=True)

    def _run(self) -> None:
        while not self.enough.is_set():
            fate = self._dice.choices(list(_FATES), list(_FATES.values()))[0]
            fate = "end early" if fate == "run out" and not self._short else fate
            lease = self._buy(fate)
            if lease is None:
                continue
            life = Life(lease, self._lane.key(lease, self._place), self._lane.provider.org, fate)
            self._ledger.open(life)
            try:
                self._live(life)
            except Exception as error:  # noqa: BLE001  the lease is lost, the soak goes on and tells
                life.lost = life.lost or f"{type(error).__name__}: {error}"

    def _buy(self, fate: str) -> int | None:
        try:
            seconds = self._short if fate == "run out" else 400
            return self._buyer.buy(self._lane.provider, seconds, places=(self._place,))
        except Book_Skipped:
            self.enough.wait(0.3)
            return None

    def _live(self, life: Life) -> None:
        if life.fate == "cancel":
            self._wait_to_cancel(life)
            with contextlib.suppress(OcxError):  # delivered meanwhile: then it is ended as others are
                self._buyer.send(self._buyer.exchange.leases.cancel(life.lease))
        state = self._reach(life, "the delivery", ("delivered", "active", *_OVER))
        if state not in _OVER:
            self._use(life)
        elif life.fate != "cancel":
            up = life.key in self._cloud.carried()
            life.lost = f"it became {state} without a delivery, machine {'there' if up else 'not there'}"
        self._reach(life, "its end", _OVER)
        self._until(life, "its money", lambda: not life.delivered or self._lane.is_settled(life.lease))
        self._until(life, "its machine to be free", lambda: life.key not in self._cloud.carried())
        life.over = True

    def _wait_to_cancel(self, life: Life) -> None:
        """For any time; or until something is being built for it, so that an orphan is left."""
        if self._dice.random() < 0.3:
            self.enough.wait(self._dice.random() * 5)
            return
        signed = ("awarded", "signed")
        while life.key not in self._cloud.carried() and self._buyer.state(life.lease) in signed:
            if self.enough.wait(0.1):
                return

    def _use(self, life: Life) -> None:
        life.delivered = True
        leases = self._buyer.exchange.leases
        self._must_be_up(life)
        if life.fate == "reject":
            patiently(lambda: self._buyer.send(leases.reject(life.lease, "soak")))
            return
        self._lane.accept(life.lease, self._buyer)
        self.enough.wait(self._dice.random() * 2)
        if life.fate != "run out":
            self._must_be_up(life)
            with contextlib.suppress(OcxError):
                self._lane.end_early(life.lease, self._buyer)

    def _must_be_up(self, life: Life) -> None:
        """A delivered lease that is not over has a server."""
        up = life.key in self._cloud.ready()
        if not up and self._buyer.state(life.lease) in ("delivered", "active"):
            life.lost = "it was delivered and has no server"

    def _reach(self, life: Life, what: str, states: tuple[str, ...]) -> str:
        return str(self._until(life, what, lambda: (now := self._buyer.state(life.lease)) in states and now))

    def _until(self, life: Life, what: str, probe: Callable[[], Any]) -> Any:
        deadline = time.monotonic() + _LIMIT
        while not (value := probe()):
            if time.monotonic() > deadline:
                state = self._buyer.state(life.lease)
                raise TimeoutError(f"lease {life.lease} is {state} and waited {_LIMIT} s for {what}")
            time.sleep(0.15)
        return value


class Watching:
    """Looks at the cloud all the time: for two servers of one lease, and for orphans."""

    def __init__(self, lane: Lane, cloud: Cloud, ledger: Ledger) -> None:
        self._lane, self._cloud, self._ledger = lane, cloud, ledger
        self._over = threading.Event()
        self.thread = threading.Thread(target=self._run, daemon=True)

    def stop(self) -> None:
        """Look for the last time."""
        self._over.set()
        self.thread.join(30)
        self.look()

    def look(self) -> None:
        """Look once."""
        self._ledger.doubles.update(self._cloud.doubles())
        carried, ended = self._cloud.carried(), self._cloud.ended()
        for life in list(self._ledger.lives):
            if life.provider != self._lane.provider.org or life.cleared_at is not None:
                continue
            if life.key in carried and life.over_at is None:
                if self._lane.buyer.state(life.lease) in _OVER:
                    life.over_at, life.orphan = time.time(), True
            elif life.orphan and life.key not in carried:
                life.cleared_at = max(ended.get(life.key, time.time()), life.over_at or 0.0)

    def _run(self) -> None:
        while not self._over.wait(0.2):
            with contextlib.suppress(OcxError):
                self.look()
