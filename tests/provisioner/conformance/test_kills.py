"""kill -9 at every moment of a plugin call: whoever comes next finishes it, and nothing is there twice.

A real process makes the call and is killed just before, or just after, the n-th step that its cloud can see,
for every n. Then a process that knows nothing repeats the call.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from provisioner.plugin import Order
from tests.provisioner.conformance.benches import Bench
from tests.provisioner.conformance.warm import Warm


def at_every_moment(bench: Bench, moments: int, try_one: Callable[[int, int], None]) -> int:
    """Call `try_one(moment, machine)` for the moments of a bench, on all its lanes at once; how many."""
    chosen = bench.choose(moments)
    machines: list[int] = list(range(bench.lanes))

    def one(moment: int) -> None:
        machine = machines.pop()
        try:
            try_one(moment, machine)
        finally:
            machines.append(machine)

    with ThreadPoolExecutor(bench.lanes) as pool:
        list(pool.map(one, chosen))
    return len(chosen)


def test_provision_killed_at_any_moment_is_finished_by_the_next_with_one_server(
    bench: Bench, warm: Warm, tmp_path: Path
) -> None:
    whole = bench.child(warm, tmp_path, "provision", first := bench.order())
    assert whole is not None and "result" in whole and whole["moments"] > 1
    bench.plugin().release(first.key)
    killed = []

    def die_and_repeat(moment: int, machine: int) -> None:
        order = bench.order(machine=machine)
        if bench.child(warm, tmp_path, "provision", order, moment) is None:
            killed.append(moment)
        assert bench.servers(order.key) <= 1
        plugin = bench.plugin()
        connection = plugin.provision(order)
        assert bench.servers(order.key) == 1
        assert plugin.status(order.key).connection == connection
        plugin.release(order.key)
        assert bench.servers(order.key) == 0 and order.key not in bench.all_keys()

    tried = at_every_moment(bench, whole["moments"], die_and_repeat)
    assert len(killed) >= int(0.8 * tried), "almost every victim must really die"


def test_release_killed_at_any_moment_is_finished_by_the_next_with_the_evidence(
    bench: Bench, warm: Warm, tmp_path: Path
) -> None:
    bench.plugin().provision(first := bench.order())
    whole = bench.child(warm, tmp_path, "release", first.key)
    assert whole is not None and "result" in whole and whole["moments"] > 1
    killed = []

    def die_and_repeat(moment: int, machine: int) -> None:
        order = bench.order(machine=machine)
        plugin = bench.plugin()
        plugin.provision(order)
        if bench.child(warm, tmp_path, "release", order.key, moment) is None:
            killed.append(moment)
        evidence = bench.plugin().release(order.key)
        assert not evidence.facts.get("absent") and evidence.local_id == order.local_id
        assert bench.plugin().release(order.key) == evidence
        assert bench.servers(order.key) == 0 and order.key not in bench.all_keys()

    tried = at_every_moment(bench, whole["moments"], die_and_repeat)
    assert len(killed) >= int(0.8 * tried), "almost every victim must really die"


def test_a_kill_touches_nothing_that_carries_another_key(bench: Bench, warm: Warm, tmp_path: Path) -> None:
    neighbour, victim = bench.order(), bench.order(machine=1)
    kept = bench.plugin().provision(neighbour)
    whole = bench.child(warm, tmp_path, "provision", victim)
    assert whole is not None
    bench.plugin().release(victim.key)
    last: Order = bench.order(machine=1)
    assert bench.child(warm, tmp_path, "provision", last, max(2, whole["moments"] // 2)) is None
    bench.plugin().release(last.key)
    assert bench.plugin().provision(neighbour) == kept and bench.servers(neighbour.key) == 1
    bench.plugin().release(neighbour.key)
