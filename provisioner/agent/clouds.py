"""The clouds as last read: which machines they have, and what in them carries a key of ours.

Readings run in the background and may fail or hang; a failed reading is no reading, and one that is old
counts no more, so nothing is ever concluded to be gone from a cloud that could not be read. A machine is
lost when two measurements in a row did not find it. This module changes nothing in a cloud.
"""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from chain.exchange import Exchange
from market.errors import OcxError, Permanent, Temporary
from provisioner.agent.handover import Documents
from provisioner.agent.operations import Operations, Outcome, Retries
from provisioner.catalogue import Measured, record
from provisioner.plugin import Inspected, Provisioner, State, Status
from provisioner.store.records import MachineRecord
from provisioner.store.store import Store

__all__ = ["CloudRefuses", "Clouds", "Reading"]

log = logging.getLogger(__name__)

_READ_TIMEOUT = 60.0
_LOOKS = 3
"""A reading counts for as long as so many looks should have taken."""
_BESIDES = 3
"""So many readings of a cloud are begun if the ones before hang."""
_PART = 250
"""So many machines are written in one transaction."""
_MISSES = 2
"""So many measurements in a row must not find a machine for it to be lost."""


class CloudRefuses(Temporary):
    """The cloud refuses to be read, and says it always will; a person has to act, and we look on."""


@dataclass(frozen=True, slots=True)
class Reading:
    """One successful look: when it began and ended (by `clock`), its number, and what carries a key."""

    began: float = 0.0
    ended: float = 0.0
    number: int = 0
    owned: Mapping[str, Status] = field(default_factory=dict)


