"""Which machines a seat measures, and until when; what it says of deliveries, windows and questions."""

from __future__ import annotations

from dataclasses import replace

from chain.abi import ZERO_ADDRESS
from chain.contracts.inquiries import Answer
from chain.contracts.leases import Lease, Trait
from chain.generated.enums import Committee, EndReason, Policy
from market.rounds import TERM, Grid
from market.verdicts import Sla, Tier
from market.windows import Window
from witness.answers import figure
from witness.claims import rank
from witness.duties import Duty, Watched, duties_of, seat_window
from witness.index import Seated
from witness.log import Measurement
from witness.proofs import Sight, guests_of, why_not

GRID = Grid(100, 10)
ME = 7
RECORD = Lease(
    award=1, offer=1, request=0, provider=2, buyer=3, start=0, end=1_000, count=2, policy=Policy(0),
    traits=Trait.NONE, rate=1, created_at=900, buyer_signed_at=0, signed_at=1_050, ended_at=0,
    reason=EndReason.NONE, missing=0, fence_holder=ZERO_ADDRESS, fence_until=0, delivered_at=1_130,
    wipe_missed=False, delivered=0b11, accepted=0, wiped_at=0, sla=1, committee=Committee.DRAWN,
    committee_at=1_100, delivery=b"d" * 32,
)  # fmt: skip
"""Signed in epoch 10, delivered in epoch 11."""


def seated(term: int, drawn: int, *seats: int) -> Seated:
    """A committee of quorum 2."""
    return Seated(1, term, seats or (ME, 8, 9), 2, drawn)


WATCHED = Watched(
    lease=1,
    record=RECORD,
    committees={0: seated(0, 11)},
    delivered=None,
    window=Window(1_130, 10_000),
    sla=Sla((Tier(990_000, 1),)),
    ends=10_000,
)


def test_a_seat_measures_each_machine_from_delivery_to_the_end_of_its_term() -> None:
    end = (10 + TERM) * 100
    assert duties_of([WATCHED], ME, GRID, 11) == [Duty(1, 0, 1_130, end), Duty(1, 1, 1_130, end)]
    assert duties_of([WATCHED], 99, GRID, 11) == []
    assert duties_of([WATCHED], ME, GRID, 10 + TERM) == []


def test_nobody_measures_before_the_epoch_the_committee_was_drawn_in() -> None:
    late = replace(WATCHED, committees={0: seated(0, 14)})
    assert seat_window(late, ME, GRID, 11) == Window(1_400, (10 + TERM) * 100)


def test_terms_that_follow_each_other_are_one_duty() -> None:
    both = replace(WATCHED, committees={0: seated(0, 11), 1: seated(1, 10 + TERM)})
    assert seat_window(both, ME, GRID, 11) == Window(1_130, (10 + 2 * TERM) * 100)
    other = replace(WATCHED, committees={0: seated(0, 11), 1: seated(1, 10 + TERM, 1, 8, 9)})
    assert seat_window(other, ME, GRID, 11) == Window(1_130, (10 + TERM) * 100)


def test_a_later_seat_waits_for_its_term() -> None:
    later = replace(WATCHED, committees={0: seated(0, 11, 1, 8, 9), 1: seated(1, 10 + TERM)})
    assert seat_window(later, ME, GRID, 11) == Window((10 + TERM) * 100, (10 + 2 * TERM) * 100)


def test_a_lease_that_ended_is_measured_to_its_end() -> None:
    ended = replace(WATCHED, window=Window(1_130, 1_255), ends=1_255)
    assert [duty.end for duty in duties_of([ended], ME, GRID, 12)] == [1_255, 1_255]
    assert duties_of([ended], ME, GRID, 13) == []
    assert ended.is_over(1_255) and not ended.is_over(1_254)


def test_while_a_term_is_not_drawn_the_committee_before_proves_deliveries() -> None:
    assert WATCHED.provers(GRID, 10 + TERM) == WATCHED.committees[0]
    assert WATCHED.committee_at(GRID, 10 + TERM) is None
    assert WATCHED.committee_at(GRID, 10) is None


def test_one_witness_is_first_by_lot_and_all_know_who() -> None:
    pool = (3, 5, 8)
    lots = [rank(org, pool, "draw/1/0") for org in pool]
    assert sorted(lots) == [0, 1, 2]
    assert len({tuple(rank(org, pool, f"draw/{n}/0") for org in pool) for n in range(20)}) > 1
    assert rank(99, pool, "draw/1/0") == 3


GUEST = "0x" + "11" * 20
BOTH = [Sight(0, True, GUEST, "responder right: "), Sight(1, True, None, "right: ")]


def test_a_delivery_is_seen_only_if_every_machine_holds_its_key() -> None:
    assert why_not(BOTH, WATCHED, patient=True) == ""
    assert "does not prove its host key" in why_not(
        [BOTH[0], replace(BOTH[1], key=False)], WATCHED, patient=True
    )
    assert "not among the endpoints" in why_not(BOTH[:1], WATCHED, patient=True)
    assert guests_of(BOTH, WATCHED) == [GUEST, ZERO_ADDRESS]


def test_a_silent_responder_is_waited_for_and_in_vain_only_if_the_sla_wants_it() -> None:
    silent = [replace(BOTH[0], guest=None, detail="responder silent: "), BOTH[1]]
    assert "responder in machine 0" in why_not(silent, WATCHED, patient=True)
    assert why_not(silent, WATCHED, patient=False) == ""
    strict = replace(WATCHED, sla=Sla((Tier(990_000, 1),), guest=True))
    assert "responder in machine 0" in why_not(silent, strict, patient=False)


def found(*outcomes: int) -> list[Measurement]:
    """Measurements of epoch 12, round by round."""
    return [Measurement(12, 1, 0, n, 0, outcome, "") for n, outcome in enumerate(outcomes)]


def test_an_answer_counts_whole_rounds_that_could_be_told() -> None:
    measured = found(1, 2, 4, 3, 1)  # up, down, cannot tell, the buyer's fault, up
    ours = figure(measured, GRID, Window(1_200, 1_250), 740_000)
    assert (ours.answer, ours.ppm, ours.measured) == (Answer.YES, 750_000, 4)
    assert figure(measured, GRID, Window(1_200, 1_250), 750_000).answer is Answer.NO
    assert figure(measured, GRID, Window(1_205, 1_245), 0).measured == 2
    assert figure(measured, GRID, Window(1_220, 1_230), 0).answer is Answer.UNKNOWN
