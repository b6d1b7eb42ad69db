"""`ocx audit`: what an auditor does to find witnesses out, and what anybody may show (W11, W12)."""

from __future__ import annotations

import json
import secrets
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cli.act import Plan, apply, finish
from cli.app import App, Group, pass_app
from cli.member import handles, own_org
from cli.options import place_option
from cli.parse import org_id
from cli.render import show, time_text, word
from market.errors import InvalidInput, Permanent

if TYPE_CHECKING:
    from chain.contracts.audits import Audits
    from chain.exchange import Exchange
    from market.rounds import Grid

__all__ = ["audit"]

_EPOCH = click.IntRange(0, (1 << 32) - 1)


@click.group(cls=Group)
def audit() -> None:
    """Audits of witnesses, canary leases, persistent outliers."""


def _audits(exchange: Exchange) -> Audits:
    if exchange.audits is None:
        raise Permanent("this exchange has no audits", hint="Its Directory names no contract Audits.")
    return exchange.audits


def _grid(exchange: Exchange) -> Grid:
    from chain.published import judges

    return judges(exchange)[0].grid()


# ---- audits ----------------------------------------------------------------------------------------------


@audit.command("open")
@click.argument("organisation")
@click.argument("lease", type=int)
@click.argument("epoch", type=_EPOCH)
@click.argument("round_", metavar="ROUND", type=click.IntRange(0, 255))
@place_option
@pass_app
def open_(app: App, organisation: str, lease: int, epoch: int, round_: int, place: int) -> None:
    """Ask a seat (HANDLE or number) to open one round of its leaf; it has an epoch's time (auditors).

    Four rounds an epoch of one witness; of complete ticks of the last 16 epochs.
    """
    from chain.generated.events import AuditOpened

    exchange = app.exchange(sign=True)
    contract, org, rounds = _audits(exchange), org_id(exchange, organisation), _grid(exchange).rounds
    if round_ >= rounds:
        raise InvalidInput(f"an epoch has the rounds 0 to {rounds - 1}", hint="Give one of them.")
    call = contract.audit(org, epoch, lease, place, round_)
    facts = {
        "witness": f"{handles(exchange)[org]} ({org})",
        "round": f"{round_} of epoch {epoch}, machine {place} of lease {lease}",
        "unanswered": "slashed by the share in the exchange's terms",
    }
    plan = Plan("Audit a measurement.", [call], facts, hint="Ask for another round: each is audited once.")
    done = apply(app, exchange, plan)
    event = done.one(AuditOpened)
    finish(app, done, {"audit": event.audit, "org": org, "deadline": event.deadline}, value="audit")


@audit.command("list")
@click.option("--all", "everything", is_flag=True, help="Those that are closed too.")
@pass_app
def list_(app: App, everything: bool) -> None:
    """Audits that are open, newest first."""
    exchange = app.exchange()
    contract, names, now = _audits(exchange), handles(exchange), exchange.now()
    rows = []
    for number in range(contract.audit_count(), 0, -1):
        row = _row(contract, number, names, now)
        if everything or row["state"] != "closed":
            rows.append(row)
    show(app, rows, value="audit", empty="no open audits; --all shows the others")


@audit.command("show")
@click.argument("number", type=int)
@pass_app
def show_(app: App, number: int) -> None:
    """An audit, how it ended ('passed', or why it failed), and how the witness stands."""
    exchange = app.exchange()
    contract = _audits(exchange)
    _require_audit(contract, number)
    row = _row(contract, number, handles(exchange), exchange.now())
    asked = contract.audit_of(number)
    row["result"] = _result(exchange, contract, number)
    row["commitment"] = asked.commitment
    row["outliers"] = contract.outliers(asked.org)
    show(app, row, value="state")


def _require_audit(contract: Audits, number: int) -> None:
    if not 1 <= number <= contract.audit_count():
        raise InvalidInput(f"there is no audit {number}", hint="See 'ocx audit list --all'.")


def _result(exchange: Exchange, contract: Audits, number: int) -> str | None:
    """What its end was called; None before that."""
    from chain.generated.events import AuditFailed, AuditPassed
    from chain.history import history

    for entry in history(exchange, [contract], "audit", number, kinds=(AuditPassed, AuditFailed)):
        return word(entry.event.why) if isinstance(entry.event, AuditFailed) else "passed"
    return None


