"""What is in a back-up, what it refuses, and what is restored; running nodes are in tests/network/nodes."""

from __future__ import annotations

import gzip
import io
import shutil
import stat
import tarfile
from pathlib import Path

import pytest

from chain.nodes import backup, keys, layout
from chain.nodes.consensus.sealing import RESTORED
from chain.nodes.description import load
from market.errors import InvalidInput, OcxError, Refused

SECRET = "correct horse"


@pytest.fixture
def founded(tmp_path: Path) -> Path:
    """Two validators that never ran."""
    folder = tmp_path / "founded"
    layout.found(folder, 2, spaces=False, now=1_700_000_000)
    return folder


def _back_up(folder: Path, out: Path, *, with_chain: bool = False) -> Path:
    node = load(layout.description_path(folder)).node("v1")
    backup.back_up(folder, node, out, SECRET, now=1_700_000_100, with_chain=with_chain, light=True)
    return out


def _secret() -> str:
    return SECRET


def test_the_key_comes_back_and_is_nowhere_to_be_read(founded: Path, tmp_path: Path) -> None:
    file = _back_up(founded, tmp_path / "v1.backup")
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    plain = (founded / "nodes/v1/nodekey").read_text().strip()
    unpacked = gzip.decompress(file.read_bytes())
    assert plain.encode() not in unpacked and bytes.fromhex(plain) not in unpacked
    assert SECRET.encode() not in unpacked

    facts = backup.restore(file, tmp_path / "new", _secret)
    home = tmp_path / "new/nodes/v1"
    assert (facts.node, facts.with_chain) == ("v1", False)
    assert keys.at(home) == keys.at(founded / "nodes/v1")
    assert load(tmp_path / "new/network.yaml") == load(founded / "network.yaml")
    assert (home / RESTORED).exists() and (home / "keystore/node.json").exists()
    for name in ("nodekey", "passphrase", "keystore/node.json"):
        assert stat.S_IMODE((home / name).stat().st_mode) == 0o600


def test_a_wrong_passphrase_leaves_nothing_behind(founded: Path, tmp_path: Path) -> None:
    file = _back_up(founded, tmp_path / "v1.backup")
    with pytest.raises(Refused, match="wrong passphrase"):
        backup.restore(file, tmp_path / "new", lambda: "wrong")
    assert not (tmp_path / "new").exists()


def test_a_node_that_is_there_is_not_overwritten(founded: Path, tmp_path: Path) -> None:
    file = _back_up(founded, tmp_path / "v1.backup")
    with pytest.raises(Refused, match="has a node already"):
        backup.restore(file, founded, _secret)
    with pytest.raises(InvalidInput, match="exists already"):
        _back_up(founded, file)


def test_what_was_cut_short_goes_on(founded: Path, tmp_path: Path) -> None:
    file = _back_up(founded, tmp_path / "v1.backup")
    new = tmp_path / "new"
    backup.restore(file, new, _secret)
    (new / "nodes/v1/nodekey").unlink()  # it is written last
    backup.restore(file, new, _secret)
    assert keys.at(new / "nodes/v1") == keys.at(founded / "nodes/v1")


def test_a_folder_of_another_network_is_refused(founded: Path, tmp_path: Path) -> None:
    file = _back_up(founded, tmp_path / "v1.backup")
    layout.found(tmp_path / "other", 2, spaces=False, now=1_700_000_001)
    shutil.rmtree(tmp_path / "other/nodes/v1")
    with pytest.raises(InvalidInput, match="another network"):
        backup.restore(file, tmp_path / "other", _secret)


def test_a_chain_that_is_not_there_is_not_backed_up(founded: Path, tmp_path: Path) -> None:
    with pytest.raises(Refused, match="has no chain yet"):
        _back_up(founded, tmp_path / "v1.backup", with_chain=True)
    assert not list(tmp_path.glob("v1.backup*"))


@pytest.mark.parametrize(
    "name", ["../escaped", "/escaped", "data/geth/../../nodekey", "data/keystore/node.json"]
)
def test_an_archive_that_was_added_to_is_refused(founded: Path, tmp_path: Path, name: str) -> None:
    file = _back_up(founded, tmp_path / "v1.backup")
    forged = tmp_path / "forged"
    with tarfile.open(file) as source, tarfile.open(forged, "w:gz") as target:
        for entry in source:
            content = source.extractfile(entry)
            assert content is not None
            data = content.read().replace(b'"with_chain": false', b'"with_chain": true ')
            target.addfile(entry, io.BytesIO(data))
        extra = tarfile.TarInfo(name)
        extra.size = 4
        target.addfile(extra, io.BytesIO(b"evil"))
    with pytest.raises(InvalidInput, match="no back-up of a node"):
        backup.restore(forged, tmp_path / "new", _secret)
    assert not (tmp_path / "new/nodes/v1/nodekey").exists() and not (tmp_path / "escaped").exists()


def test_what_is_no_back_up_is_said_to_be_none(tmp_path: Path) -> None:
    for content in (b"", b"hello", gzip.compress(b"hello")):
        (tmp_path / "file").write_bytes(content)
        with pytest.raises(OcxError, match="no back-up"):
            backup.restore(tmp_path / "file", tmp_path / "new", _secret)
    with pytest.raises(InvalidInput, match="there is no"):
        backup.read(tmp_path / "none")
