"""What state a lease is in, derived from its facts and the time (rules T2, C4, L1 to L6).

Nobody sets a state. The chain stores facts (who signed when, what was delivered, how it ended); a deadline
that passed unanswered is a fact too, even before anybody tells the contract, so `state` sees it at once.

This module must not decide about money (`market.billing`) and has no clock: `now` is the caller's, and the
facts must be those of that same moment. Every time in the facts is unix seconds UTC, 0 meaning "not yet".
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum, IntEnum

from market.errors import InvalidInput
from market.rounds import Grid
from market.windows import Window

__all__ = [
    "Committee",
    "EndReason",
    "Ending",
    "Fault",
    "LeaseFacts",
    "LeaseState",
    "describe",
    "ending",
    "fault_of",
    "state",
]


class LeaseState(Enum):
    """The states a user sees; the words are those of the glossary."""

    AWARDED = "awarded"
    SIGNED = "signed"
    DELIVERED = "delivered"
    ACTIVE = "active"
    ENDING = "ending"
    COMPLETED = "completed"
    TERMINATED = "terminated"
    DEFAULTED = "defaulted"
    CANCELLED = "cancelled"

    @property
    def is_open(self) -> bool:
        """Whether anything of the lease can still happen; bond or price may be locked."""
        return self in _OPEN


_OPEN = frozenset(
    {LeaseState.AWARDED, LeaseState.SIGNED, LeaseState.DELIVERED, LeaseState.ACTIVE, LeaseState.ENDING}
)


class EndReason(IntEnum):
    """Why a lease ended, in the contract's order."""

    NONE = 0
    TIME = 1
    BUYER_EARLY = 2
    REJECTED = 3
    CANCELLED = 4
    BUYER_UNSIGNED = 5
    PROVIDER_UNSIGNED = 6
    UNDELIVERED = 7
    UNPROVEN = 8
    BREACH = 9
    RECLAIMED = 10
    PARTNER = 11


class Committee(IntEnum):
    """Whether a lease has a committee of witnesses, in the contract's order (W2).

    None: its SLA promises nothing. Awaited: not drawn yet. Waived: too few witnesses were eligible.
    """

    NONE = 0
    AWAITED = 1
    DRAWN = 2
    WAIVED = 3


class Fault(IntEnum):
    """Whose fault an end is, in the contract's order."""

    NOBODY = 0
    PROVIDER = 1
    BUYER = 2
    PATH = 3


_FINAL = {
    EndReason.TIME: LeaseState.COMPLETED,
    EndReason.BUYER_EARLY: LeaseState.TERMINATED,
    EndReason.REJECTED: LeaseState.TERMINATED,
    EndReason.CANCELLED: LeaseState.CANCELLED,
    EndReason.BUYER_UNSIGNED: LeaseState.DEFAULTED,
    EndReason.PROVIDER_UNSIGNED: LeaseState.DEFAULTED,
    EndReason.UNDELIVERED: LeaseState.DEFAULTED,
    EndReason.UNPROVEN: LeaseState.DEFAULTED,
    EndReason.BREACH: LeaseState.TERMINATED,
    EndReason.RECLAIMED: LeaseState.TERMINATED,
    EndReason.PARTNER: LeaseState.TERMINATED,
}

