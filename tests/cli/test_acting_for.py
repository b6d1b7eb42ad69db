"""One key that acts for several organisations by their grants: a broker, or an agent with many owners."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.conftest import Market, Person, config_of


@pytest.fixture
def broker(market: Market, tmp_path: Path) -> Person:
    """Somebody with a wallet who is at home nowhere."""
    person = Person("broker", tmp_path / "broker", market.council.connection)
    person.does("wallet create --light")
    return person


def let(owner: Person, broker: Person, rights: str, limit: int = 100) -> int:
    """Let the broker act for somebody; whose organisation it is."""
    granted = owner.does(f"member grant {broker.wallet().address} --rights {rights} --limit {limit}")
    return int(granted["org"])


def test_broker_buys_for_another_within_its_limit(market: Market, broker: Person) -> None:
    org = let(market.buyer, broker, "buy", limit=3)
    node = market.nodes["north"][0]
    buy = f"offer buy {market.offers['north']} --node {node} --acting-for {org} --start +100s --for "
    bought = broker.does(buy + "600s")
    lease = market.buyer.exchange().leases.lease(bought["lease"])
    assert (lease.buyer, broker.exchange().members.member_of(org, broker.wallet().address).spent) == (
        org,
        bought["price"],
    )
    assert "limit" in broker.is_refused(buy.replace("+100s", "+1000s") + "10h")
    shown = broker.does("wallet show --acting-for buyer")
    assert (shown["org"], shown["rights"]) == (org, ["buy"])


def test_one_key_bids_for_two_owners_in_two_tenders(market: Market, broker: Person) -> None:
    for name in ("north", "south"):
        org = let(getattr(market, name), broker, "offer,sign,deliver,release")
        number = market.request()
        node = market.nodes[name][1]
        broker.does(
            f"tender bid {number} --acting-for {name} --offer {market.offers[name]} --node {node} --rate 4"
        )
        market.warp(31)
        broker.does(f"tender reveal {number} --acting-for {name}")
        market.warp(31)
        [won] = market.buyer.does(f"tender award {number}")["leases"]
        broker.does(f"lease sign {won['lease']} --acting-for {name}")
        lease = market.buyer.exchange().leases.lease(won["lease"])
        assert lease.provider == org and lease.signed_at


def test_registers_and_offers_what_is_another_organisations(market: Market, broker: Person) -> None:
    org = let(market.south, broker, "offer")
    registered = broker.does(f"node register --acting-for south --config {config_of(broker)}")["registered"]
    node = registered[0]["resource"]
    published = broker.does(f"offer publish --acting-for south --node {node} --start now --for 1h --floor 2")
    assert market.south.exchange().book.offer(published["offer"]).org == org
    market.south.does(f"offer cancel {published['offer']}")


def test_without_a_grant_or_after_it_nothing_is_sent(market: Market, broker: Person) -> None:
    buy = f"offer buy {market.offers['north']} --node {market.nodes['north'][2]} --start +100s --for 60s"
    assert "has no rights in buyer" in broker.is_refused(f"{buy} --acting-for buyer")
    assert "acts for no organisation" in broker.is_refused(buy)
    let(market.buyer, broker, "offer")
    assert "lacks the right" in broker.is_refused(f"{buy} --acting-for buyer")
    market.buyer.does(f"member revoke buyer {broker.wallet().address}")
    assert "has no rights in buyer" in broker.is_refused(f"{buy} --acting-for buyer")
    assert "there is no" in broker.is_refused(f"{buy} --acting-for nobody-here")
