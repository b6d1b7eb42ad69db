"""`ocx provider`: the provider agent: configure, check, run, look at its health."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cli.act import working
from cli.app import App, Group, pass_app
from cli.installation import ask_health, show_findings, show_unit, show_yaml
from cli.new_plugin import new_plugin
from cli.options import config_option, load_settings, log_level_option
from cli.render import show
from cli.rotate import rotate_gateway
from cli.rotate_operator import rotate_operator
from market.errors import InvalidInput, Refused, Temporary

if TYPE_CHECKING:
    from provisioner.settings import Settings

__all__ = ["config_option", "load_settings", "provider"]

_SILENCE = 15.0
"""Seconds after which an agent that writes its health every second must have stopped."""

# Not OCX_PROVIDER_...: those variables are the agent's own settings, which it refuses to misunderstand.
_APART = {"auto_envvar_prefix": "OCX_CONFIG"}


@click.group(cls=Group)
def provider() -> None:
    """The provider agent."""


provider.add_command(new_plugin)
provider.add_command(rotate_gateway)
provider.add_command(rotate_operator)


@provider.command()
@config_option
@log_level_option
@pass_app
def run(app: App, config_file: Path, log_level: str) -> None:
    """Run the agent until it is told to stop (Ctrl-C or SIGTERM); it goes on where it was.

    Prints where its gateway and its health page are, once it serves.
    """
    from daemons.logs import begin
    from provisioner.run import run as serve

    begin(log_level)

    def ready(where: dict[str, object]) -> None:
        show(app, where, value="url")
        sys.stdout.flush()

    serve(load_settings(config_file), ready=ready)


@provider.command()
@config_option
@pass_app
def check(app: App, config_file: Path) -> None:
    """Test the installation before its first lease: what is missing, and what to do about it.

    `missing` must be put right, `advice` need not; only what is missing makes the command fail.
    """
    from provisioner.check import examine

    with working("checking"):
        findings = examine(load_settings(config_file))
    show_findings(app, findings)


@provider.command()
@pass_app
def plugins(app: App) -> None:
    """The clouds this installation can drive, and what each can do beside provisioning.

    Every plugin is imported; one that cannot be says why under `problem`, the others are listed all the same.
    """
    from provisioner.capabilities import installed

    with working("importing the plugins"):
        found = installed()
    rows = [
        {"plugin": item.name, "class": item.class_path, **item.capabilities, "problem": item.problem}
        for item in found
    ]
    show(app, rows, value="plugin", empty="no plugins; is the ocx package installed?")


@provider.command()
@config_option
@pass_app
def status(app: App, config_file: Path) -> None:
    """What the running agent says about itself: the conditions that hold and what to do, then its leases.

    `--format json` gives the whole health document.
    """
    health = _health(load_settings(config_file))
    if app.format != "table":
        show(app, health, value="ok")
    else:
        _tell(app, health)
    if not health.get("ok"):
        raise Refused("the agent is not well", hint="see its conditions above")


def _tell(app: App, health: dict[str, Any]) -> None:
    """Health in words."""
    words = "account organisation head clock_offset free_balance disk_free transactions machines"
    show(app, {"ok": health["ok"]} | {name: health.get(name) for name in words.split()})
    conditions = [
        {name: item[name] for name in ("name", "since", "message", "hint")}
        for item in health.get("conditions", [])
    ]
    click.echo()
    show(app, conditions, empty="no conditions: all is well")
    leases = [
        {name: item[name] for name in ("lease", "state", "step", "why")} for item in health.get("leases", [])
    ]
    click.echo()
    show(app, leases, empty="no leases")


def _health(settings: Settings) -> dict[str, Any]:
    """The agent's health: from its file, or, where that is old as on a full disk, from its health page."""
    from chain.wallet import address_of
    from provisioner.run import health_path

    path = settings.state_dir / "health.json"
    try:
        own = health_path(settings, address_of(settings.wallet.keystore))
        path = own if own.exists() else path
        health: dict[str, Any] = json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        raise Temporary(f"there is no {path}", hint="is the agent running?", retry_after=5.0) from None
    except (OSError, ValueError) as error:
        raise InvalidInput(f"the health file {path} cannot be read: {error}") from error
    age = time.time() - health.get("at", 0)
    if age <= _SILENCE:
        return health
    asked = ask_health(health.get("health_port"))
    if asked is None:
        raise Temporary(
            f"the agent's last word is {age:.0f} s old", hint="it does not run, or hangs: look at its log"
        )
    return asked


@provider.command()
@config_option
@click.argument("what", default="")
@pass_app
def retry(app: App, config_file: Path, what: str) -> None:
    """Have the running agent try again now what failed or waits for a person, without a restart.

    WHAT is a lease's number, or what `ocx provider status --format json` names under errors; without it,
    everything. Lifts the hold on machines whose build failed, too.
    """
    from provisioner.store.store import Store

    settings = load_settings(config_file)
    if not settings.database.exists():
        raise Temporary(f"there is no {settings.database}", hint="has the agent ever run?", retry_after=5.0)
    Store(settings.database).ask_again(what.removeprefix("lease/") if what else "", int(time.time()))
    show(app, {"asked": what or "everything"}, value="asked")


@provider.command(context_settings=_APART)
@click.option(
    "--state-dir", type=click.Path(path_type=Path), required=True, help="Where the agent keeps its state."
)
@click.option("--plugin", required=True, help="Which cloud: see ocx provider plugins.")
@click.option("--set", "pairs", multiple=True, help="A setting of the plugin as name=value (YAML).")
@click.option("--gateway-host", default="127.0.0.1", help="Address the gateway listens on.")
@click.option("--gateway-port", type=int, default=8443, help="Port the gateway listens on.")
@click.option("--gateway-url", help="URL the gateway is registered with, if it is another.")
@pass_app
def config(
    app: App,
    state_dir: Path,
    plugin: str,
    pairs: tuple[str, ...],
    gateway_host: str,
    gateway_port: int,
    gateway_url: str | None,
) -> None:
    """Print a configuration for the agent, made from the shipped template; edit it to taste."""
    from provisioner.settings import render

    text = render(
        connection=str(app.connection_path()),
        wallet={
            "keystore": str(app.wallet_path()),
            "passphrase_file": str(app.passphrase_file) if app.passphrase_file else None,
        },
        state_dir=str(state_dir),
        gateway={"host": gateway_host, "port": gateway_port, "url": gateway_url},
        plugins=[{"name": plugin, "settings": dict(_setting(pair) for pair in pairs)}],
    )
    show_yaml(app, text)


@provider.command(context_settings=_APART)
@config_option
@click.option("--user", default="ocx", help="System user the agent runs as; it must own the state directory.")
@click.option("--name", default="ocx", help="What to call the agent in the journal.")
@pass_app
def unit(app: App, config_file: Path, user: str, name: str) -> None:
    """Print a systemd unit that keeps the agent of this configuration running.

    Put it into /etc/systemd/system/ocx-provider.service, then: systemctl enable --now ocx-provider
    """
    show_unit(app, "ocx-provider.service.j2", name, user, config_file, load_settings(config_file))


def _setting(text: str) -> tuple[str, Any]:
    import yaml

    name, separator, value = text.partition("=")
    try:
        parsed = yaml.safe_load(value)
    except yaml.YAMLError:
        parsed = None
        separator = ""
    if not name or not separator:
        raise InvalidInput(f"'{text}' is not name=value", hint="the value is read as YAML")
    return name, parsed
