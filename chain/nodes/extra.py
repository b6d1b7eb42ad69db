"""extraData of a genesis block: how a network says who may make its first blocks.

Sources: EIP-225 for Clique; for QBFT Besu's page "Configure QBFT consensus" (`RLP([32 bytes Vanity,
List<Validators>, No Vote, Round=Int(0), 0 Seals])`), whose vectors the tests hold. Both want
addresses in ascending order (Besu's own sample has not, so nothing here insists on it).
"""

from __future__ import annotations

from collections.abc import Sequence

from market.errors import InvalidInput

__all__ = ["Rlp", "clique", "qbft", "rlp"]

_VANITY = bytes(32)
_SEAL = bytes(65)

Rlp = bytes | Sequence["Rlp"]
"""What RLP encodes: bytes, or a list of such."""


def clique(validators: Sequence[bytes]) -> bytes:
    """32 bytes of vanity, the validators' addresses, room for a seal."""
    return _VANITY + b"".join(_checked(validators)) + _SEAL


def qbft(validators: Sequence[bytes]) -> bytes:
    """Vanity, the validators' addresses, no vote, round 0, no seals."""
    return rlp([_VANITY, _checked(validators), [], b"", []])


def rlp(item: Rlp) -> bytes:
    """Recursive length prefix, as in the Yellow Paper's appendix B."""
    if isinstance(item, bytes):
        return item if len(item) == 1 and item[0] < 0x80 else _prefix(len(item), 0x80) + item
    content = b"".join(rlp(each) for each in item)
    return _prefix(len(content), 0xC0) + content


def _prefix(length: int, offset: int) -> bytes:
    if length < 56:
        return bytes([offset + length])
    size = length.to_bytes((length.bit_length() + 7) // 8, "big")
    return bytes([offset + 55 + len(size)]) + size


def _checked(validators: Sequence[bytes]) -> list[bytes]:
    if not validators or any(len(each) != 20 for each in validators):
        raise InvalidInput("a genesis block names at least one validator, each by an address of 20 bytes")
    if len(set(validators)) != len(validators):
        raise InvalidInput("a validator is named twice")
    return list(validators)
