"""Operators vote where their validators are; a vote passes once more than half of the validators voted so."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner, Result

from chain.nodes import geth, local
from chain.nodes.consensus.view import view
from chain.nodes.line import IpcLine
from cli.main import cli
from tests.chain.nodes.processes import wait_for
from tests.network.nodes.apart import Apart

pytestmark = pytest.mark.engine


def _vote(apart: Apart, where: str, *words: str) -> Result:
    folder = str(apart.folders[where])
    return CliRunner().invoke(cli, ["network", "validator", *words, "--dir", folder, "--yes", "--json"])


def _withdrawn(apart: Apart, name: str) -> bool:
    with IpcLine(apart.home(name) / geth.IPC, 20) as line:
        return bool(line.call("clique_proposals") == {})


@pytest.mark.parametrize("what", ["remove", "add"])
def test_three_of_four_operators_decide_about_the_fourth(apart: Apart, what: str) -> None:
    *voters, fourth = apart.names
    needed = 3 if what == "remove" else 2
    alone = _vote(apart, voters[0], what, fourth, "--timeout", "1")
    assert alone.exit_code != 0 and f"of {needed} votes after 1 s; those cast here stand" in alone.stderr
    for name in voters[1 : needed - 1]:
        assert _vote(apart, name, what, fourth, "--no-wait").exit_code == 0
    done = _vote(apart, voters[needed - 1], what, fourth)
    assert done.exit_code == 0, done.output
    told = json.loads(done.stdout)
    assert (fourth in told["validators"]) == (what == "add") and told["needed"] == needed
    wait_for(lambda: view(apart.home(fourth)).seals == (what == "add"), "the fourth to heed it")
    for name in voters:
        wait_for(lambda name=name: _withdrawn(apart, name), f"{name} to withdraw its vote")
    found = local.status(apart.folders[fourth])
    assert len(found.validators) == (4 if what == "add" else 3) and found.proposals == ()
