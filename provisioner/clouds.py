"""The clouds as last read: which machines they have, and what in them carries a key of ours.

Readings run in the background and may fail; a failed reading is no reading, so nothing is ever concluded to
be gone from a cloud that could not be read. This module changes nothing in a cloud.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from chain.exchange import Exchange
from market.errors import OcxError, Permanent, Temporary
from provisioner.catalogue import Measured, record
from provisioner.handover import Documents
from provisioner.operations import Operations, Outcome, Retries
from provisioner.plugin import Inspected, Provisioner, Status
from provisioner.records import MachineRecord
from provisioner.store import Store

__all__ = ["Clouds", "Reading"]

log = logging.getLogger(__name__)

_READ_TIMEOUT = 60.0


@dataclass(frozen=True, slots=True)
class Reading:
    """One successful look at a cloud: when it began (by `clock`), its number, and what carries a key."""

    began: float = 0.0
    number: int = 0
    owned: Mapping[str, Status] = field(default_factory=dict)


class Clouds:
    """All plugins of one agent; `measured` seconds apart they are inspected, `looked` seconds apart read."""

    def __init__(
        self,
        plugins: Mapping[str, Provisioner],
        exchange: Exchange,
        store: Store,
        operations: Operations,
        retries: Retries,
        *,
        inspect_every: float,
        look_every: float,
        clock: Callable[[], float],
        now: Callable[[], float],
    ) -> None:
        """`clock` measures time and need not say what o'clock it is; `now` does, in unix seconds."""
        self.plugins = plugins
        self._exchange, self._store = exchange, store
        self._operations, self._retries = operations, retries
        self._every = {"inspect": inspect_every, "look": look_every}
        self._clock, self._now = clock, now
        self.documents = Documents(store)
        self._readings: dict[str, Reading] = {}
        self._count = 0
        self._due: dict[tuple[str, str], float] = {}
        self._hardware: dict[int, bytes] = {}
        self._measuring = threading.Lock()
        self._last: dict[str, list[Inspected]] = {}
        self._measured_at: dict[str, float] = {}

    def look(self) -> None:
        """Start the readings that are due."""
        for name in self.plugins:
            for kind in ("inspect", "look"):
                key = f"cloud/{name}/{kind}"
                if self._due.get((name, kind), 0.0) > self._clock() or self._retries.blocked(key):
                    continue
                if self._operations.start(key, kind, self._reader(name, kind), _READ_TIMEOUT):
                    self._due[name, kind] = self._clock() + self._every[kind]

    def look_soon(self, name: str) -> None:
        """Have one cloud read at the next opportunity."""
        self._due[name, "look"] = 0.0

    def note(self, outcome: Outcome) -> bool:
        """Take a reading's outcome; whether it was one."""
        if outcome.kind not in self._every or not outcome.key.startswith("cloud/"):
            return False
        name = outcome.key.split("/")[1]
        if outcome.error is not None:
            self._readings.pop(name, None)
            self._due[name, outcome.kind] = 0.0
            error = outcome.error
            if isinstance(error, OcxError) and not isinstance(error, Temporary):
                error = Temporary(str(error), retry_after=self._every["look"])
            self._retries.failed(outcome.key, error)
            return True
        self._retries.succeeded(outcome.key)
        if outcome.kind == "look":
            self._count += 1
            self._readings[name] = Reading(outcome.started, self._count, outcome.value)
        return True

    def reading(self, name: str) -> Reading | None:
        """The last reading of a cloud, None if the last attempt failed or there was none yet."""
        return self._readings.get(name)

    def owned(self) -> list[tuple[str, str, Status]]:
        """Everything that carries any key, as last read: plugin, key, status."""
        return [
            (name, key, status)
            for name, reading in self._readings.items()
            for key, status in reading.owned.items()
        ]

    def carries(self, name: str, key: str) -> tuple[bool | None, Reading | None]:
        """Whether a cloud has something with this key, and the reading that says so.

        None if there is no reading that began after the key was last acted on.
        """
        reading = self._readings.get(name)
        if reading is None or reading.began < self._operations.last_active(key):
            return None, None
        return key in reading.owned, reading

    def locate(self, resource: int) -> MachineRecord | None:
        """The machine behind a resource, None if no plugin of ours has it."""
        key = self._hardware.get(resource)
        if key is None:
            key = self._exchange.inventory.resource(resource).hardware_key
            self._hardware[resource] = key
        found = self._store.machine(key)
        return found if found is not None and found.plugin in self.plugins else None

    def has(self, resource: int) -> bool:
        """Whether the last measurement of its cloud found the machine; what was lost is not sold again."""
        located = self.locate(resource)
        if located is None:
            return False
        return any(found.local_id == located.local_id for found in self._last.get(located.plugin, []))

    def remeasure(self, name: str, local_id: str, freshness: float = 5.0) -> Inspected:
        """A machine as it is, measured now or at most `freshness` seconds ago. Blocking.

        Raises `Permanent` if the cloud does not have that machine any more.
        """
        with self._measuring:
            if self._clock() - self._measured_at.get(name, float("-inf")) > freshness:
                self._measure(name)
            for found in self._last.get(name, []):
                if found.local_id == local_id:
                    return found
        raise Permanent(f"{name} no longer has the machine {local_id}", hint="Ask whoever runs that cloud.")

    def _reader(self, name: str, kind: str) -> Callable[[], object]:
        def inspect() -> int:
            with self._measuring:
                return len(self._measure(name))

        return inspect if kind == "inspect" else self.plugins[name].list_owned

    def _measure(self, name: str) -> list[Inspected]:
        """Inspect one cloud and remember the result; the caller holds the lock."""
        found = self.plugins[name].inspect()
        self._store.keep_machines((record(Measured(name, item)) for item in found), int(self._now()))
        for item in found:
            self.documents.keep(item)
        self._last[name] = found
        self._measured_at[name] = self._clock()
        return found
