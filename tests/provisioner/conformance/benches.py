"""What the conformance suite must know of each cloud: how to reach it, and how to look at it past the plugin.

Everything else about a plugin is the contract of `provisioner.plugin`, the same for all. A bench's own view
of its cloud (`servers`, `all_keys`) never goes through the plugin under test.
"""

from __future__ import annotations

import abc
import contextlib
import dataclasses
import itertools
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from provisioner.plugin import Order, Provisioner, load
from provisioner.plugins.fake import FakePlugin

__all__ = ["KEY", "Bench", "FakeBench"]

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIKK1Vf0xc0DbAuR2GrsPcA5kKR2l2Lntic6gtFU8puG3"
_numbers = itertools.count(1)


class Bench(abc.ABC):
    """One plugin with a cloud of its own."""

    name: str
    """The plugin's name."""
    target: tuple[str, int] | None = None
    """Where the cloud's API listens; None: it is no network service."""
    http = True
    """Whether that API speaks HTTP."""
    changes = r"^(POST|PUT|PATCH|DELETE) "
    """Which requests (`METHOD path body`) may change the cloud."""
    patience = 60.0
    """Seconds a build or a wipe may take at most."""

    @abc.abstractmethod
    def settings(self, through: int | None = None, **more: Any) -> dict[str, Any]:
        """The plugin's settings; `through`: the cloud is reached at this loopback port."""

    @abc.abstractmethod
    def servers(self, key: str) -> int:
        """How many servers in the cloud could be used under this key, asked of the cloud itself."""

    @abc.abstractmethod
    def all_keys(self) -> set[str]:
        """Every key anything in the cloud carries, asked of the cloud itself."""

    @abc.abstractmethod
    def foreign(self, local_id: str) -> contextlib.AbstractContextManager[None]:
        """While inside, somebody the exchange does not know has this machine."""

    def unknown_id(self) -> str:
        """The id of a machine that does not exist."""
        return "00000000-0000-4000-8000-000000000000"

    def local_ids(self) -> list[str]:
        """Machines that may be ordered, by the plugin's own word, in its order."""
        return [machine.local_id for machine in self.plugin().inspect()]

    def plugin(self, through: int | None = None, **more: Any) -> Provisioner:
        """A fresh plugin, which remembers nothing."""
        return load(self.name, self.settings(through, **more))

    def order(self, key: str | None = None, machine: int = 0, **changes: Any) -> Order:
        """An order for one of the machines; without a key, under one never used before."""
        key = key or self.key()
        made = Order(key, self.local_ids()[machine], "conformance", (KEY,), 1_900_000_000, 1_900_003_600)
        return dataclasses.replace(made, **changes)

    def key(self) -> str:
        """An operation key never used before."""
        return f"ocx-31337-c0ffee00-{next(_numbers)}-1"

    def clean(self) -> None:
        """Release everything."""
        plugin = self.plugin()
        for key in plugin.list_owned():
            plugin.release(key)


class FakeBench(Bench):
    """The fake cloud: one SQLite file."""

    name = "fake"
    patience = 10.0

    def __init__(self, folder: Path, machines: int = 3) -> None:
        self.state = folder / "cloud.db"
        self._machines = [{"name": f"m{n}"} for n in range(machines)]
        self.plugin().inspect()

    def settings(self, through: int | None = None, **more: Any) -> dict[str, Any]:
        """See `Bench.settings`; there is no port to go through."""
        assert through is None, "the fake cloud is no network service"
        return {"state": str(self.state), "machines": self._machines} | more

    def servers(self, key: str) -> int:
        """See `Bench.servers`."""
        query = "SELECT count(*) FROM machines WHERE key = ? AND state = 'ready'"
        return int(self._ask(query, key)[0][0])

    def all_keys(self) -> set[str]:
        """See `Bench.all_keys`."""
        return {row[0] for row in self._ask("SELECT key FROM machines WHERE key IS NOT NULL")}

    @contextlib.contextmanager
    def foreign(self, local_id: str) -> Iterator[None]:
        """See `Bench.foreign`."""
        taken = (
            "UPDATE machines SET key = 'somebody else', purchase = '{}', state = 'ready' WHERE local_id = ?"
        )
        self._ask(taken, local_id)
        try:
            yield
        finally:
            self._ask(
                "UPDATE machines SET key = NULL, purchase = NULL, state = 'absent' WHERE local_id = ?",
                local_id,
            )

    def fake(self) -> FakePlugin:
        """The plugin with its own faults."""
        return FakePlugin.from_settings(self.settings())

    def _ask(self, query: str, *values: Any) -> list[Any]:
        with contextlib.closing(sqlite3.connect(self.state, timeout=30)) as db, db:
            return db.execute(query, values).fetchall()
