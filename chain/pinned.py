"""TLS to exactly one public key: the one an organisation registered in `Members`, and no authority.

This module must not know what is said over the connection.
"""

from __future__ import annotations

import hashlib
import http.client
import socket
import ssl
from urllib.parse import urlsplit

from market.errors import InvalidInput, Permanent, Temporary

__all__ = ["PinnedConnection", "WrongGateway", "shown_key", "spki_hash"]


class WrongGateway(Permanent):
    """The gateway does not hold the TLS key pinned in `Members`; nothing was sent to it."""


def spki_hash(certificate: bytes) -> bytes:
    """SHA-256 of the public key (SPKI, DER) of a certificate in DER or PEM: `Members.gatewayKeyHash`."""
    from cryptography import x509
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    try:
        pem = certificate.lstrip().startswith(b"-----")
        found = (
            x509.load_pem_x509_certificate(certificate)
            if pem
            else x509.load_der_x509_certificate(certificate)
        )
    except ValueError as error:
        raise InvalidInput("that is not a certificate") from error
    spki = found.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return hashlib.sha256(spki).digest()


def shown_key(url: str, timeout: float = 5.0) -> bytes:
    """The hash of the key that whoever answers at a gateway's URL shows; Temporary if nobody does."""
    parts = urlsplit(url)
    context = ssl.create_default_context()
    context.check_hostname = False  # looked at, not trusted
    context.verify_mode = ssl.CERT_NONE
    try:
        place = (parts.hostname or "", parts.port or 443)
        with socket.create_connection(place, timeout) as plain, context.wrap_socket(plain) as secured:
            return spki_hash(secured.getpeercert(binary_form=True) or b"")
    except OSError as error:
        raise Temporary(
            f"nobody answers at {url} ({type(error).__name__})",
            hint="Is the agent running?",
            retry_after=2.0,
        ) from error


class PinnedConnection(http.client.HTTPSConnection):
    """HTTPS that trusts exactly one public key, and no authority."""

    def __init__(self, host: str, port: int | None, key_hash: bytes, timeout: float) -> None:
        context = ssl.create_default_context()
        context.check_hostname = False  # the key is pinned; names and authorities say nothing more
        context.verify_mode = ssl.CERT_NONE
        super().__init__(host, port, timeout=timeout, context=context)
        self._key_hash = key_hash

    def connect(self) -> None:
        """Connect and compare the key, before any request is written."""
        super().connect()
        certificate = (
            self.sock.getpeercert(binary_form=True) if isinstance(self.sock, ssl.SSLSocket) else None
        )
        if not certificate or spki_hash(certificate) != self._key_hash:
            self.close()
            raise WrongGateway(
                f"{self.host}:{self.port} does not hold the key that its organisation registered",
                hint="Nothing was sent. Ask the provider whether its gateway key changed.",
            )
