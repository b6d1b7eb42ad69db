"""`python -m bench [NAME] [OPTIONS] [--json FILE]`: one measurement, or all of them one after another."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

from bench import award_to_plugin, gas, idle, reconcile, soak, witness, witness_model
from bench.chain import soak as chain_soak
from bench.chain import speed as chain_speed
from bench.report import Report

MEASUREMENTS: dict[str, Callable[[list[str]], Report]] = {
    "gas": gas.run,
    "reconcile": reconcile.run,
    "idle": idle.run,
    "award_to_plugin": award_to_plugin.run,
    "witness": witness.run,
    "witness_model": witness_model.run,
    "chain_speed": chain_speed.run,
    "chain_soak": chain_soak.run,
}
"""Each measures, prints, and returns what it found."""

_LONG = {"chain_soak"}
"""Half an hour and more: measured when they are named, and not with all."""


def main(argv: list[str]) -> int:
    """Run the named measurement with the options after it; without a name run all as they are.

    1 if one of them came to no end; a target that is missed is told and is no failure.
    """
    engine = Path(__file__).resolve().parents[1] / "node_modules" / ".bin"
    os.environ["PATH"] = f"{engine}{os.pathsep}{os.environ['PATH']}"
    if argv and argv[0] == "soak":  # it takes ten minutes and has a form of its own, so it is not one of all
        return soak.main(argv[1:])
    argv, file = _json_file(argv)
    if argv and argv[0] not in MEASUREMENTS:
        known = ", ".join([*MEASUREMENTS, "soak"])
        print(f"there is no measurement {argv[0]!r}; there are: {known}", file=sys.stderr)
        return 2
    reports = (
        [MEASUREMENTS[argv[0]](argv[1:])]
        if argv
        else [_one(name) for name in MEASUREMENTS if name not in _LONG]
    )
    if not argv:
        _sum_up(reports)
    if file is not None:
        file.write_text(json.dumps([report.document() for report in reports], indent=1) + "\n", "utf-8")
    return 0 if all(report.complete for report in reports) else 1


def _one(name: str) -> Report:
    """One of all; a measurement that breaks must not take the others with it."""
    print(f"\n== {name}", flush=True)
    began = time.monotonic()
    try:
        report = MEASUREMENTS[name]([])
    except Exception as error:  # noqa: BLE001  told, counted, and the next one is measured
        print(f"{name} broke: {type(error).__name__}: {error}", file=sys.stderr)
        return Report(name, notes=[f"it broke: {error}"], complete=False)
    print(f"({time.monotonic() - began:.0f} s)", flush=True)
    return report


def _sum_up(reports: list[Report]) -> None:
    """Every target in one place."""
    print("\n== targets")
    for report in reports:
        for row in report.rows:
            if row.met is not None:
                print(f"{'met' if row.met else 'MISSED':7} {report.name}: {row.line()}")
        if not report.complete:
            print(f"{'BROKEN':7} {report.name}: it came to no end, or not all of it was measured")


def _json_file(argv: list[str]) -> tuple[list[str], Path | None]:
    if "--json" not in argv:
        return argv, None
    place = argv.index("--json")
    if place + 1 == len(argv):
        raise SystemExit("--json needs a file")
    return argv[:place] + argv[place + 2 :], Path(argv[place + 1])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
