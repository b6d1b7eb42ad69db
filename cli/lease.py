"""`ocx lease`: the signed contracts: look, sign, accept, end, settle.

Access to machines is in `cli.access`, their power and console in `cli.control`.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cli.access import connect, setup, watch
from cli.act import Plan, apply, finish, run
from cli.amend import COMMANDS, amendments
from cli.app import App, Group, pass_app
from cli.control import console, power
from cli.handover import handover
from cli.member import handles, own_org
from cli.offer import offer_terms
from cli.render import credits_text, history_rows, show, time_text
from market.billing import ppm_of
from market.errors import InvalidInput
from market.leases import describe, ending

if TYPE_CHECKING:
    from chain.contracts.leases import Lease
    from chain.exchange import Exchange
    from chain.history import Entry

__all__ = ["lease", "lease_row"]

_NUMBER = click.argument("number", type=int)


@click.group(cls=Group)
def lease() -> None:
    """Leases: the signed contracts between a provider and a buyer."""


lease.add_command(setup)
lease.add_command(connect)
lease.add_command(watch)
lease.add_command(power)
lease.add_command(console)
for command in COMMANDS:
    lease.add_command(command)


def lease_row(exchange: Exchange, number: int, names: dict[int, str]) -> dict[str, Any]:
    """A lease as plain data."""
    kept = exchange.leases.lease(number)
    return {
        "lease": number,
        "state": exchange.leases.state_of(number).name.lower(),
        "provider": names[kept.provider],
        "buyer": names[kept.buyer],
        "nodes": list(exchange.leases.resources_of(number)),
        "start": kept.start * exchange.slot,
        "end": kept.end * exchange.slot,
        "rate": kept.rate,
    }


@lease.command("list")
@click.option("--mine", is_flag=True, help="Only those the wallet's organisation is a side of.")
@click.option("--open", "only_open", is_flag=True, help="Only those of which anything can still happen.")
@pass_app
def list_(app: App, mine: bool, only_open: bool) -> None:
    """All leases, or one's own."""
    from cli.balances import leases_of

    exchange = app.exchange()
    numbers = leases_of(exchange, own_org(app, exchange)) if mine else exchange.leases.numbers()
    names = handles(exchange)
    rows = [lease_row(exchange, number, names) for number in numbers]
    if only_open:
        rows = [row for row in rows if row["state"] in ("awarded", "signed", "delivered", "active", "ending")]
    show(app, rows, value="lease state", empty="no leases")


@lease.command("show")
@_NUMBER
@click.option("--why", is_flag=True, help="Explain the state by the facts and transactions behind it.")
@pass_app
def show_(app: App, number: int, why: bool) -> None:
    """One lease: offer, window, rate, money, and its full history with transactions."""
    from chain.contracts.leases import lease_facts
    from chain.history import history
    from cli.reasons import lease_why

    exchange = app.exchange()
    kept = exchange.leases.lease(number)
    judges = [contract for contract in (exchange.witnesses, exchange.verdicts) if contract is not None]
    told = [exchange.leases, exchange.settlement, exchange.amendments, exchange.awards, *judges]
    entries = history(exchange, told, "lease", number)
    facts = lease_facts(kept, exchange.leases.terms(number), exchange.slot)
    over = ending(facts, exchange.now())
    result = lease_row(exchange, number, handles(exchange)) | {
        "described": describe(facts, exchange.now()),
        "provider_org": kept.provider,
        "buyer_org": kept.buyer,
        "offer": kept.offer or None,
        "request": kept.request or None,
        "award": kept.award,
        "policy": kept.policy.name.lower(),
        "sla": kept.sla or None,
        "committee": kept.committee.name.lower(),
        "committee_at": kept.committee_at,
        "created_at": kept.created_at,
        "buyer_signed_at": kept.buyer_signed_at,
        "signed_at": kept.signed_at,
        "delivered_at": kept.delivered_at,
        "ended_at": over.at if over else kept.ended_at,
        "end_reason": over.reason.name.lower() if over else "none",
        "fault": over.fault.name.lower() if over else "nobody",
        "wiped_at": kept.wiped_at,
        "delivered": f"{kept.delivered.bit_count()} of {kept.count}",
        "accepted": f"{kept.accepted.bit_count()} of {kept.count}",
    }
    result |= _money(exchange, number, kept, entries)
    result |= {"traits": [t.name.lower() for t in kept.traits if t.name]} | amendments(exchange, number, kept)
    result["offers"] = offer_terms(exchange, [kept.offer] if kept.offer else [])
    if why:
        result["why"] = lease_why(exchange, number, facts, entries)
    show(app, result | {"history": history_rows(entries, exchange.slot)}, value="state")


def _money(exchange: Exchange, number: int, kept: Lease, entries: list[Entry]) -> dict[str, Any]:
    from chain.generated import events

    account = exchange.settlement.account(number)
    until = min(exchange.now(), kept.ended_at or kept.end * exchange.slot)
    refunds = [e.event.amount for e in entries if isinstance(e.event, events.PriceRefunded)]
    penalties = [e.event.amount for e in entries if isinstance(e.event, events.BondForfeited)]
    awarded = [e.event.amount for e in entries if isinstance(e.event, events.PenaltyPaid)]
    awarded += [e.event.to_buyer for e in entries if isinstance(e.event, events.DisputeResolved)]
    return {
        "price": account.price,
        "accrued": exchange.settlement.accrued(number, kept.rate, until, account.closed),
        "paid": account.paid - account.pending - account.disputed - sum(awarded),
        "sla_penalty": sum(awarded),
        "withheld": account.pending,
        "disputed": account.disputed,
        "refunded": sum(refunds),
        "bond": account.bond,
        "penalty": sum(penalties),
        "units": account.units,
        "fees": account.fee,
        "fees_paid": account.fee_paid,
        "billed_from": account.first_start,
        "settled": account.closed,
        "final_until": exchange.leases.final_until(number),
    }


