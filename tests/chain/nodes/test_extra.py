"""extraData against vectors that others published."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chain.nodes import extra
from market.errors import InvalidInput

BESU_PAGE = (
    (
        "64a702e6263b7297a96638cac6ae65e6541f4169",
        "3923390ad55e90c237593b3b0e401f3b08a03185",
        "aefdb9a738c9f433e5b6b212a6d62f6370c2f692",
        "c7eeb9a4e00ce683cf93039b212648e01c6c6b78",
    ),
    "f87aa00000000000000000000000000000000000000000000000000000000000000000f8549464a702e6263b7297a96638cac6ae65e6"
    "541f4169943923390ad55e90c237593b3b0e401f3b08a0318594aefdb9a738c9f433e5b6b212a6d62f6370c2f69294c7eeb9a4e00ce6"
    "83cf93039b212648e01c6c6b78c080c0",
)
"""besu-docs, "QBFT" (docs/HowTo/Configure/Consensus-Protocols/QBFT.md), the sample genesis of four nodes."""

BESU_TEST = (
    ("be068f726a13c8d46c44be6ce9d275600e1735a4", "5ff6f4b66a46a2b2310a6f3a93aaddc0d9a1c193"),
    "f84fa00000000000000000000000000000000000000000000000000000000000000000ea94be068f726a13c8d46c44be6ce9d275600e"
    "1735a4945ff6f4b66a46a2b2310a6f3a93aaddc0d9a1c193c080c0",
)
"""hyperledger/besu, RLPSubCommandTest.canEncodeToQbftExtraData."""


def _addresses(*texts: str) -> list[bytes]:
    return [bytes.fromhex(text) for text in texts]


def test_qbft_is_what_besus_documentation_shows() -> None:
    addresses, expected = BESU_PAGE
    assert extra.qbft(_addresses(*addresses)).hex() == expected


def test_qbft_is_what_besus_own_test_expects() -> None:
    addresses, expected = BESU_TEST
    assert extra.qbft(_addresses(*addresses)).hex() == expected


def test_clique_is_vanity_addresses_and_room_for_a_seal() -> None:
    low, high = bytes(19) + b"\1", b"\xff" * 20
    assert extra.clique([low, high]) == bytes(32) + low + high + bytes(65)


@pytest.mark.parametrize("encode", [extra.clique, extra.qbft])
def test_nobody_twice_and_somebody_at_all(encode: Callable[[list[bytes]], bytes]) -> None:
    for wrong in ([], [bytes(19)], [bytes(20), bytes(20)]):
        with pytest.raises(InvalidInput):
            encode(wrong)


@pytest.mark.parametrize(
    ("item", "expected"),
    [
        (b"dog", "83646f67"),
        ([b"cat", b"dog"], "c88363617483646f67"),
        (b"", "80"),
        ([], "c0"),
        (b"\x0f", "0f"),
        (b"\x04\x00", "820400"),
        ([[], [[]], [[], [[]]]], "c7c0c1c0c3c0c1c0"),
        (
            b"Lorem ipsum dolor sit amet, consectetur adipisicing elit",
            "b838" + b"Lorem ipsum dolor sit amet, consectetur adipisicing elit".hex(),
        ),
    ],
)
def test_rlp_is_what_its_specification_shows(item: extra.Rlp, expected: str) -> None:
    """The examples of ethereum.org's page on RLP."""
    assert extra.rlp(item).hex() == expected


@given(st.recursive(st.binary(max_size=300), lambda inner: st.lists(inner, max_size=4)))
def test_rlp_agrees_with_the_library_that_eth_account_brings(item: extra.Rlp) -> None:
    import rlp

    assert extra.rlp(item) == rlp.encode(item)
