"""`ocx lease power` and `ocx lease console`, through an agent that is its own process, to real guests."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from chain.console import ConsoleDocument
from cli.control import _opened, _show_console
from market.errors import InvalidInput, Refused
from tests.chain.network import anvil, die_with_parent
from tests.cli.conftest import Market, Person, found
from tests.cli.test_access import FAR, agent_config, agent_where, with_key
from tests.provisioner.world import wait_for

pytestmark = pytest.mark.timeout(180)


@dataclass
class Rented:
    """A delivered lease of two of north's machines, and who has it."""

    market: Market
    lease: int
    nodes: list[int]

    @property
    def buyer(self) -> Person:
        """The tenant."""
        return self.market.buyer

    def ssh(self, node: int) -> int:
        """The exit code of a command on one of its machines: 255 if it cannot be reached."""
        return self.buyer.run(f"lease connect {self.lease} --node {node} --run", "exit 7").exit_code


@pytest.fixture(scope="module")
def rented(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rented]:
    """An exchange on wall-clock time, north's agent, and a lease it delivered."""
    with anvil("--timestamp", str(int(time.time()) - FAR)) as node:
        market = found(node, tmp_path_factory.mktemp("control"))
        node.ask("evm_setTime", int(time.time()))
        node.ask("evm_setIntervalMining", 1)
        with_key(market.buyer)
        config = agent_config(market.north)
        command = [sys.executable, "-m", "cli.main", "provider", "run", "--config", str(config), "--json"]
        agent = subprocess.Popen(
            command,
            env=os.environ | market.north.environment,
            stdout=subprocess.PIPE,
            text=True,
            preexec_fn=die_with_parent,
        )
        try:
            url = agent_where(agent)["url"]
            certificate = market.north.folder / "agent" / "gateway.crt"
            market.north.does(f"member gateway {url} --tls-cert {certificate}")
            nodes = market.nodes["north"][:2]
            options = " ".join(f"--node {item}" for item in nodes)
            bought = market.buyer.does(f"offer buy {market.offers['north']} {options} --for 1h")
            lease = int(bought["lease"])
            market.buyer.does(f"lease setup {lease}")
            market.buyer.does(f"lease watch {lease} --until delivered --timeout 60s")
            yield Rented(market, lease, nodes)
        finally:
            agent.send_signal(signal.SIGTERM)
            assert agent.wait(30) == 0


def _told_power(rented: Rented) -> list[str | None]:
    north = rented.market.north
    health = north.does(f"provider status --config {north.folder}/provider.yaml")
    assert health["ok"]
    return [item["power"] for item in health["leases"]]


def test_off_makes_the_machines_unreachable_and_on_brings_them_back(rented: Rented) -> None:
    assert [rented.ssh(node) for node in rented.nodes] == [7, 7]
    told = rented.buyer.does(f"lease power {rented.lease} off")
    assert (told["action"], told["state"], told["done"]) == ("off", "done", rented.nodes)
    assert [rented.ssh(node) for node in rented.nodes] == [255, 255]
    assert rented.buyer.does(f"lease power {rented.lease} status") == told
    wait_for("the agent's page to tell", lambda: _told_power(rented) == ["switched off by its tenant"])
    assert rented.buyer.does(f"lease power {rented.lease} on")["nonce"] > told["nonce"]
    assert [rented.ssh(node) for node in rented.nodes] == [7, 7]


def test_a_reboot_can_be_asked_for_without_waiting_and_not_twice_at_once(rented: Rented) -> None:
    before = log_of(rented, rented.nodes[0])
    told = rented.buyer.does(f"lease power {rented.lease} reboot --no-wait")
    assert told["action"] == "reboot" and told["state"] in ("pending", "done")
    assert "rebooted within 10 s" in rented.buyer.is_refused(f"lease power {rented.lease} reboot")
    deadline = time.monotonic() + 20
    while rented.buyer.does(f"lease power {rented.lease} status")["state"] != "done":
        assert time.monotonic() < deadline
        time.sleep(0.1)
    after = log_of(rented, rented.nodes[0])
    assert after.count("Server listening") == before.count("Server listening") + 1


def log_of(rented: Rented, node: int) -> str:
    """What a machine's console says."""
    told = rented.buyer.does(f"lease console {rented.lease} --node {node}")
    assert (told["node"], told["kind"], told["url"]) == (node, "log", None)
    return str(told["text"])


def test_a_console_is_shown_as_it_speaks_and_closed(rented: Rented) -> None:
    shown = rented.buyer.run(f"lease console {rented.lease} --node {rented.nodes[1]}")
    assert shown.exit_code == 0 and "Server listening on 127.0.0.1" in shown.stdout
    closed = rented.buyer.does(f"lease console {rented.lease} --node {rented.nodes[1]} --close")
    assert closed["console"] == "closed"
    assert "choose one with --node" in rented.buyer.is_refused(f"lease console {rented.lease}")
    assert "no delivered node" in rented.buyer.is_refused(f"lease console {rented.lease} --node 999")


def test_power_is_confirmed_first(rented: Rented) -> None:
    before = rented.buyer.does(f"lease power {rented.lease} status")
    result = rented.buyer.run(f"lease power {rented.lease} off")
    assert result.exit_code == 1 and "--yes" in result.stderr
    assert f"Switch off the machines of lease {rented.lease}" in result.stderr
    assert rented.buyer.does(f"lease power {rented.lease} status") == before


def test_strangers_and_leases_that_are_not_delivered_are_refused(rented: Rented) -> None:
    assert "none of this account" in rented.market.south.is_refused(f"lease power {rented.lease} off")
    market = rented.market
    offer, node = market.offers["north"], market.nodes["north"][2]
    later = market.buyer.does(f"offer buy {offer} --node {node} --start +6h --for 1h")["lease"]
    assert "not delivered yet" in market.buyer.is_refused(f"lease power {later} off")
    assert "not delivered yet" in market.buyer.is_refused(f"lease console {later}")


# ---- what a gateway may say --------------------------------------------------------------------------------


def test_a_console_of_another_machine_is_not_shown() -> None:
    document = ConsoleDocument(7, 3, "vnc", url="https://console.invalid/")
    assert _opened(document.to_bytes(), 7, 3) == document
    for number, resource in ((7, 4), (8, 3)):
        with pytest.raises(Refused, match="do not use it"):
            _opened(document.to_bytes(), number, resource)
    with pytest.raises(InvalidInput):
        _opened(b"{}", 7, 3)


class _Table:
    format = "table"


def test_a_console_cannot_command_the_readers_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    app: Any = _Table()
    _show_console(app, ConsoleDocument(7, 3, "log", text="a\x1b[2Jb\x1b]0;owned\x07c\x9b1m\r\nd\te\x00"))
    assert capsys.readouterr().out == "abc1m\nd\te\n"
