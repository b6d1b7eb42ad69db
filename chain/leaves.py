"""What a witness measured, as it commits to it: leaves, samples, trees, commitments and keys (W3 to W5).

One `Leaf` per machine and epoch. All leaves of a witness make one tree (`root`); those with a down round are
published, in chunks, each with a tree of its own. A tick commits to both, salted; the next tick opens it. An
audit opens the epoch's key, which shows when in each round the witness had to measure.

The same hashes as contracts/libraries/Trees.sol and the interfaces of Witnesses and Audits. This module must
not speak to a chain, and must not know how anything was measured.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from itertools import pairwise

from eth_utils.crypto import keccak

from market.errors import InvalidInput
from market.rounds import MAX_ROUNDS, Grid

__all__ = [
    "CHUNK",
    "NOTHING",
    "EpochLeaves",
    "Leaf",
    "Opening",
    "Outcome",
    "Published",
    "Rooted",
    "Sample",
    "Tree",
    "canary_hash",
    "chunks_of",
    "commitment_of",
    "down_hash",
    "epoch_key",
    "guest_digest",
    "offset_ms",
    "root_of",
    "salt_of",
    "samples_root",
    "verify",
]

CHUNK = 128
"""The most leaves in one chunk, and so in one transaction."""

NOTHING = bytes(32)
"""The root of a tree without leaves, and every part of an opening that opens nothing."""


_UNSIGNED = keccak(b"")


class Outcome(IntEnum):
    """What one measurement found (IAudits.Sample); all but `PATH` are measured."""

    UP = 1
    PROVIDER = 2
    BUYER = 3
    PATH = 4


@dataclass(frozen=True, slots=True)
class Sample:
    """One measurement (IAudits.Sample).

    `at` in unix milliseconds; `nonce` (32 bytes) and `signature` (65) of the responder in the guest, zeros
    and empty without one.
    """

    round: int
    at: int
    outcome: int
    nonce: bytes = NOTHING
    signature: bytes = b""

    @property
    def hash(self) -> bytes:
        """As it stands in the tree of samples."""
        signed = keccak(self.signature) if self.signature else _UNSIGNED
        return keccak(_words(self.round, self.at, self.outcome, self.nonce, signed))

    def to_abi(self) -> tuple[int, int, int, bytes, bytes]:
        """In the order of the Solidity struct."""
        return (self.round, self.at, int(self.outcome), self.nonce, self.signature)


@dataclass(frozen=True, slots=True, order=True)
class Leaf:
    """What a witness found about one machine of a lease in one epoch; bit i is round i.

    `place` is the machine's place in the lease, `measured` the rounds it could tell (up, or down by provider
    or buyer), `down` those of them that are the provider's fault, `samples` the root over its measurements.
    """

    lease: int
    place: int
    measured: int
    down: int
    samples: bytes = NOTHING

    def __post_init__(self) -> None:
        """Refuse what no contract takes: rounds beyond a word, or down without being measured."""
        words = 0 <= self.measured < 1 << MAX_ROUNDS and not self.down & ~self.measured and self.down >= 0
        if not (words and 0 <= self.place < 256 and 0 < self.lease < 1 << 32 and len(self.samples) == 32):
            raise InvalidInput(
                f"this is no leaf of a machine (lease {self.lease}, place {self.place})",
                hint="Its down rounds must be among the measured ones, and fit into 256 bits",
            )

    @property
    def key(self) -> tuple[int, int]:
        """What leaves are sorted by: lease and place."""
        return (self.lease, self.place)

    @property
    def hash(self) -> bytes:
        """As it stands in the tree."""
        return keccak(_words(*self.to_abi()))

    def to_abi(self) -> tuple[int, int, int, int, bytes]:
        """In the order of the Solidity struct."""
        return (self.lease, self.place, self.measured, self.down, self.samples)


class Tree:
    """A Merkle tree over hashes in their order: pairs hashed smaller first, an odd node goes up as it is.

    `root` of no hashes is 32 zero bytes. Building takes one keccak per inner node; proofs are looked up.
    """

    def __init__(self, hashes: Iterable[bytes]) -> None:
        self._levels: list[list[bytes]] = [list(hashes)]
        while len(self._levels[-1]) > 1:
            level = self._levels[-1]
            self._levels.append([_join(level[at : at + 2]) for at in range(0, len(level), 2)])

    @classmethod
    def of(cls, items: Iterable[Leaf | Sample]) -> Tree:
        """Over leaves or samples, in their order."""
        return cls(item.hash for item in items)

    def __len__(self) -> int:
        return len(self._levels[0])

    @property
    def root(self) -> bytes:
        """The 32 bytes that stand for all of it."""
        top = self._levels[-1]
        return top[0] if top else NOTHING

    def proof(self, index: int) -> tuple[bytes, ...]:
        """The hashes that lead from the item at `index` to the root; InvalidInput if there is none there."""
        if not 0 <= index < len(self):
            raise InvalidInput(f"the tree has no item {index}", items=len(self))
        found = []
        for level in self._levels[:-1]:
            if (index ^ 1) < len(level):
                found.append(level[index ^ 1])
            index >>= 1
        return tuple(found)


def verify(root: bytes, item: bytes, proof: Iterable[bytes]) -> bool:
    """Whether `item` (a hash) stands in the tree with that root."""
    for sibling in proof:
        item = _join((item, sibling))
    return item == root


def _join(nodes: Sequence[bytes]) -> bytes:
    return keccak(b"".join(sorted(nodes))) if len(nodes) == 2 else nodes[0]


# ---- commitments ----


@dataclass(frozen=True, slots=True)
class Opening:
    """Opens a commitment (IWitnesses.Opening): roots of the published chunks, root of all leaves, salt."""

    chunks: tuple[bytes, ...] = ()
    root: bytes = NOTHING
    salt: bytes = NOTHING

    @property
    def is_nothing(self) -> bool:
        """Whether it says that the epoch before had no commitment."""
        return self == Opening()

    def commitment(self, org: int, epoch: int) -> bytes:
        """The commitment that this opens."""
        return commitment_of(org, epoch, self.chunks, self.root, self.salt)

    def to_abi(self) -> tuple[list[bytes], bytes, bytes]:
        """In the order of the Solidity struct."""
        return (list(self.chunks), self.root, self.salt)


@dataclass(frozen=True, slots=True)
class Published:
    """Shows that a leaf was published (IWitnesses.Published): its chunk, and the proof into it."""

    opening: Opening
    chunk: int
    proof: tuple[bytes, ...]
    leaf: Leaf

    def holds(self) -> bool:
        """Whether the leaf is in the chunk it is said to be in."""
        chunks = self.opening.chunks
        return self.chunk < len(chunks) and verify(chunks[self.chunk], self.leaf.hash, self.proof)

    def to_abi(self) -> tuple[object, ...]:
        """In the order of the Solidity struct."""
        return (self.opening.to_abi(), self.chunk, list(self.proof), self.leaf.to_abi())


@dataclass(frozen=True, slots=True)
class Rooted:
    """A leaf under the root over all leaves (IAudits.Rooted)."""

    leaf: Leaf
    proof: tuple[bytes, ...]

    def to_abi(self) -> tuple[object, ...]:
        """In the order of the Solidity struct."""
        return (self.leaf.to_abi(), list(self.proof))


@dataclass(frozen=True)
class EpochLeaves:
    """All leaves of one witness for one epoch, in order: what it commits to, publishes and is audited on.

    Any order may be given; InvalidInput if a machine has two leaves.
    """

    leaves: tuple[Leaf, ...]
    salt: bytes
    tree: Tree = field(init=False, repr=False, compare=False)
    chunks: tuple[tuple[Leaf, ...], ...] = field(init=False, repr=False, compare=False)
    _trees: tuple[Tree, ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Sort, cut into chunks, and build the trees."""
        leaves = _in_order(self.leaves)
        chunks = chunks_of(leaves)
        set_ = object.__setattr__
        set_(self, "leaves", leaves)
        set_(self, "chunks", chunks)
        set_(self, "tree", Tree.of(leaves))
        set_(self, "_trees", tuple(Tree.of(chunk) for chunk in chunks))

    @property
    def opening(self) -> Opening:
        """What the next tick reveals."""
        return Opening(tuple(tree.root for tree in self._trees), self.tree.root, self.salt)

    def commitment(self, org: int, epoch: int) -> bytes:
        """What the tick of this epoch commits to."""
        return self.opening.commitment(org, epoch)

    def published(self, lease: int, place: int) -> Published | None:
        """Shows the published leaf of a machine; None if nothing was down there."""
        for number, chunk in enumerate(self.chunks):
            for index, leaf in enumerate(chunk):
                if leaf.key == (lease, place):
                    return Published(self.opening, number, self._trees[number].proof(index), leaf)
        return None

    def rooted(self, lease: int, place: int) -> Rooted | None:
        """Shows the leaf of a machine under the root, for an audit; None if there is none."""
        for index, leaf in enumerate(self.leaves):
            if leaf.key == (lease, place):
                return Rooted(leaf, self.tree.proof(index))
        return None


