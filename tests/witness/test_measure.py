"""The engine, against real servers: every round once, at its time; what it cannot tell it leaves alone."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from chain.leaves import Outcome
from market.rounds import Grid
from tests.witness.conftest import Responder, Sshd, free_port
from tests.witness.proxy import Banner, Dead, Delay, HalfOpen, Proxy, Refuse
from witness.clock import Clock
from witness.log import Log, Measurement
from witness.measure import Engine
from witness.probes.guest import guest
from witness.settings import MeasureSettings
from witness.targets import Endpoint, Gateway, Kind, Reference, Target

GRID = Grid(20, 10)  # rounds of two seconds
HOST = "127.0.0.1"
WITNESS = "0x" + "cd" * 20
SECRET = bytes(range(32))


@dataclass
class Node:
    """An engine with its log and a clock that tests may set."""

    folder: Path
    settings: MeasureSettings = field(
        default_factory=lambda: MeasureSettings(loopback=True, host_key_every=1)
    )
    grid: Grid = GRID
    off: float = 0.0

    def __post_init__(self) -> None:
        self.log = Log(self.folder / "witness.db", batch=0.01)
        self.clock = Clock(5, 5, 600, wall=lambda: time.time() + self.off)
        now = time.monotonic()
        for number in range(1, 5):
            self.clock.observe(number, int(time.time()), now - 0.1, now)
        self.engine = Engine(self.settings, self.grid, SECRET, WITNESS, self.log, self.clock)

    def found(self, lease: int = 1, place: int = 0) -> list[Measurement]:
        """All that is in the log of a machine."""
        epoch = self.grid.epoch_of(int(time.time()))
        return self.log.measured(lease, place, epoch - 2, epoch + 2)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Measure inside."""
        task = asyncio.create_task(self.engine.run())
        try:
            yield
            assert not task.done()
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    made = Node(tmp_path)
    yield made
    made.log.stop()


def target(port: int, *, lease: int = 1, kind: Kind = Kind.TCP, seconds: int = 60, **more: object) -> Target:
    """A machine on loopback, measured from the next whole second on."""
    facts = {name: more.pop(name) for name in ("host_key", "guest") if name in more}
    now = int(time.time())
    return Target(lease, 0, 1, Endpoint(HOST, port, kind, **facts), now, now + seconds, **more)  # type: ignore[arg-type]


async def until(done: Callable[[], object], seconds: float = 20.0) -> None:
    """Wait until something holds."""
    deadline = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < deadline, "it did not happen in time"
        await asyncio.sleep(0.02)


def first_found(node: Node, machine: Target, references: list[int]) -> Measurement:
    """Measure one machine until its first round is in the log."""

    async def run() -> Measurement:
        node.engine.set_references([Reference(HOST, port) for port in references])
        node.engine.set_targets([machine])
        async with node.running():
            await until(node.found)
        return node.found()[0]

    return asyncio.run(run())


def test_a_machine_is_measured_once_in_each_round_at_its_secret_time(node: Node, sshd: Sshd) -> None:
    async def run() -> None:
        node.engine.set_targets([target(sshd.port, lease=lease) for lease in (1, 2, 3)])
        async with node.running():
            await until(lambda: all(len(node.found(lease)) >= 3 for lease in (1, 2, 3)))

    asyncio.run(run())
    for lease in (1, 2, 3):
        found = node.found(lease)
        rounds = [(item.epoch, item.round) for item in found]
        assert len(set(rounds)) == len(rounds)
        for item in found:
            late = item.at - node.engine.times.due((lease, 0), item.epoch, item.round)
            assert 0 <= late < 1000
            assert item.outcome == Outcome.UP


def test_only_rounds_that_lie_wholly_in_the_window_are_measured(node: Node, sshd: Sshd) -> None:
    async def run() -> tuple[int, int]:
        machine = target(sshd.port, seconds=5)
        node.engine.set_targets([machine])
        async with node.running():
            await until(lambda: time.time() > machine.end + 1)
        return machine.start, machine.end

    start, end = asyncio.run(run())
    for item in node.found():
        assert GRID.round_start(item.epoch, item.round) >= start
        assert GRID.round_end(item.epoch, item.round) <= end
    assert 1 <= len(node.found()) <= 2


def test_a_restart_measures_no_round_twice(node: Node, sshd: Sshd) -> None:
    """Another engine on the same log and secret: what is logged already is not even asked for."""

    async def run() -> None:
        with Proxy(sshd.port) as proxy:
            machine = target(proxy.port)
            node.engine.set_targets([machine])
            async with node.running():
                await until(node.found)
            asked = proxy.connections
            item = node.found()[0]
            again = Engine(node.settings, GRID, SECRET, WITNESS, node.log, node.clock)
            again.set_targets([machine])
            due = again.times.due(machine.key, item.epoch, item.round)
            node.off = (due - 300) / 1000 - time.time()  # just before it was measured
            task = asyncio.create_task(again.run())
            late = (due + 200) / 1000  # and long before the next round
            while time.time() + node.off < late:
                await asyncio.sleep(0.01)
            assert proxy.connections == asked
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    asyncio.run(run())


