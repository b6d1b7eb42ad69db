"""What an operator sees of a running agent: one JSON document, on a loopback port and in a file.

Made from copies of what the agent holds; no chain or cloud is asked, so it answers when they do not. It says
nothing of tenants' machines besides their numbers and keys of operation.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from daemons.secrets import redact
from provisioner.agent.loop import Agent
from provisioner.agent.vitals import disk_free
from provisioner.health.conditions import Facts

__all__ = ["facts", "report", "write"]

_STALE = 30.0


def facts(agent: Agent, stuck: int = 0) -> Facts:
    """What the agent knows of itself, copied; `stuck`: transactions that are not mined for long."""
    ticks = agent.monotonic()
    reports = agent.reports.copy()
    return Facts(
        failure=agent.cycle_failure,
        idle=round(ticks - agent.last_good, 3) if agent.last_good else None,
        patience=max(_STALE, 10 * agent.settings.cycle),
        endpoints=agent.exchange.rpc.endpoints(),
        clock_offset=agent.vitals.clock_offset,
        disk_free=disk_free(agent.settings.state_dir),
        unread=agent.clouds.unread(),
        refusing=agent.clouds.refusing(),
        hung=agent.operations.hung(),
        troubles=agent.retries.troubles(),
        broken=[(n, resource, what) for n, item in reports.items() for resource, what in item.broken.items()],
        unproven=[(n, item.unproven) for n, item in reports.items() if item.unproven],
        held=list(agent.vitals.held),
        orphans=len(agent.orphans()),
        strangers=len(agent.sightings.strangers),
        stuck=stuck,
        gas_balance=agent.vitals.gas_balance,
    )


def report(agent: Agent, now: float) -> dict[str, Any]:
    """The document; `ok` is False while a condition holds that puts leases in danger (`Rule.ill`)."""
    transactions = _transactions(agent)
    known = facts(agent, transactions["stuck"])
    conditions = agent.conditions.update(known, now)
    unix = now - agent.monotonic()  # what turns the agent's clock into unix seconds
    head, leases = agent.head, agent.snapshot()
    orphans = agent.orphans()
    return {
        "ok": not any(item.ill for item in conditions),
        "conditions": [asdict(item) for item in conditions],
        "account": agent.address,
        "organisation": agent.org,
        "cycles": agent.cycles,
        "last_good_cycle_age": known.idle,
        "last_good_at": None if known.idle is None else int(now - known.idle),
        "cycle_error": None if known.failure is None else str(known.failure),
        "head": head.number if head else None,
        "head_lag_seconds": round(now - head.timestamp, 3) if head else None,
        "clock_offset": known.clock_offset,
        "endpoints": known.endpoints,
        "endpoint_states": Counter(item["state"] for item in known.endpoints),
        "transactions": transactions,
        "leases": leases,
        "lease_states": Counter(item["state"].partition("(")[0] for item in leases),
        "machines": _machines(known),
        "tenders": agent.tenders(),
        "award_to_provision_ms": {
            lease: award for lease, (award, _) in sorted(agent.first_calls.copy().items())
        },
        "running": Counter(item.kind for item in agent.operations.all()),
        "operations_hung": len(known.hung),
        "hung": [
            {
                "operation": f"{item.kind} {item.key}",
                "hung_since": int(unix + item.hung_at),
                "since": int(unix + item.since),
            }
            for item in known.hung
        ],
        "errors": [
            {
                "what": key,
                "message": item.message,
                "times": item.times,
                "needs_a_person": item.retry_at is None,
            }
            for key, item in known.troubles.items()
        ],
        "unforeseen_errors": agent.retries.unforeseen,
        "strangers": sorted(agent.sightings.strangers),
        "orphan_count": len(orphans),
        "oldest_orphan_age": head.timestamp - min(orphans.values()) if head and orphans else 0,
        "held": [asdict(item) for item in known.held],
        "free_balance": agent.vitals.free_balance,
        "gas_balance": known.gas_balance,
        "disk_free": known.disk_free,
        "at": int(now),
    }


def _transactions(agent: Agent) -> dict[str, int]:
    """How many of our transactions are not mined, of these how many for long, and how many were replaced."""
    patience = max(60.0, 30 * agent.exchange.connection.block_time)
    live = agent.journal.live()
    now = agent.clock()
    return {
        "pending": len(live),
        "stuck": sum(1 for entry in live if now - entry.created_at > patience),
        "replaced": sum(1 for entry in live if len(entry.attempts) > 1),
    }


def _machines(known: Facts) -> dict[str, int]:
    told = [what for _, _, what in known.broken]
    blocked = [key for key, item in known.troubles.items() if key.startswith("ocx-") and not item.retry_at]
    return {
        "gone": sum(what.startswith("is gone") for what in told),
        "failed": sum(what.startswith("failed") for what in told),
        "blocked": len(blocked),
        "held": len(known.held),
    }


def write(paths: Sequence[Path], document: dict[str, Any]) -> None:
    """Put the document into these files, each whole or not at all."""
    text = redact(json.dumps(document, sort_keys=True)) + "\n"  # indented it takes ten times as long
    for path in paths:
        temporary = path.with_name(f".{path.name}.new")
        temporary.write_text(text, "utf-8")
        os.replace(temporary, path)
