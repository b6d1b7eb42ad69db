"""Witnesses by the command line: joining, looking, leaving, and an installation examined."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from daemons.health_page import HealthServer
from tests.cli.conftest import Market, Person
from tests.cli.test_bad_input import start, until
from witness.settings import load


def admitted(market: Market, name: str, folder: Path) -> Person:
    """An organisation with the witness role, credits, and a wallet for its admin."""
    person = Person(name, folder / "admin", market.council.connection)
    person.does("wallet create --light")
    address = person.does("wallet show")["address"]
    market.council.does(f"member admit {name} {address} --roles witness")
    market.council.does(f"credits mint {address} 100")
    person.does("credits deposit 90")
    return person


@pytest.fixture(scope="module")
def eye(market: Market, tmp_path_factory: pytest.TempPathFactory) -> Person:
    """A witness-to-be."""
    return admitted(market, "eye", tmp_path_factory.mktemp("eye"))


@pytest.fixture(scope="module")
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


def test_status_finds_the_running_node_and_says_why_there_is_none(market: Market, tmp_path: Path) -> None:
    """Its port is one that the node took by itself."""
    admin = admitted(market, "awake", tmp_path)
    node = Person("awake-node", tmp_path / "node", market.council.connection)
    node.does("wallet create --light")
    config = config_of(node)
    file = load(config, {}).ready_file
    told = node.is_refused(f"witness status --config {config}")
    assert f"there is no {file}" in told and "ocx witness check" in told
    admin.does(f"witness join --signer {node.does('wallet show')['address']} --stake 5")
    process = start(node, f"witness run --config {config}")
    try:
        until(file.exists)
        shown = node.does(f"witness status --config {config}")
        assert (shown["ok"], shown["signer"]) == (True, node.wallet().address)
        table = node.run(f"witness status --config {config}").stdout
        assert "clock-unknown" in table and "Wait for some blocks" in table
    finally:
        process.terminate()
    process.communicate(timeout=30)
    assert not file.exists()


def test_status_takes_no_other_program_for_the_node(node: Person) -> None:
    """Nor a port that nobody listens at any more."""
    page = HealthServer(0, lambda: {"ok": True, "signer": "another"})
    config = config_of(node)
    file = load(config, {}).ready_file
    file.parent.mkdir(exist_ok=True)
    file.write_text(json.dumps({"health_port": page.port}))
    page.start()
    told = [node.is_refused(f"witness status --config {config}")]
    page.stop()
    told.append(node.is_refused(f"witness status --config {config}"))
    for line in told:
        assert f"does not answer at port {page.port}" in line and "ocx witness check" in line
    file.write_text("nonsense")
    assert "cannot be read" in node.is_refused(f"witness status --config {config}")


def test_status_says_what_is_wrong_and_exits_1_while_the_node_is_not_well(node: Person) -> None:
    condition = {"name": "cut-off", "message": "no reference answers", "hint": "See to the network."}
    told = {"ok": False, "signer": node.wallet().address, "conditions": [condition]}
    page = HealthServer(0, lambda: told)
    page.start()
    try:
        result = node.run(
            f"witness status --config {config_of(node)}", OCX_WITNESS_HEALTH_PORT=str(page.port)
        )
    finally:
        page.stop()
    assert result.exit_code == 1 and "not well" in result.stderr
    assert "no reference answers" in result.stdout and "See to the network." in result.stdout


def test_a_verdict_of_a_lease_that_is_not_there_is_refused(node: Person) -> None:
    assert "ocx lease list" in node.is_refused("witness verify 4000 1")
