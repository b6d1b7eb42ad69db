"""EIP-712: what of a typed message is signed, and who signed it. What a message means is its own module's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from chain.abi import checksum
from chain.imports import signing_library
from market.errors import Refused

__all__ = ["digest", "domain", "recover"]

_HALF_ORDER: Final = 0x7FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF5D576E7357A4501DDFE92F46681B20A0
"""Half of the order of secp256k1: OpenZeppelin's ECDSA refuses an s above it."""


def domain(chain_id: int, contract: str) -> dict[str, Any]:
    """The domain of everything that is signed for a contract of OCX."""
    return {"name": "OCX", "version": "1", "chainId": chain_id, "verifyingContract": checksum(contract)}


def digest(place: Mapping[str, Any], types: Mapping[str, Any], message: Mapping[str, Any]) -> bytes:
    """The 32 bytes that are signed: keccak256 of 0x1901, domain separator and struct hash."""
    from eth_utils.crypto import keccak

    with signing_library():
        from eth_account.messages import encode_typed_data

    signable = encode_typed_data(dict(place), dict(types), dict(message))
    return keccak(b"\x19" + signable.version + signable.header + signable.body)


def recover(signed: bytes, signature: bytes, malformed: Refused) -> str:
    """The account that signed these 32 bytes; raises `malformed` for a signature that no contract would take.

    A signature of something else gives some other account: compare.
    """
    from eth_keys.datatypes import Signature
    from eth_keys.exceptions import BadSignature, ValidationError
    from eth_utils.exceptions import ValidationError as UtilsValidationError

    if len(signature) != 65 or signature[64] not in (27, 28):
        raise malformed
    if int.from_bytes(signature[32:64], "big") > _HALF_ORDER:
        raise malformed
    try:
        plain = Signature(signature[:64] + bytes([signature[64] - 27]))
        return checksum(plain.recover_public_key_from_msg_hash(signed).to_address())
    except (BadSignature, ValidationError, UtilsValidationError, ValueError) as error:
        raise malformed from error
