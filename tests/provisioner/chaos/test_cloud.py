"""The cloud refuses, hangs, or loses machines.

Nothing is taken to be gone that was not read, nothing is signed for a machine that is lost, and what a buyer
had is never built anew.
"""

from __future__ import annotations

import sqlite3
from typing import Any

import pytest

from chain.generated import events as ledger
from chain.generated.enums import EndReason
from provisioner.plugins.fake import FakePlugin
from tests.provisioner.world import Buyer, Provider, Running, wait_for

pytestmark = pytest.mark.timeout(150)

PROVIDERS = 6


def vanish(provider: Provider, key: str) -> None:
    """Somebody deletes a machine behind the agent's back."""
    with sqlite3.connect(provider.cloud) as db:
        gone = "UPDATE machines SET key = NULL, purchase = NULL, state = 'absent' WHERE key = ?"
        assert db.execute(gone, (key,)).rowcount == 1
    db.close()


def health_of(running: Running, name: str) -> dict[str, Any] | None:
    """A condition, if it holds."""
    return next((item for item in running.health()["conditions"] if item["name"] == name), None)


def test_revoked_credentials_leave_leases_alone_and_once_restored_it_goes_on_by_itself(
    provider: Provider, buyer: Buyer
) -> None:
    plugin = provider.plugin()
    with Running(provider.settings(inspect_every=1.0)) as running:
        first = buyer.buy(provider, 60)
        buyer.wait_state(first, "delivered")
        buyer.accept(first)
        for method in ("list_owned", "inspect", "provision", "release", "status"):
            plugin.inject(method, "permanent", times=10_000)
        told = wait_for("health to tell", lambda: health_of(running, "cloud-refuses"))
        assert "refuses for good" in told["message"] and "credentials" in told["hint"]
        second = buyer.buy(provider, 60, places=(1,))
        wait_for("the refusal", lambda: "refuses for good" in (running.lease(second) or {"why": ""})["why"])
        assert "needs-a-person" in running.conditions()
        assert buyer.state(first) == "active" and "machine-gone" not in running.conditions()
        plugin.clear_faults()
        buyer.wait_state(second, "delivered")  # nobody restarted anything
        wait_for("the end of it", lambda: not {"cloud-refuses", "needs-a-person"} & {*running.conditions()})
        assert len(plugin.list_owned()) == 2 and running.health()["ok"]


def test_a_reading_that_hangs_counts_no_more_and_is_begun_anew(provider: Provider, buyer: Buyer) -> None:
    plugin = provider.plugin()
    with Running(provider.settings()) as running:
        wait_for("a reading", lambda: running.agent.clouds.reading("fake"))
        plugin.inject("list_owned", "hang")
        wait_for("it to be old", lambda: "cloud-unread" in running.conditions())
        assert running.agent.clouds.carries("fake", "anything") == (None, None)
        assert running.health()["ok"]
        running.skew.ticks += 61  # now it is called hung, and another one begins
        wait_for("another reading", lambda: running.agent.clouds.reading("fake"))
        assert "call-hung" in running.conditions() and "cloud-unread" not in running.conditions()
        plugin.clear_faults()
        wait_for("the end of it", lambda: running.health()["ok"])


def test_a_machine_that_vanishes_from_its_buyer_is_told_and_not_built_anew(
    provider: Provider, buyer: Buyer
) -> None:
    plugin = provider.plugin()
    with Running(provider.settings()) as running:
        lease = buyer.buy(provider, 60)
        buyer.wait_state(lease, "delivered")
        buyer.accept(lease)
        key = running.agent.key(lease, provider.resources[0])
        wait_for("the cloud's word", lambda: (running.lease(lease) or {})["machines"][provider.resources[0]])
        vanish(provider, key)
        told = wait_for("health to tell", lambda: health_of(running, "machine-gone"))
        assert f"lease {lease}: resource {provider.resources[0]} is gone" in told["message"]
        assert running.health()["machines"]["gone"] == 1
        assert "gone from its cloud" in (running.lease(lease) or {})["why"]
        before = running.health()["cycles"]
        wait_for("more cycles", lambda: running.health()["cycles"] > before + 10)
        assert plugin.list_owned() == {} and buyer.state(lease) == "active"
        buyer.send(buyer.exchange.leases.end_early(lease))  # the buyer judges
        wait_for("the wipe", lambda: buyer.exchange.leases.lease(lease).wiped_at)
        assert running.store.evidence(lease)[key]["facts"]["absent"] is True
        wait_for("the end of it", lambda: "machine-gone" not in running.conditions())


