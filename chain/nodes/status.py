"""How a network is: how high, who is connected, who seals, who lags or is missing.

Asked of each local node over its IPC socket; it changes nothing, and one node that does not answer is a fact
and not an error.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from chain.nodes import geth
from chain.nodes.consensus.votes import Proposal, proposals
from chain.nodes.description import NetworkDescription, Node
from chain.nodes.line import IpcLine
from chain.wire import as_number
from market.errors import OcxError

__all__ = ["NetworkStatus", "NodeStatus", "look"]

_LAG = 3
"""Blocks a node may be behind the best one before it is said to lag."""


@dataclass(frozen=True)
class NodeStatus:
    """One node. Numbers are None if it does not answer; `sealed` counts the last blocks (at most 64)."""

    name: str
    organisation: str
    validator: bool
    state: str
    height: int | None
    behind: int | None
    peers: tuple[str, ...]
    sealed: int | None
    rpc_url: str
    finding: str

    @property
    def good(self) -> bool:
        """Whether nothing is wrong with it."""
        return self.finding == "good"


@dataclass(frozen=True)
class NetworkStatus:
    """The whole network. `validators` are whom the chain names now; `quorum` of them must work."""

    network: str
    height: int | None
    head_age: int | None
    validators: tuple[str, ...]
    quorum: int
    missing: tuple[str, ...]
    nodes: tuple[NodeStatus, ...]
    proposals: tuple[Proposal, ...] = ()
    """Votes about validators under way, `address` being a node's name if it is known."""

    @property
    def lag(self) -> int:
        """Blocks between the best and the worst node that answers."""
        return max((node.behind or 0 for node in self.nodes), default=0)

    @property
    def goes_on(self) -> bool:
        """Whether enough validators work for blocks to be made."""
        return len(self.validators) - len(set(self.missing) & set(self.validators)) >= self.quorum > 0

    @property
    def good(self) -> bool:
        """Whether nothing is wrong with any node."""
        return bool(self.validators) and all(node.good for node in self.nodes)

    @property
    def summary(self) -> str:
        """One line for people."""
        if self.height is None:
            return f"no node of {self.network} answers"
        bad = ", ".join(f"{node.name} {node.finding}" for node in self.nodes if not node.good)
        return f"block {self.height}, {bad or 'all good'}"


@dataclass(frozen=True)
class _Answer:
    height: int
    head_time: int
    peers: tuple[str, ...]
    signers: tuple[str, ...]
    sealed: Mapping[str, int]
    proposals: tuple[Proposal, ...]


def look(
    description: NetworkDescription,
    homes: Mapping[str, Path],
    states: Mapping[str, str],
    clock: Callable[[], float] = time.time,
    notes: Mapping[str, str] | None = None,
) -> NetworkStatus:
    """Ask every node whose folder is here. `states` and `notes` say what its keeper knows of each process."""
    names = {node.address.lower(): node.name for node in description.nodes}
    keys = {node.public_key: node.name for node in description.nodes}
    with ThreadPoolExecutor(max_workers=16) as pool:
        answers = dict(zip(homes, pool.map(lambda home: _ask(home, keys), homes.values()), strict=True))
    best = max((one for one in answers.values() if one), key=lambda one: one.height, default=None)
    signers = () if best is None else tuple(names.get(each, each) for each in best.signers)
    nodes = tuple(
        _status(
            node,
            answers.get(node.name),
            best,
            states.get(node.name, "stopped"),
            signers,
            (notes or {}).get(node.name, ""),
        )
        for node in description.nodes
        if node.name in homes
    )
    return NetworkStatus(
        network=description.network,
        height=best.height if best else None,
        head_age=max(0, int(clock()) - best.head_time) if best else None,
        validators=signers,
        quorum=_quorum(description, len(signers)),
        missing=tuple(node.name for node in nodes if not node.good),
        nodes=nodes,
        proposals=() if best is None else tuple(_named(vote, names) for vote in best.proposals),
    )


def _named(vote: Proposal, names: Mapping[str, str]) -> Proposal:
    return replace(vote, address=names.get(vote.address, vote.address))


def _quorum(description: NetworkDescription, validators: int) -> int:
    return validators // 2 + 1 if description.engine == "clique" else -(-2 * validators // 3)


def _status(
    node: Node, answer: _Answer | None, best: _Answer | None, state: str, signers: tuple[str, ...], note: str
) -> NodeStatus:
    behind = best.height - answer.height if answer and best else None
    if answer is None:
        finding = "does not answer" if state in ("running", "starting") else f"is {state}"
    elif behind is not None and behind > _LAG:
        finding = f"is {behind} blocks behind"
    elif not answer.peers and len(signers) > 1:
        finding = "has no peers"
    else:
        finding = note or "good"
    return NodeStatus(
        name=node.name,
        organisation=node.organisation,
        validator=node.name in signers,
        state=state,
        height=answer.height if answer else None,
        behind=behind,
        peers=answer.peers if answer else (),
        sealed=best.sealed.get(node.address.lower(), 0) if best else None,
        rpc_url=node.rpc_url,
        finding=finding,
    )


def _ask(home: Path, keys: Mapping[str, str]) -> _Answer | None:
    try:
        with IpcLine(home / geth.IPC) as line:
            head, peers, signers = line.call_many(
                [
                    ("eth_getBlockByNumber", ["latest", False]),
                    ("admin_peers", []),
                    ("clique_getSigners", ["latest"]),
                ]
            )
            height = as_number(head["number"])
            votes = proposals(line)
            activity = line.call("clique_status")["sealerActivity"] if height > 1 else {}
    except (OcxError, OSError):
        return None
    return _Answer(
        height=height,
        head_time=as_number(head["timestamp"]),
        peers=tuple(sorted(_peer_name(peer, keys) for peer in peers)),
        signers=tuple(str(each).lower() for each in signers),
        sealed={str(each).lower(): int(count) for each, count in activity.items()},
        proposals=votes,
    )


def _peer_name(peer: Mapping[str, Any], keys: Mapping[str, str]) -> str:
    key = str(peer.get("enode", "")).removeprefix("enode://").partition("@")[0]
    return keys.get(key, f"a stranger ({key[:12]}..)")
