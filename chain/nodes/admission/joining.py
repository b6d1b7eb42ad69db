"""How a node comes into a network and leaves it: founding from cards, an invitation's way in, the way out.

Every step can be repeated after it was cut short. It must not ask anybody anything or print.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from eth_utils.crypto import keccak

from chain.abi import checksum
from chain.contracts.members import MemberRight, Role
from chain.exchange import Exchange
from chain.governing import council_of
from chain.nodes import geth, keys, layout, render
from chain.nodes.admission.card import Card
from chain.nodes.admission.invitation import Invitation
from chain.nodes.admission.register import counting_block, registered
from chain.nodes.description import NetworkDescription, Node, load, parse, save
from chain.nodes.line import IpcLine
from chain.rpc import Rpc
from chain.wire import as_number
from market.errors import InvalidInput, OcxError, Refused, Temporary

__all__ = [
    "Progress",
    "description_of",
    "may_invite",
    "progress",
    "settle",
    "take_in",
    "verify",
    "wait_level",
]

_PATIENCE = 180.0
"""Seconds without any progress after which waiting is given up."""


@dataclass(frozen=True)
class Progress:
    """How far a node is; `age` is its newest block's, in seconds."""

    block_0: bytes
    height: int
    age: float
    peers: int
    syncing: bool

    @property
    def text(self) -> str:
        """One line for people."""
        if not self.peers:
            return f"block {self.height}; nobody lets this node in yet"
        return f"block {self.height}, {max(0, self.age):.0f} s old, from {self.peers} peers"

    def level(self, block_time: int) -> bool:
        """Whether it has what its peers have, as far as a node can know."""
        fresh = self.age <= 10 + 5 * block_time
        return self.peers > 0 and self.height > 0 and not self.syncing and fresh


def description_of(cards: Sequence[Card], **fields: object) -> NetworkDescription:
    """The network that these founders' nodes make; `fields` are those of network.yaml."""
    nodes = [card.node.model_dump() for card in cards]
    return parse({"engine": "clique", "validators": nodes, **fields}, "the network of these cards")


def settle(folder: Path, description: NetworkDescription) -> tuple[Node, ...]:
    """Make it the folder's network.yaml and write its nodes' files; the nodes whose key is here.

    InvalidInput if the folder has another network already, or the key of none of these nodes.
    """
    path = layout.description_path(folder)
    before = load(path) if path.exists() else None
    if before is not None:
        if render.genesis(before) != render.genesis(description):
            raise InvalidInput(
                f"{path} describes another network, {before.network}",
                hint="choose another --dir, or move that one away",
            )
        description = _joined(description, before)
    here = layout.here(folder, description)
    if not here:
        raise InvalidInput(
            f"{folder} holds the key of no node of {description.network}",
            hint="give the --dir in which its key was made: ocx network card",
        )
    if description != before:
        save(path, render.network_yaml(description))
    layout.write_files(folder)
    return here


def _joined(new: NetworkDescription, old: NetworkDescription) -> NetworkDescription:
    """The new one with what only the old one knew: followers an agent has let in since."""
    keys_, names = {n.public_key for n in new.nodes}, {n.name for n in new.nodes}
    places = {(n.host, n.p2p_port) for n in new.nodes}
    more = [
        node
        for node in old.followers
        if node.public_key not in keys_
        and node.name not in names
        and (node.host, node.p2p_port) not in places
    ]
    return new.model_copy(update={"followers": (*new.followers, *more)})


def take_in(folder: Path, invitation: Invitation) -> Node:
    """Make the folder that of the invited node, from an invitation found valid; the node."""
    own = invitation.own
    home = layout.node_folder(folder, own)
    if not (home / "nodekey").exists() or keys.at(home).address != invitation.node:
        raise InvalidInput(
            f"the invitation is for node {own.name} ({invitation.node}), whose key is not in {home}",
            hint="give the --dir in which its card was made: ocx network card",
        )
    settle(folder, invitation.network)
    return own


def progress(home: Path, clock: Callable[[], float] = time.time) -> Progress:
    """How far the running node in that folder is; RpcUnreachable while it does not answer."""
    with IpcLine(home / geth.IPC) as line:
        first, head, syncing, peers = line.call_many(
            [
                ("eth_getBlockByNumber", ["0x0", False]),
                ("eth_getBlockByNumber", ["latest", False]),
                ("eth_syncing", []),
                ("net_peerCount", []),
            ]
        )
    return Progress(
        block_0=bytes.fromhex(first["hash"][2:]),
        height=as_number(head["number"]),
        age=clock() - as_number(head["timestamp"]),
        peers=as_number(peers),
        syncing=bool(syncing),
    )


def wait_level(
    home: Path,
    description: NetworkDescription,
    say: Callable[[str], None],
    *,
    patience: float = _PATIENCE,
) -> Progress:
    """Wait until the node in that folder has what the others have; `say` hears how far it is.

    Refused if it begins with another block 0, Temporary if nothing comes for `patience` seconds.
    """
    expected = render.block_0(description)
    best, since = -1, time.monotonic()
    said = "the node does not answer"
    while True:
        try:
            found = progress(home)
        except OcxError:
            found = None
        if found is not None:
            if found.block_0 != expected:
                raise Refused(f"{home} begins with block 0x{found.block_0.hex()}, not 0x{expected.hex()}")
            if found.level(description.block_time):
                return found
            said = found.text
            if found.height > best:
                best, since = found.height, time.monotonic()
        say(said)
        if time.monotonic() - since > patience:
            raise Temporary(
                f"the node is not level with the others, and nothing came for {patience:.0f} s: {said}",
                hint="it goes on trying, so repeat the command. Is this machine's clock right, and do the "
                f"members' nodes run, whose agents let it in? {home / 'geth.log'} says more",
                retry_after=5,
            )
        time.sleep(0.3)


def may_invite(exchange: Exchange, account: str, org: int, block: int) -> bool:
    """Whether that account is the council or of it, or an admin of the organisation or of an operator."""
    if account == checksum(exchange.directory.council(block=block)):
        return True
    council = council_of(exchange, block=block)
    if council is not None and council.is_member(account, block=block):
        return True
    member = exchange.members.member(account, block=block)
    if not member.org or not member.rights & MemberRight.ADMIN:
        return False
    return member.org == org or bool(
        exchange.members.organisation(member.org, block=block).roles & Role.OPERATOR
    )


def verify(exchange: Exchange, invitation: Invitation) -> None:
    """Refused unless the exchange is the one the invitation describes and bears it out.

    `exchange` asks a node that is level, so what is not on the chain is not there.
    """
    code = keccak(Rpc.for_deployment(exchange.connection.rpc_urls).get_code(invitation.directory))
    if "0x" + code.hex() != invitation.directory_code_hash:
        raise Refused(
            f"the contract at {invitation.directory} is not the Directory that the invitation describes",
            hint="its code is another one; ask the inviter which exchange is meant",
        )
    block = counting_block(exchange)
    org = exchange.members.by_handle(invitation.organisation, block=block)
    if not may_invite(exchange, invitation.inviter, org, block):
        raise Refused(
            f"{invitation.inviter} signed the invitation, but may not invite {invitation.organisation}",
            hint="only the council, an admin of the organisation or of an operator may",
        )
    listed = {node.address: node for node in registered(exchange, block)}
    found = listed.get(invitation.node)
    if found is None or found.handle != invitation.organisation or not found.admitted:
        raise Refused(
            f"the members do not list node {invitation.node} of {invitation.organisation}, or no more",
            hint="ask the inviter for a new invitation",
        )
