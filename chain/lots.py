"""How a committee's seats are drawn (W2): the contract's lots, so that anybody can check a draw.

The twin of `Witnesses.draw`. This module must not decide who is eligible: that is what the pool was when it
was frozen.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from eth_utils.crypto import keccak

__all__ = ["seats", "seed_of"]

_SEED_BITS = 224


def seed_of(salts: Mapping[int, bytes]) -> bytes:
    """The seed of an epoch from the salts accepted during it, by organisation (32 bytes).

    Folded by XOR, so that their order decides nothing; zeros if there were none.
    """
    folded = 0
    for org, salt in salts.items():
        folded ^= int.from_bytes(keccak(org.to_bytes(32, "big") + salt), "big")
    return (folded & ((1 << _SEED_BITS) - 1)).to_bytes(32, "big")


def seats(seed: bytes, lease: int, term: int, eligible: Iterable[int], size: int) -> tuple[int, ...]:
    """Who sits, in order: of the eligible organisations those with the lowest lots.

    With no more of them than seats, all sit and `seed` is zeros.
    """
    lot = keccak(seed + lease.to_bytes(32, "big") + term.to_bytes(32, "big"))
    ordered = sorted(eligible, key=lambda org: keccak(lot + org.to_bytes(32, "big")))
    return tuple(ordered[:size])
