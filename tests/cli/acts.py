"""What several tests do through `ocx`, and what north's agent would do."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from chain.contracts.leases import Delivery
from tests.cli.conftest import Market, Person


def iso(seconds: int) -> str:
    """Unix seconds as people write them."""
    return datetime.fromtimestamp(seconds, UTC).isoformat()


def free(person: Person) -> int:
    """Free balance of somebody's organisation."""
    return int(person.does("credits balance")["free"])


def buy(market: Market, node: int, start: str = "now", length: int = 300) -> int:
    """Buy a node of north's offer now; the lease."""
    offer = market.offers["north"]
    return int(market.buyer.does(f"offer buy {offer} --node {node} --start {start} --for {length}s")["lease"])


def free_start(market: Market, node: int, length: int) -> str:
    """When a node of north is free next for so long."""
    parts = market.buyer.does(f"offer show {market.offers['north']}")["free_parts"]
    starts = [
        part["start"] for part in parts if part["node"] == node and part["end"] - part["start"] > length
    ]
    return iso(min(starts))


def deliver(market: Market, lease: int) -> None:
    """What north's agent does: sign and deliver."""
    market.north.does(f"lease sign {lease}")
    exchange = market.north.exchange()
    exchange.send(exchange.leases.deliver(lease, Delivery(1, b"c" * 32, b"h" * 32, b"s" * 32)))
    exchange.sender.close()


def month(market: Market) -> str:
    """The chain's month."""
    return datetime.fromtimestamp(market.node.rpc().chain_time(), UTC).strftime("%Y-%m")


def summed(rows: list[dict[str, Any]], column: str) -> int:
    """What a column of amounts comes to."""
    return sum(int(row[column]) for row in rows)


def assert_adds_up(person: Person, stated: dict[str, Any]) -> None:
    """The rows lead from opening to closing, and the closing is what the ledger has."""
    lines = stated["leases"] + stated["others"]
    for part in ("free", "locked"):
        change = summed(lines, f"{part}_change")
        assert stated["opening"][part] + change == stated["closing"][part]
    now = person.does("credits balance")
    assert stated["closing"]["free"] == now["free"]
    assert stated["closing"]["locked"] == now["locked"]
    for line in stated["leases"]:
        told = line["earned"] - line["paid"] + line["penalties"] + line["fees"] + line["moved"]
        assert told == line["free_change"] + line["locked_change"]
