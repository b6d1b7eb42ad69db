"""Does an SSH server answer, and does it hold the host key that was delivered? Nobody logs in.

Two probes. `banner` reads the version line: cheap, and what most rounds use. `host_key` does a key exchange
up to the server's signature, which proves that it holds the private key; a copied banner or public key does
not.

The exchange is our own, on `cryptography`, for three reasons: no SSH library is among the packages we use;
ssh-keyscan is a process per look, too much for 10,000 machines; and a library that can also log in is more
than a stranger's server should be able to talk to. It is RFC 4253 and RFC 8731 (curve25519-sha256), or RFC
5656 with NIST P-256 for servers without it, up to SSH_MSG_KEX_ECDH_REPLY; no key is ever taken into use,
nothing is decrypted.
"""

from __future__ import annotations

import base64
import hashlib
import secrets
import struct
from collections.abc import Callable

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa, x25519
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_ssh_public_key

from witness.probes.seen import Finding, Knock, Seen, WrongAnswer, knock, printable
from witness.probes.tls import fingerprint
from witness.probes.wire import Wire

__all__ = ["banner", "host_key"]

_VERSION = b"SSH-2.0-OCX_1"
_MOST_LINES, _MOST_LINE = 20, 1024
_MOST_PACKET, _MOST_PACKETS = 35_000, 8
_DISCONNECT, _IGNORE, _DEBUG, _EXT_INFO, _KEXINIT, _ECDH_INIT, _ECDH_REPLY = 1, 2, 4, 7, 20, 30, 31
_CURVE = (b"curve25519-sha256", b"curve25519-sha256@libssh.org")
_P256 = b"ecdh-sha2-nistp256"
_KEYS = (b"ssh-ed25519", b"ecdsa-sha2-nistp256", b"ecdsa-sha2-nistp384", b"rsa-sha2-512", b"rsa-sha2-256")
_REST = (
    b"aes128-ctr,aes256-ctr,aes128-gcm@openssh.com,chacha20-poly1305@openssh.com",
    b"hmac-sha2-256,hmac-sha2-512,hmac-sha2-256-etm@openssh.com",
    b"none,zlib@openssh.com",
)


async def banner(host: str, port: int, seconds: float, *, loopback: bool = False) -> Seen:
    """Right if the server introduces itself as SSH 2."""

    async def work(noted: Knock) -> str:
        with await Wire.open(host, port, noted, loopback=loopback) as wire:
            return printable(await _version(wire))

    return await knock(seconds, work)


async def host_key(
    host: str, port: int, seconds: float, *, expected: str | None = None, loopback: bool = False
) -> Seen:
    """Right if the server proves to hold the key `expected` (`SHA256:<base64>`; None: any key).

    The detail is the fingerprint of the key it proved to hold. Asked for are all kinds of keys in turn, so
    that a server with several is not called another one: first ed25519, then the others.
    """

    async def work(noted: Knock) -> str:
        shown = ""
        for kinds in ((_KEYS[0],), (_KEYS[1], _KEYS[2]), (_KEYS[3], _KEYS[4])):
            try:
                with await Wire.open(host, port, noted, loopback=loopback) as wire:
                    shown = fingerprint(hashlib.sha256(await _exchange(wire, kinds)).digest())
            except _NoSuchKey:
                continue
            if expected is None or shown == expected.rstrip("="):
                return shown
        if not shown:
            raise WrongAnswer("holds no key of a kind we know")
        raise WrongAnswer(f"holds the key {shown}", Finding.OTHER_KEY)

    return await knock(seconds, work)


class _NoSuchKey(Exception):
    """The server has no host key of the kinds asked for."""


async def _version(wire: Wire) -> bytes:
    """The server's version line; a few other lines may come before it."""
    for _ in range(_MOST_LINES):
        line = (await wire.line(_MOST_LINE)).removesuffix(b"\r")
        if line.startswith((b"SSH-2.0-", b"SSH-1.99-")):
            return line
        if line.startswith(b"SSH-") or b"\0" in line:
            break
    raise WrongAnswer(f"no SSH: {printable(line[:40])}")


async def _exchange(wire: Wire, kinds: tuple[bytes, ...]) -> bytes:
    """The public host key (its blob), after the server proved to hold it."""
    await wire.send(_VERSION + b"\r\n")
    theirs = await _version(wire)
    ours_init = _kexinit(kinds)
    await wire.send(_packet(ours_init))
    their_init = await _until(wire, _KEXINIT)
    method, kind = _negotiate(their_init, kinds)
    public, agree = _ephemeral(method)
    await wire.send(_packet(bytes([_ECDH_INIT]) + _string(public)))
    reply = _Reader(await _until(wire, _ECDH_REPLY))
    blob, their_public, signature = reply.string(), reply.string(), reply.string()
    shared = agree(their_public)
    parts = (_VERSION, theirs, ours_init, their_init, blob, public, their_public)
    digest = hashlib.sha256(b"".join(map(_string, parts)) + _mpint(shared)).digest()
    _verify(kind, blob, signature, digest)
    return blob


# ---- messages ----


