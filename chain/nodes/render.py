"""Every file a node needs, made from network.yaml and the templates.

The same description gives the same bytes. It must not read or write anything but the templates.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Sequence
from typing import Any

from eth_utils.crypto import keccak

from chain import connection as connection_file
from chain.forms import fill
from chain.nodes import extra
from chain.nodes.description import NetworkDescription, Node, endpoint, parse
from market.errors import Bug, InvalidInput

__all__ = ["block_0", "connection", "extra_data", "genesis", "network_yaml", "node_files"]


def network_yaml(description: NetworkDescription) -> str:
    """The text of network.yaml, from which the same description can be read again."""
    import yaml

    text = fill("network/network.yaml.j2", description.model_dump(mode="json"))
    if parse(yaml.safe_load(text)) != description:
        raise Bug("network.yaml does not say what it was made from")
    return text


def extra_data(description: NetworkDescription) -> bytes:
    """extraData of block 0: the founding validators, in the engine's own encoding."""
    addresses = sorted(bytes.fromhex(node.address[2:]) for node in description.validators)
    return extra.clique(addresses) if description.engine == "clique" else extra.qbft(addresses)


def genesis(description: NetworkDescription) -> str:
    """genesis.json of the description's engine: Berlin and no later fork, free gas, no money."""
    facts = {**description.model_dump(), "extra_data": "0x" + extra_data(description).hex()}
    text = fill(f"network/genesis.{description.engine}.json.j2", facts)
    json.loads(text)
    return text


def block_0(description: NetworkDescription) -> bytes:
    """The hash of block 0 as Clique's engine writes it; chain id and block time are not part of it."""
    if description.engine != "clique":
        raise InvalidInput(f"block 0 of engine {description.engine} is known to that engine only")
    nothing = keccak(extra.rlp(b""))
    number = [_big(each) for each in (1, 0, description.gas_limit, 0, description.founded)]
    header: list[extra.Rlp] = [
        bytes(32),
        keccak(extra.rlp([])),
        bytes(20),
        nothing,
        nothing,
        nothing,
        bytes(256),
    ]
    return keccak(extra.rlp([*header, *number, extra_data(description), bytes(32), bytes(8)]))


def _big(number: int) -> bytes:
    return number.to_bytes((number.bit_length() + 7) // 8, "big")


def node_files(description: NetworkDescription, node: Node, *, listen: str | None = None) -> dict[str, str]:
    """Name and text of the files of one node's folder, all but its key.

    `listen` is the address its peers' port is bound to, by default every one of the machine's.
    """
    facts: dict[str, Any] = {
        **description.model_dump(),
        "node": node,
        "others": description.others(node),
        "enodes": [each.enode for each in description.admitted],
        "listen": endpoint(listen or "", node.p2p_port),
    }
    files = {
        "genesis.json": genesis(description),
        "static-nodes.json": fill("network/static-nodes.json.j2", facts),
    }
    if description.engine == "clique":
        files["geth.toml"] = fill("network/geth.toml.j2", facts)
    else:
        files["besu.toml"] = fill("network/besu.toml.j2", facts)
        files["permissions_config.toml"] = fill("network/permissions_config.toml.j2", facts)
    for name, text in files.items():
        (json.loads if name.endswith(".json") else tomllib.loads)(text)
    return files


def connection(
    description: NetworkDescription,
    *,
    genesis_hash: str,
    directory: str,
    directory_code_hash: str,
    first: Node | None = None,
    nodes: Sequence[Node] = (),
    confirmations: int | None = None,
) -> str:
    """The connection file of this network with `nodes` (by default all) as endpoints, `first` first.

    `confirmations` are those of today's validators; by default of the founders.
    """
    ranked = sorted(nodes or description.nodes, key=lambda node: first is None or node.name != first.name)
    return connection_file.render(
        network=description.network,
        chain_id=description.chain_id,
        genesis_hash=genesis_hash,
        directory=directory,
        directory_code_hash=directory_code_hash,
        rpc_urls=list(dict.fromkeys(node.rpc_url for node in ranked)),
        gas_price=0,
        block_time=float(description.block_time),
        slot=description.slot,
        confirmations=description.confirmations if confirmations is None else confirmations,
    )
