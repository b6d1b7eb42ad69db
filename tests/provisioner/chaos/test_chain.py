"""The chain is away, old, or another one: nothing is done on its word, and the agent goes on by itself."""

from __future__ import annotations

import time
from typing import Any

import pytest

from chain.generated import events as ledger
from chain.generated.enums import EndReason
from chain.wire import Block
from market.errors import Temporary
from tests.chain.network import anvil
from tests.provisioner.chaos.liars import Lagging, endpoints
from tests.provisioner.world import Buyer, Provider, Proxy, Running, Skew, World, wait_for

pytestmark = pytest.mark.timeout(150)

PROVIDERS = 5

TEN_MINUTES = 600


def test_ten_minutes_without_the_chain_release_nothing_and_build_nothing_twice(own_world: World) -> None:
    """One lease is being built, one is used, one ends meanwhile; then one cycle is enough to go on."""
    buyer, provider = own_world.buyer(), own_world.provider("bm.away")
    offer = provider.offer
    provider.machines.append({"name": "bm.away-third", "class": "bm.away"})
    own_world.sell(provider, ["bm.away-third"])
    own_world.begin()
    proxy = Proxy(own_world.node.port)
    endpoints(provider, f"http://127.0.0.1:{proxy.port}")
    plugin, skew = provider.plugin(), Skew()
    with Running(provider.settings(cloud={"provision_seconds": 1.0}), skew=skew) as running:
        provider.offer, third = offer, provider.offer
        used, ending = buyer.buy(provider, 1500), buyer.buy(provider, 30, places=(1,))
        for lease in (used, ending):
            buyer.wait_state(lease, "delivered")
            buyer.accept(lease)
        provider.offer = third
        built = buyer.buy(provider, 1500, places=(2,))
        wait_for("the build", lambda: len(plugin.list_owned()) == 3)
        proxy.cut()
        owned = set(plugin.list_owned())
        wait_for("the agent to notice", lambda: "chain-unreachable" in running.conditions())
        own_world.node.ask("evm_increaseTime", TEN_MINUTES)
        skew.jump(TEN_MINUTES)
        health = wait_for("health to fall", lambda: not (h := running.health())["ok"] and h)
        told = {item["name"]: item for item in health["conditions"]}
        assert "can be used" in told["chain-unreachable"]["message"]
        assert "rpc_urls" in told["chain-unreachable"]["hint"] and "600 s" in told["stalled"]["message"]
        cycles = health["cycles"]
        journal = len(running.store.journal(running.agent.key(used, provider.resources[0])))
        wait_for("more tries", lambda: running.agent.retries.troubles()["cycle"].times > 3)
        assert set(plugin.list_owned()) == owned and running.health()["cycles"] == cycles
        proxy.mend()
        began = time.monotonic()
        wait_for("a good cycle", lambda: running.health()["cycles"] > cycles)
        print(f"measured: back {time.monotonic() - began:.1f} s after the chain")
        buyer.wait_state(ending, "completed")
        key = running.agent.key(used, provider.resources[0])
        wait_for("the build's end", lambda: set(plugin.list_owned()) == {key})
        print(f"measured: all tidied up {time.monotonic() - began:.1f} s after the chain")
        assert buyer.state(used) == "active" and running.health()["ok"]
        assert buyer.exchange.leases.lease(built).reason in (EndReason.UNDELIVERED, EndReason.NONE)
        assert buyer.state(built) == "defaulted" and buyer.events(ledger.LeaseDelivered, built) == []
        assert len(running.store.journal(key)) == journal
        assert "chain-unreachable" not in running.conditions()


def test_an_endpoint_with_an_old_head_is_passed_over_for_the_next_and_told(
    world: World, provider: Provider, buyer: Buyer
) -> None:
    with Lagging(world.node.port) as old:
        old.at = world.node.rpc().head().number - 10
        endpoints(provider, old.url, world.node.url)
        with Running(provider.settings()) as running:
            assert "behind another endpoint" in running.conditions()["endpoint-behind"]
            lease = buyer.buy(provider, 30)
            buyer.wait_state(lease, "delivered")
            health = running.health()
            assert health["ok"] and [e["state"] for e in health["endpoints"]] == ["behind", "up"]
            old.at = None
            running.skew.ticks += 10  # past the next examination
            wait_for("trust", lambda: "endpoint-behind" not in running.conditions())


