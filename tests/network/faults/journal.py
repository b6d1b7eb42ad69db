"""What callers were told, and how their leases went: the judge compares it with the chain that remains."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from chain.wire import Receipt

__all__ = ["Journal", "Life", "Told"]


@dataclass(frozen=True)
class Told:
    """One transaction that its caller took for done; `at` in monotonic seconds."""

    who: str
    intent: str
    tx_hash: bytes
    block_number: int
    block_hash: bytes
    amount: int
    at: float


@dataclass
class Life:
    """One lease, as its buyer lived it."""

    lease: int
    key: str
    provider: int
    delivered: bool = False
    over: bool = False
    lost: str = ""


@dataclass
class Journal:
    """Safe among threads."""

    told: list[Told] = field(default_factory=list)
    lives: list[Life] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    """What no caller should have met: errors that are not for waiting."""
    waits: dict[str, int] = field(default_factory=dict)
    """How often callers were told to wait, by kind of error."""
    doing: dict[str, str] = field(default_factory=dict)
    """What each caller is at, and what it was told last."""
    _news: threading.Condition = field(default_factory=threading.Condition)

    def confirmed(self, who: str, intent: str, receipt: Receipt, amount: int = 0) -> None:
        """A caller has the receipt of what it meant to do."""
        told = Told(
            who, intent, receipt.tx_hash, receipt.block_number, receipt.block_hash, amount, time.monotonic()
        )
        with self._news:
            self.told.append(told)
            self._news.notify_all()

    def open(self, life: Life) -> None:
        """A caller has a lease."""
        with self._news:
            self.lives.append(life)

    def fault(self, what: str) -> None:
        """Something that should not happen."""
        with self._news:
            self.faults.append(what)
            self._news.notify_all()

    def at(self, who: str, what: str) -> None:
        """What a caller is at now."""
        with self._news:
            self.doing[who] = what

    def wait(self, who: str, error: Exception) -> None:
        """A caller was told to wait."""
        with self._news:
            self.doing[who] = f"{self.doing.get(who)}, and was told: {error}"
            name = type(error).__name__
            self.waits[name] = self.waits.get(name, 0) + 1

    def since(self, at: float) -> list[Told]:
        """What was told after that moment."""
        with self._news:
            return [told for told in self.told if told.at > at]

    def first_after(self, at: float, count: int = 1, limit: float = 120.0) -> Told:
        """Wait until so many were told after that moment; the last of them."""
        self.until(lambda: len(self.since(at)) >= count, f"{count} confirmations", limit)
        return self.since(at)[count - 1]

    def until(self, wanted: Callable[[], bool], what: str, limit: float) -> None:
        """Wait; a failure says what callers are at."""
        deadline = time.monotonic() + limit
        while not wanted():
            assert not self.faults, self.faults
            assert time.monotonic() < deadline, f"waited {limit} s for {what}: {self.doing}"
            with self._news:
                self._news.wait(0.5)
