"""Which events of the chain an agent keeps, and as which rows: the index that says where to look.

Nothing is decided by these rows: facts are read again from the chain before anything is done. Handlers run
inside the event reader's transaction, and must not commit.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence

from chain.events import Event
from chain.generated import events as ledger
from market.specs import MAX_SIZE

__all__ = ["Index"]

_MOST = (1 << 63) - 1
"""What SQLite can hold; a stranger's request may name more, and must not stop the reading."""


class Index:
    """The handler of one organisation's event reader; `touched`: our leases that something happened to."""

    def __init__(self, org: int, leases: Sequence[str]) -> None:
        self._org = org
        self._leases = frozenset(leases)
        self.touched: set[int] = set()

    def handle(self, db: sqlite3.Connection, event: Event) -> None:
        """Write what an event means for us."""
        match event.payload:
            case ledger.LeaseOpened() as opened if opened.provider == self._org:
                db.execute(
                    "INSERT OR IGNORE INTO lease VALUES (?, ?, ?, ?, ?, ?, ?, 0)",
                    (
                        opened.lease,
                        opened.buyer,
                        opened.start,
                        opened.end,
                        json.dumps(opened.resources),
                        event.block_time,
                        event.block_number,
                    ),
                )
            case ledger.LeaseExtended() as extended if event.address in self._leases:
                # Facts are read from the chain; this says when the machine is ours to bid with again.
                db.execute("UPDATE lease SET end = ? WHERE lease = ?", (extended.end, extended.lease))
            case ledger.OfferPublished() as offer if offer.org == self._org:
                _keep_offer(db, offer, event.block_number)
            case ledger.RequestPosted() as request if max(request.spec) <= MAX_SIZE:
                _keep_request(db, request, event.block_number)
            case ledger.TenderOpened() as tender:
                db.execute(
                    "INSERT OR IGNORE INTO tender VALUES (?, ?, ?, ?, 0)",
                    (tender.request, tender.commit_end, tender.reveal_end, event.block_number),
                )
        if event.address in self._leases:
            lease = int(getattr(event.payload, "lease", 0))
            if db.execute("SELECT 1 FROM lease WHERE lease = ?", (lease,)).fetchone():
                self.touched.add(lease)

    def rewind(self, db: sqlite3.Connection, block: int) -> None:
        """Forget what was written for blocks after the one given."""
        for table in ("lease", "offer", "request", "tender"):
            db.execute(f"DELETE FROM {table} WHERE block > ?", (block,))  # noqa: S608


def _keep_offer(db: sqlite3.Connection, offer: ledger.OfferPublished, block: int) -> None:
    window = (offer.start, offer.end)
    db.execute(
        "INSERT OR IGNORE INTO offer VALUES (?, ?, ?, ?, ?, ?, ?)",
        (
            offer.offer,
            offer.class_,
            *window,
            min(offer.floor_rate, _MOST),
            json.dumps(offer.resources),
            block,
        ),
    )


def _keep_request(db: sqlite3.Connection, request: ledger.RequestPosted, block: int) -> None:
    window = (request.start, request.end)
    size = (request.count, min(request.ceiling_rate, _MOST), json.dumps(request.spec))
    db.execute(
        "INSERT OR IGNORE INTO request"
        " (request, org, class, start, end, count, ceiling_rate, spec, block, slots)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (request.request, request.org, request.class_, *window, *size, block, request.slots),
    )
