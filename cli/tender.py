"""`ocx tender`: sealed bids on a request, from commitment to claim."""

from __future__ import annotations

import secrets
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cli.act import Plan, apply, finish
from cli.app import App, Group, pass_app
from cli.availability import shelf_of
from cli.member import handles, own_org
from cli.offer import offer_terms, span_text
from cli.options import node_option
from cli.parse import RATE, increasing, org_id
from cli.render import credits_text, history_rows, show, time_text
from cli.request import request_row, trait_texts
from market.errors import InvalidInput
from market.windows import SlotWindow

if TYPE_CHECKING:
    from chain.contracts.book import Bid
    from chain.exchange import Exchange

__all__ = ["tender"]

_ORG = click.option(
    "--org", "organisation", help="Whose bid, HANDLE or number; by default the own organisation's."
)


@click.group(cls=Group)
def tender() -> None:
    """Sealed tenders: bid, reveal, award, claim. A tender has its request's number."""


@tender.command("list")
@click.option("--all", "everything", is_flag=True, help="Those that are over too.")
@pass_app
def list_(app: App, everything: bool) -> None:
    """Tenders that are open."""
    exchange = app.exchange()
    now = exchange.now()
    rows = []
    for number in exchange.book.requests():
        if everything or not exchange.book.request(number).closed:
            t = exchange.tender.tender(number)
            row = request_row(exchange, number) | {"commit_end": t.commit_end, "reveal_end": t.reveal_end}
            rows.append(row | {"commits": t.commits, "reveals": t.reveals, "next": _next(t, now)})
    show(app, rows, value="request", empty="no open tenders; --all shows the others")


def _next(t: Any, now: int) -> str:
    if t.stage.name != "OPEN":
        return "-"
    if now < t.commit_end:
        return "bid"
    return "reveal" if now < t.reveal_end else "award"


@tender.command("show")
@click.argument("number", type=int)
@click.option("--why", is_flag=True, help="Explain the stage by the facts and transactions behind it.")
@pass_app
def show_(app: App, number: int, why: bool) -> None:
    """A tender: the request, its bids and offers, the award, and its full history."""
    from chain.history import history

    exchange = app.exchange()
    t, r = exchange.tender.tender(number), exchange.book.request(number)
    entries = history(exchange, [exchange.book, exchange.tender], "request", number)
    result = request_row(exchange, number) | {
        "created_at": r.created_at,
        "commit_end": t.commit_end,
        "reveal_end": t.reveal_end,
        "vickrey": t.vickrey,
        "traits": trait_texts(r.traits),
        "ceiling_amount": t.ceiling_amount,
        "deposit": t.deposit,
        "commits": t.commits,
        "reveals": t.reveals,
        "awarded_at": t.awarded_at,
        "award": t.award or None,
        "share": t.share,
        "leases": _leases(exchange, number),
        "bids": (bids := _bids(exchange, number, entries)),
        "offers": offer_terms(exchange, sorted({bid["offer"] for bid in bids if bid["offer"]})),
    }
    if why:
        from cli.reasons import tender_why

        result["why"] = tender_why(exchange, number, entries)
    show(app, result | {"history": history_rows(entries, exchange.slot)}, value="stage")


def _leases(exchange: Exchange, number: int) -> list[int]:
    from chain.generated.events import LeaseOpened
    from chain.history import history

    buyer = exchange.book.request(number).org
    entries = history(exchange, [exchange.leases], "buyer", buyer, kinds=[LeaseOpened])
    return [e.event.lease for e in entries if isinstance(e.event, LeaseOpened) and e.event.request == number]


def _bids(exchange: Exchange, number: int, entries: Any) -> list[dict[str, Any]]:
    from chain.generated.events import BidCommitted, BidRevealed

    names = handles(exchange)
    opened = {e.event.bidder: e.event for e in entries if isinstance(e.event, BidRevealed)}
    rows = []
    for entry in entries:
        if isinstance(entry.event, BidCommitted):
            org = entry.event.bidder
            bid = opened.get(org)
            bidder = exchange.tender.bidder(number, org)
            rows.append(
                {
                    "bidder": org,
                    "handle": names[org],
                    "status": bidder.status.name.lower(),
                    "committed_at": bidder.committed_at,
                    "offer": bid and bid.offer,
                    "rate": bid and bid.rate,
                    "start": bid and bid.start * exchange.slot,
                    "nodes": list(bid.resources) if bid else None,
                }
            )
    return sorted(rows, key=lambda row: (row["rate"] is None, row["rate"] or 0))


