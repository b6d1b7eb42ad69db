"""What was measured, for good: an append-only SQLite file that loses no committed sample, not even by kill
-9.

A measurement counts only once it is committed. Measurements wait a moment for each other, so that many share
one sync of the disk. Closing an epoch fixes it: nothing is added to it any more, its leaves and its Merkle
root are computed once and kept, so that no restart can make a witness publish two different leaves. Nothing
is changed, ever (the file itself refuses); whole epochs are dropped once they are older than they have to be
kept.

One process at a time: a second one would measure twice. All methods may be called from any thread. This
module must not know where measurements come from, and does not judge them.
"""

from __future__ import annotations

import fcntl
import logging
import sqlite3
import threading
from collections.abc import Iterator, Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import IO, Any

from chain import disk
from chain.disk import DiskTrouble
from chain.leaves import Leaf, Sample, root_of, samples_root
from market.errors import Permanent

__all__ = ["Log", "Measurement"]

_log = logging.getLogger(__name__)

_SCHEMA = """
CREATE TABLE IF NOT EXISTS identity (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS sample (
    epoch INTEGER NOT NULL, round INTEGER NOT NULL, lease INTEGER NOT NULL, place INTEGER NOT NULL,
    at INTEGER NOT NULL, outcome INTEGER NOT NULL, reason TEXT NOT NULL, took INTEGER NOT NULL,
    nonce BLOB, signature BLOB, detail TEXT,
    PRIMARY KEY (epoch, round, lease, place)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS closed (epoch INTEGER PRIMARY KEY);
CREATE TABLE IF NOT EXISTS leaf (
    epoch INTEGER NOT NULL, lease INTEGER NOT NULL, place INTEGER NOT NULL,
    measured BLOB NOT NULL, down BLOB NOT NULL, samples BLOB NOT NULL,
    PRIMARY KEY (epoch, lease, place)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS root (epoch INTEGER PRIMARY KEY, root BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS dropped (samples_before INTEGER NOT NULL, leaves_before INTEGER NOT NULL);
"""
_KEPT = {
    "sample": "samples_before",
    "leaf": "leaves_before",
    "root": "leaves_before",
    "closed": "leaves_before",
}
_COLUMNS = "epoch, round, lease, place, at, outcome, reason, took, nonce, signature, detail"
_MOST_WAITING = 200_000
"""Measurements that may wait for a disk that hangs; more are refused rather than filling the memory."""


@dataclass(frozen=True, slots=True)
class Measurement:
    """One measurement of one machine, as it is logged.

    `at`: unix milliseconds when it began; `outcome`: 1 up, 2 down (provider), 3 down (buyer), 4 cannot tell.
    `reason`: a word of `attribution.Reason`; `took`: milliseconds; `detail`: what was seen, for people.
    `nonce` and `signature`: of the responder in the machine, empty without one.
    """

    epoch: int
    lease: int
    place: int
    round: int
    at: int
    outcome: int
    reason: str
    nonce: bytes = bytes(32)
    signature: bytes = b""
    took: int = 0
    detail: str = ""

    def sample(self) -> Sample:
        """As it stands under the Merkle root of its leaf."""
        return Sample(self.round, self.at, self.outcome, self.nonce, self.signature)


