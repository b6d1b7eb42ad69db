"""The example back-end: a plugin in one file, to be made into one for your cloud.

It works as it stands, on a toy cloud that is a folder of JSON files (`_Cloud`, at the bottom), so you can run
it and its tests first and then replace the toy, method by method, by calls to your cloud. What `_Cloud`
promises in its docstrings is what your cloud must give; `ExamplePlugin` relies on nothing else, and rarely
has to change. docs/plugins.md goes through it.

This module must not know the chain or the agent that calls it.
"""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import hashlib
import json
import os
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Self

from market.errors import InvalidInput, Permanent, Temporary
from market.specs import Spec
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

__all__ = ["ExamplePlugin", "ExampleSettings"]


@dataclasses.dataclass(frozen=True)
class ExampleSettings:
    """The `settings` section of an agent that uses this plugin. No secret stands here: see SecretSource."""

    folder: str
    """Where the toy cloud lies. Yours: the URL of its API."""
    site: str
    """Data centre or region the machines stand in."""
    machines: list[str]
    """Names of the machines that are for sale."""
    class_name: str = "vm.small"
    """Class they are offered as."""
    timeout: float = 600.0
    """Seconds a build or a wipe may take."""
    poll: float = 0.2
    """Seconds between two looks at a machine that is changing."""

    def __post_init__(self) -> None:
        """Refuse what can never work, in one line that says what to do."""
        if not self.machines or len(set(self.machines)) != len(self.machines):
            raise InvalidInput("the example plugin needs machines, each with a name of its own")


class ExamplePlugin(Provisioner):
    """Sells what `_Cloud` has."""

    def __init__(
        self,
        settings: ExampleSettings,
        *,
        clock: Callable[[], float] = time.time,
        wait: Callable[[float], None] = time.sleep,
    ) -> None:
        self._settings, self._clock, self._wait = settings, clock, wait
        self._cloud = _Cloud(Path(settings.folder))

    @classmethod
    def from_settings(cls, settings: Mapping[str, Any]) -> Self:
        """See `Provisioner.from_settings`; the settings are those of `ExampleSettings`."""
        return cls(read_settings(ExampleSettings, "example", settings))

    # ---- reading: never changes anything, and "cannot read" is never "is not there" ----------------------

    def inspect(self) -> list[Inspected]:
        """See `Provisioner.inspect`; machines come in the order of the settings."""
        self._cloud.servers()  # a cloud that cannot be read has nothing to sell, rather than all it ever had
        return [self._inspected(name) for name in self._settings.machines]

    def status(self, key: str) -> Status:
        """See `Provisioner.status`."""
        found = self._find(key)
        return Status(State.ABSENT, "no machine carries this key") if found is None else _status(found)

    def list_owned(self) -> dict[str, Status]:
        """See `Provisioner.list_owned`."""
        return {server["key"]: _status(server) for server in self._cloud.servers()}

    def check(self) -> list[str]:
        """See `Provisioner.check`."""
        try:
            self._cloud.servers()
        except Temporary as error:
            return [str(error)]
        return []

    # ---- acting: look first, so that a call that was killed anywhere may simply be made again -------------

    def provision(self, order: Order) -> Connection:
        """See `Provisioner.provision`."""
        if order.local_id not in self._settings.machines:
            raise Permanent(f"the example cloud has no machine {order.local_id}", key=order.key)
        deadline = self._clock() + self._settings.timeout
        while True:
            if self._cloud.tombstone(order.key) is not None:
                self._cloud.delete(
                    order.local_id, order.key
                )  # a release came between our look and our create
                raise Permanent(f"{order.key} was released and cannot be used again")
            found = self._find(order.key)
            if found is None:
                self._create(order)
            elif (found["machine"], found["order"]) != (order.local_id, _digest(order)):
                raise Permanent(f"{order.key} was first used with another machine, hostname or SSH keys")
            elif (state := _state(found)) is State.READY:
                return _connection(found)
            elif state is State.FAILED:
                self._cloud.delete(order.local_id, order.key)
            self._pause(deadline, f"{order.local_id} did not come up in time")

    def release(self, key: str) -> WipeEvidence:
        """See `Provisioner.release`. The tombstone comes first, so no provision can follow it."""
        deadline = self._clock() + self._settings.timeout
        found = self._find(key)
        if found is None:
            return self._evidence(key) or WipeEvidence(key, None, int(self._clock()), {"absent": True})
        self._cloud.bury(key, found["machine"], int(self._clock()))
        while (found := self._find(key)) is not None:
            self._cloud.delete(found["machine"], key)
            self._pause(deadline, f"{found['machine']} was not deleted in time")
        evidence = self._evidence(key)
        if evidence is None:
            raise Temporary(f"the record of {key} is not there yet")
        return evidence

    # ---- inner -------------------------------------------------------------------------------------------

    def _find(self, key: str) -> dict[str, Any] | None:
        return next((server for server in self._cloud.servers() if server["key"] == key), None)

    def _create(self, order: Order) -> None:
        """Ask for the machine; losing a race for it is no failure, the next look tells who has it."""
        holder = next((s for s in self._cloud.servers() if s["machine"] == order.local_id), None)
        if holder is not None and holder["key"] != order.key:
            raise Conflict(f"{order.local_id} carries another key", key=order.key, holder=holder["key"])
        keys = list(order.ssh_public_keys)
        server = {"key": order.key, "machine": order.local_id, "hostname": order.hostname, "ssh_keys": keys}
        self._cloud.create(server | {"order": _digest(order)})

    def _pause(self, deadline: float, message: str) -> None:
        if self._clock() >= deadline:
            raise Temporary(message, retry_after=5)
        self._wait(self._settings.poll)

    def _evidence(self, key: str) -> WipeEvidence | None:
        """What was written down when the key was released, or None if it never was."""
        grave = self._cloud.tombstone(key)
        if grave is None:
            return None
        return WipeEvidence(key, grave["machine"], grave["at"], {"plugin": "example", "deleted": True})

    def _inspected(self, name: str) -> Inspected:
        """What the exchange is told of a machine: measured by your cloud, not copied from a wish list."""
        spec = Spec(cores=2, memory_mib=4096, disk_gib=20, gpus=0, network_mbps=1000)
        return Inspected(
            name=name,
            local_id=name,
            class_name=self._settings.class_name,
            spec=spec,
            site=self._settings.site,
            hardware_id=f"example/{self._settings.folder}/{name}",
            document={"kind": "example", "name": name, **dataclasses.asdict(spec)},
        )


