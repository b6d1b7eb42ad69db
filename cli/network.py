"""`ocx network`: found an exchange, look at it, check endpoints against the connection file."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cli.act import confirm, working
from cli.app import App, Group, pass_app
from cli.network_invite import COMMANDS as INVITE_COMMANDS
from cli.network_join import COMMANDS as JOIN_COMMANDS
from cli.network_nodes import COMMANDS
from cli.network_upgrade import COMMANDS as UPGRADE_COMMANDS
from cli.render import show
from market.errors import InvalidInput

if TYPE_CHECKING:
    from chain.deploy import DeployParams

__all__ = ["network", "params_of"]


@click.group(cls=Group)
def network() -> None:
    """The network: run a chain, deploy the contracts, show them, check endpoints."""


for command in (*COMMANDS, *JOIN_COMMANDS, *INVITE_COMMANDS, *UPGRADE_COMMANDS):
    network.add_command(command)


@network.command()
@click.option("--rpc-url", "rpc_urls", multiple=True, required=True, help="JSON-RPC endpoint, best first.")
@click.option("--name", default="ocx", help="Name of the network, for people.")
@click.option(
    "--out", type=click.Path(path_type=Path, file_okay=False), required=True, help="Where to write."
)
@click.option(
    "--params",
    "params_file",
    type=click.Path(path_type=Path, dir_okay=False),
    help="YAML file of deployment constants; what it leaves out keeps its default.",
)
@click.option("--demo", is_flag=True, help="Small constants that are good to watch (slots of seconds).")
@click.option("--council", help="Account that governs; by default the wallet's.")
@click.option(
    "--seat",
    "seats",
    multiple=True,
    help="Account of a council of several, in place of --council; repeat it.",
)
@click.option(
    "--threshold",
    type=click.IntRange(1),
    help="How many of a council of several must agree; by default more than half.",
)
@click.option("--gas-price", type=int, default=0, help="Wei per gas everybody offers.")
@click.option("--fee-market", is_flag=True, help="Let the chain's fee market set the price instead.")
@click.option("--block-time", type=float, default=1.0, help="Seconds between blocks.")
@click.option(
    "--confirmations",
    type=click.IntRange(min=0),
    default=0,
    help="Blocks on top before a block counts, where blocks are not final at once.",
)
@pass_app
def deploy(
    app: App,
    rpc_urls: tuple[str, ...],
    name: str,
    out: Path,
    params_file: Path | None,
    demo: bool,
    council: str | None,
    seats: tuple[str, ...],
    threshold: int | None,
    gas_price: int,
    fee_market: bool,
    block_time: float,
    confirmations: int,
) -> None:
    """Deploy the exchange; writes deployment.json and connection.yaml into --out.

    The wallet founds it. Cut short, the same command with the same state goes on where it stopped.
    """
    from chain.abi import checksum
    from chain.deploy import deploy as found
    from chain.rpc import Rpc
    from chain.sender import Sender

    if (out / "connection.yaml").exists():
        raise InvalidInput(f"{out / 'connection.yaml'} exists already", hint="choose another --out")
    params = params_of(params_file, demo)
    governor = checksum(council) if council else None
    sitting = [checksum(seat) for seat in seats]
    needed = threshold or len(sitting) // 2 + 1
    _require_council(governor, sitting, needed)
    wallet = app.open_wallet()
    price = None if fee_market else gas_price
    rpc = Rpc.for_deployment(
        rpc_urls, network=name, gas_price=price, block_time=block_time, confirmations=confirmations
    )
    confirm(
        app,
        f"Deploy the exchange '{name}' to chain {rpc.connection.chain_id}.",
        {
            "founder": wallet.address,
            "council": f"{needed} of {', '.join(sitting)}" if sitting else governor or wallet.address,
            "slot": f"{params.slot} s",
            "transactions": "61, about 62 million gas" + ("" if price != 0 else ", free on this network"),
        },
    )
    sender = Sender(rpc, wallet, app.state_dir / "sender")
    with working("deploying"):
        done = found(rpc, sender, params, council=governor, seats=sitting, threshold=needed)
    record, connection = done.write(out)
    result = {
        "network": name,
        "chain_id": done.chain_id,
        "connection": str(connection),
        "record": str(record),
        "contracts": [{"contract": name, "address": at} for name, at in done.addresses.items()],
        "gas_used": sum(done.gas_used.values()),
    }
    show(app, result, value="connection")


def _require_council(governor: str | None, seats: list[str], threshold: int) -> None:
    """InvalidInput unless it can be founded."""
    if governor and seats:
        raise InvalidInput(
            "--council and --seat exclude each other", hint="give one account, or several seats"
        )
    if len(set(seats)) < len(seats):
        raise InvalidInput("an account has one seat in the council", hint="name each --seat once")
    if seats and threshold > len(seats):
        raise InvalidInput(
            f"{len(seats)} accounts cannot agree {threshold} times",
            hint="give a smaller --threshold or more seats",
        )


def params_of(file: Path | None, demo: bool) -> DeployParams:
    """The constants of a file, or the defaults; InvalidInput names what is wrong with it."""
    import yaml

    from chain.deploy import DeployParams

    if file is None:
        return DeployParams.demo() if demo else DeployParams()
    if demo:
        raise InvalidInput("--params and --demo exclude each other", hint="give one of them")
    try:
        values = yaml.safe_load(file.read_text("utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise InvalidInput(f"parameter file {file} cannot be read: {error}") from error
    if not isinstance(values, dict):
        raise InvalidInput(f"parameter file {file} must be a mapping of names to values")
    try:
        return DeployParams.load({str(name): value for name, value in values.items()})
    except InvalidInput as error:
        known = ", ".join(field.name for field in fields(DeployParams))
        error.hint = error.hint or f"correct {file}; the names are {known}"
        raise


@network.command("show")
@pass_app
def show_(app: App) -> None:
    """Contracts with their versions, who governs, who may ask what of whom."""
    from chain.contracts.directory import RIGHTS

    exchange = app.exchange()
    directory = exchange.directory
    names = directory.names()
    contracts = [
        {"contract": name, "version": version, "address": directory.at(name, version)}
        for name in names
        for version in range(1, directory.versions(name) + 1)
    ]
    rights = [
        {
            "right": right,
            "holders": [name for name in names if directory.has_right(directory.latest(name), right)],
        }
        for right in RIGHTS
    ]
    result: dict[str, Any] = {
        "network": exchange.connection.network,
        "chain_id": exchange.connection.chain_id,
        "genesis_hash": exchange.connection.genesis_hash,
        "directory": exchange.connection.directory,
        "council": directory.council(),
        "timelock": directory.timelock(),
        "slot_seconds": exchange.slot,
        "now": exchange.now(),
        "contracts": contracts,
        "rights": rights,
    }
    show(app, result)


@network.command()
@pass_app
def check(app: App) -> None:
    """Check every endpoint against the connection file: chain id, genesis, Directory's code, fresh head."""
    from market.errors import Refused

    exchange = app.exchange()
    with working("asking every endpoint"):
        exchange.rpc.verify()
    endpoints = [
        {"endpoint": item["url"], "block": item["block"], "finding": item["fault"] or "good"}
        for item in exchange.rpc.endpoints()
    ]
    slot = exchange.inventory.slot()
    if slot != exchange.slot:
        raise Refused(
            f"the connection file says slots of {exchange.slot} s, but the contracts count in {slot} s",
            hint="ask an operator for the right connection file",
        )
    show(app, endpoints, value="endpoint finding")
    if any(item["finding"] != "good" for item in endpoints):
        raise Refused("not every endpoint is good", hint="correct or remove it in rpc_urls")
