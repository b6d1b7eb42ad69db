"""What runs in processes that are killed: one plugin call, or a whole agent, dying at a chosen statement.

The product knows nothing of this: the process counts the statements of its own SQLite connections, from
outside, and sends itself SIGKILL, which cannot be caught, before or after the one it was told.
"""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import sqlite3
import threading
from pathlib import Path
from typing import Any

from market.errors import OcxError
from provisioner.plugin import Order, load
from provisioner.run import run
from provisioner.settings import load as load_settings

__all__ = ["agent", "call", "count_statements"]

_WRITES = ("INSERT", "UPDATE", "DELETE", "REPLACE")
_connect = sqlite3.connect


class _Statements:
    """Counts the statements of some connections; the moment `fatal` kills the process."""

    def __init__(self, fatal: int, only: tuple[str, ...], skip: tuple[str, ...]) -> None:
        self._fatal, self._only, self._skip = fatal, only, skip
        self.moments = 0
        self._lock = threading.Lock()

    def counts(self, sql: str) -> bool:
        """Whether a statement is one of those that are counted."""
        text = sql.lstrip().upper()
        return (not self._only or text.startswith(self._only)) and not any(w in text for w in self._skip)

    def moment(self, sql: str) -> None:
        """One more moment: just before, or just after, a statement that counts."""
        with self._lock:
            self.moments += 1
            if self.moments == self._fatal:
                os.write(2, f"dies at moment {self._fatal}: {sql[:100]}\n".encode())
                os.kill(os.getpid(), signal.SIGKILL)


def count_statements(
    files: tuple[str, ...], fatal: int, *, only: tuple[str, ...] = (), skip: tuple[str, ...] = ()
) -> _Statements:
    """From now on every statement on databases whose path holds one of `files` has two moments.

    Just before it and just after it. At the moment numbered `fatal` (1 is the first; 0: never) this process
    dies by SIGKILL. `only`: statements that begin so; `skip`: not those which name one of these. The commit
    of a transaction counts if anything in it does.
    """
    seen = _Statements(fatal, only, skip)

    class Counting(sqlite3.Connection):
        pending = False

        def execute(self, sql: str, *parameters: Any) -> sqlite3.Cursor:  # type: ignore[override]
            ends = sql.lstrip().upper().startswith("COMMIT")
            counts = self.pending if ends else seen.counts(sql)
            self.pending = not ends and (self.pending or counts) and self.in_transaction
            if counts:
                seen.moment(sql)
            cursor = super().execute(sql, *parameters)
            if counts:
                seen.moment(sql)
            return cursor

    def connect(database: Any, *args: Any, **more: Any) -> sqlite3.Connection:
        if any(part in str(database) for part in files):
            more["factory"] = Counting
        return _connect(database, *args, **more)

    sqlite3.connect = connect
    return seen


def call(
    plugin: str,
    settings: dict[str, Any],
    method: str,
    argument: dict[str, Any] | str,
    answer: str,
    cloud: str = "",
    fatal: int = 0,
) -> None:
    """Call `provision` (the argument is an order's fields) or another method of a plugin.

    What came of it is written to the file `answer`: `result` or `error` and its `message`, and how many
    moments the file `cloud` had.
    """
    seen = count_statements((cloud,) if cloud else (), fatal)
    made = load(plugin, settings)
    value: Any = order_of(argument) if isinstance(argument, dict) else argument
    told: dict[str, Any] = {}
    try:
        result = getattr(made, method)(value)
        told["result"] = dataclasses.asdict(result)
    except OcxError as error:
        told |= {"error": type(error).__name__, "message": str(error)}
    told["moments"] = seen.moments
    part = Path(f"{answer}.part")
    part.write_text(json.dumps(told, default=lambda item: item.value))
    part.rename(answer)


def order_of(fields: dict[str, Any]) -> Order:
    """An order from its JSON form."""
    return Order(**{**fields, "ssh_public_keys": tuple(fields["ssh_public_keys"])})


def agent(settings: str, fatal: int = 0, told: str = "") -> None:
    """Run a provider agent until it is stopped, or dies at a moment of its own journals.

    Its journals are the agent's database and the sender's; moments are those of writes, except of the
    event reader's position, which moves with every block. With `told`, the number of moments is written
    there when the agent stops.
    """
    seen = count_statements(
        ("agent.db", "/sender/"), fatal, only=_WRITES, skip=("EVENT_BLOCK", "EVENT_READER")
    )
    run(load_settings(settings, {}))
    if told:
        Path(told).write_text(str(seen.moments))
