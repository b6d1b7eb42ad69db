"""`ocx member` below and between organisations: places in the tree, budgets, grants, keys that move."""

from __future__ import annotations

from typing import Any

import click

from cli.act import Plan, apply, finish, run
from cli.app import App, Command, pass_app
from cli.parse import ADDRESS, CREDITS, org_id
from cli.render import NO_LIMIT, credits_text, show, word
from market.errors import InvalidInput

__all__ = ["COMMANDS"]


@click.command(cls=Command)
@pass_app
def tree(app: App) -> None:
    """All organisations as they stand below each other, with the budgets of departments."""
    exchange = app.exchange()
    orgs = range(1, exchange.members.count() + 1)
    places, named = exchange.members.places(orgs), exchange.members.many(orgs)
    below: dict[int, list[int]] = {}
    for org, place in places.items():
        below.setdefault(place.parent, []).append(org)

    def rows(parent: int) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        for org in below.get(parent, ()):
            place = places[org]
            kind = "department" if place.department else "party"
            row: dict[str, Any] = {"handle": "  " * (place.level - 1) + word(named[org].handle), "org": org}
            row |= {"kind": kind, "party": place.party, "suspended": named[org].suspended}
            row |= _budget(place.budget, place.used) if place.department else {"budget": None, "used": None}
            found += [row, *rows(org)]
        return found

    show(app, rows(0), value="org", empty="no organisations")


def _budget(budget: int, used: int) -> dict[str, str]:
    return {"budget": "none" if budget == NO_LIMIT else credits_text(budget), "used": credits_text(used)}


@click.command(cls=Command)
@click.argument("organisation")
@click.argument("amount", type=CREDITS, required=False)
@click.option("--unbounded", is_flag=True, help="As much as the party has.")
@pass_app
def budget(app: App, organisation: str, amount: int | None, unbounded: bool) -> None:
    """Say how much of its party's balance a department may use, with those below it (admin above it)."""
    if (amount is None) != unbounded:
        raise InvalidInput("the budget is not clear", hint="give either an AMOUNT or --unbounded")
    most = NO_LIMIT if amount is None else amount
    text = "as much as its party has" if amount is None else f"{credits_text(most)} credits of its party's"
    exchange = app.exchange(sign=True)
    org = org_id(exchange, organisation)
    facts = {"used already": f"{credits_text(exchange.members.place_of(org).used)} credits"}
    title = f"Let {organisation} use {text}."
    run(app, exchange, title, exchange.members.set_budget(org, most), {"org": org, "limit": most}, facts)


@click.command(cls=Command)
@click.argument("account", type=ADDRESS)
@click.option("--rights", required=True, help="Comma-separated: buy, offer, sign, deliver, release.")
@click.option(
    "--limit", type=CREDITS, required=True, help="Most credits it may have locked or spent at a time."
)
@click.option("--org", "organisation", help="A department of the own party; by default the own organisation.")
@pass_app
def grant(app: App, account: str, rights: str, limit: int, organisation: str | None) -> None:
    """Let an account that is no member act for an organisation within a limit: a broker (admin)."""
    from chain.contracts.members import MemberRight
    from cli.member import bits_of, own_org, rights_names

    bits = bits_of(MemberRight, rights, "right")
    exchange = app.exchange(sign=True)
    org = org_id(exchange, organisation) if organisation else own_org(app, exchange)
    facts = {"rights": ", ".join(rights_names(bits)), "limit": f"{credits_text(limit)} credits"}
    result = {"org": org, "account": account, "rights": rights_names(bits), "limit": limit}
    call = exchange.members.grant(org, account, bits, limit)
    run(app, exchange, f"Let {account} act for organisation {org}.", call, result, facts)


@click.command(cls=Command)
@click.argument("organisation")
@click.argument("account", type=ADDRESS, required=False)
@pass_app
def revoke(app: App, organisation: str, account: str | None) -> None:
    """Take a grant back (admin), or give one's own back: without ACCOUNT it is the wallet's."""
    exchange = app.exchange(sign=True)
    org = org_id(exchange, organisation)
    who = account or str(app.address())
    title = f"{who} shall not act for {organisation} any more."
    run(app, exchange, title, exchange.members.revoke(org, who), {"org": org, "account": who})


@click.command("rotate-key", cls=Command)
@click.argument("new", type=ADDRESS)
@click.option("--old", type=ADDRESS, help="The key that is replaced (admin); by default the wallet's own.")
@click.option("--org", "organisation", help="Where it acts; by default the wallet's own organisation.")
@pass_app
def rotate_key(app: App, new: str, old: str | None, organisation: str | None) -> None:
    """Move all that a key is in an organisation to the key NEW: rights, limit, and what it consented to."""
    from cli.member import own_org

    exchange = app.exchange(sign=True)
    org = org_id(exchange, organisation) if organisation else own_org(app, exchange)
    before = old or str(app.address())
    facts = {"old key": f"{before} may nothing more", "new key": new}
    if exchange.members.organisation(org).payout == before:
        facts["payout"] = "stays the old key's address; an admin changes it with: ocx member payout"
    title = f"Let another key take the place of {before} in organisation {org}."
    result = {"org": org, "old": before, "new": new}
    run(app, exchange, title, exchange.members.rotate(org, before, new), result, facts)


@click.command(cls=Command)
@click.argument("organisation")
@click.argument("lost", type=ADDRESS)
@click.argument("new", type=ADDRESS)
@pass_app
def recover(app: App, organisation: str, lost: str, new: str) -> None:
    """Put a new key in a lost one's place (council): announce it to the time lock; later carry it out."""
    from chain.contracts.timelock import Timelock

    exchange = app.exchange(sign=True)
    org = org_id(exchange, organisation)
    lock = Timelock(exchange.directory.timelock(), exchange.rpc)
    step, call = lock.next_step(exchange.members.recover(org, lost, new))
    facts = {
        "lost key": lost,
        "new key": new,
        "time lock": f"{lock.delay()} s, in which who still has the key can move it: ocx member rotate-key",
    }
    word_ = "Announce" if step == "announced" else "Carry out"
    plan = Plan(f"{word_} the recovery of {organisation}.", [call], facts)
    result = {"org": org, "lost": lost, "new": new, "step": step}
    finish(app, apply(app, exchange, plan), result, value="step")


COMMANDS = (tree, budget, grant, revoke, rotate_key, recover)
