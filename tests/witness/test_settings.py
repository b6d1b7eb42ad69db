"""The configuration of a witness."""

from __future__ import annotations

from pathlib import Path

import pytest

from market.errors import InvalidInput
from witness.settings import load

LEAST = "connection: net.yaml\nwallet: {keystore: key.json}\nstate_dir: state\n"


def write(folder: Path, text: str) -> Path:
    path = folder / "witness.yaml"
    path.write_text(text, "utf-8")
    return path


def test_the_least_is_enough_and_paths_count_from_the_file(tmp_path: Path) -> None:
    settings = load(write(tmp_path, LEAST), {})
    assert settings.connection == tmp_path / "net.yaml"
    assert settings.wallet.keystore == tmp_path / "key.json"
    assert settings.database == tmp_path / "state" / "witness.db"
    assert settings.measure.timeout == 5.0


def test_the_passphrase_may_be_in_a_file_named_from_the_folder(tmp_path: Path) -> None:
    text = LEAST.replace("key.json}", "key.json, passphrase: {file: secret}}")
    source = load(write(tmp_path, text), {}).wallet.passphrase_source
    assert source.file == str(tmp_path / "secret")


def test_the_environment_overrides_the_file(tmp_path: Path) -> None:
    settings = load(write(tmp_path, LEAST), {"OCX_WITNESS_MEASURE__TIMEOUT": "2", "OCX_OTHER": "x"})
    assert settings.measure.timeout == 2.0


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("- a\n", "mapping"),
        (LEAST + "unknown: 1\n", "unknown"),
        (LEAST + "measure: {timeout: 0}\n", "measure.timeout"),
        ("connection: x\n", "wallet"),
        ("a: [", "cannot be read"),
    ],
)
def test_what_is_wrong_is_told_in_one_line(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(InvalidInput, match=said) as caught:
        load(write(tmp_path, text), {})
    assert "\n" not in str(caught.value)


def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="there is no witness configuration"):
        load(tmp_path / "none.yaml", {})
