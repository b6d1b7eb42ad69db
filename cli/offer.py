"""`ocx offer`: resources for rent, and buying them at once."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cli.act import Plan, apply, finish, working
from cli.app import App, Group, pass_app
from cli.availability import availability, shelf_of
from cli.member import own_org
from cli.options import for_option, load_settings, node_option, sla_option, window_end, window_start
from cli.order import order
from cli.parse import RATE, increasing, offered_window, wanted_window
from cli.promise import fee_fact, require_sla, sla_text
from cli.render import credits_text, history_rows, show, time_text, word
from cli.reprice import reprice
from market.availability import Offered, free_parts
from market.billing import amount_up, bond, buyers_half, ppm_of, price
from market.errors import InvalidInput, Refused
from market.windows import SlotWindow

if TYPE_CHECKING:
    from chain.exchange import Exchange

__all__ = ["free_of", "offer", "offer_state", "offer_terms", "require_cover", "span_text"]


def span_text(window: SlotWindow, slot: int) -> str:
    """A window of slots as people read it."""
    seconds = window.window(slot)
    return f"{time_text(seconds.start)} to {time_text(seconds.end)} ({window.slots} slots of {slot} s)"


def offer_state(exchange: Exchange, number: int) -> str:
    """The word of the glossary for where an offer stands."""
    from chain.generated import events
    from chain.history import history

    o = exchange.book.offer(number)
    now, slot = exchange.now(), exchange.slot
    resources = exchange.book.resources_of(number)
    leases = [
        lease for lease in _leases(exchange, resources, o.org) if exchange.leases.lease(lease).offer == number
    ]
    over = o.end * slot <= now
    if o.closed and not over:
        entries = history(exchange, [exchange.book], "offer", number, kinds=[events.OfferClosed])
        if any(isinstance(e.event, events.OfferClosed) and e.event.cancelled for e in entries):
            return "cancelled"
    if over:
        billed = any(exchange.settlement.account(lease).units for lease in leases)
        return "fulfilled" if billed else "expired"
    if leases and not any(free for resource in resources for free in free_of(exchange, resource, o.window)):
        return "in contract"
    return "published"


def _leases(exchange: Exchange, resources: tuple[int, ...], org: int) -> list[int]:
    from cli.balances import leases_of

    wanted = set(resources)
    return [lease for lease in leases_of(exchange, org) if wanted & set(exchange.leases.resources_of(lease))]


def free_of(exchange: Exchange, resource: int, window: SlotWindow) -> list[SlotWindow]:
    """What is still free of a resource inside a window, from the current slot on."""
    first = max(window.start_slot, exchange.now() // exchange.slot)
    if first >= window.end_slot:
        return []
    rest = SlotWindow(first, window.end_slot)
    offered = Offered(rest, (shelf_of(exchange, resource, rest),))
    return [part.window for part in free_parts(offered, first)]


def offer_terms(exchange: Exchange, numbers: Iterable[int]) -> list[dict[str, Any]]:
    """What was offered, for those who show what came of it."""
    rows = []
    for number in numbers:
        o = exchange.book.offer(number)
        rows.append(
            {
                "offer": number,
                "org": o.org,
                "start": o.start * exchange.slot,
                "end": o.end * exchange.slot,
                "floor_rate": o.floor_rate,
                "buy_now_rate": o.buy_now_rate,
                "sla": o.sla or None,
                "created_at": o.created_at,
            }
        )
    return rows


@click.group(cls=Group)
def offer() -> None:
    """Offers: publish, look, cancel, buy now."""


offer.add_command(availability)
offer.add_command(order)
offer.add_command(reprice)


@offer.command()
@node_option
@window_start
@window_end
@for_option
@click.option(
    "--floor",
    type=RATE,
    help="Lowest rate, credits per resource and hour; by default what the agent's configuration asks.",
)
@click.option(
    "--buy-now", type=RATE, default="0", help="Rate at which anybody may rent at once; 0: nobody may."
)
@click.option("--min-slots", type=click.IntRange(1), default=1, help="Shortest piece that is sold at once.")
@sla_option
@click.option(
    "--reclaimable",
    is_flag=True,
    help="What is bought at once may be taken back, against notice and compensation.",
)
@click.option(
    "--config",
    "config_file",
    type=click.Path(path_type=Path, dir_okay=False),
    envvar="OCX_CONFIG",
    help="The agent's configuration file, for a floor that is not given.",
)
@pass_app
def publish(
    app: App,
    nodes: tuple[int, ...],
    start: str,
    end: str | None,
    length: int | None,
    floor: int | None,
    buy_now: int,
    min_slots: int,
    sla: int,
    reclaimable: bool,
    config_file: Path | None,
) -> None:
    """Offer nodes of one class and site for rent; the window rounds inward to whole slots."""
    from chain.contracts.book import OfferTerms
    from chain.contracts.leases import Trait
    from chain.generated.events import OfferPublished

    resources = increasing(nodes, "node")
    exchange = app.exchange(sign=True)
    require_sla(exchange, sla)
    window = offered_window(exchange, start, end, length)
    if floor is None:
        floor = _configured_floor(exchange, resources, config_file)
    traits = Trait.RECLAIMABLE if reclaimable else Trait.NONE
    terms, org = OfferTerms(window, floor, buy_now, min_slots, sla, traits), own_org(app, exchange)
    seconds = window.window(exchange.slot).seconds
    deposit = ppm_of(amount_up(floor, len(resources), seconds), exchange.book.order_deposit_ppm())
    facts = {
        "window": span_text(window, exchange.slot),
        "floor": f"{credits_text(floor)} credits per resource and hour",
        "buy now": f"{credits_text(buy_now)} credits per resource and hour" if buy_now else "no",
        "SLA": sla_text(sla),
        "locks": f"{credits_text(deposit)} credits while it rests; a lease locks its bond besides",
    }
    title = f"Offer {_nodes(resources)} for rent."
    done = apply(app, exchange, Plan(title, [exchange.book.publish(terms, resources, org=org)], facts))
    number = done.one(OfferPublished).offer
    result = {"offer": number, "nodes": resources, "deposit": deposit} | _span(window, exchange.slot)
    finish(app, done, result, value="offer")


def _configured_floor(exchange: Exchange, resources: list[int], config_file: Path | None) -> int:
    """What the clouds of the agent's configuration ask for these nodes at least."""
    from provisioner.catalogue import least_rate, load_plugins, measure

    if config_file is None:
        raise InvalidInput(
            "the offer has no floor", hint="give --floor, or --config with a plugin that asks one"
        )
    with working("asking the clouds"):
        measured = measure(load_plugins(load_settings(config_file).plugins))
    return least_rate(exchange, measured, resources)


