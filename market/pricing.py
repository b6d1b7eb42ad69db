"""What a provider's agent asks for: its rate floor as the window comes nearer.

Two kinds of sellers are served. One aims at the best `rate`: its floor stays, idle time does not matter.
The other aims at the most money in `total`: a slot that passes unsold earns nothing, so its floor falls in
a straight line from `floor` to `cost` while the window's start nears.

Rates are microcredits per resource and hour. This module has no clock and never goes below cost.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from market.errors import InvalidInput

__all__ = ["Aim", "PricePolicy", "bid_rate"]


class Aim(Enum):
    """What a seller maximises."""

    RATE = "rate"
    TOTAL = "total"


@dataclass(frozen=True, slots=True)
class PricePolicy:
    """A seller's prices: the `floor` it wants, the `cost` it never goes below, `lead` seconds of falling.

    Only the aim `total` uses cost and lead. `floor` below `cost` is refused.
    """

    aim: Aim
    floor: int
    cost: int
    lead: int = 0

    def __post_init__(self) -> None:
        """Refuse prices that contradict each other."""
        if self.cost < 0 or self.lead < 0:
            raise InvalidInput("cost and lead must not be negative", cost=self.cost, lead=self.lead)
        if self.floor < self.cost:
            raise InvalidInput(
                f"the floor rate {self.floor} is below the cost {self.cost}",
                hint="raise the floor or correct the cost",
                floor=self.floor,
                cost=self.cost,
            )

    def floor_at(self, start: int, now: int) -> int:
        """The lowest rate acceptable at `now` for a window that starts at `start`, rounded up.

        Aim `total`: `floor` from `lead` seconds before the start and earlier, `cost` from the start on.
        """
        left = start - now
        if self.aim is Aim.RATE or (left >= self.lead and left > 0):
            return self.floor
        if left <= 0:
            return self.cost
        return self.cost - (-(self.floor - self.cost) * left // self.lead)


def bid_rate(policy: PricePolicy, start: int, now: int, ceiling: int) -> int | None:
    """The rate to bid for a window that starts at `start`, or None if the ceiling rate is too low."""
    rate = policy.floor_at(start, now)
    return rate if rate <= ceiling else None
