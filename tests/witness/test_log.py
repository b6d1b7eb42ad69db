"""The measurement log: nothing committed is lost, nothing is changed, nobody writes beside us."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from chain.disk import DiskTrouble
from chain.leaves import Tree, root_of, verify
from market.errors import Permanent
from witness.log import Log, Measurement

ROOT = Path(__file__).resolve().parents[2]
EPOCH = 400_000


@pytest.fixture
def log(tmp_path: Path) -> Iterator[Log]:
    made = Log(tmp_path / "witness.db", batch=0.0)
    yield made
    made.stop()


def made(lease: int, round_: int, outcome: int = 1, *, place: int = 0, epoch: int = EPOCH) -> Measurement:
    return Measurement(epoch, lease, place, round_, 1_000 + round_, outcome, "answers")


def test_a_measurement_is_in_the_file_once_its_future_is_done(log: Log) -> None:
    receipt = Measurement(EPOCH, 7, 1, 3, 123, 2, "silent", b"n" * 32, b"s" * 65, 12, "nothing came")
    assert log.add(receipt).result(10)
    with sqlite3.connect(log.path) as other:
        assert other.execute("SELECT count(*) FROM sample").fetchone() == (1,)
    assert log.measured(7, 1, EPOCH, EPOCH) == [receipt]
    assert log.samples(7, 1, EPOCH) == [receipt.sample()]


def test_a_round_of_a_machine_is_measured_once(log: Log) -> None:
    assert log.add(made(7, 3, 1)).result(10)
    assert not log.add(made(7, 3, 2)).result(10)
    assert [item.outcome for item in log.measured(7, 0, EPOCH, EPOCH)] == [1]
    assert log.done(EPOCH) == {(7, 0): 0b1000}


def test_who_stops_waiting_takes_nothing_back_and_stops_nobody_else(log: Log) -> None:
    with log._guard:  # the writer waits
        first = log.add(made(7, 1))
        assert not first.cancel()
    assert first.result(10)
    assert log.add(made(7, 2)).result(10)


def test_a_leaf_has_what_was_measured_and_what_was_down(log: Log) -> None:
    for round_, outcome in enumerate((1, 2, 3, 4, 2)):
        log.add(made(7, round_, outcome))
    (leaf,) = log.leaves(EPOCH)
    assert (leaf.lease, leaf.place) == (7, 0)
    assert leaf.measured == 0b10111
    assert leaf.down == 0b10010


def test_samples_and_leaves_stand_under_their_roots(log: Log) -> None:
    for lease in (9, 7):
        for place in (1, 0):
            for round_ in (5, 2, 200):
                log.add(made(lease, round_, place=place))
    root = log.close(EPOCH)
    leaves = log.leaves(EPOCH)
    assert [leaf.key for leaf in leaves] == [(7, 0), (7, 1), (9, 0), (9, 1)]
    assert root == root_of(leaves) == log.root(EPOCH)
    samples = log.samples(7, 1, EPOCH)
    tree = Tree.of(samples)
    assert leaves[1].samples == tree.root
    assert verify(leaves[1].samples, samples[2].hash, tree.proof(2))


def test_a_closed_epoch_takes_nothing_more_and_keeps_its_root(tmp_path: Path) -> None:
    log = Log(tmp_path / "witness.db")
    log.add(made(7, 1))
    root = log.close(EPOCH)
    assert not log.add(made(7, 2)).result(10)
    assert log.close(EPOCH) == root
    log.stop()
    again = Log(tmp_path / "witness.db")
    assert not again.add(made(7, 2)).result(10)
    assert again.root(EPOCH) == root == again.close(EPOCH)
    again.stop()


def test_an_epoch_that_was_closed_but_not_computed_is_computed_later(log: Log) -> None:
    """A kill between the two."""
    log.add(made(7, 1)).result(10)
    log._db.execute("INSERT INTO closed VALUES (?)", (EPOCH,))
    log._closed.add(EPOCH)
    assert log.root(EPOCH) is None
    assert len(log.leaves(EPOCH)) == 1


def test_an_epoch_without_measurements_has_no_leaves(log: Log) -> None:
    assert log.leaves(EPOCH) == []
    assert log.close(EPOCH) == bytes(32)


@pytest.mark.parametrize("table", ["sample", "leaf", "root", "closed"])
def test_the_file_itself_refuses_to_change_or_lose_a_row(log: Log, table: str) -> None:
    log.add(made(7, 1))
    log.close(EPOCH)
    with sqlite3.connect(log.path) as other:
        with pytest.raises(sqlite3.IntegrityError, match="append-only"):
            other.execute(f"UPDATE {table} SET epoch = epoch + 1")  # noqa: S608
        with pytest.raises(sqlite3.IntegrityError, match="append-only"):
            other.execute(f"DELETE FROM {table}")  # noqa: S608


def test_what_is_old_enough_is_dropped_and_nothing_younger(log: Log) -> None:
    for epoch in range(EPOCH, EPOCH + 4):
        log.add(made(7, 1, epoch=epoch)).result(10)
        log.close(epoch)
    log.prune(samples_before=EPOCH + 2, leaves_before=EPOCH + 1)
    assert [len(log.samples(7, 0, epoch)) for epoch in range(EPOCH, EPOCH + 4)] == [0, 0, 1, 1]
    assert [log.root(epoch) is None for epoch in range(EPOCH, EPOCH + 4)] == [True, False, False, False]


def test_a_second_process_may_not_write_the_same_log(log: Log) -> None:
    program = "import sys, pathlib; from witness.log import Log; Log(pathlib.Path(sys.argv[1]))"
    other = subprocess.run(
        [sys.executable, "-c", program, str(log.path)], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert other.returncode == 1
    assert "another process writes the log" in other.stderr


def test_a_log_of_another_witness_is_refused(tmp_path: Path) -> None:
    Log(tmp_path / "witness.db", identity={"org": "3"}).stop()
    Log(tmp_path / "witness.db", identity={"org": "3"}).stop()
    with pytest.raises(Permanent, match="another witness"):
        Log(tmp_path / "witness.db", identity={"org": "4"})


def test_a_disk_that_refuses_is_told_to_who_waits_and_the_log_goes_on(log: Log) -> None:
    other = sqlite3.connect(log.path, isolation_level=None)
    log._db.execute("PRAGMA busy_timeout = 50")
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(DiskTrouble):
        log.add(made(7, 1)).result(10)
    other.execute("ROLLBACK")
    other.close()
    assert log.add(made(7, 1)).result(10)


_WRITER = """
import pathlib, sys
from witness.log import Log, Measurement
log = Log(pathlib.Path(sys.argv[1]), batch=0.002)
number = 0
while True:
    futures = []
    for _ in range(50):
        one = Measurement(5, 1 + number // 256, 0, number % 256, number, 1, "answers")
        futures.append((number, log.add(one)))
        number += 1
    for told, future in futures:
        if future.result():
            print(told, flush=True)
"""


def test_a_killed_process_loses_no_measurement_it_was_told_is_committed(tmp_path: Path) -> None:
    path, told = tmp_path / "witness.db", 0
    for _ in range(5):
        with subprocess.Popen(
            [sys.executable, "-c", _WRITER, str(path)], cwd=ROOT, stdout=subprocess.PIPE, text=True
        ) as process:
            assert process.stdout is not None
            heard = [int(process.stdout.readline())]
            while len(heard) < 300:
                heard.append(int(process.stdout.readline()))
            os.kill(process.pid, signal.SIGKILL)
            heard += [int(line) for line in process.stdout.read().split("\n")[:-1]]
        log = Log(path)  # the lock went with the process
        there = {at for (at,) in log._read("SELECT at FROM sample", ())}
        assert set(heard) <= there
        assert len(there) >= told
        told = len(there)
        assert log._db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        log.prune(10, 0)  # the next one begins anew
        log.stop()