def root_of(leaves: Iterable[Leaf]) -> bytes:
    """The root over leaves, in the order of lease and place; zeros if there are none."""
    return Tree.of(_in_order(leaves)).root


def samples_root(samples: Iterable[Sample]) -> bytes:
    """What a leaf says of its measurements: the root over them by round; zeros if there are none."""
    ordered = sorted(samples, key=lambda sample: sample.round)
    return Tree.of(ordered).root


def chunks_of(leaves: Iterable[Leaf]) -> tuple[tuple[Leaf, ...], ...]:
    """The leaves that are published, those with a down round, in order and in chunks of at most 128."""
    down = [leaf for leaf in _in_order(leaves) if leaf.down]
    return tuple(tuple(down[at : at + CHUNK]) for at in range(0, len(down), CHUNK))


def _in_order(leaves: Iterable[Leaf]) -> tuple[Leaf, ...]:
    found = tuple(sorted(leaves, key=lambda leaf: leaf.key))
    for one, other in pairwise(found):
        if one.key == other.key:
            raise InvalidInput(f"machine {one.place} of lease {one.lease} has two leaves")
    return found


def down_hash(chunks: Sequence[bytes]) -> bytes:
    """The hash of the chunks' roots, packed."""
    return keccak(b"".join(chunks))


