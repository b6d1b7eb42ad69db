"""A seller's floor: stays for the rate, falls to cost for the total, never goes below cost."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from market.errors import InvalidInput
from market.pricing import Aim, PricePolicy, bid_rate

START = 1_000_000
policies = st.builds(
    lambda aim, cost, above, lead: PricePolicy(aim, cost + above, cost, lead),
    st.sampled_from(Aim),
    st.integers(0, 10**9),
    st.integers(0, 10**9),
    st.integers(0, 10**5),
)
moments = st.integers(START - 2 * 10**5, START + 1000)


@given(policies, moments, moments)
def test_the_floor_stays_between_cost_and_floor_and_never_rises(
    policy: PricePolicy, one: int, other: int
) -> None:
    early, late = policy.floor_at(START, min(one, other)), policy.floor_at(START, max(one, other))
    assert policy.cost <= late <= early <= policy.floor


@given(policies, moments)
def test_the_rate_seller_never_moves(policy: PricePolicy, now: int) -> None:
    if policy.aim is Aim.RATE:
        assert policy.floor_at(START, now) == policy.floor


def test_the_total_seller_falls_in_a_straight_line() -> None:
    policy = PricePolicy(Aim.TOTAL, floor=1000, cost=400, lead=100)
    assert policy.floor_at(START, START - 101) == policy.floor_at(START, START - 100) == 1000
    assert policy.floor_at(START, START - 50) == 700
    assert policy.floor_at(START, START) == policy.floor_at(START, START + 5) == 400


def test_the_line_rounds_up() -> None:
    policy = PricePolicy(Aim.TOTAL, floor=101, cost=100, lead=100)
    assert policy.floor_at(START, START - 1) == 101
    assert policy.floor_at(START, START) == 100


def test_without_a_lead_the_floor_falls_at_the_start() -> None:
    policy = PricePolicy(Aim.TOTAL, floor=1000, cost=400)
    assert policy.floor_at(START, START - 1) == 1000
    assert policy.floor_at(START, START) == 400


def test_no_bid_is_made_above_the_ceiling() -> None:
    policy = PricePolicy(Aim.TOTAL, floor=1000, cost=400, lead=100)
    assert bid_rate(policy, START, START - 50, ceiling=700) == 700
    assert bid_rate(policy, START, START - 50, ceiling=699) is None


@pytest.mark.parametrize(("floor", "cost", "lead"), [(1, 2, 0), (1, -1, 0), (1, 1, -1)])
def test_prices_that_contradict_each_other_are_refused(floor: int, cost: int, lead: int) -> None:
    with pytest.raises(InvalidInput):
        PricePolicy(Aim.TOTAL, floor, cost, lead)
