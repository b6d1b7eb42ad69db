"""Callers that go on with their business whatever becomes of the network, and write down what they are told.

They use the project's client as everybody does: a connection file with several endpoints and confirmations,
an intent for each act, and another try with the same intent where the client says "wait".
"""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable
from typing import Any, TypeVar

from chain.contracts.base import Call
from chain.exchange import Exchange
from chain.generated import events as ledger
from chain.wire import Receipt
from market.errors import OcxError, Refused, Temporary
from tests.network.faults.journal import Journal, Life
from tests.provisioner.conformance.fleet import Witness
from tests.provisioner.world import Buyer, Party, Provider

__all__ = ["Caller", "Lessee", "Payer"]

T = TypeVar("T")

_OVER = ("terminated", "cancelled", "defaulted", "completed")
_LIMIT = 240.0
"""Seconds within which one act must be done, faults and all."""
_BURST = 3


class Caller:
    """One account's thread; `enough` ends it after what it is at."""

    def __init__(self, name: str, exchange: Exchange, journal: Journal) -> None:
        self.name, self.exchange, self.journal = name, exchange, journal
        self.enough = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def join(self) -> None:
        """Wait until it has done what it was at."""
        self._thread.join(_LIMIT)
        if self._thread.is_alive():
            self.journal.fault(f"{self.name} does not come to an end")

    def act(self, number: int) -> None:
        """Do the `number`th piece of business."""
        raise NotImplementedError

    def _run(self) -> None:
        for number in itertools.count():
            if self.enough.is_set():
                return
            try:
                self.act(number)
            except Exception as error:  # noqa: BLE001  the caller goes on, the judge tells
                self.journal.fault(f"{self.name}, act {number}: {type(error).__name__}: {error}")
                self.enough.wait(1.0)

    def patiently(self, what: str, do: Callable[[], T], *, again: tuple[type[OcxError], ...] = ()) -> T:
        """Again and again while the client says "wait" (or one of `again`)."""
        deadline = time.monotonic() + _LIMIT
        while True:
            self.journal.at(self.name, what)
            try:
                return do()
            except (Temporary, *again) as error:
                if time.monotonic() > deadline:
                    raise TimeoutError(f"{what}: for {_LIMIT} s {error}") from error
                self.journal.wait(self.name, error)
                time.sleep(0.3)

    def send(self, call: Call, intent: str, *, amount: int = 0, **more: Any) -> Receipt:
        """Send under an intent until it is confirmed, and write that down."""
        whole = f"{self.name}/{intent}"
        receipt = self.patiently(whole, lambda: self.exchange.send(call, intent=whole), **more)
        self.journal.confirmed(self.name, whole, receipt, amount)
        return receipt

    def until(self, what: str, probe: Callable[[], T]) -> T:
        """The first truthy answer."""
        deadline = time.monotonic() + _LIMIT
        while not (value := self.patiently(what, probe)):
            if time.monotonic() > deadline:
                raise TimeoutError(f"waited {_LIMIT} s for {what}")
            time.sleep(0.3)
        return value


class Payer(Caller):
    """Pays different amounts into its organisation's balance, some at a time."""

    def __init__(self, number: int, party: Party, journal: Journal) -> None:
        super().__init__(f"payer{number}", party.exchange, journal)
        self._number, self._org = number, party.org

    def act(self, number: int) -> None:
        """A few deposits under way at once; each of an amount that never comes again."""
        calls = {}
        for part in range(_BURST):
            amount = 1 + part + _BURST * number + self._number * 1_000_000
            calls[f"{number}.{part}"] = (amount, self.exchange.escrow.deposit(self._org, amount))
        for intent, (_, call) in calls.items():
            self.patiently(intent, lambda call=call, intent=intent: self._push(call, intent))
        for intent, (amount, call) in calls.items():
            self.send(call, intent, amount=amount)

    def _push(self, call: Call, intent: str) -> None:
        self.exchange.sender.send(call.to, call.data, intent=f"{self.name}/{intent}", wait=False)


class Lessee(Caller):
    """Buys one machine, is given it, accepts it, hands it back; again and again."""

    def __init__(
        self, name: str, buyer: Buyer, provider: Provider, place: int, witness: Witness, journal: Journal
    ) -> None:
        super().__init__(name, buyer.exchange, journal)
        self._buyer, self._provider, self._place, self._witness = buyer, provider, place, witness

    def act(self, number: int) -> None:
        """One lease."""
        exchange, resource = self.exchange, self._provider.resources[self._place]
        window = self.patiently("a window", lambda: self._buyer.window(1200))
        call = exchange.book.buy_now(self._provider.offer, [resource], window)
        try:
            receipt = self.send(call, f"{number}/buy")
        except Refused as error:  # not free yet; or by the word of a node whose clock is wrong
            self.journal.wait(self.name, error)
            self.enough.wait(0.5)
            return
        [opened] = [e for e in exchange.events(receipt) if isinstance(e, ledger.LeaseOpened)]
        contract = exchange.leases.address.lower()[2:10]
        key = f"ocx-{exchange.connection.chain_id}-{contract}-{opened.lease}-{resource}"
        life = Life(opened.lease, key, self._provider.org)
        self.journal.open(life)
        try:
            self._live(life, number)
        except Exception as error:
            life.lost = f"{type(error).__name__}: {error}"
            raise

    def _live(self, life: Life, number: int) -> None:
        leases = self.exchange.leases
        state = self._reach(life, "delivered", *_OVER)
        if state in _OVER:
            life.lost = f"it became {state} without a delivery"
            return
        life.delivered = True
        if life.key not in self._witness.ready():
            life.lost = "it was delivered and has no machine"
        at = self.patiently("its delivery", lambda: leases.lease(life.lease)).delivered
        # Refused: another endpoint does not know of the delivery yet.
        self.send(leases.accept(life.lease, at), f"{number}/accept", again=(Refused,))
        self.send(leases.end_early(life.lease), f"{number}/end", again=(Refused,))
        self._reach(life, *_OVER)
        self.until("its machine to be free", lambda: life.key not in self._witness.carried())
        self.until("its money", lambda: self.exchange.settlement.account(life.lease).closed)
        life.over = True

    def _reach(self, life: Life, *states: str) -> str:
        def now() -> str:
            state = self.exchange.leases.state_of(life.lease).name.lower()
            return state if state in states else ""

        return self.until(f"lease {life.lease} to be {'/'.join(states)}", now)
