"""`ocx offer order`: restricted offers, signed and handed out as files, filled on chain (P4)."""

from __future__ import annotations

import secrets
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cli.act import Plan, apply, confirm, finish
from cli.app import App, Group, pass_app
from cli.member import handles, own_org
from cli.options import for_option, node_option, sla_option, window_end, window_start
from cli.parse import DURATION, RATE, increasing, offered_window, org_id, wanted_window
from cli.promise import fee_fact, require_sla, sla_text
from cli.render import credits_text, history_rows, show, time_text
from market.billing import buyers_half, price
from market.errors import InvalidInput, Refused

if TYPE_CHECKING:
    from chain.contracts.orders import Orders
    from chain.exchange import Exchange
    from chain.orders import SignedOrder

__all__ = ["order"]

_LARGEST = 1 << 16
_FILE = click.argument("file", type=click.Path(path_type=Path, dir_okay=False))


def _orders(exchange: Exchange) -> Orders:
    if exchange.orders is None:
        raise Refused("this exchange has no restricted offers", hint="the council publishes the contract")
    return exchange.orders


@click.group(cls=Group)
def order() -> None:
    """Restricted offers: files that a seller signs and hands to those who may rent."""


@order.command()
@node_option
@window_start
@window_end
@for_option
@click.option("--to", "within", required=True, help="Who may rent: this organisation and those below it.")
@click.option("--rate", type=RATE, required=True, help="Credits per resource and hour.")
@click.option("--min-slots", type=click.IntRange(1), default=1, help="Shortest piece.")
@sla_option
@click.option(
    "--valid-for", type=DURATION, help="How long it may be filled; by default until its window ends."
)
@click.option(
    "-o",
    "--out",
    "file",
    type=click.Path(path_type=Path, dir_okay=False),
    required=True,
    help="File that the signed order is written to.",
)
@pass_app
def make(
    app: App,
    nodes: tuple[int, ...],
    start: str,
    end: str | None,
    length: int | None,
    within: str,
    rate: int,
    min_slots: int,
    sla: int,
    valid_for: int | None,
    file: Path,
) -> None:
    """Sign an order on own nodes and write it to a file; no transaction. Hand the file to who may rent.

    It binds you until it expires or is cancelled, and is carried by the limit of the wallet that signs.
    """
    from chain.orders import Order, sign

    if file.exists():
        raise InvalidInput(f"{file} exists", hint="name another file, or remove it")
    resources = increasing(nodes, "node")
    exchange = app.exchange(sign=True)
    orders, org = _orders(exchange), own_org(app, exchange)
    require_sla(exchange, sla)
    window = offered_window(exchange, start, end, length)
    buyers, now = org_id(exchange, within), exchange.now()
    _require_own(exchange, org, resources)
    until = window.end_slot * exchange.slot
    expires = until if valid_for is None else min(until, now + valid_for)
    # Milliseconds of the chain's time and a little chance: `cancel --all` cancels what was made until then.
    nonce = max(now * 1000 + secrets.randbelow(1000), orders.least_nonce(org))
    terms = Order(
        seller=org,
        within=buyers,
        start=window.start_slot,
        end=window.end_slot,
        rate=rate,
        min_slots=min_slots,
        sla=sla,
        traits=0,
        resources=tuple(resources),
        nonce=nonce,
        expires=expires,
    )
    facts = {
        "for": f"{handles(exchange)[buyers]} and those below it",
        "window": _window_text(terms.start, terms.end, exchange.slot),
        "rate": f"{credits_text(rate)} credits per resource and hour",
        "SLA": sla_text(sla),
        "valid": f"until {time_text(expires)}; it can be filled as often as something is free",
    }
    confirm(app, f"Sign an order on nodes {', '.join(map(str, resources))}.", facts)
    assert exchange.wallet is not None  # noqa: S101  sign=True
    signed = sign(exchange.wallet, terms, exchange.connection.chain_id, orders.address)
    with file.open("x") as out:
        out.write(signed.to_json())
    result = {"file": str(file), "order": orders.digest_of(terms), "nonce": nonce, "expires": expires}
    show(app, result, value="file")


def _require_own(exchange: Exchange, org: int, resources: list[int]) -> None:
    """Refuse now what nobody could fill later."""
    from chain.contracts.members import MemberRight

    address = exchange.sender.address
    if not exchange.members.member_of(org, address).rights & MemberRight.OFFER:
        raise Refused(f"{address} may not offer for organisation {org}", hint="an admin gives the right")
    for number in resources:
        resource = exchange.inventory.resource(number)
        if resource.owner != org or resource.retired:
            raise InvalidInput(
                f"node {number} is not of organisation {org}, or retired", hint="see: ocx node list --mine"
            )


def _window_text(start: int, end: int, slot: int) -> str:
    return f"{time_text(start * slot)} to {time_text(end * slot)} ({end - start} slots of {slot} s)"


