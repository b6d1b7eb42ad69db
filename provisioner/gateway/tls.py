"""The gateway's TLS key and certificate: made once, pinned in `Members`, changed while it serves.

The certificate is self-signed: buyers compare the key's hash, and trust neither its name nor an authority.
A key is changed in three moves that may each be repeated: the next pair is made beside the current one
(`FILE.next`), its hash is registered on the chain, and the running gateway, which compares what is registered
with what it has, takes the next pair for every new connection and puts it in the current one's place. Nothing
here reads the chain: `Identity.adopt` is told what is registered.
"""

from __future__ import annotations

import contextlib
import datetime
import fcntl
import ipaddress
import os
import socket
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from chain.gateway import spki_hash
from chain.wallet import write_private
from market.errors import InvalidInput, Permanent
from provisioner.settings import Settings

if TYPE_CHECKING:
    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric import ec, rsa

__all__ = ["Identity", "bind", "ensure_certificate", "ensure_next", "next_hash"]

_YEARS = 20


def ensure_certificate(settings: Settings) -> bytes:
    """The SHA-256 of the gateway's public key; makes what is missing of key and certificate.

    The key is what is pinned, so a certificate that is missing, as after a crash between the two, is made
    anew for the key that is there; a change that a crash cut in two is finished.
    Raises `InvalidInput` if only the key is missing, or they cannot be read.
    """
    cert, key = settings.gateway_cert, settings.gateway_key
    with _lock(settings):
        _finish_change(settings)
        if cert.exists() and not key.exists():
            raise InvalidInput(f"{cert} is there but {key} is not", hint="Restore it, or remove both.")
        if not cert.exists():
            _make(settings, cert, key)
        return _hash(cert)


def ensure_next(settings: Settings) -> bytes:
    """The hash of the pair that comes after the current one; makes what is missing of it."""
    cert, key = _next(settings)
    ensure_certificate(settings)
    with _lock(settings):
        if not (cert.exists() and key.exists()):
            _make(settings, cert, key)
        return _hash(cert)


def next_hash(settings: Settings) -> bytes | None:
    """The hash of the next pair; None if there is none."""
    cert, key = _next(settings)
    return _hash(cert) if cert.exists() and key.exists() else None


class Identity:
    """The pair a running gateway shows; `context` stays the same object while the pair changes."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self.key_hash = ensure_certificate(settings)
        """SHA-256 of the public key shown to connections made from now on."""
        self.context = _Switchable(ssl.PROTOCOL_TLS_SERVER)
        self.context.current = _context(settings.gateway_cert, settings.gateway_key)

    def unsettled(self) -> bool:
        """Whether a pair other than the one shown lies on disk, so that the chain is worth asking."""
        if any(path.exists() for path in _next(self._settings)):
            return True
        try:
            return _hash(self._settings.gateway_cert) != self.key_hash
        except InvalidInput:
            return False  # taken away, or being written: what is shown goes on being shown

    def adopt(self, registered: bytes) -> bool:
        """Show the pair whose hash is registered, if it lies on disk; whether that one is shown now.

        If it is the next one, it becomes the current one and the old key is gone from the disk.
        """
        with _lock(self._settings):
            _finish_change(self._settings)
            current = (self._settings.gateway_cert, self._settings.gateway_key)
            for cert, key in (current, _next(self._settings)):
                if not (cert.exists() and key.exists()) or _hash(cert) != registered:
                    continue
                if registered != self.key_hash:
                    self.context.current = _context(cert, key)
                    self.key_hash = registered
                if cert != current[0]:
                    _promote(self._settings)
                return True
        return registered == self.key_hash


class _Switchable(ssl.SSLContext):
    """Hands every new connection to the context that counts at that moment; open ones keep theirs.

    A live context could be given another key, but one of another kind would only come beside the first.
    """

    current: ssl.SSLContext

    def wrap_bio(self, *args: Any, **named: Any) -> ssl.SSLObject:
        """See `ssl.SSLContext.wrap_bio`, which is what asyncio calls."""
        return self.current.wrap_bio(*args, **named)


def _context(cert: Path, key: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        context.load_cert_chain(cert, key)
    except (OSError, ssl.SSLError) as error:
        raise InvalidInput(
            f"{cert} and {key} are not a certificate and its key ({type(error).__name__})",
            hint="Restore the pair, or remove both and register the new one.",
        ) from None
    return context


def _next(settings: Settings) -> tuple[Path, Path]:
    """Certificate and key of the next pair."""
    cert, key = settings.gateway_cert, settings.gateway_key
    return cert.with_name(f"{cert.name}.next"), key.with_name(f"{key.name}.next")


def _promote(settings: Settings) -> None:
    """Put the next pair in the current one's place, the key first; the caller holds the lock."""
    cert, key = _next(settings)
    os.replace(key, settings.gateway_key)
    os.replace(cert, settings.gateway_cert)


