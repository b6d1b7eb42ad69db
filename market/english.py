"""English auctions as `EnglishAuction` runs them (rule A2): the least next rate, and what a bid changes.

Rates are microcredits per resource and hour, times unix seconds. No clock: whoever asks says when.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from market.errors import InvalidInput, Refused

__all__ = ["ALL_BPS", "Bidding", "after_bid", "least_rate"]

ALL_BPS = 10_000
"""A step of that many hundredths of a percent doubles the rate; steps grow no further."""


@dataclass(frozen=True, slots=True)
class Bidding:
    """How bidding stands: the leading `rate`, or the reserve while nobody has bid (`led` False).

    `step_bps` hundredths of a percent are added at least; a bid with less than `extension` seconds left moves
    `end`, never past `hard_stop`.
    """

    rate: int
    led: bool
    step_bps: int
    end: int
    extension: int
    hard_stop: int

    def __post_init__(self) -> None:
        """Refuse what no contract would open."""
        if self.rate <= 0 or not 1 <= self.step_bps <= ALL_BPS or self.extension < 1:
            raise InvalidInput("bidding needs a rate, a step of 1 to 10000 and an extension of a second")
        if self.end > self.hard_stop:
            raise InvalidInput("bidding cannot end after its hard stop")


def least_rate(bidding: Bidding) -> int:
    """The lowest rate that would lead: the reserve, later a step more than the leader's, rounded up."""
    if not bidding.led:
        return bidding.rate
    return -(-bidding.rate * (ALL_BPS + bidding.step_bps) // ALL_BPS)


def after_bid(bidding: Bidding, rate: int, at: int) -> Bidding:
    """How bidding stands after a bid; Refused if it is too late or too low."""
    if at >= bidding.end:
        raise Refused("bidding is over", hint="award the auction", end=bidding.end)
    least = least_rate(bidding)
    if rate < least:
        raise Refused("the rate is too low to lead", hint=f"bid {least} or more", least=least)
    then = replace(bidding, rate=rate, led=True)
    if at + bidding.extension <= bidding.end:
        return then
    end = min(at + bidding.extension, bidding.hard_stop)
    return replace(then, end=end, step_bps=min(2 * bidding.step_bps, ALL_BPS))
