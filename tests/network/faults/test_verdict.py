"""The last of this folder: after every fault before it, callers come to their end, and all is counted."""

from __future__ import annotations

import pytest

from tests.network.faults.judge import everything_adds_up
from tests.network.faults.stage import Stage

pytestmark = [pytest.mark.engine, pytest.mark.timeout(600)]


def test_at_the_end_nothing_is_lost_and_nothing_was_done_twice(four: Stage) -> None:
    for caller in four.callers:
        caller.enough.set()
    for caller in four.callers:
        caller.join()
    assert all(agent.alive for agent in four.agents)
    four.note("all of it", **everything_adds_up(four), waits=four.journal.waits)
