"""Keeps the allow-list of this folder's nodes equal to what `Members` says, and does nothing else.

Let in are the nodes of organisations that have any role, and today's validators that network.yaml knows: a
validator is voted out, never cut off. Each node is asked for itself, at a block that counts, so nobody else's
lagging or lying node can cut it off; one that is not level, or cannot tell, is left as it is. What changes
goes over the node's IPC socket first and into network.yaml and the rendered files then; every step may be
repeated, so it can be killed anywhere. This module must not start, stop or vote.
"""

from __future__ import annotations

import fcntl
import logging
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Set
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from chain import connection as connection_file
from chain.connection import ConnectionFile
from chain.exchange import Exchange
from chain.nodes import geth, layout
from chain.nodes.admission.register import Registered, followers, registered
from chain.nodes.consensus.scout import BRANCH
from chain.nodes.consensus.view import View, peer_key, view_over
from chain.nodes.description import NetworkDescription, Node, load, save
from chain.nodes.line import IpcLine
from chain.nodes.render import network_yaml
from chain.wire import RpcRefused
from market.errors import OcxError, Temporary

__all__ = ["INTERVAL", "Agent", "Outcome", "connection_path", "follow", "wanted"]

log = logging.getLogger(__name__)

INTERVAL = 5.0
"""Seconds from one look to the next."""


def connection_path(folder: Path) -> Path:
    """Where a node's folder has its connection file."""
    return folder / "connection.yaml"


def wanted(
    description: NetworkDescription, listed: Iterable[Registered], validators: Set[str], own: Set[str]
) -> NetworkDescription:
    """The description as it should be: who is let in by `Members`' list and by who seals today.

    `validators` and `own` (this folder's nodes) are addresses in small letters; neither is ever left out.
    """
    listed = tuple(listed)
    by_list = {one.address.lower() for one in listed if one.admitted}
    stays = {node.name for node in description.nodes if node.address.lower() in validators | own}
    left = tuple(
        node.name
        for node in description.validators
        if node.name not in stays and node.address.lower() not in by_list
    )
    named = {node.name for node in description.followers if node.address.lower() not in by_list}
    found = followers(description, listed, keep=stays & named)
    missing = {node.name for node in description.followers} & stays - {node.name for node in found}
    if missing:  # listed at a place that is another's: it keeps the one it has
        found = followers(description, listed, keep=stays & (named | missing))
    return description.model_copy(update={"followers": found, "left": left})


@dataclass(frozen=True)
class Outcome:
    """What became of one node: names let in and shut out, or why it was left as it was."""

    node: str
    let_in: tuple[str, ...] = ()
    shut_out: tuple[str, ...] = ()
    left_alone: str = ""


