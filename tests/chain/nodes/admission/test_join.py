"""Founders, an exchange, a newcomer that comes by invitation and goes: each with a folder of its own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from eth_utils.crypto import keccak

from chain.exchange import Exchange
from chain.nodes import layout, local
from chain.nodes.admission import card as cards
from chain.nodes.admission import joining
from chain.nodes.admission.invitation import Invitation, sign
from chain.nodes.admission.invitation import load as load_invitation
from chain.nodes.admission.register import registered
from chain.nodes.description import Node, load
from chain.nodes.render import block_0
from chain.ports import free_ports
from chain.rpc import Rpc
from chain.wallet import Wallet, import_key
from cli.main import cli
from market.errors import OcxError, Refused
from tests.chain.nodes.processes import wait_for

pytestmark = pytest.mark.engine

OCX = str(Path(sys.executable).with_name("ocx"))


@dataclass(frozen=True)
class Member:
    """Somebody with a wallet and a folder of nodes."""

    name: str
    folder: Path

    @property
    def key(self) -> bytes:
        return keccak(text=f"wallet of {self.name}")

    @property
    def wallet(self) -> Wallet:
        return Wallet(self.key)

    @property
    def card(self) -> Path:
        return self.folder / "card.json"

    @property
    def environment(self) -> dict[str, str]:
        return {
            "OCX_WALLET": str(self.folder / "wallet.json"),
            "OCX_PASSPHRASE": "let me in",
            "OCX_STATE": str(self.folder / "state"),
            "OCX_FORMAT": "json",
            "OCX_YES": "1",
        }

    def run(self, *words: str) -> Result:
        command = ["network", *words, "--dir", str(self.folder)]
        return CliRunner().invoke(cli, command, env=self.environment)

    def does(self, *words: str) -> Any:
        done = self.run(*words)
        assert done.exit_code == 0, done.stderr
        return json.loads(done.stdout)

    def is_refused(self, *words: str) -> str:
        done = self.run(*words)
        assert (done.exit_code, done.stdout) == (1, ""), done.output
        return done.stderr.splitlines()[-1]

    def makes_card(self, ports: Iterator[int], **more: str) -> Any:
        words = ["--organisation", self.name, "--host", "127.0.0.1", "--p2p-port", str(next(ports))]
        return self.does("card", *words, "--rpc-port", str(next(ports)))

    @property
    def node(self) -> Node:
        [node] = layout.here(self.folder, load(layout.description_path(self.folder)))
        return node

    def status(self) -> Any:
        [node] = local.status(self.folder).nodes
        return node

    def is_up(self) -> bool:
        return self.run("up").exit_code == 0

    def has_looked(self) -> bool:
        [row] = self.does("agent", "--once")
        return not row["left_alone"]

    def exchange(self) -> Exchange:
        return Exchange.open(self.folder / "connection.yaml", self.wallet, self.folder / "state" / "sender")


@dataclass(frozen=True)
class Town:
    """Three founders, of whom the first is the council, and their exchange."""

    folder: Path
    ports: Iterator[int]
    founders: tuple[Member, ...]

    @property
    def council(self) -> Member:
        return self.founders[0]

    @property
    def other(self) -> Member:
        return self.founders[1]

    def member(self, name: str) -> Member:
        return _member(self.folder, name)

    def invites(self, who: Member, *words: str) -> Path:
        out = who.folder / "invite.json"
        self.council.does("invite", "--card", str(who.card), "--out", str(out), *words)
        return out

    def listed(self) -> list[str]:
        exchange = self.other.exchange()
        return [node.address for node in registered(exchange, exchange.rpc.head().number)]

    def let_in(self) -> None:
        """Have every founder's agent look; one whose chain stands just now leaves its node as it is."""
        for founder in self.founders:
            wait_for(founder.has_looked, f"the agent of {founder.name}")


def _member(folder: Path, name: str) -> Member:
    member = Member(name, folder / name)
    member.folder.mkdir()
    import_key(member.folder / "wallet.json", member.key, "let me in", light=True)
    return member


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Town]:
    folder = tmp_path_factory.mktemp("town")
    ports = free_ports()
    founders = tuple(_member(folder, name) for name in ("first", "second", "third"))
    council, *others = founders
    try:
        for founder in founders:
            founder.makes_card(ports)
        made = council.does("init", *(word for one in founders for word in ("--card", str(one.card))))
        for founder in others:
            taken = founder.does("init", "--from", made["description"])
            assert taken["fingerprint"] == made["fingerprint"]
        for founder in founders:
            local.start(founder.folder, while_pid=os.getpid())
        for founder in founders:
            wait_for(founder.is_up, "the founders to meet", 180)
        out = folder / "exchange"
        command = ["network", "deploy", "--rpc-url", council.node.rpc_url, "--out", str(out), "--demo"]
        runner = CliRunner()
        wait_for(
            lambda: runner.invoke(cli, command, env=council.environment).exit_code == 0, "the exchange", 240
        )
        for founder in founders:
            founder.does("connection", "--deployment", str(out))
        yield Town(folder, ports, founders)
    finally:
        for member in folder.iterdir():
            if (member / "keeper.lock").exists():
                local.stop(member)


