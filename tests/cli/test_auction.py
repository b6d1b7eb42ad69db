"""English auctions and offers with other rates through `ocx` on a real chain."""

from __future__ import annotations

import pytest

from tests.cli.acts import assert_adds_up, free, month
from tests.cli.conftest import Market, Person

pytestmark = pytest.mark.timeout(120)


@pytest.fixture(scope="module")
def rival(market: Market) -> Person:
    """A second buyer."""
    person = Person("rival", market.buyer.folder.parent / "rival", market.buyer.connection)
    person.does("wallet create --light")
    address = person.does("wallet show")["address"]
    market.council.does(f"member admit rival {address} --roles buyer")
    market.council.does(f"credits mint {address} 1000")
    person.does("credits deposit 900")
    return person


def opened(market: Market, who: str = "north", more: str = "") -> tuple[int, int]:
    """An offer of its own and an auction on it: 600 s for bids, 200 s when one comes late, 3 % steps."""
    person, node = getattr(market, who), market.nodes[who][0]
    market.warp(0)
    published = person.does(f"offer publish --node {node} --start +2h --for 1h --floor 2 --buy-now 8")
    number = published["offer"]
    made = person.does(
        f"auction open {number} --node {node} --start +2h --for 10m --reserve 3 --step 3% --bid-for 600s "
        f"--extension 200s --longest 2000s {more}"
    )
    return int(made["auction"]), int(number)


def closed(market: Market, offer: int, who: str = "north") -> None:
    """The offer is out of the way of the next test."""
    getattr(market, who).does(f"offer cancel {offer}")


def test_auction_from_opening_to_lease(market: Market, rival: Person) -> None:
    before = {person.name: free(person) for person in (market.buyer, rival)}
    number, offer = opened(market)
    [row] = [row for row in market.buyer.does("auction list") if row["auction"] == number]
    assert (row["stage"], row["leader"], row["least_rate"], row["next"]) == ("open", None, 3_000_000, "bid")

    first = market.buyer.does(f"auction bid {number}")
    assert first["rate"] == 3_000_000
    assert before["buyer"] - free(market.buyer) == first["amount"] > 490_000
    assert "leads" in market.buyer.is_refused(f"auction bid {number} --rate 4")
    assert "least" in rival.is_refused(f"auction bid {number} --rate 3.05")
    assert "auction" in rival.is_refused(f"offer buy {offer} --node 1 --start +2h --for 10m")
    assert "cancel" in market.north.is_refused(f"auction cancel {number}")
    assert market.buyer.does(f"offer show {offer}")["frozen_until"] > 0

    market.warp(450)
    second = rival.does(f"auction bid {number}")
    assert second["rate"] == 3_090_000
    assert second["step"] == "6%"
    assert market.buyer.does("credits balance")["locked_for"]["auctions"] == first["amount"]
    assert "early" in market.buyer.is_refused(f"auction award {number}")
    market.warp(210)
    assert market.buyer.does(f"auction pull {number}")["amount"] == first["amount"]
    assert free(market.buyer) == before["buyer"]

    won = market.north.does(f"auction award {number}")
    assert (won["stage"], won["rate"], won["reason"]) == ("awarded", 3_090_000, None)
    assert rival.does(f"lease show {won['lease']}")["state"] == "awarded"
    shown = rival.does(f"auction show {number} --why")
    assert shown["leases"] == [won["lease"]]
    assert shown["stakes"] == []
    told = [entry["event"] for entry in shown["history"]]
    assert told == ["AuctionOpened", "AuctionBid", "AuctionBid", "BidPulled", "AuctionAwarded"]
    assert any("won at" in line and "0x" in line for line in shown["why"])
    rival.does(f"lease cancel {won['lease']}")
    closed(market, offer)


