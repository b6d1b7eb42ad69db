"""Compiles the contracts into the committed artifacts, so that a user needs no compiler.

`python -m chain.compile` rewrites `contracts/artifacts/`, `--check` only compares and names what is
stale. The settings are those of `foundry.toml`, so that sizes and gas measured there hold here. No
metadata goes into the bytecode: the same source gives the same bytes on every machine, with the native
compiler and with npm's.

Only developers run this module; nothing that runs in production may import it.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from market.errors import InvalidInput, OcxError, Permanent

__all__ = ["SETTINGS", "SOLC_VERSION", "ast_of_own_sources", "build_artifacts", "find_solc", "main", "stale"]

SOLC_VERSION: Final = "0.8.30"
EVM_VERSION: Final = "berlin"
SETTINGS: Final[dict[str, Any]] = {
    "evmVersion": EVM_VERSION,
    "optimizer": {"enabled": True, "runs": 200},
    "viaIR": False,
    "metadata": {"bytecodeHash": "none", "appendCBOR": False},
    "remappings": ["@openzeppelin/=node_modules/@openzeppelin/"],
}
"""What decides the bytecode; `foundry.toml` says the same."""

FOREIGN: Final = {
    "TimelockController": "node_modules/@openzeppelin/contracts/governance/TimelockController.sol",
}
"""Contracts we deploy but did not write: name to source."""

_ROOT: Final = Path(__file__).resolve().parents[1]
_ARTIFACTS: Final = _ROOT / "contracts" / "artifacts"
_CODE: Final = ["abi", "evm.bytecode.object", "evm.deployedBytecode.object", "userdoc", "devdoc"]

Artifact = dict[str, Any]


def find_solc() -> Path:
    """The compiler to use: a native one of `SOLC_VERSION` where there is one, else npm's through the shim.

    Native ones are looked for where py-solc-x keeps its own, then in PATH.
    """
    home = Path(os.environ.get("SOLCX_BINARY_PATH", Path.home() / ".solcx"))
    on_path = shutil.which("solc")
    for candidate in (home / f"solc-v{SOLC_VERSION}", Path(on_path) if on_path else None):
        if candidate is not None and candidate.is_file() and _version_of(candidate) == SOLC_VERSION:
            return candidate
    shim = _ROOT / "tools" / "solc"
    if not shim.is_file():
        raise Permanent(f"no Solidity compiler {SOLC_VERSION} found", hint="Run make setup in a checkout")
    return shim


def _version_of(binary: Path) -> str | None:
    """The version a compiler says it has, None if it does not run or says none."""
    try:
        said = subprocess.run([binary, "--version"], capture_output=True, text=True, check=False, timeout=30)
    except (OSError, subprocess.TimeoutExpired):
        return None
    match = re.search(r"Version: (\d+\.\d+\.\d+)", said.stdout)
    return match.group(1) if match else None


def _run_solc(sources: list[str], selection: dict[str, Any]) -> dict[str, Any]:
    """Compile the named sources (paths from the checkout's root); raises `InvalidInput` on compile errors."""
    import solcx  # looks for compilers when imported, so only where one is wanted
    from solcx.exceptions import SolcError

    request = {
        "language": "Solidity",
        "sources": {name: {"content": (_ROOT / name).read_text("utf-8")} for name in sources},
        "settings": {**SETTINGS, "outputSelection": selection},
    }
    try:
        result: dict[str, Any] = solcx.compile_standard(request, base_path=_ROOT, solc_binary=find_solc())
    except SolcError as refusal:
        raise InvalidInput(
            "the contracts do not compile", hint="See the compiler's messages", messages=refusal.message
        ) from refusal
    return result


def _own_sources() -> list[str]:
    """Every source of ours, as a path from the checkout's root, sorted."""
    return sorted(path.relative_to(_ROOT).as_posix() for path in (_ROOT / "contracts").rglob("*.sol"))


def ast_of_own_sources() -> dict[str, dict[str, Any]]:
    """Source name to the compiler's syntax tree, of our own sources only. Takes about a second."""
    sources = _own_sources()
    output = _run_solc(sources, {name: {"": ["ast"]} for name in sources})
    return {name: output["sources"][name]["ast"] for name in sources}


def _libraries(output: dict[str, Any], sources: list[str]) -> set[tuple[str, str]]:
    """(source, name) of every library: all internal, so never deployed on its own."""
    return {
        (source, node["name"])
        for source in sources
        for node in output["sources"][source]["ast"]["nodes"]
        if node["nodeType"] == "ContractDefinition" and node["contractKind"] == "library"
    }


def _notices(userdoc: dict[str, Any]) -> dict[str, dict[str, str]]:
    """NatSpec's one sentence for each error and event, by signature: they become messages and docstrings."""
    errors = {sign: entries[0]["notice"] for sign, entries in userdoc.get("errors", {}).items()}
    events = {sign: entry["notice"] for sign, entry in userdoc.get("events", {}).items()}
    return {"errors": errors, "events": events}


def _hints(devdoc: dict[str, Any]) -> dict[str, str]:
    """NatSpec's `@dev` of each error, by signature: what the caller can do about it."""
    errors = devdoc.get("errors", {})
    return {sign: entries[0]["details"] for sign, entries in errors.items() if "details" in entries[0]}


def _artifact(name: str, compiled: dict[str, Any]) -> Artifact:
    return {
        "contractName": name,
        "abi": compiled["abi"],
        "bytecode": "0x" + compiled["evm"]["bytecode"]["object"],
        "deployedBytecode": "0x" + compiled["evm"]["deployedBytecode"]["object"],
        "evmVersion": EVM_VERSION,
        "solc": SOLC_VERSION,
        "notices": _notices(compiled["userdoc"]),
        "hints": _hints(compiled["devdoc"]),
    }


def build_artifacts() -> dict[str, Artifact]:
    """Compile everything; contract name to artifact, of each contract that can be deployed.

    Raises `InvalidInput` if the sources do not compile or two contracts have one name.
    """
    own = _own_sources()
    foreign = sorted(FOREIGN.values())
    selection: dict[str, Any] = {name: {"": ["ast"], "*": _CODE} for name in own}
    selection |= {source: {name: _CODE} for name, source in FOREIGN.items()}
    output = _run_solc(own + foreign, selection)
    libraries = _libraries(output, own)
    artifacts: dict[str, Artifact] = {}
    for source, contracts in sorted(output["contracts"].items()):
        for name, compiled in contracts.items():
            wanted = source in own or FOREIGN.get(name) == source
            if not wanted or (source, name) in libraries or not compiled["evm"]["bytecode"]["object"]:
                continue
            if name in artifacts:
                raise InvalidInput(f"two contracts are called {name}", hint="Rename one", source=source)
            artifacts[name] = _artifact(name, compiled)
    return artifacts


def _text(artifact: Artifact) -> str:
    return json.dumps(artifact, indent=1, sort_keys=True, ensure_ascii=False) + "\n"


def stale(artifacts: dict[str, Artifact]) -> Iterator[str]:
    """One line for each committed artifact that is missing, differs, or belongs to no contract."""
    for name, artifact in sorted(artifacts.items()):
        path = _ARTIFACTS / f"{name}.json"
        if not path.is_file():
            yield f"contracts/artifacts/{name}.json is missing"
        elif path.read_text("utf-8") != _text(artifact):
            yield f"contracts/artifacts/{name}.json is stale"
    for path in _leftovers(artifacts):
        yield f"contracts/artifacts/{path.name} belongs to no contract"


def _leftovers(artifacts: dict[str, Artifact]) -> list[Path]:
    return sorted(path for path in _ARTIFACTS.glob("*.json") if path.stem not in artifacts)


def _write(artifacts: dict[str, Artifact]) -> None:
    _ARTIFACTS.mkdir(parents=True, exist_ok=True)
    for name, artifact in artifacts.items():
        (_ARTIFACTS / f"{name}.json").write_text(_text(artifact), "utf-8")
    for path in _leftovers(artifacts):
        path.unlink()


def main(arguments: list[str] | None = None) -> int:
    """Write the artifacts, or with `--check` say what is stale. Returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m chain.compile", description="Compile the contracts.")
    parser.add_argument("--check", action="store_true", help="compare with the committed artifacts only")
    options = parser.parse_args(arguments)
    try:
        artifacts = build_artifacts()
    except OcxError as error:
        print(error, error.evidence.get("messages", ""), sep="\n", file=sys.stderr)
        return 1
    if not options.check:
        _write(artifacts)
        print(f"{len(artifacts)} artifacts in contracts/artifacts")
        return 0
    lines = list(stale(artifacts))
    for line in lines:
        print(line)
    if lines:
        print("run: make artifacts")
    return 1 if lines else 0


if __name__ == "__main__":
    sys.exit(main())
