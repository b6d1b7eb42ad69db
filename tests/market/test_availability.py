"""What of an offer is free: half-open at every edge, and the same as asking the calendar slot by slot."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from market.availability import (
    MAX_SLOTS,
    Conflict,
    Obstacle,
    Offered,
    Part,
    Shelf,
    choose,
    conflicts,
    free_parts,
)
from market.errors import InvalidInput
from market.windows import Calendar, SlotWindow

DAY = SlotWindow(100, 124)


def booked(*runs: tuple[int, int], turnaround: int = 0) -> Calendar:
    """A calendar with these leases."""
    calendar = Calendar()
    for start, end in runs:
        calendar = calendar.book(SlotWindow(start, end), turnaround)
    return calendar


def free(offered: Offered, now_slot: int = 0, asked: SlotWindow | None = None) -> list[tuple[int, int, int]]:
    """The free parts as plain numbers."""
    parts = free_parts(offered, now_slot, asked)
    return [(part.node, part.window.start_slot, part.window.end_slot) for part in parts]


def obstacles(offered: Offered, wanted: SlotWindow, now_slot: int = 0) -> list[tuple[Obstacle, int, int]]:
    """The conflicts of an offer with one node."""
    found = conflicts(offered, now_slot, wanted)
    return [(item.why, item.window.start_slot, item.window.end_slot) for item in found]


# ---- edges ----


def test_an_offer_without_bookings_is_free_to_its_last_slot() -> None:
    assert free(Offered(DAY, (Shelf(7),))) == [(7, 100, 124)]


def test_a_booking_takes_its_own_slots_and_not_one_more_on_either_side() -> None:
    offered = Offered(DAY, (Shelf(7, booked((105, 110))),))
    assert free(offered) == [(7, 100, 105), (7, 110, 124)]
    assert obstacles(offered, SlotWindow(100, 105)) == []
    assert obstacles(offered, SlotWindow(110, 124)) == []
    assert obstacles(offered, SlotWindow(104, 106)) == [(Obstacle.BOOKED, 105, 106)]
    assert obstacles(offered, SlotWindow(109, 111)) == [(Obstacle.BOOKED, 109, 110)]


def test_bookings_that_touch_leave_nothing_between_them() -> None:
    assert free(Offered(DAY, (Shelf(7, booked((100, 110), (110, 124))),))) == []
    one_between = Offered(DAY, (Shelf(7, booked((100, 110), (111, 124))),))
    assert free(one_between) == [(7, 110, 111)]
    assert obstacles(one_between, SlotWindow(110, 111)) == []


def test_bookings_that_touch_the_offer_from_outside_take_nothing_of_it() -> None:
    assert free(Offered(DAY, (Shelf(7, booked((90, 100), (124, 130))),))) == [(7, 100, 124)]


def test_a_new_lease_ends_a_turnaround_before_the_next_booking_even_one_beyond_the_offer() -> None:
    offered = Offered(DAY, (Shelf(7, booked((110, 112), (125, 126), turnaround=2), 2),))
    assert free(offered) == [(7, 100, 108), (7, 114, 123)]
    assert obstacles(offered, SlotWindow(100, 109)) == [(Obstacle.TURNAROUND, 110, 111)]
    assert obstacles(offered, SlotWindow(114, 124)) == [(Obstacle.TURNAROUND, 125, 126)]
    assert obstacles(offered, SlotWindow(114, 123)) == []


def test_the_current_slot_is_free_and_the_one_before_is_gone() -> None:
    offered = Offered(DAY, (Shelf(7),))
    assert free(offered, now_slot=110) == [(7, 110, 124)]
    assert free(offered, now_slot=123) == [(7, 123, 124)]
    assert free(offered, now_slot=124) == []


def test_a_window_is_past_with_the_slot_it_ends_at() -> None:
    offered = Offered(DAY, (Shelf(7),))
    assert obstacles(offered, SlotWindow(100, 110), now_slot=109) == []
    assert obstacles(offered, SlotWindow(100, 110), now_slot=110) == [(Obstacle.PAST, 100, 110)]


def test_a_window_may_fill_the_offer_and_not_leave_it() -> None:
    offered = Offered(DAY, (Shelf(7),))
    assert obstacles(offered, DAY) == []
    assert obstacles(offered, SlotWindow(99, 110)) == [(Obstacle.OUTSIDE, 99, 110)]
    assert obstacles(offered, SlotWindow(110, 125)) == [(Obstacle.OUTSIDE, 110, 125)]


def test_a_piece_may_be_as_short_and_as_long_as_the_offer_says() -> None:
    offered = Offered(DAY, (Shelf(7, booked((104, 108), (111, 112))),), min_slots=4, max_slots=6)
    assert free(offered) == [(7, 100, 104), (7, 112, 124)]
    assert obstacles(offered, SlotWindow(112, 116)) == obstacles(offered, SlotWindow(112, 118)) == []
    assert obstacles(offered, SlotWindow(112, 115)) == [(Obstacle.SHORT, 112, 115)]
    assert obstacles(offered, SlotWindow(112, 119)) == [(Obstacle.LONG, 112, 119)]


def test_a_closed_offer_and_a_withdrawn_node_have_nothing_free() -> None:
    closed = Offered(DAY, (Shelf(7),), closed=True)
    assert (free(closed), obstacles(closed, DAY)) == ([], [(Obstacle.CLOSED, 100, 124)])
    held = Offered(DAY, (Shelf(7, withdrawn=True), Shelf(8)))
    assert free(held) == [(8, 100, 124)]
    assert conflicts(held, 0, DAY) == [Conflict(7, DAY, Obstacle.WITHDRAWN)]


def test_what_is_asked_for_is_cut_out_of_what_is_free() -> None:
    offered = Offered(DAY, (Shelf(8), Shelf(7, booked((105, 110)))))
    asked = SlotWindow(104, 112)
    assert free(offered, asked=asked) == [(7, 104, 105), (7, 110, 112), (8, 104, 112)]
    assert free(offered, asked=SlotWindow(0, 100)) == free(offered, asked=SlotWindow(124, 130)) == []


@pytest.mark.parametrize(
    "change",
    [
        {"min_slots": 0},
        {"min_slots": 3, "max_slots": 2},
        {"shelves": (Shelf(1), Shelf(1))},
    ],
)
def test_an_offer_that_cannot_be_is_refused(change: dict[str, Any]) -> None:
    terms: dict[str, Any] = {"window": DAY, "shelves": (Shelf(1),)}
    with pytest.raises(InvalidInput):
        Offered(**terms | change)


def test_a_negative_turnaround_is_refused() -> None:
    with pytest.raises(InvalidInput):
        Shelf(1, turnaround=-1)


# ---- open ends ----


@pytest.mark.parametrize(
    ("now", "given", "expected"),
    [
        (90, {}, (100, 124)),
        (110, {}, (110, 124)),
        (90, {"default": 6}, (100, 106)),
        (120, {"default": 6}, (120, 124)),
        (90, {"maximum": 5}, (100, 105)),
        (90, {"default": 6, "maximum": 5}, (100, 105)),
        (90, {"length": 3, "default": 6}, (100, 103)),
        (90, {"start": 110, "length": 3}, (110, 113)),
        (90, {"start": 110}, (110, 124)),
        (90, {"end": 110}, (100, 110)),
        (90, {"start": 95, "end": 130}, (95, 130)),
        (109, {"start": 100, "end": 110}, (100, 110)),
        (90, {"length": 5, "maximum": 5}, (100, 105)),
    ],
)
def test_open_ends_are_closed(now: int, given: dict[str, int], expected: tuple[int, int]) -> None:
    assert choose(DAY, now, **given) == SlotWindow(*expected)


def test_without_bounds_an_open_end_is_as_far_as_the_contracts_go() -> None:
    assert choose(None, 50) == SlotWindow(50, 50 + MAX_SLOTS)
    assert choose(None, 50, default=24) == SlotWindow(50, 74)


@pytest.mark.parametrize(
    ("now", "given"),
    [
        (90, {"end": 110, "length": 3}),
        (90, {"end": 100}),
        (90, {"length": 0}),
        (90, {"start": 124}),
        (110, {"start": 100, "end": 110}),
        (124, {}),
        (90, {"length": 6, "maximum": 5}),
        (90, {"start": 100, "end": 106, "maximum": 5}),
    ],
)
def test_a_window_that_is_two_empty_past_or_too_long_is_refused(now: int, given: dict[str, int]) -> None:
    with pytest.raises(InvalidInput):
        choose(DAY, now, **given)


# ---- against the calendar ----

windows = st.builds(
    lambda start, length: SlotWindow(start, start + length), st.integers(0, 300), st.integers(1, 60)
)
histories = st.lists(st.tuples(windows, st.booleans()), max_size=8)


@st.composite
def shelves(draw: st.DrawFn) -> Shelf:
    """A node after some leases, some of which were given back."""
    turnaround, calendar = draw(st.integers(0, 5)), Calendar()
    for window, back in draw(histories):
        if back:
            calendar = calendar.free_range(window.start_slot, window.end_slot)
        elif calendar.is_free(window, turnaround):
            calendar = calendar.book(window, turnaround)
    return Shelf(7, calendar, turnaround, draw(st.sampled_from([False] * 9 + [True])))


@st.composite
def offers(draw: st.DrawFn) -> Offered:
    """An offer of one such node."""
    least = draw(st.integers(1, 6))
    most = draw(st.integers(least, 60))
    closed = draw(st.sampled_from([False] * 9 + [True]))
    return Offered(draw(windows), (draw(shelves()),), least, most, closed)


@given(offers(), windows, st.integers(0, 360))
def test_no_conflict_means_that_the_calendar_takes_the_lease(
    offered: Offered, wanted: SlotWindow, now: int
) -> None:
    [shelf] = offered.shelves
    taken = not offered.closed and not shelf.withdrawn and offered.window.contains(wanted)
    taken = taken and offered.min_slots <= wanted.slots <= offered.max_slots and now < wanted.end_slot
    assert (not conflicts(offered, now, wanted)) == (
        taken and shelf.calendar.is_free(wanted, shelf.turnaround)
    )


@given(offers(), windows, st.integers(0, 360))
def test_what_is_free_is_what_can_be_rented_from_now_on(
    offered: Offered, asked: SlotWindow, now: int
) -> None:
    parts = free_parts(offered, now, asked)
    assert all(asked.contains(part.window) and part.window.start_slot >= now for part in parts)
    for start in range(max(now, asked.start_slot), asked.end_slot):
        wanted = SlotWindow(start, start + offered.min_slots)
        if wanted.end_slot <= asked.end_slot:
            inside = any(part.window.contains(wanted) for part in parts)
            assert inside == (not conflicts(offered, now, wanted))


@given(offers(), st.integers(0, 360))
def test_parts_of_a_node_do_not_touch_and_renting_one_takes_it_out(offered: Offered, now: int) -> None:
    parts = free_parts(offered, now)
    assert all(
        one.window.end_slot < other.window.start_slot for one, other in zip(parts, parts[1:], strict=False)
    )
    [shelf] = offered.shelves
    for part in parts:
        after = shelf.calendar.book(part.window, shelf.turnaround)
        rest = Offered(
            offered.window, (Shelf(7, after, shelf.turnaround),), offered.min_slots, offered.max_slots
        )
        assert not any(left.window.overlaps(part.window) for left in free_parts(rest, now))


@given(shelves(), windows)
def test_what_is_booked_makes_the_same_calendar_again(shelf: Shelf, window: SlotWindow) -> None:
    runs = shelf.calendar.booked(window)
    again = booked(*((run.start_slot, run.end_slot) for run in runs))
    taken = [
        slot
        for slot in range(window.start_slot, window.end_slot)
        if not again.is_free(SlotWindow(slot, slot + 1))
    ]
    assert taken == [
        slot
        for slot in range(window.start_slot, window.end_slot)
        if not shelf.calendar.is_free(SlotWindow(slot, slot + 1))
    ]
    assert all(one.end_slot < other.start_slot for one, other in zip(runs, runs[1:], strict=False))


def test_parts_come_by_node_and_time() -> None:
    offered = Offered(DAY, (Shelf(9), Shelf(7, booked((105, 110))), Shelf(8)))
    parts = free_parts(offered, 0)
    assert parts == sorted(parts)
    assert parts[0] == Part(7, SlotWindow(100, 105))
