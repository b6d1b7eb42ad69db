"""One tick per epoch: what is sealed is committed, what was committed is opened, what is large is published
in chunks (rule W4).

`decide` is pure: from what the chain says and what is sealed it tells the one next move. `Ticker` makes that
move: it seals before it sends, sends with an intent, and looks at the chain before each. So it may be killed
between any two lines, or run beside another process with the same key, and never commits to two things, nor
opens what the chain does not hold. This module must not measure, and must not decide what is in a leaf.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from chain.contracts.base import Call
from chain.contracts.witnesses import Witnesses
from chain.leaves import EpochLeaves, Leaf, Opening, salt_of
from chain.wire import Block
from market.errors import Bug
from witness.seals import Sealed, Seals

__all__ = ["Due", "Facts", "Measured", "Move", "Ticker", "decide", "due_epoch"]

log = logging.getLogger(__name__)

_KEPT = 3 * 24
"""Epochs for which seals are kept: as long as anybody may ask about them."""


@dataclass(frozen=True, slots=True)
class Facts:
    """What there is to know for one look, all at one block.

    `now`: seconds of that block; `epoch`: seconds of an epoch; `joined`, `exit`: epochs it owes ticks for
    (exit 0: for good); `settle`: seconds to wait after an epoch's end for measurements under way.
    `committed`: what the chain holds of the due epoch and of the one before (zero: nothing). `sealed`,
    `before`: our own commitments of those two, None where we have none. `published`: chunks of the epoch
    before that the chain has, `chunks` how many there are; `done`: whether the chain calls the epoch before
    complete.
    """

    now: int
    epoch: int
    joined: int
    exit: int
    settle: float
    committed: bytes
    committed_before: bytes
    sealed: bytes | None
    before: bytes | None
    chunks: int
    published: frozenset[int]
    done: bool


@dataclass(frozen=True, slots=True)
class Move:
    """What to do next: `wait`, `seal`, `tick`, `publish` or `stuck`; `why` is for people.

    `epoch` is the due epoch, `opens` whether the tick opens the epoch before, `chunk` which one to publish.
    """

    what: str
    epoch: int
    why: str = ""
    opens: bool = False
    chunk: int = 0


def due_epoch(now: int, epoch: int) -> int:
    """The epoch whose tick is accepted at `now`: the last whole one."""
    return now // epoch - 1


def decide(facts: Facts) -> Move:
    """The next move of a witness that has the key; pure."""
    due = due_epoch(facts.now, facts.epoch)
    if not facts.joined:
        return Move("wait", due, "it is no witness any more")
    if due < facts.joined:
        return Move("wait", due, f"its first epoch is {facts.joined}")
    if facts.exit and due > facts.exit:  # the tick of epoch `exit` opens the last one owed
        return Move("wait", due, "it has left")
    if any(facts.committed):
        return _after_commit(facts, due)
    if facts.sealed is None:
        end = (due + 1) * facts.epoch
        if facts.now < end + facts.settle:
            return Move("wait", due, "measurements of the epoch come in")
        return Move("seal", due)
    if not any(facts.committed_before):
        return Move("tick", due)
    if facts.committed_before != facts.before:
        return Move("stuck", due, f"epoch {due - 1} was committed by something we have no record of")
    return Move("tick", due, opens=True)


def _after_commit(facts: Facts, due: int) -> Move:
    """The due epoch is committed: by us or not, and is the epoch before complete?"""
    if facts.committed != facts.sealed:
        return Move("stuck", due, f"epoch {due} was committed by another program with our key")
    if facts.done or facts.committed_before != facts.before:
        return Move("wait", due, "ticked")
    missing = [chunk for chunk in range(1, facts.chunks) if chunk not in facts.published]
    if not missing:
        return Move("wait", due, "ticked")
    return Move("publish", due, chunk=missing[0])


class Measured(Protocol):
    """Where leaves come from: the measurement log."""

    def ready(self, epoch: int) -> bool:
        """Whether nothing of an epoch is being measured any more, and what was missed is noted."""

    def leaves(self, epoch: int) -> Sequence[Leaf]:
        """Every leaf of an epoch, which takes no more measurements from now on; each time the same."""

    def epoch_key(self, epoch: int) -> bytes:
        """The key of an epoch's secret times."""


@dataclass(frozen=True, slots=True)
class Due:
    """How ticking stands, for health: the move last decided on, and the due epoch once the chain has it."""

    move: Move
    ticked: int | None


