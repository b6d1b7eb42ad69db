"""SQLite's troubles in our words: nothing of what failed has happened, and it may be repeated."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from chain.disk import DiskTrouble, connect, transaction


@pytest.fixture
def db(tmp_path: Path) -> sqlite3.Connection:
    """A file that may not grow beyond a few pages."""
    made = connect(tmp_path / "small.db")
    made.execute("CREATE TABLE kept (what BLOB)")
    made.execute("PRAGMA max_page_count = 8")
    return made


def count(db: sqlite3.Connection) -> int:
    """How many rows there are."""
    return int(db.execute("SELECT count(*) FROM kept").fetchone()[0])


def test_a_full_disk_undoes_the_whole_transaction_and_later_it_goes_through(db: sqlite3.Connection) -> None:
    def fill() -> None:
        with transaction(db):
            for _ in range(100):
                db.execute("INSERT INTO kept VALUES (?)", (bytes(1000),))

    with pytest.raises(DiskTrouble, match=r"small\.db cannot be written.*Make room"):
        fill()
    assert count(db) == 0 and not db.in_transaction
    db.execute("PRAGMA max_page_count = 1000")
    fill()
    assert count(db) == 100 and db.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def test_a_file_another_process_holds_is_told(tmp_path: Path) -> None:
    first = connect(tmp_path / "one.db")
    first.execute("CREATE TABLE kept (what BLOB)")
    second = connect(tmp_path / "one.db", timeout=0.1)
    with transaction(first), pytest.raises(DiskTrouble, match="held by another process"), transaction(second):
        pass
    with transaction(second):
        second.execute("INSERT INTO kept VALUES (1)")
    assert count(first) == 1


def test_an_error_inside_undoes_what_was_done(db: sqlite3.Connection) -> None:
    def fail() -> None:
        with transaction(db):
            db.execute("INSERT INTO kept VALUES (1)")
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert count(db) == 0


def test_a_folder_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(DiskTrouble, match="cannot be written"):
        connect(tmp_path / "nowhere" / "a.db")


def test_wrong_sql_stays_what_it_is(db: sqlite3.Connection) -> None:
    with pytest.raises(sqlite3.OperationalError, match="no such table"):
        db.execute("SELECT * FROM absent")
