"""Where the machines of a lease answer: asked of the provider's gateway, checked against the chain, kept.

The gateway serves a member of a seated organisation against a signed challenge, over TLS with the pinned
key. What it says counts only if it hashes to what was delivered, so a gateway can withhold endpoints, but
cannot send one witness elsewhere than the others. Fetching is slow and may fail: it runs in threads, and the
chain's loop only ever looks whether something has come. This module must not measure anything.
"""

from __future__ import annotations

import asyncio
import logging
import sqlite3
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

from chain.connection_data import delivery_hash
from chain.contracts.members import Organisation
from chain.gateway import GatewayClient
from chain.lease_endpoints import LeaseEndpoint, Told, canonical_bytes, from_bytes, host_key_hash
from chain.wallet import Wallet
from market.errors import OcxError, Permanent, Temporary
from witness.index import Delivered
from witness.targets import Gateway

__all__ = ["Endpoints", "Gateways", "checked"]

log = logging.getLogger(__name__)

_SCHEMA = """
CREATE TABLE IF NOT EXISTS endpoint (
    lease INTEGER PRIMARY KEY, delivery BLOB NOT NULL, endpoints BLOB NOT NULL
)
"""
_SHORTEST, _LONGEST = 1.0, 60.0
"""Seconds between two tries at one lease: doubled with each failure."""


_TOKEN_FOR, _NO_TOKEN_FOR = 200.0, 10.0
"""Seconds a token is used (gateways give them for 300), and after which one that refused is asked again."""
_REST = 5.0
"""Most seconds a gateway that does not answer is left alone; it must keep no thread from the others."""


class Gateways:
    """Clients of providers' gateways, one each, for one wallet; safe among threads.

    `organisation` reads a provider's record: URL and key may change, and are read anew after a failure.
    """

    def __init__(
        self,
        wallet: Wallet,
        chain_id: int,
        directory: str,
        organisation: Callable[[int], Organisation],
        timeout: float = 10.0,
    ) -> None:
        self._wallet, self._network, self._timeout = wallet, (chain_id, directory), timeout
        self._organisation = organisation
        self._clients: dict[int, GatewayClient] = {}
        self._tokens: dict[str, tuple[str | None, float]] = {}
        self._guard = threading.Lock()

    def client(self, provider: int) -> GatewayClient:
        """The client of a provider's gateway; InvalidInput if it has registered none."""
        with self._guard:
            known = self._clients.get(provider)
        if known is not None:
            return known
        org = self._organisation(provider)
        made = self._client(org.gateway_url, org.gateway_key_hash)
        with self._guard:
            return self._clients.setdefault(provider, made)

    async def token(self, gateway: Gateway, _lease: int) -> str | None:
        """What lets us in at a gateway; None if nothing does now."""
        with self._guard:
            kept, until = self._tokens.get(gateway.url, (None, 0.0))
        if time.monotonic() < until:
            return kept
        try:
            made: str | None = await asyncio.to_thread(self._client(gateway.url, gateway.key_hash).token)
        except OcxError:
            made = None
        with self._guard:
            self._tokens[gateway.url] = made, time.monotonic() + (_TOKEN_FOR if made else _NO_TOKEN_FOR)
        return made

    def _client(self, url: str, key_hash: bytes) -> GatewayClient:
        return GatewayClient(url, key_hash, self._wallet, *self._network, timeout=self._timeout, patience=0)

    def forget(self, provider: int) -> None:
        """Something went wrong there: look up its URL and key again before the next call."""
        with self._guard:
            self._clients.pop(provider, None)


@dataclass
class _Trial:
    """A fetch under way or to be repeated (`after`: monotonic seconds), and why the last one failed."""

    delivery: bytes
    future: Future[Told] | None = None
    after: float = 0.0
    pause: float = _SHORTEST
    why: str = "not asked yet"


