"""A chain whose newest blocks may go again: what an agent does because of them, and what it does not."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from market.errors import Temporary
from tests.chain.network import anvil
from tests.provisioner.world import FAR, KEY, PARAMS, Buyer, Provider, Running, World, wait_for

pytestmark = pytest.mark.warps("take blocks back when it is told to")
CONFIRMATIONS = 3


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """An exchange of its own, whose blocks the test may take back."""
    with anvil("--timestamp", str(int(time.time()) - FAR)) as node:
        yield World(node, tmp_path)


@pytest.fixture
def buyer(world: World) -> Buyer:
    """A buyer, who believes every block."""
    return world.buyer()


@pytest.fixture
def provider(world: World) -> Provider:
    """A provider whose agent is told how many blocks are to stand on one before it counts."""
    made = world.provider("bm.branch")
    path = made.folder / "connection.yaml"
    told = yaml.safe_load(path.read_text()) | {"confirmations": CONFIRMATIONS}
    path.write_text(yaml.safe_dump(told))
    return made


def _looked(running: Running, height: int) -> bool:
    """Whether the agent went through a whole cycle after it saw that block; its clock is told of it."""
    newest = running.agent.newest
    if newest is None or newest.number < height:
        return False
    seen = running.agent.cycles
    wait_for("two more looks", lambda: running.agent.cycles >= seen + 2)
    return True


def test_a_lease_that_ended_in_blocks_the_chain_took_back_keeps_its_machine(
    world: World, provider: Provider, buyer: Buyer
) -> None:
    node, plugin = world.node, provider.plugin()
    world.begin()
    with Running(provider.settings()) as running:
        lease = buyer.buy(provider, 120)
        buyer.wait_state(lease, "delivered")
        buyer.accept(lease)
        known = running.lease
        wait_for("the agent to count it", lambda: (it := known(lease)) and it["state"].startswith("active"))
        node.ask("evm_setIntervalMining", 0)
        node.ask("evm_setAutomine", False)
        branch = node.ask("evm_snapshot")
        call, sender = buyer.exchange.leases.end_early(lease), buyer.exchange.sender
        sent = sender.send(call.to, call.data, wait=False)
        for _ in range(CONFIRMATIONS):
            node.mine()
            node.ask("evm_increaseTime", PARAMS.notice + PARAMS.slot)
        wait_for("the lease to end on this branch", lambda: buyer.state(lease) == "ending")
        wait_for("the agent to see the branch", lambda: _looked(running, node.rpc().head().number))
        assert list(plugin.list_owned()), "it wiped a machine because of blocks that do not count"
        node.ask("evm_revert", branch)
        node.ask("anvil_dropAllTransactions")
        world.begin()
        height = node.rpc().head().number + CONFIRMATIONS + 1
        wait_for("the agent to go on", lambda: _looked(running, height))
        assert buyer.state(lease) == "active" and list(plugin.list_owned())
        assert sender.wait(sent).status == 1, "what was asked for is in the journal, and comes again"
        wait_for("the wipe once it is buried", lambda: not plugin.list_owned())
        assert running.health()["ok"]


def test_whose_key_logs_in_is_not_settled_before_the_lease_is(
    world: World, provider: Provider, buyer: Buyer
) -> None:
    """Its number could become somebody else's lease, and that would be provisioned with this key."""
    node = world.node
    world.begin()
    with Running(provider.settings(setup_wait=60)) as running:
        client = buyer.gateway(running.server.url, running.server.key_hash)
        book, sender = buyer.exchange.book, buyer.exchange.sender
        node.ask("evm_setIntervalMining", 0)
        node.ask("evm_setAutomine", False)
        call = book.buy_now(provider.offer, provider.resources[:1], buyer.window(60))
        sender.send(call.to, call.data, wait=False)
        node.mine()
        lease = buyer.exchange.leases.count()
        with pytest.raises(Temporary, match="too new to count"):
            client.put_setup(lease, [KEY])
        assert running.store.setup(lease) is None
        node.mine(CONFIRMATIONS)
        assert client.put_setup(lease, [KEY])["ssh_public_keys"] == [KEY]
