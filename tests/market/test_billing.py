"""Money: conserved, capped by the price, monotone in time, and the sum of its differences."""

from __future__ import annotations

from fractions import Fraction
from math import ceil

import pytest
from hypothesis import given
from hypothesis import strategies as st

from market.billing import (
    Accrual,
    Delivery,
    RunningSums,
    amount_up,
    bond,
    buyers_half,
    fee_back,
    missing_share,
    ppm_of,
    price,
    witness_fee,
)
from market.errors import InvalidInput
from market.rounds import Grid

START = 1_000_000
rates = st.integers(0, 10**12)
counts = st.integers(1, 8)
lengths = st.integers(1, 10**6)


@st.composite
def leases(draw: st.DrawFn) -> tuple[Accrual, int]:
    """An accrual with deliveries in time order, and the number of resources awarded."""
    rate, length = draw(rates), draw(lengths)
    end = START + length
    froms = sorted(draw(st.lists(st.integers(START, end + 100), max_size=5)))
    deliveries = tuple(Delivery(draw(counts), begin) for begin in froms)
    count = max(1, sum(delivery.count for delivery in deliveries)) + draw(st.integers(0, 3))
    quantum = draw(st.sampled_from([1, 7, 60, 3600]))
    return Accrual(rate, quantum, end, price(rate, count, START, end, 0), deliveries), count


@given(rates, counts, lengths)
def test_amounts_round_up_by_less_than_one_microcredit(rate: int, count: int, seconds: int) -> None:
    exact = Fraction(rate * count * seconds, 3600)
    assert exact <= amount_up(rate, count, seconds) < exact + 1


def test_one_hour_costs_the_rate() -> None:
    assert amount_up(1_000_001, 3, 3600) == 3_000_003
    assert amount_up(1, 1, 1) == 1
    assert amount_up(1, 1, 0) == amount_up(0, 1, 1) == 0


def test_time_before_the_award_is_not_paid_for() -> None:
    assert price(3600, 1, 100, 200, award_time=0) == 100
    assert price(3600, 1, 100, 200, award_time=100) == 100
    assert price(3600, 1, 100, 200, award_time=150) == 50


@pytest.mark.parametrize(
    ("start", "end", "award_time"), [(100, 100, 0), (200, 100, 0), (100, 200, 200), (100, 200, 201)]
)
def test_a_price_for_a_window_that_is_over_is_refused(start: int, end: int, award_time: int) -> None:
    with pytest.raises(InvalidInput):
        price(1, 1, start, end, award_time)


def test_parts_per_million_round_down() -> None:
    assert bond(999_999, 100_000) == 99_999
    assert ppm_of(5, 1_000_000) == 5
    assert ppm_of(5, 0) == 0
    with pytest.raises(InvalidInput):
        ppm_of(5, 1_000_001)


@given(st.integers(0, 10**15), st.integers(1, 256), st.data())
def test_the_missing_share_never_exceeds_the_bond(amount: int, count: int, data: st.DataObject) -> None:
    missing = data.draw(st.integers(0, count))
    share = missing_share(amount, missing, count)
    assert 0 <= share <= amount
    assert share + missing_share(amount, count - missing, count) <= amount
    assert missing_share(amount, count, count) == amount


@pytest.mark.parametrize(("missing", "count"), [(2, 1), (-1, 1), (0, 0)])
def test_what_cannot_be_missing_is_refused(missing: int, count: int) -> None:
    with pytest.raises(InvalidInput):
        missing_share(10, missing, count)


@given(leases(), st.integers(START - 100, START + 2 * 10**6), st.booleans())
def test_accrual_never_exceeds_the_price(lease: tuple[Accrual, int], until: int, final: bool) -> None:
    accrual, _ = lease
    assert 0 <= accrual.accrued(until, final) <= accrual.price


@given(leases(), st.integers(START - 100, START + 2 * 10**6))
def test_accrual_is_the_sum_over_resources(lease: tuple[Accrual, int], until: int) -> None:
    accrual, _ = lease
    stop = min(until, accrual.end)
    seconds = sum(d.count * max(0, stop - d.billed_from) for d in accrual.deliveries)
    assert accrual.accrued(until) == ceil(Fraction(accrual.rate * seconds, 3600))


@given(leases(), st.lists(st.integers(START, START + 2 * 10**6), min_size=2, max_size=6))
def test_accrual_is_monotone_in_time_and_differences_sum_to_the_total(
    lease: tuple[Accrual, int], times: list[int]
) -> None:
    accrual, _ = lease
    paid = 0
    for until in sorted(times):
        paid += accrual.due(until, paid)
    last = max(times)
    paid += accrual.due(last, paid, final=True)
    assert paid == accrual.accrued(last, final=True)
    assert accrual.due(last, paid, final=True) == 0


