"""`ocx auction`: English auctions on resources of an offer, from opening to the award."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from cli.act import Plan, apply, finish
from cli.app import App, Group, pass_app
from cli.member import handles, own_org
from cli.offer import require_cover, span_text
from cli.options import for_option, node_option, window_end, window_start
from cli.parse import DURATION, RATE, increasing, offered_window, org_id, percent
from cli.promise import fee_fact, require_sla, sla_text
from cli.render import credits_text, history_rows, show, time_text, word
from market.billing import buyers_half, ppm_of, price
from market.errors import InvalidInput, Refused

if TYPE_CHECKING:
    from chain.contracts.english import Auction, EnglishAuction
    from chain.exchange import Exchange

__all__ = ["auction", "english_of"]

_ORG = click.option(
    "--org", "organisation", help="Whose bid, HANDLE or number; by default the own organisation's."
)


def english_of(exchange: Exchange) -> EnglishAuction:
    """The contract; Refused on an exchange that has none."""
    if exchange.english is None:
        raise Refused("this exchange has no English auctions", hint="the council publishes the contract")
    return exchange.english


@click.group(cls=Group)
def auction() -> None:
    """English auctions: open, bid, pull, award. The rate goes up in public, the last bid wins."""


@auction.command("open")
@click.argument("offer_id", metavar="OFFER", type=int)
@node_option
@window_start
@window_end
@for_option
@click.option(
    "--reserve", type=RATE, help="Least first bid, credits per resource and hour; by default the floor."
)
@click.option("--step", default="5%", help="How much more than the leader's the next bid has to be.")
@click.option("--bid-for", type=DURATION, default="1d", help="How long bids are taken, if none comes late.")
@click.option(
    "--extension",
    type=DURATION,
    default="10m",
    help="A bid with less left moves the end to so long from then.",
)
@click.option(
    "--longest", type=DURATION, help="Until the hard stop; by default --bid-for and six extensions."
)
@pass_app
def open_(
    app: App,
    offer_id: int,
    nodes: tuple[int, ...],
    start: str,
    end: str | None,
    length: int | None,
    reserve: int | None,
    step: str,
    bid_for: int,
    extension: int,
    longest: int | None,
) -> None:
    """Put nodes of an own open offer up for auction, for a window rounded inward to whole slots.

    The first bid ends sale at once of the whole offer until the award; it cannot be cancelled from then on.
    """
    from chain.contracts.english import AuctionTerms
    from chain.generated.events import AuctionOpened

    resources = increasing(nodes, "node")
    exchange = app.exchange(sign=True)
    english = english_of(exchange)
    window = offered_window(exchange, start, end, length)
    o = exchange.book.offer(offer_id)
    now, seconds = exchange.now(), window.window(exchange.slot)
    lasts = bid_for + 6 * extension if longest is None else longest
    rate = o.floor_rate if reserve is None else reserve
    terms = AuctionTerms(offer_id, window, rate, _step(step), now + bid_for, extension, now + lasts)
    least = price(rate, len(resources), seconds.start, seconds.end, now)
    facts = {
        "window": span_text(window, exchange.slot),
        "reserve": f"{credits_text(rate)} credits per resource and hour, {credits_text(least)} in all",
        "step": f"{step}; it doubles with each bid in the last {extension} s",
        "bids until": f"{time_text(terms.end)}, with late bids until {time_text(terms.hard_stop)} at most",
        "SLA": sla_text(o.sla),
        "locks": f"{credits_text(ppm_of(least, english.deposit_ppm()))} credits; lost if you cannot deliver",
    }
    facts |= _warning(exchange, offer_id, resources, o.org)
    org = own_org(app, exchange)
    plan = Plan(
        f"Put nodes {_listed(resources)} up for auction.", [english.open(terms, resources, org=org)], facts
    )
    done = apply(app, exchange, plan)
    opened = done.one(AuctionOpened)
    result = {
        "auction": opened.auction,
        "offer": offer_id,
        "nodes": resources,
        "reserve_rate": rate,
        "bidding_ends": terms.end,
        "hard_stop": terms.hard_stop,
        "deposit": opened.deposit,
        "start": seconds.start,
        "end": seconds.end,
    }
    finish(app, done, result, value="auction")


def _step(text: str) -> int:
    """Hundredths of a percent."""
    ppm = percent(text)
    if ppm % 100:
        raise InvalidInput(f"the step {text} is too fine", hint="give a percentage with at most two decimals")
    return ppm // 100


def _listed(resources: list[int] | tuple[int, ...]) -> str:
    return ", ".join(map(str, resources))


def _warning(exchange: Exchange, offer_id: int, resources: list[int], org: int) -> dict[str, str]:
    """Other open offers of the same nodes: who buys them there takes them out of the auction."""
    wanted, now = set(resources), exchange.now()
    others = [
        str(number)
        for number in exchange.book.offers()
        if number != offer_id
        and (o := exchange.book.offer(number)).org == org
        and not o.closed
        and o.end * exchange.slot > now
        and wanted & set(exchange.book.resources_of(number))
    ]
    if not others:
        return {}
    return {"careful": f"also in offer {', '.join(others)}: what is sold there costs you the deposit here"}


@auction.command()
@click.argument("number", type=int)
@click.option("--rate", type=RATE, help="Credits per resource and hour; by default the least that leads.")
@pass_app
def bid(app: App, number: int, rate: int | None) -> None:
    """Bid. The whole price is locked and cannot be taken back while you lead; who is outbid pulls it."""
    from chain.generated.events import AuctionBid

    exchange = app.exchange(sign=True)
    english = english_of(exchange)
    a, resources = english.auction(number), english.resources_of(number)
    own = own_org(app, exchange)
    least = english.least_rate(number)
    rate = least if rate is None else rate
    seconds = a.window.window(exchange.slot)
    most = price(rate, len(resources), seconds.start, seconds.end, exchange.now())
    sla = exchange.book.offer(a.offer).sla
    require_sla(exchange, sla)
    fees = buyers_half(exchange.awards.fee_of(a.window)) if sla else 0
    held = english.stake_of(number, own).amount
    require_cover(exchange, own, max(0, most + fees - held))
    facts = {
        "for": f"nodes {_listed(resources)}, {span_text(a.window, exchange.slot)}",
        "rate": f"{credits_text(rate)} credits per resource and hour; {credits_text(least)} is the least",
        "SLA": sla_text(sla),
        "locks": f"{credits_text(most)} credits at most; what is not billed comes back",
        **fee_fact(fees),
        "bids until": f"{time_text(a.end)}, with late bids until {time_text(a.hard_stop)} at most",
    }
    if held:
        facts["frees"] = f"{credits_text(held)} credits of your earlier bid"
    call = english.bid(number, rate, org=own)
    done = apply(app, exchange, Plan(f"Bid in auction {number}.", [call], facts))
    event = done.one(AuctionBid)
    result = {
        "auction": number,
        "org": event.buyer,
        "rate": event.rate,
        "amount": event.amount,
        "bidding_ends": event.bid_until,
        "step": _step_text(event.step_bps),
    }
    finish(app, done, result, value="rate")


def _step_text(bps: int) -> str:
    return f"{bps / 100:g}%"


@auction.command()
@click.argument("number", type=int)
@_ORG
@pass_app
def pull(app: App, number: int, organisation: str | None) -> None:
    """Take back what an organisation bid, once it is outbid (anyone)."""
    from chain.generated.events import BidPulled

    exchange = app.exchange(sign=True)
    org = org_id(exchange, organisation) if organisation else own_org(app, exchange)
    english = english_of(exchange)
    facts = {"returns": f"{credits_text(english.stake_of(number, org).amount)} credits"}
    done = apply(
        app, exchange, Plan(f"Pull a bid out of auction {number}.", [english.pull(number, org)], facts)
    )
    finish(app, done, {"auction": number, "org": org, "amount": done.one(BidPulled).amount}, value="amount")


@auction.command()
@click.argument("number", type=int)
@pass_app
def award(app: App, number: int) -> None:
    """Close an auction whose bidding is over: its leader gets the lease (anyone)."""
    from chain.generated.events import AuctionFailed, LeaseOpened

    exchange = app.exchange(sign=True)
    english = english_of(exchange)
    done = apply(app, exchange, Plan(f"Award auction {number} to who leads.", [english.award(number)]))
    a = english.auction(number)
    opened, failed = done.find(LeaseOpened), done.find(AuctionFailed)
    result = {
        "auction": number,
        "stage": a.stage,
        "org": a.leader or None,
        "rate": a.rate if opened else None,
        "award": a.award or None,
        "lease": opened[0].lease if opened else None,
        "reason": failed[0].reason if failed else None,
        "to_leader": failed[0].to_buyer if failed else 0,
    }
    finish(app, done, result, value="lease")


@auction.command()
@click.argument("number", type=int)
@pass_app
def cancel(app: App, number: int) -> None:
    """Take an own auction back, while nobody has bid; the deposit returns."""
    exchange = app.exchange(sign=True)
    english = english_of(exchange)
    deposit = english.auction(number).deposit
    facts = {"returns": f"{credits_text(deposit)} credits"}
    done = apply(app, exchange, Plan(f"Cancel auction {number}.", [english.cancel(number)], facts))
    finish(app, done, {"auction": number, "refunded": deposit}, value="refunded")


def _row(exchange: Exchange, english: EnglishAuction, number: int, now: int) -> dict[str, Any]:
    a, resources = english.auction(number), english.resources_of(number)
    return {
        "auction": number,
        "stage": a.stage.name.lower(),
        "offer": a.offer,
        "seller": a.seller,
        "class": word(exchange.inventory.resource(resources[0]).class_),
        "nodes": list(resources),
        "start": a.start * exchange.slot,
        "end": a.end_slot * exchange.slot,
        "leader": a.leader or None,
        "rate": a.rate if a.leader else None,
        "least_rate": english.least_rate(number),
        "bidding_ends": a.end,
        "next": _next(a, now),
    }


def _next(a: Auction, now: int) -> str:
    if a.stage.name != "OPEN":
        return "-"
    return "bid" if now < a.end else "award"


@auction.command("list")
@click.option("--all", "everything", is_flag=True, help="Those that are over too.")
@pass_app
def list_(app: App, everything: bool) -> None:
    """Auctions that are open."""
    exchange = app.exchange()
    english, now = english_of(exchange), exchange.now()
    rows = [_row(exchange, english, number, now) for number in english.auctions()]
    rows = [row for row in rows if everything or row["stage"] == "open"]
    show(app, rows, value="auction", empty="no open auctions; --all shows the others")


@auction.command("show")
@click.argument("number", type=int)
@click.option("--why", is_flag=True, help="Explain how it stands by the bids and transactions behind it.")
@pass_app
def show_(app: App, number: int, why: bool) -> None:
    """An auction: how bidding stands, what it holds of whom, its lease, and its full history."""
    from chain.history import history

    exchange = app.exchange()
    english, now = english_of(exchange), exchange.now()
    a = english.auction(number)
    entries = history(exchange, [english], "auction", number)
    result = _row(exchange, english, number, now) | {
        "reserve_rate": a.reserve_rate,
        "step": _step_text(a.step_bps),
        "extension": a.extension,
        "hard_stop": a.hard_stop,
        "deposit": a.deposit,
        "by": a.by,
        "award": a.award or None,
        "leases": _leases(exchange, a),
        "stakes": _stakes(exchange, english, number, entries),
    }
    if why:
        result["why"] = _why(a, number, entries, now)
    show(app, result | {"history": history_rows(entries, exchange.slot)}, value="stage")


def _leases(exchange: Exchange, a: Auction) -> list[int]:
    from chain.generated.events import LeaseOpened
    from chain.history import history

    if not a.award:
        return []
    entries = history(exchange, [exchange.leases], "buyer", a.leader, kinds=[LeaseOpened])
    return [e.event.lease for e in entries if isinstance(e.event, LeaseOpened) and e.event.award == a.award]


def _stakes(exchange: Exchange, english: EnglishAuction, number: int, entries: Any) -> list[dict[str, Any]]:
    """What it still holds of whom."""
    from chain.generated.events import AuctionBid

    names = handles(exchange)
    bidders = sorted({e.event.buyer for e in entries if isinstance(e.event, AuctionBid)})
    held = {org: english.stake_of(number, org) for org in bidders}
    return [
        {"org": org, "handle": names[org], "amount": stake.amount, "by": stake.by}
        for org, stake in held.items()
        if stake.amount
    ]


def _why(a: Auction, number: int, entries: Any, now: int) -> list[str]:
    """How it came to stand as it does, oldest first, then what may be done now."""
    from cli.reasons import auction_line

    lines = [text for entry in entries if (text := auction_line(entry))]
    if a.stage.name != "OPEN":
        return lines
    if now >= a.end:
        lines.append(f"bidding is over since {time_text(a.end)}; anyone may award it now")
    else:
        led = f"organisation {a.leader} leads" if a.leader else "nobody has bid"
        lines.append(f"{led}; bids are taken for {a.end - now} s more, until {time_text(a.end)}")
    return lines
