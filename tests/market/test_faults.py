"""Whose fault: provider for what a quorum saw, path for what a minority saw, buyer for recorded power-off."""

from __future__ import annotations

import pytest

from market.faults import END_EVIDENCE, Attribution, Seen, attribute, end_sentence, ranges
from market.leases import EndReason, Fault, fault_of
from market.rounds import Grid, Span, agreed, places_of
from market.verdicts import Record, Sla, Tier, judge
from market.why import _REASON_TEXT
from market.windows import Window

GRID = Grid(3600, 60)
WINDOW = Window(100 * 3600, 200 * 3600)
SLA = Sla((Tier(990_000, 100_000),))
EPOCH = 150
FRESH, USED_UP = Record(), Record(grace_until=149 * 3600)
START = GRID.start(EPOCH)


def found(
    *downs: tuple[int, ...], record: Record = USED_UP, off: tuple[tuple[int, int], ...] = (), seats: int = 5
) -> Attribution:
    """What is made of these seats' leaves in an epoch; a committee of five with a quorum of four."""
    bitmaps = tuple(places_of(down) for down in downs)
    down = {EPOCH: agreed(bitmaps, 4)} if bitmaps else {}
    judgement = judge(GRID, WINDOW, Span(EPOCH, EPOCH), down, SLA, record, restore_time=600, suspended=off)
    return attribute(GRID, WINDOW, judgement, {EPOCH: Seen(bitmaps, seats, 4)}, off)


def test_what_nobody_saw_down_is_nobodys() -> None:
    said = found((), (), (), (), ())
    assert (said.fault, said.why, said.undetermined) == (Fault.NOBODY, (), False)


def test_what_a_quorum_saw_is_the_providers() -> None:
    said = found((4, 5), (4, 5), (4, 5), (4, 5, 9), ())
    assert (said.fault, said.counted, said.path) == (Fault.PROVIDER, 2, 1)
    assert said.why[0] == "provider: a quorum saw it down in rounds 4-5 of epoch 150, 2 count"


def test_what_was_forgiven_is_the_providers_and_says_so() -> None:
    said = found((4, 5), (4, 5), (4, 5), (4, 5), record=FRESH)
    assert (said.fault, said.counted, said.forgiven) == (Fault.PROVIDER, 0, 2)
    assert "all forgiven" in said.why[0]


def test_what_a_minority_saw_is_the_paths() -> None:
    """One line for each number of witnesses."""
    said = found((4, 7), (4, 7), (4,), (), ())
    assert (said.fault, said.path) == (Fault.PATH, 2)
    assert said.why == (
        "path: 3 of 5 witnesses saw it down in round 4 of epoch 150, a quorum of 4 did not",
        "path: 2 of 5 witnesses saw it down in round 7 of epoch 150, a quorum of 4 did not",
    )


def test_recorded_power_off_is_the_buyers_whatever_witnesses_saw() -> None:
    off = ((START + 600, START + 1200),)
    said = found(*[tuple(range(10, 20))] * 5, off=off)
    assert (said.fault, said.suspended, said.counted, said.path) == (Fault.BUYER, 10, 0, 0)


def test_too_few_leaves_leave_it_undetermined() -> None:
    said = found((4,), (4,), (4,))
    assert (said.fault, said.undetermined, said.silent) == (Fault.NOBODY, True, (EPOCH,))
    assert said.why == ("undetermined: 3 of 5 witnesses published epoch 150, 4 are needed",)


def test_without_a_committee_nothing_is_determined() -> None:
    judgement = judge(GRID, WINDOW, Span(EPOCH, EPOCH), {}, SLA, FRESH, restore_time=600)
    said = attribute(GRID, WINDOW, judgement, {EPOCH: Seen((), 0, 0)})
    assert (said.undetermined, said.why) == (True, ("undetermined: nobody witnessed epoch 150",))


def test_too_few_rounds_leave_it_undetermined() -> None:
    said = found(*[()] * 5, off=((START, START + 3300),))
    assert said.undetermined and said.fault is Fault.BUYER
    assert said.why[-1] == "undetermined: 5 rounds are judged, 10 are needed"


@pytest.mark.parametrize(
    ("rounds", "text"),
    [([4], "round 4"), ([4, 5, 6], "rounds 4-6"), ([0, 2, 3, 9], "rounds 0, 2-3, 9")],
)
def test_rounds_are_told_in_ranges(rounds: list[int], text: str) -> None:
    assert ranges(rounds) == text


@pytest.mark.parametrize("reason", EndReason)
def test_every_end_has_a_fault_a_sentence_and_evidence(reason: EndReason) -> None:
    assert _REASON_TEXT[reason] and END_EVIDENCE[reason]
    assert end_sentence(reason).startswith(fault_of(reason).name.lower())


def test_faults_of_ends_are_those_of_the_contract() -> None:
    """Leases._fault: the buyer's that it did not sign; the provider's what follows, up to reclaiming."""
    buyers = {EndReason.BUYER_UNSIGNED}
    providers = {
        EndReason.PROVIDER_UNSIGNED,
        EndReason.UNDELIVERED,
        EndReason.UNPROVEN,
        EndReason.BREACH,
        EndReason.RECLAIMED,
    }
    assert {reason for reason in EndReason if fault_of(reason) is Fault.BUYER} == buyers
    assert {reason for reason in EndReason if fault_of(reason) is Fault.PROVIDER} == providers