def test_statement_tells_of_a_deposit_that_was_lost(market: Market, rival: Person) -> None:
    number, offer = opened(market, "south")
    deposit = market.south.does(f"auction show {number}")["deposit"]
    assert market.south.does("credits balance")["locked_for"]["auctions"] == deposit
    before = free(rival)
    rival.does(f"auction bid {number} --rate 5")
    node = market.nodes["south"][0]
    published = market.south.does(f"offer publish --node {node} --start +2h --for 1h --floor 2 --buy-now 8")
    elsewhere = published["offer"]
    market.buyer.does(f"offer buy {elsewhere} --node {node} --start +2h5m --for 1m")
    market.warp(601)
    failed = rival.does(f"auction award {number}")
    assert (failed["stage"], failed["reason"], failed["to_leader"]) == ("failed", "not_free", deposit)
    assert failed["lease"] is None
    assert free(rival) == before + deposit
    stated = market.south.does(f"credits statement --month {month(market)}")
    assert_adds_up(market.south, stated)
    assert_adds_up(rival, rival.does(f"credits statement --month {month(market)}"))
    closed(market, elsewhere, "south")
    closed(market, offer, "south")


def test_seller_is_warned_of_nodes_that_are_in_another_offer_too(market: Market) -> None:
    number, offer = opened(market, "south")
    node = market.nodes["south"][0]
    second = market.south.does(f"offer publish --node {node} --start +2h --for 1h --floor 2")["offer"]
    market.south.does(f"auction cancel {number}")
    said = market.south.run(
        f"auction open {second} --node {node} --start +2h --for 10m --bid-for 600s", OCX_YES="1"
    )
    assert f", {offer}: what is sold there costs you the deposit here" in said.stderr
    assert said.exit_code == 0
    last = market.south.does("auction list")[-1]
    assert last["least_rate"] == 2_000_000
    market.warp(601)
    assert market.buyer.does(f"auction show {last['auction']} --why")["why"][-1].endswith("award it now")
    assert market.buyer.does(f"auction award {last['auction']}")["stage"] == "unsold"
    closed(market, second, "south")
    closed(market, offer, "south")


def test_bid_for_an_organisation_that_granted_it(market: Market, rival: Person) -> None:
    number, offer = opened(market)
    assert "no rights" in rival.is_refused(f"auction bid {number} --acting-for buyer")
    market.buyer.does(f"member grant {rival.wallet().address} --rights buy --limit 10")
    before = free(market.buyer)
    bid = rival.does(f"auction bid {number} --acting-for buyer")
    assert free(market.buyer) == before - bid["amount"]
    market.warp(601)
    won = market.buyer.does(f"auction award {number}")
    market.buyer.does(f"lease cancel {won['lease']}")
    closed(market, offer)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ("--step 0.001% --bid-for 60s", "too fine"),
        ("--bid-for 31d", "times"),
        ("--bid-for 3h", "times"),
        ("--bid-for 60s --longest 30s", "times"),
        ("--bid-for 60s --reserve 1", "floor"),
    ],
)
def test_auction_that_could_not_work_is_refused(market: Market, options: str, said: str) -> None:
    node, offer = market.nodes["north"][0], market.offers["north"]
    line = market.north.is_refused(f"auction open {offer} --node {node} --start +1h --for 10m {options}")
    assert said in line


def test_unknown_auction_is_refused(market: Market) -> None:
    assert "no such auction" in market.buyer.is_refused("auction show 99")
    assert "no such auction" in market.buyer.is_refused("auction bid 99")


def test_offer_gets_other_rates_and_its_deposit_follows(market: Market) -> None:
    node = market.nodes["north"][0]
    published = market.north.does(f"offer publish --node {node} --start +5h --for 1h --floor 4 --buy-now 8")
    offer, before = published["offer"], free(market.north)
    assert "fall" in market.north.is_refused(f"offer reprice {offer} --buy-now 9")
    repriced = market.north.does(f"offer reprice {offer} --floor 2 --buy-now 6")
    assert repriced["deposit"] == published["deposit"] // 2
    assert free(market.north) == before + published["deposit"] - repriced["deposit"]
    assert "organisation" in market.buyer.is_refused(f"offer reprice {offer} --floor 1")
    shown = market.buyer.does(f"offer show {offer}")
    assert (shown["floor_rate"], shown["buy_now_rate"]) == (2_000_000, 6_000_000)
    assert [entry["event"] for entry in shown["history"]] == ["OfferPublished", "OfferRepriced"]
    assert market.north.does(f"offer reprice {offer} --floor 3")["buy_now_rate"] == 6_000_000
    closed(market, offer)
