"""An invitation is worth nothing once it was changed, is late, is another's, or of another network."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from chain.connection import ConnectionFile
from chain.nodes import keys
from chain.nodes.admission.invitation import Invitation, load, require_valid, sign
from chain.nodes.admission.joining import take_in
from chain.nodes.description import parse
from chain.nodes.render import block_0
from market.errors import InvalidInput, Refused
from tests.chain.network import wallet
from tests.chain.nodes.founding import description, node, raw

NOW = 1_800_000_000.0
INVITER = wallet(1)


def _unsigned(**changes: Any) -> Invitation:
    network = parse(raw(followers=[node(5)]))
    fields: dict[str, Any] = {
        "network": network,
        "genesis_hash": "0x" + block_0(network).hex(),
        "directory": wallet(2).address,
        "directory_code_hash": "0x" + "cd" * 32,
        "slot": 3600,
        "gas_price": 0,
        "confirmations": 3,
        "node": node(5)["address"],
        "organisation": "org5",
        "roles": ("seller",),
        "issued": int(NOW) - 10,
        "expires": int(NOW) + 10,
        "inviter": INVITER.address,
    }
    return Invitation.model_validate(fields | changes)


def _signed(**changes: Any) -> Invitation:
    return sign(_unsigned(**changes), INVITER)


def test_an_invitation_is_read_as_it_was_written_and_holds(tmp_path: Path) -> None:
    made = _signed()
    path = tmp_path / "invite.json"
    path.write_text(made.text)
    assert load(path) == made
    require_valid(load(path), NOW, INVITER.address)
    assert made.own.name == "v5"


CHANGES: dict[str, Any] = {
    "network": parse(raw(followers=[node(5)], block_time=2)),
    "genesis_hash": "0x" + "00" * 32,
    "directory": wallet(3).address,
    "directory_code_hash": "0x" + "00" * 32,
    "slot": 10,
    "gas_price": None,
    "confirmations": 0,
    "node": node(4)["address"],
    "organisation": "org4",
    "roles": ("seller", "operator"),
    "issued": 1,
    "expires": int(NOW) + 1_000_000,
    "inviter": wallet(4).address,
    "signature": "0x",
}


def test_every_field_is_signed() -> None:
    assert set(CHANGES) == set(Invitation.model_fields) - {"version"}


@pytest.mark.parametrize("field", CHANGES)
def test_whoever_changes_a_field_needs_the_inviters_wallet(field: str) -> None:
    changed = _signed().model_copy(update={field: CHANGES[field]})
    with pytest.raises(Refused, match="did not sign this invitation"):
        require_valid(changed, NOW)


def test_a_follower_swapped_for_another_is_a_change() -> None:
    """Who sits on the way could else have the newcomer call nodes of its own."""
    made = _signed()
    swapped = parse(raw(followers=[node(5), node(6)]))
    with pytest.raises(Refused, match="did not sign"):
        require_valid(made.model_copy(update={"network": swapped}), NOW)


def test_a_signature_of_something_else_is_none() -> None:
    made = _signed()
    other = INVITER.sign_message(made.message.removeprefix(b"OCX "))
    with pytest.raises(Refused, match="did not sign"):
        require_valid(made.model_copy(update={"signature": "0x" + other.hex()}), NOW)


def test_late_is_too_late() -> None:
    made = _signed()
    require_valid(made, NOW + 9)
    with pytest.raises(Refused, match="ended at 2027-01-15 08:00:10 UTC"):
        require_valid(made, NOW + 10)


def test_a_good_signature_of_somebody_else_than_was_named_is_refused() -> None:
    with pytest.raises(Refused, match=f"signed by {INVITER.address} and not by {wallet(2).address}"):
        require_valid(_signed(), NOW, wallet(2).address)


def test_a_network_of_another_block_0_than_named_is_refused() -> None:
    with pytest.raises(Refused, match="begins with block"):
        require_valid(_signed(genesis_hash="0x" + "00" * 32), NOW)


def test_a_network_whose_engine_does_not_run_here_is_refused() -> None:
    network = parse(raw(engine="qbft", followers=[node(5)]))
    with pytest.raises(Refused, match="cannot be joined from here"):
        require_valid(_signed(network=network), NOW)


def test_only_the_inviter_signs_as_such() -> None:
    with pytest.raises(InvalidInput, match="to sign"):
        sign(_unsigned(), wallet(2))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"node": wallet(9).address}, "the invited node is not in its network"),
        ({"version": 2}, "version"),
        ({"more": 1}, "more"),
        ({"inviter": "0x12"}, "inviter"),
        ({"signature": "0x12"}, "signature"),
        ({"network": {}}, "network"),
    ],
)
def test_what_is_no_invitation_is_said_in_one_line(tmp_path: Path, change: dict[str, Any], said: str) -> None:
    path = tmp_path / "invite.json"
    path.write_text(json.dumps(_signed().model_dump(mode="json") | change))
    with pytest.raises(InvalidInput, match=said) as error:
        load(path)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("text", ["", "[]", "[" * 100_000], ids=["nothing", "list", "deep"])
def test_what_is_no_json_is_said_in_one_line(tmp_path: Path, text: str) -> None:
    path = tmp_path / "invite.json"
    path.write_text(text)
    with pytest.raises(InvalidInput, match=str(path)):
        load(path)


def test_the_connection_file_made_of_it_pins_what_it_pins() -> None:
    import yaml

    made = _signed()
    file = ConnectionFile.model_validate(yaml.safe_load(made.connection(["http://127.0.0.1:8545"])))
    assert (file.genesis_hash, file.directory_code_hash) == (made.genesis_hash, made.directory_code_hash)
    assert (file.directory, file.confirmations, file.slot) == (made.directory, 3, 3600)


def test_without_the_key_that_was_invited_nothing_is_written(tmp_path: Path) -> None:
    keys.create(tmp_path / "nodes" / "v5")
    with pytest.raises(InvalidInput, match="whose key is not in"):
        take_in(tmp_path, _signed())
    assert not (tmp_path / "network.yaml").exists()


def test_the_folder_of_another_network_is_left_as_it_is(tmp_path: Path) -> None:
    key = keys.create(tmp_path / "nodes" / "x")
    own = node(5) | {"name": "x", "address": key.address, "public_key": key.public_key.hex()}
    ours = parse(raw(followers=[own]))
    made = _unsigned(network=ours, node=key.address)
    assert take_in(tmp_path, made).name == "x"
    before = (tmp_path / "network.yaml").read_text()
    theirs = parse(raw(followers=[own], chain_id=7))
    with pytest.raises(InvalidInput, match="describes another network"):
        take_in(tmp_path, _unsigned(network=theirs, node=key.address))
    assert (tmp_path / "network.yaml").read_text() == before


def test_repeated_it_keeps_whom_an_agent_let_in_since(tmp_path: Path) -> None:
    key = keys.create(tmp_path / "nodes" / "x")
    own = node(5) | {"name": "x", "address": key.address, "public_key": key.public_key.hex()}
    made = _unsigned(network=parse(raw(followers=[own])), node=key.address)
    take_in(tmp_path, _unsigned(network=parse(raw(followers=[own, node(6)])), node=key.address))
    take_in(tmp_path, made)
    assert "v6" in (tmp_path / "network.yaml").read_text()


@pytest.mark.parametrize("change", [{"founded": 7}, {"gas_limit": 10_000_000}])
def test_block_0_is_that_of_its_founding(change: dict[str, int]) -> None:
    """tests/chain/nodes/admission/test_join.py compares it with the engine's."""
    assert block_0(description()) == block_0(parse(raw(followers=[node(5)], slot=7)))
    assert block_0(description()) != block_0(parse(raw(**change)))
    assert block_0(description()) != block_0(description(3))
