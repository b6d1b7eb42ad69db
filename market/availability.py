"""What of an offer can be rented, and what stands in the way: the offer's terms on its nodes' calendars.

Everything is counted in slots and half-open: a lease `[3, 5)` and a booking `[5, 7)` do not meet. A calendar
holds leases with their turnarounds; a new lease needs its own turnaround free besides, which may reach beyond
the offer's window (T3). The current slot may be booked; what ends where it begins, or before, is past (T1).

No clock, no chain: `now_slot` is passed in. `conflicts` names nothing if, and only if, the contracts would
book the window; who may buy and who can pay is not asked here.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from market.errors import InvalidInput
from market.windows import Calendar, SlotWindow

__all__ = [
    "MAX_SLOTS",
    "Conflict",
    "Obstacle",
    "Offered",
    "Part",
    "Shelf",
    "choose",
    "conflicts",
    "free_parts",
]

MAX_SLOTS = 8784
"""Longest window the contracts take (Inventory.maxWindow): a leap year of hours."""


@dataclass(frozen=True, slots=True)
class Shelf:
    """One node of an offer: what is booked of it (turnarounds included), and its turnaround in slots.

    `withdrawn`: retired, or held until its wipe is shown; then nothing of it can be rented.
    """

    node: int
    calendar: Calendar = Calendar()
    turnaround: int = 0
    withdrawn: bool = False

    def __post_init__(self) -> None:
        """Refuse a turnaround that cannot be."""
        if self.turnaround < 0:
            raise InvalidInput("the turnaround is negative", hint="give 0 or more slots", node=self.node)


@dataclass(frozen=True, slots=True)
class Offered:
    """An offer's terms as far as time goes: its window, how long one lease may be, and its nodes."""

    window: SlotWindow
    shelves: tuple[Shelf, ...]
    min_slots: int = 1
    max_slots: int = MAX_SLOTS
    closed: bool = False

    def __post_init__(self) -> None:
        """Refuse lengths that contradict each other, and a node that is named twice."""
        if not 0 < self.min_slots <= self.max_slots:
            raise InvalidInput(
                f"pieces of {self.min_slots} to {self.max_slots} slots are not possible",
                hint="give a shortest of at least 1 and a longest not below it",
            )
        if len({shelf.node for shelf in self.shelves}) != len(self.shelves):
            raise InvalidInput("a node stands twice in the offer", hint="name each once")


@dataclass(frozen=True, slots=True, order=True)
class Part:
    """A free run of a node: any lease inside it that is long enough can be rented."""

    node: int
    window: SlotWindow


class Obstacle(StrEnum):
    """Why a window cannot be rented."""

    CLOSED = "the offer is closed"
    PAST = "the window is past"
    OUTSIDE = "outside the offer's window"
    SHORT = "shorter than the offer's pieces"
    LONG = "longer than one lease may be"
    WITHDRAWN = "the node is retired or held"
    BOOKED = "booked"
    TURNAROUND = "booked when this lease's turnaround would need it"


@dataclass(frozen=True, slots=True)
class Conflict:
    """One obstacle for one node, and the slots it concerns."""

    node: int
    window: SlotWindow
    why: Obstacle


def free_parts(offered: Offered, now_slot: int, asked: SlotWindow | None = None) -> list[Part]:
    """What can be rented inside `asked` (default: all of the offer), by node and time, from `now_slot` on.

    The longest runs, none shorter than the offer's shortest piece. A run may be longer than one lease may be.
    """
    asked = asked or offered.window
    start = max(offered.window.start_slot, asked.start_slot, now_slot)
    end = min(offered.window.end_slot, asked.end_slot)
    if offered.closed or start >= end:
        return []
    rest = SlotWindow(start, end)
    return [
        Part(shelf.node, run)
        for shelf in sorted(offered.shelves, key=lambda shelf: shelf.node)
        if not shelf.withdrawn
        for run in shelf.calendar.availability(rest, min_slots=offered.min_slots, turnaround=shelf.turnaround)
    ]


def conflicts(offered: Offered, now_slot: int, wanted: SlotWindow) -> list[Conflict]:
    """Everything that keeps each node from being rented for all of `wanted`, by node; others are free.

    A window that began before `now_slot` and is not past may be rented, as the contracts have it.
    """
    common = [why for why, stands in _terms(offered, now_slot, wanted) if stands]
    found = []
    for shelf in sorted(offered.shelves, key=lambda shelf: shelf.node):
        found += [Conflict(shelf.node, wanted, why) for why in common]
        if shelf.withdrawn:
            found.append(Conflict(shelf.node, wanted, Obstacle.WITHDRAWN))
        found += _bookings(shelf, wanted)
    return found


def _terms(offered: Offered, now_slot: int, wanted: SlotWindow) -> list[tuple[Obstacle, bool]]:
    return [
        (Obstacle.CLOSED, offered.closed),
        (Obstacle.PAST, wanted.end_slot <= now_slot),
        (Obstacle.OUTSIDE, not offered.window.contains(wanted)),
        (Obstacle.SHORT, wanted.slots < offered.min_slots),
        (Obstacle.LONG, wanted.slots > offered.max_slots),
    ]


def _bookings(shelf: Shelf, wanted: SlotWindow) -> list[Conflict]:
    whole = SlotWindow(wanted.start_slot, wanted.end_slot + shelf.turnaround)
    return [
        Conflict(shelf.node, run, Obstacle.BOOKED if run.overlaps(wanted) else Obstacle.TURNAROUND)
        for run in shelf.calendar.booked(whole)
    ]


def choose(
    within: SlotWindow | None,
    now_slot: int,
    *,
    start: int | None = None,
    end: int | None = None,
    length: int | None = None,
    default: int | None = None,
    maximum: int = MAX_SLOTS,
) -> SlotWindow:
    """The window somebody means who leaves ends open; all in slots.

    No start: the current slot, or where `within` begins if that is later. No end: `length` slots on; without
    a length `default` slots on, or as far as `within` goes, in either case not beyond `within` and `maximum`.
    InvalidInput if both `end` and `length` are given, or what was asked for is empty, past, or longer than
    `maximum`. Whether it is free is for `conflicts`.
    """
    if end is not None and length is not None:
        raise InvalidInput("the window has two ends", hint="give an end or a length")
    if start is None:
        start = now_slot if within is None else max(within.start_slot, now_slot)
    if length is not None:
        end = start + length
    if end is None:
        end = start + min(maximum, maximum if default is None else default)
        end = end if within is None else min(end, within.end_slot)
    window = SlotWindow(start, end)
    if window.end_slot <= now_slot:
        raise InvalidInput("the window is over", hint="give an end in the future", end_slot=end)
    if window.slots > maximum:
        raise InvalidInput(
            f"the window is {window.slots} slots long, and at most {maximum} are possible",
            hint="ask for less",
            slots=window.slots,
        )
    return window
