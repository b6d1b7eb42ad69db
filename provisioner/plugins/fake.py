"""A cloud that exists only in one SQLite file: for the demo without OpenStack, for tests, for first steps.

It keeps every promise of `provisioner.plugin` and survives kill -9 at any instruction, because the file is
its only state; two processes that name the same file see one cloud. With `guests` on, a machine that was
provisioned can be logged in to over SSH, on loopback unless told otherwise. Delays and faults can be injected
to see how a caller behaves when a cloud is slow, lies down, or dies.

It must not be offered to real tenants: nothing here is hardware.
"""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import json
import os
import shutil
import sqlite3
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Self

from market.errors import Permanent, Temporary
from provisioner.capabilities import Console, ConsoleAccess, Power, PowerAction
from provisioner.guest import Guest, host_key, unix_user, write_config
from provisioner.plugin import (
    Conflict,
    Connection,
    Inspected,
    Order,
    Provisioner,
    State,
    Status,
    WipeEvidence,
    read_settings,
)
from provisioner.plugins.fake_cloud import (
    FAULTS,
    MACHINE_DEFAULTS,
    FakeCloud,
    FakeSettings,
    give_guest_port,
)
from provisioner.plugins.fake_words import boot_log, inspected, same_order
from provisioner.responder import cloud_config, detail

__all__ = ["FAULTS", "FakePlugin", "FakeSettings"]


