"""The committed artifacts are made as foundry.toml says, reproducibly, by the compiler we name."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

import pytest

from chain import compile as compiler
from chain.data import data_path

ROOT = Path(__file__).resolve().parents[2]


def solc_saying(version: str, path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\necho 'solc, the solidity compiler'\necho 'Version: {version}+commit.1'\n")
    path.chmod(0o755)
    return path


def test_settings_are_those_of_foundry() -> None:
    foundry = tomllib.loads((ROOT / "foundry.toml").read_text())["profile"]["default"]
    optimizer, metadata = compiler.SETTINGS["optimizer"], compiler.SETTINGS["metadata"]
    assert foundry["evm_version"] == compiler.SETTINGS["evmVersion"]
    assert (foundry["optimizer"], foundry["optimizer_runs"]) == (optimizer["enabled"], optimizer["runs"])
    assert foundry["via_ir"] == compiler.SETTINGS["viaIR"]
    assert (foundry["bytecode_hash"], foundry["cbor_metadata"]) == (
        metadata["bytecodeHash"],
        metadata["appendCBOR"],
    )
    assert set(compiler.SETTINGS["remappings"]) <= set(foundry["remappings"])


def test_every_artifact_can_be_deployed_and_holds_no_metadata() -> None:
    for path in data_path("artifacts").glob("*.json"):
        artifact = json.loads(path.read_text())
        assert artifact["contractName"] == path.stem
        assert artifact["solc"] == compiler.SOLC_VERSION
        for code in (artifact["bytecode"], artifact["deployedBytecode"]):
            assert len(bytes.fromhex(code.removeprefix("0x"))) > 100
            assert b"solc".hex() not in code, "the compiler's metadata mark"


def test_native_compiler_of_our_version_is_preferred(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOLCX_BINARY_PATH", str(tmp_path / "solcx"))
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:/usr/bin:/bin")
    on_path = solc_saying(compiler.SOLC_VERSION, tmp_path / "bin" / "solc")
    assert compiler.find_solc() == on_path
    kept = solc_saying(compiler.SOLC_VERSION, tmp_path / "solcx" / f"solc-v{compiler.SOLC_VERSION}")
    assert compiler.find_solc() == kept


def test_native_compiler_of_another_version_is_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOLCX_BINARY_PATH", str(tmp_path))
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:/usr/bin:/bin")
    solc_saying("0.8.31", tmp_path / "bin" / "solc")
    assert compiler.find_solc() == ROOT / "tools" / "solc"


def test_stale_missing_and_left_over_artifacts_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compiler, "_ARTIFACTS", tmp_path)
    (tmp_path / "Old.json").write_text("{}")
    (tmp_path / "Gone.json").write_text("{}")
    lines = list(compiler.stale({"Old": {"abi": []}, "New": {"abi": []}}))
    assert lines == [
        "contracts/artifacts/New.json is missing",
        "contracts/artifacts/Old.json is stale",
        "contracts/artifacts/Gone.json belongs to no contract",
    ]
