"""Sealed boxes: only the holder of the key reads them."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import pytest
from eth_utils.crypto import keccak
from hypothesis import given, settings
from hypothesis import strategies as st

from chain.sealed import BoxKey, seal, sealed_hash
from market.errors import Bug, InvalidInput, Refused

KEY = BoxKey.generate()


@settings(max_examples=30)
@given(st.binary(max_size=4096))
def test_the_holder_of_the_key_reads_what_was_sealed(data: bytes) -> None:
    assert KEY.open(seal(KEY.public, data)) == data


def test_nobody_else_reads_it_and_changes_are_noticed() -> None:
    sealed = seal(KEY.public, b"host and port")
    for key, text in ((BoxKey.generate(), sealed), (KEY, sealed[:-1] + bytes([sealed[-1] ^ 1])), (KEY, b"")):
        with pytest.raises(Refused, match="cannot be opened"):
            key.open(text)


def test_a_saved_key_opens_with_its_passphrase_alone(tmp_path: Path) -> None:
    path = tmp_path / "box.json"
    KEY.save(path, "secret", light=True)
    assert path.stat().st_mode & 0o777 == 0o600
    assert BoxKey.load(path, lambda: "secret").open(seal(KEY.public, b"x")) == b"x"
    with pytest.raises(Refused, match="wrong passphrase"):
        BoxKey.load(path, lambda: "guess")
    with pytest.raises(InvalidInput, match="exists already"):
        KEY.save(path, "secret", light=True)


def test_a_key_file_cannot_ask_for_all_the_memory() -> None:
    content = json.loads(KEY.export("secret", light=True))
    content["kdf"]["memory"] = 1 << 40
    with pytest.raises(InvalidInput, match="memory out of range"):
        BoxKey.from_export(json.dumps(content), lambda: "secret")


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"kind": "ocx-box-key", "version": 2, "kdf": {"name": "x"}}']
)
def test_what_is_no_key_file_is_invalid_input(text: str) -> None:
    with pytest.raises(InvalidInput, match="not an encryption key file"):
        BoxKey.from_export(text, lambda: "secret")


@pytest.mark.parametrize("public", [b"", b"\0" * 32, b"x" * 31])
def test_nothing_is_sealed_to_what_is_no_key(public: bytes) -> None:
    with pytest.raises(InvalidInput, match="encryption key"):
        seal(public, b"x")


def test_the_hash_of_sealed_data_is_their_keccak() -> None:
    assert sealed_hash(b"sealed") == keccak(b"sealed")


def test_a_key_shows_only_its_public_half_and_is_not_copied() -> None:
    assert repr(KEY) == f"BoxKey({KEY.public.hex()})"
    with pytest.raises(Bug):
        pickle.dumps(KEY)
