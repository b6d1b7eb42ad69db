"""What a witness commits to, epoch by epoch: written down before it is sent, and never changed afterwards.

A row is sealed once: root, salt, chunks and every leaf, so that whatever is sent later, by this process or by
one started after a kill, is the same to the byte. A witness that committed to two different things could be
slashed. This file must survive: what is lost here cannot be opened, which costs the fines of two epochs.
This module must not speak to a chain, and it knows nothing of single measurements.
"""

from __future__ import annotations

import json
import sqlite3
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from chain import disk
from chain.leaves import Leaf
from market.errors import Permanent

__all__ = ["Sealed", "Seals"]

_SCHEMA = """
CREATE TABLE IF NOT EXISTS identity (name TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS seal (
    epoch INTEGER PRIMARY KEY,
    leaves TEXT NOT NULL,
    root BLOB NOT NULL,
    chunks TEXT NOT NULL,
    salt BLOB NOT NULL,
    commitment BLOB NOT NULL,
    sealed_at REAL NOT NULL
);
"""
_COLUMNS = "epoch, leaves, root, chunks, salt, commitment, sealed_at"


@dataclass(frozen=True, slots=True)
class Sealed:
    """One epoch as it was, or will be, committed: all leaves by lease and place, and what binds them.

    `chunks` are the Merkle roots of what is published; `sealed_at` is unix seconds by our own clock.
    """

    epoch: int
    leaves: tuple[Leaf, ...]
    root: bytes
    chunks: tuple[bytes, ...]
    salt: bytes
    commitment: bytes
    sealed_at: float

    def leaf(self, lease: int, place: int) -> Leaf | None:
        """The leaf of one machine; None if there is none."""
        return next((leaf for leaf in self.leaves if (leaf.lease, leaf.place) == (lease, place)), None)


class Seals:
    """The file of seals of one witness on one chain; safe among threads."""

    def __init__(self, path: Path, identity: dict[str, str]) -> None:
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
        row = (
            sealed.epoch,
            _leaves_text(sealed.leaves),
            sealed.root,
            json.dumps([chunk.hex() for chunk in sealed.chunks]),
            sealed.salt,
            sealed.commitment,
            sealed.sealed_at,
        )
        with self._guard, disk.transaction(self._db) as db:
            db.execute(f"INSERT OR IGNORE INTO seal ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?)", row)  # noqa: S608
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

    def _pin(self, identity: dict[str, str]) -> None:
        with self._guard, disk.transaction(self._db) as db:
            for name, value in identity.items():
                db.execute("INSERT OR IGNORE INTO identity VALUES (?, ?)", (name, value))
            kept = dict(db.execute("SELECT name, value FROM identity").fetchall())
        if kept != identity:
            raise Permanent(
                f"{self.path} holds the commitments of another witness or chain",
                hint="Give each witness a state folder of its own, and never copy one between networks.",
            )


def _leaves_text(leaves: Sequence[Leaf]) -> str:
    rows = [
        [leaf.lease, leaf.place, hex(leaf.measured), hex(leaf.down), leaf.samples.hex()] for leaf in leaves
    ]
    return json.dumps(rows, separators=(",", ":"))


def _sealed(row: sqlite3.Row | tuple[object, ...]) -> Sealed:
    epoch, leaves, root, chunks, salt, commitment, sealed_at = row
    return Sealed(
        epoch=int(str(epoch)),
        leaves=tuple(
            Leaf(lease, place, int(measured, 16), int(down, 16), bytes.fromhex(samples))
            for lease, place, measured, down, samples in json.loads(str(leaves))
        ),
        root=bytes(root),  # type: ignore[arg-type]
        chunks=tuple(bytes.fromhex(chunk) for chunk in json.loads(str(chunks))),
        salt=bytes(salt),  # type: ignore[arg-type]
        commitment=bytes(commitment),  # type: ignore[arg-type]
        sealed_at=float(str(sealed_at)),
    )
