"""Which of a network's endpoints may be believed: each proves who it is and that its head is fresh.

Identity is the connection file's chain id, genesis hash and code at Directory. A head is fresh if no other
endpoint is far ahead of it, and if it is new by our clock or, since that may be wrong, keeps pace with it. A
head from the future is none if another endpoint's is not.
While one thread examines an endpoint the others go by what was known, so one that hangs holds up nobody else.

This module must not ask anything of a contract besides Directory's code, and must not sign.
"""

from __future__ import annotations

import http.client
import logging
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urlsplit

from eth_utils.crypto import keccak

from chain.abi import ZERO_ADDRESS
from chain.connection import ConnectionFile
from chain.wire import (
    Block,
    ChainStale,
    Endpoint,
    RpcUnreachable,
    WrongNetwork,
    as_block,
    as_bytes,
    as_number,
    results,
)
from market.errors import OcxError

__all__ = ["Endpoints", "Fault", "Freshness", "server_time"]

log = logging.getLogger(__name__)

_LONGEST_REST = 30.0

Fault = tuple[Endpoint, OcxError]
"""An endpoint, and why it is not used."""


@dataclass(frozen=True)
class Freshness:
    """Limits in seconds, and `max_lag`: blocks behind another endpoint.

    `recheck`: between two examinations. `stale_after`: how old a head may be (None: any age). `pace_span`:
    how long a head must have moved like a clock before it is believed against our own clock.
    """

    recheck: float
    stale_after: float | None
    max_lag: int
    pace_span: float


@dataclass(frozen=True)
class _Pace:
    """How an endpoint's head moves: the first and the newest one seen, and when (monotonic seconds)."""

    first: Block
    first_at: float
    newest: Block
    moved_at: float

    @classmethod
    def of(cls, before: _Pace | None, head: Block, now: float) -> _Pace:
        """With one more head; a chain that went back is watched anew."""
        if before is None or head.number < before.newest.number:
            return cls(head, now, head, now)
        moved_at = now if head.number > before.newest.number else before.moved_at
        return cls(before.first, before.first_at, head, moved_at)

    def age(self, by_clock: float, now: float, span: float) -> float:
        """For how many seconds there may have been a newer block, if our clock says `by_clock`.

        A head that does not move is at least as old as it was watched. One that for `span` seconds moved like
        a clock is only as old as what it lost since; so a clock that is wrong stops nobody.
        """
        still, ours = now - self.moved_at, self.moved_at - self.first_at
        chains = self.newest.timestamp - self.first.timestamp
        if ours >= span and 0.5 <= chains / ours <= 1.5:
            return max(still, min(by_clock, now - self.first_at - chains))
        return max(still, by_clock)