@given(leases(), st.integers(START, START + 2 * 10**6))
def test_the_final_bill_adds_less_than_a_quantum(lease: tuple[Accrual, int], until: int) -> None:
    accrual, count = lease
    extra = accrual.accrued(until, final=True) - accrual.accrued(until)
    assert 0 <= extra <= amount_up(accrual.rate, count, accrual.quantum - 1)


@given(leases(), st.integers(START, START + 2 * 10**6), counts)
def test_a_delivery_still_to_come_changes_nothing(lease: tuple[Accrual, int], until: int, count: int) -> None:
    accrual, _ = lease
    for final in (False, True):
        assert accrual.delivered(count, until + 1).accrued(until, final) == accrual.accrued(until, final)


def test_the_quantum_rounds_from_the_first_delivery_once() -> None:
    accrual = Accrual(3600, 60, end=1000, price=10**9).delivered(1, 100)
    assert accrual.accrued(161) == 61
    assert accrual.accrued(161, final=True) == 120
    assert accrual.accrued(220, final=True) == 120


def test_the_quantum_may_pass_the_end_but_not_the_price() -> None:
    accrual = Accrual(3600, 60, end=190, price=100).delivered(1, 100)
    assert accrual.accrued(500) == 90
    assert accrual.accrued(500, final=True) == 100


def test_nothing_accrues_before_or_at_the_first_second() -> None:
    accrual = Accrual(3600, 60, end=1000, price=900).delivered(1, 100)
    for final in (False, True):
        assert accrual.accrued(99, final) == accrual.accrued(100, final) == 0
    assert accrual.accrued(101) == 1


def test_being_paid_more_than_accrued_is_refused() -> None:
    accrual = Accrual(3600, 60, end=1000, price=900).delivered(1, 100)
    with pytest.raises(InvalidInput):
        accrual.due(150, paid=51)


@pytest.mark.parametrize("quantum", [0, -1])
def test_a_quantum_without_length_is_refused(quantum: int) -> None:
    with pytest.raises(InvalidInput):
        Accrual(1, quantum, 1, 1)


def test_a_delivery_of_nothing_is_refused() -> None:
    with pytest.raises(InvalidInput):
        Delivery(0, 5)


def test_a_delivery_in_the_last_second_is_rounded_up_with_the_others() -> None:
    accrual = Accrual(3600, 60, end=1000, price=10**9).delivered(1, 100).delivered(1, 161)
    assert accrual.accrued(161) == 61
    assert accrual.accrued(161, final=True) == 2 * 220 - 100 - 161


@given(leases(), st.integers(START - 100, START + 2 * 10**6), st.sampled_from([1, 60]))
def test_the_sums_of_the_contract_say_the_same_as_the_deliveries(
    lease: tuple[Accrual, int], until: int, quantum: int
) -> None:
    begun = [each for each in lease[0].deliveries if each.billed_from <= until]
    sums = RunningSums.of(begun)
    assert RunningSums.of(reversed(begun)) == sums
    if begun and until > sums.first_start:
        until += -(until - sums.first_start) % quantum
    assert sums.resource_seconds(until, quantum) == sum(d.count * (until - d.billed_from) for d in begun)


def test_no_deliveries_bill_nothing() -> None:
    assert RunningSums.of([]) == RunningSums()
    assert RunningSums().resource_seconds(10**9, 60) == 0


HOURLY = Grid(3600, 60)


def test_witnesses_are_paid_for_every_epoch_that_is_touched() -> None:
    assert witness_fee(7, 5, HOURLY, 3600, 7200, award_time=0) == 7 * 5
    assert witness_fee(7, 5, HOURLY, 3599, 7201, award_time=0) == 7 * 5 * 3
    assert witness_fee(7, 5, HOURLY, 3599, 7201, award_time=3600) == 7 * 5 * 2
    assert witness_fee(7, 5, HOURLY, 3600, 7200, award_time=7200) == 0
    assert witness_fee(0, 5, HOURLY, 3600, 7200, award_time=0) == 0


@given(st.integers(0, 10**12), st.data())
def test_both_sides_bear_half_of_the_fees_that_were_paid(fee: int, data: st.DataObject) -> None:
    paid = data.draw(st.integers(0, fee))
    to_buyer, to_provider = fee_back(fee, paid)
    assert to_buyer + to_provider == fee - paid
    assert buyers_half(fee) - to_buyer == buyers_half(paid)
    assert min(to_buyer, to_provider) >= 0


def test_more_fees_than_were_locked_cannot_be_paid() -> None:
    with pytest.raises(InvalidInput):
        fee_back(5, 6)
