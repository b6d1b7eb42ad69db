"""SQLite files whose troubles are told in the project's own words: a full disk, a busy file, a read-only one.

None of them says anything about the data: the statement did not happen, and may be repeated. This module must
not know what the files hold.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from market.errors import Temporary

__all__ = ["DiskTrouble", "add_columns", "connect", "transaction"]


class DiskTrouble(Temporary):
    """A file could not be read or written just now; nothing of that statement or transaction happened."""


class _Connection(sqlite3.Connection):
    """A connection that raises `DiskTrouble` where SQLite could not do its work; wrong SQL stays a bug."""

    path: Path = Path()

    def execute(self, *args: Any) -> sqlite3.Cursor:
        try:
            return super().execute(*args)
        except sqlite3.OperationalError as error:
            raise _translated(error, self.path) from error

    def executemany(self, *args: Any) -> sqlite3.Cursor:
        try:
            return super().executemany(*args)
        except sqlite3.OperationalError as error:
            raise _translated(error, self.path) from error


def connect(path: Path, *, timeout: float = 30.0, check_same_thread: bool = True) -> sqlite3.Connection:
    """Open a file in autocommit mode; statements wait up to `timeout` seconds for other processes."""
    try:
        db = sqlite3.connect(
            path,
            timeout=timeout,
            isolation_level=None,
            check_same_thread=check_same_thread,
            factory=_Connection,
        )
    except sqlite3.OperationalError as error:
        raise _translated(error, path) from error
    db.path = path
    return db


@contextmanager
def transaction(db: sqlite3.Connection) -> Iterator[sqlite3.Connection]:
    """All statements inside are one, or none; SQLite itself may have undone them when the disk was full."""
    db.execute("BEGIN IMMEDIATE")
    try:
        yield db
        db.execute("COMMIT")
    except BaseException:
        if db.in_transaction:
            db.execute("ROLLBACK")
        raise


def add_columns(db: sqlite3.Connection, columns: Iterable[tuple[str, str, str]]) -> None:
    """Give a file of an earlier version the columns it lacks: table, column, and what follows its name.

    Nothing is written where nothing is missing; two processes may do it at once.
    """
    for table, column, kind in columns:
        if not _has_column(db, table, column):
            with transaction(db):
                if not _has_column(db, table, column):
                    db.execute(f"ALTER TABLE {table} ADD COLUMN {column} {kind}")


def _has_column(db: sqlite3.Connection, table: str, column: str) -> bool:
    return column in {row[1] for row in db.execute(f"PRAGMA table_info({table})")}


def _translated(error: sqlite3.OperationalError, path: Path) -> Exception:
    """The error in our words if it is about the file, else the same."""
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return DiskTrouble(f"{path} is held by another process", hint="See which one, and whether it hangs.")
    if code in (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY):
        return DiskTrouble(
            f"{path} cannot be written: {error}",
            hint="Make room on its disk and see that it is writable; then it goes on by itself.",
            retry_after=2.0,
        )
    return error
