"""Founding, showing and checking a network; every way in which a connection file can be the wrong one."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.chain.network import anvil, free_port
from tests.cli.conftest import Market, Person

pytestmark = pytest.mark.timeout(120)


def with_file(person: Person, folder: Path, **changes: Any) -> Person:
    """The same person with a connection file that says something else."""
    assert person.connection
    content = yaml.safe_load(person.connection.read_text()) | changes
    path = folder / "connection.yaml"
    path.write_text(yaml.safe_dump(content))
    return dataclasses.replace(person, connection=path)


def test_show_names_every_contract_and_who_may_ask_what(market: Market) -> None:
    shown = market.buyer.does("network show")
    assert {item["contract"] for item in shown["contracts"]} >= {
        "Members",
        "Escrow",
        "Leases",
        "SealedTender",
    }
    rights = {item["right"]: item["holders"] for item in shown["rights"]}
    assert rights["inventory.book"] == ["Leases"]
    assert shown["council"] == market.council.does("wallet show")["address"]


def test_check_is_content_with_a_good_endpoint(market: Market) -> None:
    [endpoint] = market.buyer.does("network check")
    assert endpoint["finding"] == "good"


def test_wrong_chain_id_is_told_in_one_line(market: Market, tmp_path: Path) -> None:
    person = with_file(market.buyer, tmp_path, chain_id=4711)
    assert "chain id is 31337, not 4711" in person.is_refused("credits balance")


def test_wrong_genesis_is_told_in_one_line(market: Market, tmp_path: Path) -> None:
    person = with_file(market.buyer, tmp_path, genesis_hash="0x" + "12" * 32)
    assert "genesis hash" in person.is_refused("request list")


def test_connection_file_of_another_deployment_is_refused(market: Market, tmp_path: Path) -> None:
    other = market.buyer.exchange().members.address
    person = with_file(market.buyer, tmp_path, directory=other)
    assert "code at Directory" in person.is_refused("credits transfer", other, "1")


def test_wrong_slot_is_found_by_check(market: Market, tmp_path: Path) -> None:
    person = with_file(market.buyer, tmp_path, slot=3600)
    assert "slots" in person.run("network check").stderr


def test_dead_endpoint_is_told_in_one_line(market: Market, tmp_path: Path) -> None:
    person = with_file(market.buyer, tmp_path, rpc_urls=[f"http://127.0.0.1:{free_port()}"])
    assert "does not answer" in person.is_refused("offer list")


def test_dead_first_endpoint_does_not_stop_a_command(market: Market, tmp_path: Path) -> None:
    urls = [f"http://127.0.0.1:{free_port()}", market.node.url]
    person = with_file(market.buyer, tmp_path, rpc_urls=urls)
    assert person.does("credits balance")["handle"] == "buyer"
    assert person.run("network check").exit_code == 1


def test_missing_connection_file_says_how_to_name_one(tmp_path: Path) -> None:
    assert "OCX_CONNECTION" in Person("nobody", tmp_path).is_refused("offer list")


def test_deploy_does_not_overwrite_a_network(market: Market) -> None:
    assert market.council.connection
    out = market.council.connection.parent
    line = market.council.is_refused(f"network deploy --rpc-url {market.node.url} --out {out}")
    assert "exists already" in line


def test_deploy_that_is_not_confirmed_sends_nothing(tmp_path: Path) -> None:
    person = Person("founder", tmp_path)
    person.does("wallet create --light")
    with anvil() as node:
        result = person.run(f"network deploy --rpc-url {node.url} --demo --out {tmp_path / 'net'}")
        assert result.exit_code == 1
        assert "give --yes" in result.stderr.splitlines()[-1]
        assert node.rpc().head().number == 0
    assert not (tmp_path / "net").exists()


def test_unknown_parameter_is_named(market: Market, tmp_path: Path) -> None:
    (tmp_path / "p.yaml").write_text("slots: 5")
    command = (
        f"network deploy --rpc-url {market.node.url} --params {tmp_path / 'p.yaml'} --out {tmp_path / 'n'}"
    )
    assert "slots" in market.council.is_refused(command)
