"""Signed messages (EIP-191): text or a hash that a key signed outside of any transaction, and who did.

What a signature may be used for must be in the message itself, or it could be used for something else.
"""

from __future__ import annotations

from eth_keys.datatypes import PrivateKey, Signature
from eth_keys.exceptions import BadSignature, ValidationError
from eth_utils.crypto import keccak

from chain.abi import checksum

__all__ = ["digest", "sign", "signer"]

_HALF_ORDER = 0x7FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF5D576E7357A4501DDFE92F46681B20A0


def digest(message: bytes) -> bytes:
    """What is signed: the message behind a prefix that no transaction begins with."""
    return keccak(b"\x19Ethereum Signed Message:\n%d" % len(message) + message)


def sign(private_key: bytes, message: bytes) -> bytes:
    """A signature of 65 bytes (r, s, v), v 27 or 28."""
    raw = PrivateKey(private_key).sign_msg_hash(digest(message)).to_bytes()
    return raw[:64] + bytes([raw[64] + 27])


def signer(message: bytes, signature: bytes) -> str | None:
    """Whose signature that is; None if it is none, or the mirror of one, as the contracts have it."""
    if len(signature) != 65 or signature[64] not in (27, 28):
        return None
    if int.from_bytes(signature[32:64], "big") > _HALF_ORDER:
        return None
    try:
        found = Signature(signature[:64] + bytes([signature[64] - 27]))
        key = found.recover_public_key_from_msg_hash(digest(message))
    except (BadSignature, ValidationError):
        return None
    return checksum(key.to_checksum_address())
