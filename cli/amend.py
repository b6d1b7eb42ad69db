"""`ocx lease extend` and its like: changes of a lease that runs.

More time (L7), taking a lease back and what its buyer may have instead (L5), and the end of leases that
belong together (L8).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from cli.act import Plan, apply, finish, run
from cli.app import App, Command, pass_app
from cli.parse import RATE, increasing
from cli.render import credits_text, time_text
from market.billing import buyers_half
from market.errors import InvalidInput, Refused
from market.windows import parse_time

if TYPE_CHECKING:
    from chain.contracts.leases import Lease
    from chain.exchange import Exchange

__all__ = ["COMMANDS", "amendments"]

_NUMBER = click.argument("number", type=int)


@click.command(cls=Command)
@_NUMBER
@click.option("--until", required=True, help="The new end: an ISO time with its zone, or +6h from now.")
@click.option(
    "--propose", is_flag=True, help="Ask the provider, instead of paying the offer's buy-now rate at once."
)
@click.option(
    "--rate", type=RATE, help="With --propose: credits per resource and hour; by default the rate it ends at."
)
@pass_app
def extend(app: App, number: int, until: str, propose: bool, rate: int | None) -> None:
    """Move a lease's end (buyer): at its offer's buy-now rate, or at a rate the provider agrees to.

    Price, bond and witness fees of the time added are locked in the same transaction. A proposal stands
    until it is agreed to or withdrawn, or the lease's end moves.
    """
    exchange = app.exchange(sign=True)
    kept = exchange.leases.lease(number)
    end = _slot_of(exchange, kept, until)
    if rate is not None and not propose:
        raise InvalidInput("a rate needs the provider's word", hint="add --propose")
    if propose:
        return _propose(app, exchange, number, end, rate)
    if not kept.offer:
        raise Refused(f"lease {number} came of no public offer", hint="ask its provider: add --propose")
    asked = exchange.book.offer(kept.offer).buy_now_rate
    facts = _costs(exchange, number, end, asked) if asked else {}
    result = {"lease": number, "end": end * exchange.slot, "rate": asked}
    call = exchange.amendments.extend(number, end, asked)
    run(app, exchange, f"Extend lease {number}.", call, result, facts)
    return None


def _propose(app: App, exchange: Exchange, number: int, end: int, rate: int | None) -> None:
    asked = exchange.amendments.rate_of(number) if rate is None else rate
    facts = _costs(exchange, number, end, asked) | {"needs": "the provider's word (ocx lease agree)"}
    result = {"lease": number, "end": end * exchange.slot, "rate": asked, "proposed": True}
    call = exchange.amendments.propose(number, end, asked)
    run(app, exchange, f"Propose to extend lease {number}.", call, result, facts)


@click.command(cls=Command)
@_NUMBER
@pass_app
def agree(app: App, number: int) -> None:
    """Agree to the extension that the buyer proposes (provider); it is extended at once."""
    exchange = app.exchange(sign=True)
    wish = _proposal(exchange, number)
    facts = _costs(exchange, number, wish.end, wish.rate)
    result = {"lease": number, "end": wish.end * exchange.slot, "rate": wish.rate}
    call = exchange.amendments.agree(number, wish.end, wish.rate)
    run(app, exchange, f"Agree to extend lease {number}.", call, result, facts)


@click.command(cls=Command)
@_NUMBER
@pass_app
def withdraw(app: App, number: int) -> None:
    """Withdraw the extension one proposed (buyer)."""
    exchange = app.exchange(sign=True)
    call = exchange.amendments.withdraw(number)
    run(app, exchange, f"Withdraw the proposal to extend lease {number}.", call, {"lease": number})


@click.command(cls=Command)
@_NUMBER
@click.option("--at", required=True, help="When it ends: an ISO time with its zone, or +2d from now.")
@click.option("--replacement", "offer", type=click.IntRange(1), help="Offer with nodes to take instead.")
@click.option(
    "--node",
    "nodes",
    type=click.IntRange(1),
    multiple=True,
    help="Node of that offer; one for each delivered.",
)
@pass_app
def reclaim(app: App, number: int, at: str, offer: int | None, nodes: tuple[int, ...]) -> None:
    """Take a lease back (the provider's admin), where agreed: against notice, and compensation from the bond.

    The price not served returns to the buyer, who may leave earlier, and may take what is named instead at
    the rate of the lease. If verdicts make a breach of it later, that costs what a breach costs.
    """
    exchange = app.exchange(sign=True)
    if (offer is None) != (not nodes):
        raise InvalidInput("a replacement is an offer and its nodes", hint="give --replacement and --node")
    terms, account = exchange.amendments.terms(), exchange.settlement.account(number)
    second, kept = parse_time(at, now=exchange.now()), exchange.leases.lease(number)
    unserved = account.price - exchange.settlement.accrued(number, kept.rate, second, False)
    cost = min(unserved * terms.reclaim_ppm // 1_000_000, account.bond)
    facts = {
        "ends": time_text(second),
        "notice": f"at least {terms.reclaim_notice} s",
        "costs": f"{credits_text(cost)} credits from the bond, to the buyer at once",
        "returns": f"{credits_text(unserved)} credits of the price to the buyer",
    }
    named = increasing(nodes, "node") if nodes else []
    call = exchange.amendments.reclaim(number, second, offer or 0, named)
    result = {"lease": number, "ends_at": second, "compensation": cost, "replacement": named}
    run(app, exchange, f"Take lease {number} back.", call, result, facts)


@click.command("take-replacement", cls=Command)
@_NUMBER
@pass_app
def take_replacement(app: App, number: int) -> None:
    """Take what is offered instead of a lease that is taken back (buyer), until that ends."""
    from chain.generated.events import ReplacementTaken

    exchange = app.exchange(sign=True)
    found, nodes = exchange.amendments.reclaim_of(number)
    kept, rate = exchange.leases.lease(number), exchange.amendments.rate_of(number)
    facts = {
        "nodes": ", ".join(map(str, nodes)) or "none",
        "window": f"{time_text(found.at)} to {time_text(kept.end * exchange.slot)}",
        "rate": f"{credits_text(rate)} credits per resource and hour, as until now",
    }
    plan = Plan(
        f"Take the replacement of lease {number}.", [exchange.amendments.take_replacement(number)], facts
    )
    done = apply(app, exchange, plan)
    taken = done.one(ReplacementTaken).replacement
    finish(app, done, {"lease": taken, "instead_of": number, "nodes": list(nodes)}, value="lease")


@click.command("close-reclaim", cls=Command)
@_NUMBER
@pass_app
def close_reclaim(app: App, number: int) -> None:
    """Share out the bond of a lease that was taken back, once no verdict can come any more (anyone)."""
    from chain.generated.events import ReclaimClosed

    exchange = app.exchange(sign=True)
    plan = Plan(f"Close what is left of lease {number}.", [exchange.amendments.close_reclaim(number)])
    done = apply(app, exchange, plan)
    finish(app, done, {"lease": number, "added": done.one(ReclaimClosed).added}, value="added")


@click.command("end-partner", cls=Command)
@_NUMBER
@click.argument("defaulted", type=int)
@pass_app
def end_partner(app: App, number: int, defaulted: int) -> None:
    """End a lease because DEFAULTED, another one of the award, was not delivered (their buyer).

    Only where the award's leases belong together, and within the time to deliver after the default's record.
    """
    from chain.generated.events import PartnerEnded

    exchange = app.exchange(sign=True)
    call = exchange.awards.end_partner(defaulted, number)
    facts = {"because": f"lease {defaulted} defaulted", "owed": "the reserve share of what is not served"}
    done = apply(app, exchange, Plan(f"End lease {number}.", [call], facts))
    reserve = done.one(PartnerEnded).reserve
    finish(app, done, {"lease": number, "defaulted": defaulted, "reserve": reserve}, value="lease")


@click.command("share-out", cls=Command)
@_NUMBER
@pass_app
def share_out(app: App, number: int) -> None:
    """Share out the bond of a defaulted lease of an award that belongs together (anyone)."""
    from chain.generated.events import BondSharedOut

    exchange = app.exchange(sign=True)
    call = exchange.awards.share_out(number)
    done = apply(app, exchange, Plan(f"Share out the bond of lease {number}.", [call]))
    shared = done.one(BondSharedOut)
    result = {"lease": number, "partners": shared.partners, "to_buyer": shared.to_buyer}
    finish(app, done, result, value="partners")


COMMANDS = (
    extend,
    agree,
    withdraw,
    reclaim,
    take_replacement,
    close_reclaim,
    end_partner,
    share_out,
)
"""What `ocx lease` has of this."""


def amendments(exchange: Exchange, number: int, kept: Lease) -> dict[str, Any]:
    """What changed or may change of a lease, as plain data: rates, a proposal, its partners, its being taken
    back."""
    from chain.abi import ZERO_ADDRESS

    slot, found = exchange.slot, dict[str, Any]()
    steps = exchange.settlement.steps_of(number)
    if steps:
        found["rates"] = [
            {"from": kept.start * slot, "rate": kept.rate},
            *({"from": step.begins, "rate": step.rate} for step in steps),
        ]
    wish = exchange.amendments.proposal(number)
    if wish.by != ZERO_ADDRESS and wish.start == kept.end:
        found["proposed"] = {"end": wish.end * slot, "rate": wish.rate}
    together = exchange.awards.composite_of(kept.award)
    if together.count > 1:
        found["partners"] = [n for n in together.leases if n != number]
    taken, nodes = exchange.amendments.reclaim_of(number)
    if taken.at:
        found["reclaimed"] = {
            "ends_at": taken.at,
            "compensation": taken.paid,
            "offer": taken.offer or None,
            "nodes": list(nodes),
            "replacement": taken.replacement or None,
            "closed": taken.closed,
        }
    return found


def _slot_of(exchange: Exchange, kept: Lease, until: str) -> int:
    """The slot behind the new end, rounded outward (T1)."""
    second, slot = parse_time(until, now=exchange.now()), exchange.slot
    end = -(-second // slot)
    if end <= kept.end:
        raise InvalidInput(
            f"the lease ends at {time_text(kept.end * slot)} already", hint="name a later time"
        )
    return end


def _costs(exchange: Exchange, number: int, end: int, rate: int) -> dict[str, str]:
    cost = exchange.awards.extension_of(number, end, rate)
    return {
        "ends": time_text(end * exchange.slot),
        "rate": f"{credits_text(rate)} credits per resource and hour of the time added",
        "locks": f"{credits_text(cost.price + buyers_half(cost.fee))} credits of the buyer, "
        f"{credits_text(cost.bond + cost.fee // 2)} of the provider",
    }


def _proposal(exchange: Exchange, number: int) -> Any:
    from chain.abi import ZERO_ADDRESS

    wish = exchange.amendments.proposal(number)
    if wish.by == ZERO_ADDRESS:
        raise Refused(
            f"no extension of lease {number} is proposed", hint="its buyer: ocx lease extend --propose"
        )
    return wish
