"""What leases that belong together owe one another when one of them defaults, and what taking one back costs
(rules L5, L8).

Whole microcredits. This module must not decide whether a lease defaulted (`market.leases`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from market.billing import ppm_of

__all__ = ["Shared", "partners_claim", "reclaim_added", "reclaim_paid", "share_out"]


@dataclass(frozen=True, slots=True)
class Shared:
    """Of a defaulted bond: what each partner gets, in the order of their claims, and the buyer."""

    partners: tuple[int, ...]
    buyer: int


def partners_claim(price: int, accrued: int, reserve_ppm: int) -> int:
    """What a lease ended for another's default is owed: the reserve share of what it did not serve."""
    return ppm_of(price - accrued, reserve_ppm)


def share_out(pot: int, claims: Sequence[int]) -> Shared:
    """The bond first pays what the partners are owed, pro rata and rounded down; the buyer gets the rest."""
    owed = sum(claims)
    paid = tuple(claim if owed <= pot else claim * pot // owed for claim in claims)
    return Shared(paid, pot - sum(paid))


def reclaim_paid(unserved: int, bond: int, reclaim_ppm: int) -> int:
    """What the buyer gets from the bond when its lease is taken back, at most what is left of it."""
    return min(ppm_of(unserved, reclaim_ppm), bond)


def reclaim_added(unserved: int, paid: int, bond: int, default_ppm: int) -> int:
    """What it gets more once verdicts have made a breach of it: together as much as a breach costs (W9)."""
    return min(ppm_of(unserved, default_ppm) - paid, bond)