def _row(contract: Audits, number: int, names: dict[int, str], now: int) -> dict[str, Any]:
    asked = contract.audit_of(number)
    state = "closed" if asked.closed else "open" if now < asked.deadline else "unanswered"
    return {
        "audit": number,
        "org": asked.org,
        "handle": names[asked.org],
        "lease": asked.lease,
        "place": asked.place,
        "epoch": asked.epoch,
        "round": asked.round,
        "deadline": asked.deadline,
        "state": state,
    }


@audit.command()
@click.argument("number", type=int)
@pass_app
def fail(app: App, number: int) -> None:
    """Have a witness slashed that did not answer an audit in time (anyone)."""
    from chain.generated.events import AuditFailed, WitnessSlashed

    exchange = app.exchange(sign=True)
    contract = _audits(exchange)
    _require_audit(contract, number)
    asked = contract.audit_of(number)
    if asked.closed:
        raise InvalidInput(f"audit {number} is closed", hint=f"See how it ended: ocx audit show {number}")
    if exchange.now() < asked.deadline:
        until = time_text(asked.deadline)
        raise InvalidInput(f"audit {number} may be answered until {until}", hint="Close it after that.")
    done = apply(app, exchange, Plan(f"Close audit {number}, unanswered.", [contract.fail(number)]))
    slashed = sum(event.amount for event in done.find(WitnessSlashed))
    finish(app, done, {"audit": done.one(AuditFailed).audit, "slashed": slashed}, value="slashed")


# ---- canaries --------------------------------------------------------------------------------------------


@audit.group(cls=Group)
def canary() -> None:
    """Outages an auditor causes itself in a lease it rents, to see who reports them."""


@canary.command()
@click.argument("lease", type=int)
@click.argument("epoch", type=_EPOCH)
@click.argument("first", type=click.IntRange(0, 255))
@click.argument("count", type=click.IntRange(1, 256))
@place_option
@pass_app
def commit(app: App, lease: int, epoch: int, first: int, count: int, place: int) -> None:
    """Commit, before EPOCH, to an outage of COUNT rounds from round FIRST on: ten at least.

    What is needed to reveal it is kept in the state directory before it is sent.
    """
    from chain.generated.events import CanaryCommitted

    exchange = app.exchange(sign=True)
    contract, grid = _audits(exchange), _grid(exchange)
    down = ((1 << count) - 1) << first
    if count < 10 or down & ~grid.all_rounds:
        raise InvalidInput(f"an outage has 10 to {grid.rounds} rounds of one epoch", hint="Give others.")
    if exchange.now() >= grid.start(epoch):
        raise InvalidInput(f"epoch {epoch} has begun", hint="Commit to a later one.")
    if exchange.leases.lease(lease).buyer != own_org(app, exchange):
        raise InvalidInput(f"your organisation does not rent lease {lease}", hint="See 'ocx lease list'.")
    salt = secrets.token_bytes(32)
    content = {
        "lease": lease, "place": place, "epoch": epoch, "down": hex(down), "salt": salt.hex(),
    }  # fmt: skip
    facts = {
        "outage": f"rounds {first} to {first + count - 1} of epoch {epoch}, machine {place} of lease {lease}",
        "from": time_text(grid.round_start(epoch, first)),
        "until": time_text(grid.round_end(epoch, first + count - 1)),
        "reveal": f"between {time_text(grid.start(epoch + 4))} and {time_text(grid.start(epoch + 17))}",
    }
    kept: list[Path] = []
    call = contract.commit_canary(lease, place, epoch, down, salt)
    done = apply(
        app,
        exchange,
        Plan("Commit to a canary's outage.", [call], facts),
        before_sending=lambda: kept.append(_keep(app, exchange, content)),
    )
    number = done.one(CanaryCommitted).canary
    finish(app, done, {"canary": number, "epoch": epoch, "kept_in": str(kept[0])}, value="canary")


@canary.command()
@click.argument("number", type=int)
@pass_app
def reveal(app: App, number: int) -> None:
    """Reveal a canary once its epoch is final, from what was kept in the state directory."""
    from chain.generated.events import CanaryRevealed

    exchange = app.exchange(sign=True)
    contract = _audits(exchange)
    _require_canary(contract, number)
    kept = _find(app, exchange, contract.canary_of(number).hash)
    grid, epoch = _grid(exchange), int(kept["epoch"])
    hint = f"Reveal it between {time_text(grid.start(epoch + 4))} and {time_text(grid.start(epoch + 17))}."
    call = contract.reveal_canary(number, **kept)
    done = apply(app, exchange, Plan(f"Reveal canary {number}.", [call], hint=hint))
    event = done.one(CanaryRevealed)
    result = {"canary": number, "lease": event.lease, "place": event.place, "epoch": event.epoch}
    finish(app, done, result | {"rounds": event.down.bit_count()})


