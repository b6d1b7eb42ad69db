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

from chain.contracts.witnesses import Opening, Witnesses
from chain.exchange import Exchange
from chain.leaves import Leaf, chunks_of, commitment_of, root_of, salt_of
from chain.wire import Block
from market.errors import Refused
from witness.seals import Sealed, Seals

__all__ = ["Due", "Facts", "Measured", "Move", "Ticker", "decide"]

log = logging.getLogger(__name__)

NO_OPENING = Opening((), bytes(32), bytes(32))
_REMEMBERED = 16
"""Epochs for which the chain remembers commitments."""
_KEPT = 3 * 24
"""Epochs for which seals are kept: as long as anybody may ask about them."""


@dataclass(frozen=True, slots=True)
class Facts:
    """What there is to know for one look, all at one block.

    `now`: seconds of that block; `epoch`: seconds of an epoch; `joined`, `exit`: epochs it owes ticks for (exit 0:
    for good); `settle`: seconds to wait after an epoch's end for measurements under way. `committed`: what
    the chain holds of the due epoch and of the one before (zero: nothing). `sealed`, `before`: our own commitments
    of those two, None where we have none. `published`: chunks of the epoch before that the chain has, `chunks` how
    many there are; `done`: whether the chain calls the epoch before complete.
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

    def leaves(self, epoch: int) -> Sequence[Leaf]:
        """Every leaf of an epoch, which takes no more measurements from now on."""

    def epoch_key(self, epoch: int) -> bytes:
        """The key of an epoch's secret times."""


@dataclass(frozen=True, slots=True)
class Due:
    """How ticking stands, for health: the move last decided on, and the newest epoch the chain has from us."""

    move: Move
    ticked: int | None
    missed: int


class Ticker:
    """Ticks for one witness organisation."""

    def __init__(
        self,
        exchange: Exchange,
        witnesses: Witnesses,
        seals: Seals,
        measured: Measured,
        org: int,
        *,
        settle: float,
        clock: Callable[[], float],
        published: Callable[[int, int], frozenset[int]],
        on_step: Callable[[str], None] = lambda step: None,
    ) -> None:
        """`published(org, epoch)`: the chunks of an epoch that are on chain; `on_step` is told before each act."""
        self._exchange, self._witnesses, self._seals, self._measured = exchange, witnesses, seals, measured
        self._org, self._settle, self._clock = org, settle, clock
        self._published, self._on_step = published, on_step
        self._epoch = witnesses.epoch()
        self._ticked: int | None = None
        self._missed = 0
        self.due: Due | None = None

    def look(self, head: Block) -> Move:
        """Look once, and make the next moves until nothing is left to do now; what it waits for, or is stuck at."""
        while True:
            move = decide(self._facts(head))
            self.due = Due(move, self._ticked, self._missed)
            if move.what in ("wait", "stuck"):
                return move
            if move.what == "seal":
                self._seal(move.epoch)
                continue
            self._send(move)
            return move

    def _facts(self, head: Block) -> Facts:
        at, due = head.number, due_epoch(head.timestamp, self._epoch)
        record = self._witnesses.witness(self._org, block=at)
        committed = self._witnesses.commitment_of(self._org, due, block=at)
        sealed, before = self._seals.get(due), self._seals.get(due - 1)
        if any(committed):
            self._ticked = due
        return Facts(
            now=head.timestamp,
            epoch=self._epoch,
            joined=record.joined,
            exit=record.exit,
            settle=self._settle,
            committed=committed,
            committed_before=self._witnesses.commitment_of(self._org, due - 1, block=at),
            sealed=None if sealed is None else sealed.commitment,
            before=None if before is None else before.commitment,
            chunks=0 if before is None else len(before.chunks),
            published=self._published(self._org, due - 1),
            done=self._witnesses.ticked(self._org, due - 1, block=at),
        )

    def _seal(self, epoch: int) -> None:
        self._on_step("seal")
        leaves = tuple(self._measured.leaves(epoch))
        salt = salt_of(self._measured.epoch_key(epoch))
        chunks, root = tuple(root_of(part) for part in chunks_of(leaves)), root_of(leaves)
        commitment = commitment_of(self._org, epoch, chunks, root, salt)
        self._seals.keep(Sealed(epoch, leaves, root, chunks, salt, commitment, self._clock()))
        self._seals.forget_before(epoch - _KEPT)

    def _send(self, move: Move) -> None:
        before = self._seals.get(move.epoch - 1)
        if move.what == "publish":
            assert before is not None  # noqa: S101  decided by its chunks
            part = chunks_of(before.leaves)[move.chunk]
            call = self._witnesses.publish(before.epoch, move.chunk, before.chunks, part)
            intent = f"publish/{self._org}/{before.epoch}/{move.chunk}"
        else:
            sealed = self._seals.get(move.epoch)
            assert sealed is not None  # noqa: S101  sealed before it is sent
            opening, first = NO_OPENING, ()
            if move.opens and before is not None:
                opening = Opening(before.chunks, before.root, before.salt)
                first = next(iter(chunks_of(before.leaves)), ())
            call = self._witnesses.tick(move.epoch, sealed.commitment, opening, first)
            intent = f"tick/{self._org}/{move.epoch}"
        self._on_step(move.what)
        self._exchange.sender.send(call.to, call.data, intent=intent, wait=False)
        self._on_step("sent")
