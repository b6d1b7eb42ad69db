"""`ocx witness`: join the pool, run a node, look at witnesses, and work verdicts out again."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cli.act import Plan, apply, finish, run, working
from cli.app import App, Group, pass_app
from cli.installation import ask_health, show_findings, show_unit, show_yaml
from cli.member import handles, own_org
from cli.options import config_option, log_level_option
from cli.parse import ADDRESS, CREDITS, org_id
from cli.render import credits_text, show
from cli.verify import verify
from market.errors import InvalidInput, Refused, Temporary

if TYPE_CHECKING:
    from chain.contracts.witnesses import Witness, Witnesses
    from chain.exchange import Exchange
    from witness.settings import Settings

__all__ = ["witness"]


# Not OCX_WITNESS_...: those variables are the node's own settings.
@click.group(cls=Group, context_settings={"auto_envvar_prefix": "OCX_WITNESSES"})
def witness() -> None:
    """Those who measure what was delivered: the pool, a node of one's own, verdicts worked out again."""


witness.add_command(verify)


# ---- the node --------------------------------------------------------------------------------------------


@witness.command("run")
@config_option
@log_level_option
@pass_app
def run_(app: App, config_file: Path, log_level: str) -> None:
    """Run the node until it is told to stop (Ctrl-C or SIGTERM); it goes on where it was.

    Prints whom it witnesses for and where its health page is, once it measures.
    """
    from daemons.logs import begin
    from witness.run import run as serve
    from witness.settings import load

    begin(log_level)

    def ready(where: dict[str, object]) -> None:
        show(app, where, value="health_port")
        sys.stdout.flush()

    serve(load(config_file), ready=ready)


@witness.command()
@config_option
@pass_app
def check(app: App, config_file: Path) -> None:
    """Test the installation before its first tick: what is missing, and what to do about it.

    `missing` must be put right, `advice` need not; only what is missing makes the command fail.
    """
    from witness.check import examine
    from witness.settings import load

    with working("checking"):
        findings = examine(load(config_file))
    show_findings(app, findings)


@witness.command()
@click.option(
    "--state-dir", type=click.Path(path_type=Path), required=True, help="Where the node keeps its state."
)
@click.option("--health-port", type=click.IntRange(0, 65535), default=0, help="0 takes a free one.")
@click.option("--reference", "references", multiple=True, help="host:port that shows our network works.")
@click.option("--loopback", is_flag=True, help="Measure loopback addresses, too; for demos.")
@pass_app
def config(app: App, state_dir: Path, health_port: int, references: tuple[str, ...], loopback: bool) -> None:
    """Print a configuration for the node, made from the shipped template; edit it to taste."""
    from witness.settings import render

    file = str(app.passphrase_file) if app.passphrase_file else None
    text = render(
        connection=str(app.connection_path()),
        wallet={"keystore": str(app.wallet_path()), "passphrase_file": file},
        state_dir=str(state_dir),
        measure={"loopback": loopback},
        references=references,
        health_port=health_port,
    )
    show_yaml(app, text)


@witness.command()
@config_option
@click.option("--user", default="ocx", help="System user the node runs as; it must own the state directory.")
@click.option("--name", default="ocx", help="What to call the node in the journal.")
@pass_app
def unit(app: App, config_file: Path, user: str, name: str) -> None:
    """Print a systemd unit that keeps the node of this configuration running.

    Put it into /etc/systemd/system/ocx-witness.service, then: systemctl enable --now ocx-witness
    """
    from witness.settings import load

    show_unit(app, "ocx-witness.service.j2", name, user, config_file, load(config_file))


# ---- the pool --------------------------------------------------------------------------------------------


@witness.command()
@click.option("--signer", type=ADDRESS, required=True, help="The node's key; one of its own, no admin's.")
@click.option("--stake", type=CREDITS, help="Credits to put up; by default the least there may be.")
@pass_app
def join(app: App, signer: str, stake: int | None) -> None:
    """Put up a stake and join the pool with the next epoch (admin of a witness organisation).

    From then on every epoch wants a tick, or is fined: have the node running first.
    """
    exchange = app.exchange(sign=True)
    witnesses = _witnesses(exchange)
    terms = witnesses.terms()
    amount = terms.min_stake if stake is None else stake
    facts = {
        "signer": signer,
        "stake": f"{credits_text(amount)} credits",
        "fine": f"{credits_text(terms.tick_fine)} credits for an epoch without a complete tick",
        "way out": "leave, keep ticking to the exit epoch, withdraw",
    }
    result = {"signer": signer, "stake": amount}
    run(app, exchange, "Join the witnesses.", witnesses.join(signer, amount), result, facts)


@witness.command()
@click.argument("amount", type=CREDITS)
@pass_app
def stake(app: App, amount: int) -> None:
    """Add credits to the stake (admin)."""
    exchange = app.exchange(sign=True)
    call = _witnesses(exchange).add_stake(amount)
    run(app, exchange, f"Add {credits_text(amount)} credits to the stake.", call, {"amount": amount})


@witness.command()
@click.argument("address", type=ADDRESS)
@pass_app
def signer(app: App, address: str) -> None:
    """Let another key tick and answer (admin).

    The node goes on with the new key and the same state folder: what was committed is opened from there.
    """
    exchange = app.exchange(sign=True)
    call = _witnesses(exchange).set_signer(address)
    run(app, exchange, f"Let {address} sign for the witness.", call, {"signer": address})


