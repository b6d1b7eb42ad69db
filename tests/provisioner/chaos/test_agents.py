"""Two agents of one provider on one state folder race, or one is frozen: a lease still has one machine."""

from __future__ import annotations

import http.client
import json
import os
import signal
import sqlite3
from pathlib import Path

import pytest

from chain.generated import events as ledger
from provisioner.settings import Settings
from tests.provisioner.world import Buyer, Process, Provider, health_file, wait_for

pytestmark = pytest.mark.timeout(150)

PROVIDERS = 3


def freeze(process: Process, *files: Path) -> None:
    """Stop a process, at a moment when it holds none of these databases."""

    def stopped() -> bool:
        os.kill(process.pid, signal.SIGSTOP)
        for file in files:
            try:
                with sqlite3.connect(file, timeout=0.2, isolation_level=None) as db:
                    db.execute("BEGIN IMMEDIATE")
                    db.execute("ROLLBACK")
            except sqlite3.OperationalError:
                os.kill(process.pid, signal.SIGCONT)
                return False
        return True

    wait_for("a good moment", stopped)


def test_two_agents_that_race_for_every_lease_sign_and_build_each_once(
    provider: Provider, buyer: Buyer
) -> None:
    settings = provider.settings("first")
    provider.settings("second", keystore="second", state_dir="state-first")
    agents = [Process(provider.folder / f"{name}.yaml") for name in ("first", "second")]
    exchange = buyer.exchange
    with agents[0].running(), agents[1].running():
        wait_for("both agents", lambda: all(accounts_of(settings, agent) for agent in agents))
        accounts = {accounts_of(settings, agent) for agent in agents}
        assert len(accounts) == 2
        sent = sum(exchange.rpc.transaction_count(account) for account in accounts)
        leases = []
        for _ in range(2):
            round_ = [buyer.buy(provider, 40, places=(place,)) for place in (0, 1)]
            for lease in round_:
                buyer.wait_state(lease, "delivered")
                assert len(buyer.events(ledger.LeaseSigned, lease)) == 1
                assert len(buyer.events(ledger.LeaseDelivered, lease)) == 1
            assert len(provider.plugin().list_owned()) == 2
            for lease in round_:
                buyer.accept(lease)
                buyer.send(exchange.leases.end_early(lease))
            for lease in round_:
                wait_for("the wipe", lambda lease=lease: exchange.leases.lease(lease).wiped_at)
                assert len(buyer.events(ledger.LeaseWiped, lease)) == 1
            wait_for("free slots", lambda: not provider.plugin().list_owned())
            leases += round_
            wait_for("the turnaround", lambda: _can_buy(buyer, provider))
        sent = sum(exchange.rpc.transaction_count(account) for account in accounts) - sent
        print(f"measured: {sent} transactions of two agents for {len(leases)} leases; one alone needs 4 each")
        assert sent <= 5 * len(leases)


def accounts_of(settings: Settings, agent: Process) -> str | None:
    """The account of an agent, once it runs; two agents share a folder, so each has a file of its own."""
    for path in settings.state_dir.glob("health-*.json"):
        told = json.loads(path.read_text())
        if told["pid"] == agent.pid and told["organisation"]:
            return str(told["account"])
    return None


def metrics(settings: Settings, agent: Process) -> bytes | None:
    """What a running process tells Prometheus, once it is well."""
    told = health_file(settings)
    if told.get("pid") != agent.pid or not told["ok"]:
        return None
    page = http.client.HTTPConnection("127.0.0.1", told["health_port"], timeout=10)
    try:
        page.request("GET", "/metrics")
        return page.getresponse().read()
    finally:
        page.close()


def _can_buy(buyer: Buyer, provider: Provider) -> bool:
    window = buyer.window(40)
    return all(buyer.exchange.inventory.is_free(r, window) for r in provider.resources)


def test_an_agent_that_was_frozen_past_its_fence_does_no_harm_when_it_wakes(
    provider: Provider, buyer: Buyer
) -> None:
    settings = provider.settings("first", cloud={"provision_seconds": 3.0})
    provider.settings("second", keystore="second", state_dir="state-first")
    first, second = (Process(provider.folder / f"{name}.yaml") for name in ("first", "second"))
    plugin = provider.plugin()
    with first.running():
        wait_for("the first agent", lambda: health_file(settings).get("organisation"))
        lease = buyer.buy(provider, 60)
        wait_for("the build to begin", plugin.list_owned)
        holder = buyer.exchange.leases.lease(lease).fence_holder
        freeze(first, provider.cloud, settings.database)
        with second.running():
            buyer.wait_state(lease, "delivered")
            [taken] = buyer.events(ledger.FenceTaken, lease)
            assert buyer.exchange.leases.lease(lease).fence_holder != holder
            os.kill(first.pid, signal.SIGCONT)
            wait_for("the first to be back", lambda: accounts_of(settings, first) == holder)
            buyer.accept(lease)
            buyer.send(buyer.exchange.leases.end_early(lease))
            wait_for("the wipe", lambda: buyer.exchange.leases.lease(lease).wiped_at)
            assert len(buyer.events(ledger.LeaseDelivered, lease)) == 1
            assert len(buyer.events(ledger.LeaseWiped, lease)) == 1
            assert len(buyer.events(ledger.FenceTaken, lease)) == 1 and taken.lease == lease
            wait_for("one clean cloud", lambda: plugin.list_owned() == {})
            assert [second.stop(), first.stop()] == [0, 0]


def test_a_lease_that_is_cancelled_while_its_machine_is_built_is_never_delivered(
    provider: Provider, buyer: Buyer
) -> None:
    """Killed in the middle of it, too: the next start releases what the build left."""
    settings = provider.settings("agent", cloud={"provision_seconds": 2.0})
    agent, plugin = Process(provider.folder / "agent.yaml"), provider.plugin()
    with agent.running():
        wait_for("the agent", lambda: health_file(settings).get("organisation"))
        lease = buyer.buy(provider, 60)
        wait_for("the build to begin", plugin.list_owned)
        agent.kill()
        buyer.send(buyer.exchange.leases.cancel(lease))
        agent.start()
        wait_for("the release", lambda: plugin.list_owned() == {})
        assert buyer.state(lease) == "cancelled" and buyer.events(ledger.LeaseDelivered, lease) == []
        assert b"ocx_ok 1.0" in wait_for("its metrics", lambda: metrics(settings, agent))
        assert agent.stop() == 0
