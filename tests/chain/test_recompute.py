"""A verdict worked out again: what is right is found right, and what does not follow is named."""

from __future__ import annotations

from dataclasses import replace

import pytest
from eth_utils.crypto import keccak

from chain import recompute
from chain.generated import events
from chain.leaves import EpochLeaves, Leaf
from chain.published import Case, Opened, Sitting
from chain.recompute import Replay
from market.rounds import Grid, Span, places_of
from market.verdicts import Record, Sla, Tier
from market.windows import Window

GRID = Grid(3600, 60)
SLA = Sla((Tier(990_000, 100_000, 2), Tier(500_000, 1_000_000)))
EPOCH, LEASE, BUYER, PROVIDER = 150, 7, 1, 2
SPENT = Record(grace_until=149 * 3600)


def opened(org: int, down: int) -> Opened:
    leaves = EpochLeaves((Leaf(LEASE, 0, GRID.all_rounds, down),), keccak(text=str(org)))
    return Opened(
        org,
        EPOCH,
        commitment=leaves.commitment(org, EPOCH),
        root=leaves.opening.root,
        salt=leaves.salt,
        count=len(leaves.chunks),
        chunks=leaves.chunks,
    )


def case(*downs: int) -> Case:
    """A committee of 2 of 3 that published these down rounds."""
    pages = [opened(10 + seat, down) for seat, down in enumerate(downs)]
    sittings = [
        Sitting(EPOCH, seat, page.org, page, page.chunks[0][0] if page.chunks else None, page.fits, "")
        for seat, page in enumerate(pages)
    ]
    return Case(
        lease=LEASE,
        place=0,
        grid=GRID,
        window=Window(100 * 3600, 200 * 3600),
        span=Span(EPOCH, EPOCH),
        sla=SLA,
        restore_time=600,
        power=(),
        quorums={EPOCH: 2},
        sittings=tuple(sittings),
    )


def given(down: int, counted: int, ppm: int, *, epoch: int = EPOCH, judged: int = 60) -> events.VerdictGiven:
    return events.VerdictGiven(
        lease=LEASE,
        place=0,
        epoch=epoch,
        down=(down,),
        judged=judged,
        counted=counted,
        penalty_ppm=ppm,
        penalty=1,
        seats=2,
    )


def replay(*seen: events.VerdictGiven | events.AppealFiled | events.AppealDecided) -> Replay:
    state = Replay(GRID, SLA, 600, 0, PROVIDER)
    for event in seen:
        state.see(event)
    return state


def test_all_that_a_quorum_published_is_evidence() -> None:
    found = case(0b1110, 0b0111, 0)
    assert found.down() == {EPOCH: 0b0110}
    assert [item.seat for item in found.evidence()] == [0, 1]
    assert all(item.published.holds() for item in found.evidence())
    assert found.judge(SPENT).counted == 2


def test_what_a_quorum_did_not_publish_is_named() -> None:
    this = case(0b0110, 0b0110, 0)
    verdict = given(0b1110, 3, 100_000)
    [problem] = recompute._unsound(this, verdict, this.judge(SPENT))
    assert "rounds 3 of epoch 150" in problem


def test_a_verdict_of_fewer_seats_is_no_problem() -> None:
    this = case(0b0110, 0b0110, 0)
    assert not list(recompute._unsound(this, given(0b0010, 1, 100_000), this.judge(SPENT)))


@pytest.mark.parametrize(
    ("verdict", "words"),
    [
        (given(1, 1, 100_000, judged=59), "judges 59 rounds; there are 60"),
        (given(1, 1, 100_000, epoch=EPOCH + 1), "the lease has it otherwise"),
    ],
)
def test_a_verdict_on_other_rounds_is_named(verdict: events.VerdictGiven, words: str) -> None:
    this = case(0b1, 0b1, 0)
    assert any(words in problem for problem in recompute._unsound(this, verdict, this.judge(SPENT)))


def test_a_page_unlike_its_commitment_is_named_and_no_evidence() -> None:
    this = case(0b1, 0b1, 0b1)
    page = replace(this.sittings[0].opened, commitment=keccak(text="other"))
    forged = replace(this.sittings[0], opened=page, usable=page.fits)
    this = replace(this, sittings=(forged, *this.sittings[1:]))
    [problem] = recompute._unlike(this)
    assert "organisation 10" in problem
    assert [item.seat for item in this.evidence()] == [1, 2]


def test_the_record_is_told_by_the_verdicts() -> None:
    late = places_of([5, 40])
    state = replay(given(late, 1, 100_000), given(1, 1, 100_000, epoch=EPOCH + 1))
    assert state.problems == []
    assert state.ledger.record == Record(
        last=EPOCH + 1,
        ppm=100_000,
        grace_until=GRID.round_start(EPOCH, 5) + 600,
        streaks=2,
        breached=EPOCH + 1,
    )


@pytest.mark.parametrize("verdict", [given(1, 1, 100_000), given(1, 0, 100_000)])
def test_a_penalty_that_does_not_follow_from_its_rounds_is_named(verdict: events.VerdictGiven) -> None:
    """The first outage is in grace: it does not count."""
    [problem] = replay(verdict).problems
    assert "its own down rounds give 0 for 0 ppm" in problem


def test_a_claim_that_is_no_worse_than_the_one_before_is_named() -> None:
    first = given(places_of([0, 40]), 1, 100_000)
    [problem] = replay(first, first).problems
    assert "no worse" in problem


def test_a_breach_falls_when_the_council_upholds_the_providers_appeal() -> None:
    verdicts = [given(places_of([0, 40]), 1, 100_000), given(1, 1, 100_000, epoch=EPOCH + 1)]
    filed = events.AppealFiled(appeal=3, lease=LEASE, place=0, epoch=EPOCH + 1, by=PROVIDER, amount=5)
    decided = events.AppealDecided(appeal=3, to_buyer=0, to_provider=5, upheld=True)
    assert replay(*verdicts, filed).breach_appealed
    after = replay(*verdicts, filed, decided)
    assert not after.breach_appealed
    assert after.ledger.record.breached == 0


def test_an_appeal_of_the_buyer_leaves_a_breach() -> None:
    verdicts = [given(places_of([0, 40]), 1, 100_000), given(1, 1, 100_000, epoch=EPOCH + 1)]
    filed = events.AppealFiled(appeal=3, lease=LEASE, place=0, epoch=EPOCH + 1, by=BUYER, amount=5)
    decided = events.AppealDecided(appeal=3, to_buyer=0, to_provider=5, upheld=True)
    assert replay(*verdicts, filed, decided).ledger.record.breached == EPOCH + 1
