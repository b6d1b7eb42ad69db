"""When each machine is measured: once in every round, at a time that only this witness can compute.

The time comes from the epoch's key, a machine's lease and place, and the round (`chain.leaves.offset_ms`);
the key of one epoch can be opened for an audit without the master secret. Whoever knew the times could have a
machine up for just those moments. This module must not measure, and has no clock of its own.
"""

from __future__ import annotations

import heapq
import hmac
import os
import secrets
import stat
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from chain.leaves import epoch_key, offset_ms
from market.errors import Permanent
from market.rounds import Grid

__all__ = ["Agenda", "Due", "Key", "Times", "master_secret"]

Key = tuple[int, int]
"""A machine: lease and place."""
_KEPT = 8


def master_secret(path: Path) -> bytes:
    """The secret all times come from; made when it is first asked for (mode 0600), 32 bytes.

    `Permanent` if others may read it, or it is not whole. A witness that loses it measures at other times
    from then on and cannot open what it has committed to, which costs it the fines of two epochs.
    """
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return _read(path)
    with os.fdopen(handle, "wb") as file:
        secret = secrets.token_bytes(32)
        file.write(secret)
        file.flush()
        os.fsync(file.fileno())
    return secret


def _read(path: Path) -> bytes:
    if stat.S_IMODE(path.stat().st_mode) & 0o077:
        raise Permanent(f"others may read {path}", hint=f"chmod 600 {path}, and consider making a new one.")
    secret = path.read_bytes()
    if len(secret) != 32:
        raise Permanent(f"{path} is not whole", hint="Restore it from a copy, or remove it to begin anew.")
    return secret


class Times:
    """The secret times, from the master secret."""

    def __init__(self, grid: Grid, secret: bytes) -> None:
        self.grid = grid
        self._secret = secret
        self._keys: dict[int, bytes] = {}

    def key(self, epoch: int) -> bytes:
        """The key of an epoch."""
        if epoch not in self._keys:
            while len(self._keys) >= _KEPT:
                self._keys.pop(next(iter(self._keys)))
            self._keys[epoch] = epoch_key(self._secret, epoch)
        return self._keys[epoch]

    def due(self, key: Key, epoch: int, round_: int) -> int:
        """When a machine is measured in a round, unix milliseconds."""
        start = self.grid.round_start(epoch, round_) * 1000
        return start + offset_ms(self.grid, self.key(epoch), *key, round_)

    def drawn(self, key: Key, epoch: int, round_: int, one_in: int) -> bool:
        """A secret lot that falls in one of `one_in` rounds; independent of the time of measurement."""
        words = b"".join(number.to_bytes(4, "big") for number in (*key, epoch, round_))
        lot = hmac.digest(self.key(epoch), b"OCX lot" + words, "sha256")
        return int.from_bytes(lot[:8], "big") % one_in == 0


@dataclass(frozen=True, slots=True, order=True)
class Due:
    """One measurement to come; `at` in unix milliseconds."""

    at: int
    key: Key
    epoch: int
    round: int


class Agenda:
    """What is to be measured next: for each machine its next round, in order of time."""

    def __init__(self, times: Times, window: Callable[[Key], tuple[int, int] | None]) -> None:
        """`window` tells in which seconds a machine is measured, None: not any more."""
        self._times, self._window = times, window
        self._heap: list[tuple[int, Key, Due]] = []
        self._next: dict[Key, Due] = {}

    def __len__(self) -> int:
        return len(self._next)

    def plan(self, key: Key, now_ms: int) -> None:
        """Put a machine's next measurement from now on onto the agenda, in place of any other."""
        due = self._first(key, now_ms)
        if due is None:
            self._next.pop(key, None)
        else:
            self._next[key] = due
            heapq.heappush(self._heap, (due.at, key, due))

    def after(self, done: Due, now_ms: int) -> None:
        """Plan the round after one that was taken off, and none that is over."""
        end = self._times.grid.round_end(done.epoch, done.round) * 1000
        self.plan(done.key, max(end, now_ms))

    def forget(self, key: Key) -> None:
        """Take a machine off."""
        self._next.pop(key, None)

    def planned(self, key: Key) -> Due | None:
        """What is on the agenda for a machine."""
        return self._next.get(key)

    def peek(self) -> int | None:
        """When the next measurement is due, unix milliseconds; None if there is none."""
        while self._heap and self._next.get(self._heap[0][1]) is not self._heap[0][2]:
            heapq.heappop(self._heap)
        return self._heap[0][0] if self._heap else None

    def take(self) -> Due:
        """Take the next one off; ask `peek` first."""
        _, _, due = heapq.heappop(self._heap)
        del self._next[due.key]
        return due

    def _first(self, key: Key, now_ms: int) -> Due | None:
        """The machine's first measurement at or after a time, in a round that lies wholly in its window."""
        window, grid = self._window(key), self._times.grid
        if window is None:
            return None
        start, end = window
        epoch, round_ = grid.round_of(max(start, now_ms // 1000))
        while True:
            if grid.round_end(epoch, round_) > end:
                return None
            if grid.round_start(epoch, round_) >= start:
                at = self._times.due(key, epoch, round_)
                if at >= now_ms:
                    return Due(at, key, epoch, round_)
            epoch, round_ = (epoch, round_ + 1) if round_ + 1 < grid.rounds else (epoch + 1, 0)
