"""A witness that lies: a program of its own, made of the real node's parts with a lie at one seam.

    python -m tests.witness.byzantine.liar BEHAVIOUR CONFIGURATION

It has the real keys, log, seals, ticks and index; what differs is one part, replaced after the real node was
built. No liar does chores for others (draws, claims, fines), and none says what was delivered, so whatever
happens is the honest ones' doing. Behaviours:

    up            finds every machine up, without looking
    down          finds every machine down by its provider's fault, without looking
    copying       commits to what others opened of the epoch before, as if it had found that
    late          measures honestly, and sends each tick when its time is over
    silent        never ticks, so it need not measure
    equivocating  commits to two leaves of each machine under one root, up and down; publishes the down one
    forging       finds every machine up, with a receipt signed by a key that it made up
    lazy          measures nothing; when the epoch is over it writes down that all was up
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Sequence
from typing import Any

from eth_keys import keys
from eth_utils.crypto import keccak

import witness.run
import witness.ticks
from chain.contracts.base import Call
from chain.leaves import EpochLeaves, Leaf, Outcome, Tree, guest_digest
from chain.wire import Block
from witness.attribution import Reason
from witness.duties import Duty, duties_of
from witness.log import Measurement
from witness.looks import Look
from witness.loop import Node
from witness.settings import load
from witness.targets import Target
from witness.ticks import Measured, Move, due_epoch

__all__ = ["BEHAVIOURS"]

_LATE_GAS = 2_000_000
_TICK = 9
"""All but itself and those whose ticks are never there."""
_MADE_UP = keys.PrivateKey(keccak(b"the key of a responder that does not exist"))


class MadeUp:
    """In place of `Looks`: the same for every machine, and nothing is asked."""

    shared: frozenset[str] = frozenset()

    def __init__(self, look: Callable[[Target, int, int], Look]) -> None:
        self._look = look

    async def at(self, target: Target, epoch: int, round_: int, _seconds: float, *, full: bool) -> Look:
        return self._look(target, epoch, round_)


class Seam:
    """In place of `Sheets`: as the real ones, but for what a subclass tells otherwise."""

    def __init__(self, node: Node) -> None:
        self.node = node
        self.real: Measured = node.ticker._measured

    def ready(self, epoch: int) -> bool:
        return self.real.ready(epoch)

    def leaves(self, epoch: int) -> Sequence[Leaf]:
        return self.real.leaves(epoch)

    def epoch_key(self, epoch: int) -> bytes:
        return self.real.epoch_key(epoch)

    def duties(self, epoch: int) -> list[Duty]:
        return duties_of(self.node.duties.ours(), self.node.org, self.node.grid, epoch)


class Copied(Seam):
    """Waits until others have opened the epoch before, and says the same of this one."""

    def __init__(self, node: Node) -> None:
        super().__init__(node)
        self._kept: dict[int, tuple[Leaf, ...]] = {}

    def ready(self, epoch: int) -> bool:
        head, grid = self.node.head, self.node.grid
        patient = head is not None and head.timestamp < grid.end(epoch) + grid.epoch // 2
        return self.real.ready(epoch) and not (patient and len(self._others(epoch - 1)) < _TICK)

    def leaves(self, epoch: int) -> Sequence[Leaf]:
        self.real.leaves(epoch)
        if epoch not in self._kept:
            self._kept[epoch] = tuple(self._copy(epoch))
        return self._kept[epoch]

    def _others(self, epoch: int) -> list[int]:
        """Who has opened an epoch by now."""
        pool = {org for watched in self.node.duties.leases.values() for org in self._seats(watched)}
        opened = (org for org in sorted(pool - {self.node.org}))
        return [org for org in opened if self.node.index._tick(org, epoch + 1) is not None]

    @staticmethod
    def _seats(watched: Any) -> set[int]:
        return {org for seated in watched.committees.values() for org in seated.seats}

    def _copy(self, epoch: int) -> list[Leaf]:
        down: dict[tuple[int, int], int] = {}
        for org in self._others(epoch - 1):
            for key, bits in self.node.index.down(org, epoch - 1).items():
                down[key] = down.get(key, 0) | bits
        every = self.node.grid.all_rounds
        return [Leaf(*duty.key, every, down.get(duty.key, 0)) for duty in self.duties(epoch)]


class Invented(Seam):
    """Writes down, once the epoch is over, that every round of every machine was up, at the right times."""

    def ready(self, epoch: int) -> bool:
        for duty in self.duties(epoch):
            for number in range(self.node.grid.rounds):
                start = self.node.grid.round_start(epoch, number)
                if duty.start <= start and self.node.grid.round_end(epoch, number) <= duty.end:
                    self._write(epoch, duty, number)
        return self.real.ready(epoch)

    def _write(self, epoch: int, duty: Duty, number: int) -> None:
        at = self.node._engine.times.due(duty.key, epoch, number)
        self.node._log.add(
            Measurement(epoch, *duty.key, number, at, int(Outcome.UP), Reason.ANSWERS.value, took=3)
        )


class TwoFaced(EpochLeaves):
    """All that is committed, with two leaves for each machine: up in every round, and down in every round."""

    def __post_init__(self) -> None:
        super().__post_init__()
        up = tuple(Leaf(*leaf.key, leaf.measured, 0, leaf.samples) for leaf in self.leaves)
        down = tuple(
            Leaf(*leaf.key, leaf.measured, leaf.measured, leaf.samples) for leaf in up if leaf.measured
        )
        chunks = tuple(down[at : at + 128] for at in range(0, len(down), 128))
        both = tuple(sorted((*up, *down)))
        set_ = object.__setattr__
        set_(self, "leaves", both)
        set_(self, "chunks", chunks)
        set_(self, "tree", Tree.of(both))
        set_(self, "_trees", tuple(Tree.of(chunk) for chunk in chunks))


# ---- behaviours ----


def _say(node: Node, outcome: Outcome, reason: Reason) -> None:
    node._engine._looks = MadeUp(lambda target, epoch, round_: Look(outcome, reason, ""))  # type: ignore[assignment]


def up(node: Node) -> None:
    _say(node, Outcome.UP, Reason.ANSWERS)


def down(node: Node) -> None:
    _say(node, Outcome.PROVIDER, Reason.SILENT)


def _measure_nothing(node: Node) -> None:
    node._engine.set_targets = lambda targets: None  # type: ignore[method-assign]


def copying(node: Node) -> None:
    _measure_nothing(node)
    node.ticker._measured = Copied(node)


def lazy(node: Node) -> None:
    _measure_nothing(node)
    node.ticker._measured = Invented(node)


def forging(node: Node) -> None:
    def look(target: Target, epoch: int, round_: int) -> Look:
        nonce = keccak(f"{epoch} {round_}".encode())
        digest = guest_digest(*target.key, epoch, round_, node.signer, nonce)
        r_s, v = _MADE_UP.sign_msg_hash(digest).to_bytes()[:64], _MADE_UP.sign_msg_hash(digest).v
        return Look(Outcome.UP, Reason.ANSWERS, "", nonce, r_s + bytes([27 + v]))

    node._engine._looks = MadeUp(look)  # type: ignore[assignment]


def equivocating(node: Node) -> None:
    witness.ticks.EpochLeaves = TwoFaced  # type: ignore[misc]


def silent(node: Node) -> None:
    def look(head: Block) -> Move:
        return Move("wait", due_epoch(head.timestamp, node.grid.epoch), "it says nothing")

    _measure_nothing(node)
    node.ticker.look = look  # type: ignore[method-assign]


def late(node: Node) -> None:
    held: dict[str, Call] = {}
    real, grid = node.ticker.look, node.grid

    def hold(call: Call, intent: str) -> bool:
        held.setdefault(intent, call)
        return True

    def look(head: Block) -> Move:
        move = real(head)
        for intent in list(held):
            epoch = int(intent.split("/")[2])
            if head.timestamp >= grid.end(epoch) + grid.epoch:
                node._ticking.send(held.pop(intent), intent, _LATE_GAS)
        return move

    node.ticker._send = hold
    node.ticker.look = look  # type: ignore[method-assign]


BEHAVIOURS: dict[str, Callable[[Node], None]] = {
    each.__name__: each for each in (up, down, copying, late, silent, equivocating, forging, lazy)
}


def _idle(*_: object) -> None:
    """Does nothing for others."""


class Liar(Node):
    """The real node, with one part replaced."""

    behaviour = ""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self.claims.look = _idle  # type: ignore[method-assign]
        self.proofs.look = _idle  # type: ignore[method-assign]
        BEHAVIOURS[self.behaviour](self)


def main(behaviour: str, configuration: str) -> None:
    """Lie until SIGTERM or SIGINT."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(message)s")
    Liar.behaviour = behaviour
    witness.run.Node = Liar  # type: ignore[misc]
    witness.run.run(load(configuration, {}))


if __name__ == "__main__":
    main(*sys.argv[1:])
