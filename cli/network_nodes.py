"""`ocx network up|status|stop|render|connection`: a chain of one's own, as local processes, and its files."""

from __future__ import annotations

import contextlib
import math
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cli.act import working
from cli.app import App, Command, pass_app
from cli.network_agent import agent
from cli.network_backup import backup, restore
from cli.network_validator import validator
from cli.options import dir_option
from cli.render import show
from market.errors import InvalidInput, Refused

if TYPE_CHECKING:
    from chain.nodes.description import NetworkDescription
    from chain.nodes.status import NetworkStatus

__all__ = ["COMMANDS"]


@click.command(cls=Command)
@click.option("--validators", type=int, help="How many to make keys for.  [default: 4]")
@dir_option
@click.option("--name", "network", default="local", help="Name of the network, for people.")
@click.option("--chain-id", type=int, help="EIP-155 chain id.  [default: random]")
@click.option("--block-time", type=int, default=1, help="Seconds between blocks.")
@click.option("--slot", type=int, default=3600, help="Seconds per slot the exchange will have.")
@click.option("--loopback", is_flag=True, help="Loopback ports even where root could make namespaces.")
@click.option("--foreground", is_flag=True, help="Stay; end the network with this command.")
@click.option("--no-wait", is_flag=True, help="Do not wait until the nodes have met the others.")
@pass_app
def up(
    app: App,
    validators: int | None,
    folder: Path,
    network: str,
    chain_id: int | None,
    block_time: int,
    slot: int,
    loopback: bool,
    foreground: bool,
    no_wait: bool,
) -> None:
    """Run a chain of validators on this machine: geth with Clique, free gas, nobody else let in.

    As root each validator has a network namespace of its own, else loopback ports. The first time it makes
    keys and network.yaml in --dir; given again it starts what does not run. Nothing outlives `network stop`.
    In the folder of one member (`init`, `join`) it starts that member's nodes and waits until they have met
    enough others; without them it says so after a minute, and the nodes go on trying.
    """
    from chain.nodes import layout, local
    from chain.nodes.engine import find_engine
    from chain.nodes.space import work_here

    find_engine()
    folder = folder.absolute()
    if layout.description_path(folder).exists():
        description = layout.write_files(folder)
        _same(description, validators)
    else:
        if (folder / "card.json").exists():
            raise InvalidInput(
                f"{folder} has a card but no network yet", hint="run: ocx network init, or ocx network join"
            )
        folder.mkdir(parents=True, exist_ok=True)
        description = layout.found(
            folder,
            4 if validators is None else validators,
            spaces=not loopback and work_here(),
            now=int(time.time()),
            network=network,
            block_time=block_time,
            slot=slot,
            chain_id=chain_id,
        )
    with _until_told(folder) if foreground else contextlib.nullcontext():
        with working("starting the nodes"):
            local.start(folder, while_pid=os.getpid() if foreground else None)
            found = local.status(folder) if no_wait else _wait_up(folder, description, foreground)
        _show(app, found)
        while foreground and local.is_kept(folder):
            time.sleep(0.5)


def _same(description: NetworkDescription, validators: int | None) -> None:
    there = len(description.validators)
    if validators is not None and validators != there:
        raise InvalidInput(
            f"the network there was founded by {there} validators, not {validators}",
            hint="leave --validators out, or choose another --dir",
        )


def _wait_up(folder: Path, description: NetworkDescription, foreground: bool) -> NetworkStatus:
    """Wait until the nodes here are up; in the foreground for as long as it takes, else a minute."""
    from chain.nodes import layout, local
    from market.errors import Temporary

    here = layout.here(folder, description)
    if not here:
        raise InvalidInput(
            f"{folder} holds the key of no node of {description.network}",
            hint="give the --dir in which one was made",
        )
    if len(here) == len(description.nodes):
        return local.wait_until(folder, _is_up, what="up")

    def met(found: NetworkStatus) -> bool:
        if not local.is_kept(folder):
            raise Refused("the nodes were ended meanwhile", hint="start them again: ocx network up")
        return _has_met(found, 10 + 5 * description.block_time)

    try:
        return local.wait_until(folder, met, timeout=math.inf if foreground else 60, what="up")
    except Temporary as error:
        error.hint = "the nodes here run and go on trying, so look later: ocx network status"
        raise


def _refuse_ended(found: NetworkStatus) -> None:
    for node in found.nodes:
        if node.state.startswith("ended"):
            raise Refused(f"{node.name} {node.finding}", hint=f"its log says why: nodes/{node.name}/geth.log")


def _is_up(found: NetworkStatus) -> bool:
    """Every node knows every other, and all have blocks; Refused once one has ended by itself."""
    _refuse_ended(found)
    return found.good and all(node.height and len(node.peers) >= len(found.nodes) - 1 for node in found.nodes)


def _has_met(found: NetworkStatus, age: int) -> bool:
    """Every node here knows a quorum (a follower: one validator), and blocks come; Refused as above."""
    _refuse_ended(found)
    validators = set(found.validators)
    return (
        found.good
        and found.head_age is not None
        and found.head_age <= age
        and all(
            node.height
            and len(validators & {node.name, *node.peers}) >= (found.quorum if node.validator else 1)
            for node in found.nodes
        )
    )


@contextlib.contextmanager
def _until_told(folder: Path) -> Iterator[None]:
    """Ctrl-C and SIGTERM leave the block; nothing runs after it."""
    import signal

    from chain.nodes import local

    def leave(*_: object) -> None:
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, leave)
    try:
        with contextlib.suppress(KeyboardInterrupt):
            yield
    finally:
        local.stop(folder)