def _finish_change(settings: Settings) -> None:
    """After a crash between the two moves of `_promote`: the certificate follows its key."""
    cert, key = _next(settings)
    if key.exists() or not cert.exists() or not settings.gateway_key.exists():
        return
    if _public_hash(settings.gateway_key) == _hash(cert):
        os.replace(cert, settings.gateway_cert)


def _hash(cert: Path) -> bytes:
    try:
        return spki_hash(cert.read_bytes())
    except OSError as error:
        raise InvalidInput(f"the gateway certificate {cert} cannot be read: {error}") from error


def _public_hash(path: Path) -> bytes:
    import hashlib

    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    public = _key(path).public_key()
    return hashlib.sha256(public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).digest()


@contextlib.contextmanager
def _lock(settings: Settings) -> Iterator[None]:
    """Be the only one who handles these files; the kernel frees a dead one's lock."""
    key = settings.gateway_key
    key.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    handle = os.open(key.with_name(f".{key.name}.lock"), os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def bind(host: str, port: int) -> socket.socket:
    """A listening TCP socket; Permanent if the port is taken."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen(128)
    except OSError as error:
        listener.close()
        raise Permanent(
            f"cannot listen on {host} port {port}: {error.strerror}", hint="Choose another port, or free it."
        ) from error
    return listener


def _make(settings: Settings, cert: Path, key_path: Path) -> None:
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.serialization import Encoding
    from cryptography.x509.oid import NameOID

    key = _key(key_path, make=True)
    now = datetime.datetime.now(datetime.UTC)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "OCX gateway")])
    host = urlsplit(settings.gateway.url).hostname if settings.gateway.url else settings.gateway.host
    builder = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=365 * _YEARS))
        .add_extension(x509.SubjectAlternativeName([_general_name(host or "localhost")]), critical=False)
    )
    certificate = builder.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM)
    _write(cert, certificate)


def _key(path: Path, *, make: bool = False) -> ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey:
    """A private key; with `make` written, before anything is made of it, if there is none."""
    from cryptography.hazmat.primitives.asymmetric import ec, rsa
    from cryptography.hazmat.primitives.serialization import (
        Encoding,
        NoEncryption,
        PrivateFormat,
        load_pem_private_key,
    )

    if make and not path.exists():
        fresh = ec.generate_private_key(ec.SECP256R1())
        write_private(path, fresh.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode())
    try:
        key = load_pem_private_key(path.read_bytes(), password=None)
    except (OSError, ValueError, TypeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is no unencrypted PEM key"
        raise InvalidInput(f"the gateway key {path} cannot be read: {why}") from None
    if not isinstance(key, ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey):
        raise InvalidInput(f"the gateway key {path} is neither an EC nor an RSA key")
    return key


def _general_name(host: str) -> x509.GeneralName:
    from cryptography import x509

    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _write(path: Path, content: bytes) -> None:
    """Whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.new")
    temporary.write_bytes(content)
    os.replace(temporary, path)
