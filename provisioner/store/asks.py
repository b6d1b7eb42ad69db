"""The table of asks: what buyers asked of their running machines, what became of it, and who is at it.

A buyer's signed power requests stay for ever: they are evidence (W8). Of a console only the sealed access
is kept, and only until the next ask for it or the end of the lease. What changes more than one row is one
transaction, or part of the caller's where it says so. This module must not decide anything, and must not
contact a chain or a cloud.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from provisioner.store.store import Store

__all__ = ["CONSOLE", "DONE", "DROPPED", "FAILED", "PENDING", "POWER", "SUPERSEDED", "Ask", "AskStore"]

POWER, CONSOLE = "power", "console"
"""Kinds of ask."""
PENDING, DONE, FAILED, SUPERSEDED, DROPPED = "pending", "done", "failed", "superseded", "dropped"
"""Where an ask stands: to do, done, given up, overtaken by a later one, dropped with its lease."""

_FIELDS = (
    "id, lease, kind, resource, action, account, at, wanted, contract, nonce, time, signature,"
    " state, detail, ended, done"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """One ask; times in unix seconds.

    `resource` is the one machine it is for, 0 for all of the lease. `wanted`: the resources to act on,
    `done`: those it was done to. `contract`, `nonce`, `time` and `signature` are set for power: with `lease`
    and `action` they are the signed request.
    """

    lease: int
    kind: str
    resource: int
    action: str
    account: str
    at: float
    wanted: tuple[int, ...]
    contract: str | None = None
    nonce: int | None = None
    time: int | None = None
    signature: bytes | None = None
    id: int = 0
    state: str = PENDING
    detail: str | None = None
    ended: float | None = None
    done: tuple[int, ...] = ()


class AskStore:
    """The asks in an agent's database; see the module's docstring."""

    def __init__(self, store: Store) -> None:
        self.store = store

    # ---- asking ----------------------------------------------------------------------------------------

    def add(self, ask: Ask) -> Ask:
        """Keep a new ask, in place of the pending one of its kind and machine, and of its sealed access.

        Part of the caller's transaction, in which it looked whether the ask may be taken.
        """
        same = (ask.lease, ask.kind, ask.resource)
        db = self.store.db
        db.execute(
            "UPDATE ask SET state = ?, detail = 'a later request took its place', ended = ?"
            " WHERE lease = ? AND kind = ? AND resource = ? AND state = ?",
            (SUPERSEDED, ask.at, *same, PENDING),
        )
        db.execute("UPDATE ask SET sealed = NULL WHERE lease = ? AND kind = ? AND resource = ?", same)
        db.execute(
            "INSERT INTO ask (lease, kind, resource, action, account, at, wanted, contract, nonce, time,"
            " signature) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                *same,
                ask.action,
                ask.account,
                ask.at,
                json.dumps(ask.wanted),
                ask.contract,
                ask.nonce,
                ask.time,
                ask.signature,
            ),
        )
        return self.newest(*same) or ask

    def newest(self, lease: int, kind: str, resource: int = 0) -> Ask | None:
        """The last ask of a kind for a machine, or for the whole lease."""
        found = self._asks("lease = ? AND kind = ? AND resource = ?", (lease, kind, resource), newest=True)
        return found[0] if found else None

    def last_nonce(self, lease: int) -> int:
        """The largest nonce of a lease's power requests, 0 if there is none."""
        row = self.store.db.execute("SELECT max(nonce) FROM ask WHERE lease = ?", (lease,)).fetchone()
        return int(row[0] or 0)

    def power_requests(self, lease: int) -> list[Ask]:
        """Every signed power request of a lease, oldest first: the evidence."""
        return self._asks("lease = ? AND kind = ?", (lease, POWER))

    def last_done_power(self, lease: int, resource: int) -> str | None:
        """The last power action that was done to a machine at its tenant's wish; None: there was none."""
        row = self.store.db.execute(
            "SELECT action FROM ask WHERE lease = ?1 AND kind = ?2"
            " AND EXISTS (SELECT 1 FROM json_each(ask.done) WHERE value = ?3) ORDER BY id DESC LIMIT 1",
            (lease, POWER, resource),
        ).fetchone()
        return None if row is None else str(row[0])

    def count_since(self, lease: int, kind: str, since: float, action: str | None = None) -> int:
        """How many asks of a kind (and action) came for a lease since then."""
        row = self.store.db.execute(
            "SELECT count(*) FROM ask WHERE lease = ? AND kind = ? AND at > ? AND ?4 IN (action, '')",
            (lease, kind, since, action or ""),
        ).fetchone()
        return int(row[0])

    def sealed(self, lease: int, resource: int) -> bytes | None:
        """The sealed access to a machine's console, if the newest ask opened it."""
        row = self.store.db.execute(
            "SELECT sealed FROM ask WHERE lease = ? AND kind = ? AND resource = ? ORDER BY id DESC LIMIT 1",
            (lease, CONSOLE, resource),
        ).fetchone()
        return None if row is None else row[0]

    # ---- carrying out ----------------------------------------------------------------------------------

    def pending(self, lease: int) -> list[Ask]:
        """What is to be carried out for a lease, oldest first."""
        return self._asks("lease = ? AND state = ?", (lease, PENDING))

    def is_pending(self, ask: int) -> bool:
        """Whether an ask is still to be carried out."""
        return bool(self._asks("id = ? AND state = ?", (ask, PENDING)))

    def claim(self, ask: Ask, me: str, now: float, until: float) -> bool:
        """Take a pending ask, for oneself alone, until a time; to take it again prolongs it.

        False while another agent has it, or has not come back from an earlier one for the same machines.
        """
        with self.store.transaction():
            other = self.store.db.execute(
                "SELECT 1 FROM ask WHERE lease = ? AND kind = ? AND resource = ? AND holder != ?"
                " AND held_until > ?",
                (ask.lease, ask.kind, ask.resource, me, now),
            ).fetchone()
            if other is not None:
                return False
            cursor = self.store.db.execute(
                "UPDATE ask SET holder = ?, held_until = ? WHERE id = ? AND state = ?",
                (me, until, ask.id, PENDING),
            )
            return cursor.rowcount == 1

    def let_go(self, ask: int, me: str) -> None:
        """Nothing is under way for an ask of ours any more: another agent may go on."""
        self.store.db.execute("UPDATE ask SET held_until = 0 WHERE id = ? AND holder = ?", (ask, me))

    def progress(self, ask: int, resource: int, now: float, sealed: bytes | None = None) -> bool:
        """It is done to one resource; whether that was the last, so that all of it is done.

        Nothing is noted of an ask that is not pending any more.
        """
        with self.store.transaction():
            found = self._asks("id = ? AND state = ?", (ask, PENDING))
            if not found:
                return False
            done = sorted({*found[0].done, resource})
            over = set(done) >= set(found[0].wanted)
            self.store.db.execute(
                "UPDATE ask SET done = ?, sealed = ?, state = ?, ended = ? WHERE id = ?",
                (json.dumps(done), sealed, DONE if over else PENDING, now if over else None, ask),
            )
            return over

    def fail(self, ask: int, detail: str, now: float) -> None:
        """Give a pending ask up, and say why."""
        self.store.db.execute(
            "UPDATE ask SET state = ?, detail = ?, ended = ? WHERE id = ? AND state = ?",
            (FAILED, detail, now, ask, PENDING),
        )

    def end(self, lease: int, detail: str, now: float) -> None:
        """The lease is over: what is pending is dropped, and sealed accesses are forgotten."""
        found = self.store.db.execute(
            "SELECT 1 FROM ask WHERE lease = ? AND (state = ? OR sealed IS NOT NULL)", (lease, PENDING)
        ).fetchone()
        if found is None:  # as nearly always: write nothing
            return
        with self.store.transaction():
            self.store.db.execute(
                "UPDATE ask SET state = ?, detail = ?, ended = ? WHERE lease = ? AND state = ?",
                (DROPPED, detail, now, lease, PENDING),
            )
            self.store.db.execute("UPDATE ask SET sealed = NULL WHERE lease = ?", (lease,))

    def _asks(self, where: str, values: Iterable[Any], *, newest: bool = False) -> list[Ask]:
        order = "id DESC LIMIT 1" if newest else "id"
        rows = self.store.db.execute(
            f"SELECT {_FIELDS} FROM ask WHERE {where} ORDER BY {order}",  # noqa: S608
            tuple(values),
        )
        return [_ask(row) for row in rows]


def _ask(row: Any) -> Ask:
    names = [name.strip() for name in _FIELDS.split(",")]
    fields = dict(zip(names, row, strict=True))
    lists = {name: tuple(json.loads(fields[name])) for name in ("wanted", "done")}
    return Ask(**{**fields, **lists})
