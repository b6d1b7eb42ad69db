"""What state a lease is in, derived from its facts and the time (rules T2, C4, L1 to L6).

Nobody sets a state. The chain stores facts (who signed when, what was delivered, how it ended); a deadline
that passed unanswered is a fact too, even before anybody tells the contract, so `state` sees it at once.

This module must not decide about money (`market.billing`) and has no clock: `now` is the caller's, and the
facts must be those of that same moment. Every time in the facts is unix seconds UTC, 0 meaning "not yet".
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import Enum, IntEnum

from market.errors import InvalidInput
from market.windows import MAX_TIME

__all__ = [
    "EndReason",
    "Ending",
    "Fault",
    "LeaseFacts",
    "LeaseState",
    "describe",
    "ending",
    "fault_of",
    "state",
    "why",
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
}

_REASON_TEXT = {
    EndReason.TIME: "its window is over",
    EndReason.BUYER_EARLY: "the buyer ended it early",
    EndReason.REJECTED: "the buyer rejected the delivery",
    EndReason.CANCELLED: "it was cancelled before delivery",
    EndReason.BUYER_UNSIGNED: "the buyer did not sign in time",
    EndReason.PROVIDER_UNSIGNED: "the provider did not sign in time",
    EndReason.UNDELIVERED: "the provider did not deliver in time",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaseFacts:
    """The contract's record of one lease.

    Times are unix seconds UTC, 0 if it has not happened; bits are bitmaps over the lease's resources.
    `sign_time`, `deliver_time`, `accept_time` and `wipe_time` are the terms, in seconds. Without a `fault`
    the end reason says whose it is.
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
        """From when silence is acceptance; None before anything was delivered (L3).

        While an all-or-nothing lease is incomplete, the time starts when it is known whether it will be.
        """
        if not self.last_delivered_at:
            return None
        waits = self.all_or_nothing and not self.complete
        start = (self.deliver_deadline if waits else None) or self.last_delivered_at
        return start + self.accept_time

    @property
    def effective_end(self) -> int:
        """When the lease ended or will end, by what is recorded."""
        return self.ended_at or self.end

    def accepted(self, now: int) -> bool:
        """Whether all that was delivered is accepted, by the buyer or by silence (L3)."""
        deadline = self.accept_deadline
        return deadline is not None and (self.accepted_bits == self.delivered_bits or now >= deadline)


@dataclass(frozen=True, slots=True)
class Ending:
    """How a lease ended: when (unix seconds UTC), why, whose fault, and whether the chain has recorded it."""

    at: int
    reason: EndReason
    fault: Fault
    recorded: bool


def fault_of(reason: EndReason) -> Fault:
    """Whose fault an end for that reason is (L5)."""
    if reason in (EndReason.PROVIDER_UNSIGNED, EndReason.UNDELIVERED):
        return Fault.PROVIDER
    return Fault.BUYER if reason is EndReason.BUYER_UNSIGNED else Fault.NOBODY


def ending(facts: LeaseFacts, now: int) -> Ending | None:
    """How the lease ended, or None if not by `now`. At a deadline's exact second it is too late (T2)."""
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
        return f"terminated(buyer, {'rejected' if over.reason is EndReason.REJECTED else 'early'})"
    if over is not None and current is LeaseState.DEFAULTED:
        return f"defaulted({over.fault.name.lower()})"
    return current.value


def why(facts: LeaseFacts, now: int) -> list[str]:
    """One line per fact or deadline that makes the state what it is, oldest first, for people to read."""
    lines = [f"awarded at {_iso(facts.created_at)} for {_iso(facts.start)} to {_iso(facts.end)}"]
    lines += _why_signed(facts, now)
    if facts.signed_at:
        lines += _why_delivered(facts, now)
    if facts.delivered_bits:
        lines += _why_accepted(facts, now)
    lines += _why_ended(facts, now)
    return lines


def _why_signed(facts: LeaseFacts, now: int) -> Iterator[str]:
    if facts.policy_both and facts.buyer_signed_at:
        yield f"the buyer signed at {_iso(facts.buyer_signed_at)}"
    elif facts.buyer_sign_deadline is not None:
        yield f"the buyer has not signed; {_until(facts.buyer_sign_deadline, now)}"
        return
    if facts.signed_at:
        yield f"the provider signed at {_iso(facts.signed_at)}"
    elif facts.sign_deadline is not None:
        yield f"the provider has not signed; {_until(facts.sign_deadline, now)}"


def _why_delivered(facts: LeaseFacts, now: int) -> Iterator[str]:
    done = facts.delivered_bits.bit_count()
    if done:
        yield f"{done} of {facts.count} delivered, the last at {_iso(facts.last_delivered_at)}"
    if done < facts.count and facts.deliver_deadline is not None:
        yield f"{facts.count - done} of {facts.count} not delivered; {_until(facts.deliver_deadline, now)}"


def _why_accepted(facts: LeaseFacts, now: int) -> Iterator[str]:
    done, of = facts.accepted_bits.bit_count(), facts.delivered_bits.bit_count()
    deadline = facts.accept_deadline
    if done == of:
        yield f"the buyer accepted all {of} delivered"
    elif deadline is not None and now >= deadline:
        yield f"accepted by silence at {_iso(deadline)}; the buyer had accepted {done} of {of}"
    elif deadline is not None:
        yield f"the buyer accepted {done} of {of}; silence until {_iso(deadline)} accepts the rest"


def _why_ended(facts: LeaseFacts, now: int) -> Iterator[str]:
    over = ending(facts, now)
    if over is None:
        if facts.ended_at:
            yield f"it will end at {_iso(facts.ended_at)}: {_REASON_TEXT[facts.end_reason]}"
        return
    known = "" if over.recorded else " (not yet recorded on chain)"
    yield f"ended at {_iso(over.at)}: {_REASON_TEXT[over.reason]}; at fault: {over.fault.name.lower()}{known}"
    if facts.delivered_bits:
        yield from _why_wiped(facts, over, now)


def _why_wiped(facts: LeaseFacts, over: Ending, now: int) -> Iterator[str]:
    deadline = over.at + facts.wipe_time
    if facts.wiped_at:
        yield f"wipe evidence given at {_iso(facts.wiped_at)}"
    else:
        yield f"no wipe evidence yet, so the bond stays locked; {_until(deadline, now)}"
    if facts.wipe_missed:
        yield f"the wipe deadline {_iso(deadline)} was missed, part of the bond went to the buyer"


def _until(deadline: int, now: int) -> str:
    if now < deadline:
        return f"{deadline - now} s left, {_iso(deadline)} is too late"
    return f"too late since {_iso(deadline)} (a deadline's exact second is too late)"


def _iso(seconds: int) -> str:
    if seconds >= MAX_TIME:
        return f"unix second {seconds}"
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
