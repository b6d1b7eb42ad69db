"""Reads a contract's events in order, each exactly once as far as the reader's own database is concerned.

`eth_getLogs` from a checkpoint is the truth; whoever calls `poll` early, on a hint, only sees things sooner.
The handler's effects and the checkpoint are committed in one SQLite transaction, so a crash at any point
repeats or loses nothing. The checkpoint carries the block's hash: a chain that took blocks back is noticed
and the reader goes back to the last block both agree on. The database is pinned to one chain.
This module must not know what an event means, and must not do anything outward: handlers write rows.
"""

from __future__ import annotations

import logging
import sqlite3
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from chain import disk
from chain.abi import checksum
from chain.opinions import agreed_logs, agreed_logs_of
from chain.rpc import Block, Log, Rpc, RpcRefused, RpcUnreachable
from market.errors import Bug, Permanent, Temporary

__all__ = ["Event", "EventReader", "Handler", "RewindHandler", "decode_generated"]

log = logging.getLogger(__name__)

Decode = Callable[[Sequence[bytes], bytes], Any]

_SCHEMA = """
CREATE TABLE IF NOT EXISTS event_reader (
    name TEXT PRIMARY KEY, chain_id TEXT NOT NULL, genesis BLOB NOT NULL, start INTEGER NOT NULL
);
CREATE TABLE IF NOT EXISTS event_block (
    name TEXT NOT NULL, number INTEGER NOT NULL, hash BLOB NOT NULL, PRIMARY KEY (name, number)
);
"""
_SLOW = 5.0
_FAST = 1.0


@dataclass(frozen=True)
class Event:
    """One event: where it stands on the chain (`block_time` in unix seconds) and its decoded `payload`."""

    payload: Any
    address: str
    block_number: int
    block_hash: bytes
    block_time: int
    tx_hash: bytes
    log_index: int


Handler = Callable[[sqlite3.Connection, Event], None]
"""Writes an event's effects through the connection given; it must not commit."""
RewindHandler = Callable[[sqlite3.Connection, int], None]
"""Undoes the effects of all blocks after the one given (`start_block - 1`: of all); it must not commit."""


