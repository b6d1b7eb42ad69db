"""What an operator sees of a running witness: one JSON document and its metrics, on a loopback port.

Made from copies of what the node holds; no chain and no machine is asked, so it answers when they do not. It
says nothing of tenants: no addresses, and nothing about single leases. What the other half of the node has to
say (ticks, claims, the chain) comes in as more fields and conditions. Labels of metrics are few and bounded.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from witness.clock import Clock, State
from witness.log import Log
from witness.measure import Engine, Gauges

__all__ = ["Condition", "Health"]

_DISK_FULL, _DISK_LOW = 32 << 20, 1 << 30
_STEPS = ("up", "provider", "buyer", "path")


@dataclass(frozen=True, slots=True)
class Condition:
    """Something that is not as it should be; `ill`: rounds or ticks are being lost by it."""

    name: str
    message: str
    hint: str
    ill: bool = False


class Health:
    """Makes the document and the metrics of one node.

    `more` gives further fields (bounded; numbers become gauges `ocx_witness_<name>`), `conditions` further
    conditions; both are asked from the page's threads.
    """

    def __init__(
        self,
        engine: Engine,
        log: Log,
        clock: Clock,
        *,
        late_ms: int,
        more: Callable[[], Mapping[str, Any]] = dict,
        conditions: Callable[[], Sequence[Condition]] = tuple,
    ) -> None:
        self._engine, self._log, self._clock, self._late_ms = engine, log, clock, late_ms
        self._more, self._conditions = more, conditions
        self._registry = CollectorRegistry()
        self._registry.register(_Gauges(self))

    def document(self) -> dict[str, Any]:
        """The document; `ok` is False while a condition is ill."""
        gauges, reading, free = self._engine.gauges(), self._clock.read(), self._free()
        found = [*self._own(gauges, free), *self._conditions()]
        return {
            **self._more(),
            "ok": not any(item.ill for item in found),
            "conditions": [asdict(item) for item in found],
            "machines": gauges.targets,
            "measuring": gauges.running,
            "started": gauges.started,
            "measured": {"/".join(key): count for key, count in sorted(gauges.outcomes.items())},
            "lost": gauges.lost,
            "failed": gauges.failed,
            "worst_late_ms": gauges.worst_late_ms,
            "references": sum(self._engine.reach.last().values()),
            "references_asked": len(self._engine.reach.last()),
            "clock": {"state": reading.state.value, "low": reading.low, "high": reading.high},
            "log": {"committed": self._log.committed, "syncs": self._log.synced},
            "disk_free": free,
            "at": int(self._clock.wall()),
        }

    def metrics(self) -> bytes:
        """What `/metrics` answers."""
        return generate_latest(self._registry)

    def collect(self) -> Iterable[Metric]:
        """All metrics."""
        told, gauges = self.document(), self._engine.gauges()
        for name, text in _SINGLE.items():
            yield GaugeMetricFamily(f"ocx_witness_{name}", text, value=float(told[name]))
        yield from _counts(gauges)
        for name, value in self._more().items():
            if isinstance(value, (int, float)):
                yield GaugeMetricFamily(f"ocx_witness_{name}", name.replace("_", " "), value=float(value))
        kept = told["log"]
        yield CounterMetricFamily("ocx_witness_committed", "Measurements committed", value=kept["committed"])
        yield CounterMetricFamily("ocx_witness_syncs", "Syncs of the log", value=kept["syncs"])
        for side in ("low", "high"):
            if told["clock"][side] is not None:
                yield GaugeMetricFamily(
                    f"ocx_witness_clock_offset_{side}_seconds",
                    "Our clock minus the chain's, this bound",
                    value=told["clock"][side],
                )
        family = GaugeMetricFamily("ocx_witness_condition", "1 while the condition holds", labels=["name"])
        for condition in told["conditions"]:
            family.add_metric([condition["name"]], 1)
        yield family

    def _own(self, gauges: Gauges, free: int) -> Iterable[Condition]:
        reading = self._clock.read()
        if reading.state is State.WRONG:
            yield Condition(
                "clock-wrong",
                f"our clock is off by about {reading.offset or 0:.1f} s, say the blocks; nothing is measured",
                "Set the clock (chrony or the like), unless the chain's endpoints are wrong.",
                ill=True,
            )
        if reading.state is State.UNKNOWN:
            yield Condition(
                "clock-unknown",
                "too few new blocks were seen to trust our clock; nothing is measured",
                "Wait for some blocks; if none come, see whether the chain goes on.",
            )
        if gauges.worst_late_ms > self._late_ms:
            yield Condition(
                "overloaded",
                f"measurements began up to {gauges.worst_late_ms} ms late; such rounds stay unmeasured",
                "Give the node more of a processor, or more concurrency, or sit in fewer committees.",
            )
        asked = self._engine.reach.last()
        if asked and not any(asked.values()):
            yield Condition(
                "cut-off",
                "no reference answers: our own network does not work, so no machine is called down",
                "See to the network of this node.",
                ill=True,
            )
        if free < _DISK_LOW:
            yield Condition(
                "disk-full" if free < _DISK_FULL else "disk-low",
                f"{free >> 20} MiB are free where the log is",
                "Make room on the disk of state_dir.",
                ill=free < _DISK_FULL,
            )

    def _free(self) -> int:
        return shutil.disk_usage(self._log.path.parent).free


_SINGLE = {
    "ok": "1 if health is ok",
    "machines": "Machines that are measured",
    "measuring": "Measurements under way",
    "worst_late_ms": "Worst lateness of this minute and the last, milliseconds",
    "references": "References that answered when last asked",
    "disk_free": "Free bytes where the log is",
}


def _counts(gauges: Gauges) -> Iterable[Metric]:
    family = CounterMetricFamily(
        "ocx_witness_measured", "Measurements that count, by outcome and reason", labels=["outcome", "reason"]
    )
    for outcome in _STEPS:
        family.add_metric([outcome, ""], 0)
    for (outcome, reason), count in gauges.outcomes.items():
        family.add_metric([outcome, reason], count)
    yield family
    yield CounterMetricFamily("ocx_witness_lost", "Measurements not in the log", value=gauges.lost)
    yield CounterMetricFamily("ocx_witness_failed", "Measurements that broke", value=gauges.failed)
    total, buckets = 0, []
    for bound, count in gauges.lateness.items():
        total += count
        buckets.append(("+Inf" if bound == float("inf") else str(bound / 1000), total))
    yield HistogramMetricFamily(
        "ocx_witness_late_seconds", "How late measurements began", buckets=buckets, sum_value=None
    )


class _Gauges(Collector):
    def __init__(self, health: Health) -> None:
        self._health = health

    def describe(self) -> Iterable[Metric]:
        """Nothing: the node is not asked before it runs."""
        return []

    def collect(self) -> Iterable[Metric]:
        return self._health.collect()
