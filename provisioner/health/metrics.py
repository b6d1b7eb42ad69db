"""What an agent tells Prometheus: counters kept as things happen, and gauges read from its health when asked.

Labels are few and bounded (outcomes, kinds, plugins, conditions): never a lease, a key, a tenant or a URL.
This module must not contact anything, and asks the agent nothing but what its health document says.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from chain.disk import DiskTrouble
from chain.rpc import CHAIN_AWAY
from market.errors import OcxError, Temporary
from provisioner.agent.operations import Outcome
from provisioner.health.conditions import RULES

__all__ = ["Metrics"]

_LONG = (0.1, 0.5, 1, 2, 5, 10, 30, 60, 120, 300, 600, 1200, 1800, 3600)
_SHORT = (10, 25, 50, 100, 250, 500, 1000, 1500, 2500, 5000, 10_000, 30_000, 60_000)
_PLUGIN_CALLS = ("provision", "release", "look", "inspect")
_ENDPOINT_STATES = ("up", "unreachable", "behind", "wrong-network", "faulty")
_TRANSACTION_STATES = ("pending", "stuck", "replaced")
_MACHINE_STATES = ("gone", "failed", "blocked", "held")


class Metrics:
    """The metrics of one agent, in a registry of their own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._cycles = Counter(
            "ocx_cycles", "Looks at everything, by outcome", ["outcome"], registry=self.registry
        )
        self._steps = Counter(
            "ocx_steps", "Steps begun for leases, by kind", ["kind"], registry=self.registry
        )
        self._seconds = Histogram(
            "ocx_operation_seconds",
            "How long calls took, by plugin (chain: transactions) and kind",
            ["plugin", "kind"],
            buckets=_LONG,
            registry=self.registry,
        )
        self._errors = Counter(
            "ocx_operation_errors",
            "Calls that failed, by plugin, kind and class of error",
            ["plugin", "kind", "error"],
            registry=self.registry,
        )
        self._award = Histogram(
            "ocx_award_to_plugin_ms",
            "Milliseconds from an award's block to the first plugin call",
            buckets=_SHORT,
            registry=self.registry,
        )
        for outcome in ("good", "chain", "disk", "error"):
            self._cycles.labels(outcome)

    def cycle(self, failure: Exception | None) -> None:
        """A cycle ended, well or not."""
        outcome = "good" if failure is None else "error"
        if isinstance(failure, CHAIN_AWAY):
            outcome = "chain"
        elif isinstance(failure, DiskTrouble):
            outcome = "disk"
        self._cycles.labels(outcome).inc()

    def step(self, kind: str) -> None:
        """A step was begun."""
        self._steps.labels(kind).inc()

    def award(self, milliseconds: int) -> None:
        """A lease's first plugin call came so long after its award."""
        self._award.observe(milliseconds)

    def operation(self, outcome: Outcome, plugin: str | None) -> None:
        """A call ended; `plugin` None: it was a transaction."""
        kind = outcome.kind if outcome.kind in _PLUGIN_CALLS or plugin is None else "other"
        labels = plugin or "chain", kind
        self._seconds.labels(*labels).observe(max(0.0, outcome.ended - outcome.started))
        if outcome.error is not None:
            self._errors.labels(*labels, _class_of(outcome.error)).inc()

    def expose(self, document: Callable[[], Mapping[str, Any]]) -> Callable[[], bytes]:
        """What `/metrics` answers with; `document` makes the health document the gauges are read from."""
        self.registry.register(_Gauges(document))
        return lambda: generate_latest(self.registry)


class _Gauges(Collector):
    """The health document as gauges."""

    def __init__(self, document: Callable[[], Mapping[str, Any]]) -> None:
        self._document = document

    def describe(self) -> Iterable[Metric]:
        """Nothing: the agent is not asked before it runs."""
        return []

    def collect(self) -> Iterable[Metric]:
        """All gauges."""
        told = self._document()
        yield from _single(told)
        yield _by(
            "ocx_endpoints", "RPC endpoints by state", "state", told["endpoint_states"], _ENDPOINT_STATES
        )
        yield _by(
            "ocx_transactions",
            "Our transactions that are not mined, by state",
            "status",
            told["transactions"],
            _TRANSACTION_STATES,
        )
        yield _by("ocx_leases", "Open leases by state", "state", told["lease_states"])
        yield _by("ocx_machines_troubled", "Machines by trouble", "state", told["machines"], _MACHINE_STATES)
        yield _by("ocx_operations_running", "Calls under way by kind", "kind", told["running"])
        holding = {item["name"]: 1 for item in told["conditions"]}
        names = [rule.name for rule in RULES]
        yield _by("ocx_condition", "1 while the condition holds", "name", holding, names)


_SINGLE = {
    "ok": ("ocx_ok", "1 if health is ok"),
    "last_good_at": ("ocx_last_good_cycle_timestamp_seconds", "When the last good cycle ended"),
    "head": ("ocx_head_number", "Newest block seen"),
    "head_lag_seconds": ("ocx_head_lag_seconds", "Our clock minus the newest block's time"),
    "clock_offset": ("ocx_clock_offset_seconds", "Our clock minus the chain's when a block came"),
    "operations_hung": ("ocx_operations_hung", "Calls that should have come back"),
    "orphan_count": ("ocx_orphans", "Machines left in a cloud though their lease is over"),
    "oldest_orphan_age": ("ocx_oldest_orphan_age_seconds", "How long the oldest orphan is there"),
    "free_balance": ("ocx_free_balance_microcredits", "Free credits of the organisation"),
    "gas_balance": ("ocx_gas_balance_wei", "What the agent's account can pay for gas"),
    "disk_free": ("ocx_state_disk_free_bytes", "Free bytes on the disk of the state folder"),
    "unforeseen_errors": ("ocx_unforeseen_errors", "Errors nobody foresaw since the start"),
}


def _single(told: Mapping[str, Any]) -> Iterable[Metric]:
    """Gauges without labels; what is not known is left out."""
    for field, (name, text) in _SINGLE.items():
        if told.get(field) is not None:
            yield GaugeMetricFamily(name, text, value=float(told[field]))


def _by(
    name: str, text: str, label: str, counts: Mapping[str, int], always: Iterable[str] = ()
) -> GaugeMetricFamily:
    """A gauge with one label; those named in `always` are there at 0 too."""
    family = GaugeMetricFamily(name, text, labels=[label])
    for value, count in (dict.fromkeys(always, 0) | dict(counts)).items():
        family.add_metric([value], count)
    return family


def _class_of(error: Exception) -> str:
    """What an error asks of whom: wait, act, or mend us."""
    if isinstance(error, Temporary):
        return "temporary"
    return "permanent" if isinstance(error, OcxError) else "unforeseen"
