"""What the demo reports, and whether all of it is as it should be.

Everything is read from the chain, from the clouds and from the agents' health pages when the play is over;
nothing is taken from what the play believes happened.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from chain.contracts.leases import Lease
from chain.exchange import Exchange
from chain.generated import events
from chain.generated.enums import LeaseState
from chain.history import history
from chain.power import Action
from chain.published import billed, judges
from chain.recompute import Checked, recompute
from cli.demo import clouds
from cli.demo.cast import PARTIES, WITNESSES
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
        "engine": play.chain.name,
        "chain_id": exchange.connection.chain_id,
        "seconds": round(play.stage.elapsed(), 1),
        "steps": [asdict(step) for step in play.stage.steps],
        "leases": leases,
        "answers": {str(lease): said for lease, said in play.witnesses.answers.items()},
        "witnesses": [_witness(play, name, leases) for name in WITNESSES],
        "balances": {"before": play.balances_before, "after": after},
        "conserved": _conserved(exchange, play.balances_before, after, play.witnesses.stakes(play.orgs)),
        "award_to_provision_ms": _award_times(play.stage.folder),
        "sessions": {str(lease): text for lease, text in sorted(play.tenancy.sessions.items())},
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
    found += _witness_problems(report)
    for name, state in report["machines"].items():
        if state not in clouds.CLEAN:
            found.append(f"the machine {name} is {state}, says its cloud")
    return found


def _lease_problems(lease: dict[str, Any]) -> list[str]:
    name, found = f"lease {lease['id']}", []
    if lease["state"] not in ("completed", "terminated"):
        found.append(f"{name} is {lease['state']}")
    due = lease["paid"] + lease["sla_penalty"]
    if due + lease["refunded"] != lease["price"]:
        found.append(f"{name}: paid, given back and refunded do not add up to the price")
    if due != min(lease["price"], amount_up(lease["rate_per_hour"], 1, lease["billed_seconds"])):
        found.append(f"{name}: paid and given back are not what the billed seconds cost")
    if lease["paid"] <= 0:
        found.append(f"{name}: nothing was paid")
    if lease["penalty"] or lease["bond_left"]:
        found.append(f"{name}: a penalty was taken or the bond is not free")
    return found


def _witness_problems(report: dict[str, Any]) -> list[str]:
    """An outage costs its provider; what a buyer wishes costs nobody; whoever watches is paid."""
    found = []
    for lease in report["leases"]:
        name, watched = f"lease {lease['id']}", lease["request"] != 0
        if bool(lease["sla"]) != watched:
            found.append(f"{name} should have {'an' if watched else 'no'} SLA")
        found += [f"{name}: {why}" for row in lease["verdicts"] for why in row["problems"]]
        hurt = lease["provider"] == "north" and watched
        if hurt and not lease["sla_penalty"]:
            found.append(f"{name}: two epochs without power cost its provider nothing")
        if hurt and report["answers"].get(str(lease["id"])) != "no":
            found.append(f"{name}: asked whether it was up all the time, the witnesses did not say no")
        if not hurt and lease["sla_penalty"]:
            found.append(f"{name}: its provider was not to blame, and paid {lease['sla_penalty']}")
        if watched and not hurt and "off" not in lease["switched"]:
            found.append(f"{name}: the chain does not know that its buyer switched it off")
    for witness in report["witnesses"]:
        if not witness["pay"]:
            found.append(f"{witness['name']} was not paid")
    return found


def _lease(play: Play, number: int) -> dict[str, Any]:
    exchange = play.observer
    lease, account = exchange.leases.lease(number), exchange.settlement.account(number)
    reason, fault = exchange.leases.end_of(number)
    provider = play.name_of(lease.provider)
    return {
        "id": number,
        "award": lease.award,
        "request": lease.request,
        "offer": lease.offer,
        "provider": provider,
        "buyer": play.name_of(lease.buyer),
        "plugin": play.plugin_of(provider),
        "resource": exchange.leases.resources_of(number)[0],
        "rate_per_hour": lease.rate,
        "state": exchange.leases.state_of(number).name.lower(),
        "billed_seconds": _billed_seconds(exchange, lease, number),
        "price": _sum(exchange, events.Funded, number, "price"),
        "paid": _sum(exchange, events.Accrued, number, "amount"),
        "refunded": _sum(exchange, events.PriceRefunded, number, "amount"),
        "penalty": _sum(exchange, events.BondForfeited, number, "amount"),
        "sla": lease.sla,
        "sla_penalty": _sum(exchange, events.PenaltyPaid, number, "amount"),
        "verdicts": _verdicts(exchange, lease, number),
        "switched": _switched(exchange, number),
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


def _verdicts(exchange: Exchange, lease: Lease, number: int) -> list[dict[str, Any]]:
    """Every span of a lease with an SLA, worked out again from what the witnesses published."""
    window = billed(lease, exchange.slot) if lease.sla else None
    if window is None:
        return []
    grid = judges(exchange)[0].grid()
    return [_verdict(recompute(exchange, number, 0, span.last)) for span in grid.spans(window)]


def _verdict(found: Checked) -> dict[str, Any]:
    best, grid = found.best, found.case.grid
    asked = any(grid.touched(epoch, _times(found.case.power)) for epoch in best.span.epochs)
    fault = "provider" if best.ppm else "buyer" if asked else "nobody"
    return {
        "epochs": list(best.span.epochs),
        "judged": best.judged,
        "down": best.counted,
        "availability_ppm": best.availability_ppm if best.determined else None,
        "penalty_ppm": 0 if found.verdict is None else found.verdict.penalty_ppm,
        "penalty": 0 if found.verdict is None else found.verdict.penalty,
        "fault": fault,
        "why": list(best.why),
        "problems": list(found.problems),
    }


def _times(power: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """Recorded times without power; one that nobody ended goes on."""
    return [(begin, until or 1 << 40) for begin, until in power]


def _switched(exchange: Exchange, lease: int) -> list[str]:
    """The buyer's power requests that the chain has, in order."""
    _, verdicts = judges(exchange)
    entries = history(exchange, [verdicts], "lease", lease, kinds=[events.PowerRecorded])
    asked = [entry.event for entry in entries]
    return [Action(event.action).name.lower() for event in asked if isinstance(event, events.PowerRecorded)]


