"""A newcomer's node is let in when Members lists it, cut off when it does not, and never while it seals."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from click.testing import CliRunner

from chain.contracts.members import Role
from chain.deploy import DeployParams, deploy
from chain.exchange import Exchange
from chain.nodes import keys, layout, local
from chain.nodes.admission.agent import Agent
from chain.nodes.admission.card import agreement
from chain.nodes.consensus.view import view
from chain.nodes.description import Node, load, parse, save
from chain.nodes.render import connection, network_yaml
from chain.ports import free_ports
from chain.rpc import Rpc
from chain.sender import Sender
from cli.main import cli
from tests.chain.network import wallet
from tests.chain.nodes.processes import alive_in, wait_for

pytestmark = pytest.mark.engine


@dataclass
class Scene:
    """Two founders in one folder, a newcomer in another, and the council's exchange."""

    founders: Path
    outside: Path
    newcomer: Node
    exchange: Exchange

    @property
    def home(self) -> Path:
        """The newcomer's folder."""
        return layout.node_folder(self.outside, self.newcomer)

    def level(self) -> bool:
        """Whether the newcomer has the founders' newest blocks."""
        best = local.status(self.founders).height or 0
        return view(self.home).number >= best - 3 > 0

    def followers(self) -> list[str]:
        """Whom the founders' network.yaml names."""
        return [node.address for node in load(layout.description_path(self.founders)).followers]

    def vote(self, what: str, name: str) -> None:
        """With both founders."""
        words = ["network", "validator", what, name, "--dir", str(self.founders), "--yes", "--json"]
        done = CliRunner().invoke(cli, words)
        assert done.exit_code == 0, done.output


def _newcomer(folder: Path, founders: Path) -> Node:
    key = keys.create(folder / "nodes" / "x")
    ports = free_ports()
    node = Node(
        name="x",
        organisation="acme",
        address=key.address,
        public_key=key.public_key.hex(),
        host="127.0.0.1",
        p2p_port=next(ports),
        rpc_port=next(ports),
    )
    theirs = load(layout.description_path(founders)).model_dump() | {"followers": [node.model_dump()]}
    save(layout.description_path(folder), network_yaml(parse(theirs)))
    return node


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    """All of them run; the newcomer is nowhere listed."""
    founders, outside = tmp_path_factory.mktemp("founders"), tmp_path_factory.mktemp("outside")
    description = layout.found(founders, 2, spaces=False, now=int(time.time()), slot=10)
    newcomer = _newcomer(outside, founders)
    try:
        for folder in (founders, outside):
            local.start(folder, while_pid=os.getpid())
        rpc = Rpc.for_deployment([description.nodes[0].rpc_url])
        sender = Sender(rpc, wallet(1), founders / "sender")
        done = deploy(rpc, sender, DeployParams.demo())
        sender.close()
        text = connection(
            description,
            genesis_hash=done.genesis_hash,
            directory=done.addresses["Directory"],
            directory_code_hash=done.directory_code_hash,
        )
        for folder in (founders, outside):
            (folder / "connection.yaml").write_text(text)
        exchange = Exchange.open(founders / "connection.yaml", wallet(1), founders / "council")
        exchange.send(exchange.members.admit("acme", wallet(2).address, Role.SELLER))
        yield Scene(founders, outside, newcomer, exchange)
        exchange.sender.close()
    finally:
        for folder in (founders, outside):
            local.stop(folder)


def test_listed_let_in_voted_in_cut_off(scene: Scene) -> None:
    members, newcomer = scene.exchange.members, scene.newcomer
    own = newcomer.address.lower()
    org = members.by_handle("acme")
    assert view(scene.home).number == 0 and scene.followers() == []

    place = f"127.0.0.1:{newcomer.p2p_port}"
    consent = keys.sign(scene.home, agreement("acme", place))
    scene.exchange.send(members.set_node(org, bytes.fromhex(newcomer.public_key), place, consent))
    wait_for(scene.level, "the newcomer to be let in", 120)
    wait_for(lambda: scene.followers() == [newcomer.address], "network.yaml to name it")
    wait_for(lambda: newcomer.enode in (scene.founders / "nodes/v1/geth.toml").read_text(), "the files, too")

    pids = alive_in(scene.founders)
    os.kill(next(pid for pid, what in pids.items() if "keeper" in what), signal.SIGKILL)
    wait_for(lambda: not alive_in(scene.founders), "the end of every process")
    local.start(scene.founders, while_pid=os.getpid())
    start = view(scene.home).number
    wait_for(lambda: view(scene.home).number >= start + 2, "the newcomer to be let in after a start", 120)

    [name] = [node.name for node in load(layout.description_path(scene.founders)).followers]
    scene.vote("add", name)
    wait_for(lambda: view(scene.home).seals, "it to seal")
    scene.exchange.send(members.remove_node(newcomer.address))
    gone = scene.exchange.rpc.head().number + 8
    wait_for(lambda: view(scene.home).number >= gone, "blocks after it was struck from the list", 120)
    assert scene.followers() == [newcomer.address]
    seen = view(scene.home)
    assert own in seen.signers and len(seen.peers) == 2

    scene.vote("remove", name)
    wait_for(lambda: scene.followers() == [], "network.yaml to name it no more", 120)
    wait_for(lambda: not view(scene.home).peers, "it to be cut off", 120)
    assert not view(scene.home).seals


def test_a_node_that_is_not_level_or_has_another_exchange_is_left_as_it_is(scene: Scene) -> None:
    exact = scene.exchange.connection
    late = Agent(scene.founders, exact, clock=lambda: time.time() + 3600).once()
    assert all("is not level" in each.left_alone for each in late) and len(late) == 2
    other = exact.model_copy(update={"directory_code_hash": "0x" + "ab" * 32})
    assert all(each.left_alone and not each.shut_out for each in Agent(scene.founders, other).once())
    good = Agent(scene.founders, exact).once()
    assert [(each.let_in, each.shut_out, each.left_alone) for each in good] == [((), (), "")] * 2


def test_the_command_looks_once_and_says_what_it_did(scene: Scene) -> None:
    done = CliRunner().invoke(cli, ["network", "agent", "--dir", str(scene.founders), "--once", "--json"])
    assert done.exit_code == 0, done.output
    assert '"node": "v1"' in done.stdout and '"left_alone": ""' in done.stdout
