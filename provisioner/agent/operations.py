"""Calls that may take minutes or never come back, each in a thread of its own, and what became of them.

Plugin calls and transactions run here, so that one cloud that hangs holds up its own lease and nothing else.
An error does not leave this module as an exception: it becomes an `Outcome`, and `Retries` says when to try
again. It is one of the two places where an unforeseen exception is caught; it is counted, and logged once.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from daemons.secrets import redact
from market.errors import OcxError, Refused, Temporary

__all__ = ["Operations", "Outcome", "Retries", "Running", "Trouble"]

log = logging.getLogger(__name__)

_LONGEST_BACKOFF = 60.0


@dataclass(frozen=True, slots=True)
class Running:
    """A call under way: since when, and when it is called hung (by the monotonic clock)."""

    key: str
    kind: str
    since: float
    hung_at: float


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a call ended: a value, or an error; `started` and `ended` by the monotonic clock."""

    key: str
    kind: str
    started: float
    ended: float
    value: Any = None
    error: Exception | None = None


class Operations:
    """Starts calls, at most one per key and kind, at most `limit` of a kind beside those that hang.

    `monotonic` measures time in seconds; what o'clock it is does not matter. Each kind has a limit of its
    own, so that machines which take half an hour to build never hold up a signature, a reveal or a fence.
    `on_end` is called from the call's own thread after each end. Threads are daemons: a call that never comes
    back does not keep the process alive.
    """

    def __init__(self, limit: int, on_end: Callable[[], None], monotonic: Callable[[], float]) -> None:
        self._limit = limit
        self._on_end = on_end
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._running: dict[tuple[str, str], Running] = {}
        self._ended: deque[Outcome] = deque()
        self._last_end: dict[str, float] = {}
        self._closed = False

    def start(self, key: str, kind: str, call: Callable[[], Any], timeout: float) -> bool:
        """Start a call, unless the same runs already or too many of its kind; whether it was started."""
        now = self._monotonic()
        with self._lock:
            active = sum(1 for item in self._running.values() if item.kind == kind and item.hung_at > now)
            if self._closed or (key, kind) in self._running or active >= self._limit:
                return False
            running = Running(key, kind, now, now + timeout)
            self._running[key, kind] = running
        thread = threading.Thread(target=self._run, args=(running, call), name=f"{kind} {key}", daemon=True)
        try:
            thread.start()
        except RuntimeError:  # the system gives no more threads: it never ran, and may be tried again
            log.warning("no thread could be started for %s %s", kind, key)
            with self._lock:
                del self._running[key, kind]
            return False
        return True

    def running(self, key: str) -> Running | None:
        """The call under way for a key, the newest if there are two."""
        with self._lock:
            found = [item for item in self._running.values() if item.key == key]
        return max(found, key=lambda item: item.since, default=None)

    def all(self) -> list[Running]:
        """All calls under way."""
        with self._lock:
            return list(self._running.values())

    def is_running(self, key: str, kind: str) -> bool:
        """Whether this very call is under way."""
        with self._lock:
            return (key, kind) in self._running

    def last_active(self, key: str) -> float:
        """When a key was last acted on: the start of what runs, else the last end; 0 if never."""
        running = self.running(key)
        if running is not None:
            return running.since
        with self._lock:
            return self._last_end.get(key, 0.0)

    def ended(self) -> list[Outcome]:
        """What ended since the last question, oldest first."""
        with self._lock:
            outcomes = list(self._ended)
            self._ended.clear()
        return outcomes

    def hung(self) -> list[Running]:
        """Calls that should have come back by now."""
        now = self._monotonic()
        with self._lock:
            return [item for item in self._running.values() if item.hung_at <= now]

    def close(self, patience: float) -> list[Running]:
        """Start nothing more and wait for what runs, at most `patience` seconds; what is left."""
        with self._lock:
            self._closed = True
            kinds = {f"{item.kind} {item.key}" for item in self._running.values()}
        deadline = self._monotonic() + patience
        for thread in threading.enumerate():
            if thread.name in kinds:
                thread.join(max(0.0, deadline - self._monotonic()))
        with self._lock:
            return list(self._running.values())

    def _run(self, running: Running, call: Callable[[], Any]) -> None:
        value, error = None, None
        try:
            value = call()
        except Exception as caught:  # noqa: BLE001  the boundary: whatever a plugin raises ends here
            error = caught
        now = self._monotonic()
        outcome = Outcome(running.key, running.kind, running.since, now, value, error)
        with self._lock:
            del self._running[running.key, running.kind]
            self._last_end[running.key] = now
            self._ended.append(outcome)
        self._on_end()


