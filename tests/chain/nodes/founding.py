"""Descriptions with keys that are the same each time."""

from __future__ import annotations

from typing import Any

from eth_keys.datatypes import PrivateKey
from eth_utils.crypto import keccak

from chain.nodes.description import NetworkDescription, address_of_public_key, parse


def node(number: int, **fields: Any) -> dict[str, Any]:
    """A node with a key of its own for each number."""
    public = PrivateKey(keccak(text=f"node {number}")).public_key.to_bytes()
    return {
        "name": f"v{number}",
        "organisation": f"org{number}",
        "address": address_of_public_key(public),
        "public_key": public.hex(),
        "host": f"192.0.2.{number}",
        **fields,
    }


def raw(count: int = 4, **fields: Any) -> dict[str, Any]:
    """What network.yaml of so many validators says."""
    return {
        "network": "ours",
        "engine": "clique",
        "chain_id": 2026,
        "founded": 1_700_000_000,
        "validators": [node(number) for number in range(1, count + 1)],
        **fields,
    }


def description(count: int = 4, **fields: Any) -> NetworkDescription:
    """The same, checked."""
    return parse(raw(count, **fields))
