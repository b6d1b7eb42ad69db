"""Founding a folder, and what is refused in one that exists."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from chain.nodes import keys, layout, render
from chain.nodes.description import NetworkDescription, load, parse, save
from market.errors import InvalidInput
from tests.chain.nodes.founding import node


def _found(folder: Path, validators: int = 2, *, spaces: bool = False) -> NetworkDescription:
    layout.found(folder, validators, spaces=spaces, now=1_700_000_000)
    return layout.write_files(folder)


def _change(folder: Path, **fields: object) -> None:
    path = layout.description_path(folder)
    save(path, render.network_yaml(parse(load(path).model_dump() | fields)))


def test_every_secret_of_a_node_is_for_its_owner_alone(tmp_path: Path) -> None:
    _found(tmp_path)
    for name in ("nodekey", "passphrase", "keystore/node.json"):
        assert stat.S_IMODE((tmp_path / "nodes/v1" / name).stat().st_mode) == 0o600


def test_keys_stay_when_founding_is_repeated(tmp_path: Path) -> None:
    before = _found(tmp_path)
    assert [node.address for node in _found(tmp_path).nodes] == [node.address for node in before.nodes]


def test_addresses_of_their_own_or_ports_of_their_own(tmp_path: Path) -> None:
    apart, together = _found(tmp_path / "a", spaces=True), _found(tmp_path / "b")
    assert [node.host for node in apart.nodes] == ["10.99.0.11", "10.99.0.12"]
    assert layout.has_spaces(apart.nodes) and not apart.is_local
    assert together.is_local and not layout.has_spaces(together.nodes)
    assert len({port for node in together.nodes for port in (node.p2p_port, node.rpc_port)}) == 4


def test_a_chain_that_exists_gets_no_other_block_0(tmp_path: Path) -> None:
    _found(tmp_path)
    (tmp_path / "nodes/v1/data").mkdir()
    _change(tmp_path, slot=60)
    layout.write_files(tmp_path)
    _change(tmp_path, founded=1_700_000_001)
    with pytest.raises(InvalidInput, match="another block 0"):
        layout.write_files(tmp_path)


def test_a_node_with_another_key_than_described_is_not_started(tmp_path: Path) -> None:
    _found(tmp_path)
    (tmp_path / "nodes/v1/nodekey").write_text((tmp_path / "nodes/v2/nodekey").read_text())
    with pytest.raises(InvalidInput, match="is not that of node v1"):
        layout.write_files(tmp_path)


def test_besus_files_are_made_and_not_run(tmp_path: Path) -> None:
    _found(tmp_path)
    _change(tmp_path, engine="qbft")
    with pytest.raises(InvalidInput, match="cannot be run here"):
        layout.write_files(tmp_path)


def test_a_damaged_key_is_said_to_be_one(tmp_path: Path) -> None:
    for text in ("", "zz", "00" * 32):
        (tmp_path / "nodekey").write_text(text)
        with pytest.raises(InvalidInput):
            keys.at(tmp_path)


def test_a_newcomer_at_a_host_of_its_own_changes_nothing_for_nodes_with_namespaces(tmp_path: Path) -> None:
    _found(tmp_path, spaces=True)
    _change(tmp_path, followers=[node(9, host="node.example")])
    description = layout.write_files(tmp_path)
    assert layout.has_spaces(layout.here(tmp_path, description))
    assert 'ListenAddr = "10.99.0.11:30303"' in (tmp_path / "nodes/v1/geth.toml").read_text()
