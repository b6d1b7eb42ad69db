"""What health says of one lease, from what was seen and decided at its last look. Pure functions of that."""

from __future__ import annotations

from dataclasses import dataclass, field

from market.leases import LeaseFacts, describe
from provisioner.agent.steps import LeaseView, MachineView

__all__ = ["LeaseReport", "lease_report", "machine_line", "unproven_line"]


@dataclass
class LeaseReport:
    """What health says of one lease."""

    state: str
    step: str
    why: str
    machines: dict[int, str] = field(default_factory=dict)
    broken: dict[int, str] = field(default_factory=dict)
    award_to_provision_ms: int | None = None
    due_to_provision_ms: int | None = None
    power: str | None = None
    """Set while the tenant has its machines switched off."""
    unproven: str | None = None
    """Set once half the time is gone in which buyer or committee must confirm a delivery."""


def lease_report(view: LeaseView, now: int, step: str, why: str, power: str | None) -> LeaseReport:
    """The report of a lease at chain time `now`; `power`: what its tenant did to it."""
    report = LeaseReport(describe(view.facts, now), step, why, power=power)
    report.machines = {m.resource: machine_line(m) for m in view.machines}
    report.broken = {m.resource: m.broken for m in view.machines if m.broken}
    report.unproven = unproven_line(view.facts, now)
    return report


def unproven_line(facts: LeaseFacts, now: int) -> str | None:
    """That a delivery is not confirmed though half the time for it is gone, and what comes of it."""
    due = facts.unproven_at
    if due is None or not due - facts.accept_time // 2 <= now < due:
        return None
    waits = now - max(facts.last_delivered_at, facts.committee_at)
    return f"delivered, and {waits} s later neither accepted nor proven; in {due - now} s it is a default"


def machine_line(machine: MachineView) -> str:
    """The state of one machine in a word or a line, for health."""
    if machine.broken:
        return machine.broken
    if machine.blocked:
        return machine.blocked
    if machine.running:
        return f"{machine.running} under way"
    if machine.evidence:
        return "wiped"
    return "up" if machine.ready else ("in the cloud" if machine.in_cloud else "not up")
