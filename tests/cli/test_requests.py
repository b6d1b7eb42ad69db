"""Requests in full through `ocx`: pieces of a window, what an award must have as a whole, eligible nodes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from provisioner.agent.handover import Documents
from provisioner.catalogue import load_plugins, measure
from provisioner.gateway.server import GatewayServer
from provisioner.settings import load
from provisioner.store.store import Store
from tests.cli.conftest import Market, config_of

pytestmark = pytest.mark.timeout(120)


@pytest.fixture(scope="module")
def served(market: Market) -> Iterator[Market]:
    """The market, with north's gateway, which has the documents of north's nodes."""
    settings = load(config_of(market.north), {})
    settings.state_dir.mkdir(exist_ok=True)
    store, exchange = Store(settings.database), market.north.exchange()
    documents = Documents(store)
    for item in measure(load_plugins(settings.plugins)):
        documents.keep(item.inspected)
    offer = exchange.book.offer(market.offers["north"])
    store.db.execute(
        "INSERT INTO offer VALUES (?, ?, ?, ?, ?, ?, ?)",
        (
            market.offers["north"],
            b"",
            offer.start,
            offer.end,
            offer.floor_rate,
            json.dumps(market.nodes["north"]),
            1,
        ),
    )
    server = GatewayServer(settings, exchange, store)
    server.start()
    market.north.does(f"member gateway {server.url} --tls-cert {settings.gateway_cert}")
    yield market
    server.stop()
    exchange.sender.close()


def expression(folder: Path, clauses: list[list[object]]) -> Path:
    """A file with an expression."""
    path = folder / "expression.json"
    path.write_text(json.dumps(clauses))
    return path


def test_a_piece_is_bid_where_the_nodes_are_free(market: Market) -> None:
    node, offer = market.nodes["south"][0], market.offers["south"]
    number = market.request("--duration 100s", length=400)
    shown = market.buyer.does(f"request show {number}")
    assert (shown["duration"], shown["end"] - shown["start"]) == (100, 410)
    market.buyer.does(f"offer buy {offer} --node {node} --start {shown['start']} --for 100s")
    market.south.does(f"tender bid {number} --offer {offer} --node {node} --rate 4")
    market.warp(31)
    market.south.does(f"tender reveal {number}")
    [bid] = market.buyer.does(f"tender show {number}")["bids"]
    assert bid["start"] >= shown["start"] + 100
    market.warp(31)
    [lease] = market.buyer.does(f"tender award {number}")["leases"]
    won = market.buyer.does(f"lease show {lease['lease']}")
    assert (won["start"], won["end"] - won["start"]) == (bid["start"], 100)


def test_a_start_that_reaches_out_of_the_window_is_refused(market: Market) -> None:
    node, offer = market.nodes["south"][1], market.offers["south"]
    number = market.request("--duration 100s", length=400)
    end = market.buyer.does(f"request show {number}")["end"]
    line = market.south.is_refused(
        f"tender bid {number} --offer {offer} --node {node} --rate 4 --start {end - 50}"
    )
    assert "out of the request's window" in line


def test_a_duration_longer_than_the_window_is_refused(market: Market) -> None:
    line = market.buyer.is_refused(
        "request post --class bm.large --start +100s --for 100s --ceiling 10 --duration 1h"
    )
    assert "does not fit the window" in line


def test_what_an_award_must_have_as_a_whole_is_shown(market: Market) -> None:
    number = market.request("--all-or-nothing --same-site --same-start --distinct")
    traits = market.buyer.does(f"request show {number}")["traits"]
    assert set(traits) == {"all or nothing", "same site", "same start", "distinct"}


def test_only_nodes_whose_document_fits_are_eligible(served: Market, tmp_path: Path) -> None:
    first, second, _ = served.nodes["north"]
    wanted = _document(served, first)["serial"]
    expr = expression(tmp_path, [["serial", "eq", wanted]])
    judged = served.buyer.does(f"request eligible {expr} --class bm.large")
    assert judged["eligible"] == [first]
    why = {row["node"]: row["why"] for row in judged["nodes"]}
    assert "serial" in why[second] and "no gateway" in why[served.nodes["south"][0]]

    number = served.request(f"--expr {expr}")
    shown = served.buyer.does(f"request show {number}")
    assert shown["eligible"] == [first]
    assert json.loads(shown["expression"]) == [["serial", "eq", wanted]]
    offer = served.offers["north"]
    bid = f"tender bid {number} --offer {offer} --rate 4 --node"
    assert "not eligible" in served.north.is_refused(f"{bid} {second}")
    served.north.does(f"{bid} {first}")
    served.warp(31)
    served.north.does(f"tender reveal {number}")
    served.warp(31)
    [lease] = served.buyer.does(f"tender award {number}")["leases"]
    assert lease["nodes"] == [first]


def test_an_expression_that_nothing_fits_is_not_posted(served: Market, tmp_path: Path) -> None:
    expr = expression(tmp_path, [["serial", "eq", "none has this"]])
    line = served.buyer.is_refused(
        f"request post --class bm.large --start +100s --for 100s --ceiling 10 --expr {expr}"
    )
    assert "no node is eligible" in line


def test_a_node_that_is_measured_anew_is_eligible_no_more(served: Market, tmp_path: Path) -> None:
    first, second, third = served.nodes["north"]
    number = served.request(f"--expr {expression(tmp_path, [['kind', 'eq', 'fake']])} --count 2")
    exchange = served.north.exchange()
    assert served.buyer.does(f"request show {number}")["eligible"] == [first, second, third]
    exchange.send(exchange.inventory.remeasure(second, exchange.inventory.resource(second).spec, b"x" * 32))
    exchange.sender.close()
    assert served.buyer.does(f"request show {number}")["eligible"] == [first, third]
    bid = f"tender bid {number} --offer {served.offers['north']} --rate 4 --node {third}"
    assert "not eligible" in served.north.is_refused(f"{bid} --node {second}")
    served.north.does(bid)
    served.warp(31)
    assert served.north.does(f"tender reveal {number}")["nodes"] == [third]


def _document(market: Market, node: int) -> dict[str, str]:
    """The document of one of north's nodes."""
    from chain.gateway import GatewayClient

    exchange = market.buyer.exchange()
    org = exchange.members.organisation(exchange.inventory.owner_of(node))
    client = GatewayClient(
        org.gateway_url,
        org.gateway_key_hash,
        market.buyer.wallet(),
        exchange.connection.chain_id,
        exchange.connection.directory,
    )
    found = client.document(node, exchange.inventory.document_hash_of(node))
    exchange.sender.close()
    return dict(found)
