"""From an award to a shell on the machine, through `ocx` and a provider's agent that is its own process."""

from __future__ import annotations

import base64
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from chain.contracts.leases import Delivery
from chain.gateway import ConnectionDocument, Endpoint
from chain.lease_endpoints import Told, canonical_bytes, endpoints_of
from chain.sealed import BoxKey, seal, sealed_hash
from chain.wallet import from_file
from provisioner.gateway.server import GatewayServer
from provisioner.settings import load
from provisioner.store.store import Blob, Store
from tests.chain.network import anvil, die_with_parent
from tests.cli.conftest import Market, Person, config_of, found
from tests.provisioner.world import wait_for

pytestmark = pytest.mark.timeout(180)

FAR = 600
HOST_KEY = "ssh-ed25519 " + base64.b64encode(b"\0\0\0\x0bssh-ed25519\0\0\0 " + b"k" * 32).decode()


def with_key(person: Person) -> BoxKey:
    """Let a buyer publish an encryption key; the key."""
    path = person.state / "encryption-key.json"
    if not path.exists():
        person.does("wallet key-create --light")
        person.does("member encryption-key")
    return BoxKey.load(path, from_file(person.folder / "passphrase"))


class Counter:
    """A provider's gateway with hand-made content, to see what a buyer believes."""

    def __init__(self, market: Market, lease: int) -> None:
        self.market, self.lease = market, lease
        self.settings = load(config_of(market.north), {})
        self.settings.state_dir.mkdir(exist_ok=True)
        self.exchange = market.north.exchange()
        self.store = Store(self.settings.state_dir / f"{lease}.db")
        self.server = GatewayServer(self.settings, self.exchange, self.store)

    def __enter__(self) -> Counter:
        self.server.start()
        self.market.north.does(f"member gateway {self.server.url} --tls-cert {self.settings.gateway_cert}")
        return self

    def __exit__(self, *_: object) -> None:
        self.server.stop()
        self.exchange.sender.close()

    def deliver(
        self,
        told: bytes,
        host_key: bytes,
        served: bytes | None = None,
        measured: bytes = b"s" * 32,
        port: int = 2222,
    ) -> None:
        """Tell the chain of one sealed blob and serve it, or another; `measured` is the spec's hash, `port`
        what the committee is told."""
        endpoints = endpoints_of(document(self.market, self.lease, port), [self.market.nodes["north"][1]])
        hash_ = Told(sealed_hash(told), endpoints).connection_hash
        delivery = Delivery(1, hash_, host_key, measured)
        self.exchange.send(self.exchange.leases.sign(self.lease))
        self.exchange.send(self.exchange.leases.deliver(self.lease, delivery))
        committee = canonical_bytes(endpoints)
        blob = Blob(
            1, served or told, committee, delivery.connection_hash, delivery.host_key, delivery.spec_hash
        )
        digest = self.exchange.leases.lease(self.lease).delivery
        self.store.keep_sealed(self.lease, digest, b"p" * 32, blob, int(time.time()))


def document(market: Market, lease: int, port: int = 2222) -> ConnectionDocument:
    """Connection data as a provider makes them."""
    node = market.nodes["north"][1]
    return ConnectionDocument(lease, (Endpoint(node, "127.0.0.1", port, "root", HOST_KEY, {}),))


@pytest.fixture
def lease(market: Market) -> int:
    """A fresh lease on a node of north, hours ahead, so that it is in nobody's way."""
    with_key(market.buyer)
    offer, node = market.offers["north"], market.nodes["north"][1]
    last = [part for part in market.buyer.does(f"offer show {offer}")["free_parts"] if part["node"] == node][
        -1
    ]
    start = max(last["start"], market.buyer.does("network show")["now"] + 8 * 3600)
    bought = market.buyer.does(f"offer buy {offer} --node {node} --start {start} --for 300s")
    return int(bought["lease"])


def test_honest_data_are_opened_and_ssh_is_told_to_accept_that_host_key_only(
    market: Market, lease: int
) -> None:
    key, content = with_key(market.buyer), document(market, lease)
    with Counter(market, lease) as counter:
        counter.deliver(seal(key.public, content.to_bytes()), content.host_key_hash())
        way = market.buyer.does(f"lease connect {lease}")
    assert (way["host"], way["port"]) == ("127.0.0.1", 2222)
    assert "StrictHostKeyChecking=yes" in way["ssh"]
    [known_hosts] = market.buyer.state.glob(f"leases/*/{lease}/known_hosts")
    assert known_hosts.read_text() == f"[127.0.0.1]:2222 {HOST_KEY}\n"


def test_the_buyer_is_told_whether_the_node_is_what_was_registered(market: Market, lease: int) -> None:
    key, content = with_key(market.buyer), document(market, lease)
    with Counter(market, lease) as counter:
        [node] = counter.exchange.leases.resources_of(lease)
        registered = counter.exchange.inventory.resource(node)
        told = seal(key.public, content.to_bytes())
        counter.deliver(told, content.host_key_hash(), measured=registered.document_hash)
        assert market.buyer.does(f"lease connect {lease}")["measured"] == "agrees with what was registered"
        anew = counter.exchange.inventory.remeasure(node, registered.spec, b"n" * 32)
        counter.exchange.send(anew)
        assert "registered anew since" in market.buyer.does(f"lease accept {lease}")["measured"]
        back = counter.exchange.inventory.remeasure(node, registered.spec, registered.document_hash)
        counter.exchange.send(back)


