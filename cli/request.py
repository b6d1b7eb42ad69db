"""`ocx request`: what a buyer needs, put to a sealed tender."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cli.act import Plan, apply, finish
from cli.app import App, Group, pass_app
from cli.eligible import eligible as eligible_command
from cli.eligible import terms_of
from cli.files import read_json
from cli.member import own_org
from cli.offer import span_text
from cli.options import for_option, sla_option, window_end, window_start
from cli.parse import DURATION, RATE, wanted_window
from cli.promise import fee_fact, require_sla, sla_text
from cli.render import credits_text, history_rows, show, time_text, word
from market.billing import ppm_of
from market.errors import InvalidInput, Refused
from market.specs import Spec, parse_spec
from market.tenders import fund

if TYPE_CHECKING:
    from chain.contracts.book import Request
    from chain.contracts.leases import Trait
    from chain.exchange import Exchange
    from market.windows import SlotWindow

__all__ = ["request", "request_row", "trait_texts"]


@click.group(cls=Group)
def request() -> None:
    """Requests: what a buyer needs."""


request.add_command(eligible_command)


@request.command()
@click.option("--class", "class_name", required=True, help="Class of the nodes, e.g. bm.large.")
@click.option("--count", type=click.IntRange(1, 65535), default=1, help="How many.")
@click.option(
    "--spec", default="", help="The least each must have, e.g. cores=64,memory=1024GiB,disk=480GiB."
)
@window_start
@window_end
@for_option
@click.option("--ceiling", type=RATE, required=True, help="Highest rate, credits per resource and hour.")
@click.option("--commit-for", type=DURATION, default="10m", help="How long sealed bids are taken.")
@click.option("--reveal-for", type=DURATION, default="10m", help="How long they may be revealed after that.")
@click.option(
    "--vickrey", is_flag=True, help="Winners are paid the lowest rate that did not win (from 3 bidders on)."
)
@click.option("--all-or-nothing", is_flag=True, help="Fewer than --count are worth nothing.")
@click.option(
    "--duration", type=DURATION, help="How long each is needed, anywhere in the window; by default all of it."
)
@click.option("--same-site", is_flag=True, help="All at one site.")
@click.option("--same-start", is_flag=True, help="All begin together, wherever in the window.")
@click.option("--distinct", is_flag=True, help="No two of one organisation, or of affiliated ones.")
@click.option(
    "--expr",
    "expression_file",
    metavar="EXPR.json",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Only nodes whose documents fit this expression; see ocx request eligible.",
)
@click.option(
    "--sign",
    type=click.Choice(["provider", "both"]),
    default="provider",
    help="Who signs the lease: the provider alone, or first the buyer.",
)
@sla_option
@pass_app
def post(
    app: App,
    class_name: str,
    count: int,
    spec: str,
    start: str,
    end: str | None,
    length: int | None,
    ceiling: int,
    commit_for: int,
    reveal_for: int,
    vickrey: bool,
    all_or_nothing: bool,
    duration: int | None,
    same_site: bool,
    same_start: bool,
    distinct: bool,
    expression_file: Path | None,
    sign: str,
    sla: int,
) -> None:
    """Post a request and put it to a sealed tender; the window rounds outward to whole slots.

    Locks the price at the ceiling; the award returns the excess, a tender without a valid bid returns all.
    """
    from chain.contracts.book import Eligible, RequestTerms
    from chain.contracts.leases import Trait
    from chain.contracts.tender import TenderTerms
    from chain.generated.enums import Policy
    from chain.generated.events import TenderOpened

    least = parse_spec(spec) if spec else Spec()
    policy = Policy.BOTH if sign == "both" else Policy.PROVIDER
    exchange = app.exchange(sign=True)
    require_sla(exchange, sla)
    window = wanted_window(exchange, start, end, length)
    now = exchange.now()
    terms = TenderTerms(now + commit_for, now + commit_for + reveal_for, vickrey)
    asked = (
        (all_or_nothing, Trait.ALL_OR_NOTHING),
        (same_site, Trait.SAME_SITE),
        (same_start, Trait.SAME_START),
        (distinct, Trait.DISTINCT),
    )
    traits = Trait(sum(trait for yes, trait in asked if yes))
    eligible = terms_of(exchange, expression_file, class_name, least) if expression_file else Eligible()
    slots = _slots(exchange, duration, window)
    wanted = RequestTerms(window, count, ceiling, class_name, least, policy, traits, sla, slots, eligible)
    seconds = window.window(exchange.slot)
    length = wanted.piece * exchange.slot
    amount = fund(ceiling, count, seconds.start, seconds.end, now, length=length)
    fees = exchange.ranking.ceiling_of(wanted)[1] if sla else 0
    facts = {
        "needs": ", ".join([f"{count} of {class_name} with {least}", *trait_texts(traits)]),
        "window": span_text(window, exchange.slot),
        **({"for": f"{slots} slots of {exchange.slot} s, anywhere in it"} if slots else {}),
        **({"eligible": f"{len(eligible.listed) // 4} nodes on offer now"} if eligible.listed else {}),
        "ceiling": f"{credits_text(ceiling)} credits per resource and hour",
        "bids until": f"{time_text(terms.commit_end)}, reveals until {time_text(terms.reveal_end)}",
        "pricing": "Vickrey from three bidders on, else first price" if vickrey else "first price",
        "SLA": sla_text(sla),
        "locks": f"{credits_text(amount)} credits at most; what is not needed comes back",
        **fee_fact(fees),
        "each bid locks": f"{credits_text(ppm_of(amount, exchange.tender.deposit_ppm()))} credits",
    }
    call = exchange.tender.post(wanted, terms, org=own_org(app, exchange))
    plan = Plan("Post a request and put it to a sealed tender.", [call], facts)
    done = apply(app, exchange, plan)
    opened = done.one(TenderOpened)
    result = {
        "request": opened.request,
        "commit_end": opened.commit_end,
        "reveal_end": opened.reveal_end,
        "ceiling_amount": opened.ceiling_amount,
        "start": seconds.start,
        "end": seconds.end,
        "duration": length,
    }
    finish(app, done, result, value="request")


def _slots(exchange: Exchange, duration: int | None, window: SlotWindow) -> int:
    """How many slots hold a duration; 0 for all of the window, or for as much."""
    if duration is None:
        return 0
    slots = -(-duration // exchange.slot)
    if not 0 < slots <= window.slots:
        raise InvalidInput(
            f"a duration of {duration} s does not fit the window of {window.slots * exchange.slot} s",
            hint="give a longer window, or a shorter --duration",
        )
    return slots if slots < window.slots else 0


def trait_texts(traits: Trait) -> list[str]:
    """What people read of what an award must have as a whole."""
    return [trait.name.lower().replace("_", " ") for trait in type(traits) if trait in traits and trait.name]


def request_row(exchange: Exchange, number: int) -> dict[str, Any]:
    """A request as plain data."""
    r = exchange.book.request(number)
    return {
        "request": number,
        "org": r.org,
        "class": word(r.class_),
        "count": r.count,
        "spec": str(r.spec),
        "start": r.start * exchange.slot,
        "end": r.end * exchange.slot,
        "duration": r.slots * exchange.slot,
        "ceiling_rate": r.ceiling_rate,
        "sla": r.sla or None,
        "stage": exchange.tender.tender(number).stage.name.lower(),
    }


@request.command("list")
@click.option("--all", "everything", is_flag=True, help="Closed ones too.")
@pass_app
def list_(app: App, everything: bool) -> None:
    """Requests that are open."""
    exchange = app.exchange()
    rows = [
        request_row(exchange, number)
        for number in exchange.book.requests()
        if everything or not exchange.book.request(number).closed
    ]
    show(app, rows, value="request", empty="no open requests; --all shows the others")


@request.command("show")
@click.argument("number", type=int)
@pass_app
def show_(app: App, number: int) -> None:
    """One request with its history; its bids: ocx tender show."""
    from chain.history import history

    exchange = app.exchange()
    r = exchange.book.request(number)
    result = request_row(exchange, number) | {
        "by": r.by,
        "created_at": r.created_at,
        "policy": r.policy.name.lower(),
        "traits": trait_texts(r.traits),
        **_eligible_row(exchange, number, r),
        "closed": r.closed,
        "history": history_rows(
            history(exchange, [exchange.book, exchange.tender], "request", number), exchange.slot
        ),
    }
    show(app, result, value="stage")


def _eligible_row(exchange: Exchange, number: int, r: Request) -> dict[str, Any]:
    """What a request says of the nodes it takes."""
    if not any(r.eligible):
        return {"expression": None, "eligible": None}
    from chain.eligible import eligible_ids, expression_of

    nodes = eligible_ids(exchange, number, r) or ()
    return {"expression": expression_of(exchange, number), "eligible": sorted(nodes)}


@request.command()
@click.argument("expression_file", metavar="EXPR.json", type=click.Path(path_type=Path, dir_okay=False))
@click.argument("document_file", metavar="DOC.json", type=click.Path(path_type=Path, dir_okay=False))
@pass_app
def check(app: App, expression_file: Path, document_file: Path) -> None:
    """Say for each clause of an expression whether it holds for a document, and why.

    EXPR.json is a list of [JMESPath, operator, value], all of which must hold; DOC.json is a resource's
    document, any JSON. Needs no network. Fails if a clause does not hold.
    """
    from market.expressions import judge, parse_expression

    expression = parse_expression(read_json(expression_file, "expression"))
    findings = judge(expression, read_json(document_file, "document"))
    rows = [
        {
            "clause": number,
            "path": finding.clause.path,
            "operator": finding.clause.operator,
            "value": _listed(finding.clause.value),
            "holds": finding.holds,
            "found": finding.found,
            "why": finding.why,
        }
        for number, finding in enumerate(findings, 1)
    ]
    failed = [row for row in rows if not row["holds"]]
    if app.format == "json":
        show(app, {"eligible": not failed, "clauses": rows})
    else:
        brief = [
            {"clause": number, "holds": finding.holds, "condition": str(finding.clause), "why": finding.why}
            for number, finding in enumerate(findings, 1)
        ]
        show(app, brief, value="clause holds")
    if failed:
        raise Refused(
            f"of {len(rows)} clauses these do not hold: {', '.join(str(row['clause']) for row in failed)}",
            hint="a resource with this document is not eligible",
        )


def _listed(value: object) -> object:
    return list(value) if isinstance(value, tuple) else value
