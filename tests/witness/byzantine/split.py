"""A proxy that shows some organisations another face: for partitions in which only some see a server."""

from __future__ import annotations

import asyncio
from collections.abc import Collection

from tests.witness.proxy import Fault, HalfOpen, Proxy

__all__ = ["Split"]


class Split(Proxy):
    """As `Proxy`; while it `parts`, connections from the addresses in `blind` are half open."""

    def __init__(self, target: int, blind: Collection[str]) -> None:
        super().__init__(target)
        self._blind = frozenset(blind)
        self.parts = False

    async def _treat(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, fault: Fault) -> None:
        if self.parts and writer.get_extra_info("peername")[0] in self._blind:
            fault = HalfOpen()
        await super()._treat(reader, writer, fault)