def commitment_of(org: int, epoch: int, chunks: Sequence[bytes], root: bytes, salt: bytes) -> bytes:
    """keccak256(abi.encode(org, epoch, downHash, root, salt))."""
    return keccak(_words(org, epoch, down_hash(chunks), root, salt))


def _words(*values: int | bytes) -> bytes:
    """What `abi.encode` makes of numbers and bytes32."""
    return b"".join(value if isinstance(value, bytes) else value.to_bytes(32, "big") for value in values)


def canary_hash(lease: int, place: int, epoch: int, down: int, salt: bytes) -> bytes:
    """What an auditor commits to before the outages of its canary (IAudits.commitCanary)."""
    return keccak(_words(lease, place, epoch, down, salt))


# ---- keys, offsets, the guest ----


def epoch_key(master: bytes, epoch: int) -> bytes:
    """The key of one epoch: HMAC-SHA256 of the epoch (4 bytes, big-endian) under the witness's master secret.

    An audit opens it without opening any other epoch's.
    """
    if len(master) < 32:
        raise InvalidInput("the master secret of a witness has at least 32 bytes")
    return hmac.new(master, epoch.to_bytes(4, "big"), hashlib.sha256).digest()


def salt_of(key: bytes) -> bytes:
    """The salt of an epoch's commitment, from that epoch's key."""
    return keccak(b"OCX salt 1" + key)


def offset_ms(grid: Grid, key: bytes, lease: int, place: int, round_: int) -> int:
    """When in a round a machine is measured: milliseconds after the round's start, below its length."""
    packed = key + lease.to_bytes(4, "big") + place.to_bytes(1, "big") + round_.to_bytes(2, "big")
    return int.from_bytes(keccak(packed), "big") % grid.round_ms


def guest_digest(lease: int, place: int, epoch: int, round_: int, witness: str, nonce: bytes) -> bytes:
    """What the responder in the guest signs (SHA-256).

    `witness` is the signer's address, `nonce` 32 bytes.
    """
    if len(nonce) != 32:
        raise InvalidInput("the nonce for a responder has 32 bytes")
    packed = (
        b"OCX guest 1"
        + lease.to_bytes(4, "big")
        + place.to_bytes(1, "big")
        + epoch.to_bytes(4, "big")
        + round_.to_bytes(2, "big")
        + bytes.fromhex(witness.removeprefix("0x"))
        + nonce
    )
    return hashlib.sha256(packed).digest()
