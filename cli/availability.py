"""`ocx offer availability`: what of an offer is free, and what is in the way, from the chain or from a file.

The file is what the command itself prints with `--json`, or something shorter made by hand; docs/flow.md
lists its fields. What is free is worked out by `market.availability`, never read from the file.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cli.app import App, Command, pass_app
from cli.files import read_json
from cli.options import for_option
from cli.render import show
from market.availability import MAX_SLOTS, Offered, Shelf, choose, conflicts, free_parts
from market.errors import InvalidInput
from market.windows import MAX_TIME, Calendar, SlotWindow, Window, inward, outward, parse_end, parse_time

if TYPE_CHECKING:
    from chain.exchange import Exchange

__all__ = ["availability", "shelf_of"]

_MAX_TURNAROUND = 256
_MAX_NODES = 1024


@dataclass(frozen=True)
class _Known:
    """An offer at a second: `now` in unix seconds, `slot` in seconds; no `number` where a file has none."""

    number: int | None
    slot: int
    now: int
    offered: Offered

    @property
    def now_slot(self) -> int:
        """The current slot."""
        return self.now // self.slot


@click.command(cls=Command)
@click.argument("number", metavar="[OFFER]", type=int, required=False)
@click.option(
    "--node", "nodes", type=click.IntRange(1), multiple=True, help="Only these nodes; give it for each."
)
@click.option("--from", "start", help="now, +90m, or an ISO time with its zone.  [default: now]")
@click.option(
    "--to", "end", help="An ISO time with its zone, or +6h from --from.  [default: the offer's end]"
)
@for_option
@click.option(
    "--file",
    "file",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Answer from this file, which --json printed, and by its clock; asks no network.",
)
@pass_app
def availability(
    app: App,
    number: int | None,
    nodes: tuple[int, ...],
    start: str | None,
    end: str | None,
    length: int | None,
    file: Path | None,
) -> None:
    """What of an offer can be rented in a window, and what keeps the nodes from being rented for all of it.

    Windows are half-open and round outward to whole slots; the current slot can be rented. Turnarounds, after
    other leases and after one's own, are taken account of.
    """
    if (number is None) == (file is None):
        raise InvalidInput("there is no single offer", hint="give either its number or --file")
    known = _read_file(file) if file is not None else _read_chain(app.exchange(), number or 0)
    asked = _asked(known, start, end, length)
    looked = replace(known.offered, shelves=_chosen(known.offered.shelves, nodes))
    parts = [
        {"node": part.node} | _times(part.window, known.slot) | {"slots": part.window.slots}
        for part in free_parts(looked, known.now_slot, asked)
    ]
    if app.format == "value":
        show(app, parts, value="node start end")
        return
    obstacles = conflicts(looked, known.now_slot, asked)
    in_words = app.format == "table"
    whys = [
        {"node": item.node}
        | _times(item.window, known.slot)
        | {"why": item.why.value if in_words else item.why.name.lower()}
        for item in obstacles
    ]
    terms = {"offer": known.number} if in_words else _printed(known)
    show(app, terms | {"asked": _times(asked, known.slot), "free_parts": parts, "conflicts": whys})


def _asked(known: _Known, start: str | None, end: str | None, length: int | None) -> SlotWindow:
    """The window in question, its open ends closed; all of an offer that is over, if nothing was asked."""
    if end is not None and length is not None:
        raise InvalidInput("the window has two ends", hint="give either --to or --for")
    window, slot = known.offered.window, known.slot
    if start is None and end is None and length is None and window.end_slot <= known.now_slot:
        return window
    first = max(window.start_slot * slot, known.now) if start is None else parse_time(start, now=known.now)
    last = first + length if length is not None else None
    if end is not None:
        last = parse_end(end, first, now=known.now)
    end_slot = None if last is None else outward(Window(first, last), slot).end_slot
    return choose(window, known.now_slot, start=first // slot, end=end_slot, maximum=known.offered.max_slots)


def _chosen(shelves: tuple[Shelf, ...], nodes: Sequence[int]) -> tuple[Shelf, ...]:
    known = [shelf.node for shelf in shelves]
    for node in nodes:
        if node not in known:
            raise InvalidInput(
                f"node {node} is not of this offer", hint=f"its nodes are {', '.join(map(str, known))}"
            )
    return tuple(shelf for shelf in shelves if not nodes or shelf.node in nodes)


def _times(window: SlotWindow, slot: int) -> dict[str, int]:
    return {"start": window.start_slot * slot, "end": window.end_slot * slot}


# ---- the chain ----


def _read_chain(exchange: Exchange, number: int) -> _Known:
    offer = exchange.book.offer(number)
    shelves = tuple(shelf_of(exchange, node, offer.window) for node in exchange.book.resources_of(number))
    offered = Offered(offer.window, shelves, offer.min_slots, MAX_SLOTS, offer.closed)
    return _Known(number, exchange.slot, exchange.now(), offered)


def shelf_of(exchange: Exchange, node: int, window: SlotWindow) -> Shelf:
    """What is booked of a node in a window and the turnaround after it."""
    kept = exchange.inventory.resource(node)
    last = (window.end_slot + kept.turnaround) >> 8
    words = {
        word: exchange.inventory.calendar(node, word) for word in range(window.start_slot >> 8, last + 1)
    }
    withdrawn = kept.retired or bool(kept.holds)
    return Shelf(node, Calendar.from_words(words), kept.turnaround, withdrawn)


# ---- the file ----


def _printed(known: _Known) -> dict[str, Any]:
    """The offer as `_read_file` takes it."""
    offered, slot = known.offered, known.slot
    return {
        "offer": known.number,
        "now": known.now,
        "slot": slot,
        **_times(offered.window, slot),
        "min_slots": offered.min_slots,
        "max_slots": offered.max_slots,
        "closed": offered.closed,
        "nodes": [
            {
                "node": shelf.node,
                "turnaround_slots": shelf.turnaround,
                "withdrawn": shelf.withdrawn,
                "booked": [_times(run, slot) for run in shelf.calendar.booked(_reach(offered.window, shelf))],
            }
            for shelf in offered.shelves
        ],
    }


def _reach(window: SlotWindow, shelf: Shelf) -> SlotWindow:
    """The slots that decide about leases in the window: a turnaround may end after it."""
    return SlotWindow(window.start_slot, window.end_slot + shelf.turnaround)


def _read_file(path: Path) -> _Known:
    raw = _object(read_json(path, "offer"), "the offer")
    slot = _number(raw, "slot", "the offer", least=1, most=MAX_TIME)
    window = inward(_window(raw, "the offer"), slot)
    if window.slots > MAX_SLOTS:
        raise InvalidInput(
            f"the offer is {window.slots} slots long", hint=f"at most {MAX_SLOTS} are possible"
        )
    listed = raw.get("nodes")
    if not isinstance(listed, list) or not 0 < len(listed) <= _MAX_NODES:
        raise InvalidInput("the offer's 'nodes' is no list of nodes", hint=f"give 1 to {_MAX_NODES}")
    offered = Offered(
        window,
        tuple(_shelf(item, window, slot) for item in listed),
        _number(raw, "min_slots", "the offer", least=1, most=MAX_SLOTS, default=1),
        _number(raw, "max_slots", "the offer", least=1, most=MAX_SLOTS, default=MAX_SLOTS),
        _flag(raw, "closed", "the offer"),
    )
    number = None if raw.get("offer") is None else _number(raw, "offer", "the offer", least=1, most=1 << 32)
    now = _number(raw, "now", "the offer", least=0, most=MAX_TIME, default=int(time.time()))
    return _Known(number, slot, now, offered)


def _shelf(item: object, window: SlotWindow, slot: int) -> Shelf:
    raw = _object(item, "a node of the offer")
    node = _number(raw, "node", "a node of the offer", least=1, most=1 << 32)
    what = f"node {node}"
    turnaround = _number(raw, "turnaround_slots", what, least=0, most=_MAX_TURNAROUND, default=0)
    shelf = Shelf(node, Calendar(), turnaround, _flag(raw, "withdrawn", what))
    booked = raw.get("booked", [])
    if not isinstance(booked, list):
        raise InvalidInput(f"{what}: 'booked' is no list", hint='write it like [{"start": 0, "end": 3600}]')
    runs = [outward(_window(_object(run, what), what), slot) for run in booked]
    return replace(shelf, calendar=_calendar(runs, _reach(window, shelf)))


def _calendar(runs: Sequence[SlotWindow], reach: SlotWindow) -> Calendar:
    """These runs, which may overlap, as far as they matter."""
    calendar = Calendar()
    for run in runs:
        start, end = max(run.start_slot, reach.start_slot), min(run.end_slot, reach.end_slot)
        if start < end:
            calendar = calendar.free_range(start, end).book(SlotWindow(start, end))
    return calendar


def _object(raw: object, what: str) -> Mapping[str, Any]:
    if not isinstance(raw, dict):
        raise InvalidInput(f"{what} is no object", hint="make the file with: ocx offer availability --json")
    return raw


def _window(raw: Mapping[str, Any], what: str) -> Window:
    start, end = (_number(raw, name, what, least=0, most=MAX_TIME) for name in ("start", "end"))
    return Window(start, end)


def _number(
    raw: Mapping[str, Any], name: str, what: str, *, least: int, most: int, default: int | None = None
) -> int:
    value = raw.get(name, default)
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        raise InvalidInput(
            f"{what}: '{name}' is no number or out of range",
            hint=f"give a whole number from {least} to {most}",
        )
    return value


def _flag(raw: Mapping[str, Any], name: str, what: str) -> bool:
    value = raw.get(name, False)
    if not isinstance(value, bool):
        raise InvalidInput(f"{what}: '{name}' is neither true nor false", hint="give true or false")
    return value
