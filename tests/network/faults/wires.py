"""The wires between nodes that have namespaces of their own: cut between groups, and whole again.

A cut wire swallows what is sent, as a pulled cable does; nobody is told. JSON-RPC stays reachable.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from pathlib import Path

from chain.nodes import local, space
from chain.nodes.description import load
from chain.nodes.layout import description_path

__all__ = ["Wires"]


class Wires:
    """Those of one folder's running nodes."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._cut: list[tuple[str, str]] = []

    def part(self, *groups: Sequence[str]) -> None:
        """Nothing passes any more between nodes of different groups."""
        ends = [
            (near, far)
            for group in groups
            for near in group
            for other in groups
            if other is not group
            for far in other
        ]
        self._route("add", ends)
        self._cut += ends

    def mend(self) -> None:
        """Everything passes."""
        self._route("del", self._cut)
        self._cut = []

    def _route(self, what: str, ends: Sequence[tuple[str, str]]) -> None:
        hosts = {node.name: node.host for node in load(description_path(self._folder)).nodes}
        pids = {name: each["pid"] for name, each in local.ask_keeper(self._folder, "status").items()}
        for near in dict.fromkeys(near for near, _ in ends):
            lines = [f"route {what} blackhole {hosts[far]}/32" for n, far in ends if n == near]
            there = os.open(f"/proc/{pids[near]}/ns/net", os.O_RDONLY | os.O_CLOEXEC)
            try:
                space.inside(there, lambda lines=lines: _ip(lines))
            finally:
                os.close(there)


def _ip(lines: Sequence[str]) -> None:
    subprocess.run(["ip", "-batch", "-"], input="\n".join(lines) + "\n", text=True, check=True)