@tender.command()
@click.argument("number", type=int)
@click.option("--offer", "offer_id", type=int, required=True, help="Own open offer that the nodes are of.")
@node_option
@click.option("--rate", type=RATE, required=True, help="Credits per resource and hour.")
@click.option(
    "--start",
    help="When the lease begins, if the request leaves it open; by default as soon as all nodes are free.",
)
@pass_app
def bid(app: App, number: int, offer_id: int, nodes: tuple[int, ...], rate: int, start: str | None) -> None:
    """Commit to a sealed bid. What is needed to reveal it is kept in the state directory before it is sent.

    A bid that is not revealed in time loses its deposit: keep the state directory.
    """
    from chain.contracts.book import Bid
    from cli.salts import SealedBid, keep

    resources = increasing(nodes, "node")
    exchange = app.exchange(sign=True)
    org = own_org(app, exchange)
    t, r = exchange.tender.tender(number), exchange.book.request(number)
    first = _start_slot(exchange, number, offer_id, resources, start)
    named = Bid(offer_id, rate, first, tuple(resources))
    _check_bid(exchange, number, named, org)
    sealed = SealedBid(number, org, named, secrets.token_bytes(32))
    call = exchange.tender.commit(number, sealed.commitment(exchange), org=org)
    facts = {
        "bid": f"nodes {', '.join(map(str, resources))} of offer {offer_id}, {r.count} wanted",
        "window": span_text(SlotWindow(first, first + r.slots), exchange.slot),
        "rate": f"{credits_text(rate)} credits per resource and hour, ceiling {credits_text(r.ceiling_rate)}",
        "locks": f"{credits_text(t.deposit)} credits; lost if it is not revealed in time",
        "reveal": f"from {time_text(t.commit_end)} until {time_text(t.reveal_end)}",
    }
    kept: list[Path] = []
    done = apply(
        app,
        exchange,
        Plan(f"Commit to a sealed bid on tender {number}.", [call], facts),
        before_sending=lambda: kept.append(keep(app.state_dir, exchange, sealed)),
    )
    result = {
        "request": number,
        "bidder": org,
        "commitment": sealed.commitment(exchange),
        "kept_in": str(kept[0]),
        "reveal_from": t.commit_end,
        "reveal_until": t.reveal_end,
    }
    finish(app, done, result, value="commitment")


def _start_slot(
    exchange: Exchange, number: int, offer_id: int, resources: list[int], start: str | None
) -> int:
    """The slot a bid is to begin in; if none is named, the first from which all nodes are free."""
    from market.windows import parse_time

    r, offered = exchange.book.request(number), exchange.book.offer(offer_id).window
    if start is not None:
        return parse_time(start, now=exchange.now()) // exchange.slot
    if len(r.starts) == 1:
        return r.start
    shelves = [shelf_of(exchange, node, r.window) for node in resources]
    for slot in r.starts:
        piece = SlotWindow(slot, slot + r.slots)
        if offered.contains(piece) and all(
            shelf.calendar.is_free(piece, shelf.turnaround) for shelf in shelves
        ):
            return slot
    raise InvalidInput(
        "there is no piece of the request's window in which all these nodes are free",
        hint="see: ocx offer availability",
    )


def _check_bid(exchange: Exchange, number: int, bid: Bid, org: int) -> None:
    """Refuse now what the reveal would refuse later, when it costs the deposit."""
    from chain.eligible import eligible_ids

    offer_id, resources, rate = bid.offer, bid.resources, bid.rate
    o, r = exchange.book.offer(offer_id), exchange.book.request(number)
    offered = exchange.book.resources_of(offer_id)
    piece, taken = SlotWindow(bid.start, bid.start + r.slots), eligible_ids(exchange, number, r)
    hint = "a reveal would be refused and the deposit lost"
    if o.org != org or o.closed:
        raise InvalidInput(f"offer {offer_id} is not an open offer of organisation {org}", hint=hint)
    if not r.window.contains(piece):
        raise InvalidInput("the bid begins so that it would reach out of the request's window", hint=hint)
    if not o.window.contains(piece):
        raise InvalidInput(f"the bid's window is not inside offer {offer_id}", hint=hint)
    if not o.floor_rate <= rate <= r.ceiling_rate:
        raise InvalidInput(
            f"the rate {credits_text(rate)} is not between the offer's floor {credits_text(o.floor_rate)} "
            f"and the ceiling {credits_text(r.ceiling_rate)}",
            hint=hint,
        )
    for node in resources:
        if node not in offered:
            raise InvalidInput(f"node {node} is not of offer {offer_id}", hint=hint)
        if not exchange.inventory.covers(node, r.class_, r.spec):
            raise InvalidInput(f"node {node} is not of the class and size that is asked for", hint=hint)
        if taken is not None and node not in taken:
            raise InvalidInput(f"node {node} is not eligible, as its document is now", hint=hint)
        if not exchange.inventory.is_free(node, piece):
            raise InvalidInput(f"node {node} is not free in the bid's window", hint=hint)


