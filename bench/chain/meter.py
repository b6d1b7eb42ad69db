"""Where the client's time goes: seconds in each of its parts, and every request it makes of a node.

While it is open, a few functions of the client are wrapped. Each part counts what it took itself, without the
parts it called. It must not change what they do.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from chain.abi import Abi
from chain.line import Line
from chain.nonces import Journal
from chain.rpc import Rpc
from chain.sender import Sender
from chain.wallet import Wallet

__all__ = ["Meter", "metered"]

_PARTS: Sequence[tuple[str, type, Sequence[str]]] = (
    ("encode", Abi, ("encode_call",)),
    ("sign", Wallet, ("sign_transaction",)),
    (
        "journal",
        Journal,
        ("add", "mark", "get", "newest", "live", "by_intent", "undo_from"),
    ),
    ("HTTP and JSON", Line, ("_post",)),
    ("decode answers", Rpc, ("call_many", "call", "receipts")),
    ("sender", Sender, ("_submit", "wait")),
)


@dataclass
class Meter:
    """Of each part: calls, seconds of processor and of the clock. Requests by method, and messages."""

    calls: Counter[str] = field(default_factory=Counter)
    cpu: dict[str, float] = field(default_factory=lambda: defaultdict(float))
    wall: dict[str, float] = field(default_factory=lambda: defaultdict(float))
    requests: Counter[str] = field(default_factory=Counter)
    messages: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, part: str, cpu: float, wall: float) -> None:
        """One call of a part."""
        with self._lock:
            self.calls[part] += 1
            self.cpu[part] += cpu
            self.wall[part] += wall

    def sent(self, methods: Sequence[str]) -> None:
        """One message with these requests."""
        with self._lock:
            self.messages += 1
            self.requests.update(methods)

    def merge(self, other: Meter) -> None:
        """Add what another one counted."""
        self.calls.update(other.calls)
        self.requests.update(other.requests)
        self.messages += other.messages
        for mine, theirs in ((self.cpu, other.cpu), (self.wall, other.wall)):
            for part, seconds in theirs.items():
                mine[part] += seconds


class _Stack(threading.local):
    def __init__(self) -> None:
        self.inner: list[list[float]] = []


@contextlib.contextmanager
def metered() -> Iterator[Meter]:
    """Measure every client of this process until the block ends."""
    meter, stack = Meter(), _Stack()
    kept: list[tuple[type, str, Any]] = []
    try:
        for part, kind, names in _PARTS:
            for name in names:
                kept.append((kind, name, kind.__dict__[name]))
                setattr(kind, name, _timed(kind.__dict__[name], part, meter, stack))
        kept += [(Line, name, Line.__dict__[name]) for name in ("make_request", "make_batch_request")]
        single, batch = Line.make_request, Line.make_batch_request

        def make_request(self: Line, method: str, params: Sequence[Any]) -> Any:
            meter.sent([method])
            return single(self, method, params)

        def make_batch_request(self: Line, requests: Sequence[tuple[str, Sequence[Any]]]) -> Any:
            meter.sent([method for method, _ in requests])
            return batch(self, requests)

        setattr(Line, "make_request", make_request)  # noqa: B010  mypy forbids the plain form
        setattr(Line, "make_batch_request", make_batch_request)  # noqa: B010
        yield meter
    finally:
        for kind, name, function in reversed(kept):
            setattr(kind, name, function)


def _timed(function: Callable[..., Any], part: str, meter: Meter, stack: _Stack) -> Callable[..., Any]:
    def timed(*args: Any, **options: Any) -> Any:
        stack.inner.append([0.0, 0.0])
        cpu, wall = time.thread_time(), time.perf_counter()
        try:
            return function(*args, **options)
        finally:
            cpu, wall = time.thread_time() - cpu, time.perf_counter() - wall
            inner = stack.inner.pop()
            meter.add(part, cpu - inner[0], wall - inner[1])
            if stack.inner:
                stack.inner[-1][0] += cpu
                stack.inner[-1][1] += wall

    return timed
