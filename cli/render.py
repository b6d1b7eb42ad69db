"""Prints results: a table for people, JSON or bare values for programs.

Results are plain data: amounts in microcredits, times in unix seconds, bytes as 0x text. How a field looks to
people follows from its name, here and nowhere else.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from enum import Enum
from typing import TYPE_CHECKING, Any

import click

from market.windows import MAX_TIME

if TYPE_CHECKING:
    from cli.app import App

__all__ = ["credits_text", "hex_text", "history_rows", "show", "text_of", "time_text", "word"]

NO_LIMIT = (1 << 96) - 1
"""`Members`' number for "no limit"."""

_MONEY = frozenset(
    name
    for line in (
        "accrued amount appeals balance bids bond bonds buy_now buy_now_rate ceiling_amount",
        "ceiling_rate clearing_rate deposit disputed fee fees fees_paid fine floor floor_rate free limit",
        "locked min_stake offers org_free paid penalty price prices rate refunded requests reserve returned",
        "auctions least_rate reserve_rate to_leader",
        "share sla_penalty slashed spent stake to_buyer to_fund to_provider total wallet_credits withheld",
        "earned free_change given_back locked_change moved penalties total_supply",
    )
    for name in line.split()
)
_TIME = frozenset(
    name
    for line in (
        "asked_at awarded_at billed_from block_time buyer_signed_at commit_end committed_at committee_at",
        "created_at deadline delivered_at end ended_at ends expires fence_until final_at final_until",
        "bid_until bidding_ends frozen_until hard_stop",
        "reveal_end reveal_from reveal_until signed_at start time wiped_at as_of",
    )
    for name in line.split()
)


def credits_text(amount: int) -> str:
    """Microcredits as credits with six decimals: 1250000 is `1.250000`."""
    sign, amount = ("-", -amount) if amount < 0 else ("", amount)
    return f"{sign}{amount // 1_000_000:,}.{amount % 1_000_000:06d}"


def time_text(seconds: int) -> str:
    """Unix seconds as `2026-11-21T10:00:00Z`; 0 is `-`."""
    if not seconds:
        return "-"
    if seconds >= MAX_TIME:
        return str(seconds)
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def hex_text(data: bytes) -> str:
    """Bytes as 0x and hexadecimal digits."""
    return "0x" + data.hex()


def word(data: bytes) -> str:
    """A name the contracts keep in 32 bytes, as text; as hexadecimal where it is none."""
    text = data.rstrip(b"\0")
    return text.decode("ascii") if text and all(32 < byte < 127 for byte in text) else hex_text(data)


def plain(value: Any) -> Any:
    """A value as JSON can hold it."""
    if isinstance(value, bytes):
        return hex_text(value)
    if isinstance(value, Enum):
        return value.name.lower()
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return value if value is None or isinstance(value, bool | int | float | str) else str(value)


def text_of(name: str, value: Any) -> str:
    """A field as people read it."""
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int) and name == "limit" and value == NO_LIMIT:
        return "none"
    if isinstance(value, int) and name in _MONEY:
        return credits_text(value)
    if isinstance(value, int) and name in _TIME:
        return time_text(value)
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {text_of(str(key), item)}" for key, item in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(text_of("", item) for item in value) or "-"
    return str(plain(value))


def show(
    app: App, result: Mapping[str, Any] | Sequence[Mapping[str, Any]], *, value: str = "", empty: str = ""
) -> None:
    """Print a result in the run's format.

    A mapping is shown field by field, a sequence as a table. `value` names the fields, separated by blanks,
    that `--format value` prints; `empty` is said of an empty table.
    """
    if app.format == "json":
        click.echo(json.dumps(plain(result), indent=2))
    elif app.format == "value":
        _show_values([result] if isinstance(result, Mapping) else result, value.split())
    elif isinstance(result, Mapping):
        _show_fields(result)
    else:
        _show_table(result, empty)


def _show_values(rows: Iterable[Mapping[str, Any]], names: Sequence[str]) -> None:
    for row in rows:
        values = [plain(row[name]) for name in names] if names else [plain(item) for item in row.values()]
        click.echo("\t".join(_bare(item) for item in values))


def _bare(value: Any) -> str:
    if isinstance(value, list):
        return ",".join(_bare(item) for item in value)
    if isinstance(value, dict):
        return json.dumps(value)
    return "" if value is None else str(value)


def _show_fields(result: Mapping[str, Any]) -> None:
    blocks = {name: item for name, item in result.items() if _is_block(name, item)}
    flat = {name: item for name, item in result.items() if name not in blocks}
    width = max((len(_title(name)) for name in flat), default=0)
    for name, item in flat.items():
        click.echo(f"{_title(name):<{width}}  {text_of(name, item)}")
    for name, item in blocks.items():
        click.echo(f"\n{_title(name)}")
        if isinstance(item[0], Mapping):
            _show_table(item, "")
        else:
            for line in item:
                click.echo(f"  {line}")


def _is_block(name: str, item: Any) -> bool:
    """Whether a field is shown below the others: a table, or lines of prose."""
    return isinstance(item, list) and bool(item) and (isinstance(item[0], Mapping) or name == "why")


def _title(name: str) -> str:
    return name.replace("_", " ").strip()


def _show_table(rows: Sequence[Mapping[str, Any]], empty: str) -> None:
    if not rows:
        click.echo(empty or "nothing")
        return
    from rich import box
    from rich.console import Console
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for name in rows[0]:
        numeric = name in _MONEY or isinstance(rows[0][name], int) and name not in _TIME
        table.add_column(_title(name), justify="right" if numeric else "left", overflow="fold")
    for row in rows:
        table.add_row(*(_cell(text_of(name, row.get(name))) for name in rows[0]))
    # Without a terminal nothing is folded to a width.
    console = Console(width=None if sys.stdout.isatty() else 1000, highlight=False)
    with console.capture() as capture:
        console.print(table)
    for line in capture.get().strip("\n").splitlines():
        if line.strip():
            click.echo(line.rstrip())


def _cell(text: str) -> str:
    """Text that rich must take literally."""
    from rich.markup import escape

    return escape(text)


def history_rows(entries: Iterable[Any], slot: int) -> list[dict[str, Any]]:
    """History entries (`chain.history.Entry`) as rows: when, what, with which facts, in which transaction.

    Windows in events are counted in slots of `slot` seconds; here they become times.
    """
    return [
        {
            "time": entry.time,
            "event": entry.event.NAME,
            "facts": {
                name.strip("_"): plain(_fact(name, item, slot)) for name, item in vars(entry.event).items()
            },
            "block": entry.block,
            "tx": hex_text(entry.tx_hash),
        }
        for entry in entries
    ]


def _fact(name: str, value: Any, slot: int) -> Any:
    if name in ("start", "end"):
        return value * slot
    return word(value) if isinstance(value, bytes) and len(value) == 32 else value
