"""The council's time lock (OpenZeppelin's TimelockController): announce a call, carry it out later."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from chain.contracts.base import Call, Contract
from market.errors import Refused

__all__ = ["Timelock"]

_NOTHING = bytes(32)


class Timelock(Contract):
    """Calls that everybody can see coming for the lock's delay."""

    NAME = "TimelockController"

    def delay(self) -> int:
        """The least seconds between announcing and carrying out."""
        return int(self._view("getMinDelay"))

    def next_step(self, call: Call) -> tuple[str, Call]:
        """What to send next to have a call made: `announced` or `done`, and the transaction for it.

        Refused if it was made, or waits for its time.
        """
        args = (call.to, 0, call.data, _NOTHING, _NOTHING)
        return self._step(("hashOperation", "schedule", "execute"), args, call.label)

    def next_step_of_all(self, calls: Sequence[Call], label: str) -> tuple[str, Call]:
        """As `next_step`, of several calls that are made together or not at all."""
        args = ([c.to for c in calls], [0] * len(calls), [c.data for c in calls], _NOTHING, _NOTHING)
        return self._step(("hashOperationBatch", "scheduleBatch", "executeBatch"), args, label)

    def _step(self, names: tuple[str, str, str], args: tuple[Any, ...], label: str) -> tuple[str, Call]:
        named, schedule, execute = names
        operation = self._view(named, *args)
        if not self._view("isOperation", operation):
            return "announced", self._call(schedule, *args, self.delay())
        if self._view("isOperationDone", operation):
            raise Refused(f"the time lock has made this call already: {label}")
        if not self._view("isOperationReady", operation):
            at = self._view("getTimestamp", operation)
            raise Refused(
                f"the time lock waits until unix second {at}", hint="repeat the same command then", at=at
            )
        return "done", self._call(execute, *args)
