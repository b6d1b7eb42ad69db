"""Gas per call: real transactions through the Python client, beside the targets of DESIGN section 6.

Keys, times and order are fixed, so the same contracts give the same numbers to the unit. `bench/gas.json` is
the committed snapshot; `--check` says where it is off by more than 2 %.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.gas_script import GENESIS, MANY, Calls, Script, award_name, buy_name
from bench.gas_witness import MARGINAL, STEADY, VIOLATED, WitnessScript, marginal, steady, violated
from bench.report import Report, Row
from bench.stage import open_stage
from chain.deploy import DeployParams

__all__ = ["Target", "compare", "measure", "run", "targets"]

SNAPSHOT = Path(__file__).with_name("gas.json")
TOLERANCE = 0.02


@dataclass(frozen=True)
class Target:
    """A number to reach, what was measured for it, and what is known from elsewhere."""

    name: str
    gas: int
    limit: int
    elsewhere: str = "-"


def measure() -> Calls:
    """Gas used by each call, by name, in the order in which they were made."""
    with open_stage(DeployParams(), "--timestamp", str(GENESIS)) as stage:
        calls = Script(stage).play()
    with open_stage(DeployParams(), "--timestamp", str(GENESIS)) as stage:
        return calls | WitnessScript(stage).play()


def targets(calls: Mapping[str, int]) -> list[Target]:
    """The rows of DESIGN section 6 that these calls answer."""
    bid, bid_elsewhere = 170_000, "350,000 create-bid (AEP-79, estimate)"
    award, award_elsewhere = 300_000, "700,000 (AEP-79, estimate)"
    first = calls["SealedTender.commit (first)"] + calls["SealedTender.reveal (first)"]
    later = calls["SealedTender.commit"] + calls["SealedTender.reveal"]
    return [
        Target("sealed bid, commit + reveal, a tender's first", first, bid, bid_elsewhere),
        Target("sealed bid, commit + reveal, any other", later, bid, bid_elsewhere),
        Target(
            "award to lease, 1 resource, the only bid", calls[award_name(1, "new")], award, award_elsewhere
        ),
        Target(
            "award to lease, 1 resource, 3 bids",
            calls["SealedTender.award (3 bids, 1 resource)"],
            award,
            award_elsewhere,
        ),
        Target("award to lease, 1 resource, buy-now", calls[buy_name(1, "new")], award, award_elsewhere),
        Target("per further resource, award, new calendar word", _further(calls, award_name, "new"), 30_000),
        Target(
            "per further resource, award, used calendar word", _further(calls, award_name, "used"), 30_000
        ),
        Target("per further resource, buy-now, new calendar word", _further(calls, buy_name, "new"), 30_000),
        Target(
            "per further resource, buy-now, used calendar word", _further(calls, buy_name, "used"), 30_000
        ),
        Target(VIOLATED, violated(calls), 500_000, "993,958 (INFOCOM'19 contracts, measured)"),
        Target(MARGINAL, marginal(calls), 120_000),
        *(Target(STEADY.format(count), gas, 65_000) for count, gas in steady(calls).items()),
    ]


def compare(old: Mapping[str, int], new: Mapping[str, int], tolerance: float = TOLERANCE) -> list[str]:
    """What differs by more than the tolerance, one line each."""
    lines = [f"{name}: in only one of the two" for name in sorted(old.keys() ^ new.keys())]
    for name in old.keys() & new.keys():
        if abs(new[name] - old[name]) > tolerance * old[name]:
            lines.append(f"{name}: {old[name]:,} -> {new[name]:,} ({new[name] / old[name] - 1:+.1%})")
    return sorted(lines)


def run(argv: Sequence[str] | None = None) -> Report:
    """Measure, show, and write the snapshot or (`--check`) compare with it; complete if it holds."""
    parser = argparse.ArgumentParser(prog="python -m bench gas", description=__doc__)
    parser.add_argument("--check", action="store_true", help="compare with the snapshot, write nothing")
    options = parser.parse_args(argv)
    calls = measure()
    _show(calls)
    rows = [Row(row.name, row.gas, "gas", row.limit) for row in targets(calls)]
    report = Report("gas", rows)
    if not options.check:
        SNAPSHOT.write_text(json.dumps(calls, indent=1) + "\n", "utf-8")
        return report
    off = compare(json.loads(SNAPSHOT.read_text("utf-8")), calls)
    for line in off:
        print(line, file=sys.stderr)
    print("the snapshot holds" if not off else "the snapshot is off; run: python -m bench gas")
    report.complete = not off
    return report


def _further(calls: Mapping[str, int], name: Callable[[int, str], str], word: str) -> int:
    """Gas for each resource beyond the first."""
    return round((calls[name(MANY, word)] - calls[name(1, word)]) / (MANY - 1))


def _show(calls: Mapping[str, int]) -> None:
    width = max(map(len, calls))
    for name, gas in calls.items():
        print(f"{name:{width}}  {gas:>9,}")
    rows = targets(calls)
    width = max(len(row.name) for row in rows)
    print(f"\n{'target (DESIGN section 6)':{width}}  {'measured':>9}  {'limit':>9}  ratio  elsewhere")
    for row in rows:
        ratio = f"{row.gas / row.limit:5.2f}"
        print(f"{row.name:{width}}  {row.gas:>9,}  {row.limit:>9,}  {ratio}  {row.elsewhere}")
