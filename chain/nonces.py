"""The sender's journal: which nonce was given to which transaction, kept across processes and crashes.

One SQLite file per (chain, account). A row is committed before its transaction leaves the house, so whatever
happens afterwards can be found out by asking the chain for the hashes in it. A file lock, which the kernel
drops when its holder dies, makes "take a nonce, write it down, broadcast" one step among processes.
It must not speak to the chain and must not sign.
"""

from __future__ import annotations

import fcntl
import os
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from chain import disk
from market.errors import Bug, Permanent, Temporary

__all__ = ["Attempt", "Entry", "Journal", "Status"]


class Status(StrEnum):
    """How far a journalled transaction has come."""

    READY = "ready"
    """Written down; the chain may or may not have seen it."""
    SENT = "sent"
    """A node has taken it."""
    MINED = "mined"
    """On the chain, successful."""
    REVERTED = "reverted"
    """On the chain, without effect."""
    LOST = "lost"
    """Another transaction took its nonce; it can never be mined."""
    REFUSED = "refused"
    """No node would take it; it never left."""


_TOLD_AGAIN = (Status.SENT, Status.MINED, Status.REVERTED)
"""Outcomes that are found out anew if they are forgotten: `Sender.recover` asks for what was under way."""

_SCHEMA = """
CREATE TABLE IF NOT EXISTS identity (name TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS entry (
    id INTEGER PRIMARY KEY,
    nonce INTEGER NOT NULL,
    intent TEXT,
    recipient TEXT,
    data BLOB NOT NULL,
    value TEXT NOT NULL,
    gas INTEGER NOT NULL,
    status TEXT NOT NULL,
    created_at REAL NOT NULL,
    pushed_at REAL NOT NULL,
    note TEXT NOT NULL DEFAULT ''
);
CREATE UNIQUE INDEX IF NOT EXISTS one_nonce ON entry (nonce) WHERE status IN ('ready', 'sent', 'mined');
CREATE UNIQUE INDEX IF NOT EXISTS one_intent ON entry (intent) WHERE status IN ('ready', 'sent', 'mined');
CREATE INDEX IF NOT EXISTS by_status ON entry (status);
CREATE TABLE IF NOT EXISTS attempt (
    hash BLOB PRIMARY KEY,
    entry INTEGER NOT NULL REFERENCES entry (id),
    raw BLOB NOT NULL,
    price TEXT NOT NULL,
    tip TEXT,
    at REAL NOT NULL
);
CREATE INDEX IF NOT EXISTS attempts_of ON attempt (entry);
"""
_COLUMNS = "id, nonce, intent, recipient, data, value, gas, status, created_at, pushed_at, note"
_SELECT = f"SELECT {_COLUMNS} FROM entry "  # noqa: S608  nothing in it comes from outside


@dataclass(frozen=True)
class Attempt:
    """One signed form of an entry.

    `price` is the most it offers in wei per gas, `tip` the part of it for the validator; None: legacy form.
    """

    hash: bytes
    raw: bytes
    price: int
    tip: int | None = None


@dataclass(frozen=True)
class Entry:
    """One journalled transaction; `created_at` and `pushed_at` (last broadcast) in unix seconds."""

    id: int
    nonce: int
    intent: str | None
    recipient: str | None
    data: bytes
    value: int
    gas: int
    status: Status
    created_at: float
    pushed_at: float
    note: str
    attempts: tuple[Attempt, ...]

    @property
    def live(self) -> bool:
        """Whether it may still be mined."""
        return self.status in (Status.READY, Status.SENT)

    @property
    def latest(self) -> Attempt:
        """The form last signed."""
        return self.attempts[-1]


