"""Every sentence of `provisioner.plugin`'s contract, for every plugin."""

from __future__ import annotations

import dataclasses
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from market.errors import InvalidInput, OcxError, Permanent, Temporary
from market.specs import canonical_document
from provisioner.plugin import Conflict, Connection, Order, Provisioner, State, WipeEvidence, load
from tests.provisioner.conformance.benches import KEY, Bench, When

FREE = 2
"""The machine no fixture of this module uses."""


@dataclasses.dataclass(frozen=True)
class Held:
    """A machine that is up."""

    plugin: Provisioner
    order: Order
    connection: Connection


@pytest.fixture(scope="module")
def held(bench: Bench) -> Iterator[Held]:
    """The first machine, up for a key as long as this module runs."""
    plugin, order = bench.plugin(), bench.order()
    yield Held(plugin, order, plugin.provision(order))
    plugin.release(order.key)


@pytest.fixture(scope="module")
def wiped(bench: Bench) -> tuple[Order, WipeEvidence]:
    """An order for the second machine that was brought up and wiped."""
    plugin, order = bench.plugin(), bench.order(machine=1)
    plugin.provision(order)
    return order, plugin.release(order.key)


def until(what: str, probe: Any, limit: float) -> Any:
    """The first truthy value of `probe`."""
    deadline = time.monotonic() + limit
    while not (value := probe()):
        assert time.monotonic() < deadline, f"waited {limit} s for {what}"
        time.sleep(0.02)
    return value


def in_thread(call: Any) -> tuple[threading.Thread, list[Any]]:
    """Run a call in a thread; its value or error is appended to the list."""
    told: list[Any] = []

    def run() -> None:
        try:
            told.append(call())
        except OcxError as error:
            told.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    return thread, told


# ---- from_settings, check ----------------------------------------------------------------------------------


def test_making_the_plugin_does_not_contact_the_cloud_so_an_agent_starts_while_it_is_down(
    bench: Bench,
) -> None:
    with bench.trouble("inspect", When.DOWN) as plugin, pytest.raises(Temporary):
        plugin.inspect()


def test_an_unknown_setting_is_refused_by_name(bench: Bench) -> None:
    with pytest.raises(InvalidInput, match="colour"):
        load(bench.name, bench.settings() | {"colour": "red"})


def test_check_is_silent_when_all_is_well_and_changes_nothing(bench: Bench, held: Held) -> None:
    before = bench.all_keys()
    assert bench.plugin().check() == []
    assert bench.all_keys() == before and bench.servers(held.order.key) == 1


# ---- inspect -----------------------------------------------------------------------------------------------


def test_inspect_gives_the_same_documents_in_the_same_order_sold_or_not(bench: Bench, held: Held) -> None:
    first, again = bench.plugin().inspect(), bench.plugin().inspect()
    assert first == again and len(first) > FREE
    assert held.order.local_id in [machine.local_id for machine in first]


def test_inspect_tells_hardware_apart_and_measures_it(bench: Bench) -> None:
    machines = bench.plugin().inspect()
    assert len({machine.hardware_id for machine in machines}) == len(machines)
    assert len({machine.local_id for machine in machines}) == len(machines)
    for machine in machines:
        assert canonical_document(machine.document)
        assert machine.spec.cores > 0 and machine.spec.memory_mib > 0
        assert 0 < len(machine.class_name.encode()) <= 31 and machine.site


# ---- provision ---------------------------------------------------------------------------------------------


def test_provision_returns_how_to_reach_a_machine_that_is_up(bench: Bench, held: Held) -> None:
    assert held.connection.host and 0 < held.connection.port < 65536 and held.connection.user
    assert held.connection.host_key.startswith("ssh-ed25519 AAAAC3NzaC1lZDI1NTE5")
    assert len(held.connection.host_key.split()) == 2
    assert bench.servers(held.order.key) == 1


def test_provision_is_idempotent_by_key_also_for_a_plugin_that_remembers_nothing(
    bench: Bench, held: Held
) -> None:
    assert held.plugin.provision(held.order) == held.connection
    assert bench.plugin().provision(held.order) == held.connection
    assert bench.servers(held.order.key) == 1


def test_provision_lets_the_window_of_an_order_change(bench: Bench, held: Held) -> None:
    longer = dataclasses.replace(held.order, end=held.order.end + 3600)
    assert bench.plugin().provision(longer) == held.connection


@pytest.mark.parametrize(
    "change", [{"hostname": "other"}, {"ssh_public_keys": (KEY[:-4] + "AAAA",)}], ids=["hostname", "keys"]
)
def test_provision_refuses_an_order_that_contradicts_the_first(
    bench: Bench, held: Held, change: dict[str, Any]
) -> None:
    with pytest.raises(Permanent):
        bench.plugin().provision(dataclasses.replace(held.order, **change))
    assert bench.plugin().provision(held.order) == held.connection


def test_provision_refuses_the_same_key_for_another_machine(bench: Bench, held: Held) -> None:
    with pytest.raises(Permanent):
        bench.plugin().provision(bench.order(held.order.key, FREE))
    assert bench.servers(held.order.key) == 1


