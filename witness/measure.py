"""The engine: measures every machine once in every round, at a time nobody else can foresee.

One task starts each measurement at its own time; what cannot start in time, or while our clock may not be
trusted, is left unmeasured and never called down. A measurement counts once it is in the log, and no machine
is measured twice in a round, restarts included. This module must not know contracts: what to measure comes in
by `Engine.set_targets`, what was found goes out to the log.
"""

from __future__ import annotations

import asyncio
import logging
import resource
from collections import Counter, deque
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass

from chain.leaves import Outcome
from market.rounds import Grid
from witness.attribution import Reason
from witness.clock import Clock
from witness.log import Log, Measurement
from witness.looks import Look, Looks, Tokens, no_token
from witness.probes.tcp import tcp
from witness.reach import Reach
from witness.schedule import Agenda, Due, Key, Times
from witness.settings import MeasureSettings
from witness.targets import Reference, Target

__all__ = ["Engine", "Gauges"]

_log = logging.getLogger(__name__)

_BURST = 100
"""Measurements started, or machines planned, before the event loop may do something else."""
_LONGEST_NAP = 0.5
_STEP = 0.25
"""Seconds between two turns by which the wall clock must be set to be noticed."""
_BOUNDS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10_000)
"""Milliseconds of lateness that are counted apart."""


@dataclass(frozen=True, slots=True)
class Gauges:
    """How measuring goes, since the start: numbers for health and metrics.

    `outcomes` counts by outcome and reason; `lost` are measurements the disk refused; `failed` those that an
    error nobody foresaw ended; `lateness` counts by upper bound in milliseconds (the last: above all),
    `worst_late_ms` is the worst of this minute and the one before it.
    """

    targets: int
    running: int
    started: int
    outcomes: dict[tuple[str, str], int]
    lost: int
    failed: int
    lateness: dict[float, int]
    worst_late_ms: int