class Endpoints:
    """Endpoints of leases by delivery; the methods are for one thread, the fetching happens in others."""

    def __init__(
        self,
        db: sqlite3.Connection,
        gateways: Gateways,
        *,
        monotonic: Callable[[], float],
        workers: int = 8,
    ) -> None:
        """`db` in autocommit mode, of this thread."""
        self._db, self._gateways, self._monotonic = db, gateways, monotonic
        self._db.execute(_SCHEMA)
        self._pool = ThreadPoolExecutor(workers, thread_name_prefix="endpoints")
        self._trials: dict[int, _Trial] = {}
        self._resting: dict[int, float] = {}
        self._known: dict[int, tuple[bytes, tuple[LeaseEndpoint, ...]]] = {}

    def close(self) -> None:
        """Begin nothing more."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def get(
        self, lease: int, provider: int, delivery: bytes, delivered: Delivered
    ) -> tuple[LeaseEndpoint, ...] | None:
        """The endpoints of a delivery; None while they are being fetched (`why` tells of trouble).

        `delivery` is `Leases.Lease.delivery`, `delivered` the event it stands for.
        """
        found = self._kept(lease, delivery)
        if found is not None:
            return found
        trial = self._trials.get(lease)
        if trial is None or trial.delivery != delivery:
            trial = self._trials[lease] = _Trial(delivery)
        if trial.future is None:
            if self._monotonic() >= max(trial.after, self._resting.get(provider, 0.0)):
                trial.future = self._pool.submit(self._fetch, lease, provider)
            return None
        if not trial.future.done():
            return None
        return self._finish(lease, provider, trial, delivered)

    def why(self, lease: int) -> str:
        """What stands in the way of a lease's endpoints; empty if nothing does."""
        trial = self._trials.get(lease)
        return "" if trial is None else trial.why

    def forget(self, lease: int) -> None:
        """The lease is over."""
        self._trials.pop(lease, None)
        self._known.pop(lease, None)
        self._db.execute("DELETE FROM endpoint WHERE lease = ?", (lease,))

    def _kept(self, lease: int, delivery: bytes) -> tuple[LeaseEndpoint, ...] | None:
        known = self._known.get(lease)
        if known is None:
            row = self._db.execute(
                "SELECT delivery, endpoints FROM endpoint WHERE lease = ?", (lease,)
            ).fetchone()
            if row is None:
                return None
            known = self._known[lease] = (bytes(row[0]), from_bytes(bytes(row[1])))
        return known[1] if known[0] == delivery else None

    def _fetch(self, lease: int, provider: int) -> Told:
        return self._gateways.client(provider).endpoints(lease)

    def _finish(
        self, lease: int, provider: int, trial: _Trial, delivered: Delivered
    ) -> tuple[LeaseEndpoint, ...] | None:
        assert trial.future is not None  # noqa: S101  the caller saw it done
        try:
            endpoints = checked(trial.future.result(), trial.delivery, delivered)
        except Exception as error:  # noqa: BLE001  whatever a provider's gateway does concerns this lease alone
            self._failed(lease, provider, trial, error)
            return None
        row = (lease, trial.delivery, canonical_bytes(endpoints))
        self._db.execute("INSERT OR REPLACE INTO endpoint VALUES (?, ?, ?)", row)
        self._known[lease] = (trial.delivery, endpoints)
        del self._trials[lease]
        return endpoints

    def _failed(self, lease: int, provider: int, trial: _Trial, error: Exception) -> None:
        said = str(error) if isinstance(error, OcxError) else f"{type(error).__name__}: {error}"
        if said != trial.why:
            log.warning("the endpoints of lease %d: %s", lease, said)
        self._gateways.forget(provider)
        trial.future, trial.why = None, said
        trial.after = self._monotonic() + trial.pause
        if isinstance(error, Temporary):
            self._resting[provider] = trial.after
        trial.pause = min(_REST if isinstance(error, Temporary) else _LONGEST, 2 * trial.pause)


def checked(told: Told, delivery: bytes, delivered: Delivered) -> tuple[LeaseEndpoint, ...]:
    """The endpoints, if they are those of the delivery the chain holds; Permanent if they are others."""
    hashes = (delivered.connection_hash, delivered.host_key, delivered.spec_hash)
    if delivery_hash(*hashes) != delivery:
        raise Permanent("the delivery's event is not the one the lease holds", hint="Read the events again.")
    if told.connection_hash != delivered.connection_hash:
        raise Permanent("the gateway names other endpoints than were delivered", hint="Tell the provider.")
    if host_key_hash(told.endpoints) != delivered.host_key:
        raise Permanent("the endpoints' host keys are not those delivered", hint="Tell the provider.")
    return told.endpoints
