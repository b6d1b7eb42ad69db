"""Windows, slots and calendars: every edge is half-open."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from market.errors import InvalidInput
from market.windows import (
    MAX_TIME,
    Calendar,
    SlotWindow,
    Window,
    inward,
    is_past,
    outward,
    parse_duration,
    parse_end,
    parse_time,
    parse_window,
)

NOW = 1_800_000_000

windows = st.builds(
    lambda start, length: Window(start, start + length), st.integers(0, 10**6), st.integers(1, 10**5)
)
slot_windows = st.builds(
    lambda start, length: SlotWindow(start, start + length), st.integers(0, 900), st.integers(1, 300)
)
slot_lengths = st.sampled_from([1, 7, 10, 60, 3600])


@pytest.mark.parametrize(("start", "end"), [(5, 5), (6, 5), (-1, 5), (0, MAX_TIME + 1)])
def test_a_window_that_cannot_be_is_refused(start: int, end: int) -> None:
    with pytest.raises(InvalidInput):
        Window(start, end)


def test_windows_that_only_touch_do_not_overlap() -> None:
    assert not Window(0, 10).overlaps(Window(10, 20))
    assert not Window(10, 20).overlaps(Window(0, 10))
    assert Window(0, 11).overlaps(Window(10, 20))


def test_a_window_holds_its_first_second_and_not_its_end() -> None:
    window = Window(10, 20)
    assert window.contains(10)
    assert window.contains(19)
    assert not window.contains(20)
    assert not window.contains(9)
    assert window.contains(window)


@given(windows, windows)
def test_overlap_means_a_common_second(one: Window, other: Window) -> None:
    common = max(one.start, other.start) < min(one.end, other.end)
    assert one.overlaps(other) == other.overlaps(one) == common


@given(windows, slot_lengths)
def test_outward_is_the_smallest_run_that_holds_the_window(window: Window, slot: int) -> None:
    slots = outward(window, slot)
    assert slots.window(slot).contains(window)
    assert slots.start_slot * slot > window.start - slot
    assert slots.end_slot * slot < window.end + slot


@given(windows, slot_lengths)
def test_inward_is_the_largest_run_inside_or_refused(window: Window, slot: int) -> None:
    inside = [
        n
        for n in range(window.start // slot, window.end // slot + 1)
        if window.contains(Window(n * slot, n * slot + slot))
    ]
    if inside:
        assert inward(window, slot) == SlotWindow(inside[0], inside[-1] + 1)
    else:
        with pytest.raises(InvalidInput):
            inward(window, slot)


def test_a_window_on_slot_borders_is_rounded_nowhere() -> None:
    window = Window(7200, 14400)
    assert outward(window, 3600) == inward(window, 3600) == SlotWindow(2, 4)


@pytest.mark.parametrize("rounding", [outward, inward])
def test_a_slot_without_length_is_refused(rounding: Callable[[Window, int], SlotWindow]) -> None:
    with pytest.raises(InvalidInput):
        rounding(Window(0, 10), 0)


@pytest.mark.parametrize(("start", "end"), [(3, 3), (4, 3), (-1, 3)])
def test_a_run_of_no_slots_is_refused(start: int, end: int) -> None:
    with pytest.raises(InvalidInput):
        SlotWindow(start, end)


def test_slot_windows_that_only_touch_do_not_overlap() -> None:
    assert not SlotWindow(0, 2).overlaps(SlotWindow(2, 4))
    assert SlotWindow(0, 3).overlaps(SlotWindow(2, 4))
    assert SlotWindow(0, 3).contains(SlotWindow(2, 3))
    assert not SlotWindow(0, 3).contains(SlotWindow(2, 4))


def test_a_window_is_past_at_its_end_and_not_one_second_before() -> None:
    assert is_past(100, 100)
    assert not is_past(100, 99)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("6h", 21600), ("1d12h", 129600), ("90m", 5400), ("30s", 30), ("2w", 1209600), (" 1H ", 3600)],
)
def test_durations_are_read(text: str, seconds: int) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "0h", "h", "6", "-6h", "1h2d", "6 hours", "1.5h", "٣h"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput):
        parse_duration(text)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("now", NOW),
        ("+6h", NOW + 21600),
        ("1800000001", 1_800_000_001),
        ("2026-11-21T10:00Z", 1_795_255_200),
        ("2026-11-21T11:00+01:00", 1_795_255_200),
        ("1970-01-01T00:00:00Z", 0),
    ],
)
def test_times_are_read(text: str, seconds: int) -> None:
    assert parse_time(text, now=NOW) == seconds


@pytest.mark.parametrize(
    "text",
    ["", "soon", "2026-11-21T10:00", "2026-11-21", "2026-11-21T10:00:00.5Z", "1969-12-31T23:59:59Z", "12"],
)
def test_what_is_no_exact_time_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput):
        parse_time(text, now=NOW)


@pytest.mark.parametrize("end", ["6h", "+6h", "2027-01-16T14:00Z"])
def test_an_end_is_a_length_or_a_time(end: str) -> None:
    assert parse_window("2027-01-16T08:00Z", end, now=NOW) == Window(1_800_086_400, 1_800_108_000)


def test_an_end_may_be_before_now_where_the_past_is_asked_for() -> None:
    assert parse_end("6h", NOW - 86_400, now=NOW) == NOW - 64_800
    assert parse_end("now", NOW - 86_400, now=NOW) == NOW


@pytest.mark.parametrize(
    ("start", "end"),
    [
        ("1700000000", "1800000000"),
        ("1700000000", "1h"),
        ("+2h", "now"),
        ("now", "now"),
        ("now", ""),
        ("", "6h"),
    ],
)
def test_a_window_that_is_past_turned_round_or_empty_is_refused(start: str, end: str) -> None:
    with pytest.raises(InvalidInput):
        parse_window(start, end, now=NOW)


def test_the_window_that_runs_now_is_not_past() -> None:
    assert parse_window("1700000000", "1800000001", now=NOW) == Window(1_700_000_000, NOW + 1)


def test_a_lease_may_start_in_the_slot_after_the_turnaround_and_not_before() -> None:
    calendar = Calendar().book(SlotWindow(10, 12), turnaround=2)
    assert not calendar.is_free(SlotWindow(13, 14))
    assert calendar.is_free(SlotWindow(14, 15))


def test_a_lease_needs_its_own_turnaround_before_the_next_one() -> None:
    calendar = Calendar().book(SlotWindow(10, 12), turnaround=2)
    assert calendar.is_free(SlotWindow(6, 8), turnaround=2)
    assert not calendar.is_free(SlotWindow(6, 9), turnaround=2)


def test_booking_a_taken_slot_is_refused_and_changes_nothing() -> None:
    calendar = Calendar().book(SlotWindow(10, 12))
    with pytest.raises(InvalidInput):
        calendar.book(SlotWindow(11, 13))
    assert calendar == Calendar().book(SlotWindow(10, 12))


def test_a_negative_turnaround_is_refused() -> None:
    with pytest.raises(InvalidInput):
        Calendar().is_free(SlotWindow(0, 1), turnaround=-1)


def test_wipe_evidence_frees_the_turnaround_early() -> None:
    calendar = Calendar().book(SlotWindow(10, 12), turnaround=2).free_range(12, 14)
    assert calendar == Calendar().book(SlotWindow(10, 12))


histories = st.lists(st.tuples(st.booleans(), slot_windows, st.integers(0, 4)), max_size=12)


def replay(history: list[tuple[bool, SlotWindow, int]]) -> tuple[Calendar, set[int]]:
    """The calendar and a plain set of slots after the same acts; a booking that does not fit is skipped."""
    calendar, booked = Calendar(), set[int]()
    for book, slots, turnaround in history:
        run = set(range(slots.start_slot, slots.end_slot + turnaround))
        if not book:
            calendar, booked = (
                calendar.free_range(slots.start_slot, slots.end_slot),
                booked - set(range(slots.start_slot, slots.end_slot)),
            )
        elif calendar.is_free(slots, turnaround):
            assert not run & booked
            calendar, booked = calendar.book(slots, turnaround), booked | run
        else:
            assert run & booked
    return calendar, booked


@given(histories, slot_windows)
def test_the_calendar_agrees_with_a_set_of_slots(
    history: list[tuple[bool, SlotWindow, int]], probe: SlotWindow
) -> None:
    calendar, booked = replay(history)
    assert calendar.is_free(probe) == (not booked & set(range(probe.start_slot, probe.end_slot)))


@given(histories)
def test_the_calendar_survives_the_words_of_the_contract(history: list[tuple[bool, SlotWindow, int]]) -> None:
    calendar, booked = replay(history)
    words = calendar.words()
    assert Calendar.from_words(words) == calendar
    assert {256 * i + bit for i, word in words.items() for bit in range(256) if word >> bit & 1} == booked


@given(histories, slot_windows, st.integers(1, 20), st.integers(0, 4))
def test_availability_is_every_lease_that_fits(
    history: list[tuple[bool, SlotWindow, int]], window: SlotWindow, min_slots: int, turnaround: int
) -> None:
    calendar, _ = replay(history)
    found = calendar.availability(window, min_slots=min_slots, turnaround=turnaround)
    assert all(window.contains(run) and run.slots >= min_slots for run in found)
    assert all(calendar.is_free(run, turnaround) for run in found)
    for start in range(window.start_slot, window.end_slot - min_slots + 1):
        lease = SlotWindow(start, start + min_slots)
        assert calendar.is_free(lease, turnaround) == any(run.contains(lease) for run in found)


def test_free_slots_of_real_time_cost_nothing_to_hold() -> None:
    slot = NOW // 10
    calendar = Calendar().book(SlotWindow(slot, slot + 3))
    assert calendar.bits.bit_length() == 3
    assert calendar.availability(SlotWindow(slot - 2, slot + 5)) == [
        SlotWindow(slot - 2, slot),
        SlotWindow(slot + 3, slot + 5),
    ]


def test_freeing_an_empty_range_changes_nothing() -> None:
    calendar = Calendar().book(SlotWindow(10, 12))
    assert calendar.free_range(11, 11) == calendar
    assert calendar.free_range(0, 10) == calendar.free_range(12, 99) == calendar


def test_words_out_of_range_are_refused() -> None:
    with pytest.raises(InvalidInput):
        Calendar.from_words({0: 1 << 256})
    with pytest.raises(InvalidInput):
        Calendar(-1, 1)