def _nodes(resources: list[int]) -> str:
    return f"node{'s' if len(resources) > 1 else ''} {', '.join(map(str, resources))}"


def require_cover(exchange: Exchange, org: int, amount: int) -> None:
    """Tell a buyer what it lacks; the contract would only say that it lacks something."""
    from chain.contracts.members import MemberRight

    address = exchange.sender.address
    member = exchange.members.member_of(org, address)
    if not member.rights & MemberRight.BUY or exchange.escrow.can_lock(org, address, amount):
        return
    free = exchange.escrow.free(exchange.members.party_of(org))
    if free < amount:
        raise Refused(
            f"{credits_text(amount)} credits must be locked, but only {credits_text(free)} are free",
            hint="rent less or shorter, or put credits in with: ocx credits deposit",
            free=free,
            wanted=amount,
        )
    raise Refused(
        f"the limit of {address} is {credits_text(member.limit)} credits, of which "
        f"{credits_text(member.spent)} are spent; {credits_text(amount)} must be locked",
        hint="an admin raises it with: ocx member set",
        wanted=amount,
    )


def _span(window: SlotWindow, slot: int) -> dict[str, int]:
    seconds = window.window(slot)
    return {"start": seconds.start, "end": seconds.end, "slots": window.slots}


def _row(exchange: Exchange, number: int) -> dict[str, Any]:
    from chain.contracts.leases import Trait

    o = exchange.book.offer(number)
    resources = exchange.book.resources_of(number)
    return {
        "offer": number,
        "state": offer_state(exchange, number),
        "org": o.org,
        "class": word(exchange.inventory.resource(resources[0]).class_),
        "nodes": list(resources),
        "start": o.start * exchange.slot,
        "end": o.end * exchange.slot,
        "floor_rate": o.floor_rate,
        "buy_now_rate": o.buy_now_rate,
        "min_slots": o.min_slots,
        "sla": o.sla or None,
        "reclaimable": bool(o.traits & Trait.RECLAIMABLE),
    }


