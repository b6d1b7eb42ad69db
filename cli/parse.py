"""Reads what people type: credits, rates, windows, ids. A wrong value is InvalidInput, told in one line.

These are edges only: what a window or a spec means is `market`'s business.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Any

import click

from market.errors import InvalidInput
from market.windows import SlotWindow, Window, inward, outward, parse_duration, parse_time, parse_window

if TYPE_CHECKING:
    from chain.exchange import Exchange

__all__ = [
    "ADDRESS",
    "CREDITS",
    "DURATION",
    "RATE",
    "increasing",
    "microcredits",
    "offered_window",
    "org_id",
    "past_time",
    "percent",
    "short_name",
    "wanted_window",
]

_MICRO = 1_000_000
_LARGEST = (1 << 96) - 1


def microcredits(text: str) -> int:
    """`1.25` as 1250000; at most six decimals, never negative."""
    cleaned = text.strip().replace("_", "")
    try:
        value = Decimal(cleaned) * _MICRO
    except InvalidOperation:
        raise InvalidInput(f"'{text}' is not an amount", hint="write credits like 12 or 1.25") from None
    if not value.is_finite() or value < 0 or value > _LARGEST:
        raise InvalidInput(f"the amount {text} is out of range", hint="give 0 or more credits")
    if value != value.to_integral_value():
        raise InvalidInput(f"the amount {text} has more than six decimals", hint="round it")
    return int(value)


def rate(text: str) -> int:
    """Microcredits per resource and hour of `0.5`, `0.5/h` or `12/d` (rounded down to a microcredit)."""
    amount, slash, unit = text.strip().partition("/")
    if not slash or unit.strip() in ("h", "hour"):
        return microcredits(amount)
    if unit.strip() in ("d", "day"):
        return microcredits(amount) // 24
    raise InvalidInput(f"'{text}' is not a rate", hint="write it like 0.5 or 0.5/h")


def percent(text: str, *, least: int = 1) -> int:
    """Parts per million of a percentage such as `99.95` or `99.95%`; at least `least` of them."""
    try:
        value = Decimal(text.strip().removesuffix("%").strip()) * 10_000
    except InvalidOperation:
        raise InvalidInput(f"'{text}' is not a percentage", hint="write it like 99.95") from None
    if not value.is_finite() or not least <= value <= _MICRO or value != value.to_integral_value():
        raise InvalidInput(
            f"{text} is out of range", hint="give a percentage up to 100, with at most four decimals"
        )
    return int(value)


def past_time(text: str, now: int) -> int:
    """A time like everywhere else, or so long ago: `-2h`."""
    text = text.strip()
    return now - parse_duration(text[1:]) if text.startswith("-") else parse_time(text, now=now)


class _Typed(click.ParamType[Any]):
    """A click type around one of our readers, whose errors stay ours (exit code 1)."""

    def __init__(self, name: str, read: Any) -> None:
        self.name = name
        self._read = read

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The value as our own type."""
        return self._read(value) if isinstance(value, str) else value


def _address(text: str) -> str:
    from chain.abi import checksum

    return checksum(text)


CREDITS = _Typed("credits", microcredits)
RATE = _Typed("rate", rate)
DURATION = _Typed("duration", parse_duration)
ADDRESS = _Typed("address", _address)


def _window(start: str, end: str | None, length: int | None, now: int) -> Window:
    if (end is None) == (length is None):
        raise InvalidInput("the window has no single end", hint="give either --end or --for")
    if end is not None:
        return parse_window(start, end, now=now)
    return parse_window(start, f"+{length}s", now=now) if length else Window(now, now)


def wanted_window(exchange: Exchange, start: str, end: str | None, length: int | None) -> SlotWindow:
    """A buyer's window in slots, rounded outward (rule T1), by the chain's clock."""
    return outward(_window(start, end, length, exchange.now()), exchange.slot)


def offered_window(exchange: Exchange, start: str, end: str | None, length: int | None) -> SlotWindow:
    """A seller's window in slots, rounded inward (rule T1), by the chain's clock.

    `now` means the current slot, which may still be booked.
    """
    now = exchange.now()
    window = _window(start, end, length, now)
    if parse_time(start, now=now) == now:
        window = Window(now - now % exchange.slot, window.end)
    return inward(window, exchange.slot)


def increasing(ids: Iterable[int], what: str) -> list[int]:
    """Ids in the order the contracts want them; InvalidInput if there are none or one stands twice."""
    sorted_ids = sorted(ids)
    if not sorted_ids:
        raise InvalidInput(f"no {what} was given", hint=f"name at least one {what}")
    if len(set(sorted_ids)) != len(sorted_ids):
        raise InvalidInput(f"a {what} is named twice", hint="name each once")
    return sorted_ids


def short_name(text: str, what: str) -> bytes:
    """A name of at most 31 bytes as the contracts store it."""
    if not re.fullmatch(r"[\x21-\x7e]{1,31}", text):
        raise InvalidInput(f"'{text}' cannot be a {what}", hint="use 1 to 31 letters, digits or signs")
    return text.encode().ljust(32, b"\0")


def org_id(exchange: Exchange, text: str) -> int:
    """The organisation with that number or handle; InvalidInput if there is none."""
    if text.isascii() and text.isdigit():
        number = int(text)
        if 0 < number <= exchange.members.count():
            return number
    else:
        short_name(text, "handle")
        number = exchange.members.by_handle(text)
        if number:
            return number
    raise InvalidInput(f"there is no organisation '{text}'", hint="see: ocx member list")
