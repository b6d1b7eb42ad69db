"""Nodes handed over inside one party: `ocx node assign`, without market and payment."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.acts import deliver, free
from tests.cli.conftest import Market, Person


@pytest.fixture(scope="module")
def lab(market: Market, tmp_path_factory: pytest.TempPathFactory) -> Person:
    """A department of the seller `north` that has no budget."""
    person = Person("lab", tmp_path_factory.mktemp("lab"), market.council.connection)
    address = person.does("wallet create --light")["address"]
    market.north.does(f"member admit lab {address} --roles seller --under north --department")
    return person


def test_a_department_uses_its_partys_node_and_gives_it_back(
    market: Market, lab: Person, tmp_path: Path
) -> None:
    before, node = free(market.north), market.nodes["north"][0]
    lease = market.north.does(f"node assign --node {node} --to lab --start +100s --for 600s")["lease"]
    shown = lab.does(f"lease show {lease}")
    assert (shown["rate"], shown["price"], shown["bond"]) == (0, 0, 0)
    deliver(market, lease)
    lab.does(f"lease accept {lease}")
    market.warp(200)
    lab.does(f"lease end {lease}")
    market.warp(10)
    (tmp_path / "evidence").write_text("wiped")
    market.north.does(f"lease wipe {lease} --evidence {tmp_path / 'evidence'}")
    assert lab.does(f"lease show {lease}")["state"] == "terminated"
    assert free(market.north) == before


def test_nodes_of_another_party_are_not_assigned(market: Market, lab: Person) -> None:
    node = market.nodes["north"][1]
    assign = f"node assign --node {node} --start +100s --for 600s"
    assert "inside one party" in market.north.is_refused(f"{assign} --to buyer")
