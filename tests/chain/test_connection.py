"""The connection file: what is wrong with it is said in one line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from chain.connection import load, redact, render
from market.errors import InvalidInput

FIELDS: dict[str, Any] = {
    "network": "demo: 'quoted' \"twice\"",
    "chain_id": 31337,
    "genesis_hash": "0x" + "1a" * 32,
    "directory": "0x" + "ab" * 20,
    "directory_code_hash": "0x" + "2b" * 32,
    "rpc_urls": ["http://127.0.0.1:8545", "https://node.example/rpc?key=a&b=<c>"],
    "gas_price": None,
    "block_time": 0.5,
    "slot": 10,
    "confirmations": 2,
}


def write(folder: Path, text: str) -> Path:
    path = folder / "connection.yaml"
    path.write_text(text)
    return path


def test_what_is_rendered_is_what_is_loaded(tmp_path: Path) -> None:
    file = load(write(tmp_path, render(**FIELDS)))
    for name, value in FIELDS.items():
        if name not in ("directory", "rpc_urls"):
            assert getattr(file, name) == value
    assert file.rpc_urls == tuple(FIELDS["rpc_urls"])
    assert file.directory.lower() == FIELDS["directory"]
    assert file.genesis == b"\x1a" * 32


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"chain_id": 0}, "chain_id: "),
        ({"chain_id": "31337"}, "chain_id: "),
        ({"genesis_hash": "0x12"}, "genesis_hash: must be 0x and 64"),
        ({"directory": "0x12"}, "directory: '0x12' is not an address"),
        ({"directory": "0xAb" + "ab" * 19}, "directory: "),
        ({"rpc_urls": []}, "rpc_urls: "),
        ({"rpc_urls": ["ws://h"]}, "rpc_urls: ws://h must be a URL that begins with http"),
        ({"rpc_urls": ["http://h:99999"]}, "rpc_urls"),
        ({"rpc_urls": ["http://h", "http://h"]}, "rpc_urls: names the same endpoint twice"),
        ({"ws_url": "http://h"}, "ws_url: http://h must be a URL that begins with ws"),
        ({"gas_price": -1}, "gas_price: "),
        ({"slot": 0}, "slot: "),
        ({"slots": 3}, "slots: "),
    ],
)
def test_a_wrong_field_is_named_in_one_line(tmp_path: Path, change: dict[str, Any], told: str) -> None:
    path = write(tmp_path, yaml.safe_dump(FIELDS | change))
    with pytest.raises(InvalidInput) as caught:
        load(path)
    assert told in str(caught.value)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["", "- a\n- b\n", "a: [", "\x00"])
def test_what_is_no_connection_file_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(InvalidInput, match=r"connection file .*connection\.yaml"):
        load(write(tmp_path, text))


def test_a_missing_file_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="Ask an operator"):
        load(tmp_path / "none.yaml")


def test_a_missing_field_is_named(tmp_path: Path) -> None:
    fields = {name: value for name, value in FIELDS.items() if name != "genesis_hash"}
    with pytest.raises(InvalidInput, match="genesis_hash: Field required"):
        load(write(tmp_path, yaml.safe_dump(fields)))


def test_nothing_secret_of_a_url_is_shown() -> None:
    assert redact("https://user:pass@node.example:8545/v3/key?token=1") == "https://node.example:8545"
