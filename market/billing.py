"""Money, exactly as the contracts count it: amounts, shares, accrual, fees (rules E1 to E3, C2, L1, L2).

All money is in integer microcredits, all rates in microcredits per resource and hour, all times in unix
seconds UTC. Whoever rounds says so: `_up` rounds up, everything else down.

This module must never use floats, and must stay in step with `Settlement`: a test compares the two.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from market.errors import InvalidInput
from market.rounds import Grid
from market.windows import Window

__all__ = [
    "Accrual",
    "Delivery",
    "RunningSums",
    "Step",
    "amount_up",
    "bond",
    "buyers_half",
    "fee_back",
    "missing_share",
    "ppm_of",
    "price",
    "witness_fee",
]

SECONDS_PER_HOUR = 3_600
PPM = 1_000_000
"""The whole, in parts per million."""


def _ceil_div(value: int, divisor: int) -> int:
    return -(-value // divisor)


def _not_negative(**values: int) -> None:
    for name, value in values.items():
        if value < 0:
            raise InvalidInput(f"{name} is negative ({value})", hint="give 0 or more", **{name: value})


def amount_up(rate: int, count: int, seconds: int) -> int:
    """`ceil(rate * count * seconds / 3600)` microcredits (E2, E3)."""
    _not_negative(rate=rate, count=count, seconds=seconds)
    return _ceil_div(rate * count * seconds, SECONDS_PER_HOUR)


def price(rate: int, count: int, start: int, end: int, award_time: int) -> int:
    """What a lease costs at most (E2): the time before the award is not paid for.

    InvalidInput if start is not before end, or if the window is over at the award.
    """
    if start >= end or end <= award_time:
        raise InvalidInput(
            f"nothing of the window {start} to {end} is left at {award_time}",
            hint="give a window that ends in the future",
            start=start,
            end=end,
            award_time=award_time,
        )
    return amount_up(rate, count, end - max(start, award_time))


def ppm_of(amount: int, ppm: int) -> int:
    """`floor(amount * ppm / 1000000)`; ppm is between nothing (0) and all (1000000)."""
    _not_negative(amount=amount, ppm=ppm)
    if ppm > PPM:
        raise InvalidInput(f"{ppm} ppm is more than all of it", hint=f"give 0 to {PPM}", ppm=ppm)
    return amount * ppm // PPM


def bond(price: int, default_ppm: int) -> int:
    """The provider's bond for a lease at that price (C2), rounded down."""
    return ppm_of(price, default_ppm)


def missing_share(bond: int, missing: int, count: int) -> int:
    """The part of the bond owed to the buyer if `missing` of `count` are not delivered (L1), rounded down."""
    _not_negative(bond=bond, missing=missing)
    if count <= 0 or missing > count:
        raise InvalidInput(
            f"{missing} of {count} cannot be missing",
            hint="give 0 to all of it",
            missing=missing,
            count=count,
        )
    return bond * missing // count


def witness_fee(seat_fee: int, seats: int, grid: Grid, start: int, end: int, award_time: int) -> int:
    """What is locked for a lease's witnesses (C2): each of `seats`, each epoch that what is left touches.

    Both halves together; nothing if the window is over at the award.
    """
    _not_negative(seat_fee=seat_fee, seats=seats)
    begin = max(start, award_time)
    return seat_fee * seats * len(grid.epochs_of(Window(begin, end)).epochs) if begin < end else 0


def buyers_half(fee: int) -> int:
    """The buyer's part of witness fees; the odd microcredit is its. The provider bears the rest."""
    _not_negative(fee=fee)
    return fee - fee // 2


def fee_back(fee: int, paid: int) -> tuple[int, int]:
    """What of locked fees returns to buyer and provider if witnesses were paid `paid` of them.

    Either side then has borne half of what was paid, of an odd microcredit the buyer.
    """
    if not 0 <= paid <= fee:
        raise InvalidInput(
            f"{paid} of {fee} in fees cannot be paid", hint="read the account from the chain again"
        )
    to_provider = fee // 2 - paid // 2
    return fee - paid - to_provider, to_provider