@click.command(cls=Command)
@dir_option
@pass_app
def status(app: App, folder: Path) -> None:
    """How the chain is: height, peers, validators, lag, who is missing. Exit code 1 if anything is wrong."""
    from chain.nodes import local

    found = local.status(folder.absolute())
    _show(app, found)
    if not found.good:
        hint = "start what does not run: ocx network up"
        if not found.goes_on:
            hint += f"; blocks need {found.quorum} validators"
        raise Refused(found.summary, hint=hint)


@click.command(cls=Command)
@dir_option
@click.argument("names", nargs=-1, metavar="[NODE]...")
@pass_app
def stop(app: App, folder: Path, names: tuple[str, ...]) -> None:
    """End the nodes named, or without names the whole network. Keys and blocks stay."""
    from chain.nodes import local
    from chain.nodes.description import load
    from chain.nodes.layout import description_path

    folder = folder.absolute()
    description = load(description_path(folder))
    for name in names:
        description.node(name)
    with working("ending the nodes"):
        if names:
            kept = local.ask_keeper(folder, "stop", names)
        else:
            local.stop(folder)
            kept = {node.name: {"state": "stopped"} for node in description.nodes}
    rows = [{"node": name, "state": each["state"]} for name, each in kept.items()]
    show(app, rows, value="node state")


@click.command(cls=Command)
@click.option(
    "--file",
    "source",
    type=click.Path(path_type=Path, dir_okay=False),
    required=True,
    help="The network.yaml to make them from.",
)
@click.option(
    "--out", type=click.Path(path_type=Path, file_okay=False), required=True, help="Where to write."
)
@pass_app
def render(app: App, source: Path, out: Path) -> None:
    """Write each node's files from a network.yaml: genesis, configuration, allow-list, static nodes.

    For geth (engine clique) or Hyperledger Besu (engine qbft; this project never ran it). No keys are made.
    """
    from chain.nodes.description import load
    from chain.nodes.render import node_files
    from chain.wallet import write_private

    description = load(source)
    rows = []
    for node in description.nodes:
        for name, text in node_files(description, node).items():
            write_private(out / node.name / name, text, replace=True)
            rows.append({"node": node.name, "file": str(out / node.name / name)})
    show(app, rows, value="file")


@click.command(cls=Command)
@dir_option
@click.option(
    "--deployment",
    type=click.Path(path_type=Path, file_okay=False, exists=True),
    required=True,
    help="Where `ocx network deploy` wrote deployment.json.",
)
@click.option("--node", "first", help="The node to be asked first; by default the first of network.yaml.")
@pass_app
def connection(app: App, folder: Path, deployment: Path, first: str | None) -> None:
    """Write connection.yaml into --dir: the nodes whose keys are there, and how many blocks to wait for.

    Clique's blocks are not final at once: a block counts once more than half of the validators built on it.
    """
    import json

    from chain.nodes import layout, local
    from chain.nodes import render as files
    from chain.nodes.consensus.view import majority
    from chain.nodes.description import load
    from chain.wallet import write_private

    description = load(layout.description_path(folder))
    try:
        record = json.loads((deployment / "deployment.json").read_text("utf-8"))
        facts: dict[str, Any] = {
            "genesis_hash": record["genesis_hash"],
            "directory": record["addresses"]["Directory"],
            "directory_code_hash": record["directory_code_hash"],
        }
        chain_id, slot = record["chain_id"], record["params"]["slot"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InvalidInput(f"{deployment / 'deployment.json'} cannot be read: {error}") from error
    if chain_id != description.chain_id:
        raise InvalidInput(
            f"that deployment is on chain {chain_id}, this network is chain {description.chain_id}"
        )
    chosen = None if first is None else description.node(first)
    own = layout.here(folder, description)
    today = len(local.status(folder).validators)
    wanted = majority(today) if today and description.engine == "clique" else description.confirmations
    described = description.model_copy(update={"slot": slot})
    text = files.connection(described, **facts, first=chosen, nodes=own, confirmations=wanted)
    path = folder / "connection.yaml"
    write_private(path, text, replace=True)
    show(app, {"connection": str(path), "confirmations": wanted}, value="connection")


def _show(app: App, found: NetworkStatus) -> None:
    """One table for people; everything in JSON."""
    if app.format == "json":
        from dataclasses import asdict

        facts = {"lag": found.lag, "goes_on": found.goes_on, "good": found.good}
        show(app, {**asdict(found), **facts})
        return
    rows = [
        {
            "node": node.name,
            "organisation": node.organisation,
            "validator": node.validator,
            "height": node.height,
            "behind": node.behind,
            "peers": len(node.peers),
            "sealed": node.sealed,
            "rpc": node.rpc_url,
            "finding": node.finding,
        }
        for node in found.nodes
    ]
    show(app, rows, value="node height finding")
    if app.format == "table":
        for vote in found.proposals:
            what = "in as a validator" if vote.adds else "out as one"
            click.echo(f"\na vote is under way: {vote.address} {what}, {vote.votes} of {vote.needed} votes")
        names = ", ".join(found.missing) or "nobody"
        head = f"block {found.height}, {found.head_age} s old; lag {found.lag} blocks"
        needed = f"{len(found.validators)} validators, {found.quorum} needed"
        click.echo(f"\n{found.network}: {head}; {needed}; missing: {names}")


COMMANDS: tuple[click.Command, ...] = (
    up,
    status,
    stop,
    render,
    connection,
    validator,
    agent,
    backup,
    restore,
)
"""What `cli.network` adds to its group."""
