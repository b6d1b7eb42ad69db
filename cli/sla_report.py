"""`ocx sla report`: what the witnesses of a lease found, what it cost and whose fault it was, with a plot."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from chain.generated import events
from chain.power import Action
from cli.act import working
from cli.app import App, Command, pass_app
from cli.member import handles
from cli.plot import draw_png, rows_of, share, text_lines
from cli.reasons import undetermined_lines
from cli.render import hex_text, show, time_text
from market.verdicts import availability_ppm

if TYPE_CHECKING:
    from chain.exchange import Exchange
    from chain.history import Entry
    from chain.report import Judged, Report

__all__ = ["as_data", "report"]


@click.command(cls=Command)
@click.argument("lease", type=int)
@click.option(
    "--png", type=click.Path(path_type=Path, dir_okay=False), help="Draw it into this file, too (PNG)."
)
@click.option("--quiet", is_flag=True, help="Without the plot in the terminal.")
@pass_app
def report(app: App, lease: int, png: Path | None, quiet: bool) -> None:
    """What the witnesses of a lease found: availability, fault, penalty and evidence of every epoch.

    Everything is read from public data: leaves, verdicts, recorded power requests, payments. A span of epochs
    that is judged together has one line; with --json each says what every seat published and by which
    transactions.
    """
    from chain.report import report as read

    exchange = app.exchange()
    with working("reading what was published"):
        found = read(exchange, lease)
    data = as_data(exchange, found)
    rows = rows_of(found)
    if png is not None:
        draw_png(png, f"Lease {lease}: what its witnesses saw", rows)
        data["png"] = str(png)
    if app.format != "table":
        show(app, data, value="lease penalty withheld fees_paid")
        return
    show(app, _for_people(data, undetermined_lines(found.judged)))
    if rows and not quiet:
        click.echo("\nrounds")
        for line in text_lines(rows):
            click.echo(f"  {line}")


def as_data(exchange: Exchange, found: Report) -> dict[str, Any]:
    """A report as plain data: what `--json` prints."""
    names, account = handles(exchange), exchange.settlement.account(found.lease)
    paid = [entry.event for entry in found.events(events.PenaltyPaid)]
    appeals = _appeals(found, names)
    overturned = {
        (row["place"], row["epoch"])
        for row in appeals
        if row["state"] == "upheld" and row["by"] == names[found.facts.provider]
    }
    return {
        "lease": found.lease,
        "sla": found.facts.sla or None,
        "provider": names[found.facts.provider],
        "buyer": names[found.facts.buyer],
        "state": exchange.leases.state_of(found.lease).name.lower(),
        "epoch_seconds": found.grid.epoch,
        "rounds": found.grid.rounds,
        "penalty": sum(item.penalty for item in found.judged),
        "sla_penalty": sum(event.amount for event in paid if isinstance(event, events.PenaltyPaid)),
        "withheld": account.pending,
        "disputed": account.disputed,
        "fees": account.fee,
        "fees_paid": account.fee_paid,
        "nothing": found.why or None,
        "epochs": [_epoch(item, names) | _disputed(item, appeals) for item in found.judged],
        "breaches": [_breach(entry, overturned) for entry in found.events(events.BreachReached)],
        "power": [_power(entry) for entry in found.events(events.PowerRecorded)],
        "without_power": [{"start": start, "end": end} for start, end in found.power],
        "committees": [_committee(entry, names) for entry in found.events(events.CommitteeDrawn)],
        "pay": [_pay(entry, names) for entry in found.events(events.WitnessPaid)],
        "appeals": appeals,
        "inquiries": _inquiries(found, names),
    }


def _epoch(item: Judged, names: dict[int, str]) -> dict[str, Any]:
    """One span of one machine."""
    span, best, verdict, known = item.case.span, item.best, item.verdict, item.stage != "measured"
    undetermined, numbers = item.why_undetermined, _numbers(item)
    judged = known and (verdict is not None or not undetermined)
    return {
        "place": item.case.place,
        "epoch": span.last,
        "first": span.first,
        "start": max(item.case.grid.start(span.first), item.case.window.start),
        "end": min(item.case.grid.end(span.last), item.case.window.end),
        "stage": item.stage,
        "final_at": item.final_at,
        "judged": numbers[0],
        "counted": numbers[1] if known else None,
        "forgiven": numbers[2] if known else None,
        "suspended": item.blame.suspended,
        "path": item.blame.path if known else None,
        "availability_ppm": availability_ppm(*numbers[:2]) if judged else None,
        "fault": item.blame.fault.name.lower() if known else None,
        "verdict": _verdict_word(item),
        "verdict_ppm": None if verdict is None else verdict.penalty_ppm,
        "penalty": item.penalty,
        "worked_out_ppm": best.ppm if judged else None,
        "claim_open": item.stage == "open" and item.takes,
        "undetermined": undetermined or None,
        "why": [*best.why, *item.blame.why] if known else [],
        "verdict_txs": [hex_text(entry.tx_hash) for entry in item.verdicts],
        "seats": [
            {
                "epoch": sitting.epoch,
                "seat": sitting.seat,
                "org": sitting.org,
                "handle": names.get(sitting.org, "-"),
                "counts": sitting.usable,
                "said": sitting.why,
                "down": hex_text((sitting.leaf.down if sitting.leaf else 0).to_bytes(32, "big")),
                "txs": [hex_text(tx) for tx in sitting.opened.txs],
            }
            for sitting in item.case.sittings
        ],
    }


def _numbers(item: Judged) -> tuple[int, int, int]:
    """Rounds judged, counted, forgiven: the chain's where it has a verdict, else those of all leaves."""
    verdict = item.verdict
    if verdict is None:
        return item.best.judged, item.best.counted, item.blame.forgiven
    total = sum(bits.bit_count() for bits in verdict.down)
    return verdict.judged, verdict.counted, total - verdict.counted


