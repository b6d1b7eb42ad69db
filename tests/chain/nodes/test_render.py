"""One description, all files: what must be in them, whatever they look like."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Any

import pytest

from chain import connection as connection_file
from chain.nodes import extra, render
from chain.nodes.description import NetworkDescription
from tests.chain.nodes.founding import description, node

BERLIN = [
    "homesteadBlock",
    "eip150Block",
    "eip155Block",
    "eip158Block",
    "byzantiumBlock",
    "constantinopleBlock",
    "petersburgBlock",
    "istanbulBlock",
    "berlinBlock",
]


def _files(found: NetworkDescription, number: int = 0) -> dict[str, Any]:
    texts = render.node_files(found, found.nodes[number], listen=found.nodes[number].host)
    return {name: (json if name.endswith("json") else tomllib).loads(text) for name, text in texts.items()}


@pytest.mark.parametrize("engine", ["clique", "qbft"])
def test_the_chain_ends_at_berlin_and_nobody_has_money(engine: str) -> None:
    genesis = json.loads(render.genesis(description(engine=engine)))
    forks = {name: block for name, block in genesis["config"].items() if name.endswith(("Block", "Time"))}
    assert forks == dict.fromkeys(BERLIN, 0)
    assert genesis["alloc"] == {} and "baseFeePerGas" not in genesis


def test_clique_genesis_says_times_limits_and_validators() -> None:
    found = description(block_time=2, gas_limit=20_000_000)
    genesis = json.loads(render.genesis(found))
    addresses = sorted(bytes.fromhex(each.address[2:]) for each in found.validators)
    assert genesis["config"]["chainId"] == 2026
    assert genesis["config"]["clique"] == {"period": 2, "epoch": 30_000}
    assert int(genesis["timestamp"], 16) == 1_700_000_000
    assert int(genesis["gasLimit"], 16) == 20_000_000
    assert genesis["extraData"] == "0x" + extra.clique(addresses).hex()


def test_qbft_genesis_has_the_marks_besu_asks_for() -> None:
    found = description(engine="qbft", block_time=2)
    genesis = json.loads(render.genesis(found))
    addresses = sorted(bytes.fromhex(each.address[2:]) for each in found.validators)
    assert genesis["config"]["qbft"] == {
        "blockperiodseconds": 2,
        "epochlength": 30_000,
        "requesttimeoutseconds": 4,
    }
    assert bytes.fromhex(genesis["mixHash"][2:]) == b"ctical byzantine fault tolerance"
    assert (genesis["difficulty"], genesis["nonce"]) == ("0x1", "0x0")
    assert genesis["extraData"] == "0x" + extra.qbft(addresses).hex()


def test_a_follower_is_let_in_but_founded_nothing() -> None:
    with_one = description(followers=[node(9)])
    assert render.genesis(with_one) == render.genesis(description())
    assert with_one.followers[0].enode in _files(with_one)["geth.toml"]["Node"]["P2P"]["TrustedNodes"]


def test_geth_lets_in_and_calls_exactly_the_others() -> None:
    found = description()
    p2p = _files(found)["geth.toml"]["Node"]["P2P"]
    others = [each.enode for each in found.nodes[1:]]
    assert p2p["TrustedNodes"] == p2p["StaticNodes"] == others
    assert p2p["NoDiscovery"] and p2p["BootstrapNodes"] == [] and p2p["DialRatio"] == 1
    assert p2p["ListenAddr"] == "192.0.2.1:30303"


def test_geth_writes_every_state_and_governs_over_ipc_alone() -> None:
    config = _files(description())["geth.toml"]
    assert config["Eth"]["NoPruning"] is True
    assert config["Eth"]["NetworkId"] == 2026
    assert config["Node"]["HTTPHost"] == "127.0.0.1"
    assert sorted(config["Node"]["HTTPModules"]) == ["eth", "net", "web3"]
    assert "WSHost" not in config["Node"]


def test_besu_has_free_gas_an_allow_list_and_says_that_it_was_not_run() -> None:
    found = description(engine="qbft", followers=[node(9)])
    texts = render.node_files(found, found.nodes[0])
    besu = tomllib.loads(texts["besu.toml"])
    assert besu["min-gas-price"] == 0
    assert besu["permissions-nodes-config-file-enabled"] and not besu["discovery-enabled"]
    assert besu["permissions-nodes-config-file"] in texts and besu["static-nodes-file"] in texts
    allowed = tomllib.loads(texts["permissions_config.toml"])["nodes-allowlist"]
    assert allowed == [each.enode for each in found.nodes] == json.loads(texts["static-nodes.json"])
    for name in ("besu.toml", "permissions_config.toml"):
        assert "NOT RUN BY THIS PROJECT" in texts[name]


def test_an_ipv6_host_stands_in_brackets() -> None:
    found = description(1, validators=[node(1, host="2001:db8::1")])
    assert found.nodes[0].enode.endswith("@[2001:db8::1]:30303")


def test_the_connection_file_asks_the_chosen_node_first_and_waits_for_a_majority(tmp_path: Path) -> None:
    validators = [node(number, rpc_port=8540 + number) for number in range(1, 5)]
    found = description(validators=validators, slot=60, block_time=2)
    path = tmp_path / "connection.yaml"
    address = found.nodes[0].address
    hash_ = "0x" + "ab" * 32
    path.write_text(
        render.connection(
            found, genesis_hash=hash_, directory=address, directory_code_hash=hash_, first=found.nodes[2]
        )
    )
    read = connection_file.load(path)
    assert read.rpc_urls == tuple(f"http://127.0.0.1:{port}" for port in (8543, 8541, 8542, 8544))
    assert (read.chain_id, read.gas_price, read.block_time, read.slot) == (2026, 0, 2.0, 60)
    assert read.confirmations == 3
