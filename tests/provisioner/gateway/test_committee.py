"""How long a buyer waits for its committee to look at a delivery before it gets in."""

from __future__ import annotations

import dataclasses

import pytest

from chain.contracts.leases import Lease, Trait
from chain.generated.enums import Committee, EndReason, Policy
from provisioner.gateway.committee import held_until

DRAWN, DELIVERED, FIRST, ACCEPT = 3000, 4000, 300, 3600

LEASE = Lease(
    award=1,
    offer=1,
    request=0,
    provider=1,
    buyer=2,
    start=1,
    end=2,
    count=2,
    policy=Policy(0),
    traits=Trait.NONE,
    rate=1,
    created_at=1,
    buyer_signed_at=1,
    signed_at=1,
    ended_at=0,
    reason=EndReason(0),
    missing=0,
    fence_holder="0x" + "00" * 20,
    fence_until=0,
    delivered_at=DELIVERED,
    wipe_missed=False,
    delivered=0b11,
    accepted=0,
    wiped_at=0,
    sla=1,
    committee=Committee.DRAWN,
    committee_at=DRAWN,
    delivery=b"d" * 32,
)


def until(first: int = FIRST, accept: int = ACCEPT, **changes: object) -> int:
    return held_until(dataclasses.replace(LEASE, **changes), first, accept)  # type: ignore[arg-type]


def test_a_committee_that_is_drawn_has_some_minutes_to_itself() -> None:
    assert until() == DELIVERED + FIRST


def test_the_time_runs_from_the_delivery_as_that_to_accept_does_also_before_the_window() -> None:
    early = 3600 - 60
    assert until(delivered_at=early) == early + FIRST


def test_half_of_the_time_to_accept_is_always_the_buyer_s() -> None:
    assert until(accept=100) == DELIVERED + 50


@pytest.mark.parametrize(
    "changes",
    [
        {"accepted": 0b11},
        {"ended_at": DELIVERED + 1},
        {"committee": Committee.NONE},
        {"committee": Committee.AWAITED},
        {"committee_at": DELIVERED + 1},
    ],
    ids=["proven", "over", "no committee", "not drawn", "drawn after the delivery"],
)
def test_nobody_is_waited_for_in_vain(changes: dict[str, object]) -> None:
    assert until(**changes) == 0


def test_what_was_delivered_later_is_held_too() -> None:
    assert until(accepted=0b01) == DELIVERED + FIRST


def test_a_provider_may_let_its_buyer_in_at_once() -> None:
    assert until(first=0) == DELIVERED