_WORD = {
    EndReason.REJECTED: "buyer, rejected",
    EndReason.BREACH: "buyer, breach",
    EndReason.RECLAIMED: "provider, reclaimed",
    EndReason.PARTNER: "nobody, partner",
}
_UNACCEPTED = (EndReason.REJECTED, EndReason.UNPROVEN)
"""Ends after which nobody accepts or proves any more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaseFacts:
    """The contract's record of one lease.

    Times are unix seconds UTC, 0 if it has not happened; bits are bitmaps over the lease's resources.
    `sign_time`, `deliver_time`, `accept_time` and `wipe_time` are the terms, in seconds, `grid` the epochs
    of the witnesses, `committee_at` when it was known whether there is a committee. Without a `fault` the
    end reason says whose it is.
    """

    created_at: int
    start: int
    end: int
    count: int
    sign_time: int
    deliver_time: int
    accept_time: int
    wipe_time: int
    policy_both: bool = False
    all_or_nothing: bool = False
    buyer_signed_at: int = 0
    signed_at: int = 0
    delivered_bits: int = 0
    accepted_bits: int = 0
    last_delivered_at: int = 0
    ended_at: int = 0
    end_reason: EndReason = EndReason.NONE
    fault: Fault | None = None
    wiped_at: int = 0
    wipe_missed: bool = False
    committee: Committee = Committee.NONE
    committee_at: int = 0
    grid: Grid | None = None

    def __post_init__(self) -> None:
        """Refuse facts that contradict each other."""
        problem = next(self._contradictions(), None)
        if problem:
            raise InvalidInput(
                f"these lease facts cannot be: {problem}", hint="read the lease from the chain again"
            )

    def _contradictions(self) -> Iterator[str]:
        if self.start >= self.end:
            yield "start is not before end"
        if self.count <= 0:
            yield "no resources"
        if not 0 <= self.delivered_bits < 1 << self.count:
            yield "delivered bits beyond the count"
        if self.accepted_bits & ~self.delivered_bits:
            yield "accepted bits that were not delivered"
        if bool(self.delivered_bits) != bool(self.last_delivered_at):
            yield "delivered bits and delivery time disagree"
        if bool(self.ended_at) != (self.end_reason is not EndReason.NONE):
            yield "end time and end reason disagree"
        if bool(self.committee_at) != (self.committee in (Committee.DRAWN, Committee.WAIVED)):
            yield "the committee and its time disagree"
        if self.committee is not Committee.NONE and self.grid is None:
            yield "a committee without epochs"

    @property
    def buyer_sign_deadline(self) -> int | None:
        """When the buyer must have signed, never after the end; None if its signature is not needed."""
        return self._sign_by(self.created_at) if self.policy_both else None

    @property
    def sign_deadline(self) -> int | None:
        """When the provider must have signed, never after the end; None while it is the buyer's turn (C4)."""
        if not self.policy_both:
            return self._sign_by(self.created_at)
        return self._sign_by(self.buyer_signed_at) if self.buyer_signed_at else None

    def _sign_by(self, since: int) -> int:
        return min(since + self.sign_time, self.end)

    @property
    def deliver_deadline(self) -> int | None:
        """When everything must be delivered, never after the end; None before the provider signed (L1)."""
        if not self.signed_at:
            return None
        return min(max(self.start, self.signed_at) + self.deliver_time, self.end)

    @property
    def complete(self) -> bool:
        """Whether every resource was delivered."""
        return self.delivered_bits.bit_count() == self.count

    @property
    def accept_deadline(self) -> int | None:
        """When the time to accept is over: then silence accepts, or, where a committee had that time, the
        delivery is unproven; None before anything was delivered (L3).

        While an all-or-nothing lease is incomplete, the time starts when it is known whether it will be. It
        does not run while a committee may still be drawn, which is until the lease's end.
        """
        if not self.last_delivered_at:
            return None
        waits = self.all_or_nothing and not self.complete
        start = (self.deliver_deadline if waits else None) or self.last_delivered_at
        deadline = max(start, self.committee_at) + self.accept_time
        return max(deadline, self.effective_end) if self.committee is Committee.AWAITED else deadline

    def rejectable(self, now: int) -> bool:
        """Whether the buyer may refuse what is delivered (L4): before it is accepted or the lease ends.

        Where there is or may be a committee, not before the window begins:
        a refusal that costs nothing would let a buyer try lease after lease until it likes the seats.
        """
        if not self.delivered_bits or self.ended_at or self.accepted(now):
            return False
        if self.unproven_at is not None and now >= self.unproven_at:
            return False
        return now >= self.start or self.committee in (Committee.NONE, Committee.WAIVED)

    @property
    def effective_end(self) -> int:
        """When the lease ended or will end, by what is recorded."""
        return self.ended_at or self.end

    def accepted(self, now: int) -> bool:
        """Whether all that was delivered is accepted: by the buyer, the committee, or silence (L2, L3)."""
        deadline = self.accept_deadline
        if deadline is None:
            return False
        if self.accepted_bits == self.delivered_bits:
            return True
        return not self._must_be_proven and now >= deadline

    def acceptable(self, now: int) -> bool:
        """Whether buyer or committee may still say that what is delivered is there."""
        deadline = self.accept_deadline
        return deadline is not None and now < deadline and self.end_reason not in _UNACCEPTED

    @property
    def unproven_at(self) -> int | None:
        """When the delivery counts as unproven unless somebody accepts or proves it; None if never."""
        open_ = self.accepted_bits != self.delivered_bits and self.end_reason not in _UNACCEPTED
        return self.accept_deadline if open_ and self._must_be_proven else None

    @property
    def _must_be_proven(self) -> bool:
        """Whether a committee was drawn in time (L3).

        One drawn after the delivery, and so late that the lease ends before the time to accept is over, is as
        good as none: an honest delivery must not become a default that its provider could not prevent.
        """
        if self.committee is not Committee.DRAWN:
            return False
        in_time = self.committee_at + self.accept_time <= self.effective_end
        return in_time or self.committee_at <= (self.last_delivered_at or 0)

    @property
    def counts_from(self) -> int:
        """From when on its rounds count for a committee."""
        return max(self.start, self.last_delivered_at)

    def final_until(self, now: int) -> int:
        """Up to which second no verdict can change what accrued: what may be drawn (E5)."""
        until = self.effective_end
        if self.grid is None or not self._may_be_judged(now):
            return min(now, until)
        if self.counts_from >= until:
            return self.counts_from
        return self.grid.final_until(Window(self.counts_from, until), now)

    @property
    def final_at(self) -> int:
        """When all of the lease is final, so that the last of its price can be drawn."""
        until = self.effective_end
        if self.grid is None or not self._may_be_judged(until) or self.counts_from >= until:
            return until
        last = self.grid.span_of(self.grid.epoch_of(until - 1), Window(self.counts_from, until))
        return self.grid.appeal_window(last).end

    def _may_be_judged(self, now: int) -> bool:
        awaited = self.committee is Committee.AWAITED and now < self.effective_end
        return awaited or self.committee is Committee.DRAWN


