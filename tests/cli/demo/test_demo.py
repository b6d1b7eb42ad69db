"""The demo as a person runs it: as a command, to its end, or broken off in the middle."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from cli.demo import report as reports

LIMIT = 360.0


def start(folder: Path, *options: str) -> subprocess.Popen[str]:
    """`ocx demo` in a session of its own; what it says comes through a pipe."""
    command = [sys.executable, "-m", "cli.main", "demo", "--dir", str(folder), *options]
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
    )


def processes_of(folder: Path) -> set[int]:
    """Processes that name a folder on their command line or in their environment, or work in it."""
    found, mark = set(), str(folder).encode()
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            with suppress(OSError):
                told = (entry / "cmdline").read_bytes() + (entry / "environ").read_bytes()
                if mark in told + os.readlink(entry / "cwd").encode():
                    found.add(int(entry.name))
    return found


@contextmanager
def playing(folder: Path, until: str, *options: str) -> Iterator[subprocess.Popen[str]]:
    """A demo that has just said `until`."""
    with start(folder, *options) as demo:
        try:
            assert demo.stdout is not None
            heard = []
            for line in demo.stdout:
                heard.append(line)
                if until in line:
                    break
            else:
                pytest.fail(f"the demo ended before it said {until!r}: {''.join(heard)}")
            yield demo
        finally:
            demo.kill()


def assert_no_process_is_left(folder: Path) -> None:
    """Nothing of the demo lives; the kernel is given a moment to end what it was told to end."""
    deadline = time.monotonic() + 20
    while left := processes_of(folder):
        assert time.monotonic() < deadline, f"processes outlive the demo: {left}"
        time.sleep(0.05)


def run(folder: Path, *options: str, limit: float = LIMIT) -> dict[str, Any]:
    """A whole demo; its report."""
    done = subprocess.run(
        [sys.executable, "-m", "cli.main", "demo", "--dir", str(folder), *options],
        capture_output=True,
        text=True,
        timeout=limit,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    report: dict[str, Any] = json.loads((folder / "report.json").read_text())
    return report


def test_an_engine_that_cannot_be_had_is_refused_in_one_line_and_nothing_is_begun(tmp_path: Path) -> None:
    refused = subprocess.run(
        [sys.executable, "-m", "cli.main", "demo", "--dir", str(tmp_path / "demo"), "--engine", "qbft"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert refused.returncode == 1
    [line] = refused.stderr.splitlines()
    assert "QBFT cannot be had here" in line and "--engine clique" in line
    assert not (tmp_path / "demo").exists()


LATE = ["puts a request", "sends its fresh SSH key", "saw its host key", "switches its machine off", "fails"]
"""Moments that come when agents, nodes and guests run: each run of the tests tries one of them."""


@pytest.mark.parametrize("moment", ["makes its keys", "admits north", "late"])
def test_ctrl_c_leaves_no_process_behind(tmp_path: Path, moment: str) -> None:
    if moment == "late":
        moment = LATE[time.time_ns() // 1000 % len(LATE)]
        print(f"Ctrl-C once it says {moment!r}")
    with playing(tmp_path, moment, "--fake") as demo:
        os.killpg(demo.pid, signal.SIGINT)
        assert demo.wait(30) == 130
    assert_no_process_is_left(tmp_path)


DROPPED = """
import sys
from contextlib import suppress
from pathlib import Path
from cli.demo.stage import Stage, poll
with Stage(Path(sys.argv[1]), lambda at, step: None) as stage:
    with suppress(KeyboardInterrupt):
        stage.break_off(2, None)
    poll("what never comes", lambda: False, stage, 60)
