"""What a plugin makes of a cloud that fails before, during or after an effect, or answers by half."""

from __future__ import annotations

import pytest

from market.errors import Permanent, Temporary
from provisioner.plugin import State
from tests.provisioner.conformance.benches import Bench, When

EFFECTS = [When.BEFORE, When.DURING, When.AFTER]
READS = ["inspect", "status", "list_owned"]


def ask(plugin: object, method: str, key: str) -> object:
    """Call one of the methods that only read."""
    call = getattr(plugin, method)
    return call(key) if method == "status" else call()


@pytest.mark.parametrize("when", EFFECTS)
def test_a_provision_that_failed_is_repeated_to_exactly_one_server(bench: Bench, when: When) -> None:
    order = bench.order()
    with bench.trouble("provision", when) as plugin:
        try:
            plugin.provision(order)
        except Temporary:
            assert bench.servers(order.key) <= 1
    first = bench.plugin().provision(order)
    assert bench.servers(order.key) == 1 and bench.all_keys() == {order.key}
    assert bench.plugin().provision(order) == first
    bench.plugin().release(order.key)
    assert bench.servers(order.key) == 0 and bench.all_keys() == set()


@pytest.mark.parametrize("when", EFFECTS)
def test_a_release_that_failed_is_repeated_to_no_server(bench: Bench, when: When) -> None:
    order = bench.order()
    bench.plugin().provision(order)
    with bench.trouble("release", when) as plugin:
        try:
            plugin.release(order.key)
        except Temporary:
            assert bench.plugin().status(order.key).state is not State.BUILDING
    evidence = bench.plugin().release(order.key)
    assert not evidence.facts.get("absent") and evidence.local_id == order.local_id
    assert bench.plugin().release(order.key) == evidence
    assert bench.servers(order.key) == 0 and bench.all_keys() == set()


@pytest.mark.parametrize("when", [When.HALF, When.DOWN])
@pytest.mark.parametrize("method", READS)
def test_a_question_without_a_whole_answer_is_temporary_and_never_none(
    bench: Bench, method: str, when: When
) -> None:
    with bench.trouble(method, when) as plugin, pytest.raises(Temporary):
        ask(plugin, method, bench.key())


@pytest.mark.parametrize("when", [When.HALF, When.DOWN])
def test_a_release_without_a_whole_answer_is_temporary_and_never_absent(bench: Bench, when: When) -> None:
    with bench.trouble("release", when) as plugin, pytest.raises(Temporary):
        plugin.release(bench.key())


@pytest.mark.parametrize("when", [When.HALF, When.DOWN])
def test_a_provision_without_a_whole_answer_is_temporary(bench: Bench, when: When) -> None:
    order = bench.order()
    with bench.trouble("provision", when) as plugin, pytest.raises(Temporary):
        plugin.provision(order)
    try:
        bench.plugin().provision(order)
        assert bench.servers(order.key) == 1
    finally:
        bench.plugin().release(order.key)
    assert bench.servers(order.key) == 0


def test_check_tells_of_a_cloud_that_is_down_and_does_not_raise(bench: Bench) -> None:
    if bench.name == "fake":
        pytest.skip("the fake cloud's faults are of methods, and check has none")
    with bench.trouble("check", When.DOWN) as plugin:
        assert plugin.check()


def test_an_error_says_in_one_line_what_is_wrong(bench: Bench) -> None:
    with pytest.raises(Permanent) as refusal:
        bench.plugin().provision(bench.order(local_id=bench.unknown_id()))
    assert bench.unknown_id() in str(refusal.value) and "\n" not in str(refusal.value)
