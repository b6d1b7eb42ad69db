"""Why a lease is in its state, in lines for people: each fact and each deadline, oldest first.

This module must not judge: states, ends and deadlines are `market.leases`' own.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

from market.faults import end_sentence
from market.leases import Committee, Ending, EndReason, LeaseFacts, ending
from market.windows import MAX_TIME

__all__ = ["why"]

_REASON_TEXT = {
    EndReason.NONE: "it has not ended",
    EndReason.TIME: "its window is over",
    EndReason.BUYER_EARLY: "the buyer ended it early",
    EndReason.REJECTED: "the buyer rejected the delivery",
    EndReason.CANCELLED: "it was cancelled before delivery",
    EndReason.BUYER_UNSIGNED: "the buyer did not sign in time",
    EndReason.PROVIDER_UNSIGNED: "the provider did not sign in time",
    EndReason.UNDELIVERED: "the provider did not deliver in time",
    EndReason.UNPROVEN: "neither the buyer nor the committee saw the delivery in time",
    EndReason.BREACH: "the buyer ended it after a breach of its SLA",
    EndReason.RECLAIMED: "the provider took it back",
    EndReason.PARTNER: "another lease of its award ended",
}


def why(facts: LeaseFacts, now: int) -> list[str]:
    """One line per fact or deadline that makes the state what it is, oldest first, for people to read."""
    lines = [f"awarded at {_iso(facts.created_at)} for {_iso(facts.start)} to {_iso(facts.end)}"]
    lines += _why_signed(facts, now)
    if facts.signed_at:
        lines += [*_why_committee(facts), *_why_delivered(facts, now)]
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
        yield f"the buyer {'or the committee ' * bool(facts.committee_at)}accepted all {of} delivered"
    elif deadline is not None and facts.committee is Committee.DRAWN:
        yield f"{done} of {of} accepted or proven; {_until(deadline, now)}"
    elif deadline is not None and facts.committee is Committee.AWAITED and now < deadline:
        yield f"the buyer accepted {done} of {of}; silence does not count until the committee is known"
    elif deadline is not None and now >= deadline:
        yield f"accepted by silence at {_iso(deadline)}; the buyer had accepted {done} of {of}"
    elif deadline is not None:
        yield f"the buyer accepted {done} of {of}; silence until {_iso(deadline)} accepts the rest"


def _why_committee(facts: LeaseFacts) -> Iterator[str]:
    if facts.committee is Committee.AWAITED:
        yield "its committee of witnesses is not drawn yet"
    elif facts.committee is Committee.DRAWN:
        yield f"its committee of witnesses was drawn at {_iso(facts.committee_at)}"
    elif facts.committee is Committee.WAIVED:
        yield f"it has no committee: too few witnesses were eligible at {_iso(facts.committee_at)}"


def _why_ended(facts: LeaseFacts, now: int) -> Iterator[str]:
    over = ending(facts, now)
    if over is None:
        if facts.ended_at:
            yield f"it will end at {_iso(facts.ended_at)}: {_REASON_TEXT[facts.end_reason]}"
        return
    known = "" if over.recorded else " (not yet recorded on chain)"
    fault = end_sentence(over.reason, over.fault)
    yield f"ended at {_iso(over.at)}: {_REASON_TEXT[over.reason]}; at fault: {fault}{known}"
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
