"""Transactions on their way, so that nobody waits for a block: each act once, by the name of its intent.

Sending and waiting happen in threads; the sender's journal keeps what is under way across a kill. What the
chain refuses rests for a while, and is told once. This module must not decide what is to be sent.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

from chain.contracts.base import Call
from chain.sender import Sender
from chain.wire import Receipt
from market.errors import OcxError, Refused, Temporary

__all__ = ["Outbox", "Trouble"]

log = logging.getLogger(__name__)

_KEPT = 256
"""Troubles that are remembered; the oldest goes first."""


@dataclass(frozen=True, slots=True)
class Trouble:
    """Why an act did not happen, how often that was so, and when (monotonic) it may be tried again."""

    error: str
    times: int
    after: float


class Outbox:
    """Sends for one wallet; safe among threads. `rest`: seconds after the chain said no."""

    def __init__(
        self,
        sender: Callable[[], Sender],
        *,
        rest: float,
        monotonic: Callable[[], float],
        wake: Callable[[], None] = lambda: None,
        workers: int = 4,
    ) -> None:
        """`wake` is called, in some thread, whenever something came to its end."""
        self._sender, self._rest, self._monotonic, self._wake = sender, rest, monotonic, wake
        self._pool = ThreadPoolExecutor(workers, thread_name_prefix="outbox")
        self._guard = threading.Lock()
        self._under_way: dict[str, Future[Receipt]] = {}
        self._troubles: dict[str, Trouble] = {}
        self.sent = 0
        """Acts that are on the chain, since the start."""

    def send(self, call: Call, intent: str, gas: int | None = None) -> bool:
        """Have it sent; False if it is under way, or rests after a failure.

        `gas`: a limit for what may cost more once it is mined than when it is tried.
        """
        with self._guard:
            trouble = self._troubles.get(intent)
            if intent in self._under_way or (trouble is not None and self._monotonic() < trouble.after):
                return False
            future = self._pool.submit(self._send, call, intent, gas)
            self._under_way[intent] = future
        future.add_done_callback(lambda done: self._ended(call, intent, done))
        return True

    def troubles(self) -> dict[str, Trouble]:
        """What failed and did not succeed since, by intent."""
        with self._guard:
            return dict(self._troubles)

    def under_way(self) -> list[str]:
        """Intents that are being sent or waited for."""
        with self._guard:
            return sorted(self._under_way)

    def close(self) -> None:
        """Begin nothing more; what was broadcast goes on, and is looked up at the next start."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _send(self, call: Call, intent: str, gas: int | None) -> Receipt:
        return self._sender().send(call.to, call.data, intent=intent, gas=gas)

    def _ended(self, call: Call, intent: str, done: Future[Receipt]) -> None:
        error = None if done.cancelled() else done.exception()
        with self._guard:
            self._under_way.pop(intent, None)
            if error is None and not done.cancelled():
                self.sent += 1
                self._troubles.pop(intent, None)
            elif error is not None:
                self._failed(call, intent, error)
        self._wake()

    def _failed(self, call: Call, intent: str, error: BaseException) -> None:
        """Note it; the caller holds the guard."""
        said = str(error) if isinstance(error, OcxError) else f"{type(error).__name__}: {error}"
        before = self._troubles.pop(intent, None)
        if before is None or before.error != said:
            level = logging.INFO if isinstance(error, Refused) else logging.WARNING
            log.log(level, "%s: %s", call.label.partition("(")[0], said)
        pause = error.retry_after if isinstance(error, Temporary) else self._rest
        times = 1 if before is None else before.times + 1
        self._troubles[intent] = Trouble(said, times, self._monotonic() + pause)
        while len(self._troubles) > _KEPT:
            self._troubles.pop(next(iter(self._troubles)))