class FakePlugin(Provisioner, Power, Console):
    """The fake cloud; see the module's docstring."""

    def __init__(
        self,
        settings: FakeSettings,
        *,
        clock: Callable[[], float] = time.time,
        wait: Callable[[float], None] = time.sleep,
    ) -> None:
        self._settings, self._clock, self._wait = settings, clock, wait
        self._machines = {m["name"]: {**MACHINE_DEFAULTS, **m} for m in settings.machines}
        self._cloud = FakeCloud(
            Path(settings.state).absolute(), list(self._machines.values()), settings.faults, wait
        )

    @classmethod
    def from_settings(cls, settings: Mapping[str, Any]) -> Self:
        """See `Provisioner.from_settings`; the settings are those of `FakeSettings`."""
        return cls(read_settings(FakeSettings, "fake", settings))

    # ---- the interface ---------------------------------------------------------------------------------

    def inspect(self) -> list[Inspected]:
        """See `Provisioner.inspect`; machines come in the order of the settings."""
        with self._cloud.call("inspect") as call:
            with self._cloud.transaction() as db:
                rows = db.execute("SELECT name, local_id FROM machines").fetchall()
            ids = {row["name"]: row["local_id"] for row in call.whole(rows)}
            return [inspected(machine, ids[name]) for name, machine in self._machines.items()]

    def provision(self, order: Order) -> Connection:
        """See `Provisioner.provision`; takes `provision_seconds` and, with guests, a boot (0.3 s)."""
        with self._cloud.call("provision") as call:
            self._take(order, broken=call.broken)
            call.midway()
            deadline = self._clock() + self._settings.timeout
            while True:
                row = self._cloud.machine(order.key)
                if row is None or row["state"] == State.RELEASING.value:
                    raise Permanent(f"{order.key} was released while it was being built")
                if row["state"] == State.FAILED.value:
                    raise Temporary(f"the build of {row['name']} failed", key=order.key)
                if row["state"] == State.READY.value and self._answers(row):
                    return call.whole([self._connection(row)])[0]
                if self._clock() >= row["due"]:
                    self._boot(row, order)
                else:
                    self._pause(row, deadline)

    def status(self, key: str) -> Status:
        """See `Provisioner.status`."""
        with self._cloud.call("status") as call:
            row = call.whole([self._cloud.machine(key)])[0]
        return Status(State.ABSENT, "no machine carries this key") if row is None else self._status(row)

    def release(self, key: str) -> WipeEvidence:
        """See `Provisioner.release`; takes `release_seconds`."""
        with self._cloud.call("release") as call:
            with self._cloud.transaction() as db:
                db.execute(
                    "UPDATE machines SET state = ?, due = ? WHERE key = ? AND state != ?",
                    ("releasing", self._clock() + self._settings.release_seconds, key, "releasing"),
                )
            call.midway()
            deadline = self._clock() + self._settings.timeout
            while (row := self._cloud.machine(key)) is not None:
                if self._clock() >= row["due"]:
                    self._wipe(row)
                else:
                    self._pause(row, deadline)
            return call.whole([self._evidence(key)])[0]

    def list_owned(self) -> dict[str, Status]:
        """See `Provisioner.list_owned`."""
        with self._cloud.call("list_owned") as call:
            with self._cloud.transaction() as db:
                rows = db.execute("SELECT * FROM machines WHERE key IS NOT NULL").fetchall()
            return {row["key"]: self._status(row) for row in call.whole(rows)}

    def set_power(self, key: str, action: PowerAction) -> None:
        """See `Power.set_power`; with guests, the guest is really ended and booted."""
        with self._cloud.call("set_power") as call:
            row = self._tenants(key)
            if action is not PowerAction.ON:
                self._switch_off(row)
            call.midway()
            if action is not PowerAction.OFF:
                self._switch_on(row)

    def is_on(self, key: str) -> bool:
        """See `Power.is_on`."""
        with self._cloud.call("is_on"):
            return self._has_power(self._tenants(key))

    def open_console(self, key: str) -> ConsoleAccess:
        """See `Console.open_console`; always a log: what the guest printed, or the boot of none."""
        with self._cloud.call("open_console"):
            row = self._tenants(key)
            log = self._guest(row).console() if self._settings.guests else boot_log(row)
            return ConsoleAccess("log", text=log)

    def close_console(self, key: str) -> None:
        """See `Console.close_console`; a log is not open."""
        with self._cloud.call("close_console"):
            return

    def check(self) -> list[str]:
        """See `Provisioner.check`."""
        problems = []
        try:
            with self._cloud.transaction():
                pass
        except Temporary as error:
            problems.append(str(error))
        if self._settings.guests:
            path = f"{os.environ.get('PATH', '')}:/usr/sbin"
            missing = [p for p in ("sshd", "ssh-keygen") if shutil.which(p, path=path) is None]
            problems += [f"{p} is not installed; guests need it: install openssh-server" for p in missing]
        return problems

    def inject(self, method: str, kind: str, times: int = 1) -> None:
        """Make the next `times` calls of `method`, from any process, suffer `kind`; see `FAULTS`."""
        FakeSettings(state="", machines=[], faults={method: [kind]})
        self._cloud.inject(method, kind, times)

    def clear_faults(self) -> None:
        """Forget all faults; calls that hang go on."""
        self._cloud.clear_faults()

    def cut_power(self, name: str) -> None:
        """Take a machine's power away behind the cloud's back, until `restore_power`: nobody asked for it,
        and switching it on fails. What the tenant last asked for stays known."""
        self._set_fuse(name, out=True)
        if (row := self._named(name))["key"] and self._settings.guests:
            self._guest(row).power_off()

    def restore_power(self, name: str) -> None:
        """The power is back; the machine boots if its tenant has it switched on."""
        self._set_fuse(name, out=False)
        row = self._named(name)
        if row["state"] == State.READY.value and row["power"] and self._settings.guests:
            self._guest(row).power_on(while_pid=self._settings.guest_while_pid)

    def _set_fuse(self, name: str, *, out: bool) -> None:
        with self._cloud.transaction() as db:
            db.execute("UPDATE machines SET fuse_out = ? WHERE name = ?", (int(out), name))

    def _named(self, name: str) -> sqlite3.Row:
        with self._cloud.transaction() as db:
            row: sqlite3.Row | None = db.execute("SELECT * FROM machines WHERE name = ?", (name,)).fetchone()
        if row is None:
            raise Permanent(f"the fake cloud has no machine {name}")
        return row

    def _pause(self, row: sqlite3.Row, deadline: float) -> None:
        """Wait a moment for a build or a wipe, but not past the deadline."""
        if self._clock() >= deadline:
            raise Temporary(f"{row['name']} is still {row['state']}", retry_after=0.1)
        self._wait(0.02)

    # ---- the cloud -------------------------------------------------------------------------------------

    def _take(self, order: Order, *, broken: bool) -> None:
        """Give the machine to the key, atomically; joining and starting a failed build again included."""
        due = self._clock() + self._settings.provision_seconds
        state = (State.FAILED if broken else State.BUILDING).value
        with self._cloud.transaction() as db:
            row = db.execute("SELECT * FROM machines WHERE local_id = ?", (order.local_id,)).fetchone()
            if row is None:
                raise Permanent(f"the fake cloud has no machine {order.local_id}", key=order.key)
            if db.execute("SELECT 1 FROM wipes WHERE key = ?", (order.key,)).fetchone():
                raise Permanent(f"{order.key} was released already and cannot be used again")
            sql = "SELECT name FROM machines WHERE key = ? AND local_id != ?"
            if other := db.execute(sql, (order.key, order.local_id)).fetchone():
                raise Permanent(f"{order.key} holds {other['name']}, not {row['name']}")
            if row["key"] not in (None, order.key) and row["state"] == State.RELEASING.value:
                raise Temporary(f"{row['name']} is still being wiped for another lease", holder=row["key"])
            if row["key"] not in (None, order.key):
                raise Conflict(f"{row['name']} carries another key", key=order.key, holder=row["key"])
            if row["key"] and not same_order(json.loads(row["purchase"]), order):
                raise Permanent(f"{order.key} was first used with another hostname or other SSH keys")
            if order.responder and self._settings.guests:
                give_guest_port(db, order.local_id)
            db.execute(
                "UPDATE machines SET key = ?, purchase = ?, state = ?, due = ?, power = 1, boots = 1"
                " WHERE local_id = ? AND (key IS NULL OR state = 'failed')",
                (order.key, json.dumps(dataclasses.asdict(order)), state, due, order.local_id),
            )

    def _boot(self, row: sqlite3.Row, order: Order) -> None:
        """Bring the machine up; harmless if another thread or process did so already."""
        if row["fuse_out"]:
            raise Temporary(f"{row['name']} does not come on: there is no power", retry_after=1.0)
        key = "ssh-ed25519 " + base64.b64encode(b"\0\0\0\x0bssh-ed25519\0\0\0 " + os.urandom(32)).decode()
        if self._settings.guests:
            disk = self._disk(row)
            disk.mkdir(parents=True, exist_ok=True)
            keys = {f"key-{n}": line for n, line in enumerate(order.ssh_public_keys)}
            told = cloud_config(row["guest_port"]) if order.responder else {}
            meta = {"hostname": order.hostname, "uuid": row["local_id"], "public_keys": keys}
            write_config(disk, meta, told)
            self._guest(row).power_on(while_pid=self._settings.guest_while_pid)
            key = host_key(disk) or key
        with self._cloud.transaction() as db:
            db.execute(
                "UPDATE machines SET state = 'ready', host_key = ? WHERE key = ? AND state = 'building'",
                (key, order.key),
            )
        after = self._cloud.machine(order.key)
        if self._settings.guests and (after is None or after["state"] == State.RELEASING.value):
            self._destroy(row)

    def _tenants(self, key: str) -> sqlite3.Row:
        """The machine of the key, up and its tenant's; Permanent if it is not."""
        row = self._cloud.machine(key)
        if row is None or row["state"] != State.READY.value:
            raise Permanent("there is no machine that is up for this key", key=key)
        return row

    def _switch_off(self, row: sqlite3.Row) -> None:
        """Noted first: a guest that is on its way down is off at its tenant's wish, not broken."""
        with self._cloud.transaction() as db:
            db.execute("UPDATE machines SET power = 0 WHERE key = ? AND state = 'ready'", (row["key"],))
        if self._settings.guests:
            self._guest(row).power_off()

    def _switch_on(self, row: sqlite3.Row) -> None:
        """Noted last; a machine whose release began meanwhile stays down."""
        if row["fuse_out"]:
            raise Temporary(f"{row['name']} does not come on: there is no power", retry_after=1.0)
        if self._settings.guests:
            try:
                self._guest(row).power_on(while_pid=self._settings.guest_while_pid)
            except FileNotFoundError as error:
                raise Permanent(f"{row['name']} has no disk any more", key=row["key"]) from error
        with self._cloud.transaction() as db:
            db.execute(
                "UPDATE machines SET boots = boots + 1 - power, power = 1 WHERE key = ? AND state = 'ready'",
                (row["key"],),
            )
        after = self._cloud.machine(row["key"])
        if after is None or after["state"] != State.READY.value:
            self._destroy(row)

    def _destroy(self, row: sqlite3.Row) -> None:
        """Power off and delete the disk; nothing happens if there is none."""
        if self._settings.guests:
            self._guest(row).power_off()
        shutil.rmtree(self._disk(row), ignore_errors=True)

    def _wipe(self, row: sqlite3.Row) -> None:
        """Power off, delete the disk, and free the machine together with writing the evidence."""
        self._destroy(row)
        facts = {
            "plugin": "fake",
            "machine": row["name"],
            "steps": ["power off", "delete disk"],
            "disk_exists": self._disk(row).exists(),
        }
        with self._cloud.transaction() as db:
            freed = db.execute(
                "UPDATE machines SET key = NULL, purchase = NULL, state = 'absent', host_key = NULL"
                " WHERE key = ? AND state = 'releasing'",
                (row["key"],),
            )
            if freed.rowcount:
                values = (row["key"], row["local_id"], int(self._clock()), json.dumps(facts))
                db.execute("INSERT INTO wipes VALUES (?, ?, ?, ?)", values)

    def _evidence(self, key: str) -> WipeEvidence:
        with self._cloud.transaction() as db:
            row = db.execute("SELECT * FROM wipes WHERE key = ?", (key,)).fetchone()
        if row is None:
            return WipeEvidence(key, None, int(self._clock()), {"plugin": "fake", "absent": True})
        return WipeEvidence(key, row["local_id"], row["wiped_at"], json.loads(row["facts"]))

    def _status(self, row: sqlite3.Row) -> Status:
        state = State(row["state"])
        power = self._has_power(row) if state is State.READY else None
        if state is State.READY and not self._answers(row):
            why = "it has no power" if row["fuse_out"] else "the guest is not running"
            return Status(State.FAILED, why, local_id=row["local_id"], power=power)
        connection = self._connection(row) if state is State.READY else None
        off = ", switched off" if state is State.READY and not row["power"] else ""
        return Status(state, f"{row['name']} is {state.value}{off}", connection, row["local_id"], power)

    def _has_power(self, row: sqlite3.Row) -> bool:
        """Whether it is on just now, whoever switched it."""
        if row["fuse_out"]:
            return False
        return self._guest(row).is_on() if self._settings.guests else bool(row["power"])

    def _answers(self, row: sqlite3.Row) -> bool:
        """Whether it is as it should be: its guest answers, or its tenant has switched it off."""
        if not row["power"]:
            return True
        return not row["fuse_out"] and (not self._settings.guests or self._guest(row).answers())

    def _connection(self, row: sqlite3.Row) -> Connection:
        host = self._settings.address if self._settings.guests else f"{row['name']}.fake.invalid"
        responds = self._settings.guests and json.loads(row["purchase"]).get("responder")
        details = {"http": f"http://{host}:{row['http_port']}/"}
        details |= detail(host, row["guest_port"] if responds else None)
        return Connection(host, row["ssh_port"], unix_user(), row["host_key"], details)

    def _guest(self, row: sqlite3.Row) -> Guest:
        return Guest(self._disk(row), row["ssh_port"], row["http_port"], self._settings.address)

    def _disk(self, row: sqlite3.Row) -> Path:
        operation = hashlib.sha256(row["key"].encode()).hexdigest()[:12]
        return self._cloud.disks / f"{row['local_id']}.{operation}"
