"""`ocx network card|init|join|leave`: how a member's node comes into a network, and how it goes."""

from __future__ import annotations

import contextlib
import hashlib
import secrets
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from cli.act import confirm, working
from cli.app import App, Command, pass_app
from cli.options import dir_option
from cli.parse import ADDRESS
from cli.render import show, time_text
from market.errors import InvalidInput, OcxError, Refused, Temporary

if TYPE_CHECKING:
    from chain.exchange import Exchange
    from chain.nodes.admission.invitation import Invitation
    from chain.nodes.admission.register import Registered
    from chain.nodes.description import NetworkDescription, Node

__all__ = ["COMMANDS", "use_connection_of"]

_file = click.Path(path_type=Path, dir_okay=False)
_PORT = click.IntRange(1, 65535)


def use_connection_of(app: App, folder: Path) -> None:
    """Go by the folder's connection.yaml where none was named."""
    path = folder / "connection.yaml"
    if app.connection is None and path.exists():
        app.connection = path


@click.command(cls=Command)
@dir_option
@click.option("--organisation", required=True, help="Handle the organisation has, or shall have.")
@click.option("--host", required=True, help="Where its peers reach the node: an IP address or a DNS name.")
@click.option("--p2p-port", type=_PORT, default=30303, help="TCP port for its peers.")
@click.option("--rpc-port", type=_PORT, default=8545, help="Port of JSON-RPC, on the loopback alone.")
@click.option("--name", help="What to call the node.  [default: handle and digits of its address]")
@click.option("--account", type=ADDRESS, help="Wallet to be the organisation's admin.  [default: --wallet's]")
@pass_app
def card(
    app: App,
    folder: Path,
    organisation: str,
    host: str,
    p2p_port: int,
    rpc_port: int,
    name: str | None,
    account: str | None,
) -> None:
    """Make a node's key in --dir, and card.json: what others must know to found with it or to invite it.

    Nothing in the card is secret. Given again, it is the same key.
    """
    from chain.nodes.admission.card import make
    from chain.wallet import write_private

    made = make(
        folder,
        organisation=organisation,
        account=account or app.address(),
        name=name,
        host=host,
        p2p_port=p2p_port,
        rpc_port=rpc_port,
    )
    path = folder / "card.json"
    write_private(path, made.text, replace=True)
    facts = made.model_dump(include={"name", "organisation", "address", "account"})
    show(app, {"card": str(path), **facts, "endpoint": made.place}, value="card")


@click.command(cls=Command)
@dir_option
@click.option("--card", "cards", type=_file, multiple=True, help="A founder's card.json; once for each.")
@click.option("--from", "source", type=_file, help="The network.yaml another founder made.")
@click.option("--network", default="ours", help="Name of the network, for people.")
@click.option("--chain-id", type=click.IntRange(1, 2**53 - 1), help="EIP-155 chain id.  [default: random]")
@click.option("--block-time", type=click.IntRange(1, 60), default=1, help="Seconds between blocks.")
@click.option(
    "--slot", type=click.IntRange(min=1), default=3600, help="Seconds per slot the exchange will have."
)
@pass_app
def init(
    app: App,
    folder: Path,
    cards: tuple[Path, ...],
    source: Path | None,
    network: str,
    chain_id: int | None,
    block_time: int,
    slot: int,
) -> None:
    """Found a network: write network.yaml with the founders of these cards as validators.

    One founder makes it; the others take that file (--from). All compare the fingerprint (of
    genesis.json), then each runs `ocx network up`. Given again, it is the same network.
    """
    from chain.nodes import layout
    from chain.nodes.admission import joining
    from chain.nodes.admission.card import load as load_card
    from chain.nodes.description import load
    from chain.nodes.render import genesis

    if bool(cards) == (source is not None):
        raise InvalidInput(
            "a network is made either of cards or from a file", hint="give --card once for each, or --from"
        )
    path = layout.description_path(folder)
    if source is not None:
        description = load(source)
    else:
        read = [load_card(card) for card in cards]
        founders = tuple(card.node for card in read)
        description = joining.description_of(
            read,
            network=network,
            chain_id=chain_id or 1_000_000 + secrets.randbelow(1_000_000_000),
            founded=int(time.time()),
            block_time=block_time,
            slot=slot,
        )
        if path.exists() and load(path).validators == founders:
            description = load(path)
    own = joining.settle(folder, description)
    result = {
        "network": description.network,
        "chain_id": description.chain_id,
        "fingerprint": hashlib.sha256(genesis(description).encode()).hexdigest(),
        "validators": [node.name for node in description.validators],
        "here": [node.name for node in own],
        "description": str(path),
    }
    show(app, result, value="description")


