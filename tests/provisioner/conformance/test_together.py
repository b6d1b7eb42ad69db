"""Several callers at the same moment: threads, processes, and the agents of two operator keys."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from market.errors import Permanent, Temporary
from provisioner.plugin import Connection, State
from tests.provisioner.conformance.benches import Bench
from tests.provisioner.conformance.warm import Warm


def test_threads_that_provision_one_key_at_once_get_one_server_and_one_connection(bench: Bench) -> None:
    order, shared = bench.order(), bench.plugin()
    plugins = [shared, shared, bench.plugin(), bench.plugin()]
    together = threading.Barrier(len(plugins))

    def provision(number: int) -> Connection:
        together.wait(10)
        return plugins[number].provision(order)

    with ThreadPoolExecutor(len(plugins)) as pool:
        connections = list(pool.map(provision, range(len(plugins))))
    assert len({connection.host_key for connection in connections}) == 1
    assert bench.servers(order.key) == 1 and bench.all_keys() == {order.key}
    together.reset()

    def release(number: int) -> Any:
        together.wait(10)
        return plugins[number].release(order.key)

    with ThreadPoolExecutor(len(plugins)) as pool:
        evidence = list(pool.map(release, range(len(plugins))))
    assert evidence == [evidence[0]] * len(evidence)
    assert bench.servers(order.key) == 0 and bench.all_keys() == set()


def test_two_processes_that_provision_and_release_one_key_at_once_agree(
    bench: Bench, warm: Warm, tmp_path: Path
) -> None:
    order = bench.order()
    with ThreadPoolExecutor(2) as pool:
        calls = [pool.submit(bench.child, warm, tmp_path, "provision", order) for _ in range(2)]
        told = [call.result() for call in calls]
    assert all(item is not None and "result" in item for item in told), told
    assert told[0]["result"] == told[1]["result"]  # type: ignore[index]
    assert bench.servers(order.key) == 1
    with ThreadPoolExecutor(2) as pool:
        calls = [pool.submit(bench.child, warm, tmp_path, "release", order.key) for _ in range(2)]
        told = [call.result() for call in calls]
    assert all(item is not None and "result" in item for item in told), told
    assert told[0]["result"] == told[1]["result"]  # type: ignore[index]
    assert bench.servers(order.key) == 0


def test_two_keys_for_one_machine_at_the_same_moment_get_it_one_after_the_other(bench: Bench) -> None:
    orders = [bench.order(), bench.order()]
    together = threading.Barrier(2)

    def provision(number: int) -> Connection | None:
        together.wait(10)
        try:
            return bench.plugin().provision(orders[number])
        except (Permanent, Temporary):
            return None

    with ThreadPoolExecutor(2) as pool:
        got = list(pool.map(provision, range(2)))
    winners = [order for order, connection in zip(orders, got, strict=True) if connection]
    assert len(winners) == 1, "exactly one has the machine"
    assert [bench.servers(order.key) for order in orders].count(1) == 1
    assert bench.all_keys() == {winners[0].key}
    bench.plugin().release(winners[0].key)
    [loser] = [order for order in orders if order is not winners[0]]
    assert bench.plugin().status(loser.key).state is State.ABSENT
    assert bench.plugin().provision(loser).host_key, "the loser's key is good for it afterwards"
    bench.plugin().release(loser.key)
