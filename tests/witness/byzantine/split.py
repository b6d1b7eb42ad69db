"""A proxy that shows each process another face: for partitions in which only some see a server."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Callable, Iterable
from pathlib import Path

from tests.witness.proxy import Fault, HalfOpen, Proxy

__all__ = ["Split"]


class Split(Proxy):
    """As `Proxy`; for connections of the processes that `blind` names now it is half open."""

    def __init__(self, target: int, blind: Callable[[], Iterable[int]]) -> None:
        super().__init__(target)
        self._blind = blind

    async def _treat(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, fault: Fault) -> None:
        port = writer.get_extra_info("peername")[1]
        held = _socket_of(port, self.port)
        if held and any(_holds(process, held) for process in self._blind()):
            fault = HalfOpen()
        await super()._treat(reader, writer, fault)


def _socket_of(port: int, to: int) -> str:
    """The kernel's name of the socket that is connected from one loopback port to another; empty: gone."""
    near, far = f"0100007F:{port:04X}", f"0100007F:{to:04X}"
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        fields = line.split()
        if fields[1] == near and fields[2] == far:
            return f"socket:[{fields[9]}]"
    return ""


def _holds(process: int, name: str) -> bool:
    """Whether a process has that socket open."""
    folder = Path(f"/proc/{process}/fd")
    with contextlib.suppress(OSError):
        for entry in list(folder.iterdir()):
            with contextlib.suppress(OSError):
                if os.readlink(entry) == name:
                    return True
    return False
