"""docs/credits.md's client signs what `Credits` takes; Credits.t.sol takes this very signature."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from eth_abi.abi import encode
from eth_keys.datatypes import PrivateKey, Signature
from eth_utils.crypto import keccak

KEY = "0x" + "11" * 32
CREDITS = "0x00000000000000000000000000000000C4ED1750"
SPENDER = "0x000000000000000000000000000000000000b0b0"
CHAIN, VALUE, NONCE, DEADLINE = 31337, 2_500_000, 0, 2_000_000_000
VECTOR = (
    27,
    "760a4976ebb854e55aec25211db2bbf438a9c0b1bcd2d645aa5b8eb8a1f7aab1",
    "15228ea8b5c50a041b1401b809a794b67f474255e48d45827094562b129970bb",
)
"""v, r and s that CreditsPermitTest of Credits.t.sol brings to the contract."""


def _documented() -> Callable[..., tuple[int, bytes, bytes]]:
    text = (Path(__file__).parents[2] / "docs/credits.md").read_text("utf-8")
    block = re.search(r"```python\n(.*?)```", text, re.DOTALL)
    assert block is not None
    names: dict[str, Any] = {}
    exec(block[1], names)  # noqa: S102  the page's own code is what is tested
    function: Callable[..., tuple[int, bytes, bytes]] = names["permit"]
    return function


def _digest(owner: str) -> bytes:
    """As EIP-712 and EIP-2612 put it, by hand."""
    domain_type = b"EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"
    permit_type = b"Permit(address owner,address spender,uint256 value,uint256 nonce,uint256 deadline)"
    domain = encode(
        ["bytes32", "bytes32", "bytes32", "uint256", "address"],
        [keccak(domain_type), keccak(b"OCX Credits"), keccak(b"1"), CHAIN, CREDITS],
    )
    message = encode(
        ["bytes32", "address", "address", "uint256", "uint256", "uint256"],
        [keccak(permit_type), owner, SPENDER, VALUE, NONCE, DEADLINE],
    )
    return keccak(b"\x19\x01" + keccak(domain) + keccak(message))


def test_the_documented_client_signs_the_permit_of_the_standard() -> None:
    owner = PrivateKey(bytes.fromhex(KEY[2:])).public_key.to_checksum_address()
    v, r, s = _documented()(KEY, CREDITS, CHAIN, SPENDER, VALUE, NONCE, DEADLINE)
    signed = Signature(r + s + bytes([v - 27]))
    assert signed.recover_public_key_from_msg_hash(_digest(owner)).to_checksum_address() == owner


def test_the_signature_is_the_one_that_the_contract_is_tested_with() -> None:
    v, r, s = _documented()(KEY, CREDITS, CHAIN, SPENDER, VALUE, NONCE, DEADLINE)
    assert (v, r.hex(), s.hex()) == VECTOR