@pytest.mark.parametrize(
    ("fault", "outcome", "reason"),
    [
        (Dead(), Outcome.PROVIDER, "silent"),
        (Refuse(), Outcome.PROVIDER, "silent"),
        (HalfOpen(), Outcome.PROVIDER, "silent"),
        (Banner(b"220 smtp\r\n" * 30), Outcome.BUYER, "service"),
        (Delay(0.05), Outcome.UP, "answers"),
    ],
)
def test_what_happens_on_the_way_to_an_ssh_server(
    node: Node, sshd: Sshd, fault: object, outcome: Outcome, reason: str
) -> None:
    with Proxy(sshd.port, fault) as proxy:  # type: ignore[arg-type]
        machine = target(proxy.port, kind=Kind.SSH, host_key=sshd.keys["ed25519"])
        found = first_found(node, machine, [sshd.port])
    assert (found.outcome, found.reason) == (outcome, reason), found
    assert (found.detail == "") == (outcome is Outcome.UP)


def test_another_machine_behind_the_address_is_the_providers_fault(node: Node, sshd: Sshd) -> None:
    machine = target(sshd.port, kind=Kind.SSH, host_key="SHA256:" + "B" * 43)
    found = first_found(node, machine, [sshd.port])
    assert (found.outcome, found.reason) == (Outcome.PROVIDER, "other-machine")


def test_a_witness_that_is_cut_off_blames_nobody(node: Node, sshd: Sshd) -> None:
    with Proxy(sshd.port, Dead()) as proxy, Proxy(sshd.port, Dead()) as reference:
        found = first_found(node, target(proxy.port), [reference.port])
    assert (found.outcome, found.reason) == (Outcome.PATH, "no-reach")


def test_a_witness_without_references_blames_nobody(node: Node, sshd: Sshd) -> None:
    with Proxy(sshd.port, Dead()) as proxy:
        found = first_found(node, target(proxy.port), [])
    assert (found.outcome, found.reason) == (Outcome.PATH, "no-reach")


def test_a_machine_that_missed_one_packet_is_asked_again_before_it_is_called_down(
    node: Node, sshd: Sshd
) -> None:
    from tests.witness.proxy import Loss

    seed = next(seed for seed in range(100) if _lost(seed) == [True, False])
    with Proxy(sshd.port, Loss(0.5, seed)) as proxy:
        machine = target(proxy.port, kind=Kind.SSH, host_key=sshd.keys["ed25519"])
        found = first_found(node, machine, [sshd.port])
        assert proxy.connections >= 2
    assert found.outcome == Outcome.UP


def _lost(seed: int) -> list[bool]:
    import random

    draw = random.Random(seed)
    return [draw.random() < 0.5 for _ in range(2)]


def test_the_guests_receipt_is_kept_with_the_measurement(
    node: Node, sshd: Sshd, responder: Responder
) -> None:
    first = asyncio.run(
        guest(HOST, responder.port, 5, lease=1, place=0, epoch=1, round_=1, witness=WITNESS, loopback=True)
    )
    machine = target(
        sshd.port, guest=(HOST, responder.port), guest_required=True, guest_address=first.address
    )
    found = first_found(node, machine, [sshd.port])
    assert found.outcome == Outcome.UP
    assert len(found.signature) == 65
    assert any(found.nonce)


def test_a_service_without_the_receipt_that_is_asked_for_is_the_tenants_business(
    node: Node, sshd: Sshd
) -> None:
    machine = target(sshd.port, guest=(HOST, free_port()), guest_required=True, guest_address=b"g" * 20)
    found = first_found(node, machine, [sshd.port])
    assert (found.outcome, found.reason) == (Outcome.BUYER, "no-receipt")


def test_off_by_the_buyers_wish_is_not_the_providers_fault(node: Node, sshd: Sshd) -> None:
    with Proxy(sshd.port, Dead()) as proxy:
        found = first_found(node, target(proxy.port, power_off=True), [sshd.port])
    assert (found.outcome, found.reason) == (Outcome.BUYER, "off-by-buyer")


def test_while_the_clock_is_wrong_nothing_is_measured_and_nobody_is_asked(node: Node, sshd: Sshd) -> None:
    with Proxy(sshd.port, Dead()) as proxy:
        node.off = 300.0
        machine = target(proxy.port, seconds=900)

        async def run() -> None:
            node.engine.set_references([Reference(HOST, sshd.port)])
            node.engine.set_targets([machine])
            async with node.running():
                await until(lambda: node.engine.gauges().outcomes)

        asyncio.run(run())
    assert set(node.engine.gauges().outcomes) == {("path", "clock")}
    (leaf,) = node.log.leaves(next(iter(node.log._read("SELECT DISTINCT epoch FROM sample", ())))[0])
    assert (leaf.measured, leaf.down) == (0, 0)


