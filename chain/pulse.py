"""Whether the chain has grown: one question for all threads that wait, and none while no block can have come.

It must not decide what a new block means: whoever waits looks for itself.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

from chain.wire import as_number

if TYPE_CHECKING:
    from chain.rpc import Rpc

__all__ = ["Pulse"]

_QUIET = 0.7
"""After a block came nothing is asked for so much of the block time."""


class Pulse:
    """The height of the chain, as of a tenth of the block time ago unless no block can have come since.

    `poll`: seconds between two looks at it that are worth the trouble.
    """

    def __init__(self, rpc: Rpc, monotonic: Callable[[], float]) -> None:
        self._rpc, self._monotonic = rpc, monotonic
        self._block_time = rpc.connection.block_time
        self.poll = min(0.5, max(0.02, self._block_time / 10))
        self._lock = threading.Lock()
        self._height = -1
        self._ask_at = float("-inf")

    def height(self) -> int:
        """The newest block's number; raises what `Rpc.call` does."""
        with self._lock:
            if self._monotonic() >= self._ask_at:
                height = as_number(self._rpc.call("eth_blockNumber"))
                quiet = _QUIET * self._block_time if height != self._height else 0.0
                self._height = height
                self._ask_at = self._monotonic() + max(self.poll, quiet)
            return self._height
