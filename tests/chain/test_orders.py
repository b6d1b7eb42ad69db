"""Restricted offers: what is signed, who signed it, and files that are none."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from chain.orders import Order, SignedOrder, digest, recover, sign
from market.errors import InvalidInput, OcxError, Refused
from tests.agreement.arena import GENESIS, Arena
from tests.chain.network import anvil, wallet

CONTRACT = "0x00000000000000000000000000000000000000A1"
ORDER = Order(
    seller=3,
    within=7,
    start=500_000,
    end=500_024,
    rate=3_000_000,
    min_slots=2,
    sla=9,
    traits=1,
    resources=(4, 9, 11),
    nonce=12,
    expires=1_900_000_000,
)


@pytest.fixture(scope="module")
def arena(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Arena]:
    with anvil("--timestamp", str(GENESIS)) as node:
        yield Arena(node, tmp_path_factory.mktemp("arena"))


def test_contract_hashes_an_order_as_it_is_signed(arena: Arena) -> None:
    orders = arena.exchange.orders
    assert orders is not None
    chain_id = arena.exchange.connection.chain_id
    for order in (ORDER, replace(ORDER, resources=(1,), traits=5), replace(ORDER, nonce=(1 << 64) - 1)):
        assert orders.digest_of(order) == digest(order, chain_id, orders.address)


@pytest.mark.parametrize(
    "change",
    [
        {"seller": 4},
        {"within": 8},
        {"start": 499_999},
        {"end": 500_025},
        {"rate": 2_999_999},
        {"min_slots": 1},
        {"sla": 0},
        {"traits": 0},
        {"resources": (4, 9)},
        {"nonce": 13},
        {"expires": 1_900_000_001},
    ],
)
def test_no_field_can_be_changed_by_who_holds_it(change: dict[str, int]) -> None:
    signed = sign(wallet(1), ORDER, 5, CONTRACT)
    assert signed.signer == wallet(1).address
    assert recover(replace(ORDER, **change), signed.signature, 5, CONTRACT) != wallet(1).address


def test_signature_is_for_one_chain_and_one_contract() -> None:
    signed = sign(wallet(1), ORDER, 5, CONTRACT)
    assert replace(signed, chain_id=6).signer != wallet(1).address
    assert replace(signed, contract="0x00000000000000000000000000000000000000A2").signer != wallet(1).address


def test_file_is_read_as_it_was_written(tmp_path: Path) -> None:
    signed = sign(wallet(1), ORDER, 5, CONTRACT)
    path = tmp_path / "order.json"
    path.write_text(signed.to_json())
    assert SignedOrder.from_json(path.read_text()) == signed


def test_signature_that_the_contract_would_not_take_is_refused() -> None:
    signed = sign(wallet(1), ORDER, 5, CONTRACT)
    s = int.from_bytes(signed.signature[32:64], "big")
    high = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141 - s
    flipped = signed.signature[:32] + high.to_bytes(32, "big") + bytes([55 - signed.signature[64]])
    for bad in (flipped, signed.signature[:64], signed.signature[:64] + b"\x00", b""):
        with pytest.raises(Refused, match="malformed"):
            recover(ORDER, bad, 5, CONTRACT)


@pytest.mark.parametrize("text", ["", "[]", "{}", "null", '{"order": 5}', '{"order": {}}', "\x00"])
def test_file_that_is_no_order_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput, match="no file of an order"):
        SignedOrder.from_json(text)


@pytest.mark.parametrize(
    ("field", "value"),
    [("rate", -1), ("rate", 1.5), ("rate", True), ("resources", "4"), ("resources", [4, 4]), ("more", 1)],
)
def test_file_with_a_bad_field_is_refused(field: str, value: object) -> None:
    raw = json.loads(sign(wallet(1), ORDER, 5, CONTRACT).to_json())
    raw["order"][field] = value
    with pytest.raises(OcxError):
        SignedOrder.from_json(json.dumps(raw))


@pytest.mark.parametrize(
    "wrong",
    [{"rate": 0}, {"seller": 0}, {"within": 0}, {"end": 500_000}, {"resources": ()}, {"resources": (9, 4)}],
)
def test_order_that_could_never_be_filled_is_not_made(wrong: dict[str, int]) -> None:
    with pytest.raises(InvalidInput):
        replace(ORDER, **wrong)
