"""Windows of time, slots, and the calendar of one resource (rules T1 to T3).

A window is half-open and in unix seconds UTC; on chain it is counted in slots of a fixed length, slot n
being `[n * slot, (n + 1) * slot)`. `Calendar` is the pure twin of the contract's bitmap, so that agents
can plan without asking the chain and tests can compare the two.

This module has no clock: whoever needs "now" passes it in.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from market.errors import InvalidInput

__all__ = [
    "Calendar",
    "SlotWindow",
    "Window",
    "inward",
    "is_past",
    "outward",
    "parse_duration",
    "parse_end",
    "parse_time",
    "parse_window",
]

MAX_TIME = 253_402_300_800
"""The first second of the year 10000 UTC: no window ends later."""

WORD_BITS = 256
"""Slots in one storage word of the contract's calendar."""

_SECONDS = {"w": 604_800, "d": 86_400, "h": 3_600, "m": 60, "s": 1}
_DURATION = re.compile("".join(rf"(?:(\d{{1,9}}){unit})?" for unit in _SECONDS), re.ASCII)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True, order=True)
class Window:
    """The half-open time `[start, end)` in unix seconds UTC."""

    start: int
    end: int

    def __post_init__(self) -> None:
        """Refuse a window that is empty, turned round, or before 1970."""
        if self.start < 0 or self.end > MAX_TIME:
            raise InvalidInput(
                "the window leaves the years 1970 to 9999",
                hint="give other times",
                start=self.start,
                end=self.end,
            )
        if self.start >= self.end:
            raise InvalidInput(
                f"the window's start {self.start} is not before its end {self.end}",
                hint="give an end after the start",
                start=self.start,
                end=self.end,
            )

    @property
    def seconds(self) -> int:
        """Length in seconds, at least 1."""
        return self.end - self.start

    def overlaps(self, other: Window) -> bool:
        """Whether the two share at least one second; windows that only touch do not."""
        return self.start < other.end and other.start < self.end

    def contains(self, other: Window | int) -> bool:
        """Whether all of `other` (a window, or one second) lies inside; `end` itself does not."""
        if isinstance(other, Window):
            return self.start <= other.start and other.end <= self.end
        return self.start <= other < self.end


@dataclass(frozen=True, slots=True, order=True)
class SlotWindow:
    """The half-open run of slots `[start_slot, end_slot)`, as the chain stores a window."""

    start_slot: int
    end_slot: int

    def __post_init__(self) -> None:
        """Refuse a run that is empty, turned round, or negative."""
        if self.start_slot < 0 or self.start_slot >= self.end_slot:
            raise InvalidInput(
                f"slots {self.start_slot} to {self.end_slot} are not a window",
                hint="the first slot must be at least 0 and before the end slot",
                start_slot=self.start_slot,
                end_slot=self.end_slot,
            )

    @property
    def slots(self) -> int:
        """Number of slots, at least 1."""
        return self.end_slot - self.start_slot

    def window(self, slot: int) -> Window:
        """The same run in seconds, `slot` being the length of a slot in seconds."""
        _need_slot(slot)
        return Window(self.start_slot * slot, self.end_slot * slot)

    def overlaps(self, other: SlotWindow) -> bool:
        """Whether the two share at least one slot."""
        return self.start_slot < other.end_slot and other.start_slot < self.end_slot

    def contains(self, other: SlotWindow) -> bool:
        """Whether every slot of `other` is one of these."""
        return self.start_slot <= other.start_slot and other.end_slot <= self.end_slot


def _need_slot(slot: int) -> None:
    if slot <= 0:
        raise InvalidInput(f"a slot of {slot} seconds is not possible", hint="give at least 1", slot=slot)


