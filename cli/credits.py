"""`ocx credits`: the exchange's money, in wallets (an ERC-20) and in the organisations' escrow balances."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from cli.act import Plan, apply, finish
from cli.app import App, Group, pass_app
from cli.member import handles, own_org
from cli.parse import ADDRESS, CREDITS, org_id
from cli.render import credits_text, history_rows, show, word
from cli.statement import statement
from market.errors import InvalidInput

if TYPE_CHECKING:
    from chain.exchange import Exchange

__all__ = ["credits_"]


@click.group("credits", cls=Group)
def credits_() -> None:
    """Credits: mint, burn, deposit, withdraw, transfer, look at balances, monthly statements."""


@credits_.command()
@click.argument("address", type=ADDRESS)
@click.argument("amount", type=CREDITS)
@click.option("--ref", default="cli", help="What they stand for outside, e.g. an invoice number (31 bytes).")
@pass_app
def mint(app: App, address: str, amount: int, ref: str) -> None:
    """Make AMOUNT new credits in the wallet ADDRESS (council)."""
    exchange = app.exchange(sign=True)
    facts = {"to": address, "amount": f"{credits_text(amount)} credits", "reference": ref}
    done = apply(app, exchange, Plan("Mint credits.", [exchange.credits.mint(address, amount, ref)], facts))
    finish(app, done, {"to": address, "amount": amount, "ref": ref})


@credits_.command()
@click.argument("amount", type=CREDITS)
@click.option(
    "--ref", required=True, help="What is given out for them outside, e.g. a payment's number (31 bytes)."
)
@pass_app
def burn(app: App, amount: int, ref: str) -> None:
    """Take AMOUNT credits of the wallet's own out of the world, for ever (council)."""
    if amount == 0:
        raise InvalidInput("to burn nothing is no burning", hint="give more than 0 credits")
    exchange = app.exchange(sign=True)
    call = exchange.credits.burn(amount, ref)
    _require_wallet_credits(exchange, amount)
    facts = {"amount": f"{credits_text(amount)} credits", "reference": ref}
    done = apply(app, exchange, Plan("Burn credits.", [call], facts))
    finish(app, done, {"amount": amount, "ref": ref, "total_supply": exchange.credits.total_supply()})


@credits_.command()
@click.argument("organisation", required=False)
@pass_app
def balance(app: App, organisation: str | None) -> None:
    """What an organisation has free and locked; by default the wallet's own."""
    from cli.balances import locked

    exchange = app.exchange()
    org = org_id(exchange, organisation) if organisation else own_org(app, exchange)
    parts = locked(exchange, org)
    result: dict[str, Any] = {
        "org": org,
        "handle": word(exchange.members.organisation(org).handle),
        "free": exchange.escrow.free(org),
        "locked": sum(parts.values()),
        "locked_for": parts,
    }
    address = app.address()
    if address is not None and exchange.members.member(address).org == org:
        result["wallet_credits"] = exchange.credits.balance_of(address)
    show(app, result, value="free")


@credits_.command()
@click.argument("address", type=ADDRESS)
@click.argument("amount", type=CREDITS)
@pass_app
def transfer(app: App, address: str, amount: int) -> None:
    """Send AMOUNT credits from the wallet to another ADDRESS."""
    exchange = app.exchange(sign=True)
    _require_wallet_credits(exchange, amount)
    facts = {"to": address, "amount": f"{credits_text(amount)} credits"}
    done = apply(
        app, exchange, Plan("Transfer credits.", [exchange.credits.transfer(address, amount)], facts)
    )
    finish(app, done, {"to": address, "amount": amount})


def _require_wallet_credits(exchange: Exchange, amount: int) -> None:
    from market.errors import Refused

    have = exchange.credits.balance_of(exchange.sender.address)
    if have < amount:
        raise Refused(
            f"the wallet holds {credits_text(have)} credits, not {credits_text(amount)}",
            hint="give a smaller amount, or let the council mint or somebody transfer the rest",
            balance=have,
            wanted=amount,
        )


@credits_.command()
@click.argument("amount", type=CREDITS)
@click.option("--org", "organisation", help="Into whose balance; by default the wallet's own organisation.")
@pass_app
def deposit(app: App, amount: int, organisation: str | None) -> None:
    """Put AMOUNT credits from the wallet into the organisation's free balance (approve and deposit)."""
    if amount == 0:
        raise InvalidInput("a deposit of nothing is none", hint="give more than 0 credits")
    exchange = app.exchange(sign=True)
    org = org_id(exchange, organisation) if organisation else own_org(app, exchange)
    _require_wallet_credits(exchange, amount)
    calls = [exchange.escrow.deposit(org, amount)]
    if exchange.credits.allowance(exchange.sender.address, exchange.escrow.address) < amount:
        calls.insert(0, exchange.credits.approve(exchange.escrow.address, amount))
    facts = {"into": f"organisation {org}", "amount": f"{credits_text(amount)} credits"}
    done = apply(app, exchange, Plan("Deposit credits.", calls, facts, chained=True))
    finish(app, done, {"org": org, "amount": amount, "free": exchange.escrow.free(org)})


@credits_.command()
@click.argument("amount", type=CREDITS)
@pass_app
def withdraw(app: App, amount: int) -> None:
    """Take AMOUNT credits out of the organisation's free balance, to its payout address only (admin)."""
    exchange = app.exchange(sign=True)
    org = own_org(app, exchange)
    to = exchange.members.organisation(org).payout
    facts = {"to": to, "amount": f"{credits_text(amount)} credits"}
    done = apply(app, exchange, Plan("Withdraw credits.", [exchange.escrow.withdraw(amount)], facts))
    finish(app, done, {"org": org, "to": to, "amount": amount, "free": exchange.escrow.free(org)})


@credits_.command()
@click.argument("organisation", required=False)
@pass_app
def history(app: App, organisation: str | None) -> None:
    """Every movement of an organisation's credits, each with its transaction; by default the wallet's own."""
    from cli.balances import movements

    exchange = app.exchange()
    org = org_id(exchange, organisation) if organisation else own_org(app, exchange)
    names = {at: contract.NAME for contract in exchange.contracts() for at in contract.addresses}
    rows = []
    for row, entry in zip(
        history_rows(entries := movements(exchange, org), exchange.slot), entries, strict=True
    ):
        opener = getattr(entry.event, "opener", None)
        rows.append(
            {
                "time": row["time"],
                "event": row["event"],
                "amount": getattr(entry.event, "amount", 0),
                "by_contract": names.get(opener) if opener else None,
                "block": row["block"],
                "tx": row["tx"],
            }
        )
    show(app, rows, empty=f"{handles(exchange)[org]} has moved no credits yet")


credits_.add_command(statement)
