"""Half an hour of marketplace calls at half the maximum on four validators: what grows, and how fast.

`python -m bench chain_soak [--minutes 30]`. The maximum is measured first, by the same client. Memory and
disk of each node and of the client are read again and again, and a line is fitted to them.
"""

from __future__ import annotations

import argparse
import os
import threading
import time
from array import array
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from bench.chain.load import Latency, Sample, drive
from bench.chain.mix import Mix
from bench.chain.speed import Pace, parties_of
from bench.chain.stage import ChainStage, open_chain
from bench.chain.watch import Watch
from bench.probe import Usage
from bench.report import Report, Row
from chain.nodes import layout

__all__ = ["Series", "Soak", "run", "size_of", "slope"]

_TRY = 25.0
"""Seconds of the maximum that half of is taken."""
_CLIENT = "client"


@dataclass
class Series:
    """What was read of one process: hours since the beginning, megabytes of memory and of disk."""

    hours: list[float] = field(default_factory=list)
    memory: list[float] = field(default_factory=list)
    disk: list[float] = field(default_factory=list)
    gas: list[float] = field(default_factory=list)


def slope(times: Sequence[float], values: Sequence[float]) -> float:
    """The steepness of the line that fits best; 0 for fewer than two times."""
    if len(set(times)) < 2:
        return 0.0
    middle, mean = sum(times) / len(times), sum(values) / len(values)
    over = sum((at - middle) * (value - mean) for at, value in zip(times, values, strict=True))
    return over / sum((at - middle) ** 2 for at in times)


def size_of(folder: Path) -> float:
    """Megabytes of disk that a folder's files take; what vanishes meanwhile is left out."""
    total = 0
    for place, _, names in os.walk(folder):
        for name in names:
            try:
                total += (Path(place) / name).lstat().st_blocks * 512
            except FileNotFoundError:
                continue
    return total / 1e6


