"""Node keys: one key names a node to its peers and, where it is a validator, seals its blocks.

QBFT clients know no other way, so it is the same with Clique. The key must own nothing: it is no member's
account, has no credits, and whoever reads the node's disk has it.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from pathlib import Path

from eth_keys.datatypes import PrivateKey

from chain import messages
from chain.nodes.description import address_of_public_key
from chain.wallet import import_key, write_private
from market.errors import InvalidInput

__all__ = ["NodeKey", "at", "create", "private", "public", "put", "sign"]

_ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141


@dataclass(frozen=True)
class NodeKey:
    """The public half (64 bytes) and the address that belongs to it."""

    public_key: bytes
    address: str


def at(folder: Path) -> NodeKey:
    """The key kept in a node's folder; InvalidInput if there is none or it is damaged."""
    return public(private(folder))


def sign(folder: Path, message: bytes) -> bytes:
    """The signature (EIP-191, 65 bytes) of the key kept in a node's folder."""
    private_half = private(folder)
    public(private_half)
    return messages.sign(private_half, message)


def private(folder: Path) -> bytes:
    """The 32 bytes kept in a node's folder, for a back-up; InvalidInput as in `at`."""
    try:
        return bytes.fromhex((folder / "nodekey").read_text("ascii").strip())
    except FileNotFoundError:
        raise InvalidInput(f"{folder} holds no node key") from None
    except (OSError, ValueError) as error:
        raise InvalidInput(f"the node key in {folder} cannot be read: {error}") from error


def create(folder: Path) -> NodeKey:
    """The key of a node's folder, made now if there is none.

    Beside `nodekey` lie the keystore and its passphrase, which Clique's engine seals with; all of mode 0600.
    Cut short, it goes on when called again.
    """
    plain = folder / "nodekey"
    if not plain.exists():
        write_private(plain, (1 + secrets.randbelow(_ORDER - 1)).to_bytes(32, "big").hex())
    _for_sealing(folder, bytes.fromhex(plain.read_text("ascii").strip()))
    return at(folder)


def put(folder: Path, private_half: bytes) -> NodeKey:
    """Make an existing key that of a folder that has none; what names it is written last."""
    key = public(private_half)
    _for_sealing(folder, private_half)
    write_private(folder / "nodekey", private_half.hex())
    return key


def _for_sealing(folder: Path, private_half: bytes) -> None:
    keystore, passphrase = folder / "keystore" / "node.json", folder / "passphrase"
    if not passphrase.exists():
        write_private(passphrase, secrets.token_urlsafe(24) + "\n")
    if not keystore.exists():
        import_key(keystore, private_half, passphrase.read_text("utf-8").strip(), light=True)


def public(private_half: bytes) -> NodeKey:
    """What belongs to a private key; InvalidInput if that is none."""
    if len(private_half) != 32 or not 0 < int.from_bytes(private_half, "big") < _ORDER:
        raise InvalidInput("that is no node key", hint="It has 32 bytes, written as 64 hexadecimal digits.")
    public_key = PrivateKey(private_half).public_key.to_bytes()
    return NodeKey(public_key, address_of_public_key(public_key))