@pytest.fixture(scope="module")
def guest(town: Town) -> tuple[Member, Path]:
    """A newcomer with an invitation, not yet let in."""
    who = town.member("guest")
    who.makes_card(town.ports)
    return who, town.invites(who, "--role", "seller", "--role", "buyer")


def test_founders_in_folders_of_their_own_seal_one_chain_from_the_block_0_foretold(town: Town) -> None:
    foretold = block_0(load(layout.description_path(town.other.folder)))
    for founder in town.founders:
        assert Rpc.for_deployment([founder.node.rpc_url]).block(0).hash == foretold
        assert founder.status().validator and founder.status().finding == "good"


def test_the_connection_file_of_a_founder_names_its_own_node_alone(town: Town) -> None:
    assert town.other.exchange().connection.rpc_urls == (town.other.node.rpc_url,)


def test_up_where_only_a_card_is_founds_nothing(town: Town, tmp_path: Path) -> None:
    lone = _member(tmp_path, "lone")
    lone.makes_card(town.ports)
    assert "has a card but no network yet" in lone.is_refused("up")
    assert not layout.description_path(lone.folder).exists()


def test_without_enough_others_up_starts_and_says_so(town: Town, tmp_path: Path) -> None:
    pair = [_member(tmp_path, name) for name in ("here", "there")]
    for one in pair:
        one.makes_card(town.ports)
    pair[0].does("init", *(word for one in pair for word in ("--card", str(one.card))))
    try:
        found = pair[0].does("up", "--no-wait")
        assert [node["name"] for node in found["nodes"]] == [pair[0].node.name]
        assert local.is_kept(pair[0].folder)
    finally:
        local.stop(pair[0].folder)


def test_a_newcomer_killed_on_its_way_in_comes_in_when_it_is_repeated(
    town: Town, guest: tuple[Member, Path]
) -> None:
    who, invitation = guest
    words = ["join", "--invite", str(invitation), "--inviter", town.council.wallet.address]
    for there in (layout.description_path(who.folder), who.folder / "keeper.sock"):
        command = [OCX, "network", *words, "--dir", str(who.folder)]
        process = subprocess.Popen(command, env=os.environ | who.environment, stderr=subprocess.DEVNULL)
        wait_for(there.exists, f"{there.name} of the newcomer")
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert not (who.folder / "connection.yaml").exists()
    town.let_in()
    done = who.does(*words)
    assert done["node"] == cards.node_name("guest", who.node.address)
    assert who.exchange().members.by_handle("guest") == 1
    assert who.exchange().connection.rpc_urls == (who.node.rpc_url,)
    wait_for(lambda: set(who.status().peers) == {one.node.name for one in town.founders}, "all of them")


def test_the_list_shows_the_node_and_that_it_is_let_in(town: Town, guest: tuple[Member, Path]) -> None:
    who, _ = guest
    env = town.other.environment | {"OCX_CONNECTION": str(town.other.folder / "connection.yaml")}
    done = CliRunner().invoke(cli, ["network", "node", "list"], env=env)
    [row] = json.loads(done.stdout)
    assert (row["address"], row["organisation"], row["let_in"]) == (who.node.address, "guest", True)
    assert row["endpoint"] == f"127.0.0.1:{who.node.p2p_port}"


def _forged(guest: tuple[Member, Path], wallet: Wallet, **changes: Any) -> list[str]:
    """The words to join by the guest's invitation, changed and signed by that wallet."""
    who, path = guest
    raw = load_invitation(path).model_dump() | {"inviter": wallet.address, **changes}
    out = who.folder / "forged.json"
    out.write_text(sign(Invitation.model_validate(raw), wallet).text)
    return ["join", "--invite", str(out)]


def test_an_inviter_who_is_no_admin_is_found_out_on_the_chain(guest: tuple[Member, Path]) -> None:
    said = guest[0].is_refused(*_forged(guest, Wallet(keccak(text="stranger"))))
    assert "may not invite guest" in said


def test_a_directory_with_other_code_is_found_out(town: Town, guest: tuple[Member, Path]) -> None:
    members = town.other.exchange().members.address
    said = guest[0].is_refused(*_forged(guest, town.council.wallet, directory=members))
    assert "is not the Directory that the invitation describes" in said


def test_with_another_code_for_the_true_directory_nothing_is_written(
    town: Town, guest: tuple[Member, Path]
) -> None:
    file = guest[0].folder / "connection.yaml"
    before = file.read_text()
    words = _forged(guest, town.council.wallet, directory_code_hash="0x" + "ab" * 32, slot=7)
    assert "its code is another one" in guest[0].is_refused(*words)
    assert file.read_text() == before


