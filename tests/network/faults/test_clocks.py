"""A validator whose clock is wrong: by seconds, by a minute, by an hour; ahead and behind."""

from __future__ import annotations

import contextlib
import shutil
import time

import pytest

from chain.wire import RpcUnreachable
from tests.network.faults import clockwork
from tests.network.faults.judge import chain_keeps_its_word
from tests.network.faults.stage import Stage
from tests.provisioner.world import wait_for

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
    wait_for("it to have met another", lambda: _peers(four, "v4") >= 1, 120)
    began, height = time.monotonic(), four.head("v1")
    told = four.journal.first_after(began, 6)
    wait_for("15 blocks further", lambda: four.head("v1") >= height + 15, 180)
    took, grown = time.monotonic() - began, four.head("v1") - height
    top = height + 15 - four.description.confirmations  # what is above may give way yet
    head = four.world.node.rpc().head()
    four.note(
        fault,
        six_told_in=told.at - began,
        block_every=took / grown,
        of_so_many_blocks=top - height,
        it_sealed=_sealed(four, "v4", height + 1, top),
        head_ahead_of_true_time=head.timestamp - time.time(),
        it_lags=four.head("v1") - four.head("v4"),
    )
    chain_keeps_its_word(four, ["v1", "v2", "v3"])
    four.right_clocks()
    began = time.monotonic()
    four.keep("start", "v4")
    four.recovered(fault, began)
    chain_keeps_its_word(four)


def _peers(stage: Stage, name: str) -> int:
    """How many peers a node has; none while it does not answer."""
    with contextlib.suppress(RpcUnreachable), stage.line(name) as line:
        return int(line.call("net_peerCount"), 16)
    return 0


def _sealed(stage: Stage, name: str, first: int, last: int) -> int:
    """How many of these blocks a validator sealed, on the chain of the others."""
    with stage.line("v1") as line:
        asked = [("clique_getSigner", [hex(number)]) for number in range(first, last + 1)]
        signers = line.call_many(asked)
    return sum(str(signer).lower() == stage.node(name).address.lower() for signer in signers)