def _string(data: bytes) -> bytes:
    return struct.pack("!I", len(data)) + data


def _mpint(data: bytes) -> bytes:
    data = data.lstrip(b"\0")
    return _string(b"\0" + data if data and data[0] & 0x80 else data)


def _packet(payload: bytes) -> bytes:
    """A message in clear: padded to eight bytes, at least four of padding."""
    fill = 8 - (len(payload) + 5) % 8
    fill += 8 if fill < 4 else 0
    return struct.pack("!IB", len(payload) + fill + 1, fill) + payload + secrets.token_bytes(fill)


class _Reader:
    """The fields of a message; WrongAnswer where it ends too early."""

    def __init__(self, payload: bytes, at: int = 1) -> None:
        self._payload, self._at = payload, at

    def string(self) -> bytes:
        head = self._payload[self._at : self._at + 4]
        count = int.from_bytes(head, "big")
        data = self._payload[self._at + 4 : self._at + 4 + count]
        if len(head) < 4 or len(data) < count:
            raise WrongAnswer("a message cut short")
        self._at += 4 + count
        return data


async def _until(wire: Wire, wanted: int) -> bytes:
    """The next message of that number; what may come at any time is passed over."""
    for _ in range(_MOST_PACKETS):
        length, fill = struct.unpack("!IB", await wire.exactly(5))
        if not 8 <= length <= _MOST_PACKET or fill + 1 >= length:
            raise WrongAnswer("no SSH packet")
        payload = (await wire.exactly(length - 1))[: length - 1 - fill]
        if payload[0] == wanted:
            return payload
        if payload[0] == _DISCONNECT:
            raise WrongAnswer(f"hung up: {printable(_Reader(payload, 5).string())}")
        if payload[0] not in (_IGNORE, _DEBUG, _EXT_INFO):
            raise WrongAnswer(f"message {payload[0]} instead of {wanted}")
    raise WrongAnswer("messages without an end")


def _kexinit(kinds: tuple[bytes, ...]) -> bytes:
    ciphers, macs, compressions = _REST
    lists = (
        b",".join((*_CURVE, _P256)), b",".join(kinds), ciphers, ciphers, macs, macs, compressions,
        compressions, b"", b"",
    )  # fmt: skip
    head = bytes([_KEXINIT]) + secrets.token_bytes(16)
    return head + b"".join(map(_string, lists)) + b"\0" + bytes(4)


def _negotiate(their_init: bytes, kinds: tuple[bytes, ...]) -> tuple[bytes, bytes]:
    """Key exchange and kind of host key: the first of ours that the server has, too (RFC 4253, 7.1)."""
    fields = _Reader(their_init, 17)
    methods, keys = fields.string().split(b","), fields.string().split(b",")
    kind = next((name for name in kinds if name in keys), None)
    if kind is None:
        raise _NoSuchKey
    method = next((name for name in (*_CURVE, _P256) if name in methods), None)
    if method is None:
        raise WrongAnswer("no key exchange that we know")
    return method, kind


# ---- keys ----


def _ephemeral(method: bytes) -> tuple[bytes, Callable[[bytes], bytes]]:
    """Our public value, and what makes the shared secret of it and theirs; ValueError for a bad one."""
    if method in _CURVE:
        mine = x25519.X25519PrivateKey.generate()
        public = mine.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
        return public, lambda theirs: mine.exchange(x25519.X25519PublicKey.from_public_bytes(theirs))
    key = ec.generate_private_key(ec.SECP256R1())
    point = key.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)

    def agree(theirs: bytes) -> bytes:
        return key.exchange(ec.ECDH(), ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), theirs))

    return point, agree


def _verify(kind: bytes, blob: bytes, signature: bytes, digest: bytes) -> None:
    """WrongAnswer unless the signature over the exchange is by the key in the blob, of that kind."""
    name = _Reader(blob, 0).string()
    fields = _Reader(signature, 0)
    used, value = fields.string(), fields.string()
    if used != kind or name != (b"ssh-rsa" if kind.startswith(b"rsa-") else kind):
        raise WrongAnswer("signed otherwise than agreed")
    key = load_ssh_public_key(name + b" " + base64.b64encode(blob))
    try:
        if isinstance(key, ed25519.Ed25519PublicKey):
            key.verify(value, digest)
        elif isinstance(key, ec.EllipticCurvePublicKey):
            pair = _Reader(value, 0)
            r, s = (int.from_bytes(pair.string(), "big") for _ in range(2))
            scheme = hashes.SHA384() if kind.endswith(b"384") else hashes.SHA256()
            key.verify(encode_dss_signature(r, s), digest, ec.ECDSA(scheme))
        elif isinstance(key, rsa.RSAPublicKey):
            hashed = hashes.SHA512() if kind.endswith(b"512") else hashes.SHA256()
            key.verify(value, digest, padding.PKCS1v15(), hashed)
        else:
            raise WrongAnswer("a key of a kind we did not ask for")
    except InvalidSignature:
        raise WrongAnswer("does not hold the key it shows", Finding.OTHER_KEY) from None
