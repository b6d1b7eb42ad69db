"""`Sublets`: parts of leases that their buyers let on (contracts/interfaces/ISublets.sol).

Rates are microcredits per resource and hour, windows are in slots, other times unix seconds; places are
bitmaps of a lease's machines.
"""

from __future__ import annotations

from dataclasses import dataclass

from chain.contracts.base import Call, Contract, struct, window_tuple
from chain.generated.enums import LeaseState
from chain.wire import BlockId
from market.windows import SlotWindow

__all__ = ["Piece", "Sublet", "Sublets"]


@dataclass(frozen=True, slots=True)
class Piece:
    """ISublets.Piece; `start` and `end` are slots, `within` 0: for anybody."""

    parent: int
    seller: int
    by: str
    closed: bool
    start: int
    end: int
    min_slots: int
    within: int
    rate: int
    places: int


@dataclass(frozen=True, slots=True)
class Sublet:
    """ISublets.Sublet; `piece` 0: passed on inside a party. Times 0: not yet."""

    parent: int
    piece: int
    seller: int
    tenant: int
    start: int
    end: int
    rejected: bool
    closed: bool
    by: str
    price: int
    paid: int
    rate: int
    places: int
    taken_at: int
    delivered_at: int
    accepted_at: int
    ended_at: int
    delivery: bytes


class Sublets(Contract):
    """A lease inside a lease, one level deep."""

    NAME = "Sublets"

    def count(self, *, block: BlockId = "latest") -> int:
        return int(self._view("count", block=block))

    def piece_count(self, *, block: BlockId = "latest") -> int:
        return int(self._view("pieceCount", block=block))

    def piece(self, piece: int, *, block: BlockId = "latest") -> Piece:
        return struct(Piece, self._view("piece", piece, block=block))

    def sublet(self, sublet: int, *, block: BlockId = "latest") -> Sublet:
        return struct(Sublet, self._view("sublet", sublet, block=block))

    def state_of(self, sublet: int, *, block: BlockId = "latest") -> LeaseState:
        return LeaseState(self._view("stateOf", sublet, block=block))

    def ends_at(self, sublet: int, *, block: BlockId = "latest") -> int:
        """The second it ends or ended: not after its parent."""
        return int(self._view("endsAt", sublet, block=block))

    def is_free(self, lease: int, places: int, window: SlotWindow, *, block: BlockId = "latest") -> bool:
        return bool(self._view("isFree", lease, places, window_tuple(window), block=block))

    def offer(
        self, lease: int, places: int, window: SlotWindow, rate: int, min_slots: int = 1, within: int = 0
    ) -> Call:
        return self._call("offer", lease, places, window_tuple(window), rate, min_slots, within)

    def close(self, piece: int) -> Call:
        return self._call("close", piece)

    def take(self, piece: int, places: int, window: SlotWindow, *, org: int = 0) -> Call:
        """Rent for an organisation; 0 is the wallet's own."""
        return self._call("take", org, piece, places, window_tuple(window))

    def pass_on(self, lease: int, to: int, places: int, window: SlotWindow) -> Call:
        return self._call("pass", lease, to, places, window_tuple(window))

    def deliver(self, sublet: int, connection_hash: bytes, host_key: bytes) -> Call:
        return self._call("deliver", sublet, connection_hash, host_key)

    def accept(self, sublet: int) -> Call:
        return self._call("accept", sublet)

    def reject(self, sublet: int) -> Call:
        return self._call("reject", sublet)

    def end(self, sublet: int) -> Call:
        return self._call("end", sublet)

    def settle(self, sublet: int) -> Call:
        return self._call("settle", sublet)
