"""A restricted offer: signed off the chain by the seller, filled on it by the buyer it is for."""

from __future__ import annotations

from typing import Any

import brownie
from brownie import accounts as all_accounts
from conftest import BUYER, FUNDS, LOW_RATE, SELLER, SLOT, Exchange, live_through, name
from eth_keys import keys

KEY = "0x" + "5e" * 32
"""The seller's; Brownie's own accounts sign no hash."""


def test_an_order_is_filled_by_whom_it_is_for(exchange: Exchange, accounts: Any) -> None:
    x = exchange
    seller = all_accounts.add(KEY)
    accounts[0].transfer(seller, "1 ether")
    buyer, rival = accounts[2:4]
    orgs = {seller: x.admit("seller", seller, SELLER)}
    orgs |= {who: x.admit(f"buyer {n}", who, BUYER) for n, who in enumerate((buyer, rival))}
    now = brownie.chain.time()
    window = (now // SLOT + 2, now // SLOT + 5)
    names = name("bm.large"), name("hall-1")
    registered = x.inventory.register(
        0, *names, (64, 0, 0, 0, 0), 1, name("document"), name("serial"), {"from": seller}
    )
    machine = registered.events["ResourceRegistered"]["resource"]

    order = (orgs[seller], orgs[buyer], *window, LOW_RATE, 1, 0, 0, [machine], 7, window[1] * SLOT)
    signature = _sign(x, order)
    with brownie.reverts(f"Orders_NotForYou: {orgs[rival]}, {orgs[buyer]}"):
        x.orders.fill(0, order, signature, [machine], window, {"from": rival})
    cheaper = (*order[:4], LOW_RATE - 1, *order[5:])
    with brownie.reverts():
        x.orders.fill(0, cheaper, signature, [machine], window, {"from": buyer})

    filled = x.orders.fill(0, order, signature, [machine], window, {"from": buyer})
    lease = filled.events["OrderFilled"]["lease"]
    assert x.escrow.free(orgs[buyer]) == FUNDS - 3 * LOW_RATE
    earned = live_through(x, lease, seller, buyer, window)
    assert x.escrow.free(orgs[buyer]) == FUNDS - earned
    assert x.escrow.free(orgs[seller]) == FUNDS + earned
    assert x.escrow.total() == x.credits.balanceOf(x.escrow) == 3 * FUNDS

    later = (*order[:9], 8, order[10])
    x.orders.cancelBelow(0, 9, {"from": seller})
    assert x.orders.isCancelled(later)


def _sign(x: Exchange, order: tuple[Any, ...]) -> bytes:
    """The seller's signature of the order's digest."""
    digest = bytes.fromhex(str(x.orders.digestOf(order)).removeprefix("0x"))
    signed = keys.PrivateKey(bytes.fromhex(KEY[2:])).sign_msg_hash(digest).to_bytes()
    return bytes(signed[:64]) + bytes([signed[64] + 27])
