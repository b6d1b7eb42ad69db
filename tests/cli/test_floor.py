"""What a plugin's configuration asks for a machine is shown, and is the floor of offers that name none."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from cli.demo.lab.ec2 import Ec2Lab
from tests.cli.conftest import Market, config_of

SPAN = "--start now --for 20h"


@pytest.fixture(scope="module")
def config(market: Market, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A configuration of the south with its fake machines and a cloud that has a price."""
    folder = tmp_path_factory.mktemp("ec2")
    with Ec2Lab(folder, units=1) as lab:
        content = json.loads(config_of(market.south).read_text())
        content["plugins"].append({"name": "aws", "settings": lab.settings(provider=f"p{folder.name}")})
        path = folder / "provider.yaml"
        path.write_text(json.dumps(content))
        yield path


@pytest.fixture(scope="module")
def nodes(market: Market, config: Path) -> dict[str, int]:
    """The numbers of the cloud's two units, by name; registering them shows their price."""
    done = market.south.does(f"node register --config {config} --name vm.small/0 --name vm.large/0")
    assert {item["name"]: item["floor_rate"] for item in done["registered"]} == {
        "vm.small/0": 20_000,
        "vm.large/0": 96_000,
    }
    return {item["name"]: item["resource"] for item in done["registered"]}


def test_inspect_shows_the_price(market: Market, config: Path) -> None:
    rates = {
        item["name"]: item["floor_rate"] for item in market.south.does(f"node inspect --config {config}")
    }
    assert rates["vm.large/0"] == 96_000 and rates["south-1"] is None
    assert "0.096" in market.south.run(f"node inspect --config {config}").stdout


def test_an_offer_without_a_floor_takes_the_configurations(
    market: Market, config: Path, nodes: dict[str, int]
) -> None:
    done = market.south.does(f"offer publish --node {nodes['vm.small/0']} --config {config} {SPAN}")
    assert market.south.does(f"offer show {done['offer']}")["floor_rate"] == 20_000


def test_a_given_floor_counts_more(market: Market, config: Path, nodes: dict[str, int]) -> None:
    order = f"offer publish --node {nodes['vm.large/0']} --config {config} --floor 0.5 {SPAN}"
    done = market.south.does(order)
    assert market.south.does(f"offer show {done['offer']}")["floor_rate"] == 500_000


def test_without_a_price_anywhere_the_floor_must_be_given(market: Market, config: Path) -> None:
    node = market.nodes["south"][0]
    assert "--floor" in market.south.is_refused(f"offer publish --node {node} {SPAN}")
    said = market.south.is_refused(f"offer publish --node {node} --config {config} {SPAN}")
    assert f"no rate for node {node}" in said and "--floor" in said
