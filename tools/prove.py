"""Has halmos prove `tests/proofs`, and shows that it would find a fault: each planted one must be refuted.

A fault is planted in a copy of the contracts (`build/planted`), never in the checkout. Halmos is AGPL-3.0:
it runs as a program, in an environment of its own (`make setup`), and is never imported.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from market.errors import OcxError, Permanent

__all__ = ["FAULTS", "Fault", "main", "plant"]

_ROOT: Final = Path(__file__).resolve().parents[1]
_BIN: Final = _ROOT / ".venv-halmos" / "bin"
_SAYS: Final = {0: "holds", 1: "refuted"}
"""Halmos's exit codes; others are a time-out, an error, or a proof in which every path reverts."""

_OPTIONS: Final = ("--solver", "z3", "--loop", "3", "--solver-timeout-branching", "50ms", "--no-status")


@dataclass(frozen=True)
class Fault:
    """A change of the sources that must not go unnoticed.

    Attributes:
        file: below the checkout.
        old, new: what is replaced by what; `old` occurs exactly once.
        proof: contract and function that must fail.
    """

    file: str
    old: str
    new: str
    proof: tuple[str, str]


FAULTS: Final = (
    Fault(
        "contracts/Inventory.sol",
        "if (end < first + 256) mask &=",
        "if (end < first + 255) mask &=",
        ("CalendarProof", "check_Mask"),
    ),
    Fault(
        "contracts/Escrow.sol",
        "balance[to][toAccount] += amount;",
        "balance[to][account] += amount;",
        ("EscrowProof", "check_Pass"),
    ),
)


def plant(fault: Fault, root: Path) -> None:
    """Make a copy of what is proven below `root`, with the fault in it.

    Raises:
        Permanent: the source has no such place, or several.
    """
    shutil.rmtree(root, ignore_errors=True)
    for folder in ("contracts", "tests/proofs"):
        shutil.copytree(_ROOT / folder, root / folder, ignore=shutil.ignore_patterns("artifacts"))
    shutil.copy(_ROOT / "foundry.toml", root)
    for name in ("node_modules", "tools"):
        (root / name).symlink_to((_ROOT / name).resolve())
    source = (root / fault.file).read_text("utf-8")
    if source.count(fault.old) != 1:
        raise Permanent(
            f"{fault.file} has no one place with {fault.old!r}", hint="Correct FAULTS in tools/prove.py"
        )
    (root / fault.file).write_text(source.replace(fault.old, fault.new), "utf-8")


def _prove(root: Path, *options: str) -> dict[str, str]:
    """Proof to what halmos says of it.

    Raises:
        Permanent: halmos is not installed, or failed before it proved anything.
    """
    if not (_BIN / "halmos").is_file():
        raise Permanent("halmos is not installed", hint="Run make setup in a checkout")
    (root / "build").mkdir(exist_ok=True)
    report = root / "build" / "proof.json"
    report.unlink(missing_ok=True)
    paths = os.pathsep.join((str(_ROOT / "node_modules" / ".bin"), str(_BIN), os.environ["PATH"]))
    where = ("--root", str(root), "--forge-build-out", "build/proof", "--json-output", str(report))
    done = subprocess.run(
        [_BIN / "halmos", *where, *_OPTIONS, *options],
        cwd=root,
        env=os.environ | {"PATH": paths, "FOUNDRY_PROFILE": "proof"},
        capture_output=True,
        text=True,
        check=False,
    )
    if not report.is_file():
        raise Permanent("halmos failed", hint=(done.stdout + done.stderr)[-2000:])
    return _verdicts(json.loads(report.read_text("utf-8")))


def _verdicts(report: dict[str, Any]) -> dict[str, str]:
    return {
        f"{contract.rpartition(':')[2]}.{_name(test)}": _SAYS.get(test["exitcode"], "undecided")
        for contract, tests in report["test_results"].items()
        for test in tests
    }


def _name(test: dict[str, Any]) -> str:
    return str(test["name"]).partition("(")[0]


def main() -> int:
    """Print what holds; 1 if a proof fails, or a planted fault passes."""
    wrong = 0
    try:
        for what, options, root, expected in _plan():
            began = time.monotonic()
            if isinstance(what, Fault):
                plant(what, root)
                print(f"planted in {what.file}: {what.new}")
            verdicts = _prove(root, *options)
            wrong += not verdicts
            for proof, verdict in sorted(verdicts.items()):
                wrong += verdict != expected
                print(f"{verdict:<10}{proof}{'' if verdict == expected else f'  <- should be: {expected}'}")
            print(f"{len(verdicts)} proofs in {time.monotonic() - began:.0f} s")
    except OcxError as error:
        print(error, error.hint or "", sep="\n", file=sys.stderr)
        return 1
    return 1 if wrong else 0


def _plan() -> list[tuple[Fault | None, tuple[str, ...], Path, str]]:
    """(fault, options, where, what each proof is to be)."""
    steps: list[tuple[Fault | None, tuple[str, ...], Path, str]] = [(None, (), _ROOT, "holds")]
    for fault in FAULTS:
        contract, function = fault.proof
        options = ("--contract", contract, "--match-test", f"^{function}\\(")
        steps.append((fault, options, _ROOT / "build" / "planted", "refuted"))
    return steps


if __name__ == "__main__":
    sys.exit(main())
