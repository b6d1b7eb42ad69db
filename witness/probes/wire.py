"""A TCP connection to a stranger that never takes in more than it was told to.

Plain non-blocking sockets on the event loop: with thousands of connections a minute, streams and transports
cost several times as much. The deadline is the caller's (`seen.knock`). This module must not know what is
said.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
import time
from types import TracebackType

from witness.probes.seen import Finding, Knock, WrongAnswer

__all__ = ["Wire", "resolve"]

_CHUNK = 16_384
_FRESH = 60.0
"""Seconds for which a name is not looked up again."""
_MOST_NAMES = 50_000
_Address = ipaddress.IPv4Address | ipaddress.IPv6Address
_names: dict[str, tuple[_Address, float]] = {}


async def resolve(
    host: str, port: int, *, loopback: bool, seconds: float = 5.0
) -> tuple[int, tuple[object, ...]]:
    """Address family and socket address of a host; a name is looked up, in at most half of `seconds`.

    A name that was found once stays found: where no name server answers (ours or, at its will, the
    provider's), its last address is asked. gaierror if there was none. WrongAnswer if the address is nobody's
    but our own machine's or link's (`loopback` allows those): whoever delivers such an address delivers
    nothing, and would have every witness look at itself.
    """
    try:
        literal = ipaddress.ip_address(host)
    except ValueError:
        literal = await _looked_up(host, seconds)
    if not loopback:
        _refuse_own(literal)
    family = socket.AF_INET if literal.version == 4 else socket.AF_INET6
    return family, (str(literal), port)


async def _looked_up(host: str, seconds: float) -> _Address:
    found, at = _names.get(host, (None, float("-inf")))
    if found is not None and time.monotonic() - at < _FRESH:
        return found
    try:
        async with asyncio.timeout(seconds / 2):
            rows = await asyncio.get_running_loop().getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except (OSError, TimeoutError) as error:
        if found is not None:
            return found
        if isinstance(error, socket.gaierror):
            raise
        raise socket.gaierror(socket.EAI_AGAIN, "no name server answers") from None
    address = ipaddress.ip_address(str(rows[0][4][0]).partition("%")[0])
    while len(_names) >= _MOST_NAMES:
        _names.pop(next(iter(_names)))
    _names[host] = address, time.monotonic()
    return address


def _refuse_own(address: _Address) -> None:
    plain = getattr(address, "ipv4_mapped", None) or address
    own = plain.is_loopback or plain.is_link_local or plain.is_multicast or plain.is_unspecified
    if own or plain.is_reserved:
        raise WrongAnswer("an address that nobody else can reach", Finding.UNREACHABLE)


class Wire:
    """One connection; a context manager that closes it."""

    def __init__(self, raw: socket.socket) -> None:
        self._raw = raw
        self._loop = asyncio.get_running_loop()
        self._held = b""

    @classmethod
    async def open(cls, host: str, port: int, noted: Knock, *, loopback: bool = False) -> Wire:
        """Connect; OSError as the system says it."""
        family, address = await resolve(host, port, loopback=loopback, seconds=noted.seconds)
        raw = socket.socket(family, socket.SOCK_STREAM)
        try:
            raw.setblocking(False)
            await asyncio.get_running_loop().sock_connect(raw, address)
        except BaseException:
            raw.close()
            raise
        noted.connected = True
        return cls(raw)

    async def send(self, data: bytes) -> None:
        """Send all of it."""
        await self._loop.sock_sendall(self._raw, data)

    async def receive(self, most: int = _CHUNK) -> bytes:
        """What comes next, at most so many bytes; ConnectionError at the end."""
        if self._held:
            data, self._held = self._held[:most], self._held[most:]
            return data
        data = await self._loop.sock_recv(self._raw, min(most, _CHUNK))
        if not data:
            raise ConnectionResetError("closed")
        return data

    async def exactly(self, count: int) -> bytes:
        """So many bytes."""
        parts = []
        while count:
            parts.append(await self.receive(count))
            count -= len(parts[-1])
        return b"".join(parts)

    async def line(self, most: int) -> bytes:
        """Up to and without the next line feed; WrongAnswer if it has more bytes than `most`."""
        line = b""
        while (end := line.find(b"\n")) < 0:
            if len(line) > most:
                raise WrongAnswer("a line without an end")
            line += await self.receive(most + 1)
        self._held = line[end + 1 :] + self._held
        if end > most:
            raise WrongAnswer("a line without an end")
        return line[:end]

    def close(self) -> None:
        """Close it."""
        self._raw.close()

    def __enter__(self) -> Wire:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
