"""Challenges and tokens: who asks, whom, once, and not too late."""

from __future__ import annotations

from dataclasses import replace

import pytest

from chain.challenge import Challenge, Gatekeeper, Tokens, make, sign, verify
from chain.wallet import Wallet
from market.errors import InvalidInput, Refused

NOW = 1_800_000_000
HERE = "https://gateway.example:8443"
CHAIN = 31337
DIRECTORY = "0x" + "ab" * 20
WALLET = Wallet(b"w" * 32)
THIEF = Wallet(b"t" * 32)


def signed(challenge: Challenge, wallet: Wallet = WALLET) -> bytes:
    return sign(wallet, challenge, CHAIN, DIRECTORY, HERE)


def test_the_signer_is_known_until_the_second_it_expires() -> None:
    challenge = make(WALLET.address, HERE, NOW, ttl=60)
    signature = signed(challenge)
    assert verify(challenge, signature, CHAIN, DIRECTORY, HERE, NOW + 59) == WALLET.address
    with pytest.raises(Refused, match="expired"):
        verify(challenge, signature, CHAIN, DIRECTORY, HERE, NOW + 60)


@pytest.mark.parametrize(
    ("chain", "directory", "change"),
    [
        (CHAIN + 1, DIRECTORY, {}),
        (CHAIN, "0x" + "cd" * 20, {}),
        (CHAIN, DIRECTORY, {"account": THIEF.address}),
        (CHAIN, DIRECTORY, {"nonce": b"\1" * 32}),
        (CHAIN, DIRECTORY, {"expires": NOW + 999}),
    ],
)
def test_a_signature_holds_for_exactly_what_was_signed(
    chain: int, directory: str, change: dict[str, object]
) -> None:
    challenge = make(WALLET.address, HERE, NOW)
    signature = signed(challenge)
    changed = replace(challenge, **change)  # type: ignore[arg-type]
    with pytest.raises(Refused, match="not signed by"):
        verify(changed, signature, chain, directory, HERE, NOW)


@pytest.mark.parametrize("signature", [b"", b"\0" * 65, b"\xff" * 65, b"x" * 64])
def test_a_malformed_signature_is_refused(signature: bytes) -> None:
    with pytest.raises(Refused, match="not signed by"):
        verify(make(WALLET.address, HERE, NOW), signature, CHAIN, DIRECTORY, HERE, NOW)


def test_a_challenge_for_another_gateway_is_neither_signed_nor_accepted() -> None:
    elsewhere = make(WALLET.address, "https://thief.example", NOW)
    with pytest.raises(Refused, match="Do not trust"):
        signed(elsewhere)
    with pytest.raises(Refused, match="not for this gateway"):
        verify(elsewhere, b"", CHAIN, DIRECTORY, HERE, NOW)


def test_a_challenge_survives_the_wire_and_nonsense_does_not() -> None:
    challenge = make(WALLET.address, HERE, NOW)
    assert Challenge.from_json(challenge.to_json()) == challenge
    endless = {"expires": float("inf")}  # what a JSON reader makes of 1e999
    for change in ({"nonce": "0x12"}, {"account": "me"}, {"expires": "soon"}, {"expires": -1}, endless):
        with pytest.raises(InvalidInput):
            Challenge.from_json(challenge.to_json() | change)


def test_a_challenge_buys_one_token() -> None:
    keeper = Gatekeeper(CHAIN, DIRECTORY, HERE)
    challenge = keeper.challenge(WALLET.address, NOW)
    signature = signed(challenge)
    token = keeper.redeem(challenge, signature, NOW + 1, scope="lease/7")
    assert keeper.tokens.verify(token, NOW + 2, "lease/7") == WALLET.address
    with pytest.raises(Refused, match="has been used"):
        keeper.redeem(challenge, signature, NOW + 2)


def test_a_challenge_the_gateway_did_not_give_out_is_refused() -> None:
    keeper = Gatekeeper(CHAIN, DIRECTORY, HERE)
    own = make(WALLET.address, HERE, NOW)
    longer = replace(keeper.challenge(WALLET.address, NOW), expires=NOW + 10_000)
    for challenge in (own, longer):
        with pytest.raises(Refused, match="not one of this gateway"):
            keeper.redeem(challenge, signed(challenge), NOW)


def test_a_token_is_good_for_its_time_scope_and_key() -> None:
    tokens = Tokens(ttl=300)
    token = tokens.mint(WALLET.address, NOW, "a")
    assert tokens.verify(token, NOW + 299, "a") == WALLET.address
    body, _, mac = token.partition(".")
    for bad, when, scope in (
        (token, NOW + 300, "a"),
        (token, NOW, "b"),
        (body + "x." + mac, NOW, "a"),
        (body, NOW, "a"),
        ("", NOW, "a"),
        ("\udc80.\udc80", NOW, "a"),
        (Tokens().mint(WALLET.address, NOW, "a"), NOW, "a"),
    ):
        with pytest.raises(Refused, match="token"):
            tokens.verify(bad, when, scope)