class Log:
    """The log in one file; `Permanent` if another process has it open, or it belongs to another witness.

    `batch`: seconds a measurement waits for others to share a sync; `identity`: whose log it is (chain,
    contract, organisation), pinned when the file is made.
    """

    def __init__(self, path: Path, *, batch: float = 0.1, identity: Mapping[str, str] | None = None) -> None:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.path = path
        self._lock_file = _lock(path)
        self._batch = batch
        self._guard = threading.RLock()  # the writing connection
        self._wake = threading.Condition()  # the queue
        self._queue: list[tuple[Measurement, Future[bool]]] = []
        self._ends = False
        self.synced = 0
        """Syncs of the disk so far; with `committed` it says how many measurements share one."""
        self.committed = 0
        """Measurements committed since the start."""
        try:
            self._db = self._open()
            self._pin(identity or {})
            self._closed = {int(row[0]) for row in self._db.execute("SELECT epoch FROM closed")}
        except BaseException:
            self._lock_file.close()
            raise
        self._reader = disk.connect(path, check_same_thread=False)
        self._reading = threading.Lock()
        self._thread = threading.Thread(target=self._write, name="witness-log", daemon=True)
        self._thread.start()

    # ---- writing -----------------------------------------------------------------------------------------

    def add(self, measurement: Measurement) -> Future[bool]:
        """Have it committed; done with True then. False: that round of that machine, or the close of its
        epoch, was there before.

        Fails with `DiskTrouble` if the disk refused it: the round has no measurement then.
        """
        future: Future[bool] = Future()
        future.set_running_or_notify_cancel()  # who stops waiting does not take it back
        with self._wake:
            if self._ends or len(self._queue) >= _MOST_WAITING:
                future.set_exception(DiskTrouble(f"{self.path} takes no more measurements now"))
                return future
            self._queue.append((measurement, future))
            self._wake.notify()
        return future

    def flush(self) -> None:
        """Commit what waits, now; blocking for a sync of the disk."""
        with self._guard:
            self._flush()

    def close(self, epoch: int) -> bytes:
        """Close an epoch and compute its leaves; returns the Merkle root over all of them, again and again
        the same.

        Blocking, for seconds with thousands of machines: call it in a thread. Zero bytes if there are no
        leaves.
        """
        with self._guard:
            self._flush()
            if epoch not in self._closed:
                self._db.execute("INSERT OR IGNORE INTO closed VALUES (?)", (epoch,))
                self._closed.add(epoch)
        known = self.root(epoch)
        return known if known is not None else self._seal(epoch)

    def prune(self, samples_before: int, leaves_before: int) -> int:
        """Drop the samples, and the leaves, of epochs before these; returns how many rows went."""
        with self._guard, disk.transaction(self._db) as db:
            db.execute("INSERT INTO dropped VALUES (?, ?)", (samples_before, leaves_before))
            limits = {"samples_before": samples_before, "leaves_before": leaves_before}
            gone = 0
            for table, limit in _KEPT.items():
                statement = f"DELETE FROM {table} WHERE epoch < ?"  # noqa: S608  a table of ours
                gone += db.execute(statement, (limits[limit],)).rowcount
            return gone

    def stop(self) -> None:
        """Commit what waits, and let the file go."""
        with self._wake:
            self._ends = True
            self._wake.notify()
        self._thread.join()
        with self._guard, self._reading:
            self._db.close()
            self._reader.close()
        self._lock_file.close()

    def _write(self) -> None:
        """The thread that commits."""
        while True:
            with self._wake:
                self._wake.wait_for(lambda: self._queue or self._ends)
                if not self._ends:
                    self._wake.wait_for(lambda: self._ends, self._batch)  # for others to come
                if self._ends and not self._queue:
                    return
            with self._guard:
                self._flush()

    def _flush(self) -> None:
        """Commit all that waits; whoever waits is told after the sync. Needs the guard."""
        with self._wake:
            waiting, self._queue = self._queue, []
        if not waiting:
            return
        try:
            with disk.transaction(self._db) as db:
                new = [self._insert(db, measurement) for measurement, _ in waiting]
        except Exception as error:  # noqa: BLE001  whatever it is, whoever waits has to hear of it
            _log.warning("%d measurements could not be written: %s", len(waiting), error)
            for _, future in waiting:
                future.set_exception(error)
            return
        self.synced += 1
        self.committed += sum(new)
        for (_, future), is_new in zip(waiting, new, strict=True):
            future.set_result(is_new)

    def _insert(self, db: sqlite3.Connection, item: Measurement) -> bool:
        if item.epoch in self._closed:
            return False
        row = (
            item.epoch, item.round, item.lease, item.place, item.at, item.outcome, item.reason, item.took,
            item.nonce if any(item.nonce) else None, item.signature or None, item.detail or None,
        )  # fmt: skip
        places = ", ".join("?" * len(row))
        return db.execute(f"INSERT OR IGNORE INTO sample ({_COLUMNS}) VALUES ({places})", row).rowcount == 1  # noqa: S608

    def _seal(self, epoch: int) -> bytes:
        """Compute and keep the leaves of a closed epoch; another call may be doing the same, with the same
        result.
        """
        leaves = list(self._compute(epoch))
        root = root_of(leaves) if leaves else bytes(32)
        with self._guard, disk.transaction(self._db) as db:
            for leaf in leaves:
                bits = leaf.measured.to_bytes(32, "big"), leaf.down.to_bytes(32, "big")
                row = (epoch, leaf.lease, leaf.place, *bits, leaf.samples)
                db.execute("INSERT OR IGNORE INTO leaf VALUES (?, ?, ?, ?, ?, ?)", row)
            db.execute("INSERT OR IGNORE INTO root VALUES (?, ?)", (epoch, root))
        return root

    def _compute(self, epoch: int) -> Iterator[Leaf]:
        """The leaves, from the samples alone; on a connection of its own, since it takes long."""
        db = disk.connect(self.path, check_same_thread=False)
        try:
            rows = db.execute(
                f"SELECT {_COLUMNS} FROM sample WHERE epoch = ? ORDER BY lease, place, round",  # noqa: S608
                (epoch,),
            )
            for (lease, place), group in groupby(map(_measurement, rows), key=lambda m: (m.lease, m.place)):
                yield _leaf(lease, place, [item.sample() for item in group])
        finally:
            db.close()

    # ---- reading -----------------------------------------------------------------------------------------

    def done(self, epoch: int) -> dict[tuple[int, int], int]:
        """By lease and place: the rounds of an epoch that have a measurement, as a bitmap."""
        found: dict[tuple[int, int], int] = {}
        for lease, place, number in self._read(
            "SELECT lease, place, round FROM sample WHERE epoch = ?", (epoch,)
        ):
            found[lease, place] = found.get((lease, place), 0) | 1 << number
        return found

    def measured(self, lease: int, place: int, first_epoch: int, last_epoch: int) -> list[Measurement]:
        """All committed measurements of a machine in these epochs (both included), in order of rounds."""
        found: list[Measurement] = []
        for epoch in range(first_epoch, last_epoch + 1):
            found += map(_measurement, self._read(_OF_ONE, (epoch, epoch, lease, place)))
        return found

    def samples(self, lease: int, place: int, epoch: int) -> list[Sample]:
        """The samples of one leaf by round, as its Merkle root has them: for audits."""
        return [item.sample() for item in self.measured(lease, place, epoch, epoch)]

    def root(self, epoch: int) -> bytes | None:
        """The root of a closed epoch; None while it is open, or not yet computed."""
        rows = self._read("SELECT root FROM root WHERE epoch = ?", (epoch,))
        return bytes(rows[0][0]) if rows else None

    def leaves(self, epoch: int) -> list[Leaf]:
        """All leaves of an epoch by lease and place; closes it: it takes no more measurements from now on.

        Blocking like `close`.
        """
        self.close(epoch)
        rows = self._read(
            "SELECT lease, place, measured, down, samples FROM leaf WHERE epoch = ? ORDER BY lease, place",
            (epoch,),
        )
        return [
            Leaf(lease, place, int.from_bytes(measured, "big"), int.from_bytes(down, "big"), bytes(samples))
            for lease, place, measured, down, samples in rows
        ]

    def _read(self, statement: str, values: tuple[Any, ...]) -> list[Any]:
        with self._reading:
            return self._reader.execute(statement, values).fetchall()

    # ---- opening -----------------------------------------------------------------------------------------

    def _open(self) -> sqlite3.Connection:
        db = disk.connect(self.path, check_same_thread=False)
        self.path.chmod(0o600)
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("PRAGMA synchronous = FULL")  # a sync at each commit, also in WAL mode
        db.executescript(_SCHEMA)
        for table, limit in _KEPT.items():
            db.execute(f"CREATE TRIGGER IF NOT EXISTS {table}_is_final BEFORE UPDATE ON {table} {_NEVER}")
            young = f"OLD.epoch >= coalesce((SELECT max({limit}) FROM dropped), 0)"  # noqa: S608
            db.execute(
                f"CREATE TRIGGER IF NOT EXISTS {table}_is_kept BEFORE DELETE ON {table} WHEN {young} {_NEVER}"
            )
        return db

    def _pin(self, identity: Mapping[str, str]) -> None:
        with disk.transaction(self._db) as db:
            for name, value in identity.items():
                db.execute("INSERT OR IGNORE INTO identity VALUES (?, ?)", (name, value))
            kept = dict(db.execute("SELECT name, value FROM identity").fetchall())
        if any(kept[name] != value for name, value in identity.items()):
            raise Permanent(
                f"{self.path} holds the measurements of another witness or chain",
                hint="Give each witness a state folder of its own, and never copy one between networks.",
            )


