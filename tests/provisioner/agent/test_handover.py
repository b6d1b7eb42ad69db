"""A machine that is not what was registered is not handed over, and the lease says which fields changed."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from chain.contracts.inventory import Resource
from market.errors import Permanent
from market.specs import Spec
from provisioner.agent.handover import Documents, changes, must_be_as_registered
from provisioner.catalogue import document_hash, measure, plan
from provisioner.plugin import Inspected
from provisioner.store.store import Store
from tests.chain.network import anvil
from tests.provisioner.world import FAR, PARAMS, Provider, Running, World, wait_for

SPEC = Spec(cores=64, memory_mib=1024, disk_gib=480, gpus=0, network_mbps=25000)


def machine(**firmware: Any) -> Inspected:
    """A machine whose firmware says this."""
    facts = {"bios_version": "1.2", "boot_mode": "uefi", "secure_boot": None, **firmware}
    document = {"kind": "ironic", "firmware": facts, "disks": [{"size": 1}, {"size": 2}]}
    return Inspected("node-1", "uuid-1", "bm", SPEC, "berlin", "a/b", document)


def registered(found: Inspected) -> Resource:
    """As the chain has it."""
    return Resource(1, 1, 0, 0, False, b"", b"", document_hash(found), b"", found.spec)


@pytest.fixture
def documents(tmp_path: Path) -> Documents:
    """What one agent measured: the machine as it was registered."""
    kept = Documents(Store(tmp_path / "agent.db"))
    kept.keep(machine())
    return kept


def test_what_is_as_registered_is_handed_over(documents: Documents) -> None:
    must_be_as_registered(machine(), 7, registered(machine()), documents)


def test_a_changed_field_is_named_with_both_values(documents: Documents) -> None:
    with pytest.raises(Permanent) as refusal:
        must_be_as_registered(
            machine(bios_version="1.3", secure_boot=True), 7, registered(machine()), documents
        )
    told = str(refusal.value)
    assert "firmware.bios_version 1.2 -> 1.3, firmware.secure_boot (unknown) -> True" in told
    assert "node-1 (node 7)" in told and "ocx node register" in told and "boot_mode" not in told


def test_a_size_that_shrank_is_named(documents: Documents) -> None:
    smaller = dataclasses.replace(machine(), spec=dataclasses.replace(SPEC, cores=32))
    with pytest.raises(Permanent, match=r"spec\.cores 64 -> 32"):
        must_be_as_registered(smaller, 7, registered(machine()), documents)


def test_a_document_nobody_here_measured_differs_all_the_same(tmp_path: Path) -> None:
    with pytest.raises(Permanent, match="not known here"):
        must_be_as_registered(
            machine(boot_mode="bios"), 7, registered(machine()), Documents(Store(tmp_path / "new.db"))
        )


def test_documents_outlive_the_agent(documents: Documents, tmp_path: Path) -> None:
    again = Documents(Store(tmp_path / "agent.db"))
    assert again.get(document_hash(machine())) == machine().document
    assert again.get(b"x" * 32) is None


def test_what_appeared_and_what_is_gone_are_differences_too() -> None:
    assert changes({"a": [1, 2], "b": {}}, {"a": [1], "b": {"c": "x" * 100}}) == [
        "a[1] 2 -> (absent)",
        "b {} -> (absent)",
        f"b.c (absent) -> {'x' * 60}",
    ]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """An exchange on a chain of its own, with time to look at what went wrong."""
    with anvil("--timestamp", str(int(time.time()) - FAR)) as node:
        folder: Path = tmp_path_factory.mktemp("world")
        yield World(node, folder, dataclasses.replace(PARAMS, deliver_time=120))


def test_a_changed_machine_waits_for_a_person_who_registers_it_anew(world: World) -> None:
    provider, buyer = world.provider("bm.changed"), world.buyer()
    world.begin()
    with Running(provider.settings()) as running:
        wait_for("a measurement", lambda: running.agent.clouds.has(provider.resources[0]))
    grown = [{**entry, "memory_mib": 4096} for entry in provider.machines]
    later = provider.settings("later", cloud={"machines": grown}, state_dir="state-agent")
    with Running(later) as running:
        lease = buyer.buy(provider, 300)
        said = wait_for("the refusal", lambda: _blocked(running, lease))
        assert "spec.memory_mib" in said and "-> 4096" in said
        assert buyer.state(lease) == "signed", "nothing is delivered"
        assert any(item["needs_a_person"] for item in running.health()["errors"])
        _register_anew(world, dataclasses.replace(provider, machines=grown))
        running.store.ask_again(str(lease), 0)
        buyer.wait_state(lease, "delivered")


def _blocked(running: Running, lease: int) -> str:
    told = running.lease(lease)
    machines = told["machines"].values() if told else ()
    return next((line for line in machines if "not what was registered" in line), "")


def _register_anew(world: World, provider: Provider) -> None:
    for item in plan(provider.exchange, provider.org, measure({"fake": provider.plugin()}), 1):
        if item.call is not None:
            world.send(item.call, provider.exchange)
