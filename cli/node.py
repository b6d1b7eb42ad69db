"""`ocx node`: resources: what a provider's clouds have, and what of it the exchange knows."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cli.act import Plan, apply, finish, run, working
from cli.app import App, Group, pass_app
from cli.member import own_org
from cli.offer import span_text
from cli.options import for_option, node_option, window_end, window_start
from cli.parse import increasing, org_id, wanted_window
from cli.provider import config_option, load_settings
from cli.render import hex_text, show, word
from market.errors import InvalidInput

if TYPE_CHECKING:
    from chain.exchange import Exchange
    from provisioner.catalogue import Measured, Planned
    from provisioner.settings import Settings

__all__ = ["node"]


@click.group(cls=Group)
def node() -> None:
    """Nodes: the machines that can be offered."""


@node.command()
@config_option
@pass_app
def inspect(app: App, config_file: Path) -> None:
    """Measure what the configured clouds have; nothing is changed or sent."""
    from provisioner.catalogue import hardware_key

    rows = [
        {
            "plugin": item.plugin,
            "name": item.inspected.name,
            "class": item.inspected.class_name,
            "site": item.inspected.site,
            "spec": str(item.inspected.spec),
            "floor_rate": item.inspected.rate_per_hour,
            "hardware_key": hex_text(hardware_key(item.inspected)),
        }
        for item in _measure(load_settings(config_file))
    ]
    show(app, rows, value="name", empty="the clouds have nothing to sell")


def _measure(settings: Settings) -> list[Measured]:
    from provisioner.catalogue import load_plugins, measure

    with working("asking the clouds"):
        return measure(load_plugins(settings.plugins))


@node.command()
@config_option
@click.option("--name", "names", multiple=True, help="Only the machines of these names; by default all.")
@pass_app
def register(app: App, config_file: Path, names: tuple[str, ...]) -> None:
    """Register what the configured clouds have; what changed is measured anew, the rest is left alone."""
    from provisioner.catalogue import hardware_key
    from provisioner.catalogue import plan as plan_of

    settings = load_settings(config_file)
    measured = [item for item in _measure(settings) if not names or item.inspected.name in names]
    if missing := set(names) - {item.inspected.name for item in measured}:
        raise InvalidInput(f"the clouds have no {', '.join(sorted(missing))}", hint="see: ocx node inspect")
    exchange = app.exchange(sign=True)
    planned = plan_of(exchange, own_org(app, exchange), measured, settings.turnaround_slots)
    calls = [item.call for item in planned if item.call is not None]
    facts = {item.measured.inspected.name: _action_text(item) for item in planned}
    if calls:
        done = apply(app, exchange, Plan("Tell the exchange what the clouds have.", calls, facts))
        transactions = done.transactions()
    else:
        transactions = []
    inventory = exchange.inventory
    registered = [
        {
            "resource": inventory.by_hardware(hardware_key(item.measured.inspected)),
            "name": item.measured.inspected.name,
            "plugin": item.measured.plugin,
            "class": item.measured.inspected.class_name,
            "action": item.action.value,
            "floor_rate": item.measured.inspected.rate_per_hour,
        }
        for item in planned
    ]
    show(app, {"registered": registered, "transactions": transactions}, value="registered")


def _action_text(item: Planned) -> str:
    number = f"node {item.resource}, " if item.resource else ""
    found = item.measured.inspected
    return f"{number}{item.action.value}: {found.class_name} at {found.site}, {found.spec}"


@node.command("list")
@click.option("--mine", is_flag=True, help="Only those of the wallet's organisation.")
@click.option("--class", "class_name", help="Only this class.")
@pass_app
def list_(app: App, mine: bool, class_name: str | None) -> None:
    """All registered nodes."""
    exchange = app.exchange()
    org = own_org(app, exchange) if mine else None
    rows = [_row(exchange, number) for number in range(1, exchange.inventory.count() + 1)]
    rows = [row for row in rows if org in (None, row["owner"]) and class_name in (None, row["class"])]
    show(app, rows, value="node", empty="no nodes")


def _row(exchange: Exchange, number: int) -> dict[str, Any]:
    r = exchange.inventory.resource(number)
    return {
        "node": number,
        "owner": r.owner,
        "class": word(r.class_),
        "site": word(r.site),
        "spec": str(r.spec),
        "turnaround_slots": r.turnaround,
        "held": r.holds > 0,
        "retired": r.retired,
    }


@node.command("show")
@click.argument("number", type=int)
@pass_app
def show_(app: App, number: int) -> None:
    """One node with its hashes and history."""
    from chain.history import history
    from cli.render import history_rows

    exchange = app.exchange()
    r = exchange.inventory.resource(number)
    result = _row(exchange, number) | {
        "document_hash": hex_text(r.document_hash),
        "hardware_key": hex_text(r.hardware_key),
        "history": history_rows(history(exchange, [exchange.inventory], "resource", number), exchange.slot),
    }
    show(app, result)


@node.command()
@click.argument("number", type=int)
@pass_app
def retire(app: App, number: int) -> None:
    """Take a node out for good (its hardware may be registered anew); leases of it live on."""
    exchange = app.exchange(sign=True)
    run(app, exchange, f"Retire node {number}.", exchange.inventory.retire(number), {"node": number})


@node.command()
@node_option
@click.option(
    "--to", "organisation", required=True, metavar="ORG", help="Who may use them, HANDLE or number."
)
@window_start
@window_end
@for_option
@pass_app
def assign(
    app: App, nodes: tuple[int, ...], organisation: str, start: str, end: str | None, length: int | None
) -> None:
    """Hand nodes to a department of the own party, or keep them for the own organisation, without payment.

    It is a lease as any other, at rate 0: the agent hands it over, and whoever has it can end it.
    """
    from chain.generated.events import Assigned

    resources = increasing(nodes, "node")
    exchange = app.exchange(sign=True)
    window = wanted_window(exchange, start, end, length)
    to, owner = org_id(exchange, organisation), own_org(app, exchange)
    facts = {"to": organisation, "window": span_text(window, exchange.slot), "locks": "nothing"}
    call = exchange.book.assign(to, resources, window, org=owner)
    done = apply(app, exchange, Plan(f"Assign node {', '.join(map(str, resources))}.", [call], facts))
    assigned = done.one(Assigned)
    finish(app, done, {"lease": assigned.lease, "to": to, "nodes": resources}, value="lease")
