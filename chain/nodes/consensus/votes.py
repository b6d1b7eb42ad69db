"""Votes about who is a validator: cast by the local validators over IPC, counted by the chain.

A validator's vote stands in the blocks it seals, so it counts when its turn comes; more than half of today's
validators decide. A node keeps its vote in memory until it is withdrawn: one that stood on after it passed
would be cast again whenever others decide otherwise, so whoever looks after a node calls `tidy`.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from chain.nodes import geth
from chain.nodes.consensus.view import View, majority, view
from chain.nodes.description import NetworkDescription, Node
from chain.nodes.line import IpcLine
from market.errors import InvalidInput, OcxError, Refused, Temporary

__all__ = ["Count", "Proposal", "Vote", "cast", "count", "prepare", "proposals", "tidy"]

_LAG = 3
"""Blocks a node that is to seal may be behind the best one seen here."""


@dataclass(frozen=True)
class Proposal:
    """A vote under way at a node's newest block; `address` in small letters."""

    address: str
    adds: bool
    votes: int
    needed: int


@dataclass(frozen=True)
class Vote:
    """A vote that can be cast: about whom, and by which validators of this folder (name and folder)."""

    node: Node
    adds: bool
    voters: Mapping[str, Path]
    validators: int
    """How many there are before."""

    @property
    def needed(self) -> int:
        """How many must vote so."""
        return majority(self.validators)


@dataclass(frozen=True)
class Count:
    """How far a vote has come. `passed` at the newest block, `certain` with a majority built on it since."""

    block: int
    votes: int
    needed: int
    passed: bool
    certain: bool
    validators: frozenset[str]


def prepare(description: NetworkDescription, homes: Mapping[str, Path], name: str, adds: bool) -> Vote:
    """Whether the nodes in `homes` may vote about that node, and what speaks against it.

    InvalidInput or Refused say what, before anything is sent.
    """
    node = description.node(name)
    own = node.address.lower()
    seen = _views(homes)
    if not seen:
        raise Temporary(
            "no node of this folder answers, and votes are cast by one", hint="run: ocx network up"
        )
    signers = max(seen.values(), key=lambda one: one.weight).signers
    voters = {
        each.name: homes[each.name]
        for each in description.nodes
        if each.name in seen and each.address.lower() in signers
    }
    if (own in signers) == adds:
        said = "is a validator already" if adds else "is no validator"
        raise InvalidInput(f"{name} {said}", hint="who is one, says: ocx network status")
    if not adds and len(signers) == 1:
        raise Refused(
            f"{name} is the only validator: without it no block is made", hint="vote another in first"
        )
    if not voters:
        raise Refused(
            "none of the nodes here that answer is a validator, so nobody here may vote",
            hint="ask those who run validators: more than half of them must vote",
        )
    if adds:
        _is_level(node, name in homes, seen, voters)
    return Vote(node, adds, voters, len(signers))


def _is_level(node: Node, here: bool, seen: Mapping[str, View], voters: Mapping[str, Path]) -> None:
    """Refused unless the node could seal at once: a validator that cannot only makes the majority larger."""
    if here:
        if (own := seen.get(node.name)) is None:
            raise Refused(f"{node.name} does not answer", hint="start it: ocx network up")
        behind = max(one.number for one in seen.values()) - own.number
        if behind > _LAG:  # one that fetches the newest block says that it is syncing, too
            raise Refused(f"{node.name} is not synchronised: {behind} blocks behind", hint="try again later")
    elif not any(node.address.lower() in seen[name].peers for name in voters):
        raise Refused(
            f"{node.name} is not connected to any validator here, so it cannot have the newest blocks",
            hint="it must run and be let in before it is voted in: ocx network status",
        )


def cast(vote: Vote) -> None:
    """Have every voter here vote so; harmless if they do already."""
    for folder in vote.voters.values():
        with IpcLine(folder / geth.IPC) as line:
            line.call("clique_propose", vote.node.address, vote.adds)


def count(vote: Vote) -> Count:
    """How far it has come, as the voter here knows it whose chain is the heaviest."""
    seen = _views(vote.voters)
    if not seen:
        raise Temporary("no validator of this folder answers any more", hint="run: ocx network up")
    name, best = max(seen.items(), key=lambda item: item[1].weight)
    own = vote.node.address.lower()
    passed = (own in best.signers) == vote.adds
    votes, certain = vote.needed, False
    with IpcLine(vote.voters[name] / geth.IPC) as line:
        if passed:
            certain = (own in _signers(line, best.number - best.depth)) == vote.adds
        else:
            votes = sum(one.votes for one in proposals(line) if (one.address, one.adds) == (own, vote.adds))
    needed = vote.needed if passed else best.quorum
    return Count(best.number, votes, needed, passed, certain, best.signers)


def proposals(line: IpcLine) -> tuple[Proposal, ...]:
    """Every vote under way at a node's newest block, whoever cast it."""
    snapshot = line.call("clique_getSnapshot", "latest")
    needed = majority(len(snapshot["signers"]))
    return tuple(
        Proposal(str(address).lower(), bool(each["authorize"]), int(each["votes"]), needed)
        for address, each in sorted(snapshot["tally"].items())
    )


def tidy(line: IpcLine, seen: View) -> None:
    """Withdraw a node's votes that have passed and cannot be undone."""
    votes = line.call("clique_proposals")
    if not votes:
        return
    certain = _signers(line, seen.number - seen.depth)
    for address, adds in votes.items():
        if all((str(address).lower() in signers) == adds for signers in (certain, seen.signers)):
            line.call("clique_discard", address)


def _signers(line: IpcLine, number: int) -> frozenset[str]:
    signers = line.call("clique_getSigners", hex(max(0, number)))
    return frozenset(str(each).lower() for each in signers)


def _views(homes: Mapping[str, Path]) -> dict[str, View]:
    found = {}
    for name, folder in homes.items():
        with suppress(OcxError):
            found[name] = view(folder)
    return found
