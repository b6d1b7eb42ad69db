"""What the generator makes of ABIs: names, types, messages, and refusals where a log would be ambiguous."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import eth_abi
import pytest
from eth_utils import keccak

from chain import bindings
from chain.bindings_text import EnumType, Writer, snake
from market.errors import InvalidInput

ENUMS = {"Fault": EnumType("Fault", ("Nobody", "BuyerLate"), "Whose doing it was.")}


def argument(name: str, kind: str, *, indexed: bool = False, internal: str = "") -> dict[str, Any]:
    return {"name": name, "type": kind, "indexed": indexed, "internalType": internal or kind}


def event(name: str, *inputs: dict[str, Any]) -> dict[str, Any]:
    return {"type": "event", "name": name, "inputs": list(inputs), "anonymous": False}


def error(name: str, *inputs: dict[str, Any]) -> dict[str, Any]:
    return {"type": "error", "name": name, "inputs": list(inputs)}


@pytest.fixture
def artifacts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(bindings, "_ARTIFACTS", tmp_path)
    return tmp_path


def contract(folder: Path, name: str, *abi: dict[str, Any], notices: dict[str, str] | None = None) -> None:
    said = {"errors": notices or {}, "events": {}}
    artifact = {"contractName": name, "abi": abi, "notices": said, "hints": {}}
    (folder / f"{name}.json").write_text(json.dumps(artifact))


@pytest.fixture
def module(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Any]:
    """Makes the generated module of a kind and imports it."""

    def make(kind: str) -> Any:
        writer = Writer(ENUMS)
        named = bindings._class_names(bindings._entries(kind))
        text = writer.events(named) if kind == "event" else writer.errors(named)
        imported = ModuleType(f"generated_{kind}s")
        monkeypatch.setitem(sys.modules, imported.__name__, imported)
        monkeypatch.setitem(sys.modules, "chain.generated.enums", enums := ModuleType("enums"))
        exec(compile(writer.enums(), "enums", "exec", dont_inherit=True), enums.__dict__)  # noqa: S102
        exec(compile(text, "generated", "exec", dont_inherit=True), imported.__dict__)  # noqa: S102
        return imported

    return make


@pytest.mark.parametrize(
    ("solidity", "python"),
    [
        ("maxFills", "max_fills"),
        ("from", "from_"),
        ("_by", "by"),
        ("message", "message_"),
        ("URLHash", "url_hash"),
    ],
)
def test_names_become_snake_case_and_never_collide_with_python(solidity: str, python: str) -> None:
    assert snake(solidity) == python


def test_generated_event_decodes_its_own_log(artifacts: Path, module: Any) -> None:
    inputs = (
        argument("leaseId", "uint32", indexed=True, internal="LeaseId"),
        argument("fault", "uint8", internal="enum Fault"),
        argument("window", "tuple", internal="struct Window")
        | {"components": [argument("start", "uint32"), argument("end", "uint32")]},
    )
    contract(artifacts, "Leases", event("LeaseEnded", *inputs))
    space = module("event")
    topic = keccak(text="LeaseEnded(uint32,uint8,(uint32,uint32))")
    data = eth_abi.encode(["uint8", "(uint32,uint32)"], [1, (5, 9)])
    decoded = space.decode([topic, (7).to_bytes(32, "big")], data)
    assert decoded == space.LeaseEnded(lease_id=7, fault=space.Fault.BUYER_LATE, window=(5, 9))


def test_a_list_of_structs_comes_as_tuples(artifacts: Path, module: Any) -> None:
    leaves = argument("leaves", "tuple[]", internal="struct Leaf[]")
    leaves |= {"components": [argument("lease", "uint32"), argument("root", "bytes32")]}
    contract(artifacts, "Witnesses", event("LeavesPublished", leaves))
    space = module("event")
    rows = [(5, b"a" * 32), (6, b"b" * 32)]
    data = eth_abi.encode(["(uint32,bytes32)[]"], [rows])
    decoded = space.decode([keccak(text="LeavesPublished((uint32,bytes32)[])")], data)
    assert decoded == space.LeavesPublished(leaves=tuple(rows))


def test_generated_error_speaks_its_natspec_or_else_its_name(artifacts: Path, module: Any) -> None:
    known, plain = error("Members_OverLimit", argument("limit", "uint256")), error("Members_NotMember")
    contract(
        artifacts, "Members", known, plain, notices={"Members_OverLimit(uint256)": "The limit is used up."}
    )
    space = module("error")
    data = keccak(text="Members_OverLimit(uint256)")[:4] + (5).to_bytes(32, "big")
    assert str(space.decode_error(data)) == "The limit is used up (limit 5)"
    assert str(space.decode_error(keccak(text="Members_NotMember()")[:4])) == "Members: not member"


def test_event_shared_by_contracts_is_one_class_that_names_them_all(artifacts: Path, module: Any) -> None:
    for name in ("Book", "Leases"):
        contract(artifacts, name, event("Poked", argument("by", "address")))
    assert module("event").Poked.CONTRACTS == ("Book", "Leases")


def test_our_name_stays_plain_beside_a_foreign_contracts(artifacts: Path, module: Any) -> None:
    contract(artifacts, "Leases", event("Cancelled", argument("lease", "uint32")))
    contract(artifacts, "TimelockController", event("Cancelled", argument("id", "bytes32")))
    space = module("event")
    assert space.Cancelled.CONTRACT == "Leases"
    assert space.TimelockControllerCancelled.CONTRACT == "TimelockController"


def test_one_signature_with_two_layouts_is_refused(artifacts: Path) -> None:
    contract(artifacts, "Book", event("Poked", argument("by", "address")))
    contract(artifacts, "Leases", event("Poked", argument("by", "address", indexed=True)))
    with pytest.raises(InvalidInput, match="Make them equal in Book and Leases"):
        bindings._entries("event")