def _disputed(item: Judged, appeals: list[dict[str, Any]]) -> dict[str, Any]:
    """The verdict with what became of an appeal against it, if there is one."""
    key = (item.case.place, item.case.span.last)
    states = [row["state"] for row in appeals if (row["place"], row["epoch"]) == key]
    if not states:
        return {}
    told = "under appeal" if "open" in states else f"appeal {states[-1]}"
    return {"verdict": f"{_verdict_word(item)}, {told}"}


def _verdict_word(item: Judged) -> str:
    if item.verdict is not None:
        return "penalty" if item.verdict.penalty_ppm else "no penalty"
    if item.why_undetermined:
        return "pending" if item.stage == "measured" else "undetermined"
    if item.best.ppm and item.stage in ("appeals", "final"):
        return "nobody claimed"
    if item.best.ppm:
        return "may be claimed" if item.stage == "open" else "claims open later"
    return "met"


def _breach(entry: Entry, overturned: set[tuple[int, int]]) -> dict[str, Any]:
    event = entry.event
    assert isinstance(event, events.BreachReached)  # noqa: S101  asked for these
    stands = (event.place, event.epoch) not in overturned
    where = {"place": event.place, "epoch": event.epoch, "stands": stands, "fault": "provider"}
    return where | _proof(entry)


def _proof(entry: Entry) -> dict[str, Any]:
    return {"time": entry.time, "tx": hex_text(entry.tx_hash)}


def _power(entry: Entry) -> dict[str, Any]:
    event = entry.event
    assert isinstance(event, events.PowerRecorded)  # noqa: S101  asked for these
    word = Action(event.action).name.lower()
    return {"action": word, "by": event.by, "nonce": event.nonce, "fault": "buyer", **_proof(entry)}


def _committee(entry: Entry, names: dict[int, str]) -> dict[str, Any]:
    event = entry.event
    assert isinstance(event, events.CommitteeDrawn)  # noqa: S101  asked for these
    seats = [names.get(org, "-") for org in event.seats]
    return {"term": event.term, "seats": seats, "quorum": event.quorum, **_proof(entry)}


