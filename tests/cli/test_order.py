"""Restricted offers through `ocx` on a real chain: signed, handed out, filled, cancelled."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.acts import free
from tests.cli.conftest import Market, Person

pytestmark = pytest.mark.timeout(120)


@pytest.fixture(scope="module")
def below(market: Market) -> Person:
    """A buyer that stands below the market's buyer, a party of its own."""
    person = Person("below", market.buyer.folder.parent / "below", market.buyer.connection)
    person.does("wallet create --light")
    address = person.does("wallet show")["address"]
    market.council.does(f"member admit below {address} --under buyer --roles buyer")
    market.council.does(f"credits mint {address} 100")
    person.does("credits deposit 90")
    return person


def made(market: Market, name: str, more: str = "") -> Path:
    """North's order on its second node, for the buyer and those below it."""
    market.warp(0)
    path = market.north.folder / f"{name}.json"
    node = market.nodes["north"][1]
    market.north.does(
        f"offer order make --node {node} --start now --for 5h --to buyer --rate 1.5 -o {path} {more}"
    )
    return path


def test_order_is_filled_by_who_stands_below(market: Market, below: Person) -> None:
    path, before = made(market, "good"), free(below)
    assert "SIGNATURE" not in path.read_text()
    shown = below.does(f"offer order show {path}")
    assert (shown["state"], shown["rate"]) == ("good", 1_500_000)
    assert shown["signer"] == market.north.wallet().address
    assert shown["free_parts"]
    node = shown["nodes"][0]
    filled = below.does(f"offer order fill {path} --node {node} --start +1h --for 10m")
    assert before - free(below) == filled["price"] > 0
    assert below.does(f"lease show {filled['lease']}")["state"] == "awarded"
    [entry] = below.does(f"offer order show {path}")["history"]
    assert (entry["event"], entry["facts"]["lease"]) == ("OrderFilled", filled["lease"])
    assert "not free" in below.is_refused(f"offer order fill {path} --node {node} --start +1h --for 10m")
    # The party above may fill it as well, for something that is free.
    market.buyer.does(f"offer order fill {path} --node {node} --start +2h --for 10m")


def test_order_is_not_filled_by_who_stands_elsewhere(market: Market, below: Person) -> None:
    path = market.north.folder / "elsewhere.json"
    node = market.nodes["north"][2]
    market.north.does(f"offer order make --node {node} --start now --for 2h --to below --rate 1 -o {path}")
    line = market.buyer.is_refused(f"offer order fill {path} --node {node} --start +1h --for 10m")
    assert "not for the buyer" in line
    below.does(f"offer order fill {path} --node {node} --start +1h --for 10m")


def test_order_that_somebody_changed_is_void(market: Market, below: Person) -> None:
    path = made(market, "forged")
    raw = json.loads(path.read_text())
    raw["order"]["rate"] //= 2
    path.write_text(json.dumps(raw))
    shown = below.does(f"offer order show {path}")
    assert shown["state"].startswith("void")
    below.is_refused(f"offer order fill {path} --node {shown['nodes'][0]} --start +3h --for 10m")


def test_cancelled_orders_are_not_filled(market: Market, below: Person) -> None:
    first, second = made(market, "first"), made(market, "second")
    node = market.nodes["north"][1]
    assert "another organisation" in market.south.is_refused(f"offer order cancel {first}")
    market.north.does(f"offer order cancel {first}")
    assert below.does(f"offer order show {first}")["state"] == "cancelled"
    assert below.does(f"offer order show {second}")["state"] == "good"
    assert "cancelled" in below.is_refused(f"offer order fill {first} --node {node} --start +4h --for 10m")
    market.north.does("offer order cancel --all")
    assert below.does(f"offer order show {second}")["state"] == "cancelled"
    market.warp(2)
    assert below.does(f"offer order show {made(market, 'third')}")["state"] == "good"


def test_order_expires(market: Market, below: Person) -> None:
    path = made(market, "short", "--valid-for 30s")
    market.warp(31)
    shown = below.does(f"offer order show {path}")
    assert shown["state"] == "expired"
    line = below.is_refused(f"offer order fill {path} --node {shown['nodes'][0]} --start +4h --for 10m")
    assert "expired" in line


def test_order_is_only_made_on_own_nodes_and_into_a_new_file(market: Market) -> None:
    path = made(market, "once")
    node, foreign = market.nodes["north"][0], market.nodes["south"][0]
    options = "--start now --for 1h --to buyer --rate 1"
    assert "exists" in market.north.is_refused(f"offer order make --node {node} {options} -o {path}")
    other = market.north.folder / "other.json"
    assert "not of organisation" in market.north.is_refused(
        f"offer order make --node {foreign} {options} -o {other}"
    )
    assert not other.exists()


@pytest.mark.parametrize("content", ["", "{}", '{"order": 1}', "\x00\xff"])
def test_file_that_is_no_order_is_refused(market: Market, tmp_path: Path, content: str) -> None:
    path = tmp_path / "odd.json"
    path.write_bytes(content.encode("latin-1"))
    assert "no file of an order" in market.buyer.is_refused(f"offer order show {path}")
    assert "cannot read" in market.buyer.is_refused(f"offer order show {tmp_path / 'none'}")


def test_cancel_needs_to_know_what(market: Market) -> None:
    assert "or give --all" in market.north.is_refused("offer order cancel")