@dataclass(frozen=True, slots=True)
class Trouble:
    """What went wrong with a key: how often in a row, and when to try again (None: a person has to act).

    `error`: the class of the last error; `at`: when it came, by the monotonic clock.
    """

    message: str
    times: int
    retry_at: float | None
    error: type[Exception]
    at: float


class Retries:
    """When to try again what failed; one entry per key, gone at the first success."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._troubles: dict[str, Trouble] = {}
        self._logged: set[str] = set()
        self.unforeseen = 0

    def failed(self, key: str, error: Exception, *, final: bool = False) -> Trouble:
        """Note a failure; it is tried again, later each time.

        With `final`, an error of ours that is neither Temporary nor Refused waits for a person.
        """
        times = self._troubles[key].times + 1 if key in self._troubles else 1
        retry_at = self._retry_at(error, times, final)
        message = str(error) if isinstance(error, OcxError) else f"{type(error).__name__}: {error}"
        trouble = Trouble(redact(" ".join(message.split())), times, retry_at, type(error), self._monotonic())
        self._troubles[key] = trouble
        self._log(key, error, trouble)
        return trouble

    def succeeded(self, key: str) -> None:
        """Forget what went wrong with a key."""
        self._troubles.pop(key, None)

    def again(self, key: str) -> None:
        """Try a key again now, whoever was to act first; how often it failed is not forgotten."""
        trouble = self._troubles.get(key)
        if trouble is not None:
            self._troubles[key] = replace(trouble, retry_at=self._monotonic())

    def trouble(self, key: str) -> Trouble | None:
        """What is wrong with a key."""
        return self._troubles.get(key)

    def blocked(self, key: str) -> str | None:
        """Why nothing is tried with a key just now, None if it may be."""
        trouble = self._troubles.get(key)
        if trouble is None or (trouble.retry_at is not None and trouble.retry_at <= self._monotonic()):
            return None
        return trouble.message

    def retry_at(self, key: str) -> float | None:
        """When (monotonic) a blocked key may be tried again; None if never, or if it is not blocked."""
        trouble = self._troubles.get(key)
        return None if trouble is None else trouble.retry_at

    def troubles(self) -> dict[str, Trouble]:
        """All that is wrong, by key."""
        return dict(self._troubles)

    def _retry_at(self, error: Exception, times: int, final: bool) -> float | None:
        if isinstance(error, Temporary):
            first = max(0.1, error.retry_after)
        elif isinstance(error, Refused):
            first = 1.0
        elif isinstance(error, OcxError):
            if final:
                return None
            first = 10.0
        else:
            self.unforeseen += 1
            first = 2.0
        return self._monotonic() + max(first, min(_LONGEST_BACKOFF, first * 2.0 ** min(times - 1, 16)))

    def _log(self, key: str, error: Exception, trouble: Trouble) -> None:
        line = f"{key}: {trouble.message}"
        if line in self._logged:
            return
        if len(self._logged) > 10_000:
            self._logged.clear()
        self._logged.add(line)
        foreseen = isinstance(error, OcxError)
        log.warning("%s", line, exc_info=None if foreseen else error)
