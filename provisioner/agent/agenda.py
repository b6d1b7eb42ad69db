"""When each lease or tender is looked at next: at a chain time, after a while, or at once, and why.

One place for it, so that no look is lost: a wake-up that comes while something is being looked at counts for
the look after. Chain times are unix seconds of blocks, the other ones are of the caller's monotonic clock.
This module must not decide anything and must not look at anything itself.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from chain.wire import Block

__all__ = ["Agenda", "Look"]


@dataclass(frozen=True, slots=True)
class Look:
    """The next look: from the time `at`, or from the chain time `chain` (None: no time of the chain matters).

    Whatever the times say, it is not before block `block`: an older one does not show what was done.
    `wakes` is how often everything had been woken when the look before began.
    """

    why: str
    at: float = 0.0
    chain: int | None = None
    block: int = 0
    wakes: int = 0


class Agenda:
    """The next looks, by number. What was never planned is due. `wake` may be called from any thread."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._looks: dict[int, Look] = {}
        self._lock = threading.Lock()
        self._wakes = 0
        self._seen = 0

    def begin(self) -> None:
        """A round of looks begins: what is woken from here on counts for the next round."""
        with self._lock:
            self._seen = self._wakes

    def is_due(self, item: int, head: Block) -> bool:
        """Whether something is to be looked at now."""
        look = self._looks.get(item)
        if look is None:
            return True
        if head.number < look.block:
            return False
        timely = look.chain is not None and head.timestamp >= look.chain
        return timely or self._monotonic() >= look.at or look.wakes < self._seen

    def plan(self, item: int, why: str, *, after: Iterable[float | None], chain: int | None = None) -> None:
        """Look again at the first of the times `after` (None: never), or from the chain time on."""
        times = [at for at in after if at is not None]
        self._looks[item] = Look(why, min(times, default=float("inf")), chain, 0, self._seen)

    def touch(self, item: int, why: str, *, block: int | None = None) -> None:
        """Look at once, not before `block`; None: not before the block that was asked for already."""
        known = self._looks.get(item)
        if block is None:
            block = known.block if known is not None else 0
        self._looks[item] = Look(why, block=block, wakes=self._seen)

    def forget(self, item: int) -> None:
        """It will not be looked at again; if it comes up anew, it is due."""
        self._looks.pop(item, None)

    def wake(self) -> None:
        """Everything is due in the next round that begins."""
        with self._lock:
            self._wakes += 1

    def why(self, item: int) -> str:
        """What the next look waits for, for people and tests."""
        look = self._looks.get(item)
        return "never looked at" if look is None else look.why
