"""`ocx network upgrade`: announced, put in force; what began before it is still reached by its number."""

from __future__ import annotations

from pathlib import Path

from tests.cli.acts import buy, deliver
from tests.cli.conftest import PARAMS, Market


def test_a_lease_lives_through_an_upgrade(market: Market, tmp_path: Path) -> None:
    node = market.nodes["north"][0]
    lease = buy(market, node, length=600)
    deliver(market, lease)
    (tmp_path / "params.yaml").write_text(PARAMS)
    upgrade = f"network upgrade --to 2 --params {tmp_path / 'params.yaml'} --out {tmp_path / 'record'}"
    announced = market.council.does(upgrade)
    assert (announced["step"], announced["first_number"]) == ("announced", 1_000_001)
    market.warp(3)
    assert market.council.does(upgrade)["step"] == "done"
    assert "is in force" in market.council.is_refused(upgrade)
    assert "comes next" in market.council.is_refused(upgrade.replace("--to 2", "--to 4"))

    market.buyer.does(f"lease accept {lease}")
    assert market.buyer.does(f"lease show {lease}")["state"] == "active"
    assert "right" in market.buyer.is_refused(
        f"offer buy {market.offers['north']} --node {market.nodes['north'][1]} --start +1000s --for 100s"
    )
    offered = market.north.does(
        f"offer publish --node {market.nodes['north'][1]} --start now --for 1h --floor 2 --buy-now 8"
    )["offer"]
    bought = market.buyer.does(
        f"offer buy {offered} --node {market.nodes['north'][1]} --start +1000s --for 100s"
    )["lease"]
    assert (offered, bought) == (1_000_001, 1_000_001)
    assert [row["lease"] for row in market.buyer.does("lease list --mine")] == [lease, bought]
    contracts = market.buyer.does("network show")["contracts"]
    assert [row["version"] for row in contracts if row["contract"] == "Leases"] == [1, 2]
    assert [row["version"] for row in contracts if row["contract"] == "Members"] == [1]
    assert [row["lease"] for row in market.buyer.does("lease list --mine --generation 1")] == [lease]
    market.north.does(f"offer cancel {market.offers['north']}")
