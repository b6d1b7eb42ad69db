"""Validators that are killed, one, two or all; one whose disk is full; one that comes late."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.network.faults.judge import chain_keeps_its_word
from tests.network.faults.stage import LATE, Stage
from tests.provisioner.world import wait_for

pytestmark = [pytest.mark.engine, pytest.mark.timeout(400)]


def test_one_of_four_killed_stops_nobody_and_it_catches_up(four: Stage) -> None:
    four.keep("kill", "v2")
    began, height = time.monotonic(), four.height()
    last = four.journal.first_after(began, 8)
    four.wait(lambda found: (found.height or 0) >= height + 4, "4 blocks further")
    four.note("one down", confirmations_8_in=last.at - began)
    began = time.monotonic()
    four.keep("start", "v2")
    four.recovered("one down", began)
    chain_keeps_its_word(four)


def test_with_two_of_four_killed_nothing_is_confirmed_until_one_is_back(four: Stage) -> None:
    four.keep("kill", "v3", "v4")
    height = max(four.head("v1"), four.head("v2"))
    stand = four.stand(5, "v1", "v2")
    assert max(stand.values()) <= height + 2, "half of the validators make two blocks at most"
    assert not [told for told in four.journal.told if told.block_number + 3 > max(stand.values())]
    began = time.monotonic()
    four.keep("start", "v3")
    told = four.journal.first_after(began)
    four.note("two down", told_after_one_is_back=told.at - began)
    began = time.monotonic()
    four.keep("start", "v4")
    four.recovered("two down", began)
    chain_keeps_its_word(four)


def test_all_killed_and_started_again_go_on(four: Stage) -> None:
    four.keep("kill", *four.names)
    confirmed = len(four.journal.told)
    asked = sum(four.journal.waits.values())
    four.journal.until(lambda: sum(four.journal.waits.values()) > asked, "callers to be told to wait", 120)
    began = time.monotonic()
    four.keep("start", *four.names)
    four.recovered("all killed", began)
    assert chain_keeps_its_word(four) > confirmed


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a node a small disk")
def test_a_validator_whose_disk_is_full_ends_and_harms_nobody_and_goes_on_once_there_is_room(
    four: Stage,
) -> None:
    four.keep("stop", "v3")
    with _small_disk(four.home("v3") / "data") as disk:
        four.keep("start", "v3")
        four.whole()
        began = time.monotonic()
        _fill(disk / "filler")
        wait_for("the node to end", lambda: "ended" in _state(four, "v3"), 120)
        four.note("disk full", node_ended_after=time.monotonic() - began, how=_state(four, "v3"))
        began = time.monotonic()
        four.journal.first_after(began, 4)
        (disk / "filler").unlink()
        began = time.monotonic()
        four.keep("start", "v3")
        four.recovered("disk full", began)
        chain_keeps_its_word(four)
        four.keep("stop", "v3")


def test_who_comes_late_follows_from_block_0_while_the_load_runs(four: Stage) -> None:
    shutil.rmtree(four.home(LATE) / "data", ignore_errors=True)
    began = time.monotonic()
    four.keep("start", LATE)
    wait_for("its socket", lambda: (four.home(LATE) / "data" / "geth.ipc").exists(), 60)
    first = four.head(LATE)
    height = four.height()
    wait_for("it to be level", lambda: four.head(LATE) >= height, 180)
    four.note("late joiner", level_after=time.monotonic() - began, blocks=height, began_at=first)
    four.journal.first_after(began, 2)
    chain_keeps_its_word(four, [*four.names, LATE])
    four.keep("stop", LATE)


def _state(stage: Stage, name: str) -> str:
    return next(node.state for node in stage.status().nodes if node.name == name)


@contextmanager
def _small_disk(folder: Path) -> Iterator[Path]:
    """A folder's content on a disk of its own while in here, and back where it was after."""
    aside = folder.with_name("data-aside")
    folder.rename(aside)
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256m,mode=700", "ocx", str(folder)], check=True)
    try:
        shutil.copytree(aside, folder, dirs_exist_ok=True)
        yield folder
    finally:
        shutil.rmtree(aside)
        shutil.copytree(folder, aside, ignore=lambda path, names: [n for n in names if n.endswith(".ipc")])
        subprocess.run(["umount", "-l", str(folder)], check=True)
        folder.rmdir()
        aside.rename(folder)


def _fill(path: Path) -> None:
    """Leave no byte free."""
    with path.open("wb", buffering=0) as filler:
        size = 1 << 20
        while size:
            try:
                filler.write(bytes(size))
            except OSError:
                size //= 2
