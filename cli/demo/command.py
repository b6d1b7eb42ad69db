"""`ocx demo`: plays the main job and says, at the end, whether everything is as it should be."""

from __future__ import annotations

import contextlib
import json
import shutil
import signal
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cli.app import App, Command, pass_app
from cli.render import credits_text
from market.errors import InvalidInput, OcxError

if TYPE_CHECKING:
    from cli.demo.stage import Stage, Step

__all__ = ["demo"]


@click.command(cls=Command)
@click.option("--fake", is_flag=True, help="Without labs: all providers use the fake cloud.")
@click.option(
    "--engine",
    type=click.Choice(["anvil", "clique", "qbft"]),
    default="anvil",
    show_default=True,
    help="The chain: anvil, or clique for four validators; qbft cannot be had here.",
)
@click.option(
    "--dir",
    "folder",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("build/demo"),
    help="Where keys, logs and report.json go; a former demo there is replaced.",
)
@click.option("--keep", is_flag=True, help="Leave everything running until Ctrl-C, to look around.")
@pass_app
def demo(app: App, fake: bool, engine: str, folder: Path, keep: bool) -> None:
    """Play the main job for real: tender, provisioning, login, billing, wipe, settlement.

    Every party is a process of its own with its own key, on loopback. Exit code 1 if anything went wrong.
    """
    from cli.demo import report as reports
    from cli.demo.chains import chain
    from cli.demo.stage import Stage
    from cli.demo.story import Play

    played_on = chain(engine)
    folder = _fresh(folder)
    with Stage(folder, _silent if app.format == "json" else _show) as stage:
        signal.signal(signal.SIGTERM, stage.break_off)
        if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:  # as in a background job
            signal.signal(signal.SIGINT, stage.break_off)
        play = Play(stage, fake, played_on)
        try:
            play.run()
        except OcxError:
            stage.note("demo", "stopped by an error", 0)
            raise
        report = reports.make(play)
        report["problems"] = reports.problems(report)
        (folder / "report.json").write_text(json.dumps(report, indent=2) + "\n", "utf-8")
        if app.format == "json":
            click.echo(json.dumps(report, indent=2))
        else:
            _statement(report, folder)
        if keep:
            _keep(stage, play.connection, folder)
    if report["problems"]:
        sys.exit(1)


def _keep(stage: Stage, connection: Path, folder: Path) -> None:
    """Say how to look around, and wait for Ctrl-C."""
    customer = folder / "customer"
    words = f"--connection {connection} --wallet {customer / 'admin.json'}"
    with contextlib.suppress(KeyboardInterrupt):
        click.echo("\nEverything goes on until Ctrl-C. As the customer, for example:", err=True)
        click.echo(f"  ocx lease show 1 --why {words} --passphrase-file {customer / 'passphrase'}", err=True)
        while True:
            stage.check_alive()
            time.sleep(0.5)


def _fresh(folder: Path) -> Path:
    """An empty folder; only a former demo is thrown away."""
    folder = folder.resolve()
    if folder.exists() and any(folder.iterdir()):
        if not (folder / "logs").is_dir():
            raise InvalidInput(f"{folder} is not empty and no former demo", hint="choose another --dir")
        shutil.rmtree(folder)
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _silent(_at: float, _step: Step) -> None:
    return


def _show(at: float, step: Step) -> None:
    tx = f"  tx {step.transactions[-1][:12]}.." if step.transactions else ""
    click.echo(f"{at:6.1f} s  {step.party:<9} {step.name}{tx}")


def _statement(report: dict[str, Any], folder: Path) -> None:
    click.echo("\nStatement, in credits")
    heads = ("lease", "provider", "plugin", "node", "rate/h", "billed", "paid", "back", "refunded", "ended")
    click.echo("  {:>5} {:<8} {:<7} {:>4} {:>9} {:>7} {:>9} {:>9} {:>9}  {}".format(*heads))
    for lease in report["leases"]:
        click.echo(
            f"  {lease['id']:>5} {lease['provider']:<8} {lease['plugin']:<7} {lease['resource']:>4} "
            f"{credits_text(lease['rate_per_hour']):>9} {lease['billed_seconds']:>5} s "
            f"{credits_text(lease['paid']):>9} {credits_text(lease['sla_penalty']):>9} "
            f"{credits_text(lease['refunded']):>9}  {lease['end_reason']} (fault: {lease['fault']})"
        )
    _witnessed(report)
    for name, before in report["balances"]["before"].items():
        after = report["balances"]["after"][name]
        click.echo(f"  {name:<9} had {credits_text(before):>11}, has {credits_text(after):>11}")
    for lease, text in report["sessions"].items():
        click.echo(f"  over SSH, lease {lease} said: {text}")
    for name, state in report["machines"].items():
        click.echo(f"  its cloud says: {name} is {state}")
    waits = ", ".join(f"{ms} ms" for ms in report["award_to_provision_ms"].values())
    click.echo(f"  from award to the plugin's call, signature and buyer's key between: {waits}")
    click.echo(f"  credits conserved: {'yes' if report['conserved'] else 'NO'}")
    verdict = "Everything is as it should be" if not report["problems"] else "NOT as it should be"
    click.echo(f"\n{verdict}, after {report['seconds']:.0f} s. The full report: {folder / 'report.json'}")
    for problem in report["problems"]:
        click.echo(f"  - {problem}", err=True)


def _witnessed(report: dict[str, Any]) -> None:
    """What the witnesses found, epoch by epoch, and what they were paid."""
    rows = [(lease["id"], row) for lease in report["leases"] for row in lease["verdicts"]]
    click.echo("  {:>5} {:<19} {:>8} {:>7} {:>7} {:>9}  {}".format(
        "lease", "epochs", "rounds", "down", "up", "back", "fault"
    ))  # fmt: skip
    for number, row in rows:
        epochs = "-".join(str(epoch) for epoch in sorted({row["epochs"][0], row["epochs"][-1]}))
        share = row["availability_ppm"]
        up = "too few" if share is None else f"{share / 1e4:.1f} %"
        click.echo(
            f"  {number:>5} {epochs:<19} {row['judged']:>8} {row['down']:>7} {up:>7} "
            f"{credits_text(row['penalty']):>9}  {row['fault']}"
        )
    for one in report["witnesses"]:
        fined = f", fined {credits_text(one['fined'])}" if one["fined"] else ""
        click.echo(
            f"  {one['name']} ticked {one['ticked']} of {one['epochs']} epochs, "
            f"is paid {credits_text(one['pay'])}{fined}"
        )
