"""Witnesses by the command line: joining, looking, leaving, and an installation examined."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from tests.cli.conftest import Market, Person
from witness.settings import load


@pytest.fixture(scope="session")
def eye(market: Market, tmp_path_factory: pytest.TempPathFactory) -> Person:
    """An organisation with the witness role, credits, and a wallet for its admin."""
    person = Person("eye", tmp_path_factory.mktemp("eye") / "admin", market.council.connection)
    person.does("wallet create --light")
    address = person.does("wallet show")["address"]
    market.council.does(f"member admit eye {address} --roles witness")
    market.council.does(f"credits mint {address} 100")
    person.does("credits deposit 90")
    return person


@pytest.fixture(scope="session")
def node(eye: Person) -> Person:
    """The node's own key."""
    person = Person("node", eye.folder.parent / "node", eye.connection)
    person.does("wallet create --light")
    return person


def config_of(node: Person) -> Path:
    """A configuration as `ocx witness config` prints it."""
    path = node.folder / "witness.yaml"
    result = node.run(f"witness config --state-dir {node.folder / 'state'} --reference 127.0.0.1:1")
    assert result.exit_code == 0, result.stderr
    path.write_text(result.stdout)
    return path


def test_the_printed_configuration_is_read_back(eye: Person, node: Person) -> None:
    settings = load(config_of(node), {})
    assert settings.references == ("127.0.0.1:1",) and settings.wallet.keystore == node.keystore
    as_json = node.does(f"witness config --state-dir {node.folder / 'state'}")
    assert as_json == yaml.safe_load(config_of(node).read_text()) | {"references": []}


def test_check_names_what_is_missing_and_what_to_do(market: Market, eye: Person, node: Person) -> None:
    result = node.run(f"witness check --config {config_of(node)}", OCX_FORMAT="json")
    assert result.exit_code == 1
    assert "signs for no witness" in result.stdout and "ocx witness join --signer" in result.stdout


def test_a_witness_joins_is_listed_adds_to_its_stake_and_leaves(
    market: Market, eye: Person, node: Person
) -> None:
    signer = node.does("wallet show")["address"]
    assert "witness" in eye.is_refused("witness show")
    joined = eye.does(f"witness join --signer {signer} --stake 5")
    assert joined["stake"] == 5_000_000
    eye.does("witness stake 2")
    balance = eye.does("credits balance")
    assert (balance["free"], balance["locked"], balance["locked_for"]["stake"]) == (
        83_000_000,
        *[7_000_000] * 2,
    )
    assert "stake 7.000000" in eye.run("credits balance").stdout
    [row] = [item for item in eye.does("witness list") if item["handle"] == "eye"]
    assert (row["signer"], row["stake"], row["exit"]) == (signer, 7_000_000, None)
    assert eye.does("witness show eye")["min_stake"] == 1_000_000
    result = node.run(f"witness check --config {config_of(node)}", OCX_FORMAT="json")
    assert "signs for no witness" not in result.stdout
    assert "still needed" in eye.is_refused("witness withdraw")
    left = eye.does("witness leave")
    assert left["exit"] > row["joined"]
    assert eye.does("witness show")["exit"] == left["exit"]


def test_the_unit_starts_the_node(node: Person) -> None:
    unit = node.does(f"witness unit --config {config_of(node)}")["unit"]
    assert f"witness run --config {config_of(node).resolve()}" in unit
    assert f"ReadWritePaths={node.folder / 'state'}" in unit


def test_a_verdict_of_a_lease_that_is_not_there_is_refused(node: Person) -> None:
    assert "ocx lease list" in node.is_refused("witness verify 4000 1")
