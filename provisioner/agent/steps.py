"""What to do next about one lease: a pure decision from the chain's facts, the cloud's word and the clock.

`decide` looks at one moment and names one step; whoever carries it out looks again afterwards. So a step that
was done twice, or half, or by another agent of the same provider, only changes what is seen next time. Every
step is safe to repeat. This module has no clock, contacts nothing and remembers nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from market.leases import Committee, LeaseFacts, LeaseState, state
from market.rounds import Span

__all__ = [
    "CloseReclaim",
    "Deliver",
    "Done",
    "Expire",
    "LeaseView",
    "MachineView",
    "Pay",
    "Provision",
    "Release",
    "RenewFence",
    "Rules",
    "Settle",
    "Sign",
    "Step",
    "TakeOver",
    "Wait",
    "Wipe",
    "decide",
    "operation_key",
    "parse_key",
]


@dataclass(frozen=True, slots=True)
class Sign:
    """Take the lease and its fence (C4, C5)."""


@dataclass(frozen=True, slots=True)
class TakeOver:
    """Take a fence that another key of ours let lapse."""


@dataclass(frozen=True, slots=True)
class RenewFence:
    """Keep the fence while provisioning."""


@dataclass(frozen=True, slots=True)
class Provision:
    """Bring these resources up; one operation each."""

    resources: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Deliver:
    """Tell the chain what is up; `bits` are all that are, those delivered before included."""

    bits: int


@dataclass(frozen=True, slots=True)
class Release:
    """Take these resources down and wipe them; one operation each."""

    resources: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Wipe:
    """Give the chain the evidence."""


@dataclass(frozen=True, slots=True)
class Settle:
    """Draw what is left."""


@dataclass(frozen=True, slots=True)
class Pay:
    """Have the witnesses of a term paid; the last one returns what is left of the fees."""

    term: int


@dataclass(frozen=True, slots=True)
class CloseReclaim:
    """Have the bond of a lease we took back shared out: no verdict can come any more (L5)."""


@dataclass(frozen=True, slots=True)
class Expire:
    """Have the chain record a deadline that was missed."""


@dataclass(frozen=True, slots=True)
class Wait:
    """Nothing to do now; `until`: the chain time from which there may be, None if only an event can tell."""

    reason: str
    until: int | None = None


@dataclass(frozen=True, slots=True)
class Done:
    """Nothing will ever be left to do."""


Step = (
    Sign
    | TakeOver
    | RenewFence
    | Provision
    | Deliver
    | Release
    | Wipe
    | Settle
    | Pay
    | CloseReclaim
    | Expire
    | Wait
    | Done
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """Times in seconds. `margin`: how long before a deadline an act is no longer tried. `deliver_margin`: how
    long before the deadline what is ready is delivered without the rest. The others: see the settings."""

    margin: int = 3
    deliver_margin: int = 30
    setup_wait: int = 60
    orphan_grace: int = 600


@dataclass(frozen=True, slots=True, kw_only=True)
class MachineView:
    """One resource of a lease.

    `known`: a plugin of ours has it. `ready`: provisioned, and its connection is at hand. `running`: the
    plugin call under way. `blocked`: why nothing is tried with it now. `in_cloud`: whether something in the
    cloud carries its key (None: the cloud was not read). `evidence`: the wipe is proven. `orphan_since`:
    since when two readings or more found it in the cloud while its lease was over. `lost`: its cloud has no
    such machine any more. `broken`: what became of a machine that was up, by two readings or more.
    """

    resource: int
    key: str
    known: bool = True
    ready: bool = False
    running: str | None = None
    blocked: str | None = None
    in_cloud: bool | None = None
    evidence: bool = False
    orphan_since: int | None = None
    lost: bool = False
    broken: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaseView:
    """All that is known about one lease at one block; machines stand in the order of the chain's bitmap.

    `has_setup`: the keys that may log in are known. `can_seal`: the buyer has an encryption key. `settled`:
    no money is left to draw. `missing_recorded`: the chain has let undelivered resources go. `unpaid`: the
    first term of a committee that was not paid for; None: all are, or there was none. `bond_waits`: it was
    taken back, and its bond is still to be shared out.
    """

    lease: int
    facts: LeaseFacts
    me: str
    fence_holder: str
    fence_until: int
    fence_time: int
    machines: tuple[MachineView, ...]
    has_setup: bool = False
    can_seal: bool = True
    settled: bool = False
    missing_recorded: bool = False
    unpaid: int | None = None
    bond_waits: bool = False


def operation_key(chain_id: int, leases: str, lease: int, resource: int) -> str:
    """What the cloud's object carries: unique per chain, leases contract, lease and resource."""
    return f"ocx-{chain_id}-{leases.lower().removeprefix('0x')[:8]}-{lease}-{resource}"


