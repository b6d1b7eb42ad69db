"""What the conformance suite must know of each cloud: how to reach it, and how to look at it past the plugin.

Everything else about a plugin is the contract of `provisioner.plugin`, the same for all. A bench's own view
of its cloud (`servers`, `all_keys`) never goes through the plugin under test.
"""

from __future__ import annotations

import abc
import contextlib
import dataclasses
import enum
import functools
import itertools
import json
import signal
import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

from provisioner.plugin import Order, Provisioner, load
from provisioner.plugins.fake import FakePlugin
from tests.provisioner.conformance.proxy import Fault, FaultProxy, Kind, Moment
from tests.provisioner.conformance.warm import Child, Warm

__all__ = ["KEY", "Bench", "FakeBench", "NetworkBench", "When"]

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIKK1Vf0xc0DbAuR2GrsPcA5kKR2l2Lntic6gtFU8puG3"
_PROGRAM = "tests.provisioner.conformance.programs:call"
_numbers = itertools.count(1)


class When(enum.Enum):
    """Where in a call the cloud fails."""

    BEFORE = "before"
    """Nothing was changed."""
    DURING = "during"
    """The first change is there, the next is not."""
    AFTER = "after"
    """The change is there, its answer is not."""
    HALF = "half"
    """Every answer to a question arrives as half of it."""
    DOWN = "down"
    """Nobody answers."""


