"""Runs Slither over the contracts; fails for what it finds, unless the reason to leave it so is written down.

A finding is left out in one of two ways, and each needs its reason:

- in the source, on the line before: `// slither-disable-next-line CHECK (why it is none here)`;
- in `RULES`, for a whole kind of finding that the house's own rules answer.

What leaves nothing out any more fails, too, so that no reason outlives what it was given for. Slither is
AGPL-3.0: it runs as a program, in an environment of its own (`make setup`), and is never imported.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from market.errors import OcxError, Permanent

__all__ = ["RULES", "Comment", "Finding", "Rule", "comments", "judge", "main"]

_ROOT: Final = Path(__file__).resolve().parents[1]
_SLITHER: Final = _ROOT / ".venv-slither" / "bin" / "slither"
_COMMENT: Final = re.compile(r"//\s*slither-disable-(?P<form>[a-z-]+)\s+(?P<checks>[\w,-]+)(?P<rest>.*)")
_REASON: Final = re.compile(r"\s*\(.{10,}\)\s*$")


@dataclass(frozen=True)
class Finding:
    """One result of Slither.

    Attributes:
        check: its detector, for example `reentrancy-no-eth`.
        text: what Slither says, several lines.
        places: (file below the checkout, first line) of every element; the first is where it is told.
        calls: the expressions of calls to other contracts, where it is about them.
    """

    check: str
    text: str
    places: tuple[tuple[str, int], ...]
    calls: tuple[str, ...] = ()


@dataclass(frozen=True)
class Rule:
    """A kind of finding that is none in this house.

    Attributes:
        checks: the detectors it answers.
        where: a regular expression that the finding's file must match from its beginning.
        why: the reason, a sentence.
        text: a regular expression that must occur in the finding's text.
        calls_down: only if each call to another contract is to one whose address is immutable.
    """

    checks: tuple[str, ...]
    where: str
    why: str
    text: str = ""
    calls_down: bool = False


RULES: Final = (
    Rule(
        ("timestamp",),
        "contracts/",
        "Deadlines are the law here (T1, T2): minutes and slots; a validator can shift a block by seconds.",
    ),
    Rule(
        ("uninitialized-local",),
        "contracts/",
        "A local variable of Solidity begins at zero, and the code says nothing that goes without saying.",
    ),
    Rule(
        ("shadowing-local",),
        "contracts/interfaces/",
        "A name of a parameter or result in an interface: there is no code in it that could mean the other.",
    ),
    Rule(
        ("calls-loop",),
        "contracts/",
        "Every list is bounded (64 resources, 32 kept bids, the largest committee), and a call that reverts"
        " undoes an act that its sender may divide or repeat.",
        calls_down=True,
    ),
    Rule(
        ("reentrancy-no-eth", "reentrancy-benign", "reentrancy-events"),
        "contracts/",
        "It calls only contracts that stood before it was deployed: addresses are immutable, so calls form no"
        " circle, and `Credits` has no hooks.",
        calls_down=True,
    ),
    Rule(
        ("incorrect-equality",),
        "contracts/(?!Escrow|Settlement|Members|Credits)",
        "Ids, counts, flags and times that the contract itself stored. It does not reach where balances are,"
        " which others can raise.",
    ),
    Rule(
        ("unused-return",),
        "contracts/",
        "Part of several results is left out in the source itself, by an empty place between commas.",
        text=r"ignores return value by \([^()]*,[^()]*\) = ",
    ),
)


@dataclass
class Comment:
    """A suppression in a source: what it is about, and the findings it left out."""

    file: str
    line: int
    checks: tuple[str, ...]
    form: str
    reason: str
    used: set[str] = field(default_factory=set)

    def covers(self, finding: Finding) -> bool:
        """Whether it stands before one of the finding's elements."""
        return finding.check in self.checks and (self.file, self.line + 1) in finding.places


def comments(file: str, source: str) -> list[Comment]:
    """Every suppression in a source, whether lawful or not."""
    found = []
    for number, line in enumerate(source.splitlines(), start=1):
        if match := _COMMENT.search(line):
            checks = tuple(match["checks"].split(","))
            found.append(Comment(file, number, checks, match["form"], match["rest"]))
    return found


def judge(
    findings: Iterable[Finding],
    suppressions: Sequence[Comment],
    immutables: Mapping[str, frozenset[str]],
    rules: Sequence[Rule] = RULES,
) -> list[str]:
    """What is wrong, a line each; empty if nothing is.

    Args:
        immutables: file to the names of contracts it holds an immutable address of.
    """
    wrong = []
    used: set[Rule] = set()
    for finding in findings:
        covering = [c for c in suppressions if c.covers(finding)]
        for comment in covering:
            comment.used.add(finding.check)
        answering = [] if covering else [r for r in rules if _answers(r, finding, immutables)]
        used.update(answering)
        if not covering and not answering:
            file, line = finding.places[0]
            wrong.append(f"{file}:{line}: {finding.check}: {finding.text.strip()}")
    for comment in suppressions:
        wrong += [f"{comment.file}:{comment.line}: {fault}" for fault in _faults(comment)]
    wrong += [
        f"tools/slither.py: a rule for {', '.join(r.checks)} answers no finding"
        for r in rules
        if r not in used
    ]
    return wrong