def test_a_clock_that_is_set_forward_and_back_makes_no_false_verdict(node: Node, sshd: Sshd) -> None:
    async def run() -> None:
        node.engine.set_targets([target(sshd.port, seconds=2000)])
        node.engine.set_references([Reference(HOST, sshd.port)])
        async with node.running():
            await until(lambda: ("up", "answers") in node.engine.gauges().outcomes)
            node.off = 1000.0
            await until(lambda: ("path", "clock") in node.engine.gauges().outcomes)
            node.off = 0.0
            before = node.engine.gauges().outcomes["up", "answers"]
            await until(lambda: node.engine.gauges().outcomes["up", "answers"] > before)

    asyncio.run(run())
    assert {outcome for outcome, _ in node.engine.gauges().outcomes} == {"up", "path"}


def test_an_outage_of_many_machines_asks_their_provider_only_a_few_times(node: Node, sshd: Sshd) -> None:
    with Proxy(sshd.port, Dead()) as proxy, Proxy(sshd.port) as gateway:
        door = Gateway(f"https://{HOST}:{gateway.port}", bytes(32))

        async def run() -> None:
            machines = [target(proxy.port, lease=lease, gateway=door) for lease in range(1, 101)]
            node.engine.set_targets(machines)
            node.engine.set_references([Reference(HOST, sshd.port)])
            async with node.running():
                await until(lambda: sum(node.engine.gauges().outcomes.values()) >= 100)

        asyncio.run(run())
        # A machine that is busy makes the witness late, or its own way slow: that counts for nobody.
        told = {outcome for outcome in node.engine.gauges().outcomes if outcome[0] != "path"}
        assert told == {("provider", "edge")}
        assert gateway.connections <= 4


def test_an_overloaded_witness_leaves_rounds_unmeasured_and_calls_nobody_down(
    tmp_path: Path, sshd: Sshd
) -> None:
    """One look at a time, at machines that take long to be silent: most begin too late."""
    settings = MeasureSettings(loopback=True, concurrency=1, late_ms=100)
    node = Node(tmp_path, settings)
    with Proxy(sshd.port, Delay(0.4)) as proxy:

        async def run() -> None:
            machines = [target(proxy.port, lease=lease, kind=Kind.SSH) for lease in range(1, 40)]
            node.engine.set_targets(machines)
            node.engine.set_references([Reference(HOST, sshd.port)])
            async with node.running():
                await until(lambda: node.engine.gauges().outcomes.get(("path", "late"), 0) >= 10)

        asyncio.run(run())
    gauges = node.engine.gauges()
    assert not [count for (outcome, _), count in gauges.outcomes.items() if outcome in ("provider", "buyer")]
    assert gauges.worst_late_ms > 100
    node.log.stop()


def test_a_measurement_whose_epoch_was_closed_meanwhile_does_not_count(node: Node, sshd: Sshd) -> None:
    async def run() -> None:
        epoch = GRID.epoch_of(int(time.time()))
        for number in range(epoch, epoch + 3):
            node.log.close(number)
        node.engine.set_targets([target(sshd.port)])
        async with node.running():
            await until(lambda: node.engine.gauges().lost)

    asyncio.run(run())
    assert node.found() == []
    assert not node.engine.gauges().outcomes


def test_drained_waits_for_measurements_under_way(node: Node, sshd: Sshd) -> None:
    with Proxy(sshd.port, HalfOpen()) as proxy:

        async def run() -> None:
            node.engine.set_targets([target(proxy.port, kind=Kind.SSH)])
            async with node.running():
                await until(lambda: node.engine.gauges().running)
                epoch = GRID.epoch_of(int(time.time()))
                assert not node.found()
                await asyncio.wait_for(node.engine.drained(epoch), 10)
                assert node.found()
                await node.engine.drained(epoch - 5)

        asyncio.run(run())


def test_a_machine_that_is_taken_away_is_left_alone(node: Node, sshd: Sshd) -> None:
    async def run() -> None:
        node.engine.set_targets([target(sshd.port), target(sshd.port, lease=2)])
        async with node.running():
            await until(lambda: node.found(1) and node.found(2))
            node.engine.set_targets([target(sshd.port)])
            count, other = len(node.found(2)), len(node.found(1))
            await until(lambda: len(node.found(1)) >= other + 2)
            assert len(node.found(2)) <= count + 1

    asyncio.run(run())
    assert node.engine.targets == 1
