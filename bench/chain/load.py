"""Load by the Python client, as its users make it: each account has its own client and sends in turn.

Open loop: calls fall due at a fixed rate whatever becomes of those before, and latency counts from when one
was due. At the maximum the next is due as soon as there is room. This module must not judge the numbers.
"""

from __future__ import annotations

import queue
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from bench.chain.mix import Act, Mix
from bench.chain.watch import Watch
from bench.report import percentile
from bench.stage import Party
from chain.nonces import Entry
from market.errors import OcxError

__all__ = ["Latency", "Load", "Sample", "drive", "latencies"]

_MOST = 4
"""Calls that wait for one account's turn at the maximum."""
_IDLE = 0.002


@dataclass(slots=True)
class Sample:
    """One call. Unix seconds: when it was due, when a node had it, when the client called it confirmed."""

    kind: str
    due: float
    sent: float = 0.0
    confirmed: float = 0.0
    hash: str = ""
    gas: int = 0
    error: str = ""


@dataclass(frozen=True)
class Latency:
    """Seconds at the half, at 95 and 99 of a hundred."""

    p50: float
    p95: float
    p99: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Latency:
        """Of at least one value."""
        return cls(*(percentile(values, share) for share in (0.5, 0.95, 0.99)))


@dataclass
class Load:
    """What came of a load: each call, when the load began and ended (unix seconds), and the processor
    seconds of this process until the last call was confirmed."""

    began: float
    ended: float = 0.0
    cpu: float = 0.0
    samples: list[Sample] = field(default_factory=list)

    @property
    def good(self) -> list[Sample]:
        """Calls that are on the chain."""
        return [sample for sample in self.samples if sample.hash and not sample.error]

    def errors(self) -> Counter[str]:
        """What went wrong, by its first words."""
        return Counter(f"{sample.kind}: {sample.error}" for sample in self.samples if sample.error)


def latencies(load: Load, watch: Watch) -> tuple[Latency, Latency]:
    """From due to a block that holds it, and to when the sender knew that it is confirmed."""
    good = load.good
    placed = [(sample, watch.place(sample.hash)) for sample in good]
    mined = [block.at - sample.due for sample, block in placed if block is not None]
    return Latency.of(mined), Latency.of([sample.confirmed - sample.due for sample in good])


class _Lane:
    """One account: a thread that sends, and one that waits for what was sent, in order."""

    def __init__(self, party: Party, note: Callable[[Sample], None]) -> None:
        self._note = note
        self.due: queue.SimpleQueue[tuple[Act, Sample] | None] = queue.SimpleQueue()
        self._sent: queue.SimpleQueue[tuple[Act, Sample, Entry] | None] = queue.SimpleQueue()
        self._sender = party.client.sender
        self._threads = [threading.Thread(target=each, daemon=True) for each in (self._send, self._wait)]
        for thread in self._threads:
            thread.start()

    def end(self) -> None:
        """Wait until everything has come out."""
        self.due.put(None)
        for thread in self._threads:
            thread.join()

    def _send(self) -> None:
        while (item := self.due.get()) is not None:
            act, sample = item
            try:
                call = act.build()
                entry = self._sender.send(call.to, call.data, wait=False)
            except OcxError as error:
                sample.error, sample.confirmed = str(error)[:120], time.time()
                self._note(sample)
                continue
            sample.sent = time.time()
            self._sent.put((act, sample, entry))
        self._sent.put(None)

    def _wait(self) -> None:
        while (item := self._sent.get()) is not None:
            act, sample, entry = item
            try:
                receipt = self._sender.wait(entry)
                sample.confirmed = time.time()
                sample.hash, sample.gas = "0x" + receipt.tx_hash.hex(), receipt.gas_used
                act.done(receipt)
            except OcxError as error:
                sample.error, sample.confirmed = str(error)[:120], time.time()
            self._note(sample)


def drive(
    mix: Mix,
    parties: Sequence[Party],
    seconds: float,
    rate: float | None,
    *,
    room: int = 400,
    note: Callable[[Sample], None] | None = None,
) -> Load:
    """Draw acts for so many seconds and wait for all; `rate` a second, or None: as fast as `room` allows.

    `room`: how many calls may be under way at the maximum. `note` is told each call that is over; at a fixed
    rate they are not kept then.
    """
    lanes = {party.org: _Lane(party, note or (lambda sample: None)) for party in parties}
    load = Load(time.time())
    cpu = time.process_time()
    if rate is None:
        _fill(mix, lanes, load, seconds, room)
    else:
        _pace(mix, lanes, load, seconds, rate, keep=note is None)
    load.ended = time.time()
    for lane in lanes.values():
        lane.end()
    load.cpu = time.process_time() - cpu
    return load


def _give(lanes: dict[int, _Lane], act: Act, due: float) -> Sample:
    sample = Sample(act.kind, due)
    lanes[act.party.org].due.put((act, sample))
    return sample


def _pace(mix: Mix, lanes: dict[int, _Lane], load: Load, seconds: float, rate: float, *, keep: bool) -> None:
    for number in range(int(seconds * rate)):
        due = load.began + number / rate
        while (rest := due - time.time()) > 0:
            time.sleep(rest)
        sample = _give(lanes, mix.draw(), due)
        if keep:
            load.samples.append(sample)


def _fill(mix: Mix, lanes: dict[int, _Lane], load: Load, seconds: float, room: int) -> None:
    first_open = 0
    while time.time() < load.began + seconds:
        while first_open < len(load.samples) and load.samples[first_open].confirmed:
            first_open += 1
        under_way = sum(not sample.confirmed for sample in load.samples[first_open:])
        act = mix.draw() if under_way < room else None
        while act is not None and lanes[act.party.org].due.qsize() >= _MOST:
            time.sleep(_IDLE)
        if act is None:
            time.sleep(_IDLE)
        else:
            load.samples.append(_give(lanes, act, time.time()))
