"""What every walk along Ironic's state machine needs: finding a node, looking at it, one step at a time.

A step looks at the node and acts on what it saw while no other thread of this plugin does. Other agents are
kept apart by Ironic itself (see `api`), and by never acting on an old look.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from market.errors import Temporary
from provisioner.plugins.ironic import nodes as marks
from provisioner.plugins.ironic.api import Busy, IronicApi, Node
from provisioner.plugins.ironic.settings import IronicSettings

__all__ = ["Step", "Walk"]

_STALE = 5.0
"""Seconds after which a look at a node is no ground to change it: this process may have stood still."""


class Step:
    """Holds a node's lock; a conflict in Ironic ends the step quietly, which means: look again."""

    def __init__(self, lock: threading.Lock, monotonic: Callable[[], float]) -> None:
        self._lock, self._monotonic = lock, monotonic
        self._began = 0.0

    def __enter__(self) -> Step:
        self._lock.acquire()
        self._began = self._monotonic()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: object, trace: object) -> bool:
        self._lock.release()
        return kind is not None and issubclass(kind, Busy)

    def must_be_fresh(self) -> None:
        """Raise `Busy` if what was seen in this step may be over by now. To be called before a verb."""
        if self._monotonic() - self._began > _STALE:
            raise Busy("this agent stood still; what it saw of the node may be over", retry_after=1)


class Walk:
    """The tools; `clock` is unix seconds, `monotonic` measures seconds. Safe from several threads."""

    def __init__(
        self,
        settings: IronicSettings,
        api: IronicApi,
        *,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
        wait: Callable[[float], None] = time.sleep,
    ) -> None:
        self.settings, self.api = settings, api
        self.clock, self.monotonic, self._wait = clock, monotonic, wait
        self._locks: dict[str, threading.Lock] = {}
        self._locks_lock = threading.Lock()

    def step(self, uuid: str) -> Step:
        """Look and act without another thread of ours in between."""
        with self._locks_lock:
            return Step(self._locks.setdefault(uuid, threading.Lock()), self.monotonic)

    def pause(self) -> None:
        """Wait before the next look."""
        self._wait(self.settings.poll)

    def find(self, key: str) -> Node | None:
        """The node that carries the key: by its reservation, else, as Ironic clears that, by its mark."""
        reserved = self.api.nodes(marks.FIELDS, instance_uuid=marks.instance_of(key))
        for node in reserved or self.api.nodes(marks.FIELDS):
            if marks.key_of(node) == key:
                return node
        return None

    def last_event(self, uuid: str) -> str:
        """The newest event in the node's history, empty if there is none."""
        history = self.api.history(uuid)
        return str(history[-1]["uuid"]) if history else ""

    def last_error(self, node: Node) -> str:
        """Why the node's last operation failed, in a line; Ironic often knows only in its history."""
        text = node["last_error"]
        if not text:
            errors = [h for h in self.api.history(node["uuid"]) if h["severity"] == "ERROR"]
            text = errors[-1]["event"] if errors else "Ironic gives no reason; see the conductor's log"
        return " ".join(str(text).split())[:300]

    def must_be_in_service(self, node: Node) -> None:
        """Raise `Temporary` if somebody took the node out of service; it is not touched until that ends."""
        if not node["maintenance"] or node["fault"] == "clean failure":
            return
        if node["fault"]:
            raise Temporary(
                f"Ironic has {marks.label(node)} in maintenance for a {node['fault']}",
                hint="It tries again by itself; else see to the machine's controller.",
                retry_after=30,
            )
        reason = " ".join(str(node["maintenance_reason"] or "no reason given").split())[:200]
        raise Temporary(
            f"{marks.label(node)} was put in maintenance by hand ({reason}) and is not touched",
            hint="End the maintenance in Ironic; then this goes on by itself.",
            retry_after=60,
        )
