"""What the chain says of leases at one block, asked for many of them in a few messages.

Everything here is what one block says, and is forgotten with it: nothing that may change is kept for longer.
Whoever asks for a lease that was not prepared gets the same answer a little later. This module must not
decide anything.
"""

from __future__ import annotations

from collections.abc import Iterable

from chain.contracts.leases import Lease
from chain.exchange import Exchange
from chain.wire import Block

__all__ = ["ChainReads"]


class ChainReads:
    """The records of leases, and what goes with them, at the newest block that was asked about."""

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange
        self._block = b""
        self._leases: dict[int, Lease] = {}
        self._keys: dict[int, bytes] = {}
        self._closed: dict[int, bool] = {}

    def prepare(self, leases: Iterable[int], head: Block) -> None:
        """Read what will be asked about these leases; what cannot be read is left to the single question."""
        self._at(head)
        at, exchange = head.number, self._exchange
        wanted = [lease for lease in leases if lease not in self._leases]
        self._leases |= exchange.leases.many(wanted, block=at)
        known = [(lease, self._leases[lease]) for lease in wanted if lease in self._leases]
        buyers = {item.buyer for _, item in known if _is_to_deliver(item)} - self._keys.keys()
        found = exchange.members.many(sorted(buyers), block=at)
        self._keys |= {org: item.encryption_key for org, item in found.items()}
        wiped = [lease for lease, item in known if item.wiped_at]
        accounts = exchange.settlement.accounts(wiped, block=at)
        self._closed |= {lease: account.closed for lease, account in accounts.items()}

    def lease(self, lease: int, head: Block) -> Lease:
        """The record of a lease."""
        self._at(head)
        if lease not in self._leases:
            self._leases[lease] = self._exchange.leases.lease(lease, block=head.number)
        return self._leases[lease]

    def encryption_key(self, org: int, head: Block) -> bytes:
        """The key for which an organisation's connection data are sealed; zero if it has none."""
        self._at(head)
        if org not in self._keys:
            found = self._exchange.members.organisation(org, block=head.number)
            self._keys[org] = found.encryption_key
        return self._keys[org]

    def is_settled(self, lease: int, head: Block) -> bool:
        """Whether no money of a lease is left to draw."""
        self._at(head)
        if lease not in self._closed:
            self._closed[lease] = self._exchange.settlement.account(lease, block=head.number).closed
        return self._closed[lease]

    def _at(self, head: Block) -> None:
        if head.hash != self._block:
            self._block = head.hash
            for kept in (self._leases, self._keys, self._closed):
                kept.clear()


def _is_to_deliver(lease: Lease) -> bool:
    """Whether something may still be delivered, so that the buyer's key matters."""
    return bool(lease.signed_at) and not lease.ended_at and lease.delivered != (1 << lease.count) - 1