@canary.command()
@click.argument("number", type=int)
@click.argument("organisation")
@pass_app
def miss(app: App, number: int, organisation: str) -> None:
    """Have a seat slashed that did not report half of a canary's outage (anyone)."""
    from chain.generated.events import CanaryMissed, WitnessSlashed
    from chain.published import opened
    from market.rounds import Span

    exchange = app.exchange(sign=True)
    contract, org = _audits(exchange), org_id(exchange, organisation)
    _require_canary(contract, number)
    epoch = contract.canary_of(number).epoch
    if not epoch:
        raise InvalidInput(f"canary {number} is not revealed", hint="Its auditor reveals it.")
    found = opened(exchange, _grid(exchange), [org], Span(epoch, epoch))[org, epoch]
    call = contract.miss_canary(number, found.page())
    hint = "Who reported half of its outage, or was slashed for that epoch, did not miss it."
    plan = Plan(f"Show that {organisation} missed canary {number}.", [call], hint=hint)
    done = apply(app, exchange, plan)
    slashed = done.one(WitnessSlashed).amount
    finish(app, done, {"canary": done.one(CanaryMissed).canary, "org": org, "slashed": slashed})


def _require_canary(contract: Audits, number: int) -> None:
    if not 1 <= number <= contract.canary_count():
        raise InvalidInput(f"there is no canary {number}", hint="'ocx audit canary commit' told its number.")


def _folder(app: App, exchange: Exchange) -> Path:
    name = f"{exchange.connection.chain_id}-{_audits(exchange).address[2:10].lower()}"
    return app.state_dir / "canaries" / name


def _keep(app: App, exchange: Exchange, content: dict[str, Any]) -> Path:
    from chain.wallet import write_private

    path = _folder(app, exchange) / f"{content['lease']}-{content['epoch']}-{content['salt'][:8]}.json"
    write_private(path, json.dumps(content, sort_keys=True) + "\n")
    return path


def _find(app: App, exchange: Exchange, wanted: bytes) -> dict[str, Any]:
    from chain.leaves import canary_hash

    for path in sorted(_folder(app, exchange).glob("*.json")):
        kept = json.loads(path.read_text("utf-8"))
        kept |= {"down": int(kept["down"], 16), "salt": bytes.fromhex(kept["salt"])}
        if canary_hash(**kept) == wanted:
            return dict(kept)
    raise InvalidInput(
        "what this canary commits to is not in the state directory",
        hint="Reveal it where it was committed, or give its --state directory.",
    )


# ---- outliers --------------------------------------------------------------------------------------------


@audit.command()
@click.argument("organisation")
@click.argument("lease", type=int)
@click.argument("epoch", type=_EPOCH)
@place_option
@pass_app
def outlier(app: App, organisation: str, lease: int, epoch: int, place: int) -> None:
    """Show that a seat disagreed with a quorum of the others in an epoch (anyone).

    Who is an outlier again and again is slashed.
    """
    from chain.generated.events import OutlierRecorded, WitnessSlashed
    from chain.published import judges, opened
    from market.rounds import Span

    exchange = app.exchange(sign=True)
    contract, org = _audits(exchange), org_id(exchange, organisation)
    witnesses, _ = judges(exchange)
    seats = witnesses.committee(lease, witnesses.term_of(lease, epoch)).seats
    found = opened(exchange, witnesses.grid(), seats, Span(epoch, epoch))
    pages = [found[seat, epoch].page() for seat in seats if found[seat, epoch].is_whole]
    call = contract.outlier(org, lease, place, epoch, pages)
    facts = {"machine": f"{place} of lease {lease}", "pages": f"{len(pages)} of {len(seats)} seats"}
    hint = "Compare what each seat published: ocx witness verify. An epoch counts once."
    plan = Plan(f"Show that {organisation} is an outlier in epoch {epoch}.", [call], facts, hint=hint)
    done = apply(app, exchange, plan)
    slashed = sum(event.amount for event in done.find(WitnessSlashed))
    finish(app, done, {"org": org, "outliers": done.one(OutlierRecorded).total, "slashed": slashed})
