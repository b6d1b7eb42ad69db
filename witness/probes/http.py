"""Does it answer an HTTP request, in clear or over TLS?

A client of its own, small on purpose: one request a connection, no redirects, no compression, and a bound on
every line and on the body. What a general client would read for us is what a hostile server would feed us.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from witness.probes.seen import Knock, Seen, WrongAnswer, knock, printable
from witness.probes.tls import TlsWire
from witness.probes.wire import Wire

__all__ = ["Answer", "fetch", "http"]

_MOST_HEADERS = 16_384
MOST_BODY = 65_536
"""Bytes of a body that are read at most."""


@dataclass(frozen=True, slots=True)
class Answer:
    """Status and body."""

    status: int
    body: bytes


class _Line(Protocol):
    async def send(self, data: bytes) -> None: ...

    async def receive(self, most: int = ...) -> bytes: ...


async def http(
    host: str,
    port: int,
    seconds: float,
    *,
    path: str = "/",
    tls: bool = False,
    key: str | None = None,
    loopback: bool = False,
) -> Seen:
    """`GET path`; right if the status is below 500. The body is not read. `key`: as for `tls`."""

    async def work(noted: Knock) -> str:
        with await Wire.open(host, port, noted, loopback=loopback) as wire:
            line = await _begin(wire, host, tls, key)
            await line.send(_request(host, port, path, {}))
            status = _status(await _head(line))
            if status >= 500:
                raise WrongAnswer(f"status {status}")
            return f"status {status}"

    return await knock(seconds, work)


async def fetch(
    noted: Knock,
    host: str,
    port: int,
    path: str,
    *,
    tls: bool = True,
    key: str | None = None,
    headers: Mapping[str, str] | None = None,
    loopback: bool = False,
) -> Answer:
    """One answer with its body, for probes; exceptions as inside a probe (`seen.knock`)."""
    with await Wire.open(host, port, noted, loopback=loopback) as wire:
        line = await _begin(wire, host, tls, key)
        await line.send(_request(host, port, path, headers or {}))
        head = await _head(line)
        return Answer(_status(head), await _body(line, head))


async def _begin(wire: Wire, host: str, tls: bool, key: str | None) -> _Line:
    if not tls:
        return wire
    secured = TlsWire(wire, host)
    await secured.handshake(key)
    return secured


def _request(host: str, port: int, path: str, headers: Mapping[str, str]) -> bytes:
    place = f"[{host}]" if ":" in host else host
    lines = [f"GET {path} HTTP/1.1", f"Host: {place}:{port}", "User-Agent: ocx-witness", "Accept: */*"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    if any(not (" " <= char <= "~") for line in lines for char in line):
        raise WrongAnswer("a path that no request can name")
    return ("\r\n".join([*lines, "Connection: close"]) + "\r\n\r\n").encode()


async def _head(line: _Line) -> bytes:
    """Status line and headers, and what came with them."""
    data = b""
    while b"\r\n\r\n" not in data:
        if len(data) > _MOST_HEADERS:
            raise WrongAnswer("headers without an end")
        data += await line.receive()
        if not b"HTTP/1.".startswith(data[:7]) and not data.startswith(b"HTTP/1."):
            raise WrongAnswer(f"no HTTP: {printable(data[:40])}")
    return data


def _status(head: bytes) -> int:
    words = head.split(b"\r\n", 1)[0].split(b" ", 2)
    if len(words) < 2 or len(words[1]) != 3 or not words[1].isdigit():
        raise WrongAnswer(f"no status: {printable(words[0])}")
    return int(words[1])


async def _body(line: _Line, head: bytes) -> bytes:
    """The rest: by its length, in chunks, or until the end."""
    top, _, body = head.partition(b"\r\n\r\n")
    headers = dict(_field(row) for row in top.split(b"\r\n")[1:])
    chunked = b"chunked" in headers.get(b"transfer-encoding", b"").lower()
    length = int(headers[b"content-length"]) if b"content-length" in headers and not chunked else None
    while (whole := _whole(body, chunked, length)) is None:
        if len(body) > MOST_BODY:
            raise WrongAnswer("a body without an end")
        try:
            body += await line.receive()
        except ConnectionError:
            if chunked or length is not None:
                raise
            return body
    return whole


def _whole(body: bytes, chunked: bool, length: int | None) -> bytes | None:
    """The body if all of it is there; None if not, or if only the connection's end tells."""
    if chunked:
        return _joined(body)
    return body[:length] if length is not None and len(body) >= length else None


def _field(row: bytes) -> tuple[bytes, bytes]:
    name, _, value = row.partition(b":")
    return name.strip().lower(), value.strip()


def _joined(body: bytes) -> bytes | None:
    """The chunks of a body as one; None if the last one is not there yet."""
    whole = b""
    while True:
        size, end, body = body.partition(b"\r\n")
        if not end:
            return None
        count = int(size.split(b";")[0], 16)
        if count == 0:
            return whole
        if len(body) < count + 2:
            return None
        whole, body = whole + body[:count], body[count + 2 :]
