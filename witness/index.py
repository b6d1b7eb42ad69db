"""Which events of the chain a witness keeps, and as which rows: where it sits, what was published, who asks.

The file can be deleted: it is read again from the chain. Handlers run inside the event reader's transaction,
and must not commit. Nothing is decided by these rows alone: facts that move are read again before anything is
sent.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from chain import disk
from chain.events import Event
from chain.generated import events as ledger
from chain.leaves import Leaf
from chain.published import Opened

__all__ = ["Asked", "Audited", "Delivered", "Index", "Seated"]

_SCHEMA = """
CREATE TABLE IF NOT EXISTS lease (
    lease INTEGER PRIMARY KEY, provider INTEGER NOT NULL, buyer INTEGER NOT NULL, sla INTEGER NOT NULL,
    resources INTEGER NOT NULL, done INTEGER NOT NULL DEFAULT 0, block INTEGER NOT NULL
);
CREATE TABLE IF NOT EXISTS committee (
    lease INTEGER NOT NULL, term INTEGER NOT NULL, seats TEXT NOT NULL, quorum INTEGER NOT NULL,
    drawn INTEGER NOT NULL, block INTEGER NOT NULL, PRIMARY KEY (lease, term)
);
CREATE TABLE IF NOT EXISTS delivery (
    lease INTEGER NOT NULL, block INTEGER NOT NULL, log INTEGER NOT NULL, resources TEXT NOT NULL,
    connection_hash BLOB NOT NULL, host_key BLOB NOT NULL, spec_hash BLOB NOT NULL,
    PRIMARY KEY (lease, block, log)
);
CREATE TABLE IF NOT EXISTS proof (
    lease INTEGER NOT NULL, resources TEXT NOT NULL, guests TEXT NOT NULL, block INTEGER NOT NULL,
    PRIMARY KEY (lease, block)
);
CREATE TABLE IF NOT EXISTS power (lease INTEGER NOT NULL, block INTEGER NOT NULL, PRIMARY KEY (lease, block));
CREATE TABLE IF NOT EXISTS ticked (
    org INTEGER NOT NULL, epoch INTEGER NOT NULL, commitment BLOB NOT NULL, root BLOB NOT NULL,
    salt BLOB NOT NULL, chunks INTEGER NOT NULL, block INTEGER NOT NULL, PRIMARY KEY (org, epoch)
);
CREATE TABLE IF NOT EXISTS published (
    org INTEGER NOT NULL, epoch INTEGER NOT NULL, chunk INTEGER NOT NULL, leaves TEXT NOT NULL,
    block INTEGER NOT NULL, PRIMARY KEY (org, epoch, chunk)
);
CREATE TABLE IF NOT EXISTS inquiry (
    inquiry INTEGER PRIMARY KEY, lease INTEGER NOT NULL, term INTEGER NOT NULL, deadline INTEGER NOT NULL,
    block INTEGER NOT NULL
);
CREATE TABLE IF NOT EXISTS audit (
    audit INTEGER PRIMARY KEY, org INTEGER NOT NULL, epoch INTEGER NOT NULL, lease INTEGER NOT NULL,
    place INTEGER NOT NULL, round INTEGER NOT NULL, deadline INTEGER NOT NULL, block INTEGER NOT NULL
);
"""
_TABLES = ("lease", "committee", "delivery", "proof", "power", "ticked", "published", "inquiry", "audit")


@dataclass(frozen=True, slots=True)
class Seated:
    """A committee as it was drawn: `seats` are organisations, `drawn` the epoch it was drawn in."""

    lease: int
    term: int
    seats: tuple[int, ...]
    quorum: int
    drawn: int


@dataclass(frozen=True, slots=True)
class Delivered:
    """The last `LeaseDelivered` of a lease: its hashes, and the bitmap it named."""

    resources: int
    connection_hash: bytes
    host_key: bytes
    spec_hash: bytes


@dataclass(frozen=True, slots=True)
class Asked:
    """An inquiry that may be open."""

    inquiry: int
    lease: int
    term: int
    deadline: int


@dataclass(frozen=True, slots=True)
class Audited:
    """An audit of ours that may be open."""

    audit: int
    epoch: int
    lease: int
    place: int
    round: int
    deadline: int


class Index:
    """The rows of one witness organisation, and the handler that writes them.

    `touched`: leases something happened to since they were last taken out.
    """

    def __init__(self, path: Path, org: int) -> None:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.db = disk.connect(path, check_same_thread=False)
        self.db.execute("PRAGMA journal_mode = WAL")
        self.db.execute("PRAGMA synchronous = NORMAL")
        self.db.executescript(_SCHEMA)
        self._org = org
        self.touched: set[int] = set()
        self._down: dict[tuple[int, int], dict[tuple[int, int], int]] = {}

    def close(self) -> None:
        """Close the file."""
        self.db.close()

    # ---- what is written ---------------------------------------------------------------------------------

    def handle(self, db: sqlite3.Connection, event: Event) -> None:
        """Write what an event means for a witness."""
        self._write(db, event)
        lease = getattr(event.payload, "lease", None)
        if isinstance(lease, int):
            self.touched.add(lease)

    def _write(self, db: sqlite3.Connection, event: Event) -> None:
        said, block = event.payload, event.block_number
        match said:
            case ledger.LeaseOpened() if said.sla:
                parties = (said.provider, said.buyer)
                _put(db, "lease", said.lease, *parties, said.sla, len(said.resources), 0, block)
            case ledger.LeaseDelivered():
                hashes = (said.connection_hash, said.host_key, said.spec_hash)
                _put(db, "delivery", said.lease, block, event.log_index, hex(said.resources), *hashes)
            case ledger.CommitteeDrawn():
                seats = json.dumps(said.seats)
                _put(db, "committee", said.lease, said.term, seats, said.quorum, said.epoch, block)
            case ledger.DeliveryProven():
                _put(db, "proof", said.lease, hex(said.resources), json.dumps(said.guests), block)
            case ledger.PowerRecorded():
                _put(db, "power", said.lease, block)
            case ledger.Ticked():
                opening = (said.root, said.salt, said.chunks)
                _put(db, "ticked", said.org, said.epoch, said.commitment, *opening, block)
            case ledger.LeavesPublished():
                text = json.dumps([_leaf_row(leaf) for leaf in said.leaves], separators=(",", ":"))
                self._down.pop((said.org, said.epoch), None)
                _put(db, "published", said.org, said.epoch, said.chunk, text, block)
            case ledger.InquiryAsked():
                _put(db, "inquiry", said.inquiry, said.lease, said.term, said.deadline, block)
            case ledger.AuditOpened() if said.org == self._org:
                what = (said.lease, said.place, said.round)
                _put(db, "audit", said.audit, said.org, said.epoch, *what, said.deadline, block)

    def rewind(self, db: sqlite3.Connection, block: int) -> None:
        """Forget what was written for blocks after the one given."""
        self._down.clear()
        for table in _TABLES:
            db.execute(f"DELETE FROM {table} WHERE block > ?", (block,))  # noqa: S608

    def set_done(self, lease: int) -> None:
        """Nothing can happen to this lease any more that a witness cares about."""
        self.db.execute("UPDATE lease SET done = 1 WHERE lease = ?", (lease,))

    def forget_before(self, epoch: int, now: int) -> None:
        """Drop what was published for older epochs, and questions whose time was over long ago."""
        self._down.clear()
        for table in ("ticked", "published"):
            self.db.execute(f"DELETE FROM {table} WHERE epoch < ?", (epoch,))  # noqa: S608
        for table in ("inquiry", "audit"):
            self.db.execute(f"DELETE FROM {table} WHERE deadline < ?", (now - 86_400,))  # noqa: S608

    # ---- what is read ------------------------------------------------------------------------------------

    def open_leases(self) -> list[int]:
        """Leases with an SLA that are not done with."""
        return [
            int(row[0]) for row in self.db.execute("SELECT lease FROM lease WHERE done = 0 ORDER BY lease")
        ]

    def sla_of(self, lease: int) -> int:
        """The SLA a lease was opened with; 0 if it has none or is not known."""
        row = self.db.execute("SELECT sla FROM lease WHERE lease = ?", (lease,)).fetchone()
        return 0 if row is None else int(row[0])

    def committees(self, lease: int) -> dict[int, Seated]:
        """The committees of a lease by term."""
        rows = self.db.execute(
            "SELECT lease, term, seats, quorum, drawn FROM committee WHERE lease = ? ORDER BY term", (lease,)
        )
        return {
            term: Seated(number, term, tuple(json.loads(seats)), quorum, drawn)
            for number, term, seats, quorum, drawn in rows
        }

    def delivery(self, lease: int) -> Delivered | None:
        """The newest delivery of a lease."""
        row = self.db.execute(
            "SELECT resources, connection_hash, host_key, spec_hash FROM delivery WHERE lease = ?"
            " ORDER BY block DESC, log DESC LIMIT 1",
            (lease,),
        ).fetchone()
        if row is None:
            return None
        return Delivered(int(row[0], 16), bytes(row[1]), bytes(row[2]), bytes(row[3]))

    def was_switched(self, lease: int) -> bool:
        """Whether its buyer ever had power recorded."""
        return self.db.execute("SELECT 1 FROM power WHERE lease = ?", (lease,)).fetchone() is not None

    def proven(self, lease: int) -> tuple[int, tuple[str, ...]] | None:
        """What its committee proved last: the bitmap of machines, and the responders' keys by place."""
        row = self.db.execute(
            "SELECT resources, guests FROM proof WHERE lease = ? ORDER BY block DESC LIMIT 1", (lease,)
        ).fetchone()
        return None if row is None else (int(row[0], 16), tuple(json.loads(row[1])))

    def opened(self, org: int, epoch: int) -> Opened:
        """What a witness committed to for an epoch, opened with the next tick, and published."""
        tick, next_ = self._tick(org, epoch), self._tick(org, epoch + 1)
        found = self.db.execute(
            "SELECT leaves FROM published WHERE org = ? AND epoch = ? ORDER BY chunk", (org, epoch)
        )
        chunks = tuple(tuple(map(_leaf, json.loads(row[0]))) for row in found)
        none = (bytes(32), bytes(32), bytes(32), 0)
        root, salt, count = (next_ or none)[1:]
        return Opened(org, epoch, (tick or none)[0], root, salt, count, chunks)

    def _tick(self, org: int, epoch: int) -> tuple[bytes, bytes, bytes, int] | None:
        row = self.db.execute(
            "SELECT commitment, root, salt, chunks FROM ticked WHERE org = ? AND epoch = ?", (org, epoch)
        ).fetchone()
        return None if row is None else (bytes(row[0]), bytes(row[1]), bytes(row[2]), int(row[3]))

    def down(self, org: int, epoch: int) -> dict[tuple[int, int], int]:
        """Down rounds by lease and place, as a witness published them."""
        found = self._down.get((org, epoch))
        if found is None:
            chunks = self.opened(org, epoch).chunks
            found = self._down[org, epoch] = {leaf.key: leaf.down for chunk in chunks for leaf in chunk}
        return found

    def published(self, org: int, epoch: int) -> frozenset[int]:
        """Which chunks of an epoch are on chain."""
        rows = self.db.execute("SELECT chunk FROM published WHERE org = ? AND epoch = ?", (org, epoch))
        return frozenset(int(row[0]) for row in rows)

    def inquiries(self, now: int) -> list[Asked]:
        """Inquiries whose time is not over."""
        rows = self.db.execute(
            "SELECT inquiry, lease, term, deadline FROM inquiry WHERE deadline > ? ORDER BY inquiry", (now,)
        )
        return [Asked(*row) for row in rows]

    def audits(self, now: int) -> list[Audited]:
        """Audits of ours whose time is not over."""
        rows = self.db.execute(
            "SELECT audit, epoch, lease, place, round, deadline FROM audit WHERE org = ? AND deadline > ?"
            " ORDER BY deadline",
            (self._org, now),
        )
        return [Audited(*row) for row in rows]

    def take_touched(self) -> set[int]:
        """Leases something happened to since this was last asked."""
        touched, self.touched = self.touched, set()
        return touched


def _put(db: sqlite3.Connection, table: str, *values: object) -> None:
    """Write a row; one that is there already stays as it is."""
    places = ", ".join("?" * len(values))
    db.execute(f"INSERT OR IGNORE INTO {table} VALUES ({places})", values)  # noqa: S608  names of our own


def _leaf_row(values: Iterable[object]) -> list[object]:
    """A leaf of an event, as JSON can hold it."""
    lease, place, measured, down, samples = values
    assert isinstance(measured, int) and isinstance(down, int) and isinstance(samples, bytes)  # noqa: S101
    return [lease, place, hex(measured), hex(down), samples.hex()]


def _leaf(row: list[object]) -> Leaf:
    lease, place, measured, down, samples = row
    return Leaf(
        int(str(lease)),
        int(str(place)),
        int(str(measured), 16),
        int(str(down), 16),
        bytes.fromhex(str(samples)),
    )
