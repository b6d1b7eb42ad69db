"""`Amendments`: more time for a lease, and taking it back (contracts/interfaces/IAmendments.sol).

Ends of leases are slots, the second at which one is taken back is unix seconds, rates are microcredits per
resource and hour.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from chain.contracts.base import Call, Contract, struct
from chain.wire import BlockId

__all__ = ["AmendmentTerms", "Amendments", "Proposal", "Reclaim"]


@dataclass(frozen=True, slots=True)
class AmendmentTerms:
    """IAmendments.Terms: seconds of notice, and what taking back costs of the price not served, ppm."""

    reclaim_notice: int
    reclaim_ppm: int


@dataclass(frozen=True, slots=True)
class Proposal:
    """IAmendments.Proposal: an extension the buyer wishes for, while the lease still ends at the slot
    `start`.

    `by` is the zero address if there is none.
    """

    by: str
    start: int
    end: int
    rate: int


@dataclass(frozen=True, slots=True)
class Reclaim:
    """IAmendments.Reclaim: `at` 0: it was not taken back. `unserved` and `paid` are microcredits; `offer` of
    the replacement (0: none), `replacement` the lease that took its place."""

    by: str
    at: int
    unserved: int
    paid: int
    offer: int
    replacement: int
    closed: bool


class Amendments(Contract):
    """Changes of a lease that runs."""

    NAME = "Amendments"

    def terms(self, *, block: BlockId = "latest") -> AmendmentTerms:
        return struct(AmendmentTerms, self._view("terms", block=block))

    def proposal(self, lease: int, *, block: BlockId = "latest") -> Proposal:
        return struct(Proposal, self._view("proposal", lease, block=block))

    def reclaim_of(self, lease: int, *, block: BlockId = "latest") -> tuple[Reclaim, tuple[int, ...]]:
        """What is known of a lease taken back, and the resources its buyer may have instead."""
        found, named = self._view("reclaimOf", lease, block=block)
        return struct(Reclaim, found), tuple(named)

    def rate_of(self, lease: int, *, block: BlockId = "latest") -> int:
        """The rate at the lease's end."""
        return int(self._view("rateOf", lease, block=block))

    def extend(self, lease: int, end: int, most: int) -> Call:
        """At the offer's buy-now rate, if that is at most `most`."""
        return self._call("extend", lease, end, most)

    def propose(self, lease: int, end: int, rate: int) -> Call:
        return self._call("propose", lease, end, rate)

    def withdraw(self, lease: int) -> Call:
        return self._call("withdraw", lease)

    def agree(self, lease: int, end: int, rate: int) -> Call:
        return self._call("agree", lease, end, rate)

    def reclaim(self, lease: int, at: int, offer: int = 0, replacement: Sequence[int] = ()) -> Call:
        """Take a lease back at a second, and offer these resources of an offer instead."""
        return self._call("reclaim", lease, at, offer, sorted(replacement))

    def take_replacement(self, lease: int) -> Call:
        return self._call("takeReplacement", lease)

    def close_reclaim(self, lease: int) -> Call:
        """Once no verdict can come any more: share out the bond."""
        return self._call("closeReclaim", lease)
