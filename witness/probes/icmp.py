"""Does the host answer an echo request (ping)? Asked only after its service did not answer.

An unprivileged ping socket where the system allows one, else a raw socket where this process may have one,
else it says that it may not: `Finding.OURS`. The answer has to carry our own random bytes.
"""

from __future__ import annotations

import asyncio
import secrets
import socket
import struct

from witness.probes.seen import Knock, Seen, knock
from witness.probes.wire import resolve

__all__ = ["allowed", "icmp"]

_TYPES: dict[int, tuple[int, int]] = {socket.AF_INET: (8, 0), socket.AF_INET6: (128, 129)}
"""Echo request and echo reply."""


def allowed(family: int = socket.AF_INET) -> bool:
    """Whether this process may send echo requests."""
    try:
        _socket(family)[0].close()
    except OSError:
        return False
    return True


async def icmp(host: str, seconds: float, *, loopback: bool = False) -> Seen:
    """Send one echo request, and wait for its answer."""

    async def work(noted: Knock) -> str:
        family, address = await resolve(host, 0, loopback=loopback, seconds=noted.seconds)
        plain, raw = _socket(family)
        with plain:
            plain.setblocking(False)
            plain.connect(address)  # answers of other hosts are not ours
            token = secrets.token_bytes(16)
            loop = asyncio.get_running_loop()
            await loop.sock_sendall(plain, _request(family, token))
            while True:
                packet = await loop.sock_recv(plain, 1500)
                if raw and family == socket.AF_INET:
                    packet = packet[(packet[0] & 0x0F) * 4 :]  # a raw socket shows the IP header
                if packet[:1] == bytes([_TYPES[family][1]]) and packet[8:24] == token:
                    noted.connected = True
                    return "echo"

    return await knock(seconds, work)


def _socket(family: int) -> tuple[socket.socket, bool]:
    """A socket for ICMP, and whether it is a raw one; OSError if this process may have neither."""
    protocol = socket.IPPROTO_ICMP if family == socket.AF_INET else socket.IPPROTO_ICMPV6
    try:
        return socket.socket(family, socket.SOCK_DGRAM, protocol), False
    except OSError:
        return socket.socket(family, socket.SOCK_RAW, protocol), True


def _request(family: int, token: bytes) -> bytes:
    head = struct.pack("!BBHHH", _TYPES[family][0], 0, 0, secrets.randbelow(1 << 16), 1)
    if family == socket.AF_INET6:  # the system puts the checksum in
        return head + token
    return head[:2] + struct.pack("!H", _checksum(head + token)) + head[4:] + token


def _checksum(data: bytes) -> int:
    """RFC 1071; `data` has an even number of bytes."""
    total: int = sum(struct.unpack(f"!{len(data) // 2}H", data))
    total = (total >> 16) + (total & 0xFFFF)
    return ~(total + (total >> 16)) & 0xFFFF