@witness.command()
@pass_app
def leave(app: App) -> None:
    """Leave the draw at once; duties end at the exit epoch, and the stake is free then (admin)."""
    from chain.generated.events import WitnessLeaving

    exchange = app.exchange(sign=True)
    facts = {"until then": "the node has to run: a missed tick is fined"}
    done = apply(app, exchange, Plan("Leave the witnesses.", [_witnesses(exchange).leave()], facts))
    exit_ = done.one(WitnessLeaving).exit
    finish(app, done, {"exit": exit_, "ends": exit_ * _witnesses(exchange).epoch()}, value="exit")


@witness.command()
@pass_app
def withdraw(app: App) -> None:
    """Take the stake back, once the exit epoch has come (admin)."""
    from chain.generated.events import StakeReturned

    exchange = app.exchange(sign=True)
    done = apply(app, exchange, Plan("Withdraw the stake.", [_witnesses(exchange).withdraw()]))
    finish(app, done, {"amount": done.one(StakeReturned).amount}, value="amount")


@witness.command("list")
@pass_app
def list_(app: App) -> None:
    """The pool: who witnesses, with which stake, and how it ticked in the last day's worth of epochs."""
    exchange = app.exchange()
    witnesses = _witnesses(exchange)
    names = handles(exchange)
    epoch = exchange.now() // witnesses.epoch()
    pool = sorted(witnesses.pool())
    rows = [_row(witnesses, org, record, names, epoch) for org, record in witnesses.many(pool).items()]
    show(app, rows, value="org", empty="nobody witnesses here yet")


@witness.command("show")
@click.argument("organisation", required=False)
@pass_app
def show_(app: App, organisation: str | None) -> None:
    """One witness, by HANDLE or number; without it, the own organisation's."""
    exchange = app.exchange()
    witnesses = _witnesses(exchange)
    org = org_id(exchange, organisation) if organisation else own_org(app, exchange)
    record = witnesses.witness(org)
    if not record.joined:
        raise InvalidInput(f"organisation {org} is no witness", hint="see: ocx witness list")
    epoch = exchange.now() // witnesses.epoch()
    row = _row(witnesses, org, record, handles(exchange), epoch)
    terms = witnesses.terms()
    more = {
        "epoch": epoch,
        "epoch_seconds": witnesses.epoch(),
        "barred_from": record.barred_from or None,
        "committed": [e for e in range(epoch - 4, epoch) if any(witnesses.commitment_of(org, e))],
        "min_stake": terms.min_stake,
        "outliers": exchange.audits.outliers(org) if exchange.audits else 0,
    }
    show(app, row | more)


def _row(
    witnesses: Witnesses, org: int, record: Witness, names: dict[int, str], epoch: int
) -> dict[str, Any]:
    """What a table says of a witness; `ticked`: complete ticks of the epochs that were due of the last 24."""
    first = max(record.joined, epoch - 25)
    due = max(0, epoch - 1 - first)
    return {
        "org": org,
        "handle": names.get(org, "-"),
        "signer": record.signer,
        "stake": record.stake,
        "joined": record.joined,
        "exit": record.exit or None,
        "barred_until": record.barred_until if record.barred_until > epoch else None,
        "ticked": f"{witnesses.ticks(org, first, first + due)} of {due}",
    }


@witness.command()
@config_option
@pass_app
def status(app: App, config_file: Path) -> None:
    """What the running node says about itself: the conditions that hold and what to do, then how it stands.

    Reads its health page; `--format json` gives the whole document.
    """
    from witness.settings import load

    health = _health(load(config_file))
    if app.format != "table":
        show(app, health, value="ok")
    else:
        words = "ok organisation signer epoch tick targets machines measuring sent disk_free head head_age"
        show(app, {name: health.get(name) for name in words.split()})
        click.echo()
        conditions = health.get("conditions", [])
        rows = [{key: item[key] for key in ("name", "message", "hint")} for item in conditions]
        show(app, rows, empty="no conditions: all is well")
    if not health.get("ok"):
        raise Refused("the node is not well", hint="see its conditions above")


def _health(settings: Settings) -> dict[str, Any]:
    """What the health page of this configuration's node says."""
    from chain.wallet import address_of

    health = ask_health(port := settings.health_port or _port_of(settings.ready_file))
    if health is None or health.get("signer") != address_of(settings.wallet.keystore):
        raise Temporary(
            f"the node does not answer at port {port}",
            hint="it does not run, hangs, waits until its key signs for a witness, or another program has "
            "that port: see its log, and ocx witness check",
            retry_after=5.0,
        )
    return health


def _port_of(path: Path) -> int:
    """The port that a running node took by itself."""
    try:
        return int(json.loads(path.read_text("utf-8"))["health_port"])
    except FileNotFoundError:
        raise Temporary(
            f"there is no {path}",
            hint="is the node running? Its page begins once its key signs for a witness: ocx witness check",
            retry_after=5.0,
        ) from None
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise InvalidInput(f"{path} cannot be read: {error}", hint="start the node anew") from error


def _witnesses(exchange: Exchange) -> Witnesses:
    from chain.published import judges

    return judges(exchange)[0]
