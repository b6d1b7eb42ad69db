"""What a deployment can be asked to be, before anything is deployed."""

from __future__ import annotations

from typing import Any

import pytest

from chain.deploy import DeployParams
from market.errors import InvalidInput


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"slot": 0}, "slot must be at least 1"),
        ({"slot": "3600"}, "slot of '3600' is not a whole number"),
        ({"slash_ppm": 1_000_001}, "slash_ppm of 1000001 is not a whole number from 0 to 1000000"),
        ({"rounds": 257}, "cannot have 257 rounds"),
        ({"epoch": 10}, "cannot have 60 rounds"),
        ({"small_quorum": 1}, "a quorum of 1 in a committee of 3 is no majority"),
        ({"large_quorum": 6}, "a quorum of 6 in a committee of 5 is no majority"),
        ({"large_size": 7}, "large_size of 7 is not a whole number from 0 to 6"),
        ({"small_size": 6, "small_quorum": 4}, "committees of 6 and 5 out of 12 are none"),
        ({"small_size": 2}, "committees of 2 and 5"),
        ({"large_pool": 4}, "committees of 3 and 5 out of 4"),
        ({"large_pool": 65}, "large_pool of 65 is not a whole number from 0 to 64"),
        ({"reclaim_ppm": 200_000}, "costs no less than a default"),
        ({"speed": 1}, "unknown deployment parameters: speed"),
    ],
)
def test_what_would_make_no_exchange_is_refused(values: dict[str, Any], told: str) -> None:
    with pytest.raises(InvalidInput, match=told):
        DeployParams.load(values)


def test_money_may_be_larger_than_times() -> None:
    assert DeployParams.load({"min_stake": 1 << 90}).min_stake == 1 << 90


def test_a_demos_epochs_are_seconds_and_its_stakes_small() -> None:
    demo, real = DeployParams.demo(), DeployParams()
    assert (demo.epoch, demo.rounds, demo.restore_time) == (10, 10, 3)
    assert demo.min_stake < real.min_stake and demo.seat_fee < real.seat_fee
