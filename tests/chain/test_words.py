"""The quick decoder says what the general one says, or nothing."""

from __future__ import annotations

import secrets

import pytest
from eth_abi.abi import decode, encode

from chain.abi import Abi
from chain.words import compile_decoder

RECORD = [
    {
        "type": "tuple",
        "components": [
            {"type": "uint40"},
            {"type": "address"},
            {"type": "bool"},
            {"type": "tuple", "components": [{"type": "bytes4"}, {"type": "uint256"}]},
        ],
    },
    {"type": "bytes32"},
]
TYPES = ["(uint40,address,bool,(bytes4,uint256))", "bytes32"]


def record() -> bytes:
    inner = (secrets.token_bytes(4), secrets.randbits(256))
    values = (secrets.randbits(40), secrets.token_bytes(20), bool(secrets.randbits(1)), inner)
    return encode(TYPES, [values, secrets.token_bytes(32)])


def test_it_decodes_what_the_general_decoder_decodes() -> None:
    quick = compile_decoder(RECORD)
    assert quick is not None
    for _ in range(50):
        data = record()
        slow = decode(TYPES, data)
        (number, address, *rest), last = quick(data) or ()
        assert ((number, address.lower(), *rest), last) == slow


@pytest.mark.parametrize("place", [0, 32 + 11, 64, 96 + 31])
def test_words_that_do_not_fit_their_type_are_left_to_the_general_decoder(place: int) -> None:
    quick = compile_decoder(RECORD)
    data = bytearray(record())
    data[place] = 2
    assert quick is not None
    assert quick(bytes(data)) is None
    with pytest.raises(Exception, match=r"[Ii]nvalid|[Pp]adding|exceed"):
        decode(TYPES, bytes(data), strict=True)


def test_data_that_end_early_are_left_to_the_general_decoder() -> None:
    quick = compile_decoder(RECORD)
    assert quick is not None
    assert quick(record()[:-1]) is None


@pytest.mark.parametrize("kind", ["bytes", "string", "uint256[]", "uint256[2]", "int64"])
def test_there_is_none_for_what_may_be_of_variable_length(kind: str) -> None:
    assert compile_decoder([{"type": "uint256"}, {"type": kind}]) is None


def test_a_lease_is_decoded_quickly() -> None:
    assert Abi.load("Leases").function("lease").decoder is not None
