"""How wrong is our own clock, by the blocks' times?

Whoever measures by a wrong clock measures in the wrong rounds: before the machine was delivered, after it was
handed back. So the clock is measured all the time, and while it may not be trusted nothing is measured. It is
never corrected here: that is the operator's (chrony or the like).

As in NTP, every exchange gives an interval. Let `c` be the chain's time and `m` our monotonic clock, which no
one sets. A block with timestamp T that we hold at `m` shows c >= T then: `c - m >= T - m`. If it was not
there yet at an earlier look at `p`, and takes at most `transit` seconds from its timestamp to us (a second of
rounding included), then c <= T + transit at p: `c - m <= T + transit - p`. Over the last blocks the *median*
of each bound is taken, so that fewer than half of them, from validators with wrong clocks or at bad moments,
change nothing. Our wall clock is compared with that; a step of it shows at the very next question, without a
new block.

This module must not ask a chain: `observe` is told.
"""

from __future__ import annotations

import statistics
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

__all__ = ["Clock", "Reading", "State"]

_BLOCKS = 33
_LEAST = 3
_DRIFT = 200e-6
"""What a computer's clock may drift, seconds a second."""


class State(StrEnum):
    """Whether the clock may be measured by."""

    UNKNOWN = "unknown"
    """Too few blocks were seen, or too long ago."""
    RIGHT = "right"
    WRONG = "wrong"
    """It is off by more than the bound, for certain."""


@dataclass(frozen=True, slots=True)
class Reading:
    """Our clock minus the chain's is between `low` and `high` seconds (None: nothing is known)."""

    state: State
    low: float | None = None
    high: float | None = None

    @property
    def offset(self) -> float | None:
        """The middle."""
        return None if self.low is None or self.high is None else (self.low + self.high) / 2


class Clock:
    """Our clock beside the chain's; may be asked from any thread.

    `bound`: seconds it may be off; `transit`: seconds a block may take from its timestamp to us; `max_age`:
    seconds after which the last block says nothing any more.
    """

    def __init__(
        self,
        bound: float,
        transit: float,
        max_age: float,
        *,
        wall: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._bound, self._transit, self._max_age = bound, transit, max_age
        self.wall, self.monotonic = wall, monotonic
        self._guard = threading.Lock()
        self._seen: deque[tuple[float, float, float]] = deque(maxlen=_BLOCKS)  # lower, upper, when
        self._limits: tuple[float, float, float] | None = None
        self._newest = 0

    def observe(self, number: int, timestamp: int, before: float | None, now: float) -> None:
        """A block with that timestamp is there at `now`; at `before` (None: never looked) it was not yet.

        Both by `monotonic`. Only a block newer than all seen before counts; others may be told and change
        nothing.
        """
        with self._guard:
            if number <= self._newest:
                return
            self._newest = number
            if (
                before is None
            ):  # the first block may be old: it bounds on one side only, so it waits for the next
                return
            self._seen.append((timestamp - now, timestamp + self._transit - before, now))
            lower = statistics.median(item[0] for item in self._seen)
            upper = statistics.median(item[1] for item in self._seen)
            self._limits = (lower, upper, now) if len(self._seen) >= _LEAST else None

    def read(self) -> Reading:
        """How wrong it is now."""
        with self._guard:
            limits = self._limits
        now = self.monotonic()
        if limits is None or now - limits[2] > self._max_age:
            return Reading(State.UNKNOWN)
        ours = self.wall() - now
        slack = (now - limits[2]) * _DRIFT
        low, high = ours - limits[1] - slack, ours - limits[0] + slack
        wrong = low > self._bound or high < -self._bound
        return Reading(State.WRONG if wrong else State.RIGHT, round(low, 3), round(high, 3))

    def trusted(self) -> bool:
        """Whether it may be measured by."""
        return self.read().state is State.RIGHT