class Bench(abc.ABC):
    """One plugin with a cloud of its own."""

    name: str
    """The plugin's name."""
    patience = 60.0
    """Seconds a build or a wipe may take at most."""
    lanes = 1
    """How many machines can be worked on at the same time."""
    tries: int | None = None
    """At how many moments of a call it is killed, spread evenly; None: at every one."""
    slow: dict[str, Any]
    """Settings with which no build ends in the time it has."""

    @abc.abstractmethod
    def settings(self, through: FaultProxy | None = None, **more: Any) -> dict[str, Any]:
        """The plugin's settings; `through`: the cloud is reached by this proxy."""

    @abc.abstractmethod
    def servers(self, key: str) -> int:
        """How many servers in the cloud could be used under this key, asked of the cloud itself."""

    @abc.abstractmethod
    def all_keys(self) -> set[str]:
        """Every key anything in the cloud carries, asked of the cloud itself."""

    @abc.abstractmethod
    def foreign(self, local_id: str) -> contextlib.AbstractContextManager[None]:
        """While inside, somebody the exchange does not know has this machine."""

    @abc.abstractmethod
    def trouble(self, method: str, when: When) -> contextlib.AbstractContextManager[Provisioner]:
        """A plugin whose cloud fails its next call of `method`; afterwards all is well again."""

    @abc.abstractmethod
    def child(
        self, warm: Warm, folder: Path, method: str, argument: Order | str, fatal: int = 0
    ) -> dict[str, Any] | None:
        """Call `method` in a process of its own, which is killed at the moment numbered `fatal`.

        What it told (`result` or `error`, and how many `moments` there were), or None if it was killed.
        """

    def choose(self, moments: int) -> list[int]:
        """At which of so many moments (from 1) a call is killed."""
        if self.tries is None or self.tries >= moments:
            return list(range(1, moments + 1))
        return sorted({1 + place * (moments - 1) // (self.tries - 1) for place in range(self.tries)})

    def unknown_id(self) -> str:
        """The id of a machine that does not exist."""
        return "00000000-0000-4000-8000-000000000000"

    @functools.cached_property
    def local_ids(self) -> list[str]:
        """Machines that may be ordered, by the plugin's own word, in its order: asked once, as it stays."""
        return [machine.local_id for machine in self.plugin().inspect()]

    def plugin(self, through: FaultProxy | None = None, **more: Any) -> Provisioner:
        """A fresh plugin, which remembers nothing."""
        return load(self.name, self.settings(through, **more))

    def order(self, key: str | None = None, machine: int = 0, **changes: Any) -> Order:
        """An order for one of the machines; without a key, under one never used before."""
        key = key or self.key()
        made = Order(key, self.local_ids[machine], "conformance", (KEY,), 1_900_000_000, 1_900_003_600)
        return dataclasses.replace(made, **changes)

    def key(self) -> str:
        """An operation key never used before."""
        return f"ocx-31337-c0ffee00-{next(_numbers)}-1"

    def clean(self) -> None:
        """Release everything."""
        plugin = self.plugin()
        for key in plugin.list_owned():
            plugin.release(key)


class NetworkBench(Bench):
    """A cloud behind a port, through a proxy that fails on purpose."""

    targets: list[tuple[str, int]]
    """Where the cloud listens."""
    http = True
    """Whether it speaks HTTP."""
    changes = r"^(POST|PUT|PATCH|DELETE) "
    """Which requests (`METHOD path body`) may change the cloud; the others only ask."""
    questions = r"^GET "

    def faults(self) -> dict[When, Fault]:
        """What the proxy does to the next requests."""
        return {
            When.BEFORE: Fault(Kind.RESET, self.changes),
            When.DURING: Fault(Kind.RESET, self.changes, skip=1, times=9),
            When.AFTER: Fault(Kind.CUT, self.changes),
            When.HALF: Fault(Kind.SHORT, self.questions, times=10**6),
            When.DOWN: Fault(Kind.REFUSE, times=10**6),
        }

    @contextlib.contextmanager
    def trouble(self, method: str, when: When) -> Iterator[Provisioner]:
        """See `Bench.trouble`; the proxy does it, so the method does not matter."""
        with self.proxy() as proxy:
            proxy.plant(self.faults()[when])
            yield self.plugin(proxy)
            assert proxy.suffered, f"no request of {method} was failed; requests: {proxy.lines}"

    def child(
        self, warm: Warm, folder: Path, method: str, argument: Order | str, fatal: int = 0
    ) -> dict[str, Any] | None:
        """See `Bench.child`; moments are just before a request is forwarded, and just after its answer."""
        moments = itertools.count(1)
        seen = []
        with self.proxy() as proxy:
            running: list[Child] = []
            ready = threading.Event()

            def watch(_number: int, _line: str, _moment: Moment) -> None:
                seen.append(next(moments))
                if seen[-1] == fatal:
                    ready.wait(10)
                    running[0].kill()

            proxy.watcher = watch
            told = _call(warm, folder, self.name, self.settings(proxy), method, argument, running, ready)
        return told if told is None else told | {"moments": len(seen)}

    def proxy(self) -> FaultProxy:
        """A proxy before the cloud."""
        return FaultProxy(*self.targets, http=self.http)


class FakeBench(Bench):
    """The fake cloud: one SQLite file."""

    name = "fake"
    patience = 10.0
    lanes = 2
    slow: ClassVar = {"provision_seconds": 0.5, "timeout": 0.1}

    def __init__(self, folder: Path, machines: int = 3) -> None:
        self.state = folder / "cloud.db"
        self._machines = [{"name": f"m{n}"} for n in range(machines)]
        self.plugin().inspect()

    def settings(self, through: FaultProxy | None = None, **more: Any) -> dict[str, Any]:
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

    @contextlib.contextmanager
    def trouble(self, method: str, when: When) -> Iterator[Provisioner]:
        """See `Bench.trouble`."""
        kinds = {When.BEFORE: "temporary", When.DURING: "temporary-during", When.AFTER: "temporary-after"}
        kinds |= {When.HALF: "half", When.DOWN: "temporary"}
        plugin = self.fake()
        plugin.inject(method, kinds[when])
        try:
            yield plugin
        finally:
            plugin.clear_faults()

    def child(
        self, warm: Warm, folder: Path, method: str, argument: Order | str, fatal: int = 0
    ) -> dict[str, Any] | None:
        """See `Bench.child`; moments are just before and just after each SQL statement of the cloud."""
        more = {"cloud": self.state.name, "fatal": fatal}
        return _call(warm, folder, self.name, self.settings(), method, argument, **more)

    def fake(self) -> FakePlugin:
        """The plugin with its own faults."""
        return FakePlugin.from_settings(self.settings())

    def _ask(self, query: str, *values: Any) -> list[Any]:
        with contextlib.closing(sqlite3.connect(self.state, timeout=30)) as db, db:
            return db.execute(query, values).fetchall()


def _call(
    warm: Warm,
    folder: Path,
    plugin: str,
    settings: dict[str, Any],
    method: str,
    argument: Order | str,
    running: list[Child] | None = None,
    ready: threading.Event | None = None,
    **more: Any,
) -> dict[str, Any] | None:
    """Run `programs.call` in a child; what it wrote, or None if it was killed. `running` gets the child."""
    answer = folder / f"answer-{next(_numbers)}.json"
    plain = dataclasses.asdict(argument) if isinstance(argument, Order) else argument
    log = folder / "children.log"
    child = warm.start(_PROGRAM, plugin, settings, method, plain, str(answer), log=log, **more)
    if running is not None and ready is not None:
        running.append(child)
        ready.set()
    code = child.wait(120)
    if code == -signal.SIGKILL:
        return None
    assert code == 0, log.read_text()
    told: dict[str, Any] = json.loads(answer.read_text())
    return told
