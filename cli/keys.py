"""Key files, read for their public halves: encryption keys, TLS certificates, the SSH key of a lease."""

from __future__ import annotations

import json
from pathlib import Path

from market.errors import InvalidInput

__all__ = ["new_ssh_key", "public_half", "tls_key_hash"]


def public_half(path: Path) -> bytes:
    """The public half (32 bytes) of an encryption key file; it stands there in clear."""
    try:
        content = json.loads(path.read_text("utf-8"))
        public = bytes.fromhex(content["public"])
    except FileNotFoundError:
        raise InvalidInput(
            f"there is no encryption key {path}", hint="make one: ocx wallet key-create"
        ) from None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InvalidInput(f"{path} is not an encryption key file") from error
    if len(public) != 32:
        raise InvalidInput(f"{path} is not an encryption key file")
    return public


def tls_key_hash(path: Path) -> bytes:
    """SHA-256 of the public key in a certificate: what `Members` pins."""
    from chain.gateway import spki_hash

    try:
        return spki_hash(path.read_bytes())
    except OSError as error:
        raise InvalidInput(f"the certificate {path} cannot be read: {error}") from error


def new_ssh_key(path: Path, comment: str) -> str:
    """The public half of the SSH key at `path`; an ed25519 key (mode 0600) is made if there is none."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import (
        Encoding,
        NoEncryption,
        PrivateFormat,
        PublicFormat,
        load_ssh_private_key,
    )

    from chain.wallet import write_private

    if not path.exists():
        fresh = Ed25519PrivateKey.generate()
        text = fresh.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption())
        write_private(path, text.decode())
    try:
        key = load_ssh_private_key(path.read_bytes(), password=None)
    except (OSError, ValueError) as error:
        raise InvalidInput(f"the SSH key {path} cannot be read: {error}") from error
    return f"{key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()} {comment}"