@click.command(cls=Command)
@dir_option
@click.option("--invite", "source", type=_file, required=True, help="The invitation's file.")
@click.option("--inviter", type=ADDRESS, help="The wallet it must be signed by, as you were told it.")
@pass_app
def join(app: App, folder: Path, source: Path, inviter: str | None) -> None:
    """Join with the node whose card was invited: verify, start, wait until it is level, verify again.

    Without --inviter it asks whether the one who signed is who you think. Writes connection.yaml into --dir.
    Cut short, the same command goes on.
    """
    from chain.nodes import layout, local
    from chain.nodes.admission import joining
    from chain.nodes.admission.invitation import load, require_valid
    from chain.nodes.engine import find_engine
    from chain.wallet import write_private

    find_engine()
    folder = folder.absolute()
    invitation = load(source)
    require_valid(invitation, time.time(), inviter)
    if inviter is None:
        confirm(app, f"Join the network {invitation.network.network}.", _facts(invitation))
    own = joining.take_in(folder, invitation)
    ran = local.is_kept(folder)
    with working("starting the node"):
        local.start(folder)
    if own.name not in local.ask_keeper(folder, "status"):
        raise InvalidInput(
            f"the nodes of {folder} were started before {own.name} was made",
            hint="end them, then repeat this: ocx network stop",
        )
    try:
        with _telling() as say:
            reached = joining.wait_level(layout.node_folder(folder, own), invitation.network, say)
        urls = [node.rpc_url for node in layout.here(folder, invitation.network)]
        text = invitation.connection(urls)
        with working("asking the chain about the invitation"):
            joining.verify(_exchange(text), invitation)
    except Refused:
        if not ran:
            local.stop(folder)
        raise
    path = folder / "connection.yaml"
    write_private(path, text, replace=True)
    result = {"node": own.name, "block": reached.height, "peers": reached.peers, "connection": str(path)}
    show(app, result, value="connection")


def _facts(invitation: Invitation) -> dict[str, str]:
    return {
        "inviter": f"{invitation.inviter} (is that who you think? --inviter says so without asking)",
        "organisation": invitation.organisation,
        "node": f"{invitation.own.name}, {invitation.node}",
        "chain": f"{invitation.network.chain_id}, block 0 {invitation.genesis_hash}",
        "exchange": invitation.directory,
        "until": time_text(invitation.expires),
    }


def _exchange(text: str) -> Exchange:
    import yaml

    from chain.connection import ConnectionFile
    from chain.exchange import Exchange

    return Exchange(ConnectionFile.model_validate(yaml.safe_load(text)))


@contextlib.contextmanager
def _telling() -> Iterator[Callable[[str], None]]:
    """Where progress is told: one changing line at a terminal, else what is new every few seconds."""
    if sys.stderr.isatty():
        from rich.console import Console

        with Console(stderr=True).status("waiting for the node") as line:
            yield line.update
        return
    told = {"": time.monotonic()}

    def say(text: str) -> None:
        if text not in told and time.monotonic() - max(told.values()) >= 5:
            told[text] = time.monotonic()
            click.echo(text, err=True)

    yield say


@click.command(cls=Command)
@dir_option
@pass_app
def leave(app: App, folder: Path) -> None:
    """Take the nodes of --dir off the members' list and end them (admin, or council).

    A validator is voted out first. Keys and blocks stay, so the same nodes can be invited again.
    """
    from chain.nodes import layout, local
    from chain.nodes.description import load

    folder = folder.absolute()
    description = load(layout.description_path(folder))
    own = layout.here(folder, description)
    use_connection_of(app, folder)
    _refuse_validators(folder, own)
    exchange = app.exchange(sign=True)
    listed = _listed(app, description, own)
    gone = [node.name for node in listed]
    if listed:
        _remove(app, exchange, folder, own, listed)
    with working("ending the nodes"):
        local.stop(folder)
    show(app, {"left": [node.name for node in own], "removed": gone}, value="left")


def _refuse_validators(folder: Path, own: tuple[Node, ...]) -> None:
    """Refused while a node here is a validator, or if none answers to say so."""
    from chain.nodes import layout
    from chain.nodes.consensus.view import view

    seen = []
    for node in own:
        with contextlib.suppress(OcxError):
            seen.append(view(layout.node_folder(folder, node)))
    if not seen:
        raise Refused(
            "no node here answers, so nobody can say whether it is a validator",
            hint="start it: ocx network up",
        )
    signers = max(seen, key=lambda one: one.weight).signers
    if bound := [node.name for node in own if node.address.lower() in signers]:
        raise Refused(
            f"{', '.join(bound)} is a validator, and those who are left would wait for it",
            hint=f"have the members vote it out first: ocx network validator remove {bound[0]}",
        )


def _listed(app: App, description: NetworkDescription, own: tuple[Node, ...]) -> list[Registered]:
    """Which of them stand on the list at the node's newest block, however old: one cut off has no newer."""
    from chain.connection import load
    from chain.exchange import Exchange
    from chain.nodes.admission.register import registered
    from chain.rpc import Rpc

    connection = load(app.connection_path())
    if connection.chain_id != description.chain_id:
        raise InvalidInput(
            f"connection file {app.connection_path()} is of chain {connection.chain_id}, the nodes are of "
            f"chain {description.chain_id}"
        )
    rpc = Rpc(connection, stale_after=None)
    ours = {node.public_key for node in own}
    found = registered(Exchange(connection, rpc=rpc), rpc.head().number)
    return [node for node in found if node.public_key.hex() in ours]


def _remove(
    app: App, exchange: Exchange, folder: Path, own: tuple[Node, ...], listed: list[Registered]
) -> None:
    """Take them off the list; where others cut us off before enough blocks are on top, it is done, too."""
    from chain.nodes import layout
    from chain.nodes.admission import joining

    title = f"Leave the network with {', '.join(node.name for node in listed)}."
    confirm(app, title, {"wallet": exchange.sender.address, "transactions": str(len(listed))})
    try:
        with working("waiting for the chain"):
            for node in listed:
                exchange.send(exchange.members.remove_node(node.address))
    except Temporary:
        still = _listed(app, _description(folder), own)
        apart = all(not joining.progress(layout.node_folder(folder, node)).peers for node in own)
        if still or not apart:
            raise


def _description(folder: Path) -> NetworkDescription:
    from chain.nodes.description import load
    from chain.nodes.layout import description_path

    return load(description_path(folder))


COMMANDS = (card, init, join, leave)
"""What `cli.network` adds to its group."""
