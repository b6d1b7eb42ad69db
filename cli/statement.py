"""`ocx credits statement`: one calendar month of an organisation's credits, for people and for bookkeeping.

The table and `--json` show amounts like every command. The CSV file (RFC 4180) has one kind of row for all
and gives each amount twice, in credits and in microcredits. Text that others chose (handles, classes,
references) is written so that no spreadsheet takes it for a formula.
"""

from __future__ import annotations

import csv
import io
import sys
import unicodedata
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cli.app import App, Command, pass_app
from cli.member import handles, own_org
from cli.parse import org_id
from cli.render import credits_text, hex_text, show, time_text, word
from market.errors import InvalidInput
from market.statement import Kind, LeaseLine, Posting, Role, month_of
from market.statement import statement as stated

if TYPE_CHECKING:
    from chain.exchange import Exchange
    from cli.postings import Ledger

__all__ = ["csv_text", "guarded", "statement"]

_AMOUNTS = (
    "amount",
    "rate",
    *("paid", "earned", "given_back", "penalties", "fees", "moved"),
    *("free_change", "locked_change", "free", "locked"),
)
_COLUMNS = ["row", "time", "lease", "role", "counterparty", "handle", "class", "machines", "billed_seconds"]


@click.command(cls=Command)
@click.argument("organisation", required=False)
@click.option(
    "--month", "month", required=True, metavar="YYYY-MM", help="A calendar month in UTC, e.g. 2026-11."
)
@click.option(
    "--csv",
    "csv_file",
    type=click.Path(path_type=Path, dir_okay=False, allow_dash=True),
    help="Write it as CSV to this file, which must not exist; - is standard output.",
)
@click.option(
    "--started-hours",
    is_flag=True,
    help="Also state the hours each machine has begun, in the month they began in. This changes what is "
    "stated, never what was paid, which follows the billed seconds.",
)
@pass_app
def statement(
    app: App, organisation: str | None, month: str, csv_file: Path | None, started_hours: bool
) -> None:
    """An organisation's month: each lease, and all else that moved its credits; by default the wallet's own.

    Opening and closing balance are free credits and its own locked ones, and the rows between add up to the
    difference. Each row names its transactions. Mints into members' wallets are shown, but are no part of the
    balance until they are deposited.
    """
    window = month_of(month)
    _check_target(app, csv_file)
    from cli.postings import read

    exchange = app.exchange()
    org = org_id(exchange, organisation) if organisation else own_org(app, exchange)
    ledger = read(exchange, org)
    made = stated(window, ledger.as_of, ledger.postings, ledger.bills, ledger.free)
    classes = _classes(exchange, ledger, made.leases)
    names = handles(exchange)
    result = {
        "org": org,
        "handle": names[org],
        "month": month.strip(),
        "start": window.start,
        "end": window.end,
        "complete": made.complete,
        "as_of": ledger.as_of,
        "block": ledger.block,
        "opening": _balance(made.opening.free, made.opening.locked),
        "closing": _balance(made.closing.free, made.closing.locked),
        "leases": [_lease_row(line, ledger, names, classes, started_hours) for line in made.leases],
        "others": [_other_row(posting) for posting in made.others],
    }
    if not made.complete and app.format != "json":
        click.echo(
            f"{result['month']} is not over: this is what the ledger had at {time_text(ledger.as_of)}",
            err=True,
        )
    if csv_file is None:
        show(app, result if app.format == "json" else _for_people(result), value="opening closing")
    else:
        _write(app, csv_file, csv_text(result, started_hours), made.complete)


def _check_target(app: App, file: Path | None) -> None:
    """Refuse a file that cannot be written, before anything is read."""
    if file is None:
        return
    if str(file) != "-":
        if file.exists():
            raise InvalidInput(f"{file} exists already", hint="choose another file")
    elif app.format == "json":
        raise InvalidInput("standard output cannot be CSV and JSON", hint="give --csv a file, or no --json")


def _balance(free: int, locked: int) -> dict[str, int]:
    return {"free": free, "locked": locked, "total": free + locked}


def _classes(exchange: Exchange, ledger: Ledger, lines: Sequence[LeaseLine]) -> dict[int, str]:
    """The class of each lease's machines, which are all of one."""
    first = {
        line.lease: ledger.opened[line.lease].resources[0] for line in lines if line.lease in ledger.opened
    }
    known = exchange.inventory.many(sorted(set(first.values())))
    return {lease: word(known[node].class_) for lease, node in first.items() if node in known}


