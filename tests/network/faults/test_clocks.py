"""A validator whose clock is wrong: by seconds, by a minute, by an hour; ahead and behind."""

from __future__ import annotations

import shutil
import time

import pytest

from tests.network.faults import clockwork
from tests.network.faults.judge import chain_keeps_its_word
from tests.network.faults.stage import Stage

pytestmark = [
    pytest.mark.engine,
    pytest.mark.timeout(1800),
    pytest.mark.skipif(shutil.which("go") is None, reason="the engine with a wrong clock is built with Go"),
]


@pytest.mark.parametrize("seconds", [5, -5, 60, -60, 3600, -3600])
def test_with_one_wrong_clock_of_four_the_chain_goes_on_and_keeps_its_word(four: Stage, seconds: int) -> None:
    clockwork.build(four.folder)
    fault = f"clock {seconds:+d} s"
    four.keep("stop", "v4")
    (four.home("v4") / clockwork.SKEW).write_text(str(seconds))
    four.keep("start", "v4")
    began, height = time.monotonic(), four.head("v1")
    told = four.journal.first_after(began, 6)
    four.wait(lambda found: four.head("v1") >= height + 10, "10 blocks further")
    took = time.monotonic() - began
    head = four.world.node.rpc().head()
    four.note(
        fault,
        six_told_in=told.at - began,
        block_every=took / (four.head("v1") - height),
        head_ahead_of_true_time=head.timestamp - time.time(),
        it_lags=head.number - four.head("v4"),
    )
    chain_keeps_its_word(four, ["v1", "v2", "v3"])
    four.right_clocks()
    began = time.monotonic()
    four.keep("start", "v4")
    four.recovered(fault, began)
    chain_keeps_its_word(four)
