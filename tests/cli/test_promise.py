"""SLAs where people buy and sell: what is promised, what the witnesses may cost, what comes back."""

from __future__ import annotations

import pytest

from chain.contracts.leases import Delivery
from chain.generated.events import SlaRegistered
from market.billing import amount_up
from market.verdicts import Sla, Tier
from tests.cli.acts import buy, deliver, free, free_start, iso
from tests.cli.conftest import Market

pytestmark = pytest.mark.timeout(120)

FEE = 5 * 10_000
"""Microcredits an epoch's witnesses may cost at most: five seats of 0.01."""


@pytest.fixture(scope="module")
def sla(market: Market) -> int:
    """A registered SLA."""
    exchange = market.south.exchange()
    assert exchange.verdicts is not None
    receipt = exchange.send(exchange.verdicts.register_sla(Sla((Tier(990_000, 100_000, 3),))))
    exchange.sender.close()
    [registered] = [e for e in exchange.events(receipt) if isinstance(e, SlaRegistered)]
    return registered.sla


@pytest.fixture(scope="module")
def promising(market: Market, sla: int) -> int:
    """An offer of south's last node that promises it."""
    node = market.nodes["south"][2]
    published = market.south.does(f"offer publish --node {node} --for 20h --floor 2 --buy-now 5 --sla {sla}")
    shown = market.buyer.does(f"offer show {published['offer']}")
    assert shown["sla"] == sla
    return int(published["offer"])


def soon_free(market: Market, node: int) -> str:
    """When a node of south is free next for ten minutes."""
    parts = market.buyer.does(f"offer show {market.offers['south']}")["free_parts"]
    return iso(
        min(part["start"] for part in parts if part["node"] == node and part["end"] - part["start"] > 600)
    )


def rent(market: Market, offer: int, more: str = "") -> int:
    """A window of ten minutes on it, inside one epoch or two."""
    node = market.nodes["south"][2]
    start = soon_free(market, node)
    return int(
        market.buyer.does(f"offer buy {offer} --node {node} --start {start} --for 600s {more}")["lease"]
    )


def test_an_sla_that_nobody_registered_is_neither_offered_nor_asked_for(market: Market, sla: int) -> None:
    unknown = sla + 1
    node = market.nodes["south"][2]
    told = market.south.is_refused(f"offer publish --node {node} --for 1h --floor 2 --sla {unknown}")
    assert "SLA" in told
    assert "SLA" in market.buyer.is_refused(
        f"request post --class bm.large --spec cores=1 --for 600s --ceiling 10 --sla {unknown}"
    )


def test_who_buys_may_insist_on_an_sla(market: Market, sla: int, promising: int) -> None:
    node = market.nodes["south"][2]
    plain = market.offers["south"]
    command = f"--node {node} --start {soon_free(market, node)} --for 600s"
    assert "no SLA" in market.buyer.is_refused(f"offer buy {plain} {command} --sla {sla}")
    assert f"promises SLA {sla}" in market.buyer.is_refused(f"offer buy {promising} {command} --sla 0")


def test_a_lease_with_an_sla_awaits_its_committee_and_returns_the_fees_if_it_is_cancelled(
    market: Market, sla: int, promising: int
) -> None:
    before = {person.name: free(person) for person in (market.south, market.buyer)}
    locked = market.buyer.does("credits balance")["locked_for"].get("fees", 0)
    lease = rent(market, promising, f"--sla {sla}")
    shown = market.buyer.does(f"lease show {lease} --why")
    assert (shown["sla"], shown["committee"], shown["committee_at"]) == (sla, "awaited", 0)
    assert shown["fees"] in (FEE, 2 * FEE) and shown["fees_paid"] == 0
    assert any("in witness fees" in line for line in shown["why"])
    assert market.buyer.does("credits balance")["locked_for"]["fees"] == locked + shown["fees"] // 2
    assert free(market.south) == before["south"] - shown["bond"] - shown["fees"] // 2
    reserve = market.buyer.does(f"lease cancel {lease}")["reserve"]
    assert free(market.south) == before["south"] + reserve
    assert free(market.buyer) == before["buyer"] - reserve


def test_silence_accepts_nothing_while_the_committee_is_awaited(market: Market, promising: int) -> None:
    lease = rent(market, promising)
    market.south.does(f"lease sign {lease}")
    start = market.buyer.does(f"lease show {lease}")["start"]
    market.warp(max(0, start - market.buyer.does("network show")["now"]))
    exchange = market.south.exchange()
    exchange.send(exchange.leases.deliver(lease, Delivery(1, b"c" * 32, b"h" * 32, b"s" * 32)))
    exchange.sender.close()
    market.warp(110)
    shown = market.buyer.does(f"lease show {lease} --why")
    assert shown["state"] == "delivered"
    assert any("not drawn yet" in line for line in shown["why"])
    assert shown["final_until"] <= shown["delivered_at"]
    market.buyer.does(f"lease accept {lease}")
    assert market.buyer.does(f"lease show {lease}")["state"] == "active"


def test_without_an_sla_nothing_is_locked_for_witnesses_and_silence_accepts(market: Market) -> None:
    node = market.nodes["north"][1]
    lease = buy(market, node, free_start(market, node, 600), length=600)
    deliver(market, lease)
    shown = market.buyer.does(f"lease show {lease}")
    assert (shown["sla"], shown["committee"], shown["fees"]) == (None, "none", 0)
    market.warp(110)
    assert market.buyer.does(f"lease show {lease}")["state"] == "active"


def test_a_tender_locks_the_fees_of_as_many_leases_as_it_may_lead_to(market: Market, sla: int) -> None:
    before = free(market.buyer)
    posted = market.buyer.does(
        f"request post --class bm.large --count 2 --start +100s --for 600s --ceiling 10 "
        f"--commit-for 30s --reveal-for 30s --sla {sla}"
    )
    number = posted["request"]
    assert market.buyer.does(f"request show {number}")["sla"] == sla
    price = amount_up(10_000_000, 1, posted["end"] - posted["start"])
    fees = posted["ceiling_amount"] - 2 * price
    assert fees in (2 * FEE // 2, 2 * FEE)  # the window touches one epoch or two
    assert free(market.buyer) == before - posted["ceiling_amount"]
    market.buyer.does(f"tender cancel {number}")
    assert free(market.buyer) == before
