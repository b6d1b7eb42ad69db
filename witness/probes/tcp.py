"""Does it accept a connection? Nothing is sent, nothing is read."""

from __future__ import annotations

from witness.probes.seen import Knock, Seen, knock
from witness.probes.wire import Wire

__all__ = ["tcp"]


async def tcp(host: str, port: int, seconds: float, *, loopback: bool = False) -> Seen:
    """Connect and close."""

    async def work(noted: Knock) -> str:
        with await Wire.open(host, port, noted, loopback=loopback):
            return ""

    return await knock(seconds, work)
