"""What the demo reports, and whether all of it is as it should be.

Everything is read from the chain, from the clouds and from the agents' health pages when the play is over;
nothing is taken from what the play believes happened.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from chain.contracts.leases import Lease
from chain.exchange import Exchange
from chain.generated import events
from chain.generated.enums import LeaseState
from chain.history import history
from cli.demo import clouds
from cli.demo.cast import PARTIES
from cli.demo.story import Play
from market.billing import amount_up

__all__ = ["make", "problems"]

_OVER = (LeaseState.COMPLETED, LeaseState.TERMINATED)


def make(play: Play) -> dict[str, Any]:
    """The report, as it is written to report.json."""
    exchange = play.observer
    leases = [_lease(play, number) for number in range(1, exchange.leases.count() + 1)]
    after = play.balances()
    return {
        "engine": play.engine,
        "chain_id": exchange.connection.chain_id,
        "seconds": round(play.stage.elapsed(), 1),
        "steps": [asdict(step) for step in play.stage.steps],
        "leases": leases,
        "balances": {"before": play.balances_before, "after": after},
        "conserved": _conserved(exchange, play.balances_before, after),
        "award_to_provision_ms": _award_times(play.stage.folder),
        "sessions": {str(lease): text for lease, text in sorted(play.sessions.items())},
        "machines": clouds.machines(play.labs),
    }


def problems(report: dict[str, Any]) -> list[str]:
    """Everything in a report that is not as it should be, one line each; empty when all is well."""
    found = [] if report["conserved"] else ["credits were made or lost"]
    if len(report["leases"]) != 3:
        found.append(f"there should be three leases, not {len(report['leases'])}")
    found += [problem for lease in report["leases"] for problem in _lease_problems(lease)]
    for lease in report["leases"]:
        if f"lease {lease['id']}" not in report["sessions"].get(str(lease["id"]), ""):
            found.append(f"lease {lease['id']}: no login over SSH")
        if str(lease["id"]) not in report["award_to_provision_ms"]:
            found.append(f"lease {lease['id']}: the agent did not say when it began to provision")
    winners = {lease["provider"] for lease in report["leases"] if lease["request"]}
    if winners != {"north", "south"}:
        found.append(f"the tenders should have been won by north and south, not {sorted(winners)}")
    if "buyer_early" not in {lease["end_reason"] for lease in report["leases"]}:
        found.append("no lease was ended early")
    for name, state in report["machines"].items():
        if state not in clouds.CLEAN:
            found.append(f"the machine {name} is {state}, says its cloud")
    return found


def _lease_problems(lease: dict[str, Any]) -> list[str]:
    name, found = f"lease {lease['id']}", []
    if lease["state"] not in ("completed", "terminated"):
        found.append(f"{name} is {lease['state']}")
    if lease["paid"] + lease["refunded"] != lease["price"]:
        found.append(f"{name}: paid and refunded do not add up to the price")
    if lease["paid"] != min(lease["price"], amount_up(lease["rate_per_hour"], 1, lease["billed_seconds"])):
        found.append(f"{name}: paid is not what the billed seconds cost")
    if lease["paid"] <= 0:
        found.append(f"{name}: nothing was paid")
    if lease["penalty"] or lease["bond_left"]:
        found.append(f"{name}: a penalty was taken or the bond is not free")
    return found


def _lease(play: Play, number: int) -> dict[str, Any]:
    exchange = play.observer
    lease, account = exchange.leases.lease(number), exchange.settlement.account(number)
    reason, fault = exchange.leases.end_of(number)
    provider = _name(play, lease.provider)
    return {
        "id": number,
        "award": lease.award,
        "request": lease.request,
        "offer": lease.offer,
        "provider": provider,
        "buyer": _name(play, lease.buyer),
        "plugin": play.plugin_of(provider),
        "resource": exchange.leases.resources_of(number)[0],
        "rate_per_hour": lease.rate,
        "state": exchange.leases.state_of(number).name.lower(),
        "billed_seconds": _billed_seconds(exchange, lease, number),
        "price": _sum(exchange, events.Funded, number, "price"),
        "paid": _sum(exchange, events.Accrued, number, "amount"),
        "refunded": _sum(exchange, events.PriceRefunded, number, "amount"),
        "penalty": _sum(exchange, events.BondForfeited, number, "amount"),
        "bond_left": account.bond,
        "end_reason": reason.name.lower(),
        "fault": fault.name.lower(),
        "transactions": [
            "0x" + entry.tx_hash.hex() for entry in history(exchange, [exchange.leases], "lease", number)
        ],
    }


def _billed_seconds(exchange: Exchange, lease: Lease, number: int) -> int:
    """From the first delivery to the end, rounded up to the quantum (rule E3); at most the window."""
    first = exchange.settlement.account(number).first_start
    window_end = lease.end * exchange.slot
    quantum = exchange.settlement.quantum()
    seconds = (lease.ended_at or window_end) - first
    return min(-(-seconds // quantum) * quantum, window_end - first)


def _sum(exchange: Exchange, kind: Any, lease: int, name: str) -> int:
    entries = history(exchange, [exchange.settlement], "lease", lease)
    return sum(getattr(entry.event, name) for entry in entries if isinstance(entry.event, kind))


def _conserved(exchange: Exchange, before: dict[str, int], after: dict[str, int]) -> bool:
    """No credit made, lost or left behind: what escrow holds is what it owes, and that is what there was."""
    held = exchange.credits.balance_of(exchange.escrow.address)
    owed = sum(exchange.escrow.free(org) for org in range(len(PARTIES) + 1))
    supply = exchange.credits.total_supply()
    return held == owed == supply == sum(before.values()) == sum(after.values())


def _award_times(folder: Path) -> dict[str, int]:
    """Milliseconds from the award's block to the plugin's call, by lease, from the agents' health pages."""
    times: dict[str, int] = {}
    for path in folder.glob("*/agent/health.json"):
        times |= json.loads(path.read_text("utf-8")).get("award_to_provision_ms", {})
    return times


def _name(play: Play, org: int) -> str:
    return next(name for name, number in play.orgs.items() if number == org)
