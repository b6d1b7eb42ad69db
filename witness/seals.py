"""What a witness commits to, epoch by epoch: written down before it is sent, and never changed afterwards.

A row is sealed once: root, salt and chunks, so that whatever is sent later, by this process or by one started
after a kill, is the same to the byte. A witness that committed to two different things could be slashed. This
file must survive: what is lost here cannot be opened, which costs the fines of two epochs. This module must
not speak to a chain, and it knows nothing of single measurements.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from chain import disk
from chain.leaves import Opening
from market.errors import Permanent

__all__ = ["Sealed", "Seals"]

_SCHEMA = """
CREATE TABLE IF NOT EXISTS identity (name TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS seal (
    epoch INTEGER PRIMARY KEY,
    root BLOB NOT NULL,
    chunks TEXT NOT NULL,
    salt BLOB NOT NULL,
    commitment BLOB NOT NULL,
    sealed_at REAL NOT NULL
);
"""
_COLUMNS = "epoch, root, chunks, salt, commitment, sealed_at"


@dataclass(frozen=True, slots=True)
class Sealed:
    """One epoch as it was, or will be, committed: what opens it, and what the tick says.

    `sealed_at` is unix seconds by our own clock.
    """

    epoch: int
    opening: Opening
    commitment: bytes
    sealed_at: float


class Seals:
    """The file of seals of one witness on one chain; safe among threads."""

    def __init__(self, path: Path, identity: Mapping[str, str]) -> None:
        """`identity` names chain, contract and organisation; Permanent if the file belongs to another."""
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.path = path
        self._guard = threading.RLock()
        self._db = disk.connect(path, check_same_thread=False)
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute("PRAGMA synchronous = FULL")
        self._db.executescript(_SCHEMA)
        path.chmod(0o600)
        self._pin(identity)

    def close(self) -> None:
        """Close the file."""
        with self._guard:
            self._db.close()

    def keep(self, sealed: Sealed) -> Sealed:
        """Write down a seal and hand back what is written: the first one, if the epoch was sealed before.

        Durable on return.
        """
        opening = sealed.opening
        chunks = json.dumps([chunk.hex() for chunk in opening.chunks])
        row = (sealed.epoch, opening.root, chunks, opening.salt, sealed.commitment, sealed.sealed_at)
        with self._guard, disk.transaction(self._db) as db:
            db.execute(f"INSERT OR IGNORE INTO seal ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?)", row)  # noqa: S608
        kept = self.get(sealed.epoch)
        assert kept is not None  # noqa: S101  it was written in the lines above
        return kept

    def get(self, epoch: int) -> Sealed | None:
        """The seal of an epoch; None if it was never sealed."""
        with self._guard:
            row = self._db.execute(f"SELECT {_COLUMNS} FROM seal WHERE epoch = ?", (epoch,)).fetchone()  # noqa: S608
        return None if row is None else _sealed(row)

    def newest(self) -> int | None:
        """The newest epoch that was sealed; None before the first."""
        with self._guard:
            found = self._db.execute("SELECT max(epoch) FROM seal").fetchone()[0]
        return None if found is None else int(found)

    def forget_before(self, epoch: int) -> None:
        """Drop what nobody can ask about any more."""
        with self._guard:
            self._db.execute("DELETE FROM seal WHERE epoch < ?", (epoch,))

    def _pin(self, identity: Mapping[str, str]) -> None:
        with self._guard, disk.transaction(self._db) as db:
            for name, value in identity.items():
                db.execute("INSERT OR IGNORE INTO identity VALUES (?, ?)", (name, value))
            kept = dict(db.execute("SELECT name, value FROM identity").fetchall())
        if kept != dict(identity):
            raise Permanent(
                f"{self.path} holds the commitments of another witness or chain",
                hint="Give each witness a state folder of its own, and never copy one between networks.",
            )


def _sealed(row: tuple[Any, ...]) -> Sealed:
    epoch, root, chunks, salt, commitment, sealed_at = row
    roots = tuple(bytes.fromhex(chunk) for chunk in json.loads(chunks))
    return Sealed(epoch, Opening(roots, bytes(root), bytes(salt)), bytes(commitment), sealed_at)
