"""Logs and revert data become typed values, or one clear error."""

from __future__ import annotations

from dataclasses import FrozenInstanceError
from enum import IntEnum
from typing import ClassVar

import eth_abi
import pytest
from eth_utils import keccak

from chain.codec import ContractError, Event, Parameter, decode_error, decode_event
from market.errors import Permanent, Refused

ALICE = "0x5B38Da6a701c568545dCfcB03FcB875f56beddC4"
TOPIC = keccak(text="Opened(address,string,uint8,address[])")
SELECTOR = keccak(text="Short(bytes32,uint256)")[:4]


class Colour(IntEnum):
    RED = 0
    GREEN = 1


class Opened(Event):
    NAME: ClassVar[str] = "Opened"
    CONTRACT: ClassVar[str] = "Shop"
    CONTRACTS: ClassVar[tuple[str, ...]] = ("Shop",)
    TOPIC: ClassVar[bytes] = TOPIC
    PARAMETERS: ClassVar[tuple[Parameter, ...]] = (
        Parameter("owner", "address", indexed=True),
        Parameter("title", "string", indexed=True),
        Parameter("colour", "uint8", enum=Colour),
        Parameter("guests", "address[]"),
    )
    owner: str
    title: bytes
    colour: Colour
    guests: tuple[str, ...]


class Short(ContractError):
    NAME: ClassVar[str] = "Short"
    SELECTOR: ClassVar[bytes] = SELECTOR
    MESSAGE: ClassVar[str] = "there is not enough."
    HINT: ClassVar[str | None] = "Bring more"
    PARAMETERS: ClassVar[tuple[Parameter, ...]] = (Parameter("kind", "bytes32"), Parameter("free", "uint256"))


def topics() -> list[bytes]:
    return [TOPIC, eth_abi.encode(["address"], [ALICE]), keccak(text="hello")]


def body(colour: int = 1) -> bytes:
    return eth_abi.encode(["uint8", "address[]"], [colour, [ALICE, ALICE.lower()]])


def test_event_has_checksummed_addresses_enum_members_and_the_hash_of_an_indexed_string() -> None:
    event = decode_event({TOPIC: Opened}, topics(), body())
    assert event == Opened(ALICE, keccak(text="hello"), Colour.GREEN, (ALICE, ALICE))
    assert isinstance(event, Opened)
    assert isinstance(event.colour, Colour)


def test_events_are_values_that_nobody_changes() -> None:
    event = Opened(ALICE, b"hash", colour=Colour.RED, guests=())
    same = Opened(owner=ALICE, title=b"hash", colour=Colour.RED, guests=())
    assert event == same and hash(event) == hash(same) and event != Opened(ALICE, b"other", Colour.RED, ())
    assert repr(event).startswith(f"Opened(owner={ALICE!r}, title=b'hash', ")
    with pytest.raises(FrozenInstanceError):
        event.owner = "me"  # type: ignore[misc]
    with pytest.raises(FrozenInstanceError):
        del event.owner


@pytest.mark.parametrize(
    ("values", "named"),
    [((ALICE,), {}), ((ALICE, b"", 0, (), 1), {}), ((ALICE, b"", 0), {"owner": ALICE}), ((), {"size": 1})],
    ids=["too few", "too many", "twice", "unknown"],
)
def test_an_event_takes_exactly_its_fields(values: tuple[object, ...], named: dict[str, object]) -> None:
    with pytest.raises(TypeError, match="Opened takes owner, title, colour, guests"):
        Opened(*values, **named)  # type: ignore[arg-type]


def test_unknown_and_anonymous_logs_are_none_of_ours() -> None:
    assert decode_event({TOPIC: Opened}, [b"\1" * 32], b"") is None
    assert decode_event({TOPIC: Opened}, [], b"") is None


@pytest.mark.parametrize(
    "data", [b"", body()[:-1], body(colour=7)], ids=["empty", "cut short", "no such member"]
)
def test_log_that_does_not_fit_its_class_is_a_permanent_error_of_one_line(data: bytes) -> None:
    with pytest.raises(Permanent, match="the data of Opened cannot be decoded") as caught:
        decode_event({TOPIC: Opened}, topics(), data)
    assert "\n" not in str(caught.value)


def test_event_with_a_topic_missing_is_a_permanent_error() -> None:
    with pytest.raises(Permanent):
        decode_event({TOPIC: Opened}, topics()[:2], body())


def test_error_says_message_evidence_and_hint_on_one_line() -> None:
    data = SELECTOR + eth_abi.encode(["bytes32", "uint256"], [b"disk".ljust(32, b"\0"), 3])
    error = decode_error({SELECTOR: Short}, data)
    assert isinstance(error, Refused)
    assert str(error) == "there is not enough (kind 'disk', free 3). Bring more"
    assert error.evidence == {"kind": b"disk".ljust(32, b"\0"), "free": 3}


def test_bytes_that_are_no_text_are_shown_as_hex() -> None:
    assert "kind 0x" + "ff" * 32 in str(Short(kind=b"\xff" * 32, free=0))


def test_unknown_selector_is_none_of_ours() -> None:
    assert decode_error({SELECTOR: Short}, b"\0\0\0\0") is None
    assert decode_error({SELECTOR: Short}, b"") is None