def _witness(play: Play, name: str, leases: list[dict[str, Any]]) -> dict[str, Any]:
    """What a witness did and got: complete ticks, pay by lease, fines."""
    exchange, org = play.observer, play.orgs[name]
    witnesses, verdicts = judges(exchange)
    record = witnesses.witness(org)
    due = exchange.now() // witnesses.epoch() - 2  # those before it had their time
    paid = history(exchange, [verdicts], "org", org, kinds=[events.WitnessPaid])
    fined = history(exchange, [witnesses], "org", org, kinds=[events.TickMissed])
    pay = {lease["id"]: 0 for lease in leases if lease["sla"]}
    for entry in paid:
        if isinstance(entry.event, events.WitnessPaid):
            pay[entry.event.lease] += entry.event.amount
    return {
        "name": name,
        "org": org,
        "stake": record.stake,
        "epochs": max(0, due - record.joined),
        "ticked": witnesses.ticks(org, record.joined, max(record.joined, due)),
        "pay": sum(pay.values()),
        "pay_by_lease": {str(lease): amount for lease, amount in pay.items()},
        "fined": sum(entry.event.fine for entry in fined if isinstance(entry.event, events.TickMissed)),
    }


def _conserved(
    exchange: Exchange, before: dict[str, int], after: dict[str, int], stakes: dict[str, int]
) -> bool:
    """No credit made, lost or left behind: what escrow holds is what it owes, and that is what there was."""
    held = exchange.credits.balance_of(exchange.escrow.address)
    owed = sum(exchange.escrow.free(org) for org in range(len(PARTIES) + 1)) + sum(stakes.values())
    supply = exchange.credits.total_supply()
    return held == owed == supply == sum(before.values()) == sum(after.values())


def _award_times(folder: Path) -> dict[str, int]:
    """Milliseconds from the award's block to the plugin's call, by lease, from the agents' health pages."""
    times: dict[str, int] = {}
    for path in folder.glob("*/agent/health.json"):
        times |= json.loads(path.read_text("utf-8")).get("award_to_provision_ms", {})
    return times