def _pay(entry: Entry, names: dict[int, str]) -> dict[str, Any]:
    event = entry.event
    assert isinstance(event, events.WitnessPaid)  # noqa: S101  asked for these
    who = {"term": event.term, "org": event.org, "handle": names.get(event.org, "-")}
    return {**who, "epochs": event.epochs, "amount": event.amount, **_proof(entry)}


def _appeals(found: Report, names: dict[int, str]) -> list[dict[str, Any]]:
    """Each once, with what became of it."""
    rows: dict[int, dict[str, Any]] = {}
    for entry in found.events(events.AppealFiled, events.AppealDecided):
        event = entry.event
        if isinstance(event, events.AppealFiled):
            rows[event.appeal] = {
                "appeal": event.appeal,
                "place": event.place,
                "epoch": event.epoch,
                "by": names.get(event.by, "-"),
                "amount": event.amount,
                "state": "open",
                "to_buyer": None,
                "to_provider": None,
                **_proof(entry),
            }
        elif isinstance(event, events.AppealDecided):
            rows[event.appeal] |= {
                "state": "upheld" if event.upheld else "not upheld",
                "to_buyer": event.to_buyer,
                "to_provider": event.to_provider,
            }
    return list(rows.values())


def _inquiries(found: Report, names: dict[int, str]) -> list[dict[str, Any]]:
    rows: dict[int, dict[str, Any]] = {}
    for entry in found.events(events.InquiryAsked, events.InquiryCommitted):
        event = entry.event
        if isinstance(event, events.InquiryAsked):
            rows[event.inquiry] = {
                "inquiry": event.inquiry,
                "place": event.place,
                "by": names.get(event.by, "-"),
                "start": event.from_,
                "end": event.until,
                "above": share(event.above_ppm),
                "result": "open",
                **_proof(entry),
            }
        elif isinstance(event, events.InquiryCommitted):
            rows[event.inquiry]["result"] = {1: "yes", 2: "no"}.get(event.result, "unknown")
    return list(rows.values())


def _for_people(data: dict[str, Any], undetermined: list[str]) -> dict[str, Any]:
    """The same, in tables that fit a screen; below them, in sentences, whose fault it was."""
    epochs = [
        {
            "machine": row["place"],
            "epoch": row["epoch"] if row["first"] == row["epoch"] else f"{row['first']}-{row['epoch']}",
            "start": row["start"],
            "availability": "-" if row["availability_ppm"] is None else share(row["availability_ppm"]),
            "judged": row["judged"],
            "counted": row["counted"],
            "forgiven": row["forgiven"],
            "suspended": row["suspended"],
            "fault": row["fault"],
            "verdict": row["verdict"],
            "penalty": row["penalty"],
            "final_at": row["final_at"],
        }
        for row in data["epochs"]
    ]
    lists = {name: item for name, item in data.items() if isinstance(item, list) and item}
    flat = {name: item for name, item in data.items() if not isinstance(item, list)}
    flat["nothing"] = data["nothing"]
    shown = flat | lists | {"epochs": epochs}
    if data["nothing"] is None:
        del shown["nothing"]
    if "without_power" in shown:
        shown["without_power"] = [
            {"start": item["start"], "until": "still off" if item["end"] >> 39 else time_text(item["end"])}
            for item in data["without_power"]
        ]
    shown["why"] = [*_sentences(data["epochs"]), *undetermined]
    return shown


def _sentences(rows: list[dict[str, Any]]) -> list[str]:
    lines = []
    for row in rows:
        name = f"machine {row['place']}, epoch {row['epoch']}: "
        told = [line for line in row["why"] if line.startswith(_FAULTS)]
        lines += [name + line for line in told]
        lines += [f"{name}by the verdict in {tx}" for tx in row["verdict_txs"]]
    return lines


_FAULTS = ("provider: ", "buyer: ", "path: ")
