"""`ocx sla`: what may be promised, and what came of it: register, ask, report, claim, appeal."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cli.act import Plan, apply, finish, run, working
from cli.app import App, Group, pass_app
from cli.member import own_org
from cli.options import place_option
from cli.parse import percent
from cli.plot import share
from cli.render import credits_text, show, time_text
from cli.sla_ask import ask, inquiry
from cli.sla_report import report
from market.errors import InvalidInput, Refused
from market.verdicts import Sla, Tier

if TYPE_CHECKING:
    from chain.contracts.verdicts import Appeal, Verdicts
    from chain.exchange import Exchange

__all__ = ["sla"]

_LEASE = click.argument("lease", type=int)
_EPOCH = click.argument("epoch", type=int)
_APPEAL = click.argument("number", type=int, metavar="APPEAL")


@click.group(cls=Group)
def sla() -> None:
    """Promises of availability, whether they were kept, and what it cost."""


sla.add_command(ask)
sla.add_command(inquiry)
sla.add_command(report)


# ---- what may be promised --------------------------------------------------------------------------------


@sla.command()
@click.option(
    "--tier",
    "tiers",
    multiple=True,
    metavar="BELOW:PENALTY[:BREACH]",
    help="Availability below BELOW % costs PENALTY % of the epoch's price; BREACH such epochs in a row let "
    "the buyer end. Give 1 to 4, from the mildest to the worst.",
)
@click.option(
    "--file",
    type=click.Path(path_type=Path, dir_okay=False),
    help="YAML instead: tiers (list of below, penalty, breach_after), guest.",
)
@click.option("--guest", is_flag=True, help="Only an answer of the responder in the guest counts as up.")
@pass_app
def register(app: App, tiers: tuple[str, ...], file: Path | None, guest: bool) -> None:
    """Register an SLA, once for all: the same terms always have the same number (anyone).

    For example: --tier 99.9:10:3 --tier 95:50. Offers and requests then promise it with --sla NUMBER.
    """
    from chain.generated.events import SlaRegistered

    if bool(tiers) == bool(file):
        raise InvalidInput("the SLA has no terms", hint="give either --tier or --file")
    wanted = _read(file, guest) if file else Sla(tuple(_tier(text) for text in tiers), guest)
    exchange = app.exchange(sign=True)
    verdicts = _verdicts(exchange)
    known = {item: number for number, item in verdicts.slas().items()}
    if wanted in known:
        show(app, {"sla": known[wanted], "new": False} | _terms(wanted), value="sla")
        return
    facts = {f"tier {n}": _tier_text(tier) for n, tier in enumerate(wanted.tiers, 1)}
    done = apply(app, exchange, Plan("Register an SLA.", [verdicts.register_sla(wanted)], facts))
    finish(app, done, {"sla": done.one(SlaRegistered).sla, "new": True} | _terms(wanted), value="sla")


@sla.command("list")
@pass_app
def list_(app: App) -> None:
    """All SLAs that are registered."""
    found = _verdicts(app.exchange()).slas()
    rows = [
        {"sla": number, "tiers": [_tier_text(tier) for tier in item.tiers], "guest": item.guest}
        for number, item in found.items()
    ]
    show(app, rows, value="sla tiers", empty="no SLA is registered")


@sla.command("show")
@click.argument("number", type=click.IntRange(1), metavar="SLA")
@pass_app
def show_(app: App, number: int) -> None:
    """One SLA, with the times and bonds of this exchange."""
    exchange = app.exchange()
    verdicts = _verdicts(exchange)
    found, terms, lease_terms = verdicts.sla(number), verdicts.terms(), exchange.leases.terms()
    times = {
        "epoch_seconds": lease_terms.epoch,
        "rounds": lease_terms.rounds,
        "restore_seconds": terms.restore_time,
        "appeal_seconds": terms.appeal_time,
        "bond": terms.appeal_bond,
    }
    show(app, {"sla": number} | _terms(found) | times, value="sla")


def _terms(item: Sla) -> dict[str, Any]:
    tiers = [
        {"below_ppm": t.below_ppm, "penalty_ppm": t.penalty_ppm, "breach_after": t.breach_after}
        for t in item.tiers
    ]
    return {"guest": item.guest, "text": [_tier_text(tier) for tier in item.tiers], "tiers": tiers}


def _tier_text(tier: Tier) -> str:
    breach = f", breach after {tier.breach_after} in a row" if tier.breach_after else ""
    return f"below {share(tier.below_ppm)}: {share(tier.penalty_ppm)} of the epoch's price{breach}"


def _tier(text: str) -> Tier:
    """`99.9:10:3`: below 99.9 %, 10 % penalty, breach after 3."""
    parts = text.split(":")
    if len(parts) not in (2, 3) or not (len(parts) == 2 or parts[2].isdigit()):
        raise InvalidInput(f"'{text}' is not a tier", hint="write BELOW:PENALTY[:BREACH], such as 99.9:10:3")
    return Tier(percent(parts[0]), percent(parts[1]), int(parts[2]) if len(parts) == 3 else 0)


def _read(file: Path, guest: bool) -> Sla:
    import yaml

    try:
        raw = yaml.safe_load(file.read_text("utf-8"))
        tiers = [
            Tier(percent(str(t["below"])), percent(str(t["penalty"])), int(t.get("breach_after", 0)))
            for t in raw["tiers"]
        ]
        return Sla(tuple(tiers), guest or bool(raw.get("guest", False)))
    except OSError as error:
        raise InvalidInput(f"the file {file} cannot be read: {error}") from error
    except (yaml.YAMLError, KeyError, TypeError, ValueError, AttributeError) as error:
        hint = "it holds tiers (a list of below, penalty, breach_after) and guest"
        raise InvalidInput(f"the file {file} holds no SLA", hint=hint) from error


# ---- claims ----------------------------------------------------------------------------------------------


@sla.command()
@_LEASE
@_EPOCH
@place_option
@pass_app
def claim(app: App, lease: int, epoch: int, place: int) -> None:
    """Turn what the witnesses published of an epoch into a verdict (anyone).

    From two epochs after its end on, for three quarters of an epoch; the rest is for appeals.
    Takes every published leaf as evidence; the contract judges by them alone.
    """
    from chain.generated.events import BreachReached, VerdictGiven
    from chain.recompute import recompute

    exchange = app.exchange(sign=True)
    with working("reading what was published"):
        found = recompute(exchange, lease, place, epoch)
    case, best = found.case, found.best
    evidence, opens = case.evidence(), case.grid.claim_window(case.span)
    is_open = opens.start <= exchange.now() < opens.end  # else the contract says when it is
    if is_open and not (found.takes and evidence):
        why = best.why[-1] if best.why else "nobody published a leaf of it"
        raise Refused(
            f"a claim on epoch {epoch} of lease {lease} would change nothing: {why}",
            hint=f"see: ocx sla report {lease}",
        )
    handle = {sitting.seat: sitting.org for sitting in case.sittings}
    facts = {
        "epochs": ", ".join(map(str, case.span.epochs)),
        "claims": f"open from {time_text(opens.start)} to {time_text(opens.end)}",
        "evidence": ", ".join(f"organisation {handle[item.seat]} on epoch {item.epoch}" for item in evidence),
        "finding": "; ".join(best.why),
    }
    plan = Plan(
        f"Claim on epoch {case.span.last} of machine {place} of lease {lease}.",
        [_verdicts(exchange).claim(lease, place, epoch, evidence)],
        facts,
    )
    done = apply(app, exchange, plan)
    given = done.one(VerdictGiven)
    result = {
        "lease": lease,
        "place": place,
        "epoch": given.epoch,
        "penalty_ppm": given.penalty_ppm,
        "penalty": given.penalty,
        "judged": given.judged,
        "counted": given.counted,
        "seats": given.seats,
        "breach": bool(done.find(BreachReached)),
        "fault": "provider",
        "why": list(best.why),
    }
    finish(app, done, result, value="penalty")


@sla.command()
@_LEASE
@place_option
@pass_app
def end(app: App, lease: int, place: int) -> None:
    """End a lease whose SLA was breached (buyer): pays until now, and a part of the bond comes to you."""
    exchange = app.exchange(sign=True)
    call = _verdicts(exchange).end_for_breach(lease, place)
    facts = {"reason": f"breach by machine {place}", "at fault": "provider"}
    run(app, exchange, f"End lease {lease} for breach.", call, {"lease": lease, "place": place}, facts)


@sla.command()
@_LEASE
@pass_app
def pay(app: App, lease: int) -> None:
    """Pay the witnesses for the ticks of the next unpaid term (anyone; the agent does it by itself)."""
    from chain.generated.events import FeesReturned, WitnessPaid

    exchange = app.exchange(sign=True)
    verdicts = _verdicts(exchange)
    term, _ = verdicts.next_pay(lease)
    plan = Plan(f"Pay the witnesses of term {term} of lease {lease}.", [verdicts.pay(lease, term)])
    done = apply(app, exchange, plan)
    result = {
        "lease": lease,
        "term": term,
        "amount": sum(event.amount for event in done.find(WitnessPaid)),
        "paid_to": [{"org": e.org, "epochs": e.epochs, "amount": e.amount} for e in done.find(WitnessPaid)],
        "returned": sum(e.to_buyer + e.to_provider for e in done.find(FeesReturned)),
    }
    finish(app, done, result, value="amount")


# ---- appeals ---------------------------------------------------------------------------------------------


@sla.command()
@_LEASE
@_EPOCH
@place_option
@pass_app
def appeal(app: App, lease: int, epoch: int, place: int) -> None:
    """Dispute an epoch before it is final: the buyer that nothing was found, the provider the penalty.

    From two epochs after its end on, for one epoch. Locks a bond. What is in dispute waits for
    the council; see what is published first: ocx sla report.
    """
    from chain.generated.events import AppealFiled

    exchange = app.exchange(sign=True)
    verdicts = _verdicts(exchange)
    terms = verdicts.terms()
    facts = {
        "open": "for an epoch from the moment claims are, so a quarter longer than these",
        "bond": f"{credits_text(terms.appeal_bond)} credits; it comes back unless the council says otherwise",
        "decided": f"by the council within {terms.appeal_time} s; else the verdict stands",
    }
    title = f"Appeal against epoch {epoch} of machine {place} of lease {lease}."
    done = apply(
        app, exchange, Plan(title, [verdicts.appeal(lease, place, epoch, org=own_org(app, exchange))], facts)
    )
    filed = done.one(AppealFiled)
    result = {"appeal": filed.appeal, "lease": lease, "place": place, "epoch": filed.epoch}
    finish(app, done, {**result, "amount": filed.amount, "bond": terms.appeal_bond}, value="appeal")


@sla.command()
@_APPEAL
@pass_app
def lapse(app: App, number: int) -> None:
    """Close an appeal the council left undecided: the verdict stands, the bond returns (anyone)."""
    exchange = app.exchange(sign=True)
    verdicts = _verdicts(exchange)
    until = _open_appeal(verdicts, number).filed_at + verdicts.terms().appeal_time
    if exchange.now() < until:
        raise Refused(f"the council has until {time_text(until)} for appeal {number}", hint="repeat it then")
    run(app, exchange, f"Close appeal {number}.", verdicts.lapse(number), {"appeal": number})


@sla.command()
@_APPEAL
@click.option("--to-buyer", required=True, metavar="PCT", help="Share of what is in dispute for the buyer.")
@click.option("--upheld/--not-upheld", default=False, help="Whether who appealed was right.")
@pass_app
def decide(app: App, number: int, to_buyer: str, upheld: bool) -> None:
    """Decide an appeal (council): announce it to the time lock; the same command later carries it out."""
    from chain.contracts.timelock import Timelock

    exchange = app.exchange(sign=True)
    verdicts = _verdicts(exchange)
    kept = _open_appeal(verdicts, number)
    amount = kept.amount * percent(to_buyer, least=0) // 1_000_000
    lock = Timelock(exchange.directory.timelock(), exchange.rpc)
    step, call = lock.next_step(verdicts.decide(number, amount, upheld))
    facts = {
        "to the buyer": f"{credits_text(amount)} of {credits_text(kept.amount)} credits",
        "upheld": f"{'yes' if upheld else 'no'}; the bond of {credits_text(kept.bond)} "
        f"{'returns' if upheld else 'goes to the fund'}",
        "time lock": f"{lock.delay()} s",
    }
    word = "Announce the decision on" if step == "announced" else "Carry out the decision on"
    result = {"appeal": number, "step": step, "amount": amount, "upheld": upheld}
    finish(app, apply(app, exchange, Plan(f"{word} appeal {number}.", [call], facts)), result, value="step")


def _open_appeal(verdicts: Verdicts, number: int) -> Appeal:
    kept = verdicts.appeal_of(number)
    if not kept.filed_at or kept.decided:
        raise InvalidInput(f"there is no open appeal {number}", hint="see the lease's: ocx sla report")
    return kept


def _verdicts(exchange: Exchange) -> Verdicts:
    from chain.published import judges

    return judges(exchange)[1]
