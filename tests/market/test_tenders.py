"""Tenders: best bids win, the last is cut, Vickrey pays what was not awarded, forfeits are conserved."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from market.errors import InvalidInput
from market.tenders import Bid, Win, award, clearing_rate, fund, keep_best, rank, select, split_forfeits

CEILING = 100


def bid(rate: int, count: int = 1, commitment: int = 0, bidder: int | None = None, group: int = 0) -> Bid:
    return Bid(commitment if bidder is None else bidder, rate, count, commitment, group)


THREE = [bid(10, commitment=0), bid(20, commitment=1), bid(30, commitment=2)]
bid_lists = st.lists(st.tuples(st.integers(0, CEILING), st.integers(1, 5)), max_size=40).map(
    lambda pairs: [bid(rate, count, place) for place, (rate, count) in enumerate(pairs)]
)


def test_equal_rates_go_to_the_earlier_commitment() -> None:
    assert rank([bid(5, commitment=9), bid(5, commitment=2), bid(4, commitment=7)]) == [
        bid(4, commitment=7),
        bid(5, commitment=2),
        bid(5, commitment=9),
    ]


def test_a_bid_given_twice_is_refused() -> None:
    with pytest.raises(InvalidInput):
        rank([bid(5), bid(6)])


@given(bid_lists)
def test_only_the_best_thirty_two_are_kept(bids: list[Bid]) -> None:
    kept = keep_best(bids)
    assert kept == rank(bids)[:32]
    assert len(kept) == min(32, len(bids))


def test_the_last_win_is_cut_to_what_is_missing() -> None:
    bids = [bid(1, 2, 0), bid(2, 5, 1), bid(3, 5, 2)]
    assert select(bids, 4, all_or_nothing=True) == (Win(bids[0], 2), Win(bids[1], 2))


def test_all_or_nothing_awards_a_full_count_only() -> None:
    bids = [bid(1, 2, 0), bid(2, 2, 1)]
    assert select(bids, 5, all_or_nothing=True) == ()
    assert sum(win.count for win in select(bids, 5, all_or_nothing=False)) == 4
    assert len(select(bids, 4, all_or_nothing=True)) == 2


def test_a_bid_that_cannot_be_opened_is_skipped() -> None:
    assert select(THREE, 1, True, unavailable={0}) == (Win(THREE[1], 1),)
    assert select(THREE, 3, True, unavailable={0}) == ()


@given(bid_lists, st.integers(1, 30), st.booleans(), st.sets(st.integers(0, 39)))
def test_wins_never_exceed_the_count_and_no_better_bid_is_passed_over(
    bids: list[Bid], count: int, all_or_nothing: bool, unavailable: set[int]
) -> None:
    wins = select(bids, count, all_or_nothing, unavailable)
    filled = sum(win.count for win in wins)
    possible = sum(each.count for each in bids if each.commitment not in unavailable)
    assert filled == (min(count, possible) if possible >= count or not all_or_nothing else 0)
    usable = [each for each in rank(bids) if each.commitment not in unavailable]
    assert [win.bid for win in wins] == usable[: len(wins)]
    assert all(win.count == win.bid.count for win in wins[:-1])


def test_vickrey_pays_the_lowest_rate_not_awarded() -> None:
    assert clearing_rate(THREE, select(THREE, 1, True), CEILING) == 20
    assert clearing_rate(THREE, select(THREE, 2, True), CEILING) == 30


def test_vickrey_pays_the_ceiling_when_nobody_is_left() -> None:
    assert clearing_rate(THREE, select(THREE, 3, True), CEILING) == CEILING
    assert clearing_rate(THREE, select(THREE, 1, True, {0, 1}), CEILING, THREE[:2]) == CEILING


def test_vickrey_leaves_out_only_the_bids_that_the_award_had_to_skip() -> None:
    reached = award(THREE, 1, all_or_nothing=True, vickrey=True, ceiling=CEILING, unavailable={0})
    not_reached = award(THREE, 1, all_or_nothing=True, vickrey=True, ceiling=CEILING, unavailable={1})
    assert (reached.rates, reached.skipped) == ((30,), (THREE[0],))
    assert (not_reached.rates, not_reached.skipped) == ((20,), ())


def test_a_bid_that_was_cut_does_not_set_the_rate() -> None:
    bids = [bid(10, 1, 0), bid(20, 5, 1), bid(30, 1, 2)]
    assert clearing_rate(bids, select(bids, 2, True), CEILING) == 30


@pytest.mark.parametrize(
    "bids",
    [
        [],
        THREE[:2],
        [bid(10, commitment=0, group=7), bid(20, commitment=1, group=7), bid(30, commitment=2)],
        [bid(10, commitment=0, bidder=1), bid(20, commitment=1, bidder=1), bid(30, commitment=2, bidder=2)],
    ],
)
def test_fewer_than_three_unaffiliated_bidders_mean_first_price(bids: list[Bid]) -> None:
    assert clearing_rate(bids, select(bids, 1, True), CEILING) is None


def test_an_award_pays_first_price_unless_vickrey_is_asked_for() -> None:
    first = award(THREE, 2, all_or_nothing=True, vickrey=False, ceiling=CEILING)
    second = award(THREE, 2, all_or_nothing=True, vickrey=True, ceiling=CEILING)
    assert first.rates == (10, 20)
    assert second.rates == (30, 30)
    assert first.wins == second.wins
    assert award(THREE[:2], 1, all_or_nothing=True, vickrey=True, ceiling=CEILING).rates == (10,)


@given(bid_lists, st.integers(1, 30), st.booleans(), st.booleans(), st.sets(st.integers(0, 39)))
def test_nobody_is_paid_less_than_its_bid_or_more_than_the_ceiling(
    bids: list[Bid], count: int, all_or_nothing: bool, vickrey: bool, unavailable: set[int]
) -> None:
    outcome = award(
        bids, count, all_or_nothing=all_or_nothing, vickrey=vickrey, ceiling=CEILING, unavailable=unavailable
    )
    assert all(win.bid.rate <= rate <= CEILING for win, rate in zip(outcome.wins, outcome.rates, strict=True))


@given(bid_lists.filter(lambda bids: len(bids) >= 3), st.integers(0, CEILING))
def test_a_lone_vickrey_winner_is_paid_the_same_whatever_it_bid_to_win(
    bids: list[Bid], other_rate: int
) -> None:
    winner = rank(bids)[0]
    changed = [
        bid(min(other_rate, winner.rate), winner.count, winner.commitment) if b == winner else b for b in bids
    ]
    terms = {"all_or_nothing": False, "vickrey": True, "ceiling": CEILING}
    assert award(bids, 1, **terms).rates == award(changed, 1, **terms).rates  # type: ignore[arg-type]


def test_a_bid_above_the_ceiling_is_refused() -> None:
    with pytest.raises(InvalidInput):
        award([bid(CEILING + 1)], 1, all_or_nothing=True, vickrey=False, ceiling=CEILING)


@given(st.integers(0, 10**15), st.integers(0, 32))
def test_forfeits_are_conserved_and_the_remainder_is_small(total: int, sharers: int) -> None:
    split = split_forfeits(total, sharers)
    assert split.share * sharers + split.remainder == total
    assert split.share >= 0
    assert 0 <= split.remainder < max(sharers, 1) or not sharers


def test_without_a_sharer_all_goes_to_the_councils_fund() -> None:
    split = split_forfeits(999, 0)
    assert (split.share, split.remainder) == (0, 999)


@pytest.mark.parametrize(("rate", "count", "commitment"), [(-1, 1, 0), (1, 0, 0), (1, 1, -1)])
def test_a_bid_for_nothing_is_refused(rate: int, count: int, commitment: int) -> None:
    with pytest.raises(InvalidInput):
        Bid(1, rate, count, commitment)


def test_a_tender_for_nothing_is_refused() -> None:
    with pytest.raises(InvalidInput):
        select(THREE, 0, True)


def test_a_tender_locks_the_ceiling_of_each_machine_and_the_fees_of_as_many_leases() -> None:
    assert fund(3_601, 3, start=0, end=1, now=0) == 3 * 2
    assert fund(3_601, 3, start=0, end=1, now=0, fee=5) == 3 * (2 + 3)
