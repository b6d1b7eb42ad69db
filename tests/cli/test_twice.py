"""Nothing is sent twice, and a bid whose node was sold meanwhile does not cost its deposit."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from cli.main import cli
from tests.cli.acts import free
from tests.cli.conftest import Market, Person

pytestmark = pytest.mark.timeout(120)


def test_command_repeated_while_its_transaction_is_under_way_is_refused(market: Market) -> None:
    to = market.council_address
    exchange = market.buyer.exchange()
    call = exchange.credits.transfer(to, 7)
    before = exchange.credits.balance_of(to)
    market.node.ask("evm_setAutomine", False)
    try:
        exchange.sender.send(call.to, call.data, wait=False)
        exchange.sender.close()
        assert "ocx wallet pending" in market.buyer.is_refused(f"credits transfer {to} 0.000007")
        [waiting] = market.buyer.does("wallet pending")
        assert waiting["status"] == "under way"
        market.node.mine()
        assert market.buyer.does("wallet pending")[0]["status"] == "mined"
        assert market.buyer.does("wallet pending") == []
    finally:
        market.node.ask("evm_setAutomine", True)
    assert exchange.credits.balance_of(to) == before + 7
    market.buyer.does(f"credits transfer {to} 0.000007")
    assert exchange.credits.balance_of(to) == before + 14


def test_bid_whose_node_was_sold_meanwhile_gets_its_deposit_back(market: Market, tmp_path: Path) -> None:
    rival = Person("rival", tmp_path, market.buyer.connection)
    address = rival.does("wallet create --light")["address"]
    market.council.does(f"member admit rival {address} --roles buyer")
    market.council.does(f"credits mint {address} 100")
    rival.does("credits deposit 100")
    number, before = market.request(), free(market.north)
    node, offer = market.nodes["north"][0], market.offers["north"]
    market.north.does(f"tender bid {number} --offer {offer} --node {node} --rate 4")
    assert "reveal it instead" in market.north.is_refused(f"tender excuse {number}")
    wanted = market.buyer.does(f"request show {number}")
    taken = rival.does(f"offer buy {offer} --node {node} --start {wanted['start']} --for 300s")
    sold = free(market.north)
    market.warp(31)
    assert f"ocx tender excuse {number}" in market.north.is_refused(f"tender reveal {number}")
    excused = market.north.does(f"tender excuse {number}")
    assert excused["lease"] == taken["lease"]
    assert free(market.north) == sold + excused["deposit"]
    rival.does(f"lease cancel {taken['lease']}")
    assert free(market.north) > before


def test_one_process_runs_many_commands_and_survives_a_failure(market: Market) -> None:
    lines = "member list\n# a remark\nlease show 4711\nwallet show\n"
    env = market.buyer.environment | {"OCX_FORMAT": "json", "OCX_YES": "1"}
    result = CliRunner().invoke(cli, ["batch"], env=env, input=lines)
    answers = [json.loads(line) for line in result.stdout.splitlines()]
    assert [answer["exit_code"] for answer in answers] == [0, 1, 0]
    assert answers[1]["error"].startswith("ocx: ")
    assert answers[2]["result"]["handle"] == "buyer"
