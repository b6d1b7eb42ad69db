"""Leases through `ocx` on a real chain, and plans that are not confirmed."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.acts import buy, deliver, free, free_start
from tests.cli.conftest import Market

pytestmark = pytest.mark.timeout(120)


def test_lease_is_delivered_accepted_ended_wiped_and_settled(market: Market, tmp_path: Path) -> None:
    before = {person.name: free(person) for person in (market.north, market.buyer)}
    lease = buy(market, market.nodes["north"][2], length=600)
    price = market.buyer.does(f"lease show {lease}")["price"]
    assert "deliver" in market.buyer.is_refused(f"lease accept {lease}")
    deliver(market, lease)
    market.buyer.does(f"lease accept {lease}")
    assert market.buyer.does(f"lease show {lease}")["state"] == "active"
    market.warp(50)
    drawn = market.north.does(f"lease settle {lease}")
    assert drawn["paid"] > 0
    market.buyer.does(f"lease end {lease}")
    market.warp(10)
    assert market.buyer.does(f"lease show {lease}")["state"] == "ending"
    (tmp_path / "evidence").write_text("wiped")
    market.north.does(f"lease wipe {lease} --evidence {tmp_path / 'evidence'}")

    shown = market.buyer.does(f"lease show {lease} --why")
    assert shown["described"] == "terminated(buyer, early)"
    assert (shown["end_reason"], shown["fault"], shown["settled"]) == ("buyer_early", "nobody", True)
    assert shown["paid"] + shown["refunded"] == price
    assert shown["bond"] == shown["penalty"] == 0
    assert [entry["event"] for entry in shown["history"]][:3] == ["LeaseOpened", "Funded", "LeaseSigned"]
    signed = next(entry for entry in shown["history"] if entry["event"] == "LeaseSigned")
    assert any("the provider signed" in line and signed["tx"] in line for line in shown["why"])
    assert free(market.north) == before["north"] + shown["paid"]
    assert free(market.buyer) == before["buyer"] - shown["paid"]
    assert {"lease": lease, "state": "terminated"}.items() <= next(
        row for row in market.buyer.does("lease list --mine") if row["lease"] == lease
    ).items()


def test_rejected_delivery_ends_the_lease_with_its_reason(market: Market) -> None:
    node = market.nodes["north"][1]
    lease = buy(market, node, free_start(market, node, 600))
    deliver(market, lease)
    market.buyer.does(f"lease reject {lease} --reason wrong-disk")
    shown = market.buyer.does(f"lease show {lease}")
    ended = next(entry for entry in shown["history"] if entry["event"] == "LeaseEnded")
    assert ended["facts"]["note"] == "wrong-disk"
    assert shown["end_reason"] == "rejected"


@pytest.mark.warps("let 101 s pass at once")
def test_missed_signature_is_the_providers_default_and_anyone_settles_it(market: Market) -> None:
    node = market.nodes["south"][1]
    offer = market.offers["south"]
    lease = market.buyer.does(f"offer buy {offer} --node {node} --start now --for 600s")["lease"]
    market.warp(101)
    shown = market.buyer.does(f"lease show {lease} --why")
    assert (shown["state"], shown["fault"]) == ("defaulted", "provider")
    assert any("not yet recorded on chain" in line for line in shown["why"])
    assert "late" in market.south.is_refused(f"lease sign {lease}")
    market.north.does(f"lease expire {lease}")
    assert market.buyer.does(f"lease show {lease}")["penalty"] > 0


@pytest.mark.warps("let 2000 s pass at once")
def test_missed_wipe_costs_the_provider_and_anyone_settles_it(market: Market, tmp_path: Path) -> None:
    node = market.nodes["north"][2]
    lease = buy(market, node, free_start(market, node, 600))
    deliver(market, lease)
    market.buyer.does(f"lease accept {lease}")
    market.buyer.does(f"lease end {lease}")
    assert "early" in market.south.is_refused(f"lease miss-wipe {lease}")
    market.warp(2000)
    market.south.does(f"lease miss-wipe {lease}")
    shown = market.buyer.does(f"lease show {lease} --why")
    assert shown["penalty"] > 0
    assert shown["state"] == "ending"
    assert any("the wipe deadline" in line and "0x" in line for line in shown["why"])
    (tmp_path / "evidence").write_text("wiped late")
    market.north.does(f"lease wipe {lease} --evidence {tmp_path / 'evidence'}")
    assert market.buyer.does(f"lease show {lease}")["bond"] == 0


def test_watch_stops_at_the_state_asked_for_and_gives_up_in_time(market: Market) -> None:
    node = market.nodes["north"][1]
    lease = buy(market, node, free_start(market, node, 600))
    assert market.buyer.does(f"lease watch {lease} --until awarded")["state"] == "awarded"
    assert "still awarded" in market.buyer.is_refused(f"lease watch {lease} --until active --timeout 1s")
    market.buyer.does(f"lease cancel {lease}")
    assert "will not become active" in market.buyer.is_refused(f"lease watch {lease} --until active")


def test_plan_tells_what_is_locked_and_without_a_terminal_nothing_is_sent(market: Market) -> None:
    before = free(market.buyer)
    offer, node = market.offers["north"], market.nodes["north"][0]
    result = market.buyer.run(f"offer buy {offer} --node {node} --start +9h --for 1h")
    assert result.exit_code == 1
    assert "8.0" in result.stderr
    assert "credits at most; what is not billed comes back" in result.stderr
    assert "gas" in result.stderr
    assert free(market.buyer) == before


def test_tables_are_for_people(market: Market) -> None:
    text = market.buyer.run("member list").stdout
    assert "north" in text
    assert "seller" in text
    assert market.buyer.run("node list --format value").stdout.split()[0] == "1"
