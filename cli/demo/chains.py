"""The chain the demo plays on: anvil, or four validators of its own.

Both end with the demo, whatever ends it. Everything else of the demo only knows connection files.
"""

from __future__ import annotations

import os
import time
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from pathlib import Path

from chain.connection import load, render
from cli.demo.cast import anvil
from cli.demo.stage import Stage
from market.errors import InvalidInput

__all__ = ["Anvil", "Chain", "Clique", "chain"]

_VALIDATORS = 4


class Chain(ABC):
    """One chain: `begin` it once, deploy with `options`, then `share` the connection file.

    `clerks`: processes the council needs so that nobody waits for it long.
    """

    name: str
    block_time: float
    confirmations = 0
    clerks = 1

    @abstractmethod
    def begin(self, stage: Stage, ports: Iterator[int]) -> None:
        """Start it."""

    @property
    @abstractmethod
    def rpc_urls(self) -> list[str]:
        """Its nodes."""

    @property
    def options(self) -> str:
        """What `ocx network deploy` is to be told of it."""
        urls = " ".join(f"--rpc-url {url}" for url in self.rpc_urls)
        return f"{urls} --block-time {self.block_time:g} --confirmations {self.confirmations}"

    def share(self, founded: Path, given: Iterable[Path]) -> None:
        """Write a connection file for each party; they ask different nodes first, where there are some."""
        fields = load(founded).model_dump()
        for place, path in enumerate(given):
            first = place % len(self.rpc_urls)
            urls = self.rpc_urls[first:] + self.rpc_urls[:first]
            path.write_text(render(**fields | {"rpc_urls": urls}), "utf-8")


class Anvil(Chain):
    """One node and no consensus: a block every half second, final at once."""

    name, block_time = "anvil", 0.5

    def begin(self, stage: Stage, ports: Iterator[int]) -> None:
        """Start it."""
        self._port = next(ports)
        command = [anvil(), "--port", self._port, "--hardfork", "berlin", "--gas-price", 0]
        stage.start("chain", [*command, "--block-time", self.block_time, "--silent"])

    @property
    def rpc_urls(self) -> list[str]:
        """Its one node."""
        return [f"http://127.0.0.1:{self._port}"]


class Clique(Chain):
    """Four validators, a block every second; one counts with three on top (docs/chain.md)."""

    name, block_time, clerks = "clique", 1.0, 3

    def __init__(self) -> None:
        """Permanent where the engine was not built."""
        from chain.nodes.engine import find_engine

        find_engine()

    def begin(self, stage: Stage, ports: Iterator[int]) -> None:
        """Found it, start it, and wait until a quorum makes blocks."""
        from chain.nodes import layout, local

        folder = stage.folder / "chain"
        folder.mkdir()
        self._network = layout.found(folder, _VALIDATORS, spaces=False, now=int(time.time()), network="demo")
        self.confirmations = self._network.confirmations
        began = stage.elapsed()
        local.start(folder, while_pid=os.getpid())
        found = local.wait_until(folder, lambda seen: bool(seen.good and seen.height), what="up")
        words = f"{len(found.nodes)} validators make blocks; one counts with {self.confirmations} on top"
        stage.note("chain", words, stage.elapsed() - began)

    @property
    def rpc_urls(self) -> list[str]:
        """One node for each validator."""
        return [node.rpc_url for node in self._network.nodes]


def chain(engine: str) -> Chain:
    """The chain of that name; InvalidInput for one that cannot be had."""
    if engine == "qbft":
        raise InvalidInput(
            "QBFT cannot be had here: no client of it is in the registries this project builds from",
            hint="use --engine clique, four validators of geth (docs/adr/0008-geth-with-clique.md)",
        )
    return {"anvil": Anvil, "clique": Clique}[engine]()
