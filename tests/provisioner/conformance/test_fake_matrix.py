"""The whole matrix on the fake cloud: every kind of fault, before, during and after each effect."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from market.errors import OcxError, Temporary
from provisioner.plugin import Order, State
from provisioner.plugins.fake import FAULTS
from tests.provisioner.conformance.benches import FakeBench
from tests.provisioner.conformance.warm import Warm

METHODS = ("provision", "release")
RAISED = [kind for kind in FAULTS if not kind.startswith(("hang", "kill")) and kind != "fail"]
HANGS = [kind for kind in FAULTS if kind.startswith("hang")]
KILLS = [kind for kind in FAULTS if kind.startswith("kill")]


def ready_for(bench: FakeBench, method: str) -> Order:
    """An order; for a release, its machine is up."""
    order = bench.order()
    if method == "release":
        bench.plugin().provision(order)
    return order


def finish(bench: FakeBench, method: str, order: Order) -> None:
    """Repeat the call, and see that everything is as if it had never failed."""
    if method == "provision":
        first = bench.plugin().provision(order)
        assert bench.servers(order.key) == 1 and bench.plugin().provision(order) == first
    evidence = bench.plugin().release(order.key)
    assert not evidence.facts.get("absent") and bench.plugin().release(order.key) == evidence
    assert bench.servers(order.key) == 0 and bench.all_keys() == set()


def argument(method: str, order: Order) -> Order | str:
    """What the method is called with."""
    return order if method == "provision" else order.key


@pytest.mark.parametrize("kind", RAISED)
@pytest.mark.parametrize("method", METHODS)
def test_a_call_that_raised_is_repeated(fake_bench: FakeBench, method: str, kind: str) -> None:
    order = ready_for(fake_bench, method)
    plugin = fake_bench.fake()
    plugin.inject(method, kind)
    with pytest.raises((OcxError, RuntimeError)):
        getattr(plugin, method)(argument(method, order))
    finish(fake_bench, method, order)


@pytest.mark.parametrize("kind", HANGS)
@pytest.mark.parametrize("method", METHODS)
def test_a_call_that_hangs_is_overtaken_and_comes_to_the_same_end(
    fake_bench: FakeBench, method: str, kind: str
) -> None:
    order = ready_for(fake_bench, method)
    plugin = fake_bench.fake()
    plugin.inject(method, kind)
    told: list[object] = []
    thread = threading.Thread(
        target=lambda: told.append(getattr(plugin, method)(argument(method, order))), daemon=True
    )
    thread.start()
    thread.join(0.1)
    assert thread.is_alive()
    overtaking = getattr(fake_bench.plugin(), method)(argument(method, order))
    plugin.clear_faults()
    thread.join(10)
    assert told == [overtaking]
    finish(fake_bench, method, order)


@pytest.mark.parametrize("kind", KILLS)
@pytest.mark.parametrize("method", METHODS)
def test_a_process_killed_in_the_call_is_followed_by_one_that_finishes(
    fake_bench: FakeBench, warm: Warm, tmp_path: Path, method: str, kind: str
) -> None:
    order = ready_for(fake_bench, method)
    fake_bench.fake().inject(method, kind)
    assert fake_bench.child(warm, tmp_path, method, argument(method, order)) is None
    finish(fake_bench, method, order)


def test_a_build_that_failed_is_said_to_have_failed_and_started_again(fake_bench: FakeBench) -> None:
    order = fake_bench.order()
    plugin = fake_bench.fake()
    plugin.inject("provision", "fail")
    with pytest.raises(Temporary):
        plugin.provision(order)
    assert plugin.status(order.key).state is State.FAILED and fake_bench.servers(order.key) == 0
    finish(fake_bench, "provision", order)


@pytest.mark.parametrize("method", ["inspect", "status", "list_owned"])
@pytest.mark.parametrize("kind", ["temporary", "temporary-after", "crash", "half"])
def test_a_reading_that_failed_is_no_reading(fake_bench: FakeBench, method: str, kind: str) -> None:
    order = ready_for(fake_bench, "release")
    plugin = fake_bench.fake()
    plugin.inject(method, kind)
    with pytest.raises((Temporary, RuntimeError)):
        getattr(plugin, method)(*([order.key] if method == "status" else []))
    assert order.key in plugin.list_owned()
    finish(fake_bench, "release", order)
