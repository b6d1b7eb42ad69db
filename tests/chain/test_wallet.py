"""Keystores and where passphrases come from."""

from __future__ import annotations

import pickle
import subprocess
import sys
from pathlib import Path

import pytest
from eth_account import Account

from chain import wallet as wallets
from chain.abi import checksum
from market.errors import Bug, InvalidInput, Permanent, Refused


def test_a_keystore_opens_into_the_wallet_it_was_made_for(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "key.json"
    made = wallets.create(path, "secret", light=True)
    assert path.stat().st_mode & 0o777 == 0o600
    assert list(path.parent.iterdir()) == [path]
    assert wallets.load(path, lambda: "secret").address == made.address == wallets.address_of(path)


def test_other_programs_can_open_it(tmp_path: Path) -> None:
    made = wallets.create(tmp_path / "key.json", "secret", light=True)
    key = Account.decrypt((tmp_path / "key.json").read_text(), "secret")
    assert Account.from_key(key).address == made.address


@pytest.mark.parametrize(
    "fields",
    [
        {"gasPrice": 0},
        {"gasPrice": 1},
        {"type": 2, "maxFeePerGas": 3 * 10**9, "maxPriorityFeePerGas": 0},
    ],
    ids=["free", "legacy", "fee market"],
)
@pytest.mark.parametrize("to", ["0x" + "ab" * 20, None], ids=["call", "deploy"])
def test_what_is_signed_is_what_eth_account_would_sign(fields: dict[str, int], to: str | None) -> None:
    """Many nonces, so that some r and s begin with a zero byte."""
    wallet = wallets.Wallet(b"\x42" * 32)
    account = Account.from_key(b"\x42" * 32)
    for nonce in range(300):
        whole = {"chainId": 31337, "nonce": nonce, "gas": 90_000, "value": 0, "data": bytes(nonce), **fields}
        whole |= {"to": checksum(to)} if to else {}
        signed, theirs = wallet.sign_transaction(whole), account.sign_transaction(whole)
        assert (signed.raw, signed.hash) == (bytes(theirs.raw_transaction), bytes(theirs.hash))


def test_the_strong_form_is_the_default(tmp_path: Path) -> None:
    wallets.create(tmp_path / "key.json", "secret")
    assert '"n": 262144' in (tmp_path / "key.json").read_text()


def test_an_existing_file_is_never_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "key.json"
    path.write_text("precious")
    with pytest.raises(InvalidInput, match="exists already"):
        wallets.create(path, "secret", light=True)
    assert path.read_text() == "precious"
    assert list(tmp_path.iterdir()) == [path]


def test_a_wrong_passphrase_is_refused_without_showing_it(tmp_path: Path) -> None:
    wallets.create(tmp_path / "key.json", "secret", light=True)
    with pytest.raises(Refused, match="wrong passphrase") as caught:
        wallets.load(tmp_path / "key.json", lambda: "guess-1234")
    assert "guess-1234" not in str(caught.value)


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"version": 3}', '{"version": 1, "crypto": {}}'])
def test_what_is_no_keystore_is_invalid_input(tmp_path: Path, content: str) -> None:
    (tmp_path / "key.json").write_text(content)
    with pytest.raises(InvalidInput, match=r"key\.json"):
        wallets.load(tmp_path / "key.json", lambda: "secret")


@pytest.mark.parametrize("key", [b"", b"\0" * 32, b"\xff" * 32, b"x" * 31])
def test_what_is_no_private_key_is_invalid_input(tmp_path: Path, key: bytes) -> None:
    with pytest.raises(InvalidInput, match="not a private key"):
        wallets.import_key(tmp_path / "key.json", key, "secret", light=True)
    assert not list(tmp_path.iterdir())


def test_an_empty_passphrase_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="empty"):
        wallets.create(tmp_path / "key.json", "", light=True)


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620])
def test_a_passphrase_file_open_to_others_is_refused(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "passphrase"
    path.write_text("secret\n")
    path.chmod(mode)
    with pytest.raises(Permanent, match="chmod 600"):
        wallets.from_file(path)()
    path.chmod(0o600)
    assert wallets.from_file(path)() == "secret"


def test_the_passphrase_comes_from_the_file_before_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "passphrase"
    path.touch(0o600)
    path.write_text("from file")
    monkeypatch.setenv("OCX_PASSPHRASE", "from environment")
    assert wallets.passphrase_source(path)() == "from file"
    assert wallets.passphrase_source()() == "from environment"


def test_a_wallet_shows_only_its_address_and_is_not_copied() -> None:
    wallet = wallets.Wallet(b"x" * 32)
    assert repr(wallet) == f"Wallet({wallet.address})"
    with pytest.raises(Bug):
        pickle.dumps(wallet)


def test_who_can_sign_still_survives_json_of_a_hundred_thousand_brackets() -> None:
    """In a process of its own: there the libraries behind the wallet are not imported yet."""
    program = (
        "import json\n"
        "from chain.wallet import Wallet\n"
        "Wallet(b'1' * 32)\n"
        "try: json.loads('[' * 100_000)\n"
        "except RecursionError: print('survived')"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "survived\n")
