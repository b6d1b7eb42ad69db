"""`Orders`: restricted offers, signed and handed out, filled on chain (contracts/interfaces/IOrders.sol)."""

from __future__ import annotations

from collections.abc import Sequence

from chain.contracts.base import Call, Contract, window_tuple
from chain.orders import Order, SignedOrder
from chain.wire import BlockId
from market.windows import SlotWindow

__all__ = ["Orders"]


class Orders(Contract):
    """Filling and cancelling orders; `org` 0 is the organisation where the sender is at home."""

    NAME = "Orders"

    def digest_of(self, order: Order, *, block: BlockId = "latest") -> bytes:
        return bytes(self._view("digestOf", order.as_tuple(), block=block))

    def is_cancelled(self, order: Order, *, block: BlockId = "latest") -> bool:
        return bool(self._view("isCancelled", order.as_tuple(), block=block))

    def least_nonce(self, seller: int, *, block: BlockId = "latest") -> int:
        return int(self._view("leastNonce", seller, block=block))

    def fill(self, signed: SignedOrder, part: Sequence[int], window: SlotWindow, *, org: int = 0) -> Call:
        terms = (signed.order.as_tuple(), signed.signature, sorted(part), window_tuple(window))
        return self._call("fill", org, *terms)

    def cancel(self, order: Order) -> Call:
        return self._call("cancel", order.as_tuple())

    def cancel_below(self, nonce: int, *, org: int = 0) -> Call:
        return self._call("cancelBelow", org, nonce)
