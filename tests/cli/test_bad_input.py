"""What goes wrong around a command: one line that says what to do, exit code 1, nothing lost, nothing twice.

Bad windows, money and rights are in test_market, other connection files in test_network. Here commands run as
programs of their own, so that all they write is seen, and endpoints and processes die in the middle.
"""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from chain.contracts.leases import Delivery
from chain.generated.errors import Leases_TooLate
from tests.chain.network import Relay, free_port
from tests.cli.acts import free
from tests.cli.conftest import Market, Person, config_of, found
from tests.cli.test_network import with_file
from tests.engine import begun

pytestmark = pytest.mark.timeout(120)
PROGRAM = Path(sys.executable).with_name("ocx")


@pytest.fixture(scope="module")
def market(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Market]:
    """One whose machines nobody else has booked: deadlines need them now."""
    with begun() as node:
        yield found(node, tmp_path_factory.mktemp("market"))


def start(person: Person, command: str) -> subprocess.Popen[str]:
    """Start `ocx` as somebody's own process."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("OCX_")}
    environment = kept | person.environment | {"OCX_YES": "1", "OCX_FORMAT": "json"}
    return subprocess.Popen(
        [PROGRAM, *command.split()],
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def refusal(process: subprocess.Popen[str]) -> str:
    """The one line of a program that must fail: what is wrong; what to do."""
    out, err = process.communicate(timeout=60)
    lines = err.splitlines()
    assert (process.returncode, out, len(lines)) == (1, "", 1), err
    assert lines[0].startswith("ocx: ") and "; " in lines[0]
    return lines[0]


def until(probe: Any, limit: float = 30.0) -> Any:
    """The first truthy value of `probe`."""
    deadline = time.monotonic() + limit
    while not (value := probe()):
        assert time.monotonic() < deadline, "it did not come true in time"
        time.sleep(0.02)
    return value


def under_way(market: Market) -> bool:
    """Whether a transaction waits in the node."""
    return int(market.node.ask("txpool_status")["pending"], 16) > 0


# ---- the network -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"chain_id": 4711}, "chain id is 31337, not 4711; use the connection file of the network"),
        ({"rpc_urls": ["http://127.0.0.1:{port}"]}, "start the node or add another to rpc_urls"),
    ],
)
def test_a_program_writes_nothing_but_its_one_line(
    market: Market, tmp_path: Path, changes: dict[str, Any], said: str
) -> None:
    if "rpc_urls" in changes:
        changes = {"rpc_urls": [url.format(port=free_port()) for url in changes["rpc_urls"]]}
    person = with_file(market.buyer, tmp_path, **changes)
    before = free(market.buyer)
    assert said in refusal(start(person, "credits withdraw 1"))
    assert free(market.buyer) == before


def test_endpoint_that_dies_and_comes_back_while_a_command_waits_costs_only_time(
    market: Market, tmp_path: Path
) -> None:
    to = market.council_address
    holds = market.buyer.exchange().credits.balance_of
    before = holds(to)
    with Relay(market.node.port) as relay:
        person = with_file(market.buyer, tmp_path, rpc_urls=[relay.url])
        market.node.ask("evm_setAutomine", False)
        try:
            sending = start(person, f"credits transfer {to} 0.000011")
            until(lambda: under_way(market))
            relay.stop()
            market.node.mine()
            assert "nothing is lost meanwhile" in person.is_refused("offer list")
            assert sending.poll() is None
            relay.start()
        finally:
            market.node.ask("evm_setAutomine", True)
        out, err = sending.communicate(timeout=60)
    assert sending.returncode == 0, err
    assert len(json.loads(out)["transactions"]) == 1
    assert holds(to) == before + 11


def test_killed_command_is_not_paid_twice_when_it_is_repeated(market: Market) -> None:
    to = market.council_address
    holds = market.buyer.exchange().credits.balance_of
    before, command = holds(to), f"credits transfer {to} 0.000013"
    market.node.ask("evm_setAutomine", False)
    try:
        sending = start(market.buyer, command)
        until(lambda: under_way(market))
        sending.kill()
        sending.communicate()
        assert "ocx wallet pending" in market.buyer.is_refused(command)
        market.node.mine()
    finally:
        market.node.ask("evm_setAutomine", True)
    assert "repeat the command only if you want it a second time" in market.buyer.is_refused(command)
    assert holds(to) == before + 13
    market.buyer.does(command)
    assert holds(to) == before + 26


# ---- the other side --------------------------------------------------------------------------------------


def test_delivery_after_the_deadline_is_refused_and_the_buyer_gets_everything_back(market: Market) -> None:
    before = free(market.buyer)
    node = market.nodes["south"][2]
    offer = market.offers["south"]
    lease = market.buyer.does(f"offer buy {offer} --node {node} --start now --for 600s")["lease"]
    bond = market.buyer.does(f"lease show {lease}")["bond"]
    market.south.does(f"lease sign {lease}")
    market.warp(101)
    exchange = market.south.exchange()
    with pytest.raises(Leases_TooLate, match="deadline has passed.*ocx lease show --why"):
        exchange.send(exchange.leases.deliver(lease, Delivery(1, b"c" * 32, b"h" * 32, b"s" * 32)))
    exchange.sender.close()
    assert "nothing has been delivered" in market.buyer.is_refused(f"lease accept {lease}")
    market.north.does(f"lease expire {lease}")
    shown = market.buyer.does(f"lease show {lease} --why")
    assert (shown["state"], shown["fault"], shown["paid"]) == ("defaulted", "provider", 0)
    assert any("bond went to the buyer; at fault: provider [block" in line for line in shown["why"])
    assert free(market.buyer) == before + bond
    assert "ocx lease show" in market.north.is_refused(f"lease expire {lease}")


def test_provider_that_cannot_cover_its_bond_opens_no_lease(market: Market) -> None:
    node, offer = market.nodes["south"][1], market.offers["south"]
    start_at = "+6h"
    before, rest = free(market.buyer), free(market.south) - 1
    market.south.does(f"credits withdraw {rest / 1_000_000:.6f}")
    line = market.buyer.is_refused(f"offer buy {offer} --node {node} --start {start_at} --for 1h")
    assert "provider_cover" in line and "ocx credits balance" in line
    assert (free(market.buyer), free(market.south)) == (before, 1)
    market.south.does(f"credits deposit {rest / 1_000_000:.6f}")
    lease = market.buyer.does(f"offer buy {offer} --node {node} --start {start_at} --for 1h")["lease"]
    market.buyer.does(f"lease cancel {lease}")


# ---- the agent's installation ----------------------------------------------------------------------------


def ironic_config(person: Person) -> Path:
    """A configuration whose Ironic is down."""
    password = person.folder / "ironic-password"
    password.touch(mode=0o600)
    password.write_text("secret-of-ironic")
    cloud = {
        "site": "lab",
        "endpoint": f"http://127.0.0.1:{free_port()}",
        "username": "ocx",
        "password_file": str(password),
        "image_source": "http://127.0.0.1/os.raw",
        "image_sha256": "a" * 64,
        "ssh_user": "root",
    }
    fields = json.loads(config_of(person).read_text()) | {"plugins": [{"name": "ironic", "settings": cloud}]}
    path = person.folder / "ironic.yaml"
    path.write_text(json.dumps(fields))
    return path


def test_ironic_that_is_down_is_told_in_one_line_and_nothing_is_registered(market: Market) -> None:
    path = ironic_config(market.north)
    nodes = len(market.buyer.does("node list"))
    for line in (
        refusal(start(market.north, f"node inspect --config {path}")),
        market.north.is_refused(f"node register --config {path}"),
    ):
        assert "Ironic cannot be reached" in line and "try again" in line and "secret-of-ironic" not in line
    checked = market.north.run(f"provider check --config {path}", OCX_FORMAT="json")
    assert checked.exit_code == 1
    findings = [item["finding"] for item in json.loads(checked.stdout)]
    assert any("Ironic cannot be reached" in finding for finding in findings)
    assert len(market.buyer.does("node list")) == nodes


@pytest.mark.parametrize(
    ("changes", "said"),
    [({"chain_id": 4711}, "not 4711"), ({"directory_code_hash": "0x" + "12" * 32}, "code at Directory")],
)
def test_check_finds_a_connection_file_of_another_network(
    market: Market, tmp_path: Path, changes: dict[str, Any], said: str
) -> None:
    other = with_file(market.south, tmp_path, **changes)
    checked = market.south.run(f"provider check --config {config_of(other)}", OCX_FORMAT="json")
    config_of(market.south)
    assert checked.exit_code == 1
    assert any(said in item["finding"] for item in json.loads(checked.stdout))


def test_check_tells_a_key_without_rights_which_it_needs(market: Market, tmp_path: Path) -> None:
    operator = dataclasses.replace(market.north, folder=tmp_path / "operator")
    address = operator.does("wallet create --light")["address"]
    config = config_of(operator)

    def findings() -> str:
        return market.north.run(f"provider check --config {config}").stdout

    assert "ocx member set" in findings()
    market.north.does(f"member set {address} --rights sign")
    assert "lacks the rights offer, deliver, release" in " ".join(findings().split())
    market.north.does(f"member set {address} --rights offer,sign,deliver,release")
    assert "lacks" not in findings()
    market.north.does(f"member remove {address}")
