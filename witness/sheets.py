"""The measurement log as the ticker wants it: closed when all is in, and nothing left out.

This module must not send anything, and does not decide when an epoch is sealed.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Coroutine, Sequence
from concurrent.futures import Future
from typing import Any

from chain.leaves import Leaf, Outcome
from market.windows import Window
from witness.attribution import Reason
from witness.duties import Duty
from witness.log import Log, Measurement
from witness.measure import Engine
from witness.schedule import Times

__all__ = ["Sheets"]

log = logging.getLogger(__name__)


class Sheets:
    """The log of one node, for one thread; see `witness.ticks.Measured`.

    A round without a measurement is noted as one that cannot be told, so that an audit of it can be answered.
    `duties` gives what was to be measured in an epoch; `run` has a coroutine run on the event loop.
    """

    def __init__(
        self,
        engine: Engine,
        measurements: Log,
        times: Times,
        duties: Callable[[int], Sequence[Duty]],
        run: Callable[[Coroutine[Any, Any, Any]], Future[Any]],
        patience: float,
        monotonic: Callable[[], float],
    ) -> None:
        self._engine, self._log, self._times, self._duties = engine, measurements, times, duties
        self._run, self._patience, self._monotonic = run, patience, monotonic
        self._draining: tuple[int, Future[Any], float] | None = None

    def ready(self, epoch: int) -> bool:
        """Whether nothing of an epoch is being measured any more; then what was missed is noted."""
        if self._draining is None or self._draining[0] != epoch:
            self._draining = epoch, self._run(self._engine.drained(epoch)), self._monotonic()
        _, future, began = self._draining
        if not future.done() and self._monotonic() < began + self._patience:
            return False
        self._fill(epoch)
        return True

    def leaves(self, epoch: int) -> Sequence[Leaf]:
        """Every leaf of an epoch; closes it."""
        return self._log.leaves(epoch)

    def epoch_key(self, epoch: int) -> bytes:
        """The key of an epoch's secret times."""
        return self._times.key(epoch)

    def _fill(self, epoch: int) -> None:
        grid, done = self._times.grid, self._log.done(epoch)
        waiting = []
        for duty in self._duties(epoch):
            rounds = grid.whole(epoch, Window(duty.start, duty.end))
            for number in range(grid.rounds):
                if rounds >> number & 1 and not done.get(duty.key, 0) >> number & 1:
                    at = self._times.due(duty.key, epoch, number)
                    missed = Measurement(
                        epoch,
                        *duty.key,
                        number,
                        at,
                        int(Outcome.PATH),
                        Reason.OURS.value,
                        detail="not measured",
                    )
                    waiting.append(self._log.add(missed))
        for future in waiting:
            future.result(30.0)
        if waiting:
            log.info("%d rounds of epoch %d were not measured", len(waiting), epoch)