@lease.command()
@_NUMBER
@pass_app
def sign(app: App, number: int) -> None:
    """Sign, as the buyer or as the provider, whichever the wallet acts for."""
    exchange = app.exchange(sign=True)
    kept, org = exchange.leases.lease(number), own_org(app, exchange)
    buyer = org == kept.buyer
    call = exchange.leases.sign_as_buyer(number) if buyer else exchange.leases.sign(number)
    side = "buyer" if buyer else "provider"
    run(app, exchange, f"Sign lease {number} as its {side}.", call, {"lease": number, "as": side})


@lease.command()
@_NUMBER
@pass_app
def accept(app: App, number: int) -> None:
    """Accept what is delivered so far (buyer); it bills from its delivery."""
    exchange = app.exchange(sign=True)
    kept = exchange.leases.lease(number)
    facts = {
        "delivered": f"{kept.delivered.bit_count()} of {kept.count} at {time_text(kept.delivered_at)}",
        "rate": f"{credits_text(kept.rate)} credits per resource and hour",
    }
    measured = handover(exchange, number)
    if measured:
        facts["measured"] = measured.text
    call = exchange.leases.accept(number, kept.delivered)
    result = {"lease": number, "measured": measured.text if measured else None}
    run(app, exchange, f"Accept the delivery of lease {number}.", call, result, facts)


@lease.command()
@_NUMBER
@click.option("--reason", required=True, help="A code of up to 31 bytes, kept on the ledger for ever.")
@pass_app
def reject(app: App, number: int, reason: str) -> None:
    """Refuse a delivery before it counts as accepted (buyer); pays for the time until now.

    With witnesses drawn or to be drawn, not before the lease's window begins.
    """
    exchange = app.exchange(sign=True)
    call = exchange.leases.reject(number, reason)
    facts = {"reason": reason, "costs": "what accrued until now, at most the acceptance time"}
    result = {"lease": number, "reason": reason}
    run(app, exchange, f"Reject the delivery of lease {number}.", call, result, facts)


@lease.command()
@_NUMBER
@pass_app
def end(app: App, number: int) -> None:
    """Leave early (buyer): pays to the end of the notice, the rest returns at settlement."""
    from chain.generated.events import LeaseEnded

    exchange = app.exchange(sign=True)
    notice = exchange.leases.terms(number).notice
    plan = Plan(f"End lease {number} early.", [exchange.leases.end_early(number)], {"notice": f"{notice} s"})
    done = apply(app, exchange, plan)
    finish(app, done, {"lease": number, "ended_at": done.one(LeaseEnded).ended_at}, value="lease")


@lease.command()
@_NUMBER
@pass_app
def cancel(app: App, number: int) -> None:
    """Leave before anything is delivered (buyer); costs the reserve share of the price."""
    exchange = app.exchange(sign=True)
    cost = ppm_of(exchange.settlement.account(number).price, exchange.leases.terms(number).reserve_ppm)
    facts = {"costs": f"{credits_text(cost)} credits for what the provider kept ready; the rest returns"}
    result = {"lease": number, "reserve": cost}
    run(app, exchange, f"Cancel lease {number}.", exchange.leases.cancel(number), result, facts)


@lease.command()
@_NUMBER
@pass_app
def expire(app: App, number: int) -> None:
    """Settle a missed deadline: signature, delivery, or proof of what was delivered (anyone)."""
    exchange = app.exchange(sign=True)
    done = apply(app, exchange, Plan(f"Expire lease {number}.", [exchange.leases.expire(number)]))
    finish(app, done, {"lease": number, "state": exchange.leases.state_of(number)}, value="state")


@lease.command()
@_NUMBER
@click.option(
    "--evidence",
    type=click.Path(path_type=Path, dir_okay=False),
    required=True,
    help="File with the wipe evidence; its keccak-256 goes on the ledger.",
)
@pass_app
def wipe(app: App, number: int, evidence: Path) -> None:
    """Give wipe evidence by hand (provider, or the council in its place); the agent does it by itself."""
    from chain.sealed import sealed_hash as keccak

    try:
        digest = keccak(evidence.read_bytes())
    except OSError as error:
        raise InvalidInput(f"the evidence {evidence} cannot be read: {error}") from error
    exchange = app.exchange(sign=True)
    call = exchange.leases.wipe(number, digest)
    run(
        app,
        exchange,
        f"Give wipe evidence for lease {number}.",
        call,
        {"lease": number, "evidence_hash": digest},
    )


@lease.command("miss-wipe")
@_NUMBER
@pass_app
def miss_wipe(app: App, number: int) -> None:
    """Settle a missed wipe deadline (anyone): penalty from the bond, the nodes are held."""
    exchange = app.exchange(sign=True)
    call = exchange.leases.miss_wipe(number)
    run(app, exchange, f"Settle the missed wipe deadline of lease {number}.", call, {"lease": number})


@lease.command()
@_NUMBER
@pass_app
def settle(app: App, number: int) -> None:
    """Let the provider draw what accrued; after the end, return the rest of the price (anyone)."""
    from chain.generated.events import Accrued, PriceRefunded

    exchange = app.exchange(sign=True)
    done = apply(app, exchange, Plan(f"Settle lease {number}.", [exchange.leases.settle(number)]))
    result = {
        "lease": number,
        "amount": sum(e.amount for e in done.find(Accrued)),
        "refunded": sum(e.amount for e in done.find(PriceRefunded)),
        "paid": exchange.settlement.account(number).paid,
    }
    finish(app, done, result, value="amount")
