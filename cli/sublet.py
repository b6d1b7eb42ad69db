"""`ocx sublet`: parts of a lease let on, machines x time, one level deep (L9, F7)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from cli.act import Plan, apply, finish, run
from cli.app import App, Group, pass_app
from cli.member import handles, own_org
from cli.offer import span_text
from cli.options import for_option, window_end, window_start
from cli.parse import RATE, offered_window, org_id, wanted_window
from cli.render import credits_text, history_rows, show
from market.billing import price
from market.errors import InvalidInput, Refused
from market.windows import SlotWindow

if TYPE_CHECKING:
    from chain.contracts.sublets import Sublets
    from chain.exchange import Exchange

__all__ = ["sublet", "sublets_of"]

_NUMBER = click.argument("number", type=int)
_PLACES = click.option(
    "--place",
    "places",
    type=click.IntRange(0, 63),
    multiple=True,
    required=True,
    help="Which machine of the lease, from 0; give it for each.",
)
_HASH = 64
"""Hexadecimal digits of a hash."""


def sublets_of(exchange: Exchange) -> Sublets:
    """The contract; Refused on an exchange that has none."""
    if exchange.sublets is None:
        raise Refused("on this exchange leases are not let on", hint="the council publishes the contract")
    return exchange.sublets


@click.group(cls=Group)
def sublet() -> None:
    """Sublets: parts of a lease that its buyer lets on, machines x time."""


@sublet.command()
@_NUMBER
@_PLACES
@window_start
@window_end
@for_option
@click.option("--rate", type=RATE, required=True, help="Credits per resource and hour.")
@click.option("--min-slots", type=click.IntRange(1), default=1, help="Shortest piece that is let.")
@click.option("--within", help="Only for organisations in or below this one, HANDLE or number.")
@pass_app
def offer(
    app: App,
    number: int,
    places: tuple[int, ...],
    start: str,
    end: str | None,
    length: int | None,
    rate: int,
    min_slots: int,
    within: str | None,
) -> None:
    """Offer a part of lease NUMBER (its buyer, a seller, too).

    Its window lies in the lease with the machines' turnaround on both sides, rounded inward to whole slots.
    """
    from chain.generated.events import PieceOffered

    exchange = app.exchange(sign=True)
    window = offered_window(exchange, start, end, length)
    limit = org_id(exchange, within) if within else 0
    facts = {
        "window": span_text(window, exchange.slot),
        "rate": f"{credits_text(rate)} credits per resource and hour",
        "for": within or "anybody",
    }
    call = sublets_of(exchange).offer(number, _bits(places), window, rate, min_slots, limit)
    done = apply(app, exchange, Plan(f"Let a part of lease {number} on.", [call], facts))
    result = {"piece": done.one(PieceOffered).piece, "lease": number, "places": sorted(places), "rate": rate}
    finish(app, done, result | _span(exchange, window), value="piece")


@sublet.command()
@_NUMBER
@pass_app
def close(app: App, number: int) -> None:
    """Take piece NUMBER off the market; sublets of it live on."""
    exchange = app.exchange(sign=True)
    call = sublets_of(exchange).close(number)
    run(app, exchange, f"Take piece {number} off the market.", call, {"piece": number})


@sublet.command()
@_NUMBER
@_PLACES
@window_start
@window_end
@for_option
@pass_app
def take(
    app: App, number: int, places: tuple[int, ...], start: str, end: str | None, length: int | None
) -> None:
    """Rent machines of piece NUMBER for a part of its time; rounded outward to whole slots."""
    from chain.generated.events import SubletTaken

    exchange = app.exchange(sign=True)
    contract, window = sublets_of(exchange), wanted_window(exchange, start, end, length)
    piece, seconds = contract.piece(number), window.window(exchange.slot)
    most = price(piece.rate, len(set(places)), seconds.start, seconds.end, exchange.now())
    facts = {
        "window": span_text(window, exchange.slot),
        "locks": f"{credits_text(most)} credits at most; what is not billed comes back",
        "ends": "at the latest with the lease it is a part of",
    }
    call = contract.take(number, _bits(places), window, org=own_org(app, exchange))
    done = apply(app, exchange, Plan(f"Rent of piece {number}.", [call], facts))
    taken = done.one(SubletTaken)
    result = {"sublet": taken.sublet, "piece": number, "places": sorted(places), "price": taken.price}
    finish(app, done, result | _span(exchange, window), value="sublet")


@sublet.command("pass")
@_NUMBER
@click.option("--to", required=True, help="Organisation of the same party, HANDLE or number.")
@_PLACES
@window_start
@window_end
@for_option
@pass_app
def pass_(
    app: App,
    number: int,
    to: str,
    places: tuple[int, ...],
    start: str,
    end: str | None,
    length: int | None,
) -> None:
    """Hand a part of lease NUMBER to another organisation of its buyer's party, for nothing."""
    from chain.generated.events import SubletTaken

    exchange = app.exchange(sign=True)
    window = wanted_window(exchange, start, end, length)
    call = sublets_of(exchange).pass_on(number, org_id(exchange, to), _bits(places), window)
    facts = {"window": span_text(window, exchange.slot), "to": to, "costs": "nothing"}
    done = apply(app, exchange, Plan(f"Pass a part of lease {number} on.", [call], facts))
    result = {"sublet": done.one(SubletTaken).sublet, "lease": number, "places": sorted(places)}
    finish(app, done, result | _span(exchange, window), value="sublet")