def test_on_the_word_of_a_frozen_node_nothing_is_delivered_and_after_it_all_is_put_right(
    world: World, provider: Provider, buyer: Buyer
) -> None:
    """Its only endpoint stands still while the buyer cancels: the machine that comes up is not delivered."""
    with Lagging(world.node.port) as node:
        endpoints(provider, node.url)
        with Running(provider.settings(cloud={"provision_seconds": 2.0})) as running:
            lease = buyer.buy(provider, 60)
            wait_for("the build to begin", provider.plugin().list_owned)
            node.at = world.node.rpc().head().number
            buyer.send(buyer.exchange.leases.cancel(lease))
            running.skew.ticks += 10  # past the next examination, which shows the node its last block
            seen = running.exchange.rpc.endpoints
            wait_for("the frozen head", lambda: seen()[0]["block"] == node.at)
            running.skew.ticks += 40
            told = wait_for("the agent to notice", lambda: running.conditions().get("chain-stale"))
            assert "s old" in told
            assert wait_for("health to fall", lambda: not running.health()["ok"])
            [machine] = provider.plugin().list_owned()
            node.at = None
            began = time.monotonic()
            wait_for("the clean-up", lambda: provider.plugin().list_owned() == {})
            print(f"measured: {machine} released {time.monotonic() - began:.1f} s after the thaw")
            assert buyer.state(lease) == "cancelled" and buyer.events(ledger.LeaseDelivered, lease) == []
            wait_for("the agent to be well", lambda: running.health()["ok"])


@pytest.mark.parametrize("chain_id", [4711, 31337])
def test_an_endpoint_of_the_wrong_chain_gets_no_transaction_and_the_right_one_is_used(
    world: World, provider: Provider, buyer: Buyer, chain_id: int
) -> None:
    """Also one with the same chain id, where what we sign would be valid."""
    with anvil("--chain-id", str(chain_id), "--block-time", "1") as wrong:
        endpoints(provider, wrong.url)
        with Running(provider.settings("alone"), well=False) as running:
            told = wait_for("health to tell", lambda: running.conditions().get("wrong-chain"))
            assert ("chain id" if chain_id == 4711 else "genesis hash") in told
            assert not running.health()["ok"] and running.health()["cycles"] == 0
            assert running.health()["endpoint_states"] == {"wrong-network": 1}
        endpoints(provider, wrong.url, world.node.url)
        with Running(provider.settings("both")) as running:
            lease = buyer.buy(provider, 30)
            buyer.wait_state(lease, "delivered")
            assert running.health()["ok"] and "wrong-chain" in running.conditions()
            assert wrong.rpc().transaction_count(running.agent.address) == 0


def test_a_question_that_fails_for_one_lease_postpones_that_lease_only(
    provider: Provider, buyer: Buyer, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Running(provider.settings()) as running:
        observer, ask = running.agent._observer, running.agent._observer.view
        hurt: list[int] = []

        def view(lease: int, resources: tuple[int, ...], head: Block) -> Any:
            if lease in hurt:
                raise Temporary("that block is not known to the node yet")
            return ask(lease, resources, head)

        monkeypatch.setattr(observer, "view", view)
        hurt.append(buyer.exchange.leases.count() + 1)
        lost, good = buyer.buy(provider, 40), buyer.buy(provider, 40, places=(1,))
        assert hurt == [lost]
        buyer.wait_state(good, "delivered")
        health = running.health()
        assert health["ok"] and health["cycle_error"] is None
        assert "not known to the node yet" in (running.lease(lost) or {})["why"]
        hurt.clear()
        buyer.wait_state(lost, "delivered", "defaulted")