@tender.command()
@click.argument("number", type=int)
@_ORG
@click.option(
    "--bid",
    "bid_file",
    type=click.Path(path_type=Path, dir_okay=False),
    help="File of the sealed bid; by default it is found in the state directory.",
)
@pass_app
def reveal(app: App, number: int, organisation: str | None, bid_file: Path | None) -> None:
    """Open a sealed bid, after the commitments and before the end of the reveals."""
    from chain.eligible import proofs_of
    from chain.generated.errors import Inventory_NotFree
    from cli.salts import find, read

    exchange = app.exchange(sign=True)
    org = org_id(exchange, organisation) if organisation else own_org(app, exchange)
    sealed = read(bid_file) if bid_file else find(app.state_dir, exchange, number, org)
    proofs = proofs_of(exchange, number, sealed.bid)
    call = exchange.tender.reveal(number, org, sealed.bid, sealed.salt, proofs)
    facts = {
        "bid": f"nodes {', '.join(map(str, sealed.bid.resources))} of offer {sealed.bid.offer}",
        "rate": f"{credits_text(sealed.bid.rate)} credits per resource and hour",
    }
    try:
        done = apply(app, exchange, Plan(f"Reveal the bid on tender {number}.", [call], facts))
    except Inventory_NotFree as error:
        error.hint = f"if a stranger's lease took it, the deposit comes back with: ocx tender excuse {number}"
        raise
    result = {
        "request": number,
        "bidder": org,
        "offer": sealed.bid.offer,
        "rate": sealed.bid.rate,
        "nodes": list(sealed.bid.resources),
    }
    finish(app, done, result)


@tender.command()
@click.argument("number", type=int)
@_ORG
@pass_app
def excuse(app: App, number: int, organisation: str | None) -> None:
    """Get a deposit back when a node of the bid was sold to a stranger after the commitment.

    Works instead of a reveal, and after an award that passed the bid over for this reason.
    """
    from chain.generated.events import BidExcused
    from cli.salts import excusing_call

    exchange = app.exchange(sign=True)
    org = org_id(exchange, organisation) if organisation else own_org(app, exchange)
    call = excusing_call(app.state_dir, exchange, number, org)
    deposit = exchange.tender.tender(number).deposit
    facts = {"returns": f"{credits_text(deposit)} credits"}
    done = apply(app, exchange, Plan(f"Excuse the bid on tender {number}.", [call], facts))
    finish(
        app, done, {"request": number, "bidder": org, "lease": done.one(BidExcused).lease, "deposit": deposit}
    )


@tender.command()
@click.argument("number", type=int)
@pass_app
def award(app: App, number: int) -> None:
    """Let the chain pick the winners, once reveals are over (anyone)."""
    from chain.generated.events import BidSkipped, LeaseOpened, TenderAwarded

    exchange = app.exchange(sign=True)
    call = exchange.tender.award(number)
    done = apply(app, exchange, Plan(f"Award tender {number}: the chain picks the winners.", [call]))
    awarded = done.find(TenderAwarded)
    leases = [
        {"lease": e.lease, "provider": e.provider, "rate": e.rate, "nodes": list(e.resources)}
        for e in done.find(LeaseOpened)
    ]
    result = {
        "request": number,
        "stage": exchange.tender.tender(number).stage,
        "award": awarded[0].award if awarded else None,
        "awarded": awarded[0].awarded if awarded else 0,
        "leases": leases,
        "skipped": [{"bidder": e.bidder, "status": e.status} for e in done.find(BidSkipped)],
    }
    finish(app, done, result, value="award")


@tender.command()
@click.argument("number", type=int)
@_ORG
@pass_app
def claim(app: App, number: int, organisation: str | None) -> None:
    """Take back a bid's deposit after the award, with its share of what others forfeited (anyone)."""
    from chain.generated.events import DepositClaimed

    exchange = app.exchange(sign=True)
    org = org_id(exchange, organisation) if organisation else own_org(app, exchange)
    plan = Plan(f"Return the deposit of tender {number}.", [exchange.tender.claim(number, org)])
    done = apply(app, exchange, plan)
    event = done.one(DepositClaimed)
    finish(app, done, {"request": number, "bidder": org, "deposit": event.deposit, "share": event.share})


@tender.command()
@click.argument("number", type=int)
@pass_app
def cancel(app: App, number: int) -> None:
    """Take an own tender back, while nobody has bid; all that is locked returns."""
    exchange = app.exchange(sign=True)
    amount = exchange.tender.tender(number).ceiling_amount
    facts = {"returns": f"{credits_text(amount)} credits"}
    done = apply(app, exchange, Plan(f"Cancel tender {number}.", [exchange.tender.cancel(number)], facts))
    finish(app, done, {"request": number, "refunded": amount})
