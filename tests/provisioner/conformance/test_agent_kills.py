"""kill -9 of a whole agent between any two statements of its journals, over the life of a lease.

For every write to the agent's database and to its sender's journal, from the award to the last money, one
lease is lived through by an agent that dies just before that write, and another by one that dies just after
it. Then the next agent goes on. Each time there was one signature, one delivery, one server, one wipe, and
the money is where it belongs.
"""

from __future__ import annotations

import contextlib
import signal
import threading
import time
from collections import deque
from collections.abc import Iterator
from pathlib import Path

import pytest

from chain.generated.errors import Book_Skipped
from tests.provisioner.conformance.fleet import Fleet, Lane, fleet
from tests.provisioner.conformance.warm import Child, Warm
from tests.provisioner.world import wait_for

pytestmark = pytest.mark.timeout(280)
LANES = 8
SPARE = 6
"""Moments tried beyond those of a calm life, which are not always equally many."""


@pytest.fixture(scope="module")
def many(warm: Warm, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    """Providers whose agents die at the same time."""
    with fleet(tmp_path_factory.mktemp("fleet"), warm, LANES) as running:
        for lane in running.lanes:
            lane.provider.settings()
        running.begin()
        yield running


def buy(lane: Lane) -> int:
    """A lease of whichever of the two machines is free first."""
    deadline = time.monotonic() + 30
    while True:
        for place in (0, 1):
            with contextlib.suppress(Book_Skipped):
                return lane.buyer.buy(lane.provider, 60, places=(place,))
        assert time.monotonic() < deadline, "no machine of the lane comes free"
        time.sleep(0.1)


def live(lane: Lane, fatal: int, folder: Path) -> tuple[int, bool]:
    """One lease from award to the last money, the agent dying at a moment; the lease, and whether it died."""
    lease = buy(lane)
    agents: list[Child] = [lane.agent(fatal=fatal)]
    died = False

    def alive() -> bool:
        nonlocal died
        if not agents[-1].alive:
            assert agents[-1].wait(1) == -signal.SIGKILL, (lane.provider.folder / "agent.log").read_text()
            died = True
            agents.append(lane.agent())
        return True

    def reach(what: str, *states: str) -> None:
        wait_for(f"{what} of lease {lease} (death at {fatal})", lambda: alive() and state() in states, 60)

    def state() -> str:
        return lane.buyer.state(lease)

    try:
        reach("the delivery", "delivered")
        lane.accept(lease)
        lane.end_early(lease)
        reach("the wipe", "terminated")
        wait_for(f"the money of lease {lease}", lambda: alive() and lane.is_settled(lease), 40)
    finally:
        agents[-1].kill()
    return lease, died


def test_an_agent_killed_between_any_two_journal_steps_loses_and_doubles_nothing(
    many: Fleet, tmp_path: Path
) -> None:
    first = many.lanes[0]
    lease = buy(first)
    calm = first.agent(told=str(tmp_path / "told"))
    first.buyer.wait_state(lease, "delivered")
    first.accept(lease)
    first.end_early(lease)
    wait_for("the money", lambda: first.is_settled(lease))
    calm.signal(signal.SIGTERM)
    assert calm.wait(20) == 0
    moments = int((tmp_path / "told").read_text())
    assert moments > 30

    todo = deque(range(1, moments + SPARE + 1))
    told: list[tuple[Lane, int, bool]] = []
    wrong: list[BaseException] = []

    def work(lane: Lane) -> None:
        while todo and not wrong:
            fatal = todo.popleft()
            try:
                lease, died = live(lane, fatal, tmp_path)
                told.append((lane, lease, died))
            except BaseException as error:
                error.add_note(f"death at moment {fatal} in {lane.provider.folder}")
                wrong.append(error)

    threads = [threading.Thread(target=work, args=(lane,)) for lane in many.lanes]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if wrong:
        raise wrong[0]

    deaths = sum(died for _, _, died in told)
    print(f"{len(told)} lives, {deaths} of them with a death, {moments} moments in a calm life")
    assert len(told) == moments + SPARE and deaths >= 0.9 * moments
    for lane, lease, _ in told:
        assert set(lane.count(lease).values()) == {1}, f"lease {lease}: {lane.count(lease)}"
    for lane in many.lanes:
        boots = lane.witness.boots()
        mine = [lease for other, lease, _ in told if other is lane]
        assert lane.witness.doubles() == [] and len(boots) >= len(mine)
        assert lane.witness.carried() == set()
