"""Where things lie in the folder of a network of local nodes, and how such a folder is founded.

    network.yaml            the description; everything else is made from it and from keys
    nodes/NAME/             one node: its files, its key, data/ with the chain, geth.log
    keeper.sock, .lock, .log    of the process that keeps them running

It must not start anything.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from pathlib import Path

from chain.nodes import keys, render
from chain.nodes.description import NetworkDescription, Node, load, save
from chain.ports import free_ports
from chain.wallet import write_private
from market.errors import InvalidInput

__all__ = [
    "description_path",
    "found",
    "has_spaces",
    "here",
    "keeper_socket",
    "node_folder",
    "write_files",
]

_NET = "10.99.0."
"""The Ethernet of local nodes with namespaces of their own; nobody else can see it."""
_MOST = 60


def description_path(folder: Path) -> Path:
    """network.yaml."""
    return folder / "network.yaml"


def keeper_socket(folder: Path) -> Path:
    """Where the keeper hears."""
    return folder / "keeper.sock"


def node_folder(folder: Path, node: Node) -> Path:
    """One node's folder."""
    return folder / "nodes" / node.name


def here(folder: Path, description: NetworkDescription) -> tuple[Node, ...]:
    """The nodes whose key is in the folder."""
    return tuple(node for node in description.nodes if (node_folder(folder, node) / "nodekey").exists())


def found(
    folder: Path,
    validators: int,
    *,
    spaces: bool,
    now: int,
    network: str = "local",
    block_time: int = 1,
    slot: int = 3600,
    chain_id: int | None = None,
) -> NetworkDescription:
    """Make keys and network.yaml for so many validators; what is there already stays, so it can be repeated.

    With `spaces` each has an address of its own, else loopback ports. `chain_id` is random by default.
    """
    if not 1 <= validators <= _MOST:
        raise InvalidInput(
            f"{validators} validators cannot be had on one machine", hint=f"Give 1 to {_MOST}."
        )
    ports = free_ports()
    nodes = []
    for number in range(1, validators + 1):
        name = f"v{number}"
        key = keys.create(folder / "nodes" / name)
        nodes.append(
            {
                "name": name,
                "organisation": f"org{number}",
                "address": key.address,
                "public_key": key.public_key.hex(),
                "host": f"{_NET}{10 + number}" if spaces else "127.0.0.1",
                "p2p_port": 30303 if spaces else next(ports),
                "rpc_port": next(ports),
            }
        )
    description = NetworkDescription(
        network=network,
        engine="clique",
        chain_id=chain_id or 1_000_000 + secrets.randbelow(1_000_000_000),
        founded=now,
        block_time=block_time,
        slot=slot,
        validators=tuple(Node.model_validate(node) for node in nodes),
    )
    save(description_path(folder), render.network_yaml(description))
    return description


def write_files(folder: Path) -> NetworkDescription:
    """Make the files of every node that has a key here, from network.yaml, anew."""
    description = load(description_path(folder))
    if description.engine != "clique":
        raise InvalidInput(
            f"the engine of {description.network} is {description.engine}, which cannot be run here",
            hint="its files are made by: ocx network render",
        )
    own = here(folder, description)
    for node in own:
        home = node_folder(folder, node)
        if keys.at(home).address != node.address:
            raise InvalidInput(f"the key in {home} is not that of node {node.name} in network.yaml")
        listen = node.host if description.is_local or has_spaces(own) else None
        files = render.node_files(description, node, listen=listen)
        _same_block_0(home, files["genesis.json"])
        for name, text in files.items():
            write_private(home / name, text, replace=True)
    return description


def has_spaces(nodes: Sequence[Node]) -> bool:
    """Whether these nodes of one folder were founded to have a network namespace each on this machine."""
    return bool(nodes) and all(node.host.startswith(_NET) for node in nodes)


def _same_block_0(home: Path, genesis: str) -> None:
    """Refuse to give a chain that exists another first block."""
    path = home / "genesis.json"
    if (home / "data").exists() and path.exists() and path.read_text("utf-8") != genesis:
        raise InvalidInput(
            f"network.yaml describes another block 0 than the chain in {home} begins with",
            hint="undo the change, or found another network in another folder",
        )
