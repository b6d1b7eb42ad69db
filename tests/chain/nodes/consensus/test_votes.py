"""A follower is voted in and seals, is voted out and follows on; what cannot be voted is said."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from chain.nodes import geth, layout, local
from chain.nodes.consensus.view import view
from chain.nodes.description import NetworkDescription, load, parse
from chain.nodes.line import IpcLine
from chain.nodes.render import network_yaml
from cli.main import cli
from tests.chain.nodes.processes import wait_for

pytestmark = pytest.mark.engine


def _vote(folder: Path, *words: str) -> Result:
    runner = CliRunner()
    return runner.invoke(cli, ["network", "validator", *words, "--dir", str(folder), "--yes", "--json"])


def _home(folder: Path, name: str) -> Path:
    return layout.node_folder(folder, load(layout.description_path(folder)).node(name))


def _founded(folder: Path, founders: int, nodes: int) -> NetworkDescription:
    """Nodes of which only the first are founders."""
    found = layout.found(folder, nodes, spaces=False, now=int(time.time()))
    changed = found.model_dump() | {
        "validators": [node.model_dump() for node in found.validators[:founders]],
        "followers": [node.model_dump() for node in found.validators[founders:]],
    }
    description = parse(changed)
    layout.description_path(folder).write_text(network_yaml(description), "utf-8")
    return description


@pytest.fixture(scope="module")
def three(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Two validators and two followers."""
    here = tmp_path_factory.mktemp("votes")
    _founded(here, 2, 4)
    local.start(here, while_pid=os.getpid())
    local.wait_until(here, lambda found: found.good and (found.height or 0) > 1)
    yield here
    local.stop(here)


def _sealed_since(folder: Path, name: str, height: int) -> bool:
    """Whether a block after that height was sealed by that node."""
    own = load(layout.description_path(folder)).node(name).address.lower()
    with IpcLine(_home(folder, "v1") / geth.IPC) as line:
        head = int(line.call("eth_blockNumber"), 16)
        return any(line.call("clique_getSigner", hex(n)).lower() == own for n in range(height + 1, head + 1))


def test_a_follower_is_voted_in_seals_also_after_a_start_and_is_voted_out_without_harm(three: Path) -> None:
    assert not view(_home(three, "v3")).seals
    done = _vote(three, "add", "v3")
    assert done.exit_code == 0, done.output
    told = json.loads(done.stdout)
    assert (told["change"], told["needed"], told["voters"]) == ("add", 2, ["v1", "v2"])
    assert told["passed"] and told["certain"] and told["validators"] == ["v1", "v2", "v3"]
    wait_for(lambda: _sealed_since(three, "v3", told["block"]), "a block by v3")

    local.stop(three)
    local.start(three, while_pid=os.getpid())
    back = local.wait_until(three, lambda found: found.good and (found.height or 0) > told["block"])
    wait_for(lambda: _sealed_since(three, "v3", back.height or 0), "a block by v3 after a start")

    out = _vote(three, "remove", "v3")
    assert out.exit_code == 0, out.output
    told = json.loads(out.stdout)
    assert told["validators"] == ["v1", "v2"]
    assert told["warning"] == "with 2 validators blocks need 2 of them"
    wait_for(lambda: not view(_home(three, "v3")).seals, "v3 to stop sealing")
    start = told["block"]
    found = local.wait_until(three, lambda found: found.good and (found.height or 0) > start + 3)
    assert [node.height for node in found.nodes if node.name == "v3"] != [None]
    for name in ("v1", "v2"):
        with IpcLine(_home(three, name) / geth.IPC) as line:
            wait_for(lambda line=line: line.call("clique_proposals") == {}, f"{name} to withdraw its vote")


def test_a_vote_that_waits_for_others_is_shown_and_passes_when_they_vote(three: Path) -> None:
    with IpcLine(_home(three, "v1") / geth.IPC) as line:
        line.call("clique_propose", load(layout.description_path(three)).node("v3").address, True)
    found = local.wait_until(three, lambda found: bool(found.proposals), what="shown as voted about")
    assert [(one.address, one.adds, one.votes, one.needed) for one in found.proposals] == [("v3", True, 1, 2)]
    assert _vote(three, "add", "v3", "--no-wait").exit_code == 0
    wait_for(lambda: view(_home(three, "v3")).seals, "v3 to seal")
    assert _vote(three, "remove", "v3").exit_code == 0


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("add", "v2"), "v2 is a validator already"),
        (("remove", "v4"), "v4 is no validator"),
        (("add", "nobody"), "has no node 'nobody'"),
    ],
)
def test_what_cannot_be_voted_is_said(three: Path, words: tuple[str, ...], said: str) -> None:
    refused = _vote(three, *words)
    assert refused.exit_code == 1 and said in refused.stderr


def test_who_is_away_is_not_voted_in(three: Path) -> None:
    local.ask_keeper(three, "stop", ["v4"])
    refused = _vote(three, "add", "v4")
    assert refused.exit_code == 1 and "v4 does not answer" in refused.stderr
    local.start(three)


def test_the_only_validator_is_not_voted_out_and_where_nobody_may_vote_it_is_said(tmp_path: Path) -> None:
    _founded(tmp_path, 1, 2)
    local.start(tmp_path, while_pid=os.getpid())
    try:
        local.wait_until(tmp_path, lambda found: found.good and (found.height or 0) > 1)
        refused = _vote(tmp_path, "remove", "v1")
        assert refused.exit_code == 1 and "v1 is the only validator" in refused.stderr
        local.ask_keeper(tmp_path, "stop", ["v1"])
        refused = _vote(tmp_path, "add", "v2")
        assert refused.exit_code == 1 and "nobody here may vote" in refused.stderr
    finally:
        local.stop(tmp_path)
