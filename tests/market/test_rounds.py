"""Rounds, spans and finality, against a plain count of seconds."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from market.errors import InvalidInput
from market.rounds import LEAST_ROUNDS, TERM, Grid, Span, agreed, places_of, rounds_of
from market.windows import Window

grids = st.integers(1, 256).flatmap(
    lambda rounds: st.builds(Grid, st.integers(rounds, 4 * rounds), st.just(rounds))
)


@st.composite
def cases(draw: st.DrawFn) -> tuple[Grid, Window]:
    """A grid and a window of a few epochs in it."""
    grid = draw(grids)
    start = draw(st.integers(0, 3 * grid.epoch))
    return grid, Window(start, start + draw(st.integers(1, 6 * grid.epoch)))


def seconds_of(grid: Grid, epoch: int, index: int) -> range:
    return range(grid.round_start(epoch, index), grid.round_end(epoch, index))


@given(grids, st.integers(0, 3))
def test_the_rounds_of_an_epoch_follow_each_other_and_fill_it(grid: Grid, epoch: int) -> None:
    seconds = [second for index in range(grid.rounds) for second in seconds_of(grid, epoch, index)]
    assert seconds == list(range(grid.start(epoch), grid.end(epoch)))


@given(grids, st.data())
def test_round_of_finds_the_round_a_second_lies_in(grid: Grid, data: st.DataObject) -> None:
    epoch, index = data.draw(st.integers(0, 3)), data.draw(st.integers(0, grid.rounds - 1))
    for second in seconds_of(grid, epoch, index):
        assert grid.round_of(second) == (epoch, index)


@given(cases())
def test_whole_rounds_lie_inside_from_first_to_last_second(case: tuple[Grid, Window]) -> None:
    grid, window = case
    for epoch in grid.epochs_of(window).epochs:
        inside = [i for i in range(grid.rounds) if set(seconds_of(grid, epoch, i)) <= _seconds(window)]
        assert rounds_of(grid.whole(epoch, window)) == inside


@given(cases())
def test_touched_rounds_share_a_second(case: tuple[Grid, Window]) -> None:
    grid, window = case
    for epoch in grid.epochs_of(window).epochs:
        shared = [i for i in range(grid.rounds) if set(seconds_of(grid, epoch, i)) & _seconds(window)]
        assert rounds_of(grid.touched(epoch, [(window.start, window.end), (7, 7), (9, 3)])) == shared


@given(grids, st.integers(0, 2000))
def test_before_holds_the_rounds_that_begin_earlier(grid: Grid, second: int) -> None:
    for epoch in range(3):
        earlier = [i for i in range(grid.rounds) if grid.round_start(epoch, i) < second]
        assert rounds_of(grid.before(epoch, second)) == earlier


def _seconds(window: Window) -> set[int]:
    return set(range(window.start, window.end))


@given(cases())
def test_every_epoch_of_a_lease_has_one_span_and_spans_do_not_overlap(case: tuple[Grid, Window]) -> None:
    grid, window = case
    all_ = grid.epochs_of(window)
    spans = list(grid.spans(window))
    assert [epoch for span in spans for epoch in span.epochs] == list(all_.epochs)
    for span in spans:
        assert all(grid.span_of(epoch, window) == span for epoch in span.epochs)


@given(cases())
def test_only_a_short_first_or_last_epoch_joins_its_neighbour(case: tuple[Grid, Window]) -> None:
    grid, window = case
    all_ = grid.epochs_of(window)
    for span in grid.spans(window):
        short = {e for e in (all_.first, all_.last) if grid.whole(e, window).bit_count() < LEAST_ROUNDS}
        assert span.first == span.last or short & set(span.epochs)
        assert len(span.epochs) <= 3
        if span.first == span.last and all_.first < all_.last:
            assert span.first not in short


def test_a_lease_of_three_epochs_with_two_short_ends_is_one_span() -> None:
    grid = Grid(3600, 60)
    window = Window(3600 - 300, 7200 + 300)
    assert [grid.span_of(epoch, window) for epoch in range(3)] == [Span(0, 2)] * 3
    assert grid.whole_in(Span(0, 2), window) == 70


def test_a_lease_shorter_than_an_epoch_is_one_span() -> None:
    grid = Grid(3600, 60)
    assert list(grid.spans(Window(100, 200))) == [Span(0, 0)]


def test_an_epoch_outside_the_lease_has_no_span() -> None:
    with pytest.raises(InvalidInput, match="does not bill"):
        Grid(3600, 60).span_of(5, Window(0, 3600))


@settings(max_examples=30)
@given(cases())
def test_what_is_final_is_every_second_of_the_final_spans(case: tuple[Grid, Window]) -> None:
    grid, window = case
    spans = list(grid.spans(window))
    for epoch in range(spans[-1].last + 6):
        for now in (grid.start(epoch), grid.end(epoch) - 1):
            last = [span for span in spans if grid.is_final(span, now)]
            until = min(grid.end(last[-1].last), window.end) if last else window.start
            assert grid.final_until(window, now) == until


def test_ticks_leaves_and_claims_follow_each_other() -> None:
    grid = Grid(10, 10)
    assert grid.tick_window(5) == Window(60, 70)
    assert grid.publish_window(5) == Window(70, 80)
    assert grid.claim_window(Span(5, 5)) == Window(80, 88)
    assert grid.appeal_window(Span(5, 5)) == Window(80, 90)
    assert not grid.is_final(Span(5, 5), 89)
    assert grid.is_final(Span(5, 5), 90)


@given(st.lists(st.integers(0, 2**12 - 1), max_size=6), st.integers(1, 5))
def test_a_round_is_agreed_when_a_quorum_has_it(bitmaps: list[int], quorum: int) -> None:
    counted = [i for i in range(12) if sum(bits >> i & 1 for bits in bitmaps) >= quorum]
    assert rounds_of(agreed(bitmaps, quorum)) == counted
    assert places_of(counted) == agreed(bitmaps, quorum)


def test_terms_count_from_the_epoch_of_signing() -> None:
    grid = Grid(10, 10)
    assert grid.term(0, 55) == Span(5, 5 + TERM - 1)
    assert grid.term_of(5 + TERM - 1, 55) == 0
    assert grid.term_of(5 + TERM, 55) == 1
    with pytest.raises(InvalidInput):
        grid.term_of(4, 55)


@pytest.mark.parametrize(("epoch", "rounds"), [(10, 0), (10, 11), (3600, 257)])
def test_a_grid_that_cannot_be_is_refused(epoch: int, rounds: int) -> None:
    with pytest.raises(InvalidInput):
        Grid(epoch, rounds)
