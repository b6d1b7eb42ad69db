"""The SQLite file behind the fake plugin: its settings, its machines and wipes, and the faults planted in it.

Every access is one transaction that takes the write lock, so threads and processes see one order of events.
This module must not decide anything about builds and wipes; that is the plugin's.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import secrets
import signal
import socket
import sqlite3
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any, TypeVar

from market.errors import InvalidInput, Permanent, Temporary

__all__ = ["FAULTS", "MACHINE_DEFAULTS", "Call", "FakeCloud", "FakeSettings", "give_guest_port"]

_ERRORS = ("temporary", "permanent", "crash", "hang", "kill")
FAULTS = (*(f"{kind}{when}" for when in ("", "-during", "-after") for kind in _ERRORS), "fail", "half")
"""Kinds of fault: a Temporary or Permanent error, an exception nobody foresaw, a call that blocks until the
fault is cleared, SIGKILL of the calling process. As they are they come before the effect; `-during`: when
the machine is taken, or marked for its wipe, and no further; `-after`: when the effect is in the cloud but
the answer is not with the caller. `fail` breaks a build; `half` lets only half of the answer through."""

_SCHEMA = """
CREATE TABLE machines (
    local_id TEXT PRIMARY KEY, name TEXT UNIQUE NOT NULL,
    ssh_port INTEGER NOT NULL, http_port INTEGER NOT NULL, guest_port INTEGER NOT NULL DEFAULT 0,
    key TEXT UNIQUE, purchase TEXT, state TEXT NOT NULL DEFAULT 'absent', due REAL NOT NULL DEFAULT 0,
    host_key TEXT, power INTEGER NOT NULL DEFAULT 1, boots INTEGER NOT NULL DEFAULT 0,
    fuse_out INTEGER NOT NULL DEFAULT 0);
CREATE TABLE wipes (key TEXT PRIMARY KEY, local_id TEXT, wiped_at INTEGER, facts TEXT);
CREATE TABLE faults (id INTEGER PRIMARY KEY, method TEXT, kind TEXT, times INTEGER);
"""
_PORTS = range(20000, 32000)
_END = object()

_T = TypeVar("_T")


MACHINE_DEFAULTS: dict[str, Any] = {
    "class": "bm.large",
    "site": "lab",
    "cores": 64,
    "memory_mib": 1048576,
    "disk_gib": 480,
    "gpus": 0,
    "network_mbps": 25000,
    "ssh_port": 0,
    "http_port": 0,
    "guest_port": 0,
}
"""What a machine is unless its settings say otherwise."""


@dataclasses.dataclass(frozen=True)
class FakeSettings:
    """The `settings` section of an agent that uses the fake plugin."""

    state: str
    """Path of the SQLite file that is the cloud. Created when missing; disks lie in `<state>.disks/`."""
    machines: list[dict[str, Any]]
    """One mapping per machine: `name`, and optionally class, site, cores, memory_mib, disk_gib, gpus,
    network_mbps, ssh_port, http_port and guest_port, the responder's (0: a free one, chosen once;
    the last when it is first needed)."""
    guests: bool = False
    """Start a real SSH and HTTP server for every machine that is up."""
    address: str = "127.0.0.1"
    """Where guests listen: an address of the agent's own machine."""
    guest_while_pid: int | None = None
    """Guests end with this process; None: they live until released."""
    provision_seconds: float = 0.0
    """How long a build takes."""
    release_seconds: float = 0.0
    """How long a wipe takes."""
    timeout: float = 3600.0
    """Seconds one call waits for a build or a wipe; what takes longer goes on without it."""
    faults: dict[str, list[str]] = dataclasses.field(default_factory=dict)
    """Faults per method, used up in order, planted when the state file is created; see `FAULTS`."""

    def __post_init__(self) -> None:
        """Refuse machines that are not described as they must be."""
        for machine in self.machines:
            unknown = sorted(set(machine) - set(MACHINE_DEFAULTS) - {"name"})
            if unknown or not machine.get("name"):
                raise InvalidInput(
                    f"a fake machine has no setting {unknown[0]}"
                    if unknown
                    else "a fake machine needs a name",
                    hint=f"Known: name, {', '.join(MACHINE_DEFAULTS)}.",
                )
        for method, kind in ((m, k) for m, kinds in self.faults.items() for k in kinds):
            midway = kind.endswith("-during") and method not in ("provision", "release", "set_power")
            if kind not in FAULTS or midway:
                raise InvalidInput(
                    f"there is no fault {kind!r} of {method}", hint=f"Known: {', '.join(FAULTS)}."
                )