class Ticker:
    """Ticks for one witness organisation; for one thread.

    `send(call, intent)` sends without waiting; what an intent names is sent once. `published(epoch)`: our
    chunks of an epoch that are on chain. `settle`: seconds after an epoch's end. `on_step` is told each act.
    """

    def __init__(
        self,
        witnesses: Witnesses,
        seals: Seals,
        measured: Measured,
        org: int,
        *,
        epoch: int,
        settle: float,
        clock: Callable[[], float],
        send: Callable[[Call, str], object],
        published: Callable[[int], frozenset[int]],
        on_step: Callable[[str], None] = lambda step: None,
    ) -> None:
        self._witnesses, self._seals, self._measured, self._org = witnesses, seals, measured, org
        self._epoch, self._settle, self._clock = epoch, settle, clock
        self._send, self._published, self._on_step = send, published, on_step
        self.due: Due | None = None

    def look(self, head: Block) -> Move:
        """Look once, and make moves until one is sent or nothing is to be done now."""
        while True:
            facts = self._facts(head)
            move = decide(facts)
            ticked = due_epoch(head.timestamp, self._epoch) if any(facts.committed) else None
            self.due = Due(move, ticked)
            if move.what == "seal" and self._measured.ready(move.epoch):
                self._on_step("seal")
                self._seal(move.epoch)
                continue
            call = self._call(move)
            if call is not None:
                self._on_step(move.what)
                self._send(*call)
            return move

    def sealed(self, epoch: int) -> EpochLeaves | None:
        """All that was sealed of an epoch; None if it was not. Bug if the log has changed since."""
        kept = self._seals.get(epoch)
        if kept is None:
            return None
        found = EpochLeaves(tuple(self._measured.leaves(epoch)), kept.opening.salt)
        if found.opening != kept.opening:
            raise Bug(
                f"the log has other measurements for epoch {epoch} than were committed",
                hint="Was the log put back from a copy? Nothing is opened that is not what was committed.",
            )
        return found

    def _facts(self, head: Block) -> Facts:
        at, due = head.number, due_epoch(head.timestamp, self._epoch)
        record = self._witnesses.witness(self._org, block=at)
        sealed, before = self._seals.get(due), self._seals.get(due - 1)
        return Facts(
            now=head.timestamp,
            epoch=self._epoch,
            joined=record.joined,
            exit=record.exit,
            settle=self._settle,
            committed=self._witnesses.commitment_of(self._org, due, block=at),
            committed_before=self._witnesses.commitment_of(self._org, due - 1, block=at),
            sealed=None if sealed is None else sealed.commitment,
            before=None if before is None else before.commitment,
            chunks=0 if before is None else len(before.opening.chunks),
            published=self._published(due - 1),
            done=self._witnesses.ticked(self._org, due - 1, block=at),
        )

    def _seal(self, epoch: int) -> None:
        salt = salt_of(self._measured.epoch_key(epoch))
        leaves = EpochLeaves(tuple(self._measured.leaves(epoch)), salt)
        self._seals.keep(Sealed(epoch, leaves.opening, leaves.commitment(self._org, epoch), self._clock()))
        self._seals.forget_before(epoch - _KEPT)

    def _call(self, move: Move) -> tuple[Call, str] | None:
        """The transaction of a move and the name of its intent; None if it is none."""
        if move.what == "publish":
            before = self._opened(move.epoch - 1)
            chunks = before.opening.chunks
            call = self._witnesses.publish(move.epoch - 1, move.chunk, chunks, before.chunks[move.chunk])
            return call, f"publish/{self._org}/{move.epoch - 1}/{move.chunk}"
        if move.what != "tick":
            return None
        sealed = self._seals.get(move.epoch)
        if sealed is None:
            raise Bug(f"epoch {move.epoch} is ticked before it is sealed")
        opening, first = Opening(), tuple[Leaf, ...]()
        if move.opens:
            before = self._opened(move.epoch - 1)
            opening, first = before.opening, before.chunks[0] if before.chunks else ()
        call = self._witnesses.tick(move.epoch, sealed.commitment, opening, first)
        return call, f"tick/{self._org}/{move.epoch}"

    def _opened(self, epoch: int) -> EpochLeaves:
        found = self.sealed(epoch)
        if found is None:
            raise Bug(f"epoch {epoch} is opened, and was never sealed")
        return found
