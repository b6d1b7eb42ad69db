"""`ocx council`: who governs an exchange, what they propose, who agreed.

Proposing has no command of its own: whoever is of a council of several gives the command itself, as a council
of one would, and it becomes a proposal; the next one who gives the same command approves it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from cli.act import Plan, apply, finish
from cli.app import App, Group, pass_app
from cli.parse import ADDRESS
from cli.render import plain, show, time_text
from market.errors import InvalidInput

if TYPE_CHECKING:
    from chain.contracts.council import Council, Proposal
    from chain.exchange import Exchange

__all__ = ["council"]

_NUMBER = click.argument("number", type=click.IntRange(1))


@click.group(cls=Group)
def council() -> None:
    """Those who govern: proposals, approvals, who is of the council."""


@council.command("show")
@click.argument("number", type=click.IntRange(1), required=False)
@pass_app
def show_(app: App, number: int | None) -> None:
    """Who is of the council and how many must agree; or proposal NUMBER with all it would do."""
    exchange = app.exchange()
    if number is not None:
        kept = _council(exchange)
        show(app, _row(exchange, kept, number, kept.proposal(number)), value="state")
        return
    from chain.governing import council_of

    found = council_of(exchange)
    result = {
        "council": exchange.directory.council(),
        "accounts": found.members() if found else [exchange.directory.council()],
        "threshold": found.threshold() if found else 1,
        "proposals": found.proposal_count() if found else 0,
    }
    show(app, result, value="council")


@council.command("list")
@click.option("--all", "everything", is_flag=True, help="Those that were carried out or have lapsed, too.")
@pass_app
def list_(app: App, everything: bool) -> None:
    """What waits for approval, the newest first."""
    from chain.governing import open_proposals

    exchange = app.exchange()
    kept = _council(exchange)
    if everything:
        found = {n: kept.proposal(n) for n in range(kept.proposal_count(), 0, -1)}
    else:
        found = open_proposals(kept, exchange.now())
    rows = [_row(exchange, kept, number, proposal) for number, proposal in found.items()]
    show(app, rows, value="proposal", empty="nothing waits for approval; --all shows what was decided")


@council.command()
@_NUMBER
@pass_app
def approve(app: App, number: int) -> None:
    """Agree to a proposal; with the last approval it needs, it is carried out."""
    exchange = app.exchange(sign=True)
    kept = _council(exchange)
    proposal = kept.proposal(number)
    row = _row(exchange, kept, number, proposal)
    plan = Plan(f"Approve proposal {number}.", [kept.approve(number, proposal)], _facts(row))
    done = apply(app, exchange, plan)
    finish(app, done, row | {"state": "executed"}, value="state")


@council.command()
@_NUMBER
@pass_app
def revoke(app: App, number: int) -> None:
    """Take one's approval of a proposal back."""
    exchange = app.exchange(sign=True)
    kept = _council(exchange)
    row = _row(exchange, kept, number, kept.proposal(number))
    done = apply(
        app,
        exchange,
        Plan(f"Take back the approval of proposal {number}.", [kept.revoke(number)], _facts(row)),
    )
    finish(app, done, {"proposal": number}, value="proposal")


@council.command("set")
@click.option("--seat", "seats", type=ADDRESS, multiple=True, required=True, help="An account; repeat it.")
@click.option("--threshold", type=click.IntRange(1), required=True, help="How many of them must agree.")
@pass_app
def set_(app: App, seats: tuple[str, ...], threshold: int) -> None:
    """Change who is of the council; what was proposed before lapses (council)."""
    exchange = app.exchange(sign=True)
    kept = _council(exchange)
    facts = {
        "accounts": ", ".join(seats),
        "must agree": f"{threshold} of {len(seats)}; today {kept.threshold()} of {len(kept.members())}",
    }
    plan = Plan("Change the council.", [kept.set_members(list(seats), threshold)], facts)
    finish(app, apply(app, exchange, plan), {"accounts": list(seats), "threshold": threshold})


def _council(exchange: Exchange) -> Council:
    from chain.governing import council_of

    found = council_of(exchange)
    if found is None:
        raise InvalidInput(
            f"one account is this exchange's council: {exchange.directory.council()}",
            hint="it needs no approval; a council of several is founded with: ocx network deploy --seat",
        )
    return found


def _row(exchange: Exchange, kept: Council, number: int, proposal: Proposal) -> dict[str, Any]:
    """A proposal as data: what it would call with what, who agreed, what becomes of it."""
    from chain.governing import decoded

    contract, function, arguments = decoded(exchange, proposal.target, proposal.data)
    current = proposal.term == kept.term()
    accounts = kept.members() if current else []
    approved = [account for place, account in enumerate(accounts) if proposal.approvals >> place & 1]
    if proposal.executed:
        state = "executed"
    elif not current:
        state = "of an earlier council"
    else:
        state = "open" if exchange.now() < proposal.expires else "expired"
    return {
        "proposal": number,
        "state": state,
        "call": f"{contract}.{function}",
        "arguments": plain(arguments),
        "approved_by": approved,
        "threshold": kept.threshold(),
        "expires": proposal.expires,
    }


def _facts(row: dict[str, Any]) -> dict[str, str]:
    return {
        "call": row["call"],
        **{f"  {name}": str(value) for name, value in row["arguments"].items()},
        "approved by": ", ".join(row["approved_by"]) or "nobody",
        "needs": f"{row['threshold']} approvals",
        "expires": time_text(row["expires"]),
    }
