"""Verdicts: availability, tiers, grace, power-off, streaks and breach."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from market.errors import InvalidInput
from market.rounds import TERM, Grid, Span, places_of
from market.verdicts import Judgement, Ledger, Record, Sla, Tier, judge, penalty_down
from market.windows import Window

GRID = Grid(3600, 60)
LEASE = Window(100 * 3600, 200 * 3600)
SLA = Sla((Tier(990_000, 100_000, 3), Tier(900_000, 500_000, 2), Tier(500_000, 1_000_000)))
GRACE = 600
USED_UP = Record(grace_until=149 * 3600)


def verdict(
    down: int | dict[int, int],
    *,
    epoch: int = 150,
    record: Record = USED_UP,
    suspended: tuple[tuple[int, int], ...] = (),
    window: Window = LEASE,
    span: Span | None = None,
) -> Judgement:
    """One epoch judged; by default its grace was used up in the epoch before."""
    bits = down if isinstance(down, dict) else {epoch: down}
    span = span or Span(epoch, epoch)
    return judge(GRID, window, span, bits, SLA, record, restore_time=GRACE, suspended=suspended)


def rounds(*indices: int) -> int:
    return places_of(indices)


def test_without_down_rounds_all_is_well() -> None:
    found = verdict(0)
    assert (found.judged, found.counted, found.ppm, found.tier) == (60, 0, 0, None)
    assert found.availability_ppm == 1_000_000


@pytest.mark.parametrize(
    ("count", "ppm"), [(0, 0), (1, 100_000), (6, 100_000), (7, 500_000), (30, 500_000), (31, 1_000_000)]
)
def test_the_worst_tier_that_holds_decides(count: int, ppm: int) -> None:
    """6 of 60 is 90 % exactly, which is not below 90 %."""
    assert verdict((1 << count) - 1).ppm == ppm


def test_the_first_outage_is_forgiven_until_the_machine_had_time_to_be_restored() -> None:
    found = verdict(rounds(*range(5, 20)), record=Record())
    assert found.record.grace_until == GRID.round_start(150, 5) + GRACE
    assert found.counted == 5


def test_a_round_that_begins_before_the_end_of_grace_is_forgiven_whole() -> None:
    record = Record(grace_until=GRID.round_start(150, 5) + 1)
    assert verdict(rounds(4, 5, 6), record=record).counted == 1


def test_grace_goes_on_into_the_next_epoch() -> None:
    first = verdict(rounds(55, 56, 57, 58, 59), record=Record())
    then = verdict(rounds(*range(10)), epoch=151, record=first.record)
    assert (first.counted, then.counted) == (0, 5)


@pytest.mark.parametrize(("later", "counted"), [(TERM - 1, 1), (TERM, 0)])
def test_grace_is_given_once_in_24_epochs(later: int, counted: int) -> None:
    first = verdict(rounds(0), record=Record())
    assert verdict(rounds(30), epoch=150 + later, record=first.record).counted == counted


def test_the_time_without_power_at_the_buyers_wish_does_not_count() -> None:
    start = GRID.start(150)
    found = verdict(rounds(10, 11, 12, 13), suspended=((start + 601, start + 720),))
    assert (found.judged, found.counted, found.down) == (58, 2, (rounds(12, 13),))


def test_fewer_than_ten_rounds_determine_nothing() -> None:
    start = GRID.start(150)
    found = verdict(GRID.all_rounds, suspended=((start, start + 51 * 60),))
    assert (found.judged, found.determined, found.ppm) == (9, False, 0)
    assert found.record == Record(grace_until=149 * 3600)
    assert not Ledger().takes(found)


def test_only_whole_rounds_of_the_lease_are_judged() -> None:
    window = Window(150 * 3600 + 30, 200 * 3600)
    assert verdict(GRID.all_rounds, window=window).judged == 59


def test_a_short_last_epoch_is_judged_with_the_one_before() -> None:
    window = Window(100 * 3600, 150 * 3600 + 300)
    span = GRID.span_of(150, window)
    assert span == Span(149, 150)
    record = Record(grace_until=140 * 3600)
    found = verdict({149: rounds(59), 150: rounds(0, 1, 20)}, window=window, span=span, record=record)
    assert (found.judged, found.counted, found.down) == (65, 3, (rounds(59), rounds(0, 1)))


def test_a_breach_needs_consecutive_spans_below_a_tier() -> None:
    record, breached = Record(grace_until=140 * 3600), []
    for epoch in (150, 151, 153, 154, 155):
        record = verdict(rounds(1), epoch=epoch, record=record).record
        breached.append(record.breached)
    assert breached == [0, 0, 0, 0, 155]


def test_a_worse_tier_counts_for_the_milder_ones_too() -> None:
    record = Record(grace_until=140 * 3600)
    record = verdict(GRID.all_rounds, record=record).record
    assert [record.streak(tier) for tier in range(4)] == [1, 1, 1, 0]
    record = verdict(rounds(7), epoch=151, record=record).record
    assert [record.streak(tier) for tier in range(4)] == [2, 0, 0, 0]


def test_a_claim_on_the_same_span_starts_again_and_must_be_worse() -> None:
    ledger = Ledger(record=Record(grace_until=140 * 3600))
    mild = verdict(rounds(1), record=ledger.base(Span(150, 150)))
    ledger = ledger.after(mild)
    same = verdict(rounds(1, 2), record=ledger.base(Span(150, 150)))
    assert not ledger.takes(same)
    worse = verdict(GRID.all_rounds, record=ledger.base(Span(150, 150)))
    assert ledger.takes(worse)
    assert ledger.after(worse).record.streak(0) == 1


def test_a_span_before_the_one_judged_last_cannot_be_claimed_any_more() -> None:
    ledger = Ledger().after(verdict(GRID.all_rounds, epoch=151, record=USED_UP))
    assert not ledger.takes(verdict(GRID.all_rounds, epoch=150, record=ledger.record))


def test_a_claim_without_penalty_is_taken_only_if_it_begins_grace() -> None:
    assert not Ledger().takes(verdict(0, record=Record()))
    assert Ledger().takes(verdict(rounds(4), record=Record()))
    assert not Ledger(USED_UP).takes(verdict(0))


def test_the_same_penalty_with_an_earlier_grace_is_a_claim_of_its_own() -> None:
    ledger = Ledger().after(verdict(rounds(8), record=Record()))
    earlier = verdict(rounds(4, 8), record=ledger.base(Span(150, 150)))
    assert ledger.takes(earlier)
    assert not ledger.after(earlier).takes(verdict(rounds(8), record=ledger.base(Span(150, 150))))


def test_a_span_that_nobody_claimed_on_but_that_was_appealed_ends_streaks() -> None:
    ledger = Ledger(record=USED_UP).after(verdict(rounds(1)))
    ledger = ledger.turned(Span(151, 151))
    assert ledger.record.streaks == 0
    assert ledger.base(Span(152, 152)).streak(0) == 0
    assert ledger.base(Span(151, 151)).streak(0) == 1


def test_a_later_breach_takes_the_place_of_one_under_appeal_only() -> None:
    record = Record(last=149, grace_until=140 * 3600, streaks=5, breached=149)
    assert verdict(rounds(1), record=record).record.breached == 149
    down = {150: rounds(1)}
    args = {"restore_time": GRACE, "breach_appealed": True}
    assert judge(GRID, LEASE, Span(150, 150), down, SLA, record, **args).record.breached == 150
    assert Ledger(record).without(149, SLA).record.breached == 0
    assert Ledger(replace(record, breached=147)).without(148, SLA).record.breached == 147


@pytest.mark.parametrize(
    ("upheld", "appealed", "breached"), [(False, True, 149), (False, False, 150), (True, True, 0)]
)
def test_a_breach_whose_appeal_is_dismissed_is_back(upheld: bool, appealed: bool, breached: int) -> None:
    record = Record(last=149, grace_until=140 * 3600, streaks=5, breached=149)
    down = {150: rounds(1)}
    later = judge(GRID, LEASE, Span(150, 150), down, SLA, record, restore_time=GRACE, breach_appealed=True)
    ledger = Ledger(record).after(later)
    assert ledger.record.breached == 150
    closed = ledger.appeal_closed(149, SLA, upheld=upheld, breach_appealed=appealed)
    assert closed.record.breached == breached


def _in_a_row(spans: int) -> Ledger:
    """Below 90 % in so many spans from 150 on."""
    ledger = Ledger(USED_UP)
    for epoch in range(150, 150 + spans):
        span = Span(epoch, epoch)
        ledger = ledger.after(verdict(rounds(*range(10)), epoch=epoch, record=ledger.base(span)))
    return ledger


def test_a_span_whose_appeal_is_upheld_counts_in_no_streak() -> None:
    ledger = _in_a_row(2)
    assert ledger.record.breached == 151
    ledger = ledger.without(150, SLA)
    assert (ledger.record.streaks, ledger.record.breached) == (0x0101, 0)
    assert ledger.base(Span(151, 151)).streaks == 0
    assert ledger.base(Span(152, 152)).streaks == 0x0101


def test_the_streaks_left_after_an_upheld_appeal_may_be_a_breach() -> None:
    ledger = _in_a_row(3)
    assert ledger.record.breached == 151
    assert ledger.without(150, SLA).record.breached == 152
    assert ledger.without(151, SLA).record.breached == 0


def test_a_breach_that_needed_an_upheld_span_does_not_come_back_by_its_own_appeal() -> None:
    ledger = replace(_in_a_row(3), overtaken=frozenset({151}))
    left = ledger.without(150, SLA)
    assert left.appeal_closed(151, SLA, upheld=False, breach_appealed=True).record.breached == 152


@given(st.integers(0, 2**60 - 1), st.integers(0, 2**60 - 1))
def test_more_down_rounds_never_cost_less(some: int, more: int) -> None:
    """With its grace used up; in it, an earlier first round may forgive others."""
    assert verdict(some | more).ppm >= verdict(some).ppm


def test_every_judgement_says_why() -> None:
    found = verdict(rounds(*range(20)), record=Record())
    assert "10 of them are forgiven" in " ".join(found.why)
    assert (
        found.why[-1] == "50 of 60 rounds up, 83.3333 %, below 90 %: 50 % of the price go back to the buyer"
    )


def test_a_penalty_is_a_share_of_the_spans_price_rounded_down() -> None:
    assert penalty_down(999, 500_000) == 499


@pytest.mark.parametrize(
    "tiers",
    [
        (),
        (Tier(990_000, 100_000),) * 2,
        (Tier(900_000, 100_000), Tier(990_000, 500_000)),
        (Tier(990_000, 500_000), Tier(900_000, 100_000)),
        (Tier(1_000_001, 100_000),),
        (Tier(990_000, 0),),
        (Tier(990_000, 100_000, 256),),
        tuple(Tier(900_000 - i, 100_000 + i) for i in range(5)),
    ],
)
def test_an_sla_the_contract_would_refuse_is_refused(tiers: tuple[Tier, ...]) -> None:
    with pytest.raises(InvalidInput):
        Sla(tiers)