class Call:
    """One call of the plugin's interface, as the cloud's faults let it go on; `fault` is the planted kind."""

    def __init__(self, fault: str, suffer: Callable[[str], None]) -> None:
        self._fault, self._suffer = fault, suffer

    @property
    def broken(self) -> bool:
        """Whether the build is to fail."""
        return self._fault == "fail"

    def midway(self) -> None:
        """Half of the effect is in the cloud."""
        if self._fault.endswith("-during"):
            self._suffer(self._fault.removesuffix("-during"))

    def whole(self, items: Iterable[_T]) -> list[_T]:
        """The cloud's answer as it arrives. Raises `Temporary` if its end is missing: half is not less."""
        answer: list[Any] = [*items, _END]
        if self._fault == "half":
            answer = answer[: len(answer) // 2]
        if not answer or answer[-1] is not _END:
            raise Temporary("the fake cloud's answer broke off", retry_after=0.1)
        return answer[:-1]


class FakeCloud:
    """One fake cloud. The file is made at the first use and then only gains machines.

    `machines` are complete mappings with `name`, `ssh_port` and `http_port` (0: choose a free one).
    """

    def __init__(
        self,
        path: Path,
        machines: Sequence[Mapping[str, Any]],
        faults: Mapping[str, Sequence[str]],
        wait: Callable[[float], None],
    ) -> None:
        self._path, self._machines, self._faults, self._wait = (path, machines, faults, wait)
        self._ready = False

    @property
    def disks(self) -> Path:
        """Folder of the machines' disks, beside the file."""
        return self._path.with_name(self._path.name + ".disks")

    @contextlib.contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """All or nothing, one at a time. Raises `Temporary` if the file cannot be read or written."""
        with self._connect() as db:
            if not self._ready:
                self._seed(db)
                self._ready = True
            yield db

    @contextlib.contextmanager
    def _connect(self) -> Iterator[sqlite3.Connection]:
        try:
            with contextlib.closing(sqlite3.connect(self._path, timeout=10, isolation_level=None)) as db:
                db.row_factory = sqlite3.Row
                db.execute("BEGIN IMMEDIATE")
                yield db
                db.execute("COMMIT")
        except sqlite3.Error as error:
            hint = "Check the setting `state` of the fake plugin."
            raise Temporary(f"the fake cloud {self._path} cannot be read: {error}", hint=hint) from error

    def _seed(self, db: sqlite3.Connection) -> None:
        """Make the tables of a new file, and the machines the file does not have yet."""
        if not db.execute("SELECT 1 FROM sqlite_master WHERE name = 'machines'").fetchone():
            for statement in _SCHEMA.split(";"):
                db.execute(statement)
            for method, kinds in self._faults.items():
                rows = [(method, kind) for kind in kinds]
                db.executemany("INSERT INTO faults (method, kind, times) VALUES (?, ?, 1)", rows)
        columns = {row["name"] for row in db.execute("PRAGMA table_info(machines)")}
        for name, default in (("power", 1), ("boots", 0), ("guest_port", 0), ("fuse_out", 0)):
            if name not in columns:  # a file of an earlier version
                db.execute(f"ALTER TABLE machines ADD COLUMN {name} INTEGER NOT NULL DEFAULT {default}")
        taken = _ports_in(db)
        for machine in self._machines:
            if not db.execute("SELECT 1 FROM machines WHERE name = ?", (machine["name"],)).fetchone():
                ports = [machine[k] or _free_port(taken) for k in ("ssh_port", "http_port")]
                db.execute(
                    "INSERT INTO machines (local_id, name, ssh_port, http_port, guest_port)"
                    " VALUES (?, ?, ?, ?, ?)",
                    (str(uuid.uuid4()), machine["name"], *ports, machine["guest_port"]),
                )

    def machine(self, key: str) -> sqlite3.Row | None:
        """The machine that carries the key."""
        with self.transaction() as db:
            row: sqlite3.Row | None = db.execute("SELECT * FROM machines WHERE key = ?", (key,)).fetchone()
        return row

    def inject(self, method: str, kind: str, times: int) -> None:
        """Plant a fault for the next `times` calls of `method`."""
        with self.transaction() as db:
            db.execute("INSERT INTO faults (method, kind, times) VALUES (?, ?, ?)", (method, kind, times))

    def clear_faults(self) -> None:
        """Forget all faults; calls that hang go on."""
        with self.transaction() as db:
            db.execute("DELETE FROM faults")

    @contextlib.contextmanager
    def call(self, method: str) -> Iterator[Call]:
        """Suffer this method's next fault, before or after the body; the body asks for those in between."""
        with self.transaction() as db:
            sql = "SELECT id, kind FROM faults WHERE method = ? AND times > 0 ORDER BY id LIMIT 1"
            fault = db.execute(sql, (method,)).fetchone()
            if fault:
                db.execute("UPDATE faults SET times = times - 1 WHERE id = ?", (fault["id"],))
        kind, number = (fault["kind"], fault["id"]) if fault else ("", 0)
        if kind in _ERRORS:
            self._suffer(kind, method, number)
        yield Call(kind, lambda kind: self._suffer(kind, method, number))
        if kind.endswith("-after"):
            self._suffer(kind.removesuffix("-after"), method, number)

    def _suffer(self, kind: str, method: str, fault: int) -> None:
        if kind == "temporary":
            raise Temporary(f"the fake cloud does not answer ({method})", retry_after=0.1)
        if kind == "permanent":
            raise Permanent(f"the fake cloud refuses for good ({method})")
        if kind == "crash":
            raise RuntimeError(f"injected crash in {method}")
        if kind == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        while self._fault_exists(fault):
            self._wait(0.02)

    def _fault_exists(self, fault: int) -> bool:
        with self.transaction() as db:
            return db.execute("SELECT 1 FROM faults WHERE id = ?", (fault,)).fetchone() is not None


def give_guest_port(db: sqlite3.Connection, local_id: str) -> None:
    """Choose the port of a machine's responder, if it has none; inside a transaction."""
    found = db.execute("SELECT guest_port FROM machines WHERE local_id = ?", (local_id,)).fetchone()
    if found and not found["guest_port"]:
        port = _free_port(_ports_in(db))
        db.execute("UPDATE machines SET guest_port = ? WHERE local_id = ?", (port, local_id))


def _ports_in(db: sqlite3.Connection) -> set[int]:
    rows = db.execute("SELECT ssh_port, http_port, guest_port FROM machines")
    return {port for row in rows for port in row}


def _free_port(taken: set[int]) -> int:
    """A loopback port nobody listens at, below the range the kernel hands out by itself."""
    start = _PORTS.start + secrets.randbelow(len(_PORTS))
    for port in chain(range(start, _PORTS.stop), range(_PORTS.start, start)):
        with contextlib.suppress(OSError), socket.socket() as probe:
            if port not in taken:
                probe.bind(("127.0.0.1", port))
                taken.add(port)
                return port
    raise Permanent("no free port for a fake machine", hint="Name ssh_port and http_port in the settings.")
