"""An agent whose Ironic goes down twice keeps running and says so; no lease, machine or credit is lost."""

from __future__ import annotations

import dataclasses
import time
from pathlib import Path

import pytest

from chain.contracts.book import OfferTerms
from chain.generated import events as ledger
from cli.demo.lab import Lab
from market.windows import SlotWindow
from provisioner.catalogue import hardware_key, measure, plan
from provisioner.plugins.ironic import IronicPlugin
from tests.chain.network import anvil
from tests.provisioner.world import FAR, PARAMS, Provider, Running, World, wait_for

pytestmark = [pytest.mark.lab, pytest.mark.timeout(240)]
PATIENT = dataclasses.replace(PARAMS, sign_time=200, deliver_time=200, wipe_time=200)
DOWN = "Ironic cannot be reached"


def sell_ironic(world: World, provider: Provider, plugin: IronicPlugin) -> None:
    """Offer one machine of the lab (of fake-hardware: this is about Ironic) in place of the fake cloud's."""
    item = plan(provider.exchange, provider.org, measure({"ironic": plugin}), 1)[0]
    assert item.call is not None
    world.do(item.call, provider.exchange)
    key = hardware_key(item.measured.inspected)
    provider.resources = [
        wait_for("the resource", lambda: provider.exchange.inventory.by_hardware(key)),
        *provider.resources,
    ]
    now = int(time.time()) // PARAMS.slot
    terms = OfferTerms(SlotWindow(now, now + 1800), 1_000_000, 2_000_000)
    provider.offer += 1
    world.do(provider.exchange.book.publish(terms, provider.resources[:1]), provider.exchange)
    wait_for("the offer", lambda: provider.exchange.book.offer_count() == provider.offer)


def troubles(running: Running) -> str:
    """What health says is wrong."""
    return " ".join(item["message"] for item in running.health()["errors"])


def test_leases_outlive_an_ironic_that_goes_down_and_comes_back(lab: Lab, tmp_path: Path) -> None:
    plugin = IronicPlugin.from_settings(lab.settings(fake=True))
    with anvil("--timestamp", str(int(time.time()) - FAR)) as node:
        world = World(node, tmp_path, PATIENT)
        buyer, provider = world.buyer(), world.provider("bm.fake")
        fake_offer = provider.offer
        sell_ironic(world, provider, plugin)
        world.begin()
        clouds = [
            {"name": "ironic", "settings": lab.settings(fake=True)},
            {"name": "fake", "settings": provider.fake},
        ]
        before = buyer.exchange.escrow.free(buyer.org), buyer.exchange.escrow.free(provider.org)
        with Running(provider.settings(plugins=clouds)) as running:
            wait_for("the machine to be known", lambda: running.agent.clouds.locate(provider.resources[0]))
            wait_for("all to be well", lambda: running.health()["ok"] and not running.health()["errors"])
            lab.stop_ironic()
            wait_for("health to tell", lambda: DOWN in troubles(running))
            lease = buyer.buy(provider, 300)
            other = buyer.buy(dataclasses.replace(provider, offer=fake_offer), 300, places=(1,))
            buyer.wait_state(other, "delivered")
            buyer.accept(other)
            assert buyer.wait_state(lease, "signed") and running.health()["ok"]
            lab.start_ironic()
            buyer.wait_state(lease, "delivered", limit=100)
            buyer.accept(lease)
            wait_for("the trouble to be over", lambda: DOWN not in troubles(running))

            lab.stop_ironic()
            for one in (lease, other):
                buyer.send(buyer.exchange.leases.end_early(one))
            buyer.wait_state(other, "terminated")
            wait_for("health to tell", lambda: DOWN in troubles(running))
            assert buyer.state(lease) == "ending" and running.health()["ok"]
            lab.start_ironic()
            buyer.wait_state(lease, "terminated", limit=100)
            wait_for("the end", lambda: not running.store.open_leases())
            assert len(buyer.events(ledger.LeaseDelivered, lease)) == 1
            accounts = [buyer.exchange.settlement.account(one) for one in (lease, other)]
            after = buyer.exchange.escrow.free(buyer.org), buyer.exchange.escrow.free(provider.org)
    assert all(account.closed and account.bond == 0 for account in accounts)
    assert before[0] - after[0] == after[1] - before[1] == sum(account.paid for account in accounts)
    assert plugin.list_owned() == {}
