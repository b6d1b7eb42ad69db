"""`Awards`: what the leases of one outcome share (contracts/interfaces/IAwards.sol)."""

from __future__ import annotations

from dataclasses import dataclass

from chain.contracts.base import Contract, struct, window_tuple
from chain.wire import BlockId
from market.windows import SlotWindow

__all__ = ["Awards", "Extension"]


@dataclass(frozen=True, slots=True)
class Extension:
    """What moving a lease's end costs, microcredits: its price, its bond, and witness fees of both sides."""

    price: int
    bond: int
    fee: int


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
