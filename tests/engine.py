"""The chain that suites are played on: anvil, or four validators (`pytest --engine clique`).

The network of validators is started once, by the process that runs tests or hands them out. It ends with
that; exchanges of their own keep tests apart. Nothing on it warps time, and a block counts only once three
more stand on it: so tests give things more time.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from chain.nodes import layout
from chain.nodes.description import load
from chain.rpc import Rpc
from tests.chain.network import Anvil, anvil
from tests.validators import FOLDER

__all__ = ["PATIENCE", "REAL", "SETTLE", "Chain", "Validators", "begun"]

REAL = FOLDER in os.environ
"""Whether the validators are there; known before any test is imported."""
PATIENCE = 4 if REAL else 1
"""How many times as long a test waits."""
SETTLE = 20 if REAL else 0
"""Seconds that must be added to a lease's length, since everything is learned of later."""


class Validators:
    """The shared network, as far as it can stand in for an `Anvil`."""

    block_time, confirmations = 1.0, 3

    def __init__(self, folder: Path) -> None:
        self._nodes = load(layout.description_path(folder)).nodes
        self.first_wallet = secrets.randbelow(1 << 60)
        """Others use the chain, too: accounts begin somewhere else for each exchange."""

    @property
    def urls(self) -> list[str]:
        """Every node."""
        return [node.rpc_url for node in self._nodes]

    @property
    def url(self) -> str:
        """One of them."""
        return self.urls[0]

    @property
    def port(self) -> int:
        """Where that one listens."""
        return self._nodes[0].rpc_port

    def rpc(self) -> Rpc:
        """Its RPC without any check."""
        return Rpc.for_deployment(self.urls, confirmations=self.confirmations)

    def ask(self, method: str, *params: Any) -> Any:
        """Any JSON-RPC method; a test that wants one of a development chain's is skipped here."""
        if method.startswith(("evm_", "anvil_")):
            pytest.skip(f"no real chain has {method}")
        return self.rpc().call(method, params)


Chain = Anvil | Validators


@contextlib.contextmanager
def begun(ago: int = 0) -> Iterator[Chain]:
    """A chain for one exchange; on anvil its first block lies `ago` seconds back."""
    if REAL:
        yield Validators(Path(os.environ[FOLDER]))
    else:
        with anvil("--timestamp", str(int(time.time()) - ago)) as node:
            yield node
