"""`Awards`: what the leases of one outcome share (contracts/interfaces/IAwards.sol)."""

from __future__ import annotations

from dataclasses import dataclass

from chain.contracts.base import Call, Contract, struct, window_tuple
from chain.wire import BlockId
from market.windows import SlotWindow

__all__ = ["Awards", "Claim", "Composite", "Extension"]


@dataclass(frozen=True, slots=True)
class Extension:
    """What moving a lease's end costs, microcredits: its price, its bond, and witness fees of both sides."""

    price: int
    bond: int
    fee: int


@dataclass(frozen=True, slots=True)
class Composite:
    """The leases of an award that belong together: `count` of them from `first` on; 0: none."""

    first: int
    count: int

    @property
    def leases(self) -> range:
        """Their numbers."""
        return range(self.first, self.first + self.count)


@dataclass(frozen=True, slots=True)
class Claim:
    """What a lease that was ended for a default is owed of that lease's bond, microcredits."""

    defaulted: int
    amount: int


class Awards(Contract):
    """From an outcome to its leases; what each side has to lock for one."""

    NAME = "Awards"

    def count(self, *, block: BlockId = "latest") -> int:
        return int(self._view("count", block=block))

    def fee_of(self, window: SlotWindow, *, block: BlockId = "latest") -> int:
        """Witness fees of a lease with an SLA that is opened at that block; both sides' halves together."""
        return int(self._view("feeOf", window_tuple(window), block=block))

    def extension_of(self, lease: int, end: int, rate: int, *, block: BlockId = "latest") -> Extension:
        """What both sides lock to move a lease's end to the slot `end` at a rate."""
        return struct(Extension, self._view("extensionOf", lease, end, rate, block=block))

    def composite_of(self, award: int, *, block: BlockId = "latest") -> Composite:
        """The leases of an award that belong together (L8)."""
        return struct(Composite, self._view("compositeOf", award, block=block))

    def claim_of(self, partner: int, *, block: BlockId = "latest") -> Claim:
        """What a lease is owed for having been ended with another one."""
        return struct(Claim, self._view("claimOf", partner, block=block))

    def end_partner(self, defaulted: int, partner: int) -> Call:
        """End a lease because another one of its composite award defaulted."""
        return self._call("endPartner", defaulted, partner)

    def share_out(self, defaulted: int) -> Call:
        """Share out the bond of a defaulted lease of a composite award."""
        return self._call("shareOut", defaulted)
