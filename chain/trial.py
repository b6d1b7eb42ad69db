"""Trying a transaction before it is sent: a revert is told at once, and the gas limit is found.

Estimating makes a node run the call several times. Where gas is free, a limit that was enough for the same
function before is tried with one run instead, so it is proven anew each time; if it does not do, the node
estimates as at first. Sends nothing.
"""

from __future__ import annotations

import threading
from collections import OrderedDict

from chain.fees import gas_with_margin
from chain.rpc import Rpc
from market.errors import OcxError, Temporary

__all__ = ["Trial"]

_FUNCTIONS = 256
"""Functions whose gas is remembered."""


class Trial:
    """For one account; safe among threads."""

    def __init__(self, rpc: Rpc, address: str) -> None:
        self._rpc, self._address = rpc, address
        self._lock = threading.Lock()
        self._known: OrderedDict[tuple[str, bytes], tuple[int, int]] = OrderedDict()

    def gas_for(self, to: str | None, data: bytes, value: int) -> int:
        """The gas limit to send it with, two fifths above what does; a typed error if it reverts."""
        function = (to, data[:4]) if to and self._rpc.connection.gas_price == 0 else None
        known = self._known.get(function) if function else None
        if known is not None and self._does(to, data, value, known[0]):
            return gas_with_margin(*known)
        estimate, newest = self._rpc.try_out(to, data, self._address, value)
        if function is not None:
            self._remember(function, estimate, newest.gas_limit)
        return gas_with_margin(estimate, newest.gas_limit)

    def _does(self, to: str | None, data: bytes, value: int, gas: int) -> bool:
        """Whether it succeeds with so much gas; what it reverts with is found out by the full trial."""
        try:
            self._rpc.eth_call(to, data, sender=self._address, value=value, gas=gas)
        except Temporary:
            raise
        except OcxError:
            return False
        return True

    def _remember(self, function: tuple[str, bytes], estimate: int, block_limit: int) -> None:
        with self._lock:
            before = self._known.pop(function, (0, 0))[0]
            self._known[function] = max(estimate, before), block_limit
            while len(self._known) > _FUNCTIONS:
                self._known.popitem(last=False)
