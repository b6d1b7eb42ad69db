"""`Witnesses`: stakes, committees by lot, ticks, proofs of delivery (contracts/interfaces/IWitnesses.sol)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from chain.contracts.base import Call, Contract, struct
from chain.leaves import Leaf, Opening, Published
from chain.wire import BlockId
from market.rounds import Grid

__all__ = ["Committee", "Opening", "Published", "Terms", "Witness", "Witnesses"]


@dataclass(frozen=True, slots=True)
class Terms:
    """IWitnesses.Terms: deployment constants; money in microcredits."""

    small_size: int
    small_quorum: int
    large_size: int
    large_quorum: int
    large_pool: int
    min_stake: int
    tick_fine: int
    slash_ppm: int


@dataclass(frozen=True, slots=True)
class Witness:
    """IWitnesses.Witness: epochs, but for `stake` in microcredits; `exit` 0: it stays.

    `since` is the first epoch its stake was enough for, later than `joined` if it was filled up again.
    """

    signer: str
    joined: int
    since: int
    exit: int
    barred_from: int
    barred_until: int
    stake: int
    staked_by: str


@dataclass(frozen=True, slots=True)
class Committee:
    """IWitnesses.DrawnCommittee: organisations and the epoch it was drawn in; no seats: too few could sit."""

    seats: tuple[int, ...]
    quorum: int
    drawn: int


class Witnesses(Contract):
    """Who witnesses, and what they committed to."""

    NAME = "Witnesses"
    _grid: Grid | None = None

    def terms(self, *, block: BlockId = "latest") -> Terms:
        return struct(Terms, self._view("terms", block=block))

    def epoch(self, *, block: BlockId = "latest") -> int:
        """Seconds of an epoch."""
        return int(self._view("epoch", block=block))

    def rounds(self, *, block: BlockId = "latest") -> int:
        """Rounds in an epoch."""
        return int(self._view("rounds", block=block))

    def grid(self) -> Grid:
        """Both; asked for once, as they never change."""
        if self._grid is None:
            self._grid = Grid(self.epoch(), self.rounds())
        return self._grid

    def witness(self, org: int, *, block: BlockId = "latest") -> Witness:
        return struct(Witness, self._view("witness", org, block=block))

    def many(self, orgs: Sequence[int], *, block: BlockId = "latest") -> dict[int, Witness]:
        """Several witnesses in few messages; what the chain refuses is left out."""
        return {org: struct(Witness, item) for org, item in self._views("witness", orgs, block=block).items()}

    def signer_of(self, signer: str, *, block: BlockId = "latest") -> int:
        """The organisation that a key signs for."""
        return int(self._view("signerOf", signer, block=block))

    def pool(self, *, block: BlockId = "latest") -> tuple[int, ...]:
        return tuple(self._view("pool", block=block))

    def committee(self, lease: int, term: int, *, block: BlockId = "latest") -> Committee:
        return struct(Committee, self._view("committee", lease, term, block=block))

    def term_of(self, lease: int, epoch: int, *, block: BlockId = "latest") -> int:
        return int(self._view("termOf", lease, epoch, block=block))

    def guests_of(self, lease: int, *, block: BlockId = "latest") -> tuple[str, ...]:
        """The responders' keys as proven, by place; empty if not proven."""
        return tuple(self._view("guestsOf", lease, block=block))

    def ticks(self, org: int, from_: int, until: int, *, block: BlockId = "latest") -> int:
        """Epochs with a complete tick in `[from_, until)`, counted."""
        return int(self._view("ticks", org, from_, until, block=block))

    def ticked(self, org: int, epoch: int, *, block: BlockId = "latest") -> bool:
        return bool(self._view("ticked", org, epoch, block=block))

    def commitment_of(self, org: int, epoch: int, *, block: BlockId = "latest") -> bytes:
        """The commitment of an epoch while it is remembered (16 epochs), else zeros."""
        return bytes(self._view("commitmentOf", org, epoch, block=block))

    def require_published(
        self, org: int, epoch: int, published: Published, *, block: BlockId = "latest"
    ) -> None:
        """Raises the typed error unless the leaf was published by that witness for that epoch."""
        self._view("requirePublished", org, epoch, published.to_abi(), block=block)

    def require_opening(self, org: int, epoch: int, opening: Opening, *, block: BlockId = "latest") -> None:
        """Raises the typed error unless the opening is of that witness's complete tick for that epoch."""
        self._view("requireOpening", org, epoch, opening.to_abi(), block=block)

    def seed_of(self, epoch: int, *, block: BlockId = "latest") -> bytes:
        return bytes(self._view("seedOf", epoch, block=block))

    def join(self, signer: str, stake: int) -> Call:
        return self._call("join", signer, stake)

    def add_stake(self, amount: int) -> Call:
        return self._call("addStake", amount)

    def set_signer(self, signer: str) -> Call:
        return self._call("setSigner", signer)

    def leave(self) -> Call:
        return self._call("leave")

    def withdraw(self) -> Call:
        return self._call("withdraw")

    def tick(self, epoch: int, commitment: bytes, opening: Opening, leaves: Sequence[Leaf]) -> Call:
        """Opens `epoch - 1` and commits `epoch`; `leaves` are the first chunk of what is opened."""
        return self._call("tick", epoch, commitment, opening.to_abi(), [leaf.to_abi() for leaf in leaves])

    def publish(self, epoch: int, chunk: int, chunks: Sequence[bytes], leaves: Sequence[Leaf]) -> Call:
        return self._call("publish", epoch, chunk, list(chunks), [leaf.to_abi() for leaf in leaves])

    def draw(self, lease: int, term: int) -> Call:
        return self._call("draw", lease, term)

    def seen(self, lease: int, resources: int, delivery: bytes, guests: Sequence[str]) -> Call:
        """`guests` by place; the zero address for a machine without a responder."""
        return self._call("seen", lease, resources, delivery, list(guests))

    def fine(self, org: int, epoch: int, lease: int = 0) -> Call:
        return self._call("fine", org, epoch, lease)