@sublet.command()
@_NUMBER
@click.option("--connection-hash", required=True, help="Keccak-256 of the sealed connection data, in hex.")
@click.option("--host-key", required=True, help="SHA-256 of the endpoint's host key, in hex.")
@pass_app
def deliver(app: App, number: int, connection_hash: str, host_key: str) -> None:
    """Hand a sublet's machines over (the lease's provider)."""
    exchange = app.exchange(sign=True)
    hashes = _hash(connection_hash), _hash(host_key)
    call = sublets_of(exchange).deliver(number, *hashes)
    run(app, exchange, f"Hand over sublet {number}.", call, {"sublet": number})


@sublet.command()
@_NUMBER
@pass_app
def accept(app: App, number: int) -> None:
    """Accept what was handed over (tenant); silence does after a while."""
    exchange = app.exchange(sign=True)
    call = sublets_of(exchange).accept(number)
    run(app, exchange, f"Accept sublet {number}.", call, {"sublet": number})


@sublet.command()
@_NUMBER
@pass_app
def reject(app: App, number: int) -> None:
    """Refuse what was handed over (tenant); pays until now, at most the acceptance time."""
    exchange = app.exchange(sign=True)
    call = sublets_of(exchange).reject(number)
    run(app, exchange, f"Reject sublet {number}.", call, {"sublet": number})


@sublet.command()
@_NUMBER
@pass_app
def end(app: App, number: int) -> None:
    """Leave (tenant): before it is handed over for the reserve share, later to the end of the notice."""
    from chain.generated.events import SubletEnded

    exchange = app.exchange(sign=True)
    done = apply(app, exchange, Plan(f"End sublet {number}.", [sublets_of(exchange).end(number)]))
    finish(app, done, {"sublet": number, "ended_at": done.one(SubletEnded).ended_at}, value="sublet")


@sublet.command()
@_NUMBER
@pass_app
def settle(app: App, number: int) -> None:
    """Have what accrued paid; after the end, return the rest (anyone)."""
    from chain.generated.events import SubletClosed, SubletPaid

    exchange = app.exchange(sign=True)
    done = apply(app, exchange, Plan(f"Settle sublet {number}.", [sublets_of(exchange).settle(number)]))
    result = {
        "sublet": number,
        "amount": sum(e.amount for e in done.find(SubletPaid)),
        "refunded": sum(e.refunded for e in done.find(SubletClosed)),
    }
    finish(app, done, result, value="amount")


@sublet.command("list")
@click.option("--pieces", is_flag=True, help="What is on offer, instead of what is let.")
@pass_app
def list_(app: App, pieces: bool) -> None:
    """What of leases is let on."""
    exchange = app.exchange()
    contract, names = sublets_of(exchange), handles(exchange)
    if pieces:
        found = [(n, contract.piece(n)) for n in range(1, contract.piece_count() + 1)]
        rows = [
            {"piece": n, "lease": p.parent, "seller": names[p.seller], "places": _places(p.places)}
            | {"rate": p.rate, "min_slots": p.min_slots, "within": p.within or None}
            | _span(exchange, SlotWindow(p.start, p.end))
            for n, p in found
            if not p.closed
        ]
        return show(app, rows, value="piece", empty="nothing is on offer")
    rows = [_row(exchange, contract, n, names) for n in range(1, contract.count() + 1)]
    return show(app, rows, value="sublet state", empty="no sublets")


@sublet.command("show")
@_NUMBER
@pass_app
def show_(app: App, number: int) -> None:
    """One sublet with its money and its history."""
    from chain.history import history

    exchange = app.exchange()
    contract = sublets_of(exchange)
    kept = contract.sublet(number)
    entries = history(exchange, [contract], "sublet", number)
    result = _row(exchange, contract, number, handles(exchange)) | {
        "piece": kept.piece or None,
        "price": kept.price,
        "paid": kept.paid,
        "delivered_at": kept.delivered_at,
        "accepted_at": kept.accepted_at,
        "ends_at": contract.ends_at(number),
        "settled": kept.closed,
    }
    show(app, result | {"history": history_rows(entries, exchange.slot)}, value="state")


def _row(exchange: Exchange, contract: Sublets, number: int, names: dict[int, str]) -> dict[str, Any]:
    kept = contract.sublet(number)
    return {
        "sublet": number,
        "state": contract.state_of(number).name.lower(),
        "lease": kept.parent,
        "seller": names[kept.seller],
        "tenant": names[kept.tenant],
        "places": _places(kept.places),
        "rate": kept.rate,
    } | _span(exchange, SlotWindow(kept.start, kept.end))


def _span(exchange: Exchange, window: SlotWindow) -> dict[str, int]:
    seconds = window.window(exchange.slot)
    return {"start": seconds.start, "end": seconds.end}


def _bits(places: tuple[int, ...]) -> int:
    return sum(1 << place for place in set(places))


def _places(bits: int) -> list[int]:
    return [place for place in range(64) if bits >> place & 1]


def _hash(text: str) -> bytes:
    digits = text.removeprefix("0x")
    if len(digits) == _HASH and set(digits) <= set("0123456789abcdefABCDEF"):
        return bytes.fromhex(digits)
    raise InvalidInput(f"'{text}' is no hash", hint=f"give {_HASH} hexadecimal digits")
