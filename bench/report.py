"""What a measurement found, in one form for people and for programs: rows beside their bound and their peer.

It must not measure anything.
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

__all__ = ["Report", "Row", "percentile"]


@dataclass(frozen=True)
class Row:
    """One number. `limit`: the design's target, which it should not exceed; `peer`: what else was measured
    in the same run, or is the bound."""

    what: str
    value: float
    unit: str
    limit: float | None = None
    peer: float | None = None
    peer_is: str = ""

    @property
    def met(self) -> bool | None:
        """Whether the target is met; None where there is none."""
        return None if self.limit is None else self.value <= self.limit

    def line(self) -> str:
        """For people."""
        text = f"{self.what:52} {_shown(self.value):>9} {self.unit:9}"
        if self.limit is not None:
            word = "met" if self.met else "MISSED"
            text += f"  {self.value / self.limit:6.2f} of the target {_shown(self.limit)}, {word}"
        if self.peer is not None:
            ratio = f"{self.value / self.peer:6.2f}" if self.peer else "     -"
            text += f"  {ratio} of {_shown(self.peer)}, {self.peer_is}"
        return text.rstrip()


@dataclass
class Report:
    """One measurement's rows, and what one must know to read them; not `complete`: it came to no end."""

    name: str
    rows: list[Row] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    complete: bool = True
    at: int = field(default_factory=lambda: int(time.time()))
    load: float = field(default_factory=lambda: os.getloadavg()[0])

    def show(self) -> None:
        """Print it."""
        load = f"load average {self.load:.1f} before, {os.getloadavg()[0]:.1f} after"
        load += f", {os.cpu_count()} processors"
        for line in (*self.notes, load):
            print(f"  {line}")
        for row in self.rows:
            print(row.line())
        print(flush=True)

    def document(self) -> dict[str, Any]:
        """For programs."""
        return asdict(self) | {"rows": [asdict(row) | {"met": row.met} for row in self.rows]}


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that is at least as large as this share of all."""
    ordered = sorted(values)
    return ordered[max(0, -(-int(share * 1000) * len(ordered) // 1000) - 1)]


def _shown(value: float) -> str:
    if value == int(value) and abs(value) >= 10:
        return f"{int(value):,}"
    return f"{value:.3f}" if abs(value) < 100 else f"{value:,.1f}"