def outward(window: Window, slot: int) -> SlotWindow:
    """The fewest slots of `slot` seconds that hold all of the window: how requests round (T1)."""
    _need_slot(slot)
    return SlotWindow(window.start // slot, -(-window.end // slot))


def inward(window: Window, slot: int) -> SlotWindow:
    """The most slots of `slot` seconds that lie inside the window: how offers round (T1).

    Raises InvalidInput if not one whole slot lies inside.
    """
    _need_slot(slot)
    start_slot, end_slot = -(-window.start // slot), window.end // slot
    if start_slot >= end_slot:
        raise InvalidInput(
            f"the window of {window.seconds} s holds no whole slot of {slot} s",
            hint="offer a longer window, or one that starts and ends on slot borders",
            start=window.start,
            end=window.end,
            slot=slot,
        )
    return SlotWindow(start_slot, end_slot)


def is_past(end: int, now: int) -> bool:
    """Whether a window that ends at `end` is over: `end <= now` (T1)."""
    return end <= now


def parse_duration(text: str) -> int:
    """Seconds of a text such as `6h`, `1d12h`, `90m` or `30s` (w, d, h, m, s in that order), at least 1."""
    match = _DURATION.fullmatch(text.strip().lower())
    parts = [int(part or 0) for part in match.groups()] if match else []
    seconds = sum(part * unit for part, unit in zip(parts, _SECONDS.values(), strict=False))
    if seconds <= 0:
        raise InvalidInput(
            f"'{text}' is not a duration", hint="write it like 6h, 1d12h, 90m or 30s", text=text
        )
    return seconds


def parse_time(text: str, *, now: int) -> int:
    """Unix seconds of `now`, `+6h` (from `now`), unix seconds in digits, or an ISO time with its zone.

    A time without a zone is refused: it would mean another hour on another machine.
    """
    text = text.strip()
    if text.lower() == "now":
        return now
    if text.startswith("+"):
        return now + parse_duration(text[1:])
    if text.isascii() and text.isdigit() and len(text) >= 9:
        return int(text)
    return _parse_iso(text)


def _parse_iso(text: str) -> int:
    hint = "write it like 2026-11-21T10:00Z, or relative like +6h"
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise InvalidInput(f"'{text}' is not a time", hint=hint, text=text) from error
    if moment.tzinfo is None:
        raise InvalidInput(f"the time '{text}' has no zone", hint="add Z for UTC, or an offset", text=text)
    since = moment - _EPOCH
    if since % timedelta(seconds=1):
        raise InvalidInput(
            f"the time '{text}' has a fraction of a second", hint="give whole seconds", text=text
        )
    if since < timedelta(0):
        raise InvalidInput(f"the time '{text}' is before 1970", hint=hint, text=text)
    return since // timedelta(seconds=1)


def parse_window(start: str, end: str, *, now: int) -> Window:
    """A window from two texts: `start` as in `parse_time`, `end` the same or a duration from the start.

    Both `6h` and `+6h` as `end` mean six hours after the start. A window that is already over is refused.
    """
    first = parse_time(start, now=now)
    window = Window(first, parse_end(end, first, now=now))
    if is_past(window.end, now):
        raise InvalidInput(
            f"the window ended {now - window.end} s ago",
            hint="give an end in the future",
            end=window.end,
            now=now,
        )
    return window


def parse_end(text: str, start: int, *, now: int) -> int:
    """Unix seconds of a window's end: a time as in `parse_time`, or a duration from the window's start."""
    if _is_duration(text):
        return start + parse_duration(text.strip().lstrip("+"))
    return parse_time(text, now=now)


def _is_duration(text: str) -> bool:
    text = text.strip().lower()
    return text.startswith("+") or (bool(text) and _DURATION.fullmatch(text) is not None)


@dataclass(frozen=True, slots=True)
class Calendar:
    """Which slots of one resource are booked: one bit per slot, 1 is booked.

    A calendar never changes; acts on it return a new one. `bits` counts from slot `origin`, in one normal
    form (lowest bit set, or both zero), so equal calendars compare equal however they came to be.
    """

    origin: int = 0
    bits: int = 0

    def __post_init__(self) -> None:
        """Refuse negative values and bring the pair into its normal form."""
        if self.origin < 0 or self.bits < 0:
            raise InvalidInput("a calendar has no negative slots", origin=self.origin)
        shift = (self.bits & -self.bits).bit_length() - 1 if self.bits else 0
        object.__setattr__(self, "origin", self.origin + shift if self.bits else 0)
        object.__setattr__(self, "bits", self.bits >> shift)

    @classmethod
    def from_words(cls, words: Mapping[int, int]) -> Calendar:
        """The calendar the contract stores: word `i` holds the slots from `256 * i`, lowest bit first."""
        used = {index: word for index, word in words.items() if word}
        if not used:
            return cls()
        low = min(used)
        if low < 0 or any(not 0 < word < 1 << WORD_BITS for word in used.values()):
            raise InvalidInput("a calendar word is out of range", hint="give unsigned 256-bit words")
        bits = sum(word << (WORD_BITS * (index - low)) for index, word in used.items())
        return cls(low * WORD_BITS, bits)

    def words(self) -> dict[int, int]:
        """The words the contract would store, without those that are zero."""
        low, shift = divmod(self.origin, WORD_BITS)
        bits, mask = self.bits << shift, (1 << WORD_BITS) - 1
        count = -(-bits.bit_length() // WORD_BITS)
        pieces = {low + i: (bits >> (WORD_BITS * i)) & mask for i in range(count)}
        return {index: word for index, word in pieces.items() if word}

    def is_free(self, slots: SlotWindow, turnaround: int = 0) -> bool:
        """Whether a lease of these slots fits, the `turnaround` slots after it included (T3)."""
        return self._cut(slots.start_slot, slots.slots + _need_turnaround(turnaround)) == 0

    def book(self, slots: SlotWindow, turnaround: int = 0) -> Calendar:
        """The calendar with the lease and its turnaround booked; InvalidInput if a slot is taken."""
        if not self.is_free(slots, turnaround):
            raise InvalidInput(
                f"slots {slots.start_slot} to {slots.end_slot + turnaround} are not all free",
                hint="choose other slots; the turnaround after the lease must be free too",
                start_slot=slots.start_slot,
                end_slot=slots.end_slot,
                turnaround=turnaround,
            )
        base = min(self.origin, slots.start_slot) if self.bits else slots.start_slot
        run = _ones(slots.slots + turnaround) << (slots.start_slot - base)
        return Calendar(base, run | (self.bits << (self.origin - base) if self.bits else 0))

    def free_range(self, from_slot: int, to_slot: int) -> Calendar:
        """The calendar with `[from_slot, to_slot)` free; an empty range changes nothing."""
        low, high = max(from_slot, self.origin) - self.origin, to_slot - self.origin
        if high <= low:
            return self
        return Calendar(self.origin, self.bits & ~(_ones(high - low) << low))

    def availability(
        self, window: SlotWindow, *, min_slots: int = 1, turnaround: int = 0
    ) -> list[SlotWindow]:
        """The largest leases that fit inside the window, in order, none shorter than `min_slots`.

        Each `run` returned satisfies `is_free(run, turnaround)`.
        """
        span = window.slots + _need_turnaround(turnaround)
        text = format(self._cut(window.start_slot, span), f"0{span}b")[::-1]
        found = []
        for run in re.finditer("0+", text):
            start, end = run.start(), run.end() - turnaround
            if end - start >= max(min_slots, 1):
                found.append(SlotWindow(window.start_slot + start, window.start_slot + end))
        return found

    def booked(self, window: SlotWindow) -> list[SlotWindow]:
        """What is booked of the window, in order: the longest runs, cut at the window's ends."""
        text = format(self._cut(window.start_slot, window.slots), "b")[::-1]
        first = window.start_slot
        return [SlotWindow(first + run.start(), first + run.end()) for run in re.finditer("1+", text)]

    def _cut(self, from_slot: int, count: int) -> int:
        """The `count` bits from `from_slot` on."""
        offset = from_slot - self.origin
        bits = self.bits >> offset if offset >= 0 else self._cut_low(-offset, count)
        return bits & _ones(count)

    def _cut_low(self, gap: int, count: int) -> int:
        """The bits seen from `gap` slots below the origin; nothing is shifted that would be cut anyway."""
        return 0 if gap >= count else self.bits << gap


def _ones(count: int) -> int:
    return (1 << count) - 1


def _need_turnaround(turnaround: int) -> int:
    if turnaround < 0:
        raise InvalidInput("the turnaround is negative", hint="give 0 or more slots", turnaround=turnaround)
    return turnaround