def test_anothers_invitation_is_of_no_use(town: Town, guest: tuple[Member, Path]) -> None:
    other = town.member("other")
    other.makes_card(town.ports)
    assert "whose key is not in" in other.is_refused("join", "--invite", str(guest[1]))
    assert not layout.description_path(other.folder).exists()


def test_what_was_sent_before_a_kill_is_not_sent_twice(town: Town) -> None:
    """Killed after admitting, and again after sending the node: what is left is done, once."""
    who = town.member("cut")
    who.makes_card(town.ports)
    card = cards.load(who.card)
    exchange = town.council.exchange()
    start = exchange.rpc.transaction_count(town.council.wallet.address)
    exchange.send(exchange.members.admit("cut", str(card.account), 1))
    org = exchange.members.by_handle("cut")
    call = exchange.members.set_node(org, bytes.fromhex(card.public_key), card.place, card.consent)
    exchange.sender.send(call.to, call.data, wait=False)
    exchange.sender.close()
    assert load_invitation(town.invites(who, "--role", "seller")).node == card.address
    again = load_invitation(town.invites(who))
    assert again.organisation == "cut" and again.roles == ("seller",)
    assert exchange.rpc.transaction_count(town.council.wallet.address) == start + 2


def test_what_cannot_be_invited_is_said_before_anything_is_sent(
    town: Town, guest: tuple[Member, Path]
) -> None:
    nobody = town.member("nobody")
    nobody.makes_card(town.ports)
    words = ["invite", "--card", str(nobody.card), "--out", str(nobody.folder / "invite.json")]
    assert "is given no role" in town.council.is_refused(*words)
    assert "council" in town.other.is_refused(*words, "--role", "seller")
    changed = ["invite", "--card", str(guest[0].card), "--out", str(nobody.folder / "invite.json")]
    assert "is there and is seller, buyer" in town.council.is_refused(*changed, "--role", "witness")
    posing = cards.make(
        nobody.folder,
        organisation="guest",
        account=nobody.wallet.address,
        name="posing",
        host="127.0.0.1",
        p2p_port=next(town.ports),
        rpc_port=next(town.ports),
    )
    nobody.card.write_text(posing.text)
    assert "is no member of guest" in town.council.is_refused(*words)
    assert not (nobody.folder / "invite.json").exists()


def test_an_admin_invites_another_node_of_its_own_and_the_council_may_remove_it(
    town: Town, guest: tuple[Member, Path]
) -> None:
    who, _ = guest
    second = cards.make(
        who.folder / "second",
        organisation="guest",
        account=None,
        name=None,
        host="127.0.0.1",
        p2p_port=next(town.ports),
        rpc_port=next(town.ports),
    )
    file = who.folder / "second.json"
    file.write_text(second.text)
    made = who.does("invite", "--card", str(file), "--out", str(who.folder / "second-invite.json"))
    assert (made["inviter"], made["address"]) == (who.wallet.address, second.address)
    joining.verify(town.other.exchange(), load_invitation(who.folder / "second-invite.json"))
    env = town.council.environment | {"OCX_CONNECTION": str(town.council.folder / "connection.yaml")}
    done = CliRunner().invoke(cli, ["network", "node", "remove", second.address], env=env)
    assert done.exit_code == 0, done.stderr
    assert second.address not in town.listed()


def test_a_validator_is_voted_out_before_it_leaves(town: Town) -> None:
    assert "is a validator" in town.other.is_refused("leave")
    assert local.is_kept(town.other.folder)


def test_who_leaves_is_off_the_list_and_is_turned_away(town: Town, guest: tuple[Member, Path]) -> None:
    who, invitation = guest
    address = who.node.address
    left = who.does("leave")
    assert left["removed"] == [cards.node_name("guest", address)]
    assert address not in town.listed() and not local.is_kept(who.folder)
    with pytest.raises(Refused, match="do not list node"):  # what an invitation that is in time says now
        joining.verify(town.other.exchange(), load_invitation(invitation))
    town.let_in()
    local.start(who.folder, while_pid=os.getpid())
    log = layout.node_folder(who.folder, who.node) / "geth.log"
    home = log.parent
    wait_for(lambda: _answers(home), "the node that left")
    start = local.status(town.other.folder).height or 0
    wait_for(lambda: (local.status(town.other.folder).height or 0) >= start + 3, "3 blocks further")
    assert who.status().peers == ()
    assert who.node.name not in town.other.status().peers
    # Given again, as after a kill before the end, it has nothing left to send and ends the node.
    assert who.does("leave")["removed"] == [] and not local.is_kept(who.folder)


def _answers(home: Path) -> bool:
    try:
        joining.progress(home, time.time)
    except OcxError:
        return False
    return True
