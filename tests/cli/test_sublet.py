"""Parts of a lease let on, through `ocx` on a real chain."""

from __future__ import annotations

import pytest

from tests.cli.acts import buy, deliver, free, iso
from tests.cli.conftest import Market, Person

pytestmark = pytest.mark.timeout(120)


def test_a_part_of_a_lease_is_let_on_paid_and_returned(market: Market) -> None:
    buyer, tenant = market.buyer, Person("tenant", market.buyer.folder.parent / "tenant")
    tenant.does("wallet create --light")
    tenant.connection = buyer.connection
    address = tenant.does("wallet show")["address"]
    market.council.does(f"member admit tenant {address} --roles buyer")
    market.council.does(f"credits mint {address} 100")
    tenant.does("credits deposit 90")

    lease = buy(market, market.nodes["north"][0], length=2000)
    deliver(market, lease)
    buyer.does(f"lease accept {lease}")
    start = buyer.does(f"lease show {lease}")["start"]
    window = f"--start {iso(start + 100)} --end {iso(start + 1100)}"
    assert "role" in buyer.is_refused(f"sublet offer {lease} --place 0 {window} --rate 4")
    market.council.does("member set-roles buyer --roles buyer,seller")
    piece = buyer.does(f"sublet offer {lease} --place 0 {window} --rate 4")["piece"]
    [row] = tenant.does("sublet list --pieces")
    assert (row["piece"], row["places"], row["rate"]) == (piece, [0], 4_000_000)
    assert "party" in buyer.is_refused(f"sublet take {piece} --place 0 {window}")

    before = free(tenant), free(buyer)
    taken = tenant.does(f"sublet take {piece} --place 0 --start {iso(start + 200)} --end {iso(start + 600)}")
    number = taken["sublet"]
    assert before[0] - free(tenant) == taken["price"] == -(-4_000_000 * 400 // 3600)
    assert tenant.does("credits balance")["locked"] == taken["price"]
    market.warp(start + 210 - tenant.exchange().now())
    market.north.does(f"sublet deliver {number} --connection-hash {'ab' * 32} --host-key {'cd' * 32}")
    tenant.does(f"sublet accept {number}")
    market.warp(40)
    assert tenant.does(f"sublet show {number}")["state"] == "active"
    drawn = market.south.does(f"sublet settle {number}")["amount"]
    assert 0 < drawn == free(buyer) - before[1]
    tenant.does(f"sublet end {number}")
    market.warp(30)
    closed = tenant.does(f"sublet settle {number}")
    shown = tenant.does(f"sublet show {number}")
    assert (shown["state"], shown["settled"]) == ("terminated", True)
    assert shown["paid"] + closed["refunded"] == taken["price"]
    assert free(tenant) == before[0] - shown["paid"] and free(buyer) == before[1] + shown["paid"]
    assert tenant.does("credits balance")["locked"] == 0
    buyer.does(f"sublet close {piece}")
    assert tenant.does("sublet list --pieces") == []
    told = [entry["event"] for entry in shown["history"]]
    assert told[0] == "SubletTaken" and told[-1] == "SubletClosed"


def test_inside_a_party_a_part_is_passed_on_for_nothing(market: Market) -> None:
    desk = Person("desk", market.buyer.folder.parent / "desk")
    desk.does("wallet create --light")
    desk.connection = market.buyer.connection
    address = desk.does("wallet show")["address"]
    market.buyer.does(f"member admit desk {address} --roles buyer --under buyer --department")
    lease = buy(market, market.nodes["north"][1], length=1000)
    deliver(market, lease)
    market.buyer.does(f"lease accept {lease}")
    start = market.buyer.does(f"lease show {lease}")["start"]
    window = f"--start {iso(start + 100)} --end {iso(start + 600)}"
    before = free(market.buyer)
    passed = market.buyer.does(f"sublet pass {lease} --to desk --place 0 {window}")["sublet"]
    shown = desk.does(f"sublet show {passed}")
    assert (shown["tenant"], shown["price"], shown["state"]) == ("desk", 0, "awarded")
    assert "one party" in market.buyer.is_refused(f"sublet pass {lease} --to south --place 0 {window}")
    assert free(market.buyer) == before