def run(argv: Sequence[str] | None = None) -> Report:
    """Measure and show; not complete if calls were lost or a node's chain stood."""
    parser = argparse.ArgumentParser(prog="python -m bench chain_soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=30.0, help="how long (default 30)")
    parser.add_argument("--rate", type=float, help="calls a second (default: half the measured maximum)")
    parser.add_argument("--every", type=float, default=30.0, help="seconds between two readings (default 30)")
    options = parser.parse_args(argv)
    with open_chain() as stage, Watch(stage.urls[0], kept=600) as watch:
        mix = Mix(stage)
        rate = options.rate or _half(stage, mix, watch)
        report = Soak(stage, watch, mix, rate, options.every).play(60 * options.minutes)
    report.show()
    return report


def _half(stage: ChainStage, mix: Mix, watch: Watch) -> float:
    load = drive(mix, parties_of(stage), _TRY, None)
    pace = Pace()
    pace.add(watch.between(load.began + 2, load.ended))
    print(f"the maximum is {pace.rate:.1f} calls and {pace.gas_rate:.2f} Mgas a second", flush=True)
    return max(1.0, pace.rate / 2)


class Soak:
    """Plays on a stage; see `run`."""

    def __init__(self, stage: ChainStage, watch: Watch, mix: Mix, rate: float, every: float) -> None:
        self._stage, self._watch, self._mix, self._rate, self._every = stage, watch, mix, rate, every
        self._folders = {
            node.name: layout.node_folder(stage.folder, node) for node in stage.description.nodes
        }
        self._series = {name: Series() for name in (*self._folders, _CLIENT)}
        self._mined, self._confirmed = array("f"), array("f")
        self._errors: Counter[str] = Counter()
        self._load: list[float] = []
        self._done = threading.Event()
        self._lock = threading.Lock()

    def play(self, seconds: float) -> Report:
        """Load, read, judge."""
        began, gas, height = time.time(), self._watch.gas, self._watch.height
        reader = threading.Thread(target=self._read, args=(began, gas), daemon=True)
        reader.start()
        used = Usage.of(os.getpid())
        load = drive(self._mix, parties_of(self._stage), seconds, self._rate, note=self._note)
        self._done.set()
        reader.join()
        self._look(began, gas)
        report = Report("chain_soak", complete=not self._errors)
        report.load = self._load[0]
        spent = Usage.of(os.getpid()).cpu - used.cpu
        hours = (load.ended - began) / 3600
        blocks = self._watch.height - height
        report.notes += [
            f"{self._rate:.1f} calls a second for {seconds / 60:.1f} minutes, 4 validators, {blocks} blocks, "
            f"{(self._watch.gas - gas) / 1e6:,.0f} Mgas, {self._watch.replaced} blocks gave way",
            f"load average {min(self._load):.1f} to {max(self._load):.1f}, "
            f"{sum(self._load) / len(self._load):.1f} on average",
            *(f"{count} failed: {what}" for what, count in self._errors.most_common(5)),
        ]
        report.rows += self._rows(blocks / hours / 3600, spent)
        return report

    def _note(self, sample: Sample) -> None:
        block = self._watch.place(sample.hash) if sample.hash else None
        with self._lock:
            if sample.error:
                self._errors[f"{sample.kind}: {sample.error}"] += 1
                return
            self._confirmed.append(sample.confirmed - sample.due)
            if block is not None:
                self._mined.append(block.at - sample.due)

    def _read(self, began: float, gas: int) -> None:
        while True:
            self._look(began, gas)
            if self._done.wait(self._every):
                return

    def _look(self, began: float, gas: int) -> None:
        now, spent = (time.time() - began) / 3600, (self._watch.gas - gas) / 1e6
        pids = self._stage.pids() | {_CLIENT: os.getpid()}
        for name, series in self._series.items():
            series.hours.append(now)
            series.gas.append(spent)
            series.memory.append(Usage.of(pids[name]).rss)
            series.disk.append(size_of(self._folders[name]) if name in self._folders else self._journals())
        self._load.append(os.getloadavg()[0])
        memory = ", ".join(f"{series.memory[-1]:.0f}" for series in self._series.values())
        disk = ", ".join(f"{series.disk[-1]:.0f}" for series in self._series.values())
        print(
            f"{60 * now:5.1f} min, block {self._watch.height}, {spent:8,.0f} Mgas, "
            f"load {self._load[-1]:4.1f}, nodes and client: memory {memory} MB, disk {disk} MB",
            flush=True,
        )

    def _journals(self) -> float:
        """What the clients wrote down."""
        nodes = sum(map(size_of, self._folders.values()))
        return size_of(self._stage.folder) - nodes

    def _rows(self, blocks: float, cpu: float) -> list[Row]:
        rows = [Row("blocks", blocks, "a second"), Row("calls confirmed", len(self._confirmed), "")]
        rows.append(Row("client: CPU a call", 1000 * cpu / max(1, len(self._confirmed)), "ms"))
        third = len(self._confirmed) // 3
        for what, values in (("receipt", self._mined), ("confirmed", self._confirmed)):
            for name, part in (("first third", values[:third]), ("last third", values[-third:])):
                if part:
                    found = Latency.of(part)
                    rows.append(Row(f"call to {what}, p50, {name}", found.p50, "s"))
                    rows.append(Row(f"call to {what}, p99, {name}", found.p99, "s"))
        for name, series in self._series.items():
            rows += _growth(name, series)
        return rows


def _growth(name: str, series: Series) -> list[Row]:
    """Where it ended, and the fitted lines."""
    span = series.hours[-1] - series.hours[0]
    half = len(series.hours) // 2
    return [
        Row(f"{name}: memory at the end", series.memory[-1], "MB"),
        Row(f"{name}: memory, fitted", slope(series.hours, series.memory), "MB/h"),
        Row(f"{name}: memory, fitted, second half", slope(series.hours[half:], series.memory[half:]), "MB/h"),
        Row(f"{name}: disk at the end", series.disk[-1], "MB"),
        Row(
            f"{name}: disk, first to last", (series.disk[-1] - series.disk[0]) / span if span else 0.0, "MB/h"
        ),
        Row(f"{name}: disk, fitted", slope(series.hours, series.disk), "MB/h"),
        Row(f"{name}: disk, fitted", 1000 * slope(series.gas, series.disk), "kB/Mgas"),
    ]
