"""The agent against a real chain and a cloud that survives it."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import yaml

from chain.generated import events as ledger
from chain.generated.enums import EndReason
from market.errors import Refused
from provisioner.check import examine
from provisioner.plugin import Order
from provisioner.run import run
from provisioner.settings import Settings
from tests.engine import PATIENCE
from tests.provisioner.world import Buyer, Process, Provider, Proxy, Running, World, health_file, wait_for


def finished(running: Running, lease: int, limit: float = 30.0) -> None:
    """Wait until the agent is through with a lease."""
    wait_for(
        f"lease {lease} to be finished with, is {running.lease(lease)}",
        lambda: lease not in running.store.open_leases(),
        limit,
    )


def test_a_bought_lease_is_delivered_wiped_and_settled(provider: Provider, buyer: Buyer) -> None:
    settings = provider.settings()
    with Running(settings) as running:
        before = buyer.exchange.escrow.free(buyer.org), buyer.exchange.escrow.free(provider.org)
        lease = buyer.buy(provider, 10)
        buyer.wait_state(lease, "delivered")
        client = buyer.gateway(running.server.url, running.server.key_hash)
        document = buyer.open(client, lease)
        assert [e.resource for e in document.resources] == [provider.resources[0]]
        assert document.ssh_private_key is not None
        buyer.accept(lease)
        buyer.wait_state(lease, "completed", limit=20)
        finished(running, lease)
        account = buyer.exchange.settlement.account(lease)
        after = buyer.exchange.escrow.free(buyer.org), buyer.exchange.escrow.free(provider.org)
        assert account.closed and account.bond == 0 and account.paid > 0
        assert before[0] - after[0] == after[1] - before[1] == account.paid
        assert provider.plugin().list_owned() == {}
        told = running.health()
        assert told["ok"] and told["errors"] == [] and told["unforeseen_errors"] == 0
        metric = running.store.metric(lease)
        assert metric is not None and 0 < metric[0] < 10_000 * PATIENCE


def test_killed_while_building_and_while_wiping_it_goes_on_and_does_nothing_twice(
    provider: Provider, buyer: Buyer
) -> None:
    settings = provider.settings(cloud={"provision_seconds": 2.0, "release_seconds": 2.0})
    plugin = provider.plugin()
    agent = Process(provider.folder / "agent.yaml")
    with agent.running():
        wait_for("the agent to run", lambda: health_file(settings).get("organisation"))
        lease = buyer.buy(provider, 60, places=(0, 1))
        wait_for("the build to begin", plugin.list_owned)
        agent.kill()
        agent.start()
        wait_for("the agent to run again", lambda: health_file(settings).get("pid") == agent.pid)
        with pytest.raises(Refused, match="already runs"):
            run(settings)
        buyer.wait_state(lease, "delivered")
        agent.kill()
        agent.start()
        buyer.accept(lease)
        buyer.send(buyer.exchange.leases.end_early(lease))
        wait_for(
            "the wipe to begin",
            lambda: any(s.state.value == "releasing" for s in plugin.list_owned().values()),
        )
        agent.kill()
        agent.start()
        wait_for("the wipe", lambda: buyer.exchange.leases.lease(lease).wiped_at, 20)
        assert agent.stop() == 0
    assert len(buyer.events(ledger.LeaseSigned, lease)) == 1
    assert [event.resources for event in buyer.events(ledger.LeaseDelivered, lease)] == [0b11]
    assert len(buyer.events(ledger.LeaseWiped, lease)) == 1
    assert plugin.list_owned() == {}


def test_a_plugin_that_raises_is_asked_again(provider: Provider, buyer: Buyer) -> None:
    plugin = provider.plugin()
    for fault in ("temporary", "crash-after", "temporary-after"):
        plugin.inject("provision", fault)
    with Running(provider.settings()) as running:
        lease = buyer.buy(provider, 30)
        buyer.wait_state(lease, "delivered")
        assert running.health()["unforeseen_errors"] == 1
        plugin.inject("release", "temporary")
        plugin.inject("release", "temporary-after")
        buyer.accept(lease)
        buyer.send(buyer.exchange.leases.end_early(lease))
        buyer.wait_state(lease, "terminated")
        finished(running, lease)
    assert len(buyer.events(ledger.LeaseDelivered, lease)) == 1


def test_a_plugin_that_refuses_for_good_is_shown_and_the_rest_goes_on(
    provider: Provider, buyer: Buyer
) -> None:
    plugin = provider.plugin()
    plugin.inject("provision", "permanent")
    with Running(provider.settings(workers=4)) as running:
        stuck = buyer.buy(provider, 60)
        wait_for("the error", lambda: any(e["needs_a_person"] for e in running.health()["errors"]))
        good = buyer.buy(provider, 60, places=(1,))
        buyer.wait_state(good, "delivered")
        told = wait_for("the reason", lambda: (t := running.lease(stuck)) and "for good" in t["why"] and t)
        assert told["state"] == "signed"
        assert running.health()["ok"]


def test_a_call_that_hangs_past_the_deadline_delivers_nothing_and_its_machine_is_cleaned_up(
    provider: Provider, buyer: Buyer
) -> None:
    plugin = provider.plugin()
    plugin.inject("provision", "hang-after")
    with Running(provider.settings(provision_timeout=1.0)) as running:
        stuck = buyer.buy(provider, 40)
        hung = wait_for("health to tell", lambda: running.health()["hung"])
        assert "provision" in hung[0]["operation"] and not running.health()["ok"]
        good = buyer.buy(provider, 40, places=(1,))
        buyer.wait_state(good, "delivered")
        buyer.wait_state(stuck, "defaulted", limit=25)
        finished(running, stuck)
        plugin.clear_faults()
        lease = buyer.exchange.leases.lease(stuck)
        assert lease.reason is EndReason.UNDELIVERED and lease.delivered == 0
        assert buyer.events(ledger.LeaseDelivered, stuck) == []
        assert list(plugin.list_owned()) == [running.agent.key(good, provider.resources[1])]


def test_a_build_that_was_refused_for_good_is_wiped_all_the_same(provider: Provider, buyer: Buyer) -> None:
    plugin = provider.plugin()
    plugin.inject("provision", "permanent-after")
    with Running(provider.settings()) as running:
        lease = buyer.buy(provider, 40)
        wait_for("the machine", plugin.list_owned)
        buyer.send(buyer.exchange.leases.cancel(lease))
        finished(running, lease)
        assert plugin.list_owned() == {}
        assert running.health()["errors"] == []


def test_a_build_that_comes_up_after_its_wipe_is_wiped_again(provider: Provider, buyer: Buyer) -> None:
    plugin = provider.plugin()
    plugin.inject("provision", "hang")
    with Running(provider.settings(provision_timeout=1.0)) as running:
        lease = buyer.buy(provider, 60, places=(0, 1))
        buyer.wait_state(lease, "delivered")
        buyer.accept(lease)
        buyer.send(buyer.exchange.leases.end_early(lease))
        finished(running, lease)
        assert buyer.exchange.leases.lease(lease).wiped_at
        plugin.clear_faults()
        wait_for("the late machine", plugin.list_owned)
        wait_for("its wipe", lambda: not plugin.list_owned())


def test_a_lease_of_a_machine_no_plugin_has_is_closed_all_the_same(provider: Provider, buyer: Buyer) -> None:
    provider.plugin()
    with Running(provider.settings(cloud={"machines": []})) as running:
        lease = buyer.buy(provider, 40)
        buyer.wait_state(lease, "defaulted")
        finished(running, lease)
        assert buyer.exchange.leases.lease(lease).reason is EndReason.PROVIDER_UNSIGNED
        assert buyer.exchange.settlement.account(lease).bond == 0


def test_a_cancelled_lease_leaves_no_machine_behind(provider: Provider, buyer: Buyer) -> None:
    with Running(provider.settings(cloud={"provision_seconds": 30.0})) as running:
        lease = buyer.buy(provider, 30)
        wait_for("the build to begin", provider.plugin().list_owned)
        buyer.send(buyer.exchange.leases.cancel(lease))
        finished(running, lease)
        assert provider.plugin().list_owned() == {}
        assert buyer.state(lease) == "cancelled"


def test_the_node_dies_and_comes_back(world: World, provider: Provider, buyer: Buyer) -> None:
    proxy = Proxy(world.node.port)
    path = provider.folder / "connection.yaml"
    content = yaml.safe_load(path.read_text())
    path.write_text(yaml.safe_dump(content | {"rpc_urls": [f"http://127.0.0.1:{proxy.port}"]}))
    with Running(provider.settings(cloud={"provision_seconds": 1.0})) as running:
        lease = buyer.buy(provider, 60)
        wait_for("the build to begin", provider.plugin().list_owned)
        proxy.cut()
        wait_for("the agent to notice", lambda: running.health()["cycle_error"])
        assert "can be used" in running.health()["cycle_error"]
        proxy.mend()
        buyer.wait_state(lease, "delivered")
        wait_for("the agent to be well", lambda: running.health()["cycle_error"] is None)
        assert running.health()["ok"]


def test_a_second_key_takes_over_what_the_first_left(provider: Provider, buyer: Buyer) -> None:
    first = Process(provider.folder / "first.yaml")
    settings = provider.settings("first", cloud={"provision_seconds": 3.0 * PATIENCE})
    with first.running():
        wait_for("the first agent", lambda: health_file(settings).get("organisation"))
        lease = buyer.buy(provider, 60)
        wait_for("the build to begin", provider.plugin().list_owned)
        second_settings = provider.settings("second", keystore="second", state_dir="state-first")
        with Running(second_settings) as second:
            told = wait_for("the second agent to look", lambda: second.lease(lease))
            assert "holds the fence" in told["why"]
            first.kill()
            client = buyer.gateway(second.server.url, second.server.key_hash)
            buyer.wait_state(lease, "delivered")
            assert buyer.exchange.leases.lease(lease).fence_holder == second.agent.address
            assert len(buyer.events(ledger.FenceTaken, lease)) == 1
            assert len(provider.plugin().list_owned()) == 1
            assert buyer.open(client, lease).lease == lease


def test_what_carries_a_foreign_key_is_never_touched(provider: Provider, buyer: Buyer) -> None:
    plugin = provider.plugin()
    machine = plugin.inspect()[0]
    plugin.provision(Order("somebody-else", machine.local_id, "h", ("ssh-ed25519 AAAA",), 0, 1))
    with Running(provider.settings()) as running:
        lease = buyer.buy(provider, 60)
        told = wait_for("the conflict", lambda: (t := running.lease(lease)) and "not free" in t["why"] and t)
        assert told["state"] == "signed"
        assert list(plugin.list_owned()) == ["somebody-else"]
        plugin.release("somebody-else")
        buyer.wait_state(lease, "delivered")


def missing(settings: Settings) -> list[str]:
    """What `ocx provider check` says must be put right."""
    return [str(finding) for finding in examine(settings) if finding.severity == "missing"]


def test_check_finds_what_is_missing(provider: Provider, world: World, tmp_path: Path) -> None:
    settings = provider.settings()
    assert any("no gateway" in line for line in missing(settings))
    call = provider.exchange.members.set_gateway("https://127.0.0.1:1", b"\1" * 32)
    world.send(call, provider.exchange)
    assert missing(settings) == []
    elsewhere = dataclasses.replace(provider, folder=tmp_path)
    for name in ("connection.yaml", "second.json", "passphrase"):
        (tmp_path / name).write_bytes((provider.folder / name).read_bytes())
    [line] = missing(elsewhere.settings(keystore="second"))
    assert "chmod 600" in line