class Clouds:
    """All plugins of one agent, measured and read again and again, so many seconds apart.

    `restored`: clouds that can be read again after they refused, and since when nothing was known of them;
    whoever takes that into account removes it.
    """

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
        monotonic: Callable[[], float],
    ) -> None:
        """`clock` says what o'clock it is, in unix seconds; `monotonic` measures time and need not."""
        self.plugins = plugins
        self._exchange, self._store = exchange, store
        self._operations, self._retries = operations, retries
        self._every = {"inspect": inspect_every, "look": look_every}
        self._clock, self._monotonic = clock, monotonic
        self.documents = Documents(store)
        self._readings: dict[str, Reading] = {}
        self._count = 0
        self._due: dict[tuple[str, str], float] = {}
        self._hardware: dict[int, bytes] = {}
        self._measuring = {name: threading.Lock() for name in plugins}
        self._misses: dict[str, dict[str, int]] = {name: {} for name in plugins}
        self._held: dict[tuple[str, str], str] = {}
        self._was_good: dict[str, float] = {}
        self._refused_since: dict[str, float] = {}
        self.restored: dict[str, float] = {}
        self._last: dict[str, dict[str, Inspected]] = {}
        self._located: dict[bytes, MachineRecord] = {}
        self._measured_at: dict[str, float] = {}

    def look(self) -> None:
        """Start the readings that are due."""
        for name in self.plugins:
            for kind in ("inspect", "look"):
                if self._due.get((name, kind), 0.0) > self._monotonic():
                    continue
                if self._retries.blocked(f"cloud/{name}/{kind}"):
                    continue
                if self._start(name, kind):
                    self._due[name, kind] = self._monotonic() + self._every[kind]

    def _start(self, name: str, kind: str) -> bool:
        """Begin a reading, beside one that hangs if need be."""
        for attempt in range(_BESIDES if kind == "look" else 1):
            key = f"cloud/{name}/{kind}" + (f"/{attempt + 1}" if attempt else "")
            running = self._operations.running(key)
            if running is None:
                return self._operations.start(key, kind, self._reader(name, kind), _READ_TIMEOUT)
            if running.hung_at > self._monotonic():
                break
        return False

    def look_soon(self, name: str) -> None:
        """Have one cloud read at the next opportunity."""
        self._due[name, "look"] = 0.0

    def note(self, outcome: Outcome) -> bool:
        """Take a reading's outcome; whether it was one."""
        if outcome.kind not in self._every or not outcome.key.startswith("cloud/"):
            return False
        name, base = outcome.key.split("/")[1], "/".join(outcome.key.split("/")[:3])
        if outcome.error is not None:
            self._readings.pop(name, None)
            self._due[name, outcome.kind] = 0.0
            error = outcome.error
            if isinstance(error, OcxError) and not isinstance(error, Temporary):
                error = CloudRefuses(str(error), retry_after=self._every["look"])
                self._refused_since.setdefault(name, self._was_good.get(name, 0.0))
            self._retries.failed(base, error)
            return True
        self._retries.succeeded(base)
        if outcome.kind == "look":
            known = self._readings.get(name)
            if known is None or outcome.started > known.began:
                self._count += 1
                self._readings[name] = Reading(outcome.started, outcome.ended, self._count, outcome.value)
                self._was_good[name] = outcome.started
                if name in self._refused_since:
                    self.restored[name] = self._refused_since.pop(name)
        return True

    def refusing(self) -> dict[str, str]:
        """Clouds that refuse every reading, as with credentials that were revoked, and what they say."""
        found = {name: self._retries.trouble(f"cloud/{name}/look") for name in self.plugins}
        return {
            name: trouble.message
            for name, trouble in found.items()
            if trouble is not None and issubclass(trouble.error, CloudRefuses)
        }

    def unread(self) -> dict[str, str]:
        """Clouds of which nothing is known now, and why."""
        told = {}
        for name in self.plugins:
            if self.reading(name) is None:
                trouble = self._retries.trouble(f"cloud/{name}/look")
                told[name] = trouble.message if trouble else "it has not answered yet, or not in time"
        return told

    def reading(self, name: str) -> Reading | None:
        """The last reading of a cloud; None if the last attempt failed, there was none yet, or it is old."""
        reading = self._readings.get(name)
        if reading is None:
            return None
        good_for = _LOOKS * (self._every["look"] + reading.ended - reading.began)
        return reading if self._monotonic() - reading.ended <= good_for else None

    @property
    def readings(self) -> int:
        """How many readings there were so far, of all clouds."""
        return self._count

    def owned(self) -> list[tuple[str, str, Status]]:
        """Everything that carries any key, as last read: plugin, key, status."""
        return [
            (name, key, status)
            for name in self.plugins
            if (reading := self.reading(name)) is not None
            for key, status in reading.owned.items()
        ]

    def carries(self, name: str, key: str) -> tuple[bool | None, Reading | None]:
        """Whether a cloud has something with this key, and the reading that says so.

        None if there is no reading that began after the key was last acted on, and is not too old.
        """
        reading = self.reading(name)
        if reading is None or reading.began < self._operations.last_active(key):
            return None, None
        return key in reading.owned, reading

    def shows(self, key: str) -> bool:
        """Whether, as last read, a machine of this key is there and has not failed; True if unread."""
        plugin = self._store.plugin_of(key)
        reading = self.reading(plugin) if plugin is not None else None
        if reading is None:
            return True
        status = reading.owned.get(key)
        return status is not None and status.state is not State.FAILED

    def plugin_of(self, key: str) -> str | None:
        """The plugin an operation's key belongs to, None if it is none of a plugin."""
        if key.startswith("cloud/"):
            return key.split("/")[1]
        order = self._store.order(key)
        return None if order is None else order[1]

    def note_build(self, outcome: Outcome) -> None:
        """A build ended: a machine that refused one for good is offered in no bid until one succeeds."""
        order = self._store.order(outcome.key)
        if order is None:
            return
        name, local_id = order[1], order[0].local_id
        released = self._operations.is_running(outcome.key, "release") or self._store.is_wiped(outcome.key)
        if outcome.error is None:
            self.hold(name, local_id, None)
        elif isinstance(outcome.error, Permanent) and not released and name not in self._refused_since:
            self.hold(name, local_id, f"its last build failed for good: {outcome.error}")

    def know(self, resources: Iterable[int]) -> None:
        """Learn in a few messages which hardware these resources are; that never changes."""
        unknown = [resource for resource in resources if resource not in self._hardware]
        if unknown:
            found = self._exchange.inventory.many(unknown)
            self._hardware |= {resource: item.hardware_key for resource, item in found.items()}

    def locate(self, resource: int) -> MachineRecord | None:
        """The machine behind a resource, None if no plugin of ours has it."""
        key = self._hardware.get(resource)
        if key is None:
            key = self._exchange.inventory.resource(resource).hardware_key
            self._hardware[resource] = key
        cache = self._located  # replaced at each measurement, so what is read now never outlives one
        found = cache.get(key) or self._store.machine(key)
        if found is None:
            return None
        cache[key] = found
        return found if found.plugin in self.plugins else None

    def has(self, resource: int) -> bool:
        """Whether the last measurement of its cloud found the machine, and nothing holds it back."""
        located = self.locate(resource)
        if located is None or self.held(resource):
            return False
        return located.local_id in self._last.get(located.plugin, {})

    def is_lost(self, resource: int) -> bool:
        """Whether measurement after measurement of its cloud does not find the machine any more."""
        located = self.locate(resource)
        return located is not None and self.lacks(located)

    def lacks(self, machine: MachineRecord) -> bool:
        """The same of a machine that was located."""
        return self._misses[machine.plugin].get(machine.local_id, 0) >= _MISSES

    def hold(self, name: str, local_id: str, why: str | None) -> None:
        """Offer a machine in no bid because of this, until it is lifted with None; kept until a restart."""
        if why is None:
            self._held.pop((name, local_id), None)
        else:
            self._held[name, local_id] = why

    def held(self, resource: int) -> str | None:
        """Why a machine is offered in no bid, None if it may be."""
        located = self.locate(resource)
        if located is None:
            return None
        if self.is_lost(resource):
            return f"{located.plugin} has lost the machine {located.name}"
        return self._held.get((located.plugin, located.local_id))

    def all_held(self) -> dict[tuple[str, str], str]:
        """Every machine that is offered in no bid, by plugin and its id there, and why."""
        lost = {
            (name, local_id): f"{name} has lost the machine"
            for name, misses in self._misses.copy().items()
            for local_id, times in misses.items()
            if times >= _MISSES
        }
        return self._held.copy() | lost

    def remeasure(self, name: str, local_id: str, freshness: float = 5.0) -> Inspected:
        """A machine as it is, measured now or at most `freshness` seconds ago. Blocking.

        Raises `Permanent` if the cloud does not have that machine any more.
        """
        with self._measure_lock(name):
            if self._monotonic() - self._measured_at.get(name, float("-inf")) > freshness:
                self._measure(name)
            found = self._last.get(name, {}).get(local_id)
            if found is not None:
                return found
        raise Permanent(f"{name} no longer has the machine {local_id}", hint="Ask whoever runs that cloud.")

    def _reader(self, name: str, kind: str) -> Callable[[], object]:
        def inspect() -> int:
            with self._measure_lock(name):
                return len(self._measure(name))

        return inspect if kind == "inspect" else self.plugins[name].list_owned

    def _measure(self, name: str) -> list[Inspected]:
        """Inspect one cloud and remember the result; the caller holds the lock."""
        found = self.plugins[name].inspect()
        known = self._last.get(name, {})
        self._remember(name, [item for item in found if known.get(item.local_id) != item])
        self._last[name] = {item.local_id: item for item in found}
        self._located = {}
        self._measured_at[name] = self._monotonic()
        self._count_misses(name, {item.local_id for item in found})
        return found

    def _remember(self, name: str, changed: list[Inspected]) -> None:
        """Keep what is new since the last measurement, a part at a time: others write in between."""
        for start in range(0, len(changed), _PART):
            part = changed[start : start + _PART]
            records = [record(Measured(name, item)) for item in part]
            with self._store.transaction():
                self._store.keep_machines(records, int(self._clock()))
                for item in part:
                    self.documents.keep(item)

    def _count_misses(self, name: str, found: set[str]) -> None:
        """Note what was not found this time; measure again soon to be sure of it."""
        before = self._misses[name]
        missing = self._store.machines_of(name) - found
        self._misses[name] = {local_id: before.get(local_id, 0) + 1 for local_id in missing}
        if any(times < _MISSES for times in self._misses[name].values()):
            self._due[name, "inspect"] = self._monotonic() + self._every["look"]

    @contextlib.contextmanager
    def _measure_lock(self, name: str) -> Iterator[None]:
        """One measurement of a cloud at a time; Temporary if the one before hangs."""
        lock = self._measuring[name]
        if not lock.acquire(timeout=_READ_TIMEOUT):
            raise Temporary(f"the cloud {name} is being measured and does not answer", retry_after=10.0)
        try:
            yield
        finally:
            lock.release()
