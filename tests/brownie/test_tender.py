"""A sealed tender from request to settlement."""

from __future__ import annotations

from typing import Any

import brownie
from brownie import web3
from conftest import BUYER, FUNDS, LOW_RATE, SELLER, SLOT, Exchange, live_through, name, pass_to

CEILING, HIGH_RATE = 5_000_000, 4_000_000


def test_a_tender_becomes_a_lease_that_is_delivered_wiped_and_paid(exchange: Exchange, accounts: Any) -> None:
    x = exchange
    north, south, buyer = accounts[1:4]
    orgs = {north: x.admit("north", north, SELLER), south: x.admit("south", south, SELLER)}
    buyer_org = x.admit("buyer", buyer, BUYER)
    now = brownie.chain.time()
    window = (now // SLOT + 2, now // SLOT + 5)
    machines = {seller: x.put_on_sale(seller, f"serial-{org}", window) for seller, org in orgs.items()}

    # Post: the ceiling is locked.
    size = (32, 0, 0, 0, 0)
    request = (window, 0, 1, 0, 0, CEILING, 0, name("bm.large"), size, name(""), b"", b"")
    posted = x.tender.post(0, request, (now + 600, now + 1200, False), {"from": buyer})
    tender = posted.events["TenderOpened"]["request"]
    assert x.escrow.free(buyer_org) == FUNDS - 3 * CEILING

    # Bid: only the commitments are seen.
    bids = {
        north: (machines[north][1], LOW_RATE, window[0], [machines[north][0]]),
        south: (machines[south][1], HIGH_RATE, window[0], [machines[south][0]]),
    }
    salts = {seller: web3.keccak(text=f"salt {org}") for seller, org in orgs.items()}
    for seller, bid in bids.items():
        sealed = x.tender.commitmentOf(tender, orgs[seller], bid, salts[seller])
        x.tender.commit(0, tender, sealed, {"from": seller})

    # Reveal: a bid that is not the one committed to is refused.
    pass_to(now + 600)
    with brownie.reverts(f"SealedTender_CommitmentMismatch: {tender}, {orgs[north]}"):
        lower = (bids[north][0], LOW_RATE - 1, *bids[north][2:])
        x.tender.reveal(tender, orgs[north], lower, salts[north], [], {"from": north})
    for seller, bid in bids.items():
        x.tender.reveal(tender, orgs[seller], bid, salts[seller], [], {"from": seller})
    pass_to(now + 1200)
    awarded = x.tender.award(tender, {"from": buyer})
    opened = awarded.events["LeaseOpened"]
    lease = opened["lease"]
    assert (opened["provider"], opened["rate"]) == (orgs[north], LOW_RATE)
    price = 3 * LOW_RATE
    assert x.escrow.free(buyer_org) == FUNDS - price
    assert x.settlement.account(lease)["bond"] == price // 5
    for seller, org in orgs.items():
        x.tender.claim(tender, org, {"from": seller})

    # The lease lives its life.
    earned = live_through(x, lease, north, buyer, window)

    # Nothing is lost: the offers' resting deposits are all that is still held.
    held = sum(x.book.offer(offer)["deposit"] for _, offer in machines.values())
    assert held > 0
    free = {org: x.escrow.free(org) for org in (*orgs.values(), buyer_org)}
    assert free[buyer_org] == FUNDS - earned
    assert free[orgs[north]] == FUNDS + earned - x.book.offer(machines[north][1])["deposit"]
    assert sum(free.values()) + held == x.escrow.total() == x.credits.balanceOf(x.escrow) == 3 * FUNDS
