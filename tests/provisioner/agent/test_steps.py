"""The table of decisions, without any chain or cloud."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from market.leases import Committee, EndReason, LeaseFacts
from market.rounds import Grid
from provisioner.agent.steps import (
    Deliver,
    Done,
    Expire,
    LeaseView,
    MachineView,
    Provision,
    Release,
    RenewFence,
    Rules,
    Settle,
    Sign,
    Step,
    TakeOver,
    Wait,
    Wipe,
    decide,
    operation_key,
    parse_key,
)

ME, OTHER = "0xme", "0xother"
RULES = Rules(margin=3, deliver_margin=10, setup_wait=20, orphan_grace=60)
AWARDED = LeaseFacts(
    created_at=1000,
    start=1100,
    end=2000,
    count=2,
    sign_time=50,
    deliver_time=100,
    accept_time=100,
    wipe_time=200,
)
SIGNED = replace(AWARDED, signed_at=1010)
DELIVERED = replace(SIGNED, delivered_bits=0b11, last_delivered_at=1120)
PARTLY = replace(SIGNED, delivered_bits=0b01, last_delivered_at=1190)
WIPED = replace(DELIVERED, wiped_at=2050, accepted_bits=0b11)


def view(facts: LeaseFacts, *machines: dict[str, Any], **more: Any) -> LeaseView:
    """A view of lease 7 on resources 40 and 41, the fence ours and fresh, nothing up."""
    made = tuple(
        MachineView(
            resource=40 + i, key=f"key-{i}", **(machines[i] if i < len(machines) else {"in_cloud": False})
        )
        for i in range(facts.count)
    )
    fields: dict[str, Any] = {
        "fence_holder": ME,
        "fence_until": 1500,
        "fence_time": 300,
        "has_setup": True,
    }
    return LeaseView(lease=7, facts=facts, me=ME, machines=made, **(fields | more))


def kind(step: Step) -> str:
    """The name of a step."""
    return type(step).__name__


UP = {"ready": True, "in_cloud": True}
BUSY = {"running": "provision"}


def test_an_awarded_lease_is_signed() -> None:
    assert decide(view(AWARDED), 1001, RULES) == Sign()


@pytest.mark.parametrize(("now", "wanted"), [(1046, "Sign"), (1047, "Wait"), (1049, "Wait")])
def test_signing_is_not_tried_shortly_before_its_deadline(now: int, wanted: str) -> None:
    assert kind(decide(view(AWARDED), now, RULES)) == wanted


def test_where_both_sign_the_buyer_is_first() -> None:
    both = replace(AWARDED, policy_both=True)
    assert decide(view(both), 1001, RULES) == Wait("the buyer signs first", 1050)
    signed = replace(both, buyer_signed_at=1030)
    assert decide(view(signed), 1060, RULES) == Sign()


def test_what_no_plugin_has_is_not_signed() -> None:
    step = decide(view(AWARDED, {"known": False}), 1001, RULES)
    assert isinstance(step, Wait) and "no plugin has resource 40" in step.reason


def test_a_machine_its_cloud_has_lost_is_not_signed_for() -> None:
    step = decide(view(AWARDED, {"lost": True}), 1001, RULES)
    assert isinstance(step, Wait) and "has lost the machine of resource 40" in step.reason


GONE = {"in_cloud": False, "broken": "is gone from its cloud"}


def test_what_the_buyer_had_is_never_built_anew() -> None:
    long = replace(PARTLY, deliver_time=200)
    for lost in (GONE, {"in_cloud": None}, {"in_cloud": False}):
        assert kind(decide(view(long, lost, UP), 1250, RULES)) == "Wait"
    step = decide(view(DELIVERED, GONE, UP), 1300, RULES)
    assert isinstance(step, Wait) and "resource 40 is gone from its cloud" in step.reason


def test_what_broke_before_its_delivery_is_not_delivered_but_built_again() -> None:
    assert decide(view(SIGNED, UP | GONE, UP), 1120, RULES) == Provision((40,))


def test_nothing_is_handed_over_before_the_window() -> None:
    assert decide(view(SIGNED), 1099, RULES) == Wait("its window has not begun", 1100)
    assert decide(view(SIGNED), 1100, RULES) == Provision((40, 41))


def test_the_fence_is_not_renewed_before_the_window_and_then_at_half_its_time() -> None:
    assert kind(decide(view(SIGNED, fence_until=1020), 1050, RULES)) == "Wait"
    assert decide(view(SIGNED, fence_until=1020), 1100, RULES) == RenewFence()
    long = replace(SIGNED, deliver_time=800)
    assert kind(decide(view(long, fence_until=1500), 1349, RULES)) == "Provision"
    assert decide(view(long, fence_until=1500), 1350, RULES) == RenewFence()


def test_only_the_fence_holder_provisions() -> None:
    step = decide(view(SIGNED, fence_holder=OTHER, fence_until=1150), 1120, RULES)
    assert step == Wait(f"{OTHER} holds the fence", 1153)
    assert decide(view(SIGNED, fence_holder=OTHER, fence_until=1150), 1153, RULES) == TakeOver()


def test_a_holder_that_let_its_fence_lapse_before_the_window_gets_time_to_renew_it() -> None:
    lapsed = view(SIGNED, fence_holder=OTHER, fence_until=1020)
    assert kind(decide(lapsed, 1105, RULES)) == "Wait"
    assert decide(lapsed, 1106, RULES) == TakeOver()


def test_the_buyers_keys_are_awaited_but_not_for_ever() -> None:
    step = decide(view(SIGNED, has_setup=False), 1119, RULES)
    assert step == Wait("the buyer's SSH key is not here yet", 1120)
    assert decide(view(SIGNED, has_setup=False), 1120, RULES) == Provision((40, 41))


def test_waiting_for_keys_never_takes_more_than_half_the_time_to_deliver() -> None:
    patient = replace(RULES, setup_wait=10_000)
    assert decide(view(SIGNED, has_setup=False), 1149, patient) == Wait(
        "the buyer's SSH key is not here yet", 1150
    )
    assert decide(view(SIGNED, has_setup=False), 1150, patient) == Provision((40, 41))


def test_without_an_encryption_key_nothing_is_provisioned_and_the_reason_is_told() -> None:
    step = decide(view(SIGNED, can_seal=False), 1110, RULES)
    assert isinstance(step, Wait) and "encryption key" in step.reason


def test_only_what_is_idle_and_not_blocked_is_provisioned() -> None:
    assert decide(view(SIGNED, BUSY), 1110, RULES) == Provision((41,))
    step = decide(view(SIGNED, BUSY, {"blocked": "Ironic is down"}), 1110, RULES)
    assert isinstance(step, Wait) and step.reason == "resource 41: Ironic is down"


def test_all_that_is_up_is_delivered_at_once() -> None:
    assert decide(view(SIGNED, UP, UP), 1101, RULES) == Deliver(0b11)


def test_a_part_is_delivered_only_when_time_runs_out() -> None:
    assert kind(decide(view(SIGNED, UP, BUSY), 1189, RULES)) == "Wait"
    assert decide(view(SIGNED, UP, BUSY), 1190, RULES) == Deliver(0b01)


def test_what_comes_after_a_partial_delivery_is_added() -> None:
    long = replace(PARTLY, deliver_time=200)
    assert decide(view(long, UP, UP), 1200, RULES) == Deliver(0b11)
    there = {"in_cloud": True}
    assert decide(view(long, there, UP), 1292, RULES) == Provision((40,))  # its connection is needed again


@pytest.mark.parametrize("now", [1197, 1198, 1199])
def test_delivery_is_not_tried_when_it_would_come_too_late(now: int) -> None:
    assert kind(decide(view(SIGNED, UP, UP), now, RULES)) == "Wait"


def test_after_the_deadline_nothing_is_delivered_and_the_machine_is_released_after_the_grace() -> None:
    up = {"in_cloud": True, "ready": True}
    assert kind(decide(view(SIGNED, up), 1200, RULES)) == "Wait"
    seen = up | {"orphan_since": 1200}
    assert decide(view(SIGNED, seen), 1259, RULES) == Wait("resource 40 is left in the cloud", 1260)
    assert decide(view(SIGNED, seen), 1260, RULES) == Release((40,))


def test_a_lease_that_defaulted_is_recorded_once_the_cloud_is_clean() -> None:
    assert decide(view(SIGNED), 1200, RULES) == Expire()
    over = replace(SIGNED, ended_at=1201, end_reason=EndReason.UNDELIVERED)
    assert decide(view(over), 1202, RULES) == Done()


def test_a_cloud_that_cannot_be_read_is_never_taken_for_empty() -> None:
    unread = {"in_cloud": None}
    over = replace(SIGNED, ended_at=1150, end_reason=EndReason.CANCELLED)
    for facts in (over, SIGNED):
        step = decide(view(facts, unread), 1300, RULES)
        assert isinstance(step, Wait) and "not read" in step.reason


def test_a_cancelled_lease_keeps_its_machine_until_two_readings_and_the_grace() -> None:
    over = replace(SIGNED, ended_at=1150, end_reason=EndReason.CANCELLED)
    assert kind(decide(view(over, {"in_cloud": True}), 5000, RULES)) == "Wait"
    assert decide(view(over, {"in_cloud": True, "orphan_since": 1151}), 1211, RULES) == Release((40,))


def test_a_running_lease_is_left_alone() -> None:
    assert decide(view(DELIVERED, UP, UP), 1300, RULES) == Wait("the buyer has it", 2000)
    ends = replace(DELIVERED, ended_at=1400, end_reason=EndReason.BUYER_EARLY)
    assert decide(view(ends, UP, UP), 1399, RULES) == Wait("the buyer has it", 1400)


def test_what_was_not_delivered_in_time_is_released_while_the_rest_runs_and_then_recorded() -> None:
    orphan = {"in_cloud": True, "orphan_since": 1200}
    assert decide(view(PARTLY, UP, orphan), 1260, RULES) == Release((41,))
    assert decide(view(PARTLY, UP), 1261, RULES) == Expire()
    assert kind(decide(view(PARTLY, UP, missing_recorded=True), 1261, RULES)) == "Wait"


def test_after_the_end_everything_is_released_then_wiped() -> None:
    assert kind(decide(view(DELIVERED, UP, UP), 1999, RULES)) == "Wait"
    assert decide(view(DELIVERED, UP, UP), 2000, RULES) == Release((40, 41))
    clean = {"evidence": True}
    assert decide(view(DELIVERED, UP, clean), 2001, RULES) == Release((40,))
    assert kind(decide(view(DELIVERED, {"running": "release"}, clean), 2001, RULES)) == "Wait"
    assert decide(view(DELIVERED, clean, clean), 2001, RULES) == Wipe()


def test_a_build_that_still_runs_at_the_end_does_not_stop_the_release() -> None:
    assert decide(view(DELIVERED, BUSY, {"evidence": True}), 2000, RULES) == Release((40,))


def test_the_other_agent_wipes_only_when_the_holder_does_not() -> None:
    theirs = {"fence_holder": OTHER, "fence_until": 1500}
    assert kind(decide(view(DELIVERED, UP, UP, **theirs), 2049, RULES)) == "Wait"
    assert decide(view(DELIVERED, UP, UP, **theirs), 2050, RULES) == TakeOver()


def test_money_is_drawn_when_it_is_final() -> None:
    clean = {"evidence": True}
    assert decide(view(WIPED, clean, clean), 2100, RULES) == Settle()
    assert decide(view(WIPED, clean, clean, settled=True), 2100, RULES) == Done()
    silent = replace(WIPED, accepted_bits=0, last_delivered_at=1990, signed_at=1950)
    assert decide(view(silent, clean, clean), 2089, RULES) == Wait("silence has not accepted it yet", 2090)
    assert decide(view(silent, clean, clean), 2090, RULES) == Settle()


SEATED = replace(DELIVERED, committee=Committee.DRAWN, committee_at=1130, grid=Grid(100, 20))


def test_a_delivery_that_nobody_proves_is_over_with_the_time_to_accept() -> None:
    assert decide(view(SEATED, UP, UP), 1200, RULES) == Wait("the buyer has it", 1230)
    assert decide(view(SEATED, UP, UP), 1230, RULES) == Release((40, 41))
    clean = {"evidence": True}
    assert decide(view(SEATED, clean, clean), 1231, RULES) == Wipe()
    theirs = {"fence_holder": OTHER, "fence_until": 1200}
    assert decide(view(SEATED, UP, UP, **theirs), 1280, RULES) == TakeOver()


def test_what_turns_out_unproven_after_its_wipe_is_recorded() -> None:
    clean = {"evidence": True}
    early = replace(SEATED, committee_at=1110)
    wiped = replace(early, ended_at=1210, end_reason=EndReason.BUYER_EARLY, wiped_at=1215)
    step = decide(view(wiped, clean, clean), 1219, RULES)
    assert step == Wait("the committee has not proven it yet", 1220)
    assert decide(view(wiped, clean, clean), 1220, RULES) == Expire()
    assert decide(view(wiped, clean, clean, settled=True), 1220, RULES) == Done()


def test_with_a_committee_the_last_draw_waits_until_all_epochs_are_final() -> None:
    clean = {"evidence": True}
    wiped = replace(SEATED, accepted_bits=0b11, wiped_at=2050)
    assert decide(view(SEATED, UP, UP), 1229, RULES) == Wait("the buyer has it", 1230)
    step = decide(view(wiped, clean, clean), 2299, RULES)
    assert step == Wait("its last epochs are not final yet", 2300)
    assert decide(view(wiped, clean, clean), 2300, RULES) == Settle()


def test_a_missed_signature_is_recorded() -> None:
    assert decide(view(AWARDED), 1050, RULES) == Expire()


def test_operation_keys_are_read_back_and_foreign_ones_are_not_ours() -> None:
    leases = "0xAbCdEf0123456789abcdef0123456789ABCDEF01"
    key = operation_key(31337, leases, 12, 345)
    assert key == "ocx-31337-abcdef01-12-345"
    assert parse_key(key, 31337, leases) == (12, 345)
    for foreign in ("ocx-1-abcdef01-12-345", "ocx-31337-00000000-12-345", "ocx-31337-abcdef01-12-x", "a", ""):
        assert parse_key(foreign, 31337, leases) is None