_NEVER = "BEGIN SELECT RAISE(ABORT, 'the log is append-only'); END"
_OF_ONE = """
WITH RECURSIVE n(round) AS (SELECT 0 UNION ALL SELECT round + 1 FROM n WHERE round < 255)
SELECT s.epoch, s.round, s.lease, s.place, s.at, s.outcome, s.reason, s.took, s.nonce, s.signature, s.detail
FROM n CROSS JOIN sample s ON s.epoch = ? AND s.round = n.round
WHERE s.epoch = ? AND s.lease = ? AND s.place = ? ORDER BY s.round
"""
"""Each round by the primary key."""


def _lock(path: Path) -> IO[bytes]:
    """Held by the open file as long as the process lives, whatever ends it."""
    file = path.with_name(f"{path.name}.lock").open("ab")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        file.close()
        raise Permanent(
            f"another process writes the log {path}",
            hint="One witness has one node. Stop the other one, or give this one a state folder of its own.",
        ) from None
    return file


def _measurement(row: Any) -> Measurement:
    epoch, number, lease, place, at, outcome, reason, took, nonce, signature, detail = row
    nonce, signature = bytes(nonce or bytes(32)), bytes(signature or b"")
    return Measurement(epoch, lease, place, number, at, outcome, reason, nonce, signature, took, detail or "")


def _leaf(lease: int, place: int, samples: list[Sample]) -> Leaf:
    """The bitmaps of one machine in an epoch: what could not be told is in neither."""
    measured = sum(1 << sample.round for sample in samples if sample.outcome in (1, 2, 3))
    down = sum(1 << sample.round for sample in samples if sample.outcome == 2)
    return Leaf(lease, place, measured, down, samples_root(samples))