def test_a_node_that_differs_from_what_was_registered_is_shown_with_a_way_out(
    market: Market, lease: int
) -> None:
    key, content = with_key(market.buyer), document(market, lease)
    with Counter(market, lease) as counter:
        counter.deliver(seal(key.public, content.to_bytes()), content.host_key_hash())
        told = market.buyer.does(f"lease connect {lease}")["measured"]
    assert "DIFFERS" in told and f"ocx lease reject {lease}" in told
    assert "DIFFERS" in market.buyer.does(f"lease accept {lease}")["measured"]


def test_data_that_are_not_those_on_the_chain_are_not_opened(market: Market, lease: int) -> None:
    key, content = with_key(market.buyer), document(market, lease)
    sealed = [seal(key.public, content.to_bytes()) for _ in range(2)]
    with Counter(market, lease) as counter:
        counter.deliver(sealed[0], content.host_key_hash(), served=sealed[1])
        assert "hash is on the chain" in market.buyer.is_refused(f"lease connect {lease}")


def test_host_key_that_contradicts_the_chain_is_refused(market: Market, lease: int) -> None:
    key, content = with_key(market.buyer), document(market, lease)
    with Counter(market, lease) as counter:
        counter.deliver(seal(key.public, content.to_bytes()), b"x" * 32)
        assert "fingerprint" in market.buyer.is_refused(f"lease connect {lease}")


def test_a_committee_that_was_told_of_another_machine_is_noticed(market: Market, lease: int) -> None:
    key, content = with_key(market.buyer), document(market, lease)
    with Counter(market, lease) as counter:
        counter.deliver(seal(key.public, content.to_bytes()), content.host_key_hash(), port=2223)
        assert "told of other machines" in market.buyer.is_refused(f"lease connect {lease}")


def test_data_sealed_to_another_key_are_told_apart(market: Market, lease: int) -> None:
    content = document(market, lease)
    with Counter(market, lease) as counter:
        counter.deliver(seal(BoxKey.generate().public, content.to_bytes()), content.host_key_hash())
        assert "another key" in market.buyer.is_refused(f"lease connect {lease}")


def test_gateway_with_another_tls_key_gets_nothing(market: Market, lease: int, tmp_path: Path) -> None:
    with Counter(market, lease) as counter:
        exchange = counter.exchange
        exchange.send(exchange.members.set_gateway(counter.server.url, b"x" * 32))
        assert "does not hold the key" in market.buyer.is_refused(f"lease setup {lease}")


def test_stranger_cannot_leave_a_key_for_a_lease(market: Market, lease: int) -> None:
    with Counter(market, lease):
        assert "gateway says" in market.south.is_refused(f"lease setup {lease}")


def test_undelivered_lease_says_wait(market: Market, lease: int) -> None:
    assert "ocx lease watch" in market.buyer.is_refused(f"lease connect {lease}")


# ---- with a real agent and a real guest --------------------------------------------------------------------


@pytest.fixture
def living(tmp_path: Path) -> Iterator[Market]:
    """An exchange on wall-clock time, a block a second."""
    with anvil("--timestamp", str(int(time.time()) - FAR)) as node:
        market = found(node, tmp_path)
        connection = market.buyer.connection
        assert connection
        content = yaml.safe_load(connection.read_text()) | {"block_time": 1.0}
        node.ask("evm_setTime", int(time.time()))
        node.ask("evm_setIntervalMining", 1)
        deadline = time.monotonic() + 20
        while abs(node.rpc().head().timestamp - time.time()) > 3:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        connection.write_text(yaml.safe_dump(content))
        yield market


def agent_config(person: Person) -> Path:
    """North's configuration, with guests that can be logged in to."""
    path = config_of(person)
    content: dict[str, Any] = json.loads(path.read_text())
    content["plugins"][0]["settings"] |= {"guests": True, "guest_while_pid": os.getpid()}
    path.write_text(json.dumps(content | {"cycle": 0.2, "look_every": 0.5, "setup_wait": 30}))
    return path


def test_buyer_logs_in_with_its_fresh_key_on_the_machine_an_agent_made(living: Market) -> None:
    with_key(living.buyer)
    config = agent_config(living.north)
    command = [sys.executable, "-m", "cli.main", "provider", "run", "--config", str(config), "--json"]
    agent = subprocess.Popen(
        command,
        env=os.environ | living.north.environment,
        stdout=subprocess.PIPE,
        text=True,
        preexec_fn=die_with_parent,
    )
    try:
        url = agent_where(agent)["url"]
        living.north.does(f"member gateway {url} --tls-cert {living.north.folder / 'agent' / 'gateway.crt'}")
        offer, node = living.offers["north"], living.nodes["north"][0]
        lease = living.buyer.does(f"offer buy {offer} --node {node} --for 120s")["lease"]
        living.buyer.does(f"lease setup {lease} --hostname physics --property team=physics")
        living.buyer.does(f"lease watch {lease} --until delivered --timeout 60s")
        said = living.buyer.does(f"lease connect {lease} --run", "echo here; exit 0")
        assert said["output"] == "here\n"
        assert living.buyer.run(f"lease connect {lease} --run", "exit 7").exit_code == 7
        living.buyer.does(f"lease accept {lease}")
        status = f"provider status --config {config}"
        wait_for(  # the agent writes its page now and then
            "the page to tell of it",
            lambda: str(lease) in living.north.does(status)["award_to_provision_ms"],
        )
        assert living.north.does(status)["ok"]
    finally:
        agent.send_signal(signal.SIGTERM)
        assert agent.wait(30) == 0


def agent_where(agent: subprocess.Popen[str]) -> dict[str, Any]:
    """What the agent says once it serves."""
    assert agent.stdout
    text = ""
    for line in agent.stdout:
        text += line
        if line.startswith("}"):
            break
    where: dict[str, Any] = json.loads(text)
    return where
