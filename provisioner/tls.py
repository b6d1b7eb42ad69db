"""The gateway's TLS key and certificate: made once, pinned in `Members`, and a port to serve them on.

The certificate is self-signed: buyers compare the key's hash, and trust neither its name nor an authority.
"""

from __future__ import annotations

import datetime
import ipaddress
import os
import socket
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from chain.gateway import spki_hash
from chain.wallet import write_private
from market.errors import InvalidInput, Permanent
from provisioner.settings import Settings

if TYPE_CHECKING:
    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric import ec, rsa

__all__ = ["bind", "ensure_certificate"]

_YEARS = 20


def ensure_certificate(settings: Settings) -> bytes:
    """The SHA-256 of the gateway's public key; makes what is missing of key and certificate.

    The key is what is pinned, so a certificate that is missing, as after a crash between the two, is made
    anew for the key that is there. Raises `InvalidInput` if only the key is missing, or they cannot be read.
    """
    cert, key = settings.gateway_cert, settings.gateway_key
    if cert.exists() and not key.exists():
        raise InvalidInput(f"{cert} is there but {key} is not", hint="Restore it, or remove both.")
    if not cert.exists():
        _make(settings)
    try:
        return spki_hash(cert.read_bytes())
    except OSError as error:
        raise InvalidInput(f"the gateway certificate {cert} cannot be read: {error}") from error


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


def _make(settings: Settings) -> None:
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.serialization import Encoding
    from cryptography.x509.oid import NameOID

    key = _key(settings.gateway_key)
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
    _write(settings.gateway_cert, certificate)


def _key(path: Path) -> ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey:
    """The gateway's private key; made, and written before anything is made of it, if there is none."""
    from cryptography.hazmat.primitives.asymmetric import ec, rsa
    from cryptography.hazmat.primitives.serialization import (
        Encoding,
        NoEncryption,
        PrivateFormat,
        load_pem_private_key,
    )

    if not path.exists():
        fresh = ec.generate_private_key(ec.SECP256R1())
        write_private(path, fresh.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode())
    try:
        key = load_pem_private_key(path.read_bytes(), password=None)
    except (OSError, ValueError, TypeError) as error:
        raise InvalidInput(f"the gateway key {path} cannot be read: {error}") from error
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
