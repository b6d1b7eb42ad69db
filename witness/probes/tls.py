"""Does it complete a TLS handshake, and with which key?

Authorities and names are not asked: what counts is the key that was delivered, or, without one, that there is
a server at all. The handshake runs over memory buffers, so that what a server may make us hold is bounded
here.
"""

from __future__ import annotations

import base64
import functools
import ssl
from collections.abc import Callable
from typing import TypeVar

from chain.pinned import spki_hash
from witness.probes.seen import Finding, Knock, Seen, WrongAnswer, knock
from witness.probes.wire import Wire

__all__ = ["TlsWire", "fingerprint", "tls"]

_MOST_HANDSHAKE = 256 * 1024
_T = TypeVar("_T")


async def tls(
    host: str, port: int, seconds: float, *, key: str | None = None, loopback: bool = False
) -> Seen:
    """Shake hands and close; `key`: `SHA256:<base64>` of the public key (SPKI) it has to hold."""

    async def work(noted: Knock) -> str:
        with await Wire.open(host, port, noted, loopback=loopback) as wire:
            secured = TlsWire(wire, host)
            await secured.handshake(key)
            return secured.version

    return await knock(seconds, work)


def fingerprint(digest: bytes) -> str:
    """A SHA-256 as OpenSSH prints it."""
    return "SHA256:" + base64.b64encode(digest).decode().rstrip("=")


@functools.cache
def _context() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False  # the key is pinned, or any will do
    context.verify_mode = ssl.CERT_NONE
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


class TlsWire:
    """TLS over a `Wire`."""

    def __init__(self, wire: Wire, host: str) -> None:
        self._wire = wire
        self._in, self._out = ssl.MemoryBIO(), ssl.MemoryBIO()
        name = host if any(char.isalpha() for char in host) and ":" not in host else None
        self._tls = _context().wrap_bio(self._in, self._out, server_hostname=name)

    @property
    def version(self) -> str:
        """The protocol's version, e.g. TLSv1.3."""
        return self._tls.version() or ""

    async def handshake(self, key: str | None = None) -> None:
        """Shake hands; WrongAnswer if it is no TLS, or the key is another one."""
        try:
            await self._drive(self._tls.do_handshake, _MOST_HANDSHAKE)
        except ssl.SSLError as error:
            raise WrongAnswer(f"no TLS: {error.reason or 'broken'}") from None
        if key is None:
            return
        shown = fingerprint(spki_hash(self._tls.getpeercert(binary_form=True) or b""))
        if shown != key.rstrip("="):
            raise WrongAnswer(f"holds the key {shown}", Finding.OTHER_KEY)

    async def send(self, data: bytes) -> None:
        """Send all of it."""
        self._tls.write(data)
        await self._wire.send(self._out.read())

    async def receive(self, most: int = 16_384) -> bytes:
        """What comes next; ConnectionError at the end."""
        try:
            data = await self._drive(functools.partial(self._tls.read, most), 4 * 16_384)
        except ssl.SSLError as error:
            raise ConnectionResetError(error.reason or "TLS ended") from None
        if not data:
            raise ConnectionResetError("closed")
        return data

    async def _drive(self, step: Callable[[], _T], most: int) -> _T:
        """Take a step of the protocol until it needs nothing more from the other side."""
        while True:
            try:
                result = step()
            except ssl.SSLWantReadError:
                await self._flush()
                data = await self._wire.receive()
                most -= len(data)
                if most < 0:
                    raise WrongAnswer("a handshake without an end") from None
                self._in.write(data)
            else:
                await self._flush()
                return result

    async def _flush(self) -> None:
        if self._out.pending:
            await self._wire.send(self._out.read())
