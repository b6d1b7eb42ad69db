"""How fast the members' own chain is for its users: marketplace calls through the Python client on four
validators, beside ERC-20 transfers signed beforehand, on the same network in the same run.

Rounds of both follow one another, so that whatever else the machine does meets both. What the client itself
costs is taken apart: processor time by part, and requests by method.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from eth_keys.backends import get_backend_class

from bench.chain.bound import Bound
from bench.chain.load import Latency, Load, drive, latencies
from bench.chain.meter import Meter, metered
from bench.chain.mix import SHARES, Mix
from bench.chain.stage import ChainStage, open_chain
from bench.chain.watch import Seen, Watch
from bench.report import Report, Row
from bench.stage import Party

__all__ = ["Pace", "Speed", "parties_of", "run"]

_WARM = 2.0
"""Seconds of a load that are not counted: blocks fill first."""
_STEPS = (0.25, 0.5)
"""Shares of the maximum at which latency is measured."""


@dataclass
class Pace:
    """What blocks carried within the counted time of one or more loads."""

    gas: int = 0
    transactions: int = 0
    seconds: float = 0.0
    rounds: list[float] = field(default_factory=list)

    def add(self, blocks: Sequence[Seen]) -> None:
        """Blocks in a row; the first says only when counting began."""
        if len(blocks) < 2 or blocks[-1].at <= blocks[0].at:
            self.rounds.append(0.0)
            return
        gas = sum(block.gas for block in blocks[1:])
        self.gas += gas
        self.transactions += sum(len(block.transactions) for block in blocks[1:])
        self.seconds += blocks[-1].at - blocks[0].at
        self.rounds.append(gas / (blocks[-1].at - blocks[0].at))

    @property
    def gas_rate(self) -> float:
        """Million gas a second."""
        return self.gas / self.seconds / 1e6 if self.seconds else 0.0

    @property
    def rate(self) -> float:
        """Transactions a second."""
        return self.transactions / self.seconds if self.seconds else 0.0


def parties_of(stage: ChainStage) -> list[Party]:
    """Everybody who calls."""
    return [shop.party for shop in stage.shops] + stage.buyers


def run(argv: Sequence[str] | None = None) -> Report:
    """Measure and show."""
    parser = argparse.ArgumentParser(prog="python -m bench chain_speed", description=__doc__)
    parser.add_argument("--seconds", type=float, default=15.0, help="length of each load (default 15)")
    parser.add_argument("--rounds", type=int, default=2, help="of both at the maximum (default 2)")
    parser.add_argument("--room", type=int, default=400, help="calls under way at the maximum (default 400)")
    options = parser.parse_args(argv)
    with open_chain() as stage, Watch(stage.urls[0]) as watch:
        report = Speed(stage, watch, options.seconds, options.room).measure(options.rounds)
    report.show()
    return report


class Speed:
    """Measures on a stage; see `run`."""

    def __init__(
        self, stage: ChainStage, watch: Watch, seconds: float, room: int, accounts: int = 64, alone: int = 6
    ) -> None:
        self._stage, self._watch, self._seconds, self._room = stage, watch, seconds, room
        self._calls_alone = alone
        self._mix, self._bound = Mix(stage), Bound(stage, watch, accounts)
        self._parties = parties_of(stage)
        self._ours, self._theirs = Pace(), Pace()
        self._report = Report("chain_speed")

    def measure(self, rounds: int) -> Report:
        """All of it."""
        shares = ", ".join(f"{share} % {kind}" for kind, share in SHARES.items())
        network = self._stage.description
        self._report.notes += [
            f"{len(network.nodes)} validators on loopback, blocks of {network.block_time} s and "
            f"{network.gas_limit:,} gas, {network.confirmations} confirmations; "
            f"{len(self._parties)} accounts, one client each, in one process",
            f"of the client's calls {shares}",
            f"signatures by {get_backend_class().__name__}",
        ]
        self._alone()
        meter, cpu, calls = self._maxima(rounds)
        for step in _STEPS:
            self._at(step)
        self._cost(meter, cpu, calls)
        blocks = self._watch.replaced
        self._report.notes.append(f"{blocks} blocks gave way to others of the same height")
        return self._report

    def _alone(self) -> None:
        """One caller, one call after another, as a person at a terminal."""
        buyer = self._stage.buyers[0]
        buyer.send(buyer.client.escrow.deposit(buyer.org, 1))
        waited = []
        cpu = time.process_time() - self._watch.cpu
        with metered() as meter:
            for number in range(self._calls_alone):
                began = time.monotonic()
                buyer.send(buyer.client.escrow.deposit(buyer.org, number + 1))
                waited.append(time.monotonic() - began)
        cpu = time.process_time() - self._watch.cpu - cpu
        half = Latency.of(waited).p50
        self._report.rows += [
            Row("one caller alone: call to confirmed, p50", half, "s"),
            Row("one caller alone: requests a call", sum(meter.requests.values()) / self._calls_alone, ""),
            Row("one caller alone: messages a call", meter.messages / self._calls_alone, ""),
            Row("one caller alone: CPU a call", 1000 * cpu / self._calls_alone, "ms"),
        ]

    def _maxima(self, rounds: int) -> tuple[Meter, float, int]:
        """Both at the maximum, in turn; the client's meter, processor seconds and calls."""
        total, cpu, calls = Meter(), 0.0, 0
        for number in range(rounds):
            self._bound.sign(
                int(1_200 * self._seconds) if number == 0 else int(self._seconds * 2 * self._theirs.rate)
            )
            began = time.time()
            given = self._bound.flood(self._seconds, self._room)
            self._theirs.add(self._watch.between(began + _WARM, given[-1][1]))
            watched = self._watch.cpu
            with metered() as meter:
                load = drive(self._mix, self._parties, self._seconds, None, room=self._room)
            self._count(load)
            total.merge(meter)
            cpu += load.cpu - (self._watch.cpu - watched)
            calls += len(load.samples)
            self._report.notes.append(
                f"round {number + 1}: bound {self._theirs.rounds[-1] / 1e6:.2f}, client "
                f"{self._ours.rounds[-1] / 1e6:.2f} Mgas/s, load average {os.getloadavg()[0]:.1f}"
            )
        ours, theirs = self._ours, self._theirs
        self._report.rows += [
            Row(
                "maximum: gas", ours.gas_rate, "Mgas/s", None, theirs.gas_rate, "transfers signed beforehand"
            ),
            Row(
                "maximum: transactions",
                ours.rate,
                "a second",
                None,
                theirs.rate,
                "transfers signed beforehand",
            ),
        ]
        return total, cpu, calls

    def _at(self, step: float) -> None:
        """Latency of both at a share of each one's own maximum."""
        self._bound.sign(int(self._seconds * self._theirs.rate * step) + 1)
        their_mined, their_confirmed = self._bound.latencies(
            self._bound.pace(self._seconds, max(1.0, self._theirs.rate * step))
        )
        load = drive(self._mix, self._parties, self._seconds, max(1.0, self._ours.rate * step))
        self._errors(load)
        mined, confirmed = latencies(load, self._watch)
        for what, own, other in (("receipt", mined, their_mined), ("confirmed", confirmed, their_confirmed)):
            for name in ("p50", "p95", "p99"):
                label = f"{step:.0%} of maximum: call to {what}, {name}"
                self._report.rows.append(
                    Row(label, getattr(own, name), "s", None, getattr(other, name), "transfers at that share")
                )

    def _cost(self, meter: Meter, cpu: float, calls: int) -> None:
        self._report.rows.append(Row("at the maximum: CPU a call", 1000 * cpu / calls, "ms"))
        for part, seconds in sorted(meter.cpu.items(), key=lambda item: -item[1]):
            self._report.rows.append(Row(f"  of it {part}", 1000 * seconds / calls, "ms"))
        self._report.rows.append(Row("at the maximum: messages a call", meter.messages / calls, ""))
        for method, count in meter.requests.most_common():
            self._report.rows.append(Row(f"  {method}", count / calls, ""))
        for part in ("sign", "journal"):
            self._report.rows.append(Row(f"by the clock: {part}", 1000 * meter.wall[part] / calls, "ms"))

    def _count(self, load: Load) -> None:
        self._ours.add(self._watch.between(load.began + _WARM, load.ended))
        self._errors(load)

    def _errors(self, load: Load) -> None:
        for what, count in load.errors().most_common(5):
            self._report.notes.append(f"{count} failed: {what}")