def test_an_award_for_a_machine_its_cloud_has_lost_is_not_signed_and_its_offer_is_named(
    provider: Provider, buyer: Buyer
) -> None:
    with Running(provider.settings(inspect_every=0.5)) as running:
        good = buyer.buy(provider, 60, places=(1,))
        cloud = running.agent.clouds.plugins["fake"]
        assert isinstance(cloud, FakePlugin)
        cloud._machines.pop(provider.machines[0]["name"])  # its operators took it out
        told = wait_for("health to tell", lambda: health_of(running, "machine-held"))
        assert f"resource {provider.resources[0]}" in told["message"]
        assert f"offer {provider.offer}" in told["message"] and "ocx offer cancel" in told["hint"]
        free = buyer.exchange.escrow.free(buyer.org)
        lost = buyer.buy(provider, 60)
        wait_for("the reason", lambda: "has lost the machine" in (running.lease(lost) or {"why": ""})["why"])
        bond = buyer.exchange.settlement.account(lost).bond
        buyer.wait_state(lost, "defaulted")
        wait_for("the record", lambda: buyer.exchange.leases.lease(lost).ended_at)
        assert buyer.exchange.leases.lease(lost).reason is EndReason.PROVIDER_UNSIGNED
        assert buyer.events(ledger.LeaseSigned, lost) == []
        share = buyer.exchange.escrow.free(buyer.org) - free
        assert 0 < share < bond and buyer.state(good) == "delivered"


def test_an_award_for_a_node_that_just_broke_defaults_and_the_node_is_held_until_a_person_says_so(
    provider: Provider, buyer: Buyer
) -> None:
    plugin = provider.plugin()
    with Running(provider.settings()) as running:
        clouds, resource = running.agent.clouds, provider.resources[0]
        wait_for("the measurement", lambda: clouds.has(resource))
        plugin.inject("provision", "permanent")
        free = buyer.exchange.escrow.free(buyer.org)
        broken = buyer.buy(provider, 60)
        bond = buyer.exchange.settlement.account(broken).bond
        told = wait_for("health to tell", lambda: health_of(running, "machine-held"))
        assert "its last build failed for good" in told["message"] and not clouds.has(resource)
        good = buyer.buy(provider, 60, places=(1,))
        buyer.wait_state(good, "delivered")
        buyer.wait_state(broken, "defaulted")
        wait_for("the record", lambda: buyer.exchange.leases.lease(broken).ended_at)
        assert buyer.exchange.leases.lease(broken).reason is EndReason.UNDELIVERED
        price = buyer.exchange.settlement.account(good).price
        assert buyer.exchange.escrow.free(buyer.org) == free + bond - price
        assert not clouds.has(resource)  # it would be bid and broken again
        running.store.ask_again("", 0)
        wait_for("the node to be offered again", lambda: clouds.has(resource))
        wait_for("the end of it", lambda: "machine-held" not in running.conditions())


def test_what_waits_for_a_person_goes_on_when_the_person_says_so_without_a_restart(
    provider: Provider, buyer: Buyer
) -> None:
    plugin = provider.plugin()
    plugin.inject("provision", "permanent")
    with Running(provider.settings()) as running:
        lease = buyer.buy(provider, 60)
        wait_for("the error", lambda: "needs-a-person" in running.conditions())
        assert "ocx provider retry" in (health_of(running, "needs-a-person") or {})["hint"]
        running.store.ask_again(str(lease), 0)
        buyer.wait_state(lease, "delivered")
        assert "needs-a-person" not in running.conditions()
