"""A card says who a node is by the word of its own key, and no word of it can be changed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from eth_keys.datatypes import PrivateKey
from eth_utils.crypto import keccak

from chain import messages
from chain.nodes import keys
from chain.nodes.admission import card as cards
from chain.nodes.admission.card import Card, agreement, node_name
from chain.nodes.description import Node
from market.errors import InvalidInput

ACCOUNT = "0xf0719A0c1F707979CB37670A3CC394Eb4B485a5F"


def _make(folder: Path, **changes: Any) -> Card:
    fields: dict[str, Any] = {"organisation": "north", "account": ACCOUNT, "name": None, "host": "192.0.2.7"}
    return cards.make(folder, **{**fields, "p2p_port": 30303, "rpc_port": 8545, **changes})


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Card:
    return _make(tmp_path_factory.mktemp("card"))


def _written(folder: Path, raw: object) -> Path:
    path = folder / "card.json"
    path.write_text(json.dumps(raw))
    return path


def test_a_card_is_read_as_it_was_written(made: Card, tmp_path: Path) -> None:
    path = tmp_path / "card.json"
    path.write_text(made.text)
    assert cards.load(path) == made


def test_the_key_agrees_to_what_members_asks_for(made: Card) -> None:
    """The contract's own words; tests/chain/nodes/admission/test_join.py asks the contract."""
    assert made.place == "192.0.2.7:30303"
    assert messages.signer(agreement("north", "192.0.2.7:30303"), made.consent) == made.address


def test_the_node_is_called_by_its_organisation_and_address(made: Card) -> None:
    assert made.name == f"north-{made.address[2:8].lower()}"


def test_repeated_it_is_the_same_key_wherever_the_node_is(tmp_path: Path) -> None:
    first = _make(tmp_path)
    second = _make(tmp_path, host="node.example", p2p_port=30304)
    assert (second.address, second.name) == (first.address, first.name)
    assert second.place == "node.example:30304"
    assert [home.name for home in (tmp_path / "nodes").iterdir()] == [first.name]


def test_cut_short_before_the_key_had_its_place_it_goes_on_with_that_key(tmp_path: Path) -> None:
    key = keys.create(tmp_path / "nodes" / ".new")
    assert _make(tmp_path).address == key.address


def test_a_card_holds_nothing_secret(tmp_path: Path) -> None:
    made = _make(tmp_path, name="gate")
    home = tmp_path / "nodes" / "gate"
    for secret in ("nodekey", "passphrase"):
        assert (home / secret).read_text().strip() not in made.text


@pytest.mark.parametrize(
    "change",
    [
        {"host": "192.0.2.8"},
        {"p2p_port": 30304},
        {"organisation": "south"},
        {"signature": "0x" + "11" * 64 + "1b"},
        {"signature": "0x" + "00" * 65},
    ],
)
def test_who_changes_a_card_needs_the_key(made: Card, tmp_path: Path, change: dict[str, Any]) -> None:
    path = _written(tmp_path, made.model_dump() | change)
    with pytest.raises(InvalidInput, match="the node's key did not sign this"):
        cards.load(path)


def test_the_mirror_of_a_signature_is_none(made: Card, tmp_path: Path) -> None:
    order = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
    r, s, v = made.consent[:32], int.from_bytes(made.consent[32:64], "big"), made.consent[64]
    mirrored = r + (order - s).to_bytes(32, "big") + bytes([55 - v])
    path = _written(tmp_path, made.model_dump() | {"signature": "0x" + mirrored.hex()})
    with pytest.raises(InvalidInput, match="did not sign"):
        cards.load(path)


def test_a_card_with_somebody_elses_key_is_refused(made: Card, tmp_path: Path) -> None:
    other = PrivateKey(keccak(text="other")).public_key
    raw = made.model_dump() | {"public_key": other.to_bytes().hex(), "address": other.to_checksum_address()}
    with pytest.raises(InvalidInput, match="did not sign"):
        cards.load(_written(tmp_path, raw))


@pytest.mark.parametrize("name", ["../out", "", "A", "a/b", "-a", "a" * 33, ".new"])
def test_a_name_that_is_none_makes_nothing(tmp_path: Path, name: str) -> None:
    with pytest.raises(InvalidInput, match="cannot be a node's name"):
        _make(tmp_path / "here", name=name)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("organisation", ["", "x" * 32, " north", "a\nb"])
def test_a_handle_the_chain_could_not_hold_is_refused(tmp_path: Path, organisation: str) -> None:
    with pytest.raises(InvalidInput):
        _make(tmp_path, organisation=organisation)


def test_a_place_longer_than_the_chain_takes_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="more than 128 bytes"):
        _make(tmp_path, host="a" * 130)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "cannot be read"),
        ("{", "cannot be read"),
        ("[" * 100_000, "cannot be read"),
        ("[]", "must be a mapping"),
        ("{}", "is wrong"),
    ],
    ids=["nothing", "half", "deep", "list", "empty"],
)
def test_what_is_no_card_is_said_in_one_line(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "card.json"
    path.write_text(text)
    with pytest.raises(InvalidInput, match=said) as error:
        cards.load(path)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("field", ["more", "address", "host"])
def test_fields_are_those_of_a_card_and_no_others(made: Card, tmp_path: Path, field: str) -> None:
    raw = made.model_dump()
    raw[field] = 7
    with pytest.raises(InvalidInput, match=field):
        cards.load(_written(tmp_path, raw))


@pytest.mark.parametrize(
    "handle", ["north", "North Uni", "x" * 31, "é", "--", "a.b_c", "9" * 40, "", "0x" + "ab" * 32]
)
def test_every_handle_gives_a_name_network_yaml_takes(made: Card, handle: str) -> None:
    for digits in (6, 20):
        name = node_name(handle, made.address, digits)
        assert Node.model_validate(made.node.model_dump() | {"name": name}).name == name
