"""`ocx offer reprice`: other rates for an offer that rests."""

from __future__ import annotations

import click

from cli.act import Plan, apply, finish
from cli.app import App, pass_app
from cli.parse import RATE
from cli.render import credits_text
from market.billing import amount_up, ppm_of

__all__ = ["reprice"]


@click.command()
@click.argument("number", type=int)
@click.option("--floor", type=RATE, help="New lowest rate; by default it stays.")
@click.option(
    "--buy-now", type=RATE, help="New rate at which anybody may rent, at most the old one; 0: nobody."
)
@pass_app
def reprice(app: App, number: int, floor: int | None, buy_now: int | None) -> None:
    """Ask other rates for an own open offer; its deposit follows the floor.

    The rate at which anybody may rent only falls: to raise it cancel the offer and publish another.
    """
    from chain.generated.events import OfferRepriced

    exchange = app.exchange(sign=True)
    o = exchange.book.offer(number)
    floor = o.floor_rate if floor is None else floor
    buy_now = o.buy_now_rate if buy_now is None else buy_now
    resources = exchange.book.resources_of(number)
    seconds = o.window.window(exchange.slot).seconds
    deposit = ppm_of(amount_up(floor, len(resources), seconds), exchange.book.order_deposit_ppm())
    facts = {
        "floor": f"{credits_text(floor)} credits per resource and hour, {credits_text(o.floor_rate)} before",
        "buy now": f"{credits_text(buy_now)} credits per resource and hour" if buy_now else "no",
        "locks": f"{credits_text(deposit)} credits while it rests, {credits_text(o.deposit)} before",
    }
    call = exchange.book.reprice(number, floor, buy_now)
    done = apply(app, exchange, Plan(f"Ask other rates for offer {number}.", [call], facts))
    event = done.one(OfferRepriced)
    result = {
        "offer": number,
        "floor_rate": event.floor_rate,
        "buy_now_rate": event.buy_now_rate,
        "deposit": event.deposit,
    }
    finish(app, done, result, value="offer")