@dataclass(frozen=True, slots=True)
class Delivery:
    """`count` resources that bill from `billed_from` on: max(start, block time of `deliver`) (L2)."""

    count: int
    billed_from: int

    def __post_init__(self) -> None:
        """Refuse a delivery of nothing."""
        _not_negative(billed_from=self.billed_from)
        if self.count <= 0:
            raise InvalidInput(f"a delivery of {self.count} resources is none", hint="give at least 1")


@dataclass(frozen=True, slots=True)
class RunningSums:
    """What the contract keeps of all deliveries: enough to bill, whatever their number.

    `units` is the number of resources, `start_sum` the sum of count * billed_from, `first_start` the first
    billed_from (0 without any).
    """

    units: int = 0
    start_sum: int = 0
    first_start: int = 0

    @classmethod
    def of(cls, deliveries: Iterable[Delivery]) -> RunningSums:
        """The sums of these deliveries."""
        known = tuple(deliveries)
        return cls(
            sum(delivery.count for delivery in known),
            sum(delivery.count * delivery.billed_from for delivery in known),
            min((delivery.billed_from for delivery in known), default=0),
        )

    def resource_seconds(self, until: int, quantum: int = 1) -> int:
        """Sum over the resources of the seconds billed up to `until`.

        The time since the first start is rounded up to `quantum` seconds. As on chain, no delivery may start
        after `until`, unless all do.
        """
        if not self.units or until <= self.first_start:
            return 0
        until = self.first_start + _ceil_div(until - self.first_start, quantum) * quantum
        return max(0, self.units * until - self.start_sum)


@dataclass(frozen=True, slots=True)
class Step:
    """From a second on, another rate: a lease was extended (L7)."""

    begins: int
    rate: int


@dataclass(frozen=True, slots=True)
class Accrual:
    """What a lease has earned its provider so far, as `Settlement` counts it (E2, E3, L1, L2).

    `quantum` is in seconds, `end` is the effective end of billing, `price` the cap in microcredits. `steps`
    are later rates, oldest first; each began when all resources billed.
    """

    rate: int
    quantum: int
    end: int
    price: int
    deliveries: tuple[Delivery, ...] = ()
    steps: tuple[Step, ...] = ()

    def __post_init__(self) -> None:
        """Refuse terms that no lease can have."""
        _not_negative(rate=self.rate, end=self.end, price=self.price)
        if self.quantum <= 0:
            raise InvalidInput(f"a quantum of {self.quantum} s is not possible", hint="give at least 1")

    def delivered(self, count: int, billed_from: int) -> Accrual:
        """The accrual after one more delivery."""
        return replace(self, deliveries=(*self.deliveries, Delivery(count, billed_from)))

    def accrued(self, until: int, final: bool = False) -> int:
        """Microcredits earned up to `until`, never past `end`, never above the price.

        `final` is for the one call that closes the bill: the time since the first delivery is rounded up to
        the quantum, which may pass `end` but not the price. Deliveries after `until` do not count.
        """
        until = min(until, self.end)
        sums = RunningSums.of(delivery for delivery in self.deliveries if delivery.billed_from <= until)
        total = sums.resource_seconds(until, self.quantum if final else 1)
        amount, billed, rate = 0, 0, self.rate
        for step in self.steps:
            before = step.begins * sums.units - sums.start_sum
            if total <= before:
                break
            amount += amount_up(rate, 1, before - billed)
            billed, rate = before, step.rate
        return min(self.price, amount + amount_up(rate, 1, total - billed))

    def due(self, until: int, paid: int, final: bool = False) -> int:
        """What is to be paid now, after `paid` was paid before; InvalidInput if that is more than accrued."""
        accrued = self.accrued(until, final)
        if not 0 <= paid <= accrued:
            raise InvalidInput(
                f"{paid} paid, but only {accrued} accrued", hint="ask for a later time", paid=paid
            )
        return accrued - paid
