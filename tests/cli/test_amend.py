"""More time for a lease, and taking it back, through `ocx` on a real chain."""

from __future__ import annotations

import pytest

from tests.cli.acts import buy, deliver, free, free_start, iso
from tests.cli.conftest import Market

pytestmark = pytest.mark.timeout(120)


def active(market: Market, lease: int) -> int:
    """Have it delivered and accepted."""
    deliver(market, lease)
    market.buyer.does(f"lease accept {lease}")
    return lease


def test_lease_is_extended_at_its_offers_rate_without_asking(market: Market) -> None:
    lease = active(market, buy(market, market.nodes["north"][0]))
    before, had = free(market.buyer), market.buyer.does(f"lease show {lease}")
    told = market.buyer.does(f"lease extend {lease} --until {iso(had['end'] + 95)}")
    assert told["end"] == had["end"] + 100  # outward, to the slot
    shown = market.buyer.does(f"lease show {lease}")
    assert (shown["end"], shown["state"]) == (told["end"], "active")
    assert before - free(market.buyer) == shown["price"] - had["price"] == -(-8_000_000 * 100 // 3600)
    assert "rates" not in shown
    assert "LeaseExtended" in [entry["event"] for entry in shown["history"]]


def test_other_rates_need_the_providers_word(market: Market) -> None:
    lease = active(market, buy(market, market.nodes["north"][1]))
    end = market.buyer.does(f"lease show {lease}")["end"]
    assert "no extension" in market.north.is_refused(f"lease agree {lease}")
    assert "--propose" in market.buyer.is_refused(f"lease extend {lease} --until {iso(end + 60)} --rate 3")
    market.buyer.does(f"lease extend {lease} --until {iso(end + 60)} --propose --rate 3")
    assert market.north.does(f"lease show {lease}")["proposed"] == {"end": end + 60, "rate": 3_000_000}
    market.buyer.does(f"lease withdraw {lease}")
    assert "proposed" not in market.north.does(f"lease show {lease}")
    market.buyer.does(f"lease extend {lease} --until {iso(end + 60)} --propose --rate 3")
    assert "no rights" in market.south.is_refused(f"lease agree {lease}")
    market.north.does(f"lease agree {lease}")
    shown = market.buyer.does(f"lease show {lease}")
    assert shown["end"] == end + 60
    assert shown["rates"] == [
        {"from": shown["start"], "rate": 8_000_000},
        {"from": end, "rate": 3_000_000},
    ]


def test_lease_is_taken_back_where_that_was_agreed_and_something_else_given(market: Market) -> None:
    kept, other = market.nodes["south"][:2]
    assert "agreed" in market.north.is_refused(
        f"lease reclaim {active(market, buy(market, market.nodes['north'][2]))} --at +61s"
    )
    offered = market.south.does(
        f"offer publish --node {kept} --node {other} --start now --for 10h --floor 2 --buy-now 8 "
        "--reclaimable"
    )["offer"]
    assert market.buyer.does(f"offer show {offered}")["reclaimable"]
    lease = market.buyer.does(f"offer buy {offered} --node {kept} --start now --for 2000s")["lease"]
    market.south.does(f"lease sign {lease}")
    exchange = market.south.exchange()
    from chain.contracts.leases import Delivery

    exchange.send(exchange.leases.deliver(lease, Delivery(1, b"c" * 32, b"h" * 32, b"s" * 32)))
    exchange.sender.close()
    market.buyer.does(f"lease accept {lease}")
    had = market.buyer.does(f"lease show {lease}")
    assert had["traits"] == ["reclaimable"]

    assert "notice" in market.south.is_refused(f"lease reclaim {lease} --at +20s")
    at = -(-(exchange.now() + 90) // exchange.slot) * exchange.slot
    before = free(market.buyer)
    taken = market.south.does(f"lease reclaim {lease} --at {iso(at)} --replacement {offered} --node {other}")
    shown = market.buyer.does(f"lease show {lease}")
    assert shown["reclaimed"]["ends_at"] == at and shown["reclaimed"]["nodes"] == [other]
    assert shown["ended_at"] == at and shown["state"] == "active"
    assert free(market.buyer) - before == taken["compensation"] + had["price"] - shown["price"]
    instead = market.buyer.does(f"lease take-replacement {lease}")
    assert instead["nodes"] == [other]
    new = market.buyer.does(f"lease show {instead['lease']}")
    assert (new["start"], new["end"], new["rate"]) == (at, had["end"], 8_000_000)
    assert market.buyer.does(f"lease show {lease}")["reclaimed"]["replacement"] == instead["lease"]
    assert "once" in market.buyer.is_refused(f"lease take-replacement {lease}")
    market.warp(at - exchange.now())
    ended = market.buyer.does(f"lease show {lease} --why")
    assert (ended["state"], ended["end_reason"], ended["fault"]) == ("ending", "reclaimed", "provider")


def test_what_does_not_belong_together_is_not_ended_together(market: Market) -> None:
    node = market.nodes["north"][1]
    lease = buy(market, node, free_start(market, node, 600))
    assert "default" in market.buyer.is_refused(f"lease end-partner {lease} {lease}")
    assert "default" in market.buyer.is_refused(f"lease share-out {lease}")
    assert "nothing to close" in market.buyer.is_refused(f"lease close-reclaim {lease}")
