"""Lease states: from facts and deadlines, whose exact second is too late."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from market.errors import InvalidInput
from market.leases import (
    Committee,
    EndReason,
    Fault,
    LeaseFacts,
    LeaseState,
    describe,
    ending,
    state,
)
from market.rounds import Grid
from market.why import why

AWARDED = LeaseFacts(
    created_at=1000,
    start=1100,
    end=2000,
    count=3,
    sign_time=60,
    deliver_time=200,
    accept_time=50,
    wipe_time=300,
)
SIGNED = replace(AWARDED, signed_at=1010)
DELIVERED = replace(SIGNED, delivered_bits=0b111, last_delivered_at=1150)
ACCEPTED = replace(DELIVERED, accepted_bits=0b111)


def test_an_award_is_the_providers_default_at_the_exact_second_of_its_deadline() -> None:
    assert state(AWARDED, 1059) is LeaseState.AWARDED
    assert state(AWARDED, 1060) is LeaseState.DEFAULTED
    assert describe(AWARDED, 1060) == "defaulted(provider)"


def test_with_both_signatures_the_buyer_comes_first() -> None:
    both = replace(AWARDED, policy_both=True)
    assert state(both, 1059) is LeaseState.AWARDED
    assert describe(both, 1060) == "defaulted(buyer)"
    assert "the buyer did not sign" in why(both, 1060)[-1]


def test_the_providers_time_to_sign_starts_with_the_buyers_signature() -> None:
    both = replace(AWARDED, policy_both=True, buyer_signed_at=1050)
    assert both.sign_deadline == 1110
    assert state(both, 1109) is LeaseState.AWARDED
    assert describe(both, 1110) == "defaulted(provider)"


def test_a_signature_is_never_due_after_the_leases_own_end() -> None:
    late = replace(AWARDED, created_at=1990, policy_both=True)
    assert (late.buyer_sign_deadline, late.sign_deadline) == (2000, None)
    assert state(late, 2000) is LeaseState.DEFAULTED
    assert replace(AWARDED, created_at=1980, policy_both=True, buyer_signed_at=1990).sign_deadline == 2000


def test_delivery_counts_from_the_start_or_a_later_signature() -> None:
    assert SIGNED.deliver_deadline == 1300
    assert state(SIGNED, 1299) is LeaseState.SIGNED
    assert describe(SIGNED, 1300) == "defaulted(provider)"
    late = replace(SIGNED, signed_at=1150)
    assert state(late, 1349) is LeaseState.SIGNED
    assert state(late, 1350) is LeaseState.DEFAULTED


def test_delivery_is_never_due_after_the_leases_own_end() -> None:
    late = replace(SIGNED, signed_at=1900)
    assert late.deliver_deadline == 2000
    assert describe(late, 2000) == "defaulted(provider)"


def test_acceptance_of_an_incomplete_all_or_nothing_lease_counts_from_the_delivery_deadline() -> None:
    part = replace(SIGNED, all_or_nothing=True, delivered_bits=0b011, last_delivered_at=1150)
    assert part.accept_deadline == 1350
    assert state(part, 1349) is LeaseState.DELIVERED
    assert state(part, 1350) is LeaseState.ACTIVE
    assert replace(part, delivered_bits=0b111).accept_deadline == 1200


@pytest.mark.parametrize(
    ("reason", "fault"),
    [
        (EndReason.TIME, Fault.NOBODY),
        (EndReason.BUYER_EARLY, Fault.NOBODY),
        (EndReason.REJECTED, Fault.NOBODY),
        (EndReason.CANCELLED, Fault.NOBODY),
        (EndReason.BUYER_UNSIGNED, Fault.BUYER),
        (EndReason.PROVIDER_UNSIGNED, Fault.PROVIDER),
        (EndReason.UNDELIVERED, Fault.PROVIDER),
        (EndReason.UNPROVEN, Fault.PROVIDER),
        (EndReason.BREACH, Fault.PROVIDER),
        (EndReason.RECLAIMED, Fault.PROVIDER),
        (EndReason.PARTNER, Fault.NOBODY),
    ],
)
def test_the_reason_says_whose_fault_an_end_is_unless_recorded(reason: EndReason, fault: Fault) -> None:
    over = ending(replace(SIGNED, ended_at=1020, end_reason=reason), 1020)
    assert over is not None
    assert over.fault is fault
    path = ending(replace(SIGNED, ended_at=1020, end_reason=reason, fault=Fault.PATH), 1020)
    assert path is not None
    assert path.fault is Fault.PATH


def test_a_part_delivered_in_time_keeps_the_lease_alive() -> None:
    part = replace(SIGNED, delivered_bits=0b001, last_delivered_at=1150, accepted_bits=0b001)
    assert state(part, 1400) is LeaseState.ACTIVE
    assert any(line.startswith("2 of 3 not delivered; too late since") for line in why(part, 1400))


def test_acceptance_needs_all_that_was_delivered() -> None:
    assert state(ACCEPTED, 1151) is LeaseState.ACTIVE
    assert state(replace(DELIVERED, accepted_bits=0b011), 1151) is LeaseState.DELIVERED


def test_silence_is_acceptance_at_the_exact_second() -> None:
    assert state(DELIVERED, 1199) is LeaseState.DELIVERED
    assert state(DELIVERED, 1200) is LeaseState.ACTIVE
    assert any("accepted by silence" in line for line in why(DELIVERED, 1200))


GRID = Grid(100, 20)
AWAITED = replace(DELIVERED, committee=Committee.AWAITED, grid=GRID)
DRAWN = replace(AWAITED, committee=Committee.DRAWN, committee_at=1170)
WAIVED = replace(AWAITED, committee=Committee.WAIVED, committee_at=1170)


def test_silence_accepts_nothing_while_the_committee_is_awaited() -> None:
    assert state(AWAITED, 1999) is LeaseState.DELIVERED
    assert AWAITED.acceptable(1999) and not AWAITED.acceptable(2000)
    assert AWAITED.accepted(2000)
    late = replace(AWAITED, last_delivered_at=1990)
    assert (late.accept_deadline, late.unproven_at) == (2040, None)
    assert any("until the committee is known" in line for line in why(AWAITED, 1999))


def test_without_enough_witnesses_the_time_to_accept_starts_when_that_is_known() -> None:
    assert state(WAIVED, 1219) is LeaseState.DELIVERED
    assert state(WAIVED, 1220) is LeaseState.ACTIVE
    assert replace(WAIVED, committee_at=1120).accept_deadline == 1200
    assert any("too few witnesses" in line for line in why(WAIVED, 1220))


def test_with_a_committee_silence_is_the_providers_default() -> None:
    assert state(DRAWN, 1219) is LeaseState.DELIVERED
    assert state(DRAWN, 1220) is LeaseState.ENDING
    over = ending(DRAWN, 1220)
    assert over is not None
    assert (over.at, over.reason, over.fault) == (1220, EndReason.UNPROVEN, Fault.PROVIDER)
    assert describe(replace(DRAWN, wiped_at=1300), 1300) == "defaulted(provider)"
    assert not DRAWN.accepted(1220) and not DRAWN.acceptable(1220)
    assert any("nor the committee saw the delivery" in line for line in why(DRAWN, 1220))


def test_what_the_committee_or_the_buyer_saw_is_active() -> None:
    proven = replace(DRAWN, accepted_bits=0b111)
    assert proven.unproven_at is None
    assert state(proven, 1300) is LeaseState.ACTIVE
    assert any("the buyer or the committee accepted all 3" in line for line in why(proven, 1300))


def test_an_unproven_delivery_is_the_end_even_after_another_one_was_recorded() -> None:
    left = replace(DRAWN, committee_at=1140, ended_at=1190, end_reason=EndReason.BUYER_EARLY)
    assert describe(replace(left, wiped_at=1195), 1199) == "terminated(buyer, early)"
    assert describe(replace(left, wiped_at=1195), 1200) == "defaulted(provider)"
    over = ending(left, 1200)
    assert over is not None and over.at == 1190
    rejected = replace(left, end_reason=EndReason.REJECTED)
    assert rejected.unproven_at is None
    assert describe(replace(rejected, wiped_at=1195), 1200) == "terminated(buyer, rejected)"


def test_a_committee_drawn_after_the_delivery_and_too_late_to_look_makes_no_default() -> None:
    assert DRAWN.unproven_at == 1220
    late = replace(DRAWN, ended_at=1219, end_reason=EndReason.BUYER_EARLY)
    assert late.unproven_at is None
    assert not late.accepted(1219) and late.accepted(1220)


def test_only_what_is_final_may_be_drawn() -> None:
    proven = replace(DRAWN, accepted_bits=0b111)
    assert (proven.counts_from, proven.effective_end) == (1150, 2000)
    # Its first epoch has only half of its rounds in the lease: ten, which is enough to be judged alone.
    assert [proven.final_until(now) for now in (1160, 1499, 1500, 1650, 2299, 2300)] == [
        1150,
        1150,
        1200,
        1300,
        1900,
        2000,
    ]
    assert proven.final_at == 2300
    assert replace(proven, ended_at=1151, end_reason=EndReason.BREACH).final_at == 1500


@pytest.mark.parametrize("facts", [ACCEPTED, replace(WAIVED, accepted_bits=0b111)])
def test_without_a_committee_all_that_accrued_may_be_drawn(facts: LeaseFacts) -> None:
    assert [facts.final_until(now) for now in (1160, 1999, 2500)] == [1160, 1999, 2000]
    assert facts.final_at == 2000


def test_what_awaits_a_committee_until_its_end_is_final_then() -> None:
    accepted = replace(AWAITED, accepted_bits=0b111)
    assert [accepted.final_until(now) for now in (1650, 1999, 2000)] == [1300, 1600, 2000]
    assert accepted.final_at == 2000


def test_a_lease_is_ending_from_its_end_until_the_wipe() -> None:
    assert state(ACCEPTED, 1999) is LeaseState.ACTIVE
    assert state(ACCEPTED, 2000) is LeaseState.ENDING
    assert state(replace(ACCEPTED, wiped_at=2100), 2100) is LeaseState.COMPLETED


def test_a_missed_wipe_leaves_the_lease_ending() -> None:
    missed = replace(ACCEPTED, wipe_missed=True)
    assert state(missed, 9999) is LeaseState.ENDING
    assert "part of the bond went to the buyer" in why(missed, 9999)[-1]


@pytest.mark.parametrize(
    ("reason", "fault", "text"),
    [
        (EndReason.BUYER_EARLY, Fault.NOBODY, "terminated(buyer, early)"),
        (EndReason.REJECTED, Fault.NOBODY, "terminated(buyer, rejected)"),
        (EndReason.TIME, Fault.NOBODY, "completed"),
        (EndReason.UNDELIVERED, Fault.PROVIDER, "defaulted(provider)"),
        (EndReason.UNPROVEN, Fault.PROVIDER, "defaulted(provider)"),
        (EndReason.BREACH, Fault.PROVIDER, "terminated(buyer, breach)"),
        (EndReason.RECLAIMED, Fault.PROVIDER, "terminated(provider, reclaimed)"),
        (EndReason.PARTNER, Fault.NOBODY, "terminated(nobody, partner)"),
    ],
)
def test_recorded_ends_say_who_and_why_after_the_wipe(reason: EndReason, fault: Fault, text: str) -> None:
    over = replace(ACCEPTED, ended_at=1500, end_reason=reason, fault=fault)
    assert state(over, 1500) is LeaseState.ENDING
    assert describe(replace(over, wiped_at=1600), 1600) == text


def test_a_cancelled_lease_has_nothing_to_wipe() -> None:
    for reason in (EndReason.CANCELLED, EndReason.PARTNER):
        assert state(replace(SIGNED, ended_at=1020, end_reason=reason), 1020) is LeaseState.CANCELLED


def test_an_end_announced_for_later_lets_the_lease_run_until_then() -> None:
    noticed = replace(ACCEPTED, ended_at=1500, end_reason=EndReason.BUYER_EARLY)
    assert state(noticed, 1499) is LeaseState.ACTIVE
    assert "it will end at" in why(noticed, 1499)[-1]
    assert state(noticed, 1500) is LeaseState.ENDING


def test_a_derived_end_says_that_the_chain_does_not_know_it_yet() -> None:
    over = ending(ACCEPTED, 2000)
    assert over is not None
    assert (over.at, over.reason, over.fault, over.recorded) == (2000, EndReason.TIME, Fault.NOBODY, False)
    assert any("not yet recorded on chain" in line for line in why(ACCEPTED, 2000))
    assert ending(ACCEPTED, 1999) is None


def test_why_tells_the_deadline_and_the_rule_at_its_exact_second() -> None:
    assert why(AWARDED, 1059)[1] == "the provider has not signed; 1 s left, 1970-01-01T00:17:40Z is too late"
    assert "a deadline's exact second is too late" in why(AWARDED, 1060)[1]


def test_why_survives_times_no_calendar_knows() -> None:
    assert "unix second" in why(replace(AWARDED, end=2**64), 1000)[0]


@pytest.mark.parametrize(
    "change",
    [
        {"end": 1100},
        {"count": 0},
        {"delivered_bits": 0b1000, "last_delivered_at": 1150},
        {"delivered_bits": 0b1},
        {"accepted_bits": 0b1},
        {"ended_at": 5},
        {"end_reason": EndReason.TIME},
        {"committee": Committee.AWAITED},
        {"committee": Committee.DRAWN, "grid": Grid(100, 20)},
        {"committee_at": 1150},
    ],
)
def test_facts_that_contradict_each_other_are_refused(change: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput):
        replace(SIGNED, **change)


times = st.integers(1000, 3000)
ORDER = [LeaseState.AWARDED, LeaseState.SIGNED, LeaseState.DELIVERED, LeaseState.ACTIVE, LeaseState.ENDING]


@st.composite
def histories(draw: st.DrawFn) -> LeaseFacts:
    """Facts as the contract could hold them at some moment."""
    facts = replace(AWARDED, policy_both=draw(st.booleans()), all_or_nothing=draw(st.booleans()))
    if facts.policy_both and draw(st.booleans()):
        facts = replace(facts, buyer_signed_at=draw(st.integers(1000, 1059)))
    if facts.sign_deadline is not None and draw(st.booleans()):
        facts = replace(facts, signed_at=facts.sign_deadline - draw(st.integers(1, 60)))
    if facts.signed_at and draw(st.booleans()):
        bits = draw(st.integers(1, 7))
        facts = replace(
            facts, delivered_bits=bits, last_delivered_at=facts.signed_at + draw(st.integers(1, 90))
        )
        facts = replace(facts, accepted_bits=bits & draw(st.integers(0, 7)))
    kind = draw(st.sampled_from(Committee))
    known = facts.signed_at + draw(st.integers(1, 90)) if kind > Committee.AWAITED else 0
    return replace(facts, committee=kind, committee_at=known, grid=GRID)


@given(histories(), st.lists(times, min_size=2, max_size=5))
def test_time_alone_never_moves_a_lease_backwards(facts: LeaseFacts, moments: list[int]) -> None:
    states = [state(facts, now) for now in sorted(moments)]
    steps = [ORDER.index(each) if each in ORDER else len(ORDER) for each in states]
    assert steps == sorted(steps)


@given(histories(), times)
def test_recording_a_derived_end_changes_no_state(facts: LeaseFacts, now: int) -> None:
    over = ending(facts, now)
    if over is not None:
        recorded = replace(facts, ended_at=over.at, end_reason=over.reason, fault=over.fault)
        assert state(recorded, now) is state(facts, now)
        assert describe(recorded, now) == describe(facts, now)


@given(histories(), times)
def test_every_state_has_reasons_of_one_line_each(facts: LeaseFacts, now: int) -> None:
    lines = why(facts, now)
    assert lines
    assert all(line and "\n" not in line for line in lines)
    assert state(facts, now).is_open or ending(facts, now) is not None