@dataclass(frozen=True, slots=True)
class Ending:
    """How a lease ended: when (unix seconds UTC), why, whose fault, and whether the chain has recorded it."""

    at: int
    reason: EndReason
    fault: Fault
    recorded: bool


def fault_of(reason: EndReason) -> Fault:
    """Whose fault an end for that reason is (L5)."""
    if reason is EndReason.BUYER_UNSIGNED:
        return Fault.BUYER
    providers = EndReason.PROVIDER_UNSIGNED <= reason <= EndReason.RECLAIMED
    return Fault.PROVIDER if providers else Fault.NOBODY


def ending(facts: LeaseFacts, now: int) -> Ending | None:
    """How the lease ended, or None if not by `now`. At a deadline's exact second it is too late (T2).

    A delivery that turns out unproven is the end, whatever was recorded before (L3).
    """
    if facts.unproven_at is not None and facts.unproven_at <= now:
        at = min(facts.unproven_at, facts.effective_end)
        return Ending(at, EndReason.UNPROVEN, Fault.PROVIDER, recorded=False)
    if facts.ended_at and facts.ended_at <= now:
        fault = fault_of(facts.end_reason) if facts.fault is None else facts.fault
        return Ending(facts.ended_at, facts.end_reason, fault, recorded=True)
    derived = _unsigned(facts) or _undelivered(facts) or _time_over(facts)
    return derived if derived is not None and derived.at <= now else None


def _unsigned(facts: LeaseFacts) -> Ending | None:
    """What a missing signature leads to, whenever that may be."""
    if facts.signed_at:
        return None
    if facts.sign_deadline is not None:
        return Ending(facts.sign_deadline, EndReason.PROVIDER_UNSIGNED, Fault.PROVIDER, recorded=False)
    if facts.buyer_sign_deadline is not None:
        return Ending(facts.buyer_sign_deadline, EndReason.BUYER_UNSIGNED, Fault.BUYER, recorded=False)
    return None


def _undelivered(facts: LeaseFacts) -> Ending | None:
    """What happens if nothing at all is delivered."""
    if facts.delivered_bits or facts.deliver_deadline is None:
        return None
    return Ending(facts.deliver_deadline, EndReason.UNDELIVERED, Fault.PROVIDER, recorded=False)


def _time_over(facts: LeaseFacts) -> Ending:
    """The calm end: the window is over."""
    return Ending(facts.end, EndReason.TIME, Fault.NOBODY, recorded=False)


def state(facts: LeaseFacts, now: int) -> LeaseState:
    """The lease's state at `now`."""
    over = ending(facts, now)
    if over is not None:
        if facts.delivered_bits and not facts.wiped_at:
            return LeaseState.ENDING
        if over.reason is EndReason.PARTNER and not facts.delivered_bits:
            return LeaseState.CANCELLED
        return _FINAL[over.reason]
    if not facts.signed_at:
        return LeaseState.AWARDED
    if not facts.delivered_bits:
        return LeaseState.SIGNED
    return LeaseState.ACTIVE if facts.accepted(now) else LeaseState.DELIVERED


def describe(facts: LeaseFacts, now: int) -> str:
    """The state with its cause, such as `terminated(buyer, rejected)` or `defaulted(provider)`."""
    current, over = state(facts, now), ending(facts, now)
    if over is not None and current is LeaseState.TERMINATED:
        return f"terminated({_WORD.get(over.reason, 'buyer, early')})"
    if over is not None and current is LeaseState.DEFAULTED:
        return f"defaulted({over.fault.name.lower()})"
    return current.value