def parse_key(key: str, chain_id: int, leases: str) -> tuple[int, int] | None:
    """Lease and resource of a key of this chain and contract, None if it is another's."""
    head, _, tail = key.rpartition("-")
    head, _, lease = head.rpartition("-")
    if head != f"ocx-{chain_id}-{leases.lower().removeprefix('0x')[:8]}":
        return None
    if not (lease.isdecimal() and tail.isdecimal()):
        return None
    return int(lease), int(tail)


def decide(view: LeaseView, now: int, rules: Rules) -> Step:
    """The one next step for a lease at chain time `now`."""
    return _TABLE[state(view.facts, now)](view, now, rules)


def _awarded(view: LeaseView, now: int, rules: Rules) -> Step:
    deadline = view.facts.sign_deadline
    if deadline is None:
        return Wait("the buyer signs first", view.facts.buyer_sign_deadline)
    if now + rules.margin >= deadline:
        return Wait("too late to sign", deadline)
    if unknown := [m for m in view.machines if not m.known]:
        return Wait(f"not signing: no plugin has resource {_names(unknown)}")
    if lost := [m for m in view.machines if m.lost]:
        return Wait(f"not signing: its cloud has lost the machine of resource {_names(lost)}")
    return Sign()


def _signed(view: LeaseView, now: int, rules: Rules) -> Step:
    """From the signature until everything is delivered or its deadline passed."""
    facts = view.facts
    deadline = facts.deliver_deadline or facts.end
    if now + rules.margin >= deadline:
        return Wait("too late to deliver", deadline)
    if now < facts.start:
        return Wait("its window has not begun", facts.start)
    if view.fence_holder != view.me:
        # The holder need not renew before the window begins; it gets the time to do so then.
        lapsed = max(view.fence_until, facts.start + rules.margin) + rules.margin
        if now >= lapsed:
            return TakeOver()
        return Wait(f"{view.fence_holder} holds the fence", lapsed)
    renew_at = view.fence_until - view.fence_time // 2
    if now >= renew_at:
        return RenewFence()
    step = _bring_up(view, now, rules, deadline)
    if isinstance(step, Wait) and (step.until is None or step.until > renew_at):
        return Wait(step.reason, renew_at)
    return step


