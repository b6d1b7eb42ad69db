"""The engine: measures every machine once in every round, at a time nobody else can foresee.

One asyncio task starts each measurement at its own time; what cannot start in time is left unmeasured, never
called down. A measurement counts once its sample is in the log. This module must not know contracts: what to
measure comes in by `Engine.set_targets`, what was found goes out to the log.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from witness.targets import Reference, Target

__all__ = ["Engine", "Gauges"]


@dataclass(frozen=True, slots=True)
class Gauges:
    """How measuring goes: numbers for health and metrics, since the start."""

    targets: int
    running: int
    measured: int
    late: int
    lost: int
    distrusted: int


class Engine:
    """Measures while `run` runs; all methods are for the event loop's thread.

    `Engine(settings.measure, geometry, secret, address, log, clock)`; see below when it is whole.
    """

    def set_targets(self, targets: Sequence[Target]) -> None:
        """What is to be measured from now on, replacing what was; the same machine goes on undisturbed."""
        raise NotImplementedError

    def set_references(self, references: Sequence[Reference]) -> None:
        """Whom to ask whether our own network works, after a machine did not answer."""
        raise NotImplementedError

    async def run(self) -> None:
        """Measure until cancelled; samples that are under way are then dropped, committed ones are in the log."""
        raise NotImplementedError

    async def drained(self, epoch: int) -> None:
        """Return when no measurement of that epoch or an earlier one is under way; then it can be sealed."""
        raise NotImplementedError

    def gauges(self) -> Gauges:
        """How it goes."""
        raise NotImplementedError