@offer.command("list")
@click.option("--all", "everything", is_flag=True, help="Closed and past ones too.")
@click.option("--class", "class_name", help="Only this class.")
@pass_app
def list_(app: App, everything: bool, class_name: str | None) -> None:
    """Offers that are open."""
    exchange = app.exchange()
    now, slot = exchange.now(), exchange.slot
    rows = []
    for number in exchange.book.offers():
        o = exchange.book.offer(number)
        if everything or not (o.closed or o.end * slot <= now):
            rows.append(_row(exchange, number))
    rows = [row for row in rows if class_name in (None, row["class"])]
    show(app, rows, value="offer", empty="no open offers; --all shows the others")


@offer.command("show")
@click.argument("number", type=int)
@pass_app
def show_(app: App, number: int) -> None:
    """One offer with what of it is still free, its leases and its history."""
    from chain.history import history

    exchange = app.exchange()
    row = _row(exchange, number)
    o = exchange.book.offer(number)
    free = [
        {"node": node, "start": run.start_slot * exchange.slot, "end": run.end_slot * exchange.slot}
        for node in row["nodes"]
        for run in free_of(exchange, node, o.window)
    ]
    leases = [
        n for n in _leases(exchange, tuple(row["nodes"]), o.org) if exchange.leases.lease(n).offer == number
    ]
    entries = history(exchange, [exchange.book], "offer", number)
    result = row | {"created_at": o.created_at, "by": o.by, "deposit": o.deposit, "closed": o.closed}
    result["frozen_until"] = o.frozen_until
    show(
        app,
        result | {"free_parts": free, "leases": leases, "history": history_rows(entries, exchange.slot)},
        value="state",
    )


@offer.command()
@click.argument("number", type=int)
@pass_app
def cancel(app: App, number: int) -> None:
    """Close an own offer; leases it led to live on, its deposit returns."""
    exchange = app.exchange(sign=True)
    deposit = exchange.book.offer(number).deposit
    facts = {"returns": f"{credits_text(deposit)} credits"}
    done = apply(app, exchange, Plan(f"Cancel offer {number}.", [exchange.book.cancel(number)], facts))
    finish(app, done, {"offer": number, "refunded": deposit}, value="offer")


@offer.command()
@click.argument("number", type=int)
@pass_app
def expire(app: App, number: int) -> None:
    """Close an offer whose window is over, which returns its deposit (anyone)."""
    exchange = app.exchange(sign=True)
    done = apply(app, exchange, Plan(f"Close offer {number}.", [exchange.book.expire(number)]))
    finish(app, done, {"offer": number}, value="offer")


@offer.command()
@click.argument("number", type=int)
@node_option
@window_start
@window_end
@for_option
@click.option("--sla", type=click.IntRange(0), help="Rent only if the offer promises this SLA; 0: none.")
@pass_app
def buy(
    app: App,
    number: int,
    nodes: tuple[int, ...],
    start: str,
    end: str | None,
    length: int | None,
    sla: int | None,
) -> None:
    """Rent nodes of an offer at its buy-now rate, in this one transaction."""
    from chain.generated.events import BoughtNow

    resources = increasing(nodes, "node")
    exchange = app.exchange(sign=True)
    window = wanted_window(exchange, start, end, length)
    o = exchange.book.offer(number)
    if sla not in (None, o.sla):
        raise Refused(
            f"offer {number} promises {f'SLA {o.sla}' if o.sla else 'no SLA'}",
            hint="choose another offer, or that SLA",
            sla=o.sla,
        )
    seconds = window.window(exchange.slot)
    most = price(o.buy_now_rate, len(resources), seconds.start, seconds.end, exchange.now())
    require_sla(exchange, o.sla)
    fees = buyers_half(exchange.awards.fee_of(window)) if o.sla else 0
    buyer = own_org(app, exchange)
    require_cover(exchange, buyer, most + fees)
    facts = {
        "window": span_text(window, exchange.slot),
        "rate": f"{credits_text(o.buy_now_rate)} credits per resource and hour",
        "SLA": sla_text(o.sla),
        "locks": f"{credits_text(most)} credits at most; what is not billed comes back",
        **fee_fact(fees),
        "provider's bond": f"{credits_text(bond(most, exchange.leases.terms().default_ppm))} credits",
    }
    title = f"Rent {_nodes(resources)} of offer {number} now."
    done = apply(
        app, exchange, Plan(title, [exchange.book.buy_now(number, resources, window, org=buyer)], facts)
    )
    bought = done.one(BoughtNow)
    paid = exchange.settlement.account(bought.lease).price
    result = {
        "lease": bought.lease,
        "award": bought.award,
        "offer": number,
        "rate": o.buy_now_rate,
        "price": paid,
    }
    finish(app, done, result | _span(window, exchange.slot), value="lease")
