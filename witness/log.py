"""What was measured, for good: an append-only SQLite file that loses no committed sample, not even by kill -9.

A sample counts only once it is committed. Samples wait a moment for each other, so that many share one sync of
the disk. Closing an epoch fixes it: nothing is added to it any more, its leaves and Merkle root are computed once
and kept, so that no restart can make a witness publish two different leaves. Nothing is changed, ever; whole
epochs are dropped when they are older than they have to be kept.

One process at a time: a second one would measure twice. All methods may be called from any thread.
"""

from __future__ import annotations

from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from chain.leaves import Leaf, Sample

__all__ = ["Log", "Measured"]


@dataclass(frozen=True, slots=True)
class Measured:
    """One measurement of one machine, as it is logged.

    `at`: unix milliseconds when it began; `outcome`: 1 up, 2 down (provider), 3 down (buyer), 4 cannot tell.
    `reason`: a word of `attribution.Reason`; `detail`: what was seen, for people. `took`: milliseconds, 0 if none.
    """

    epoch: int
    lease: int
    place: int
    round: int
    at: int
    outcome: int
    reason: str
    nonce: bytes = bytes(32)
    signature: bytes = b""
    took: int = 0
    detail: str = ""


class Log:
    """The log in one file; `Permanent` if another process has it open."""

    def __init__(self, path: Path, *, batch: float = 0.1) -> None:
        raise NotImplementedError

    def add(self, sample: Measured) -> Future[bool]:
        """Have it committed; done with True then. False: that round of the machine, or its epoch, was there already.

        Fails with `chain.disk.DiskTrouble` if the disk refused it: the round has no sample then.
        """
        raise NotImplementedError

    def done(self, epoch: int) -> set[tuple[int, int, int]]:
        """Lease, place and round of all samples of an epoch."""
        raise NotImplementedError

    def measured(self, lease: int, place: int, first_epoch: int, last_epoch: int) -> list[Measured]:
        """All committed samples of a machine in these epochs (both included), in order of time."""
        raise NotImplementedError

    def samples(self, lease: int, place: int, epoch: int) -> list[Sample]:
        """The samples of one leaf by round, as its Merkle root has them: for audits."""
        raise NotImplementedError

    def close(self, epoch: int) -> bytes:
        """Close an epoch and compute its leaves; returns the Merkle root over all of them (`leaves.Tree`).

        Again: the same. Blocking, seconds with thousands of machines: for a thread. Zero bytes without leaves.
        """
        raise NotImplementedError

    def root(self, epoch: int) -> bytes | None:
        """The root of a closed epoch; None while it is open."""
        raise NotImplementedError

    def leaves(self, epoch: int, *, down: bool = False) -> list[Leaf]:
        """All leaves of a closed epoch by lease and place; `down`: only those with a down round, to publish."""
        raise NotImplementedError

    def prune(self, samples_before: int, leaves_before: int) -> int:
        """Drop the samples, and the leaves, of epochs before these; how many rows went."""
        raise NotImplementedError

    def stop(self) -> None:
        """Commit what waits, and close the file."""
        raise NotImplementedError