def _digest(order: Order) -> str:
    """What must not change between two uses of a key; the window may move."""
    text = json.dumps([order.local_id, order.hostname, sorted(order.ssh_public_keys)])
    return hashlib.sha256(text.encode()).hexdigest()


def _state(server: Mapping[str, Any]) -> State:
    """Your cloud's word for it, in ours."""
    return State(server["state"])


def _status(server: Mapping[str, Any]) -> Status:
    state = _state(server)
    connection = _connection(server) if state is State.READY else None
    return Status(state, f"{server['machine']} is {state.value}", connection, server["machine"])


def _connection(server: Mapping[str, Any]) -> Connection:
    return Connection(f"{server['machine']}.invalid", 22, "root", server["host_key"])


class _Cloud:
    """The toy: one JSON file for each server, named after its machine. Replace it by calls to yours.

    Every method raises `Temporary` if the cloud cannot be reached or gives half an answer.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def servers(self) -> list[dict[str, Any]]:
        """All servers that carry a key of ours, whatever their state; complete, or `Temporary`."""
        with self._locked():
            return [_read(path) for path in sorted(self._folder.glob("server-*.json"))]

    def create(self, server: Mapping[str, Any]) -> None:
        """Make a server that carries its key from its first moment; nothing if its machine is taken.

        The atom everything rests on: of two calls for one machine at most one makes a server. Clouds give
        it as a unique name, a client token, or a reservation; where yours has none, look at
        provisioner/plugins/aws, which makes two and agrees on one.
        """
        with self._locked():
            path = self._folder / f"server-{server['machine']}.json"
            if not path.exists() and not self._grave(str(server["key"])).exists():
                host_key = f"ssh-ed25519 AAAA{hashlib.sha256(os.urandom(32)).hexdigest()}"
                _write(path, {**server, "state": State.READY.value, "host_key": host_key})

    def delete(self, machine: str, key: str) -> None:
        """Delete the machine's server if it carries this key; nothing if it is gone or another's."""
        with self._locked():
            path = self._folder / f"server-{machine}.json"
            if path.exists() and _read(path)["key"] == key:
                path.unlink()

    def bury(self, key: str, machine: str, at: int) -> None:
        """Remember for ever that the key was released: a tag, an empty group, whatever costs nothing."""
        with self._locked():
            if not self._grave(key).exists():
                _write(self._grave(key), {"machine": machine, "at": at})

    def tombstone(self, key: str) -> dict[str, Any] | None:
        """What `bury` wrote; None if it never did."""
        with self._locked():
            return _read(self._grave(key)) if self._grave(key).exists() else None

    def _grave(self, key: str) -> Path:
        return self._folder / f"released-{hashlib.sha256(key.encode()).hexdigest()[:32]}.json"

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            with (self._folder / "lock").open("w") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)
                yield
        except OSError as error:
            raise Temporary(f"the example cloud {self._folder} cannot be used: {error.strerror}") from error


def _read(path: Path) -> dict[str, Any]:
    try:
        found: dict[str, Any] = json.loads(path.read_text("utf-8"))
    except ValueError as error:
        raise Temporary(f"{path} is only half there") from error
    return found


def _write(path: Path, value: Mapping[str, Any]) -> None:
    """Whole or not at all, whenever the process is killed."""
    fresh = path.with_suffix(f".{os.getpid()}.new")
    fresh.write_text(json.dumps(value), "utf-8")
    os.replace(fresh, path)
