"""When to ask the chain for its next block: hardly before it can be there, then often until it is.

Blocks come about every block time. So nothing is asked while none can have come, and soon after one came it
is known. Nobody relies on it: asked too late, the agent sees the same a little later. A chain whose blocks
come with transactions, or faster than it says, is asked at every look. This module asks nothing itself.
"""

from __future__ import annotations

from collections.abc import Callable

from chain.wire import Block

__all__ = ["Heads"]

_EARLY = 0.05
"""Asking begins so many seconds before a block is expected."""
_OFTEN = 0.02
"""Between two questions while a block is expected: so much of the block time, as many seconds at least."""
_LATE = 0.5
"""A block is expected until it is so many block times late."""
_REGULAR = 0.3
"""A rhythm is two steps that were off by no more than this share of the block time."""


class Heads:
    """The rhythm of one chain; `block_time`, and `cycle`, the pause between two questions without one, in
    seconds."""

    def __init__(self, block_time: float, cycle: float, monotonic: Callable[[], float]) -> None:
        self._block_time, self._cycle, self._monotonic = block_time, cycle, monotonic
        self._often = min(cycle, _OFTEN * max(1.0, block_time))
        self._head: Block | None = None
        self._asked = self._came = float("-inf")
        self._steps: tuple[float, ...] = ()

    def seen(self, head: Block) -> None:
        """The newest block was asked for, and is this."""
        now, asked, before = self._monotonic(), self._asked, self._head
        self._asked = now
        if before is not None and head.hash == before.hash:
            return
        # Seen right after it was not there, it has just come; else it may be older.
        came = now if now - asked <= 2 * self._often else now - min(_EARLY, 0.5 * (now - asked))
        follows = before is not None and head.number == before.number + 1
        self._steps = (*self._steps[-1:], came - self._came) if follows else ()
        self._head, self._came = head, came

    def pause(self) -> float:
        """Seconds until it is worth asking for a block; 0 if it is now."""
        now = self._monotonic()
        if not self._has_rhythm():
            return max(0.0, self._asked + self._cycle - now)
        expected = self._came + min(self._block_time, self._steps[-1])
        if now < expected - _EARLY:
            return expected - _EARLY - now
        late = now > expected + _LATE * self._block_time
        return max(0.0, self._asked + (self._cycle if late else self._often) - now)

    def _has_rhythm(self) -> bool:
        off = [abs(step - self._block_time) for step in self._steps]
        return len(off) == 2 and max(off) <= _REGULAR * self._block_time and self._block_time > 4 * _EARLY
