"""Encoding and decoding by the ABI alone; no chain."""

from __future__ import annotations

import pytest
from eth_abi.abi import encode
from eth_utils.crypto import keccak

from chain.abi import Abi, Reverted, checksum, decode_revert
from market.errors import Bug, InvalidInput, Refused
from tests.chain.network import TILL, label

SOMEONE = checksum("0x" + "ab" * 20)
SLIP = (7, SOMEONE, label("x"))


def test_a_call_starts_with_its_selector_and_holds_its_arguments() -> None:
    data = TILL.encode_call("add", [5, label("x")])
    assert data == keccak(text="add(uint256,bytes32)")[:4] + encode(["uint256", "bytes32"], [5, label("x")])


def test_a_function_is_found_by_signature_too() -> None:
    assert TILL.function("add(uint256,bytes32)") is TILL.function("add")


def test_structs_are_given_as_tuples_or_by_name() -> None:
    by_name = {"label": label("x"), "amount": 7, "by": SOMEONE}
    assert TILL.encode_call("addMany", [[by_name]]) == TILL.encode_call("addMany", [[SLIP]])


def test_a_struct_comes_back_as_a_tuple_or_by_name_with_checksummed_addresses() -> None:
    data = encode(["(uint64,address,bytes32)"], [SLIP])
    assert TILL.decode_result("slip", data) == SLIP
    assert TILL.decode_result_named("slip", data) == {"amount": 7, "by": SOMEONE, "label": label("x")}


def test_several_results_come_back_as_a_tuple_or_by_name() -> None:
    kinds = ["(uint64,address,bytes32)", "(uint64,address,bytes32)[]", "uint256"]
    data = encode(kinds, [SLIP, [SLIP, SLIP], 2])
    assert TILL.decode_result("lastTwo", data) == (SLIP, (SLIP, SLIP), 2)
    named = TILL.decode_result_named("lastTwo", data)
    assert named["both"][1]["by"] == SOMEONE
    assert named["count"] == 2


@pytest.mark.parametrize(
    "args", [[-1, label("x")], [1 << 256, label("x")], [1, b"x" * 33], ["1", label("x")]]
)
def test_an_argument_that_does_not_fit_is_invalid_input(args: list[object]) -> None:
    with pytest.raises(InvalidInput, match=r"Till\.add"):
        TILL.encode_call("add", args)


def test_a_wrong_number_of_arguments_or_an_unknown_function_is_a_bug() -> None:
    with pytest.raises(Bug, match="takes 2 arguments"):
        TILL.encode_call("add", [1])
    with pytest.raises(Bug, match="no function 'steal'"):
        TILL.encode_call("steal")


def test_an_overloaded_function_must_be_named_by_its_signature() -> None:
    entry = {"type": "function", "name": "f", "inputs": [], "outputs": []}
    other = {**entry, "inputs": [{"name": "a", "type": "uint256"}]}
    abi = Abi("Over", [entry, other])
    assert abi.encode_call("f(uint256)", [1]) != abi.encode_call("f()")
    with pytest.raises(Bug, match="several"):
        abi.encode_call("f")


def test_an_empty_answer_says_that_there_is_no_contract() -> None:
    with pytest.raises(Refused, match="no such contract"):
        TILL.decode_result("total", b"")


def test_an_event_is_decoded_with_its_indexed_arguments() -> None:
    topics = [TILL.event_topic("Added"), encode(["address"], [SOMEONE]), label("x")]
    event = TILL.decode_event(topics, encode(["uint256", "uint256"], [5, 9]))
    assert event is not None
    assert (event.name, event.args) == (
        "Added",
        {"by": SOMEONE, "label": label("x"), "amount": 5, "total": 9},
    )
    assert TILL.decode_event([b"\1" * 32], b"") is None


def test_revert_data_become_errors_that_say_what_was_wrong() -> None:
    reason = decode_revert(bytes.fromhex("08c379a0") + encode(["string"], ["no way"]))
    assert "no way" in str(reason)
    panic = decode_revert(bytes.fromhex("4e487b71") + encode(["uint256"], [0x12]))
    assert "division by zero" in str(panic)
    unknown = decode_revert(bytes.fromhex("deadbeef"))
    assert "0xdeadbeef" in str(unknown)
    empty = decode_revert(b"", "execution reverted")
    assert all(isinstance(error, Reverted) for error in (reason, panic, unknown, empty))


def test_what_is_no_address_is_refused() -> None:
    with pytest.raises(InvalidInput, match="not an address"):
        checksum("0x12")