def test_provision_leaves_a_machine_with_another_key_alone(bench: Bench, held: Held) -> None:
    late = bench.order()
    with pytest.raises(Conflict):
        bench.plugin().provision(late)
    assert bench.servers(late.key) == 0 and late.key not in bench.all_keys()
    assert bench.plugin().provision(held.order) == held.connection


def test_provision_leaves_a_machine_of_an_unknown_tenant_alone(bench: Bench) -> None:
    order = bench.order(machine=FREE)
    with bench.foreign(order.local_id):
        with pytest.raises(Conflict):
            bench.plugin().provision(order)
        assert order.key not in bench.all_keys()


def test_provision_of_a_machine_that_does_not_exist_is_permanent(bench: Bench) -> None:
    order = bench.order(local_id=bench.unknown_id())
    with pytest.raises(Permanent):
        bench.plugin().provision(order)
    assert order.key not in bench.all_keys()


def test_provision_refuses_a_key_that_was_ever_released(
    bench: Bench, wiped: tuple[Order, WipeEvidence]
) -> None:
    with pytest.raises(Permanent):
        bench.plugin().provision(wiped[0])
    assert bench.servers(wiped[0].key) == 0


def test_provision_that_does_not_end_in_time_is_temporary_and_can_be_joined(bench: Bench) -> None:
    order = bench.order(machine=FREE)
    slow = bench.plugin(**bench.slow)
    with pytest.raises(Temporary):
        slow.provision(order)
    assert bench.servers(order.key) <= 1
    assert bench.plugin().provision(order).host_key
    assert bench.servers(order.key) == 1
    bench.plugin().release(order.key)
    assert bench.servers(order.key) == 0


# ---- status, list_owned ------------------------------------------------------------------------------------


def test_status_of_what_is_up_tells_the_connection_and_the_machine(bench: Bench, held: Held) -> None:
    told = bench.plugin().status(held.order.key)
    assert (told.state, told.connection) == (State.READY, held.connection)
    assert told.local_id == held.order.local_id and "\n" not in told.detail


def test_status_of_an_unknown_key_is_absent(bench: Bench) -> None:
    told = bench.plugin().status(bench.key())
    assert (told.state, told.connection, told.local_id) == (State.ABSENT, None, None)


def test_status_of_a_released_key_is_absent(bench: Bench, wiped: tuple[Order, WipeEvidence]) -> None:
    assert bench.plugin().status(wiped[0].key).state is State.ABSENT


def test_list_owned_is_exactly_what_carries_our_keys(
    bench: Bench, held: Held, wiped: tuple[Order, WipeEvidence]
) -> None:
    owned = bench.plugin().list_owned()
    assert set(owned) == bench.all_keys() and wiped[0].key not in owned
    assert owned[held.order.key] == bench.plugin().status(held.order.key)


# ---- release -----------------------------------------------------------------------------------------------


def test_release_proves_that_nothing_is_left(bench: Bench, wiped: tuple[Order, WipeEvidence]) -> None:
    order, evidence = wiped
    assert (evidence.key, evidence.local_id) == (order.key, order.local_id)
    assert not evidence.facts.get("absent") and canonical_document(evidence.facts)
    assert abs(evidence.wiped_at - time.time()) < 600
    assert bench.servers(order.key) == 0 and order.key not in bench.all_keys()


def test_release_repeated_gives_the_same_evidence(bench: Bench, wiped: tuple[Order, WipeEvidence]) -> None:
    assert bench.plugin().release(wiped[0].key) == wiped[1]
    assert bench.plugin().release(wiped[0].key) == wiped[1]


def test_release_of_an_unknown_key_says_absent_and_touches_nothing(bench: Bench, held: Held) -> None:
    before = bench.all_keys()
    evidence = bench.plugin().release(bench.key())
    assert evidence.local_id is None and evidence.facts["absent"] is True
    assert bench.all_keys() == before and bench.servers(held.order.key) == 1


def test_release_during_a_build_wins(bench: Bench) -> None:
    order = bench.order(machine=FREE)
    thread, told = in_thread(lambda: bench.plugin().provision(order))
    until("the key", lambda: order.key in bench.all_keys(), bench.patience)
    bench.plugin().release(order.key)
    thread.join(bench.patience)
    assert not thread.is_alive()
    assert bench.servers(order.key) == 0 and bench.plugin().status(order.key).state is State.ABSENT
    with pytest.raises(Permanent):
        bench.plugin().provision(order)


def test_the_next_tenant_of_a_machine_gets_it_with_another_host_key(
    bench: Bench, wiped: tuple[Order, WipeEvidence]
) -> None:
    following = bench.order(machine=1)
    assert following.local_id == wiped[0].local_id
    first = bench.plugin().provision(following).host_key
    assert bench.servers(following.key) == 1 and bench.servers(wiped[0].key) == 0
    assert bench.plugin().release(wiped[0].key) == wiped[1], "the evidence outlives the next tenant"
    assert bench.servers(following.key) == 1
    bench.plugin().release(following.key)
    assert first.startswith("ssh-ed25519 ")
