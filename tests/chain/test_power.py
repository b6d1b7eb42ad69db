"""The signed power request: what is hashed, by whom it was signed, and what a contract would not take."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import pytest
from eth_utils.crypto import keccak

from chain import power
from chain.power import Action, PowerRequest, digest, recover, sign
from chain.wallet import Wallet
from market.errors import InvalidInput, Refused

CHAIN = 31337
LEASES = "0x" + "ab" * 20
WALLET = Wallet(b"w" * 32)
REQUEST = PowerRequest(7, Action.OFF, 1_800_000_000_123, 1_800_000_000)

# Computed with keccak and secp256k1 alone (see `by_hand`), not with the library that `chain.power` uses.
DIGEST = "5d16ef26fa916ef22d6fcf35eec4033c9c75186bbf2d80dcf06cb786c833dc42"
SIGNATURE = (
    "f784e61bbeee1461a399911b9687f133edf6e483614c3d227c3ee3ae341e0214"
    "785f7c3e337a52da57f6e5a77b6b39bd34736b42d75f7c0a65dca8f8ebb2d1e21b"
)
ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141


def word(number: int) -> bytes:
    """A number as a contract's abi.encode writes it."""
    return number.to_bytes(32, "big")


def by_hand(request: PowerRequest, type_string: str) -> bytes:
    """The EIP-712 digest, step by step as a contract computes it."""
    domain_type = b"EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"
    address = bytes.fromhex(LEASES[2:]).rjust(32, b"\0")
    domain = keccak(keccak(domain_type) + keccak(b"OCX") + keccak(b"1") + word(CHAIN) + address)
    fields = (request.lease, int(request.action), request.nonce, request.time)
    struct = keccak(keccak(type_string.encode()) + b"".join(word(field) for field in fields))
    return keccak(b"\x19\x01" + domain + struct)


def documented_type() -> str:
    """The type string as the module promises it to whoever writes the contract."""
    [found] = re.findall(r"^ +(PowerRequest\(.*\))$", str(power.__doc__), re.MULTILINE)
    return str(found)


def test_the_digest_is_that_of_the_documented_type_string() -> None:
    assert digest(REQUEST, CHAIN, LEASES) == by_hand(REQUEST, documented_type())
    assert digest(REQUEST, CHAIN, LEASES).hex() == DIGEST


def test_the_signature_is_the_committed_vector() -> None:
    assert sign(WALLET, REQUEST, CHAIN, LEASES).hex() == SIGNATURE
    assert recover(REQUEST, bytes.fromhex(SIGNATURE), CHAIN, LEASES) == WALLET.address


def test_the_actions_have_the_numbers_a_contract_will_know() -> None:
    assert {item.name: int(item) for item in Action} == {"ON": 1, "OFF": 2, "REBOOT": 3}


@pytest.mark.parametrize(
    ("change", "chain", "leases"),
    [
        ({"lease": 8}, CHAIN, LEASES),
        ({"action": Action.ON}, CHAIN, LEASES),
        ({"nonce": 1_800_000_000_124}, CHAIN, LEASES),
        ({"time": 1_800_000_001}, CHAIN, LEASES),
        ({}, CHAIN + 1, LEASES),
        ({}, CHAIN, "0x" + "cd" * 20),
    ],
)
def test_a_signature_holds_for_exactly_what_was_signed(
    change: dict[str, Any], chain: int, leases: str
) -> None:
    signature = bytes.fromhex(SIGNATURE)
    assert recover(replace(REQUEST, **change), signature, chain, leases) != WALLET.address


def test_the_second_signature_anybody_can_make_is_refused() -> None:
    signature = bytes.fromhex(SIGNATURE)
    s = int.from_bytes(signature[32:64], "big")
    twin = signature[:32] + word(ORDER - s) + bytes([55 - signature[64]])
    with pytest.raises(Refused, match="malformed"):
        recover(REQUEST, twin, CHAIN, LEASES)


@pytest.mark.parametrize(
    "signature",
    [
        b"",
        b"x" * 64,
        bytes(65),
        bytes(64) + b"\x1b",
        bytes.fromhex(SIGNATURE)[:64] + b"\x00",
        bytes.fromhex(SIGNATURE) + b"\x00",
        b"\xff" * 32 + word(1) + b"\x1b",
    ],
)
def test_a_malformed_signature_is_refused(signature: bytes) -> None:
    with pytest.raises(Refused, match="malformed"):
        recover(REQUEST, signature, CHAIN, LEASES)


def test_a_request_survives_the_wire() -> None:
    assert REQUEST.to_json()["action"] == "off"
    assert PowerRequest.from_json(REQUEST.to_json()) == REQUEST


@pytest.mark.parametrize(
    "change",
    [
        {"action": "explode"},
        {"action": 2},
        {"lease": 1 << 32},
        {"lease": "7"},
        {"nonce": -1},
        {"nonce": True},
        {"nonce": 1.5},
        {"time": 1 << 40},
        {"time": None},
    ],
)
def test_what_is_no_request_is_refused_before_anything_is_hashed(change: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput):
        PowerRequest.from_json(REQUEST.to_json() | change)