def _bring_up(view: LeaseView, now: int, rules: Rules, deadline: int) -> Step:
    facts = view.facts
    due = max(facts.start, facts.signed_at)
    if not view.can_seal:
        return Wait("the buyer has no encryption key; it must register one (ocx member encryption-key)")
    setup_until = min(due + rules.setup_wait, (due + deadline) // 2)
    if not view.has_setup and now < setup_until:
        return Wait("the buyer's SSH key is not here yet", setup_until)
    bits = _bits(view, [m for m in view.machines if m.ready and (_given(view, m) or not m.broken)])
    last_call = max(due + 1, deadline - rules.deliver_margin)
    complete = bits == _all(view)
    enough = bits & ~facts.delivered_bits and not facts.delivered_bits & ~bits
    if complete or (enough and now >= last_call):
        return Deliver(bits)
    waiting = [m for m in view.machines if not m.ready or (m.broken and not _given(view, m))]
    todo = [m for m in waiting if m.known and not m.running and not m.blocked]
    # What the buyer has had is never built anew: it may hold data, and an empty twin would hide their loss.
    if todo := [m for m in todo if not _given(view, m) or (m.in_cloud and not m.broken)]:
        return Provision(tuple(m.resource for m in todo))
    return Wait(_why(waiting, "is on its way up"), last_call if now < last_call else deadline)


def _running(view: LeaseView, now: int, rules: Rules) -> Step:
    """Delivered or active."""
    facts = view.facts
    if facts.complete:
        return Wait(_had(view.machines, "the buyer has it"), _next_end(facts))
    recorded = view.missing_recorded or facts.ended_at != 0
    if not recorded and facts.deliver_deadline and now < facts.deliver_deadline:
        return _signed(view, now, rules)
    missing = [m for i, m in enumerate(view.machines) if not facts.delivered_bits >> i & 1]
    step = _clear(missing, now, rules)
    if step is not None:
        return step
    if not recorded:
        return Expire()
    return Wait(_had(view.machines, "the buyer has what was delivered"), _next_end(facts))


def _next_end(facts: LeaseFacts) -> int:
    """When the lease ends if nothing more is said: at its end, or as soon as it counts as unproven."""
    return min(facts.effective_end, facts.unproven_at or facts.effective_end)


def _ending(view: LeaseView, now: int, rules: Rules) -> Step:
    facts = view.facts
    if view.fence_holder != view.me:
        patience = max(view.fence_until + rules.margin, _next_end(facts) + facts.wipe_time // 4)
        if now < patience:
            return Wait(f"{view.fence_holder} holds the fence and wipes", patience)
        return TakeOver()
    waiting = [m for m in view.machines if not m.evidence]
    if not waiting:
        return Wipe()
    if todo := _releasable(waiting):
        return Release(todo)
    return Wait(_why(waiting, "is being wiped"))


def _closed(view: LeaseView, now: int, rules: Rules) -> Step:
    """Over and, where anything was delivered, wiped: what is left are orphans, the record and the money."""
    facts = view.facts
    step = _clear(list(view.machines), now, rules)
    if step is not None:
        return step
    if not facts.delivered_bits:
        return _pay(view, now) if facts.ended_at else Expire()
    if view.settled:
        step = _pay(view, now)
        return CloseReclaim() if isinstance(step, Done) and view.bond_waits else step
    if facts.accepted(now):
        final = facts.final_at
        return Settle() if now >= final else Wait("its last epochs are not final yet", final)
    if facts.unproven_at is not None and now >= facts.unproven_at:
        return Expire()
    waits = "the committee has not proven it yet" if facts.unproven_at else "silence has not accepted it yet"
    return Wait(waits, facts.accept_deadline)


def _pay(view: LeaseView, now: int) -> Step:
    """The last thing: what is left of the fees returns to both sides once the witnesses have theirs.

    They see to it themselves; only if they do not within an epoch, the provider does.
    """
    facts, term = view.facts, view.unpaid
    if term is None or facts.grid is None:
        return Done()
    due = facts.effective_end
    if facts.committee is Committee.DRAWN:
        grid = facts.grid
        last = min(grid.term(term, facts.signed_at).last, grid.epoch_of(facts.effective_end - 1))
        due = grid.appeal_window(Span(last, last)).end + grid.epoch
    return Pay(term) if now >= due else Wait("its witnesses are not paid yet", due)


def _clear(machines: list[MachineView], now: int, rules: Rules) -> Step | None:
    """What to do about machines that may still carry the key of a lease that no longer wants them."""
    left = [m for m in machines if not m.evidence and m.in_cloud is not False]
    if not left:
        return None
    if unread := [m for m in left if m.in_cloud is None]:
        return Wait(f"the cloud was not read, so nothing is known of resource {_names(unread)}")
    proven = [m for m in left if m.orphan_since is not None and now >= m.orphan_since + rules.orphan_grace]
    if todo := _releasable(proven):
        return Release(todo)
    since = [m.orphan_since for m in left if m.orphan_since is not None and m not in proven]
    return Wait(_why(left, "is left in the cloud"), min(since) + rules.orphan_grace if since else None)


def _releasable(machines: list[MachineView]) -> tuple[int, ...]:
    return tuple(m.resource for m in machines if m.known and m.running != "release" and not m.blocked)


def _why(machines: list[MachineView], doing: str) -> str:
    """One line on what holds these machines up."""
    told = []
    for machine in machines:
        if not machine.known:
            told.append(f"no plugin has resource {machine.resource}")
        elif machine.blocked:
            told.append(f"resource {machine.resource}: {machine.blocked}")
    return "; ".join(told) or f"resource {_names(machines)} {doing}"


def _had(machines: Iterable[MachineView], said: str) -> str:
    """What is said of machines the buyer has; what broke is the buyer's to judge, and people's to mend."""
    return "; but ".join([said, *(f"resource {m.resource} {m.broken}" for m in machines if m.broken)])


def _given(view: LeaseView, machine: MachineView) -> bool:
    """Whether the buyer has had the machine."""
    return bool(view.facts.delivered_bits & _bits(view, [machine]))


def _names(machines: list[MachineView]) -> str:
    return ", ".join(str(machine.resource) for machine in machines)


def _bits(view: LeaseView, machines: list[MachineView]) -> int:
    wanted = {machine.resource for machine in machines}
    return sum(1 << i for i, machine in enumerate(view.machines) if machine.resource in wanted)


def _all(view: LeaseView) -> int:
    return (1 << view.facts.count) - 1


_TABLE: dict[LeaseState, Callable[[LeaseView, int, Rules], Step]] = {
    LeaseState.AWARDED: _awarded,
    LeaseState.SIGNED: _signed,
    LeaseState.DELIVERED: _running,
    LeaseState.ACTIVE: _running,
    LeaseState.ENDING: _ending,
    LeaseState.COMPLETED: _closed,
    LeaseState.TERMINATED: _closed,
    LeaseState.DEFAULTED: _closed,
    LeaseState.CANCELLED: _closed,
}
