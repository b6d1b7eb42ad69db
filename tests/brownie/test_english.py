"""An English auction from its opening to the lease of who bid last."""

from __future__ import annotations

from typing import Any

import brownie
from conftest import BUYER, FUNDS, LOW_RATE, SELLER, SLOT, Exchange, live_through, pass_to

NOW_RATE = 9_000_000
STEP, EXTENSION = 500, 60


def test_the_last_bid_wins_and_the_others_pull(exchange: Exchange, accounts: Any) -> None:
    x = exchange
    seller, buyer, rival = accounts[1:4]
    orgs = {seller: x.admit("seller", seller, SELLER)}
    orgs |= {who: x.admit(f"buyer {n}", who, BUYER) for n, who in enumerate((buyer, rival))}
    now = brownie.chain.time()
    window = (now // SLOT + 2, now // SLOT + 5)
    machine, offer = x.put_on_sale(seller, "serial", window, NOW_RATE)
    end, stop = now + 600, now + 900
    terms = (offer, window, LOW_RATE, STEP, end, EXTENSION, stop)
    opened = x.english.open(0, terms, [machine], {"from": seller})
    auction = opened.events["AuctionOpened"]["auction"]

    # The first bid ends sale at once, and binds both sides.
    x.english.bid(0, auction, LOW_RATE, {"from": buyer})
    assert x.escrow.free(orgs[buyer]) == FUNDS - 3 * LOW_RATE
    with brownie.reverts(f"Book_Frozen: {offer}, {stop + 86_400}"):
        x.book.buyNow(0, offer, [machine], window, {"from": rival})
    with brownie.reverts(f"EnglishAuction_HasBids: {auction}, {orgs[buyer]}"):
        x.english.cancel(auction, {"from": seller})

    # A late bid moves the end and doubles the step.
    pass_to(end - 10)
    least = x.english.leastRate(auction)
    assert least == LOW_RATE * 105 // 100
    x.english.bid(0, auction, least, {"from": rival})
    state = x.english.auction(auction)
    assert (state["leader"], state["stepBps"]) == (orgs[rival], 2 * STEP)
    assert end < state["end"] <= stop
    x.english.pull(auction, orgs[buyer], {"from": seller})
    assert x.escrow.free(orgs[buyer]) == FUNDS

    # Anyone awards it; the lease lives its life.
    pass_to(state["end"])
    awarded = x.english.award(auction, {"from": buyer})
    lease = awarded.events["LeaseOpened"]["lease"]
    assert x.leases.lease(lease)["rate"] == least
    assert x.escrow.free(orgs[rival]) == FUNDS - 3 * least
    earned = live_through(x, lease, seller, rival, window)
    assert x.escrow.free(orgs[rival]) == FUNDS - earned
    x.book.expire(offer, {"from": rival})
    assert x.escrow.free(orgs[seller]) == FUNDS + earned
    assert x.escrow.total() == x.credits.balanceOf(x.escrow) == 3 * FUNDS
