"""A machine bought at its posted rate, at once."""

from __future__ import annotations

from typing import Any

import brownie
from conftest import BUYER, FUNDS, LOW_RATE, SELLER, SLOT, Exchange, live_through

NOW_RATE = 6_000_000


def test_a_piece_of_an_offer_is_bought_at_once_and_leased(exchange: Exchange, accounts: Any) -> None:
    x = exchange
    seller, buyer = accounts[1:3]
    orgs = {seller: x.admit("seller", seller, SELLER), buyer: x.admit("buyer", buyer, BUYER)}
    now = brownie.chain.time()
    sale = (now // SLOT + 2, now // SLOT + 20)
    machine, offer = x.put_on_sale(seller, "serial", sale, NOW_RATE)

    # The seller asks less.
    x.book.reprice(offer, LOW_RATE, NOW_RATE - 1, {"from": seller})
    with brownie.reverts(f"Book_RateRises: {NOW_RATE}, {NOW_RATE - 1}"):
        x.book.reprice(offer, LOW_RATE, NOW_RATE, {"from": seller})

    window = (sale[0], sale[0] + 3)
    bought = x.book.buyNow(0, offer, [machine], window, {"from": buyer})
    lease = bought.events["BoughtNow"]["lease"]
    price = 3 * (NOW_RATE - 1)
    assert x.escrow.free(orgs[buyer]) == FUNDS - price
    assert x.settlement.account(lease)["bond"] == price // 5
    assert not x.inventory.isFree(machine, *window)

    earned = live_through(x, lease, seller, buyer, window)
    assert x.escrow.free(orgs[buyer]) == FUNDS - earned
    x.book.cancel(offer, {"from": seller})
    assert x.escrow.free(orgs[seller]) == FUNDS + earned
    assert x.escrow.total() == x.credits.balanceOf(x.escrow) == 2 * FUNDS