class Agent:
    """The agent of one folder; `connection` is its connection file, of which only the pins count."""

    def __init__(
        self, folder: Path, connection: ConnectionFile, clock: Callable[[], float] = time.time
    ) -> None:
        self._folder, self._connection, self._clock = folder, connection, clock
        self._exchanges: dict[str, Exchange] = {}
        self._told: dict[str, str] = {}

    def once(self) -> tuple[Outcome, ...]:
        """See to every node of the folder that runs; two agents of one folder take turns."""
        with _alone(self._folder):
            description = load(layout.description_path(self._folder))
            nodes = layout.here(self._folder, description)
            own = {node.address.lower() for node in nodes}
            outcomes, newest = [], (-1, description)
            for node in nodes:
                try:
                    block, target = self._target(description, node, own)
                    outcomes.append(_apply(self._home(node), node, description, target))
                except OcxError as error:
                    outcomes.append(Outcome(node.name, left_alone=error.message))
                else:
                    newest = max(newest, (block, target), key=lambda one: one[0])
            if newest[1] != description:
                save(layout.description_path(self._folder), network_yaml(newest[1]))
                layout.write_files(self._folder)
        for outcome in outcomes:
            self._tell(outcome)
        return tuple(outcomes)

    def _home(self, node: Node) -> Path:
        return layout.node_folder(self._folder, node)

    def _target(
        self, description: NetworkDescription, node: Node, own: Set[str]
    ) -> tuple[int, NetworkDescription]:
        """What that node says should be, and of which block it says so. Temporary if it is not level."""
        with IpcLine(self._home(node) / geth.IPC) as line:
            seen = view_over(line)
            self._require_level(description, node, seen)
            block = max(0, seen.number - max(seen.depth, self._connection.confirmations))
            before = line.call("clique_getSigners", hex(block))
        listed = registered(self._exchange(node), block)
        return block, wanted(description, listed, seen.signers | {str(one).lower() for one in before}, own)

    def _require_level(self, description: NetworkDescription, node: Node, seen: View) -> None:
        if (self._home(node) / BRANCH).exists():
            raise Temporary(f"{node.name} is looking at another branch", retry_after=5)
        age = self._clock() - seen.time
        if seen.syncing or age > 20 + 10 * description.block_time:
            raise Temporary(
                f"{node.name} is not level: its newest block is {max(0, age):.0f} s old", retry_after=5
            )

    def _exchange(self, node: Node) -> Exchange:
        """The exchange as that node alone shows it."""
        if node.name not in self._exchanges:
            alone = self._connection.model_copy(update={"rpc_urls": (node.rpc_url,)})
            self._exchanges[node.name] = Exchange(alone)
        return self._exchanges[node.name]

    def _tell(self, outcome: Outcome) -> None:
        """Log what was done, and what hinders once."""
        if outcome.let_in or outcome.shut_out:
            names = ", ".join(outcome.let_in) or "nobody", ", ".join(outcome.shut_out) or "nobody"
            log.info("%s lets in %s and shuts out %s", outcome.node, *names)
        if outcome.left_alone != self._told.get(outcome.node, ""):
            log.warning("%s is left as it is: %s", outcome.node, outcome.left_alone or "no more")
            self._told[outcome.node] = outcome.left_alone


def follow(folder: Path, connection: Path, stop: threading.Event, interval: float = INTERVAL) -> None:
    """Look every `interval` seconds until told to stop; while there is no connection file, wait for it."""
    agent, text = None, b""
    while not stop.is_set():
        try:
            if connection.exists():
                if (now := connection.read_bytes()) != text or agent is None:
                    agent, text = Agent(folder, connection_file.load(connection)), now
                agent.once()
        except OcxError as error:
            log.warning("the allow-list is left as it is: %s", error.message)
        except Exception:
            log.exception("the allow-list is left as it is")
        stop.wait(interval)


def _apply(folder: Path, node: Node, before: NetworkDescription, after: NetworkDescription) -> Outcome:
    """Make one running node's allow-list what it should be, whatever it is now."""
    known = {each.public_key: each for each in before.others(node)}
    let_in = {each.public_key: each for each in after.others(node)}
    named = {each.public_key: each.name for each in before.nodes}
    shut_out = []
    with IpcLine(folder / geth.IPC) as line:
        connected = {peer_key(peer): str(peer["enode"]) for peer in line.call("admin_peers")}
        for key, enode in (connected | {key: each.enode for key, each in known.items()}).items():
            moved = key in known and key in let_in and known[key].enode != let_in[key].enode
            if key not in let_in or moved:
                line.call("admin_removeTrustedPeer", enode.partition("?")[0])
                line.call("admin_removePeer", enode.partition("?")[0])
            if key not in let_in:
                shut_out.append(named.get(key, f"a stranger ({key[:12]}..)"))
        for each in let_in.values():
            try:
                line.call("admin_addTrustedPeer", each.enode)
                line.call("admin_addPeer", each.enode)
            except RpcRefused as error:
                log.warning("%s cannot let in %s: %s", node.name, each.name, error.message)
    new = tuple(each.name for key, each in let_in.items() if known.get(key) != each)
    return Outcome(node.name, new, tuple(shut_out))


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """While another agent is at work on the folder, wait."""
    with (folder / "agent.lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