def _answers(rule: Rule, finding: Finding, immutables: Mapping[str, frozenset[str]]) -> bool:
    file = finding.places[0][0]
    if finding.check not in rule.checks or not re.match(rule.where, file):
        return False
    if rule.text and not re.search(rule.text, finding.text):
        return False
    return not rule.calls_down or all(
        _goes_down(call, immutables.get(file, frozenset())) for call in finding.calls
    )


def _goes_down(call: str, immutables: frozenset[str]) -> bool:
    """Whether it is to a contract of immutable address, or inside: what that calls stands beside it."""
    if re.search(r"\.(delegatecall|staticcall|call|send|transfer)[({]", call):
        return False
    roots = re.findall(r"(?<![\w.])(\w+)\.\w+\(", call)
    return any(root in immutables for root in roots) if roots else bool(re.search(r"\b_\w+\(", call))


def _faults(comment: Comment) -> list[str]:
    faults = []
    if comment.form != "next-line":
        faults.append(
            f"slither-disable-{comment.form} covers more than one line; use slither-disable-next-line"
        )
    if not _REASON.match(comment.reason):
        faults.append("a suppression needs its reason in brackets behind it")
    idle = [check for check in comment.checks if check not in comment.used]
    if comment.form == "next-line" and idle:
        faults.append(f"nothing is left out any more: {', '.join(idle)}")
    return faults


def _findings(report: Mapping[str, Any]) -> list[Finding]:
    found = []
    for item in report["results"].get("detectors", []):
        places, calls = [], []
        for element in item["elements"]:
            where = element["source_mapping"]
            places.append((where["filename_relative"], min(where["lines"], default=0)))
            kind = element.get("additional_fields", {}).get("underlying_type", "")
            if kind.startswith("external_calls") or (
                item["check"] == "calls-loop" and element["type"] == "node"
            ):
                calls.append(element["name"])
        found.append(Finding(item["check"], item["description"], tuple(places), tuple(calls)))
    return found


def _immutables() -> dict[str, frozenset[str]]:
    """File to the contracts it holds for good; `directory` every `Governed` has."""
    pattern = re.compile(r"^\s+I[A-Z]\w+ (?:public|private|internal) immutable (\w+);", re.MULTILINE)
    return {
        str(path.relative_to(_ROOT)): frozenset(pattern.findall(path.read_text("utf-8"))) | {"directory"}
        for path in _sources()
    }


def _sources() -> list[Path]:
    return sorted((_ROOT / "contracts").rglob("*.sol"))


def _run() -> dict[str, Any]:
    """Slither's report, with what comments leave out.

    Raises:
        Permanent: Slither is not installed, or failed.
    """
    if not _SLITHER.is_file():
        raise Permanent("Slither is not installed", hint="Run make setup in a checkout")
    paths = f"{_ROOT / 'node_modules' / '.bin'}{os.pathsep}{os.environ['PATH']}"
    folders = {"FOUNDRY_OUT": "build/slither", "FOUNDRY_CACHE_PATH": "build/slither-cache"}
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.json"
        options = [
            "--filter-paths",
            "node_modules|tests/",
            "--exclude-informational",
            "--show-ignored-findings",
        ]
        done = subprocess.run(
            [_SLITHER, ".", "--compile-force-framework", "foundry", *options, "--json", report],
            cwd=_ROOT,
            env=os.environ | folders | {"PATH": paths},
            capture_output=True,
            text=True,
            check=False,
        )
        if not report.is_file():
            raise Permanent("Slither failed", hint=done.stderr[-2000:] or done.stdout[-2000:])
        answer: dict[str, Any] = json.loads(report.read_text("utf-8"))
    if not answer["success"]:
        raise Permanent(f"Slither failed: {answer['error']}")
    return answer


def main() -> int:
    """Print what is wrong; 1 if anything is."""
    try:
        findings = _findings(_run())
    except OcxError as error:
        print(error, error.hint or "", sep="\n", file=sys.stderr)
        return 1
    suppressions = [
        comment
        for path in _sources()
        for comment in comments(str(path.relative_to(_ROOT)), path.read_text("utf-8"))
    ]
    wrong = judge(findings, suppressions, _immutables())
    for line in wrong:
        print(line)
    answered = f"{len(suppressions)} answered in the sources, others by {len(RULES)} rules"
    print(f"{len(findings)} findings: {answered}, {len(wrong)} wrong")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
