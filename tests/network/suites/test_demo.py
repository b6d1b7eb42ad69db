"""`ocx demo` in its longest forms: with real clouds, and on four validators, to its end and broken off."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from tests.cli.demo.test_demo import assert_no_process_is_left, playing, processes_of, run


@pytest.mark.lab
@pytest.mark.timeout(400)
def test_the_demo_leases_bare_metal_a_virtual_machine_and_what_a_playbook_made(tmp_path: Path) -> None:
    report = run(tmp_path)
    assert report["problems"] == []
    assert {lease["plugin"] for lease in report["leases"]} == {"ironic", "aws", "ansible"}
    assert set(report["machines"].values()) == {"available, unowned", "terminated", "unowned"}
    assert report["conserved"] is True
    assert_no_process_is_left(tmp_path)


@pytest.mark.engine
@pytest.mark.timeout(600)
def test_the_main_job_is_played_on_four_validators(tmp_path: Path) -> None:
    report = run(tmp_path, "--fake", "--engine", "clique", limit=540)
    assert (report["engine"], report["problems"], report["conserved"]) == ("clique", [], True)
    assert len(report["leases"]) == 3
    assert_no_process_is_left(tmp_path)


@pytest.mark.engine
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_its_validators_end_with_it(tmp_path: Path, how: signal.Signals) -> None:
    with playing(tmp_path, "4 validators make blocks", "--fake", "--engine", "clique") as demo:
        assert len(processes_of(tmp_path / "chain" / "nodes")) == 4
        os.kill(demo.pid, how)
        demo.wait(60)
    assert_no_process_is_left(tmp_path)
