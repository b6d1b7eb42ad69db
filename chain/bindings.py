"""Writes `chain/generated/` from the artifacts: one class per event, custom error and enum.

`python -m chain.bindings` writes the package, `--check` compares it with what is committed. Events and
errors come from the artifacts' ABIs. Enum members are not in an ABI, so they are read from the compiler's
syntax tree of our sources. The generated code holds data only; `chain.codec` does the work.

Only developers run this module; nothing that runs in production may import it.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Final

from chain.bindings_text import HEAD, Entry, EnumType, Writer, abi_type
from chain.compile import FOREIGN, ast_of_own_sources
from market.errors import InvalidInput, OcxError

__all__ = ["generate", "main"]

_ROOT: Final = Path(__file__).resolve().parents[1]
_ARTIFACTS: Final = _ROOT / "contracts" / "artifacts"
_PACKAGE: Final = _ROOT / "chain" / "generated"


def _signature(entry: dict[str, Any]) -> str:
    return f"{entry['name']}({','.join(abi_type(item) for item in entry['inputs'])})"


def _entries(kind: str) -> list[Entry]:
    """Every event or every error of the artifacts, once, sorted by name."""
    found: dict[tuple[str, str], Entry] = {}
    for path in sorted(_ARTIFACTS.glob("*.json")):
        artifact = json.loads(path.read_text("utf-8"))
        notices, hints = artifact["notices"][f"{kind}s"], artifact["hints"]
        for raw in artifact["abi"]:
            if raw["type"] != kind or raw.get("anonymous"):
                continue
            sign = _signature(raw)
            layout = json.dumps(raw["inputs"], sort_keys=True)
            said = notices.get(sign, ""), hints.get(sign, "")
            entry = Entry(raw["name"], sign, tuple(raw["inputs"]), *said)
            found.setdefault((sign, layout), entry).contracts.append(artifact["contractName"])
    _refuse_doubles(found)
    return sorted(found.values(), key=lambda entry: (entry.name, entry.signature))


def _refuse_doubles(found: dict[tuple[str, str], Entry]) -> None:
    """Two layouts of one signature cannot be told apart on the ledger."""
    seen: dict[str, Entry] = {}
    for (sign, _), entry in found.items():
        other = seen.setdefault(sign, entry)
        if other is not entry:
            raise InvalidInput(
                f"{sign} is declared with different names, types or indexed arguments",
                hint=f"Make them equal in {other.contracts[0]} and {entry.contracts[0]}, or rename one",
            )


def _class_names(entries: list[Entry]) -> dict[str, Entry]:
    """Class name to entry: the plain name where it is ours alone, else with the contract's name before it."""
    groups: dict[str, list[Entry]] = defaultdict(list)
    for entry in entries:
        groups[entry.name].append(entry)
    names: dict[str, Entry] = {}
    for name, group in groups.items():
        ours = [entry for entry in group if not FOREIGN.keys() >= set(entry.contracts)]
        plain = group[0] if len(group) == 1 else ours[0] if len(ours) == 1 else None
        for entry in group:
            names[name if entry is plain else entry.contracts[0] + name] = entry
    return dict(sorted(names.items()))


def _enums() -> dict[str, EnumType]:
    """Class name to enum, of every enum in our own sources."""
    found: dict[str, EnumType] = {}
    for tree in ast_of_own_sources().values():
        for node in _enum_nodes(tree["nodes"]):
            members = tuple(member["name"] for member in node["members"])
            notice = _sentence(node.get("documentation"))
            enum = EnumType(node["canonicalName"], members, notice)
            name = node["name"] if node["name"] not in found else enum.canonical.replace(".", "")
            if name in found:
                raise InvalidInput(f"two enums are called {name}", hint="Rename one")
            found[name] = enum
    return dict(sorted(found.items()))


def _sentence(documentation: dict[str, Any] | None) -> str:
    """The NatSpec text of a syntax node without its tag, on one line."""
    text = " ".join((documentation or {}).get("text", "").split())
    return text.removeprefix("@notice ")


def _enum_nodes(nodes: Iterable[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    for node in nodes:
        if node["nodeType"] == "EnumDefinition":
            yield node
        elif node["nodeType"] == "ContractDefinition":
            yield from _enum_nodes(node["nodes"])


def _formatted(text: str, name: str) -> str:
    """Sorted, formatted and wrapped as the checks want it."""
    for step in (["check", "--quiet", "--fix-only", "--select", "I,RUF022"], ["format", "--quiet"]):
        command = [sys.executable, "-m", "ruff", *step, "--stdin-filename", f"chain/generated/{name}", "-"]
        done = subprocess.run(command, cwd=_ROOT, input=text, capture_output=True, text=True, check=False)
        if done.returncode:
            raise InvalidInput(f"ruff refuses the generated {name}: {done.stderr}")
        text = done.stdout
    return text


def generate() -> dict[str, str]:
    """File name to text of the whole package. Raises `InvalidInput` if the contracts' names clash."""
    writer = Writer(_enums())
    files = {
        "__init__.py": HEAD.format(title="What the contracts say, as Python types."),
        "enums.py": writer.enums(),
        "errors.py": writer.errors(_class_names(_entries("error"))),
        "events.py": writer.events(_class_names(_entries("event"))),
    }
    return {name: _formatted(text, name) for name, text in files.items()}


def _stale(files: dict[str, str]) -> list[str]:
    def committed(name: str) -> str | None:
        path = _PACKAGE / name
        return path.read_text("utf-8") if path.is_file() else None

    return [f"chain/generated/{name} is stale" for name, text in files.items() if committed(name) != text]


def main(arguments: list[str] | None = None) -> int:
    """Write the package, or with `--check` say what is stale. Returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m chain.bindings", description="Generate chain/generated.")
    parser.add_argument("--check", action="store_true", help="compare with the committed package only")
    options = parser.parse_args(arguments)
    try:
        files = generate()
    except OcxError as error:
        print(error, error.evidence.get("messages", ""), sep="\n", file=sys.stderr)
        return 1
    if options.check:
        lines = _stale(files)
        print("\n".join([*lines, "run: make artifacts"]) if lines else "bindings are fresh")
        return 1 if lines else 0
    _PACKAGE.mkdir(exist_ok=True)
    for name, text in files.items():
        (_PACKAGE / name).write_text(text, "utf-8")
    print(f"{len(files)} files in chain/generated")
    return 0


if __name__ == "__main__":
    sys.exit(main())