def _lease_row(
    line: LeaseLine, ledger: Ledger, names: Mapping[int, str], classes: Mapping[int, str], started: bool
) -> dict[str, Any]:
    terms = ledger.opened.get(line.lease)
    other = None if terms is None else terms.provider if line.role is Role.BUYER else terms.buyer
    hours = {"started_hours": line.hours} if started else {}
    change = line.change
    return {
        "lease": line.lease,
        "role": line.role.value,
        "counterparty": other,
        "handle": None if other is None else names.get(other),
        "class": classes.get(line.lease),
        "machines": None if terms is None else len(terms.resources),
        "billed_seconds": line.seconds,
        **hours,
        "rate": None if terms is None else terms.rate,
        "paid": line.sum_of(Kind.PAID),
        "earned": line.sum_of(Kind.EARNED),
        "given_back": line.sum_of(Kind.GIVEN_BACK),
        "penalties": line.change_of(Kind.PENALTY),
        "fees": line.change_of(Kind.FEE),
        "moved": line.change_of(Kind.MOVED),
        "free_change": change.free,
        "locked_change": change.locked,
        "transactions": [hex_text(tx) for tx in line.transactions],
        "postings": [_other_row(posting) for posting in line.postings],
    }


def _other_row(posting: Posting) -> dict[str, Any]:
    return {
        "time": posting.time,
        "what": posting.kind.value,
        "note": posting.note or None,
        "amount": posting.amount,
        "free_change": posting.free,
        "locked_change": posting.locked,
        "tx": hex_text(posting.tx),
    }


def _for_people(result: Mapping[str, Any]) -> dict[str, Any]:
    """Without what only programs read: of a lease's transactions the last one, and how many there are."""
    hidden = ("postings", "transactions", "counterparty")
    leases = [
        {
            ("counterparty" if name == "handle" else name): item
            for name, item in row.items()
            if name not in hidden
        }
        | {"txs": len(row["transactions"]), "last_tx": (row["transactions"] or [None])[-1]}
        for row in result["leases"]
    ]
    return {**result, "leases": leases}


# ---- CSV -------------------------------------------------------------------------------------------------


def guarded(text: str) -> str:
    """Text that a spreadsheet takes for text, also where it begins like a formula."""
    first = unicodedata.normalize("NFKC", text)[:1]
    return f"'{text}" if first and (first in "=+-@|%" or first.isspace() or not first.isprintable()) else text


def csv_text(result: Mapping[str, Any], started: bool) -> str:
    """A statement as CSV: opening, leases, all else by time, closing; both columns of changes add up."""
    hours = ["started_hours"] if started else []
    money = [column for name in _AMOUNTS for column in (name, f"{name}_micro")]
    out = io.StringIO()
    writer = csv.DictWriter(out, [*_COLUMNS, *hours, *money, "transactions", "note"], restval="")
    writer.writeheader()
    last = time_text(result["end"]) if result["complete"] else time_text(result["as_of"])
    note = "" if result["complete"] else f"the month is not over: as of {last}"
    writer.writerow(_csv_row({"row": "opening", "time": time_text(result["start"]), **result["opening"]}))
    for row in result["leases"]:
        ended = time_text(row["postings"][-1]["time"]) if row["postings"] else ""
        cells = {name: item for name, item in row.items() if name != "postings"}
        writer.writerow(_csv_row({"row": "lease", "time": ended, **cells}))
    for row in result["others"]:
        cells = {"row": row["what"], "time": time_text(row["time"]), "transactions": [row["tx"]]}
        writer.writerow(
            _csv_row(cells | {n: item for n, item in row.items() if n in _AMOUNTS or n == "note"})
        )
    writer.writerow(_csv_row({"row": "closing", "time": last, "note": note, **result["closing"]}))
    return out.getvalue()


def _csv_row(row: Mapping[str, Any]) -> dict[str, Any]:
    cells: dict[str, Any] = {}
    for name, item in row.items():
        if item is None or name == "total":
            continue
        if name in _AMOUNTS:
            cells[name], cells[f"{name}_micro"] = credits_text(item).replace(",", ""), item
        elif name == "transactions":
            cells[name] = " ".join(item)
        else:
            cells[name] = guarded(item) if isinstance(item, str) else item
    return cells


def _write(app: App, file: Path, text: str, complete: bool) -> None:
    """To a new file, or to standard output; the ends of lines stay as RFC 4180 wants them."""
    if str(file) == "-":
        sys.stdout.flush()
        click.echo(text.encode(), nl=False)
        return
    try:
        with file.open("x", encoding="utf-8", newline="") as target:
            target.write(text)
    except OSError as error:
        raise InvalidInput(f"cannot write {file} ({error.strerror})", hint="choose another file") from error
    show(app, {"written_to": str(file), "complete": complete}, value="written_to")