class Engine:
    """Measures while `run` runs. All methods but `gauges` are for the event loop's thread.

    `witness`: the signer's address, which guests' receipts name; `tokens`: what lets us in at gateways.
    """

    def __init__(
        self,
        settings: MeasureSettings,
        grid: Grid,
        secret: bytes,
        witness: str,
        log: Log,
        clock: Clock,
        *,
        tokens: Tokens = no_token,
    ) -> None:
        self._settings, self._log, self._clock = settings, log, clock
        self._seconds = min(settings.timeout, 0.4 * grid.round_ms / 1000)
        self.times = Times(grid, secret)
        self.reach = Reach(self._answers, clock.monotonic)
        self._looks = Looks(witness, self.reach, loopback=settings.loopback, tokens=tokens)
        self._targets: dict[Key, Target] = {}
        self._agenda = Agenda(self.times, self._window)
        self._fresh: dict[Key, None] = {}  # to be planned, in order
        self._running: dict[asyncio.Task[None], int] = {}
        self._changed = asyncio.Event()
        self._before: tuple[int, dict[Key, int]] = 0, {}
        self._outcomes: Counter[tuple[str, str]] = Counter()
        self._lateness: Counter[float] = Counter()
        self._written: deque[tuple[tuple[str, str], Future[bool]]] = deque()  # filled by the log's thread
        self._lead = clock.wall() - clock.monotonic()
        self._started = self._lost = self._failed = 0
        self._worst: dict[int, int] = {}  # by minute

    # ---- what to measure -----------------------------------------------------------------------------------

    def set_targets(self, targets: Sequence[Target]) -> None:
        """What is to be measured from now on; a machine that was there before goes on undisturbed."""
        before, self._targets = self._targets, {target.key: target for target in targets}
        hosts = Counter(target.endpoint.host for target in targets)
        self._looks.shared = frozenset(host for host, count in hosts.items() if count > 1)
        for key in before.keys() - self._targets.keys():
            self._agenda.forget(key)
            self._fresh.pop(key, None)
        for key, target in self._targets.items():
            old = before.get(key)
            if old is None or (old.start, old.end) != (target.start, target.end):
                self._fresh[key] = None
        self._changed.set()

    def set_references(self, references: Sequence[Reference]) -> None:
        """Whom to ask whether our own network works, after a machine did not answer."""
        self.reach.set(references)

    @property
    def targets(self) -> int:
        """How many machines are measured."""
        return len(self._targets)

    def gauges(self) -> Gauges:
        """How it goes; may be asked from any thread."""
        return Gauges(
            targets=len(self._targets),
            running=len(self._running),
            started=self._started,
            outcomes=dict(self._outcomes),
            lost=self._lost,
            failed=self._failed,
            lateness={bound: self._lateness[bound] for bound in (*_BOUNDS, float("inf"))},
            worst_late_ms=max(self._worst.copy().values(), default=0),
        )

    # ---- measuring -----------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Measure until cancelled; what is under way is dropped then, what is committed is in the log."""
        _allow_files(6 * self._settings.concurrency + 256)
        epoch = self.times.grid.epoch_of(int(self._clock.wall()))
        self._before = epoch, await asyncio.to_thread(self._log.done, epoch)
        try:
            while True:
                self._changed.clear()
                self._count()
                self._mind_steps()
                self._plan()
                self._start_due()
                await self._nap()
        finally:
            for task in list(self._running):
                task.cancel()
            await asyncio.gather(*self._running, return_exceptions=True)

    async def drained(self, epoch: int) -> None:
        """Return when no measurement of that epoch, or an earlier one, is under way: close it then."""
        while tasks := [task for task, number in self._running.items() if number <= epoch]:
            await asyncio.wait(tasks)
        await asyncio.to_thread(self._log.flush)

    def _now_ms(self) -> int:
        return int(self._clock.wall() * 1000)

    def _window(self, key: Key) -> tuple[int, int] | None:
        target = self._targets.get(key)
        return None if target is None else (target.start, target.end)

    def _mind_steps(self) -> None:
        """After our wall clock was set, plan everything anew."""
        lead = self._clock.wall() - self._clock.monotonic()
        if abs(lead - self._lead) > _STEP:
            _log.warning("the clock was set by %.1f s", lead - self._lead)
            self._fresh = dict.fromkeys(self._targets)
        self._lead = lead

    def _plan(self) -> None:
        """Put some of the new machines onto the agenda."""
        now = self._now_ms()
        for key in list(self._fresh)[:_BURST]:
            del self._fresh[key]
            self._agenda.plan(key, now)

    def _start_due(self) -> None:
        """Start what is due, as far as there is room for it."""
        for _ in range(min(_BURST, self._settings.concurrency - len(self._running))):
            at = self._agenda.peek()
            if at is None or at > self._now_ms():
                return
            due = self._agenda.take()
            self._agenda.after(due, self._now_ms() - self._settings.late_ms)
            epoch, done = self._before
            if due.epoch == epoch and done.get(due.key, 0) >> due.round & 1:
                continue  # measured by the process before this one
            task = asyncio.create_task(self._measure(due))
            self._running[task] = due.epoch
            task.add_done_callback(self._ended)

    async def _nap(self) -> None:
        """Until the next one is due, a machine came or went, or there is room again."""
        at = self._agenda.peek()
        full = len(self._running) >= self._settings.concurrency
        seconds = _LONGEST_NAP
        if self._fresh:
            seconds = 0.0
        elif at is not None and not full:
            seconds = min(seconds, at / 1000 - self._clock.wall())
        if seconds <= 0:
            await asyncio.sleep(0)
            return
        handle = asyncio.get_running_loop().call_later(seconds, self._changed.set)
        try:
            await self._changed.wait()
        finally:
            handle.cancel()

    def _ended(self, task: asyncio.Task[None]) -> None:
        full = len(self._running) >= self._settings.concurrency
        self._running.pop(task, None)
        if full:
            self._changed.set()
        if not task.cancelled() and (error := task.exception()) is not None:
            self._failed += 1
            _log.error("a measurement failed: %s", error, exc_info=error)

    async def _measure(self, due: Due) -> None:
        """Measure one machine, and have it logged."""
        at, began = self._now_ms(), self._clock.monotonic()
        self._note(at - due.at)
        target = self._targets.get(due.key)
        if target is None:
            return
        look = await self._look(target, due, at)
        took = round((self._clock.monotonic() - began) * 1000)
        made = Measurement(
            due.epoch,
            target.lease,
            target.place,
            due.round,
            at,
            int(look.outcome),
            look.reason.value,
            look.nonce,
            look.signature,
            took,
            look.detail,
        )
        found = look.outcome.name.lower(), look.reason.value
        self._log.add(made).add_done_callback(lambda written: self._written.append((found, written)))

    async def _look(self, target: Target, due: Due, at: int) -> Look:
        """What is found, or why nothing can be told."""
        if not self._clock.trusted():
            return Look(Outcome.PATH, Reason.CLOCK, "")
        late = at - due.at
        if late > self._settings.late_ms:
            return Look(Outcome.PATH, Reason.LATE, f"{late} ms late")
        full = self.times.drawn(due.key, due.epoch, due.round, self._settings.host_key_every)
        look = await self._looks.at(target, due.epoch, due.round, self._seconds, full=full)
        if not self._clock.trusted():  # it was set while we looked
            return Look(Outcome.PATH, Reason.CLOCK, look.detail)
        return look

    def _count(self) -> None:
        """Count what was committed meanwhile; what could not be is lost, and the log has said why."""
        while self._written:
            found, written = self._written.popleft()
            if written.exception() is None and written.result():
                self._outcomes[found] += 1
            else:
                self._lost += 1

    def _note(self, late: int) -> None:
        self._started += 1
        minute = int(self._clock.monotonic() // 60)
        if late > self._worst.get(minute, -1):
            self._worst = {n: worst for n, worst in self._worst.items() if n == minute - 1} | {minute: late}
        self._lateness[next((bound for bound in _BOUNDS if late <= bound), float("inf"))] += 1

    async def _answers(self, reference: Reference) -> bool:
        seen = await tcp(reference.host, reference.port, self._seconds, loopback=True)
        return seen.right or seen.answers


def _allow_files(count: int) -> None:
    """Let this process have so many files open, as far as the system lets it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = count if hard == resource.RLIM_INFINITY else min(count, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
