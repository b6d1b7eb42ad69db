"""`Awards`: what the leases of one outcome share (contracts/interfaces/IAwards.sol)."""

from __future__ import annotations

from chain.contracts.base import Contract, window_tuple
from chain.wire import BlockId
from market.windows import SlotWindow

__all__ = ["Awards"]


class Awards(Contract):
    """From an outcome to its leases; what each side has to lock for one."""

    NAME = "Awards"

    def count(self, *, block: BlockId = "latest") -> int:
        return int(self._view("count", block=block))

    def fee_of(self, window: SlotWindow, *, block: BlockId = "latest") -> int:
        """Witness fees of a lease with an SLA that is opened at that block; both sides' halves together."""
        return int(self._view("feeOf", window_tuple(window), block=block))