class Journal:
    """The journal of one account on one chain, in the folder `folder`; safe among threads and processes."""

    def __init__(self, folder: Path | str, chain_id: int, genesis: bytes, address: str) -> None:
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.path = folder / f"{chain_id}-{genesis.hex()[:16]}-{address.lower()}.sqlite"
        self._lock_path = self.path.with_suffix(".lock")
        self._guard = threading.RLock()
        self._db = disk.connect(self.path, check_same_thread=False)
        with self.lock():
            self.path.chmod(0o600)
            self._db.execute("PRAGMA journal_mode = WAL")
            self._db.executescript(_SCHEMA)
            self._pin({"chain_id": str(chain_id), "genesis": genesis.hex(), "address": address.lower()})

    def close(self) -> None:
        """Close the file; the journal cannot be used afterwards."""
        with self._guard:
            self._db.close()

    @contextmanager
    def lock(self, patience: float = 60.0, sleep: Callable[[float], None] = time.sleep) -> Iterator[None]:
        """Be the only one who takes nonces of this account; Temporary if others hold on for `patience` s."""
        handle = os.open(self._lock_path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            deadline = time.monotonic() + patience
            while not _try_lock(handle):
                if time.monotonic() > deadline:
                    raise Temporary(
                        f"another process has held the sender's lock for {patience:.0f} s",
                        hint=f"See who uses {self._lock_path}.",
                    )
                sleep(0.005)
            yield
        finally:
            os.close(handle)

    def add(
        self,
        nonce: int,
        intent: str | None,
        recipient: str | None,
        data: bytes,
        value: int,
        gas: int,
        attempt: Attempt,
        now: float,
    ) -> Entry:
        """Write down a transaction with its first signed form, status ready. Durable on return."""
        with self._transaction() as db:
            cursor = db.execute(
                "INSERT INTO entry"
                " (nonce, intent, recipient, data, value, gas, status, created_at, pushed_at)"
                " VALUES (?, ?, ?, ?, ?, ?, 'ready', ?, ?)",
                (nonce, intent, recipient, data, str(value), gas, now, now),
            )
            self._insert_attempt(cursor.lastrowid, attempt, now)
        return self.get(cursor.lastrowid or 0)

    def add_attempt(self, entry: Entry, attempt: Attempt, now: float) -> Entry:
        """Write down another signed form (same nonce, higher price). Durable on return."""
        with self._transaction():
            self._insert_attempt(entry.id, attempt, now)
        return self.get(entry.id)

    def mark(self, entry: Entry, status: Status, note: str = "", pushed_at: float | None = None) -> Entry:
        """Note what became of it and, if given, when it was last broadcast.

        What the chain can tell again (`_TOLD_AGAIN`) need not outlive a power cut, so it does not wait for
        the disk; whatever is durable next makes it durable, too.
        """
        at = entry.pushed_at if pushed_at is None else pushed_at
        with self._transaction(durable=status not in _TOLD_AGAIN) as db:
            db.execute(
                "UPDATE entry SET status = ?, note = ?, pushed_at = ? WHERE id = ?",
                (status.value, note, at, entry.id),
            )
        return self.get(entry.id)

    def get(self, entry_id: int) -> Entry:
        """The entry as it is written now."""
        return self._select("id = ?", (entry_id,))[0]

    def newest(self) -> int:
        """The id of the newest entry, whoever wrote it; 0 before the first."""
        with self._guard:
            return int(self._db.execute("SELECT coalesce(max(id), 0) FROM entry").fetchone()[0])

    def live(self) -> list[Entry]:
        """Everything that may still be mined, by nonce."""
        return self._select("status IN ('ready', 'sent')", ())

    def by_intent(self, intent: str) -> Entry | None:
        """The live or mined entry of an intent; reverted, lost and refused ones do not count."""
        found = self._select("intent = ? AND status IN ('ready', 'sent', 'mined')", (intent,))
        return found[0] if found else None

    def undo_from(self, nonce: int) -> None:
        """The chain forgot blocks: what was mined with `nonce` or a later one is ready once more."""
        if self._select("status = 'mined' AND nonce >= ?", (nonce,)):
            with self._transaction() as db:
                db.execute(
                    "UPDATE entry SET status = 'ready' WHERE status = 'mined' AND nonce >= ?", (nonce,)
                )

    def history(self, limit: int = 50) -> list[Entry]:
        """The last entries, newest first."""
        with self._guard:
            rows = self._db.execute(_SELECT + "ORDER BY id DESC LIMIT ?", (limit,))
            return [self._entry(row) for row in rows.fetchall()]

    def _pin(self, identity: dict[str, str]) -> None:
        with self._transaction() as db:
            for name, value in identity.items():
                db.execute("INSERT OR IGNORE INTO identity VALUES (?, ?)", (name, value))
            kept = dict(db.execute("SELECT name, value FROM identity").fetchall())
        if kept != identity:
            raise Permanent(
                f"the sender's journal {self.path} belongs to another chain or account",
                hint="Move it away; never copy a journal between networks.",
            )

    @contextmanager
    def _transaction(self, *, durable: bool = True) -> Iterator[sqlite3.Connection]:
        with self._guard:
            self._db.execute(f"PRAGMA synchronous = {'FULL' if durable else 'NORMAL'}")
            with disk.transaction(self._db) as db:
                yield db

    def _insert_attempt(self, entry_id: int | None, attempt: Attempt, now: float) -> None:
        self._db.execute(
            "INSERT INTO attempt (hash, entry, raw, price, tip, at) VALUES (?, ?, ?, ?, ?, ?)",
            (attempt.hash, entry_id, attempt.raw, str(attempt.price), _text(attempt.tip), now),
        )

    def _select(self, where: str, parameters: tuple[object, ...]) -> list[Entry]:
        query = f"{_SELECT} WHERE {where} ORDER BY nonce, id"
        with self._guard:
            return [self._entry(row) for row in self._db.execute(query, parameters).fetchall()]

    def _entry(self, row: tuple[object, ...]) -> Entry:
        attempts = self._db.execute(
            "SELECT hash, raw, price, tip FROM attempt WHERE entry = ? ORDER BY rowid", (row[0],)
        ).fetchall()
        if not attempts:
            raise Bug(f"journal {self.path} holds a transaction without a signed form")
        fields = dict(zip(_COLUMNS.split(", "), row, strict=True))
        fields |= {
            "value": int(str(fields["value"])),
            "status": Status(str(fields["status"])),
            "attempts": tuple(
                Attempt(hash_, raw, int(price), None if tip is None else int(tip))
                for hash_, raw, price, tip in attempts
            ),
        }
        return Entry(**fields)  # type: ignore[arg-type]


def _text(number: int | None) -> str | None:
    """Wei can be more than SQLite's 63 bits."""
    return None if number is None else str(number)


def _try_lock(handle: int) -> bool:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
