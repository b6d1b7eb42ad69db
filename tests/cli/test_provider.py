"""`ocx provider` and `ocx node` without an agent: configurations, findings, measurements."""

from __future__ import annotations

import getpass
import json
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from tests.cli.conftest import Market, config_of


def test_config_is_rendered_and_can_be_read_back(market: Market, tmp_path: Path) -> None:
    machines = "machines=[{name: a}]"
    result = market.north.run(
        f"provider config --state-dir {tmp_path} --plugin fake --set state={tmp_path / 'cloud'}",
        "--set",
        machines,
    )
    assert result.exit_code == 0, result.stderr
    content = yaml.safe_load(result.stdout)
    assert content["plugins"][0]["settings"]["machines"] == [{"name": "a"}]
    path = tmp_path / "provider.yaml"
    path.write_text(result.stdout)
    [machine] = market.north.does(f"node inspect --config {path}")
    assert machine["name"] == "a"
    same = market.north.does(f"provider config --state-dir {tmp_path} --plugin fake --set state=x")
    assert set(same) == set(content)


def test_unit_runs_the_agent_on_its_configuration_and_systemd_takes_it(
    market: Market, tmp_path: Path
) -> None:
    config = config_of(market.north)
    text = market.north.run(f"provider unit --config {config} --user {getpass.getuser()}").stdout
    assert f"provider run --config {config.resolve()}" in text
    assert f"ReadWritePaths={market.north.folder / 'agent'}" in text
    assert market.north.does(f"provider unit --config {config} --user {getpass.getuser()}")["unit"] == text
    assert "blanks" in market.north.is_refused(f"provider unit --config {config} --user", "two words")
    analyze = shutil.which("systemd-analyze")
    if analyze is None:
        pytest.skip("systemd-analyze is not here to check the unit")
    path = tmp_path / "ocx-provider.service"
    path.write_text(text)
    done = subprocess.run([analyze, "verify", path], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_check_says_what_is_missing_and_exits_1(market: Market) -> None:
    result = market.south.run(f"provider check --config {config_of(market.south)}")
    assert result.exit_code == 1
    assert "ocx member gateway" in result.stdout


def test_status_of_an_agent_that_does_not_run_is_told(market: Market) -> None:
    config = config_of(market.south)
    folder = market.south.folder / "agent"
    folder.mkdir(exist_ok=True)
    (folder / "health.json").unlink(missing_ok=True)  # other tests had an agent here
    assert "is the agent running" in market.south.is_refused(f"provider status --config {config}")
    (folder / "health.json").write_text(json.dumps({"ok": True, "at": 1}))
    assert "last word" in market.south.is_refused(f"provider status --config {config}")


def test_plugins_are_listed(market: Market) -> None:
    names = {item["plugin"] for item in market.south.does("provider plugins")}
    assert {"fake", "ironic"} <= names


_POINTS = """
[ocx.provisioners]
broken = no_such_cloud:Plugin
can_all = can_all_cloud:Plugin
odd = json:dumps
"""
_CAN_ALL = """
from provisioner.capabilities import Console, Firmware, Power
from provisioner.plugins.fake import FakePlugin

class Plugin(FakePlugin, Power, Console, Firmware):
    pass
"""


def test_plugins_show_what_they_can_and_one_that_breaks_says_why(
    market: Market, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "clouds-1.dist-info").mkdir()
    (tmp_path / "clouds-1.dist-info" / "METADATA").write_text("Name: clouds\nVersion: 1\n")
    (tmp_path / "clouds-1.dist-info" / "entry_points.txt").write_text(_POINTS)
    (tmp_path / "can_all_cloud.py").write_text(_CAN_ALL)
    monkeypatch.syspath_prepend(tmp_path)
    rows = {item["plugin"]: item for item in market.south.does("provider plugins")}
    assert list(rows["fake"]) == ["plugin", "class", "power", "console", "firmware", "problem"]
    assert rows["fake"]["firmware"] is False and rows["fake"]["problem"] is None
    can_all = rows["can_all"]
    assert (can_all["power"], can_all["console"], can_all["firmware"]) == (True, True, True)
    assert "no_such_cloud" in rows["broken"]["problem"] and rows["broken"]["power"] is None
    assert rows["odd"]["problem"] == "is not a Provisioner class"
    assert rows["odd"]["class"] == "json:dumps"


def test_configuration_that_is_wrong_is_told_in_one_line(market: Market, tmp_path: Path) -> None:
    assert "no provider configuration" in market.south.is_refused(
        f"node inspect --config {tmp_path / 'none'}"
    )
    (tmp_path / "bad.yaml").write_text("plugins: 7")
    assert "bad.yaml" in market.south.is_refused(f"provider run --config {tmp_path / 'bad.yaml'}")


def test_registering_again_changes_nothing(market: Market) -> None:
    again = market.south.does(f"node register --config {config_of(market.south)}")
    assert again["transactions"] == []
    assert [item["resource"] for item in again["registered"]] == market.nodes["south"]


def test_hardware_of_another_organisation_is_not_registered(market: Market) -> None:
    config = market.north.folder / "stolen.yaml"
    content = json.loads(config_of(market.south).read_text())
    wallet = {"keystore": str(market.north.keystore)}
    config.write_text(json.dumps(content | {"wallet": wallet}))
    planned = market.north.does(f"node register --config {config}")
    assert {item["action"] for item in planned["registered"]} == {"taken"}
    assert planned["transactions"] == []


def test_node_show_tells_hashes_and_history(market: Market) -> None:
    shown = market.buyer.does(f"node show {market.nodes['north'][0]}")
    assert shown["history"][0]["event"] == "ResourceRegistered"
    assert len(shown["document_hash"]) == 66