class EventReader:
    """Reads the events of `addresses` into one SQLite database under the checkpoint `name`.

    `store` is a file or an open connection in autocommit mode (isolation_level None). `start_block` is the
    first block read, the deployment's for instance. A reader of more addresses needs a new `name`, or the
    new addresses' past is missed. `decode` turns (topics, data) into a payload, None for what is not ours.
    Of the recent blocks `ring` checkpoints are kept, to go back to after a reorganisation. Not to be used by
    two threads at once.
    """

    def __init__(
        self,
        rpc: Rpc,
        store: Path | str | sqlite3.Connection,
        addresses: Sequence[str],
        name: str,
        *,
        start_block: int = 0,
        decode: Decode | None = None,
        first_range: int = 1_000,
        most_range: int = 20_000,
        ring: int = 128,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        if not addresses:
            raise Bug("an event reader without addresses would read everybody's events")
        self.name = name
        self._rpc = rpc
        self._addresses = [checksum(address) for address in addresses]
        self._decode = decode or decode_generated
        self._range = first_range
        self._most_range = most_range
        self._quick, self._quick_wanted = 0, 1  # quick answers since the last change; how many to wait for
        self._ring = ring
        self._monotonic = monotonic
        self._db = _open(store)
        self._pin(start_block)

    def position(self) -> int:
        """The last block whose events are in the database; `start_block - 1` before the first."""
        row = self._db.execute("SELECT max(number) FROM event_block WHERE name = ?", (self.name,)).fetchone()
        return self._start() - 1 if row[0] is None else int(row[0])

    def lag(self) -> int:
        """How many blocks that count already are not read yet."""
        return max(0, self._last_counting_block() - self.position())

    def poll(
        self, handler: Handler, on_rewind: RewindHandler | None = None, *, head: Block | None = None
    ) -> int:
        """Read up to the newest block that counts; how many events were handled.

        `head`, if the caller knows it, is the newest block that counts: where it is the child of the last
        block read, its events are one question, by its hash, and nothing newer is read.
        Whatever the handler raises goes to the caller with nothing of that range committed. Without
        `on_rewind` a reorganisation is Permanent. Temporary when the chain changes under the reading.
        """
        handled = self._read_child(head, handler) if head is not None else None
        if handled is not None:
            return handled
        handled = 0
        while True:
            last = self._last_counting_block()
            self._rewind_if_forked(last, on_rewind)
            position = self.position()
            if position >= last:
                return handled
            handled += self._read(position, last, handler)

    def _last_counting_block(self) -> int:
        return self._rpc.head().number - self._rpc.connection.confirmations

    def _read_child(self, head: Block, handler: Handler) -> int | None:
        """Read the one block after the last; None if `head` is not that, or is the node's no longer."""
        query = "SELECT number, hash FROM event_block WHERE name = ? ORDER BY number DESC LIMIT 1"
        last = self._db.execute(query, (self.name,)).fetchone()
        if last is None:
            return None
        if (head.number, head.hash) == (last[0], bytes(last[1])):
            return 0
        if (head.number - 1, head.parent_hash) != (last[0], bytes(last[1])):
            return None
        try:
            logs = agreed_logs_of(self._rpc, self._addresses, head)
        except RpcRefused:
            return None
        return self._commit(head.number - 1, head, logs, handler)

    def _read(self, position: int, last: int, handler: Handler) -> int:
        """Read one range after `position` and commit it."""
        first, end = position + 1, min(last, position + self._range)
        end_block = self._rpc.block(end)
        logs = self._logs(first, end)
        if logs is None:
            return 0
        self._check_nothing_moved(position, end_block)
        return self._commit(position, end_block, logs, handler)

    def _commit(self, position: int, end_block: Block, logs: list[Log], handler: Handler) -> int:
        events = [event for event in map(self._event, logs) if event is not None]
        with disk.transaction(self._db) as db:
            if self.position() != position:
                raise Temporary(f"another process reads events as {self.name!r}", hint="Stop one of them.")
            for event in events:
                handler(db, event)
            self._advance(db, end_block)
        return len(events)

    def _logs(self, first: int, end: int) -> list[Log] | None:
        """The logs of a range, or None when the node finds it too large and a smaller one is to be tried."""
        began = self._monotonic()
        try:
            logs = agreed_logs(self._rpc, self._addresses, first, end)
        except (RpcRefused, RpcUnreachable) as error:
            if end == first:
                raise
            self._range = max(1, (end - first + 1) // 2)
            self._quick, self._quick_wanted = 0, min(256, self._quick_wanted * 2)
            log.info("reading %d blocks at a time from now on: %s", self._range, error)
            return None
        took = self._monotonic() - began
        if took > _SLOW:
            self._range = max(1, self._range // 2)
        elif took < _FAST and end - first + 1 >= self._range:
            self._quick += 1
            if self._quick >= self._quick_wanted:
                self._quick, self._range = 0, min(self._most_range, self._range * 2)
        return logs

    def _event(self, entry: Log) -> Event | None:
        payload = self._decode(entry.topics, entry.data)
        if payload is None:
            return None
        when = entry.block_time
        if when is None:
            when = self._rpc.block_time(entry.block_number, entry.block_hash)
        return Event(
            payload=payload,
            address=entry.address,
            block_number=entry.block_number,
            block_hash=entry.block_hash,
            block_time=when,
            tx_hash=entry.tx_hash,
            log_index=entry.log_index,
        )

    def _check_nothing_moved(self, position: int, end_block: Block) -> None:
        """The range just read must lie on one chain: from our checkpoint to the block we go on to."""
        kept = dict(self._checkpoints()).get(position)
        moved = kept is not None and self._rpc.block(position).hash != kept
        if moved or self._rpc.block(end_block.number).hash != end_block.hash:
            raise Temporary("the chain changed while events were read", hint="Poll again.")

    def _rewind_if_forked(self, last: int, on_rewind: RewindHandler | None) -> None:
        """Go back to the newest checkpoint the chain still has, if it no longer has the last one.

        A node that is merely behind is no fork: checkpoints above its head are left alone as long as the
        newest one it can judge is still right.
        """
        known = [(number, hash_) for number, hash_ in self._checkpoints() if number <= last]
        good = None
        for number, hash_ in known:
            if self._rpc.block(number).hash == hash_:
                good = number
                break
        if not known or good == known[0][0]:
            return
        target = self._start() - 1 if good is None else good
        log.warning("the chain took back blocks; reader %s goes back to block %d", self.name, target)
        if on_rewind is None:
            raise Permanent(
                f"the chain took back blocks after {target}, which this reader cannot undo",
                hint="Delete its database and let it read again.",
                block=target,
            )
        with disk.transaction(self._db) as db:
            on_rewind(db, target)
            db.execute("DELETE FROM event_block WHERE name = ? AND number > ?", (self.name, target))

    def _checkpoints(self) -> list[tuple[int, bytes]]:
        """The ring of checkpoints, newest first."""
        query = "SELECT number, hash FROM event_block WHERE name = ? ORDER BY number DESC"
        return [(int(number), bytes(hash_)) for number, hash_ in self._db.execute(query, (self.name,))]

    def _advance(self, db: sqlite3.Connection, block: Block) -> None:
        db.execute("INSERT INTO event_block VALUES (?, ?, ?)", (self.name, block.number, block.hash))
        db.execute(
            "DELETE FROM event_block WHERE name = ?1 AND number NOT IN"
            " (SELECT number FROM event_block WHERE name = ?1 ORDER BY number DESC LIMIT ?2)",
            (self.name, self._ring),
        )

    def _start(self) -> int:
        row = self._db.execute("SELECT start FROM event_reader WHERE name = ?", (self.name,)).fetchone()
        return int(row[0])

    def _pin(self, start_block: int) -> None:
        network = self._rpc.connection
        identity = (str(network.chain_id), network.genesis)
        with disk.transaction(self._db) as db:
            db.execute(
                "INSERT OR IGNORE INTO event_reader VALUES (?, ?, ?, ?)", (self.name, *identity, start_block)
            )
            kept = db.execute(
                "SELECT chain_id, genesis FROM event_reader WHERE name = ?", (self.name,)
            ).fetchone()
        if (kept[0], bytes(kept[1])) != identity:
            raise Permanent(
                f"the database of reader {self.name!r} belongs to another chain",
                hint="Use another file for each network.",
                expected=network.genesis_hash,
                got="0x" + bytes(kept[1]).hex(),
            )


def decode_generated(topics: Sequence[bytes], data: bytes) -> Any:
    """The typed event of OCX's own contracts, or None if it is none of them."""
    from chain.generated import events

    return events.decode(topics, data)


def _open(store: Path | str | sqlite3.Connection) -> sqlite3.Connection:
    if isinstance(store, sqlite3.Connection):
        if store.isolation_level is not None:
            raise Bug("an event reader needs a connection with isolation_level None")
        db = store
    else:
        Path(store).parent.mkdir(parents=True, exist_ok=True)
        db = disk.connect(Path(store), check_same_thread=False)
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("PRAGMA synchronous = NORMAL")  # effects and checkpoint can only be lost together
    for statement in filter(str.strip, _SCHEMA.split(";")):
        db.execute(statement)
    return db
