"""What one provider agent must not forget: one SQLite file that survives kill -9 between any two statements.

The chain and the cloud are the truth about leases and machines; this file holds only what neither of them
knows (salts of sealed bids, buyers' keys, sealed connection data, wipe evidence, orders as first given) and
an index of events so that the agent knows where to look. Every statement is its own transaction, synced to
disk before the act it announces.

Threads share a `Store`; each gets its own connection. This module must not decide anything, and must not
contact a chain or a cloud. The file holds keys of tenants' machines: its mode is 0600.
"""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
import threading
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from chain import disk
from chain.contracts.book import Bid
from daemons.secrets import redact
from market.specs import Spec
from market.windows import SlotWindow
from provisioner.plugin import Order, WipeEvidence
from provisioner.store.records import (
    LATER_COLUMNS,
    SCHEMA,
    Blob,
    MachineRecord,
    OfferRecord,
    Setup,
    StoredBid,
    TenderRecord,
)

__all__ = ["Store"]

_SEAL = "seal"
_BID = "SELECT request, offer, rate, start, resources, salt, commitment FROM bid"
"""The journal's name for: a commitment is about to leave the house."""


class Store:
    """See the module's docstring."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
        self._local = threading.local()
        self._plugins: dict[str, str] = {}
        for statement in filter(str.strip, SCHEMA.split(";")):
            self.db.execute(statement)
        disk.add_columns(self.db, LATER_COLUMNS)

    @property
    def db(self) -> sqlite3.Connection:
        """This thread's connection, in autocommit mode."""
        db: sqlite3.Connection | None = getattr(self._local, "db", None)
        if db is None:
            db = disk.connect(self.path)
            db.execute("PRAGMA journal_mode = WAL")
            db.execute("PRAGMA synchronous = FULL")
            self._local.db = db
        return db

    @contextlib.contextmanager
    def transaction(self) -> Iterator[None]:
        """All of this thread's statements inside are one."""
        with disk.transaction(self.db):
            yield

    # ---- leases ----------------------------------------------------------------------------------------

    def open_leases(self) -> list[int]:
        """Leases of ours that are not finished with."""
        return [
            int(row[0]) for row in self.db.execute("SELECT lease FROM lease WHERE done = 0 ORDER BY lease")
        ]

    def lease_window(self, lease: int) -> tuple[SlotWindow, tuple[int, ...]] | None:
        """Slots and resources of a lease of ours, or None if it is none."""
        row = self.db.execute("SELECT start, end, resources FROM lease WHERE lease = ?", (lease,)).fetchone()
        return None if row is None else (SlotWindow(row[0], row[1]), _ids(row[2]))

    def resources_of(self, leases: Iterable[int]) -> dict[int, tuple[int, ...]]:
        """The resources of each of these leases that is ours."""
        query = "SELECT lease, resources FROM lease WHERE lease IN (SELECT value FROM json_each(?))"
        return {row[0]: _ids(row[1]) for row in self.db.execute(query, (json.dumps(list(leases)),))}

    def leases_of_resource(self, resource: int) -> list[tuple[int, SlotWindow]]:
        """Every lease of ours that ever named a resource, newest first."""
        rows = self.db.execute("SELECT lease, start, end, resources FROM lease ORDER BY lease DESC")
        return [(int(row[0]), SlotWindow(row[1], row[2])) for row in rows if resource in _ids(row[3])]

    def set_done(self, lease: int, done: bool) -> None:
        """Take a lease out of the open ones, or back among them."""
        self.db.execute("UPDATE lease SET done = ? WHERE lease = ?", (int(done), lease))

    # ---- offers, tenders, bids -------------------------------------------------------------------------

    def offers(self, class_: bytes, window: SlotWindow, slots: int) -> list[OfferRecord]:
        """Our offers of a class that have at least so many slots of a window."""
        rows = self.db.execute(
            "SELECT offer, class, start, end, floor_rate, resources FROM offer"
            " WHERE class = ? AND min(end, ?) - max(start, ?) >= ? ORDER BY floor_rate, offer",
            (class_, window.end_slot, window.start_slot, slots),
        )
        return [OfferRecord(r[0], r[1], SlotWindow(r[2], r[3]), r[4], _ids(r[5])) for r in rows]

    def offers_of(self, resource: int, slot: int) -> list[int]:
        """Our offers that name a resource and whose window is not over at `slot`."""
        rows = self.db.execute("SELECT offer, resources FROM offer WHERE end > ? ORDER BY offer", (slot,))
        return [int(row[0]) for row in rows if resource in _ids(row[1])]

    def open_tenders(self) -> list[TenderRecord]:
        """Tenders that we are not through with."""
        rows = self.db.execute(
            "SELECT t.request, org, class, start, end, count, ceiling_rate, spec, commit_end, reveal_end,"
            " CASE slots WHEN 0 THEN end - start ELSE slots END"
            " FROM tender t JOIN request r ON r.request = t.request WHERE over = 0 ORDER BY t.request"
        )
        return [
            TenderRecord(
                r[0], r[1], r[2], SlotWindow(r[3], r[4]), r[5], r[6], Spec(*_ids(r[7])), r[8], r[9], r[10]
            )
            for r in rows
        ]

    def close_tender(self, request: int) -> None:
        """We are through with a tender and our bid in it."""
        self.db.execute("UPDATE tender SET over = 1 WHERE request = ?", (request,))
        self.db.execute("UPDATE bid SET over = 1 WHERE request = ?", (request,))

    def add_bid(self, stored: StoredBid, now: int) -> StoredBid:
        """Keep a bid before its commitment is sent; returns the one kept, which may be an older one."""
        bid = stored.bid
        self.db.execute(
            "INSERT OR IGNORE INTO bid (request, offer, rate, resources, salt, commitment, at, start)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (
                stored.request,
                bid.offer,
                bid.rate,
                json.dumps(bid.resources),
                stored.salt,
                stored.commitment,
                now,
                bid.start,
            ),
        )
        kept = self.bid(stored.request)
        return kept or stored

    def seal_bid(self, stored: StoredBid, key: str, now: float) -> bool:
        """Write down that a bid's commitment is about to be sent: from now on its salt may be needed.

        False, and nothing is written, if the bid is not the one that is kept.
        """
        with self.transaction():
            if self.bid(stored.request) != stored:
                return False
            self.finish(self.begin(key, _SEAL, now), now, result=stored.commitment.hex())
        return True

    def drop_unsent_bid(self, request: int, key: str) -> bool:
        """Forget a bid, unless any agent of ours was about to send its commitment; whether it was dropped."""
        cursor = self.db.execute(
            "DELETE FROM bid WHERE request = ? AND NOT EXISTS"
            " (SELECT 1 FROM journal WHERE key = ? AND step = ? AND result = lower(hex(bid.commitment)))",
            (request, key, _SEAL),
        )
        return cursor.rowcount == 1

    def drop_bid(self, request: int) -> None:
        """Forget a bid whose commitment never reached the chain, and cannot any more."""
        self.db.execute("DELETE FROM bid WHERE request = ?", (request,))

    def bid(self, request: int) -> StoredBid | None:
        """Our bid in a tender."""
        row = self.db.execute(f"{_BID} WHERE request = ?", (request,)).fetchone()
        return None if row is None else _stored_bid(row)

    def live_bids(self) -> list[StoredBid]:
        """Bids in tenders that we are not through with."""
        return [_stored_bid(row) for row in self.db.execute(f"{_BID} WHERE over = 0")]

    # ---- machines, orders, journal ---------------------------------------------------------------------

    def keep_machines(self, machines: Iterable[MachineRecord], now: int) -> None:
        """Remember what was measured."""
        rows = [(m.hardware_key, m.plugin, m.local_id, m.name, m.document_hash, now) for m in machines]
        self.db.executemany("INSERT OR REPLACE INTO machine VALUES (?, ?, ?, ?, ?, ?)", rows)

    def machine(self, hardware_key: bytes) -> MachineRecord | None:
        """Where a piece of hardware was last seen."""
        row = self.db.execute(
            "SELECT hardware_key, plugin, local_id, name, document_hash FROM machine WHERE hardware_key = ?",
            (hardware_key,),
        ).fetchone()
        return None if row is None else MachineRecord(*row)

    def machines_of(self, plugin: str) -> set[str]:
        """The ids of all machines a plugin ever had."""
        return {
            str(row[0]) for row in self.db.execute("SELECT local_id FROM machine WHERE plugin = ?", (plugin,))
        }

    def hardware_of(self, plugin: str, local_id: str) -> bytes | None:
        """The hardware key of a plugin's machine, None if it never had such a one."""
        query = "SELECT hardware_key FROM machine WHERE plugin = ? AND local_id = ?"
        row = self.db.execute(query, (plugin, local_id)).fetchone()
        return None if row is None else bytes(row[0])

    def ask_again(self, what: str, now: int) -> None:
        """Ask every running agent of this store to try again what failed: a key, a lease's number, or ""."""
        self.db.execute("INSERT INTO try_again (what, at) VALUES (?, ?)", (what, now))

    def asked_again(self, after: int) -> list[tuple[int, str]]:
        """What was asked since number `after`, oldest first, with the numbers; -1 gives the last one only."""
        if after < 0:
            query = "SELECT id, what FROM try_again ORDER BY id DESC LIMIT 1"
            return [(int(row[0]), row[1]) for row in self.db.execute(query)]
        query = "SELECT id, what FROM try_again WHERE id > ? ORDER BY id"
        return [(int(row[0]), row[1]) for row in self.db.execute(query, (after,))]

    def keep_order(self, order: Order, lease: int, plugin: str, now: int) -> tuple[Order, str]:
        """Freeze an order before its first use; returns the order and plugin that were kept first."""
        self.db.execute(
            "INSERT OR IGNORE INTO purchase VALUES (?, ?, ?, ?, ?)",
            (order.key, lease, plugin, json.dumps(asdict(order)), now),
        )
        return self.order(order.key) or (order, plugin)

    def order(self, key: str) -> tuple[Order, str] | None:
        """The order first given under a key, and the plugin it went to."""
        row = self.db.execute("SELECT content, plugin FROM purchase WHERE key = ?", (key,)).fetchone()
        if row is None:
            return None
        fields = json.loads(row[0])
        return Order(**{**fields, "ssh_public_keys": tuple(fields["ssh_public_keys"])}), row[1]

    def plugin_of(self, key: str) -> str | None:
        """The plugin an order went to; remembered, because it never changes."""
        if key not in self._plugins:
            row = self.db.execute("SELECT plugin FROM purchase WHERE key = ?", (key,)).fetchone()
            if row is None:
                return None
            if len(self._plugins) > 100_000:
                self._plugins.clear()
            self._plugins[key] = row[0]
        return self._plugins[key]

    def has_orders(self, lease: int) -> bool:
        """Whether provisioning of a lease has begun, so that its setup is fixed."""
        found = self.db.execute("SELECT 1 FROM purchase WHERE lease = ? LIMIT 1", (lease,)).fetchone()
        return found is not None

    def begin(self, key: str, step: str, now: float) -> int:
        """Write down an outward act before it is done; returns its journal number."""
        cursor = self.db.execute(
            "INSERT INTO journal (key, step, started) VALUES (?, ?, ?)", (key, step, now)
        )
        return int(cursor.lastrowid or 0)

    def finish(self, entry: int, now: float, *, result: str | None = None, error: str | None = None) -> None:
        """Write down how it went; secrets that an error repeats are taken out of it."""
        told = None if error is None else redact(error)
        self.db.execute(
            "UPDATE journal SET finished = ?, result = ?, error = ? WHERE id = ?", (now, result, told, entry)
        )

    def journal(self, key: str) -> list[tuple[str, float, float | None, str | None, str | None]]:
        """Acts under a key, oldest first: step, started, finished, result, error."""
        query = "SELECT step, started, finished, result, error FROM journal WHERE key = ? ORDER BY id"
        return [tuple(row) for row in self.db.execute(query, (key,))]

    # ---- setups, sealed data, evidence, metrics --------------------------------------------------------

    def keep_setup(self, lease: int, setup: Setup, now: int) -> bool:
        """Keep what the buyer wants; False, and nothing is kept, once provisioning has begun."""
        properties = json.dumps(setup.properties or {}, sort_keys=True)
        values = (
            lease,
            json.dumps(setup.ssh_public_keys),
            setup.hostname,
            properties,
            setup.private_key,
            now,
        )
        cursor = self.db.execute(
            "INSERT OR REPLACE INTO setup SELECT ?1, ?2, ?3, ?4, ?5, ?6"
            " WHERE NOT EXISTS (SELECT 1 FROM purchase WHERE lease = ?1)",
            values,
        )
        return cursor.rowcount == 1

    def setup(self, lease: int) -> Setup | None:
        """What the buyer of a lease wants, or None if it has not said."""
        row = self.db.execute(
            "SELECT keys, hostname, properties, private_key FROM setup WHERE lease = ?", (lease,)
        ).fetchone()
        if row is None:
            return None
        return Setup(tuple(json.loads(row[0])), row[1], json.loads(row[2]), row[3])

    def keep_sealed(self, lease: int, delivery: bytes, plain_hash: bytes, blob: Blob, now: int) -> None:
        """Keep sealed data before the chain is told their hash; `delivery`: the chain's hash of all three."""
        hashes = (blob.connection_hash, blob.host_key, blob.spec_hash)
        self.db.execute(
            "INSERT OR IGNORE INTO sealed (lease, delivery, plain_hash, bits, blob, endpoints,"
            " connection_hash, host_key, spec_hash, at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (lease, delivery, plain_hash, blob.bits, blob.sealed, blob.endpoints, *hashes, now),
        )

    def sealed_before(self, lease: int, plain_hash: bytes) -> Blob | None:
        """Data sealed earlier with the same content, so that a retry repeats the same hash."""
        return self._blob("lease = ? AND plain_hash = ?", (lease, plain_hash))

    def sealed(self, lease: int, delivery: bytes) -> Blob | None:
        """The data behind the chain's record of a delivery."""
        return self._blob("lease = ? AND delivery = ?", (lease, delivery))

    def _blob(self, where: str, values: tuple[Any, ...]) -> Blob | None:
        row = self.db.execute(
            f"SELECT bits, blob, endpoints, connection_hash, host_key, spec_hash FROM sealed WHERE {where}",  # noqa: S608
            values,
        ).fetchone()
        return None if row is None else Blob(*row)

    def keep_evidence(self, lease: int, resource: int, evidence: WipeEvidence) -> None:
        """Keep what proves a wipe; the first evidence under a key stays."""
        values = (evidence.key, lease, resource, json.dumps(asdict(evidence), sort_keys=True))
        self.db.execute("INSERT OR IGNORE INTO evidence VALUES (?, ?, ?, ?)", values)

    def evidence(self, lease: int) -> dict[str, dict[str, Any]]:
        """Wipe evidence of a lease by operation key, in the order of its resources."""
        rows = self.db.execute(
            "SELECT key, content FROM evidence WHERE lease = ? ORDER BY resource", (lease,)
        )
        return {key: json.loads(content) for key, content in rows}

    def is_wiped(self, key: str) -> bool:
        """Whether the wipe of a key is proven."""
        return self.db.execute("SELECT 1 FROM evidence WHERE key = ?", (key,)).fetchone() is not None

    def keep_metric(self, lease: int, award_to_provision_ms: int, due_to_provision_ms: int) -> None:
        """Keep how long the first plugin call of a lease took to come; later calls do not count."""
        values = (lease, award_to_provision_ms, due_to_provision_ms)
        self.db.execute("INSERT OR IGNORE INTO metric VALUES (?, ?, ?)", values)

    def metric(self, lease: int) -> tuple[int, int] | None:
        """Milliseconds from the award, and from when it was due, to the first plugin call."""
        query = "SELECT award_to_provision_ms, due_to_provision_ms FROM metric WHERE lease = ?"
        row = self.db.execute(query, (lease,)).fetchone()
        return None if row is None else (row[0], row[1])

    def metrics(self, most: int = 1000) -> dict[int, tuple[int, int]]:
        """The same for the newest leases, at most `most` of them."""
        query = (
            "SELECT lease, award_to_provision_ms, due_to_provision_ms FROM metric ORDER BY lease DESC LIMIT ?"
        )
        return {lease: (award, due) for lease, award, due in self.db.execute(query, (most,))}


def _ids(text: str) -> tuple[int, ...]:
    return tuple(json.loads(text))


def _stored_bid(row: Any) -> StoredBid:
    return StoredBid(row[0], Bid(row[1], row[2], row[3], _ids(row[4])), row[5], row[6])
