"""What a soak writes down of each lease, and what it comes to."""

from __future__ import annotations

import dataclasses
import statistics
import threading
from collections import Counter
from typing import Any

__all__ = ["Ledger", "Life"]


@dataclasses.dataclass
class Life:
    """One lease; times in unix seconds."""

    lease: int
    key: str
    provider: int
    fate: str
    """What the buyer means to do with it."""
    delivered: bool = False
    over: bool = False
    """Over, wiped where anything was delivered, its money drawn, and nothing carries its key."""
    over_at: float | None = None
    """When it was first seen to be over for good."""
    orphan: bool = False
    """Something in the cloud carried its key when it was over."""
    cleared_at: float | None = None
    """When the cloud had freed the orphan's machine."""
    lost: str = ""
    """Why it counts as lost."""


class Ledger:
    """All lives of a soak, and what was done to the agents; safe among threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.lives: list[Life] = []
        self.doubles: set[str] = set()
        self.done: Counter[str] = Counter()
        """How often agents were killed and chains cut, which faults were planted."""
        self.crashes: list[str] = []
        """Agents that ended by themselves: none should."""

    def open(self, life: Life) -> None:
        """A lease was bought."""
        with self._lock:
            self.lives.append(life)

    def count(self, what: str, times: int = 1) -> int:
        """Something was done; how often by now."""
        with self._lock:
            self.done[what] += times
            return self.done[what]

    @property
    def kills(self) -> int:
        """How many agent processes died by SIGKILL."""
        return self.done["killed by the clock"] + self.done["killed at a statement or in a cloud call"]

    def summary(self) -> dict[str, Any]:
        """The numbers."""
        orphans = [life for life in self.lives if life.orphan]
        times = [
            round(life.cleared_at - life.over_at, 2)
            for life in orphans
            if life.cleared_at is not None and life.over_at is not None
        ]
        lost = [f"{life.key}: {life.lost}" for life in self.lives if life.lost]
        return {
            "kills": self.kills,
            "done": dict(sorted(self.done.items())),
            "leases": len(self.lives),
            "fates": dict(sorted(Counter(life.fate for life in self.lives).items())),
            "delivered": sum(life.delivered for life in self.lives),
            "converged": sum(life.over for life in self.lives),
            "doubles": len(self.doubles),
            "lost": len(lost),
            "orphans": {
                "seen": len(orphans),
                "cleared": len(times),
                "p50_seconds": statistics.median(times) if times else None,
                "max_seconds": max(times, default=None),
            },
            "agents_that_ended_by_themselves": len(self.crashes),
            "findings": [*sorted(self.doubles), *lost, *self.crashes],
        }