"""


def test_a_ctrl_c_that_python_drops_while_it_starts_a_process_counts_all_the_same(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", DROPPED, str(tmp_path)], timeout=30, check=False)
    assert done.returncode == -signal.SIGINT


def test_the_fake_demo_ends_as_it_should_and_if_kept_goes_on_until_ctrl_c(tmp_path: Path) -> None:
    with playing(tmp_path, "Everything goes on until Ctrl-C", "--fake", "--keep") as demo:
        report = json.loads((tmp_path / "report.json").read_text())
        assert report["problems"] == []
        assert report["conserved"] is True
        assert [lease["plugin"] for lease in report["leases"]] == ["fake"] * 3
        assert all(step["seconds"] >= 0 for step in report["steps"])
        assert demo.poll() is None
        os.killpg(demo.pid, signal.SIGINT)
        assert demo.wait(30) == 0
    assert_no_process_is_left(tmp_path)


def test_a_killed_demo_leaves_no_process_behind(tmp_path: Path) -> None:
    with playing(tmp_path, "joins the witnesses", "--fake") as demo:
        demo.kill()
    assert_no_process_is_left(tmp_path)


def test_a_folder_that_is_no_former_demo_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("dear to me")
    with start(tmp_path, "--fake") as demo:
        said = demo.communicate(timeout=60)[0]
    assert demo.returncode == 1
    assert "is not empty and no former demo" in said
    assert (tmp_path / "thesis.tex").read_text() == "dear to me"


GOOD: dict[str, Any] = {
    "conserved": True,
    "leases": [
        {
            "id": number,
            "request": request,
            "provider": provider,
            "state": "completed",
            "price": 10,
            "paid": 1,
            "refunded": 9,
            "rate_per_hour": 3600,
            "billed_seconds": 1,
            "penalty": 0,
            "sla": int(request > 0),
            "sla_penalty": 0,
            "verdicts": [],
            "switched": [],
            "bond_left": 0,
            "end_reason": reason,
        }
        | more
        for number, request, provider, reason, more in (
            (1, 0, "south", "buyer_early", {}),
            (2, 1, "north", "time", {"paid": 4, "sla_penalty": 2, "refunded": 4, "billed_seconds": 6}),
            (3, 2, "south", "time", {"switched": ["off", "on"]}),
        )
    ],
    "sessions": {str(number): f"I am lease {number}" for number in (1, 2, 3)},
    "award_to_provision_ms": {"1": 1, "2": 1, "3": 1},
    "machines": {"node-1": "available, unowned"},
    "answers": {"2": "no"},
    "witnesses": [{"name": "witness1", "pay": 1}],
}


def each(**change: Any) -> dict[str, Any]:
    """The good leases with something changed in each of them."""
    return {"leases": [lease | change for lease in GOOD["leases"]]}


def test_a_good_report_has_no_problems() -> None:
    assert reports.problems(GOOD) == []


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"conserved": False}, "made or lost"),
        ({"leases": GOOD["leases"][:2]}, "three leases"),
        ({"sessions": {}}, "no login"),
        ({"award_to_provision_ms": {}}, "did not say when"),
        ({"machines": {"node-1": "active, carries ocx-1"}}, "machine node-1 is active"),
        (each(refunded=8), "do not add up"),
        (each(billed_seconds=2), "billed seconds cost"),
        (each(penalty=1), "a penalty was taken"),
        (each(state="ending"), "is ending"),
        (each(provider="north"), "won by north and south"),
        (each(end_reason="time"), "ended early"),
        (each(sla=1), "lease 1 should have no SLA"),
        (each(sla_penalty=0), "cost its provider nothing"),
        (each(sla_penalty=2), "lease 3: its provider was not to blame"),
        (each(switched=["on"]), "does not know that its buyer switched it off"),
        (each(verdicts=[{"problems": ["no quorum published that"]}]), "lease 2: no quorum published that"),
        ({"answers": {"2": "yes"}}, "the witnesses did not say no"),
        ({"witnesses": [{"name": "witness1", "pay": 0}]}, "witness1 was not paid"),
    ],
)
def test_whatever_is_wrong_in_a_report_is_named(change: dict[str, Any], problem: str) -> None:
    assert any(problem in line for line in reports.problems(GOOD | change))