def _read(exchange: Exchange, file: Path) -> SignedOrder:
    """An order from its file, for this very exchange."""
    from chain.orders import SignedOrder

    try:
        with file.open("rb") as opened:
            text = opened.read(_LARGEST).decode()
    except OSError as error:
        raise InvalidInput(
            f"cannot read the order {file} ({error.strerror})", hint="name a file that is there"
        ) from error
    except UnicodeDecodeError as error:
        raise InvalidInput("this is no file of an order", hint="ask its seller for it again") from error
    signed = SignedOrder.from_json(text)
    here = (exchange.connection.chain_id, _orders(exchange).address)
    if (signed.chain_id, signed.contract) != here:
        raise Refused(
            "the order was made for another exchange, or an earlier generation of it",
            hint="ask its seller for a new one",
        )
    return signed


@order.command("show")
@_FILE
@pass_app
def show_(app: App, file: Path) -> None:
    """An order in a file: its terms, its signer, whether it is good now, what is free, what was filled."""
    from chain.history import history
    from cli.offer import free_of

    exchange = app.exchange()
    orders, signed = _orders(exchange), _read(exchange, file)
    o, slot = signed.order, exchange.slot
    digest = orders.digest_of(o)
    free = [
        {"node": node, "start": run.start_slot * slot, "end": run.end_slot * slot}
        for node in o.resources
        for run in free_of(exchange, node, o.window)
    ]
    entries = history(exchange, [orders], "order", digest)
    result = {
        "order": digest,
        "state": _state(exchange, signed),
        "seller": o.seller,
        "to": o.within,
        "signer": signed.signer,
        "nodes": list(o.resources),
        "start": o.start * slot,
        "end": o.end * slot,
        "rate": o.rate,
        "min_slots": o.min_slots,
        "sla": o.sla or None,
        "nonce": o.nonce,
        "expires": o.expires,
        "free_parts": free,
        "history": history_rows(entries, slot),
    }
    show(app, result, value="state")


def _state(exchange: Exchange, signed: SignedOrder) -> str:
    """One word for whether it can be filled now."""
    from chain.contracts.members import MemberRight

    o = signed.order
    if _orders(exchange).is_cancelled(o):
        return "cancelled"
    if exchange.now() >= o.expires:
        return "expired"
    rights = exchange.members.member_of(o.seller, signed.signer).rights
    return "good" if rights & MemberRight.OFFER else "void: its signer may not offer for its seller"


@order.command()
@_FILE
@node_option
@window_start
@window_end
@for_option
@pass_app
def fill(
    app: App, file: Path, nodes: tuple[int, ...], start: str, end: str | None, length: int | None
) -> None:
    """Rent nodes of an order, in this one transaction."""
    from chain.generated.events import OrderFilled
    from cli.offer import require_cover

    resources = increasing(nodes, "node")
    exchange = app.exchange(sign=True)
    orders, signed = _orders(exchange), _read(exchange, file)
    o, window = signed.order, wanted_window(exchange, start, end, length)
    seconds = window.window(exchange.slot)
    most = price(o.rate, len(resources), seconds.start, seconds.end, exchange.now())
    require_sla(exchange, o.sla)
    fees = buyers_half(exchange.awards.fee_of(window)) if o.sla else 0
    buyer = own_org(app, exchange)
    require_cover(exchange, buyer, most + fees)
    facts = {
        "of": f"{handles(exchange)[o.seller]}, signed by {signed.signer}",
        "window": _window_text(window.start_slot, window.end_slot, exchange.slot),
        "rate": f"{credits_text(o.rate)} credits per resource and hour",
        "SLA": sla_text(o.sla),
        "locks": f"{credits_text(most)} credits at most; what is not billed comes back",
        **fee_fact(fees),
    }
    call = orders.fill(signed, resources, window, org=buyer)
    title = f"Rent nodes {', '.join(map(str, resources))} by an order."
    done = apply(app, exchange, Plan(title, [call], facts))
    filled = done.one(OrderFilled)
    result: dict[str, Any] = {
        "lease": filled.lease,
        "award": filled.award,
        "order": filled.order,
        "rate": o.rate,
        "price": exchange.settlement.account(filled.lease).price,
        "start": seconds.start,
        "end": seconds.end,
    }
    finish(app, done, result, value="lease")


@order.command()
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False), required=False)
@click.option("--all", "everything", is_flag=True, help="All orders of the organisation made until now.")
@pass_app
def cancel(app: App, file: Path | None, everything: bool) -> None:
    """Take an own order back, or all of them, handed out or lost; what was filled lives on."""
    if (file is None) == (not everything):
        raise InvalidInput("name one order's file, or give --all", hint="not both")
    exchange = app.exchange(sign=True)
    orders = _orders(exchange)
    if file is not None:
        signed = _read(exchange, file)
        digest = orders.digest_of(signed.order)
        done = apply(app, exchange, Plan("Cancel an order.", [orders.cancel(signed.order)]))
        return finish(app, done, {"order": digest, "nonce": signed.order.nonce})
    org = own_org(app, exchange)
    nonce = max(exchange.now() * 1000 + 1000, orders.least_nonce(org) + 1)
    facts = {"cancels": f"every order of organisation {org} made until now"}
    done = apply(app, exchange, Plan("Cancel all orders.", [orders.cancel_below(nonce, org=org)], facts))
    return finish(app, done, {"org": org, "least_nonce": nonce})