class Endpoints:
    """The endpoints of one connection file; safe to share between threads."""

    def __init__(
        self,
        connection: ConnectionFile,
        timeout: float,
        freshness: Freshness,
        clock: Callable[[], float],
        monotonic: Callable[[], float],
    ) -> None:
        self._connection, self._limits = connection, freshness
        self._clock, self._monotonic = clock, monotonic
        self._lock = threading.Lock()
        self._all = [Endpoint(url, timeout) for url in connection.rpc_urls]
        self._asking = {endpoint: threading.Lock() for endpoint in self._all}
        self._pace: dict[Endpoint, _Pace | None] = {}

    def usable(self, faults: list[Fault]) -> list[Endpoint]:
        """The endpoints to ask, best first; why not the others goes to `faults`.

        Endpoints at rest after a failure are left out, unless none other is usable.
        """
        now = self._monotonic()
        good = self._sift([e for e in self._all if e.rest_until <= now], faults)
        if not good:
            known = [endpoint for endpoint, _ in faults]
            resting = [e for e in self._all if e.rest_until > now and e not in known]
            good = self._sift(resting, faults)
        return good

    def distrust(self) -> None:
        """Have every endpoint examined before it is used again."""
        for endpoint in self._all:
            endpoint.checked_at = float("-inf")

    def put_to_rest(self, endpoint: Endpoint, error: RpcUnreachable) -> None:
        """It did not answer: leave it in peace for a while, longer each time."""
        with self._lock:
            if endpoint.fault is None:
                log.warning("%s; trying the next endpoint", error)
            endpoint.fault = error
            self._pace[endpoint] = None
            endpoint.rest = min(_LONGEST_REST, max(1.0, endpoint.rest * 2))
            endpoint.rest_until = self._monotonic() + endpoint.rest
            endpoint.checked_at = float("-inf")

    def verdict(self, faults: Sequence[Fault]) -> OcxError:
        """The one error that sums up why no endpoint can be used."""
        kinds = {type(fault) for _, fault in faults}
        if len(kinds) == 1 and kinds != {RpcUnreachable}:
            return faults[0][1]
        told = {endpoint.shown: str(fault) for endpoint, fault in faults}
        return RpcUnreachable(
            f"no endpoint of network {self._connection.network!r} can be used: {'; '.join(told.values())}",
            hint="Start the node or add another to rpc_urls; nothing is lost meanwhile.",
            retry_after=2.0,
            endpoints=told,
        )

    def report(self) -> list[dict[str, Any]]:
        """Each endpoint's URL (redacted), state, last head (number, unix seconds) and what is wrong."""
        return [
            {
                "url": e.shown,
                "state": _state_of(fault := e.fault),
                "block": e.head.number if e.head else None,
                "block_time": e.head.timestamp if e.head else None,
                "fault": fault and str(fault),
            }
            for e in self._all
        ]

    # ---- examining -------------------------------------------------------------------------------------

    def _sift(self, asked: list[Endpoint], faults: list[Fault]) -> list[Endpoint]:
        some = any(e.fault is None and e.head is not None for e in asked)
        for endpoint in asked:
            if some and isinstance(endpoint.fault, RpcUnreachable):
                self._refresh_aside(endpoint)
            else:
                self._refresh(endpoint, wait=not some)
        right = [e for e in asked if e.fault is None and e.head is not None]
        best = max((e.head.number for e in right if e.head), default=0)
        level = [e.head.timestamp for e in right if e.head and best - e.head.number <= self._limits.max_lag]
        for endpoint in right:
            self._judge_head(endpoint, best, min(level, default=0))
        told = [(e, e.fault) for e in asked]
        faults += [(e, fault) for e, fault in told if fault is not None]
        return [e for e, fault in told if fault is None and e.head is not None]

    def _refresh_aside(self, endpoint: Endpoint) -> None:
        """Examine one that did not answer, without waiting for it."""
        due = self._monotonic() - endpoint.checked_at >= self._limits.recheck
        if due and not self._asking[endpoint].locked():
            name = f"examine {endpoint.shown}"
            threading.Thread(target=self._refresh, args=(endpoint,), name=name, daemon=True).start()

    def _refresh(self, endpoint: Endpoint, wait: bool = False) -> None:
        """Examine an endpoint if it is time to. While one thread does, the others go by what was known.

        `wait`: nothing is known to go by, so they wait for that thread.
        """
        if self._monotonic() - endpoint.checked_at < self._limits.recheck:
            return
        if not self._asking[endpoint].acquire(blocking=wait):
            return
        try:
            if self._monotonic() - endpoint.checked_at >= self._limits.recheck:
                self._examine(endpoint)
        finally:
            self._asking[endpoint].release()

    def _examine(self, endpoint: Endpoint) -> None:
        """Ask who it is and how far; the answer is kept as `head` or as `fault`."""
        previous = endpoint.fault
        try:
            head = self._check_identity(endpoint)
        except RpcUnreachable as error:
            self.put_to_rest(endpoint, error)
            return
        except OcxError as error:
            endpoint.fault = error
            if str(previous) != str(error):
                log.warning("not using %s: %s", endpoint.shown, error)
        else:
            self._pace[endpoint] = _Pace.of(self._pace.get(endpoint), head, self._monotonic())
            endpoint.head, endpoint.fault = head, None
            if previous is not None and not isinstance(previous, ChainStale):
                log.info("%s answers rightly again", endpoint.shown)
        endpoint.rest, endpoint.rest_until = 0.0, float("-inf")
        endpoint.checked_at = self._monotonic()

    def _check_identity(self, endpoint: Endpoint) -> Block:
        """Whether it is the connection file's network, asked in one message; its head."""
        want = self._connection
        asked: list[tuple[str, list[Any]]] = [
            ("eth_chainId", []),
            ("eth_getBlockByNumber", ["0x0", False]),
            ("eth_getBlockByNumber", ["latest", False]),
        ]
        if want.directory != ZERO_ADDRESS:
            asked.append(("eth_getCode", [want.directory, "latest"]))
        chain_id, genesis, head, *codes = results(endpoint, asked)
        _expect(endpoint, "chain id", want.chain_id, as_number(chain_id))
        _expect(endpoint, "genesis hash", want.genesis_hash, genesis and genesis["hash"])
        for code in map(as_bytes, codes):
            got = "0x" + keccak(code).hex() if code else "no contract"
            _expect(endpoint, f"code at Directory {want.directory}", want.directory_code_hash, got)
        return as_block(head)

    def _judge_head(self, endpoint: Endpoint, best: int, soonest: int) -> None:
        """`best`: the highest head of all endpoints; `soonest`: the earliest time of those that are level."""
        head, pace, limit = endpoint.head, self._pace.get(endpoint), self._limits.stale_after
        if head is None:
            return
        if best - head.number > self._limits.max_lag:
            endpoint.fault = ChainStale(
                f"{endpoint.shown} is at block {head.number}, {best - head.number} behind another endpoint",
                block=head.number,
            )
            return
        ahead = head.timestamp - max(soonest, self._clock())
        if limit is not None and ahead > limit:  # it made the block itself, by a wrong clock
            endpoint.fault = ChainStale(
                f"the newest block of {endpoint.shown} ({head.number}) is from {ahead:.0f} s in the future,"
                " and another endpoint's is not",
                block=head.number,
            )
            return
        checked_at = endpoint.checked_at
        age = self._clock() - head.timestamp - (self._monotonic() - checked_at)
        if pace is not None:
            age = pace.age(age, checked_at, self._limits.pace_span)
        if limit is not None and age > limit:
            endpoint.fault = ChainStale(
                f"the newest block of {endpoint.shown} ({head.number}) is {age:.0f} s old",
                hint="The chain stands still, the node has lost its peers, or our clock is wrong; an operator"
                " should look.",
                retry_after=self._limits.recheck,
                age=int(age),
                block=head.number,
            )


def server_time(url: str, timeout: float = 5.0) -> float | None:
    """What o'clock it is (unix seconds) for whoever serves a URL, by its HTTP header; None if untold."""
    parts = urlsplit(url)
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    server = kind(parts.hostname or "", parts.port, timeout=timeout)
    try:
        server.request("HEAD", "/")
        said = server.getresponse().headers["Date"]
        return None if said is None else parsedate_to_datetime(said).timestamp()
    except (OSError, ValueError, http.client.HTTPException):
        return None
    finally:
        server.close()


def _state_of(fault: OcxError | None) -> str:
    """What is wrong with an endpoint, in a word: up, unreachable, behind, wrong-network, or faulty."""
    words = {RpcUnreachable: "unreachable", ChainStale: "behind", WrongNetwork: "wrong-network"}
    return "up" if fault is None else words.get(type(fault), "faulty")


def _expect(endpoint: Endpoint, what: str, expected: object, got: object) -> None:
    if expected != got:
        raise WrongNetwork(
            f"{endpoint.shown} is not the connection file's network: {what} is {got}, not {expected}",
            hint="Use the connection file of the network you mean, or correct rpc_urls.",
            what=what,
            expected=expected,
            got=got,
        )
