"""What a lease with a committee wants beside its steps, and its last step: without any chain."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from market.leases import Committee, EndReason
from market.rounds import Grid
from provisioner.agent.errands import DrawFinal, DrawLots, Errand, Later, errands, running_term
from provisioner.agent.reports import unproven_line
from provisioner.agent.steps import CloseReclaim, Done, Pay, Wait, decide
from tests.provisioner.agent.test_steps import AWARDED, DELIVERED, RULES, SIGNED, WIPED, view

GRID = Grid(100, 50)
AWAITED: dict[str, Any] = {"committee": Committee.AWAITED, "grid": GRID}
DRAWN: dict[str, Any] = {"committee": Committee.DRAWN, "grid": GRID, "committee_at": 1020}


def due(
    facts: Any, now: int, *, drawn: bool = False, drawn_until: int = 0, patience: int = 0
) -> list[Errand]:
    """What is due; `drawn`: every later term's committee is."""
    return list(errands(facts, now, is_drawn=lambda _: drawn, drawn_until=drawn_until, patience=patience))


def test_without_a_committee_there_are_no_errands() -> None:
    waived = replace(DELIVERED, committee=Committee.WAIVED, committee_at=1020, grid=GRID)
    for facts in (AWARDED, SIGNED, DELIVERED, waived):
        assert due(facts, facts.start + 50) == []


def test_lots_are_drawn_once_the_lease_is_signed_and_others_had_a_moment() -> None:
    assert due(replace(AWARDED, **AWAITED), 1005) == []
    assert due(replace(SIGNED, **AWAITED), 1015, patience=7) == [Later(1017)]
    assert due(replace(SIGNED, **AWAITED), 1017, patience=7) == [DrawLots(0)]


def test_each_later_term_is_drawn_as_it_begins() -> None:
    long = replace(DELIVERED, **DRAWN, accepted_bits=0b11, end=9000)
    first = running_term(long, 1300)
    assert first == 0 and Later(3400) in due(long, 1300)
    assert due(long, 3399)[0] != DrawLots(1)
    assert due(long, 3400)[0] == DrawLots(1)
    assert DrawLots(1) not in due(long, 3400, drawn=True)


def test_a_lease_that_is_over_has_no_errands() -> None:
    assert due(replace(SIGNED, **AWAITED), 1200) == []
    assert due(replace(DELIVERED, **DRAWN), 2000) == []


def test_what_is_final_is_drawn_once_and_only_of_an_accepted_lease() -> None:
    facts = replace(DELIVERED, **DRAWN, end=9000)
    accepted = replace(facts, accepted_bits=0b11)
    final = accepted.final_until(1700)
    assert 1120 < final < 1700
    assert DrawFinal(final) in due(accepted, 1700)
    assert DrawFinal(final) not in due(accepted, 1700, drawn_until=final)
    assert not [item for item in due(facts, 1200) if isinstance(item, DrawFinal)]


def test_witnesses_see_to_their_pay_and_an_epoch_later_the_provider_does() -> None:
    over = replace(WIPED, **DRAWN)
    final = over.final_at
    step = decide(view(over, settled=True, unpaid=0), final, RULES)
    assert step == Wait("its witnesses are not paid yet", final + 100)
    assert decide(view(over, settled=True, unpaid=0), final + 100, RULES) == Pay(0)
    assert decide(view(over, settled=True), final + 100, RULES) == Done()


def test_the_bond_of_a_lease_we_took_back_is_shared_out_when_all_is_paid() -> None:
    over = replace(WIPED, **DRAWN, ended_at=1800, end_reason=EndReason.RECLAIMED)
    later = over.final_at + 1000
    assert decide(view(over, settled=True, unpaid=0, bond_waits=True), later, RULES) == Pay(0)
    assert decide(view(over, settled=True, bond_waits=True), later, RULES) == CloseReclaim()
    assert decide(view(over, settled=True), later, RULES) == Done()


def test_fees_of_a_committee_that_was_waived_return_at_the_end() -> None:
    waived = replace(WIPED, committee=Committee.WAIVED, committee_at=1020, grid=GRID)
    assert decide(view(waived, settled=True, unpaid=0), 2051, RULES) == Pay(0)


def test_what_never_came_is_paid_for_as_well() -> None:
    late = replace(SIGNED, **DRAWN, ended_at=1200, end_reason=EndReason.UNDELIVERED)
    assert isinstance(decide(view(late, unpaid=0), 1250, RULES), Wait)
    assert decide(view(late, unpaid=0), 1700, RULES) == Pay(0)


@pytest.mark.parametrize(("now", "told"), [(1169, False), (1170, True), (1219, True), (1220, False)])
def test_half_the_time_may_pass_before_an_unconfirmed_delivery_is_told(now: int, told: bool) -> None:
    facts = replace(DELIVERED, **DRAWN)
    assert facts.unproven_at == 1220
    assert (unproven_line(facts, now) is not None) is told
    assert unproven_line(replace(facts, accepted_bits=0b11), now) is None
    assert unproven_line(DELIVERED, now) is None
