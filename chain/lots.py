"""How a committee's seats are drawn (W2): the contract's lots, so that anybody can check a draw.

The twin of `Witnesses.draw`. This module must not decide who is eligible: that is what the pool was when it
was frozen.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import TYPE_CHECKING

from eth_utils.crypto import keccak

if TYPE_CHECKING:
    from chain.contracts.witnesses import Terms

__all__ = ["draw", "seats", "seed_of"]

_SEED_BITS = 224


def seed_of(salts: Mapping[int, bytes]) -> bytes:
    """The seed of an epoch from the salts accepted during it, by organisation (32 bytes).

    Folded by XOR, so that their order decides nothing; zeros if there were none.
    """
    folded = 0
    for org, salt in salts.items():
        folded ^= int.from_bytes(keccak(org.to_bytes(32, "big") + salt), "big")
    return (folded & ((1 << _SEED_BITS) - 1)).to_bytes(32, "big")


def draw(
    seed: bytes,
    lease: int,
    term: int,
    eligible: Collection[int],
    opened: Collection[int],
    terms: Terms,
) -> tuple[tuple[int, ...], int]:
    """Seats and quorum of a committee; no seats if there is none.

    `opened`: who opened, in the epoch of the seed, the epoch two before it. The others draw no lot, so that
    nobody moves it for free; if fewer are left than the larger committee has, it is the smaller one, and what
    is missing there comes from those that did not open, by lot. With no more eligible than seats all sit, and
    `seed` is zeros; where nobody opened there is none.
    """
    small = len(eligible) < terms.large_pool
    left, others = set(eligible), set[int]()
    if len(left) > (terms.small_size if small else terms.large_size):
        left, others = left & set(opened), left - set(opened)
        small = small or len(left) < terms.large_size
    size, quorum = (terms.small_size, terms.small_quorum) if small else (terms.large_size, terms.large_quorum)
    if len(left) < size and (not left or len(left) + len(others) < size):
        return (), 0
    drawn = seats(seed, lease, term, left, size)
    return drawn + seats(seed, lease, term, others, size - len(drawn)), quorum


def seats(seed: bytes, lease: int, term: int, eligible: Iterable[int], size: int) -> tuple[int, ...]:
    """Who sits, in order: of the eligible organisations those with the lowest lots.

    With no more of them than seats, all sit and `seed` is zeros.
    """
    lot = keccak(seed + lease.to_bytes(32, "big") + term.to_bytes(32, "big"))
    ordered = sorted(eligible, key=lambda org: keccak(lot + org.to_bytes(32, "big")))
    return tuple(ordered[:size])
