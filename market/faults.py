"""Whose fault it is that a machine was seen down: provider, buyer, path, or nobody (W8, W10, X8).

What is told here follows from what is public alone: the leaves that count, the recorded power-off, the
verdict's rules. A round that a quorum calls down is the provider's, unless the power was off at the buyer's
recorded wish. A round that only some witnesses call down is put down to the path: what is between them and
the machine differs, the machine does not. This module must not decide about money: `market.verdicts` does.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from market.leases import EndReason, Fault, fault_of
from market.rounds import LEAST_ROUNDS, Grid, rounds_of
from market.verdicts import Judgement
from market.windows import Window

__all__ = ["END_EVIDENCE", "Attribution", "Seen", "attribute", "end_sentence", "ranges"]


@dataclass(frozen=True, slots=True)
class Seen:
    """What the leaves of one epoch that count say of a machine.

    `down`: the bitmap of each seat that could say something (0: it called nothing down); `seats` and `quorum`
    are the committee's.
    """

    down: tuple[int, ...]
    seats: int
    quorum: int

    @property
    def enough(self) -> bool:
        """Whether so many could say something that a quorum was possible; never without a committee."""
        return 0 < self.quorum <= len(self.down)

    def minority(self) -> dict[int, int]:
        """The rounds that some, but no quorum, call down: how many do, by round."""
        every = 0
        for bits in self.down:
            every |= bits
        counts = {index: sum(bits >> index & 1 for bits in self.down) for index in rounds_of(every)}
        return {index: count for index, count in counts.items() if count < self.quorum}


@dataclass(frozen=True, slots=True)
class Attribution:
    """Whose fault it is, in rounds of a span, and in sentences.

    `counted` and `forgiven` rounds a quorum calls down, `suspended` those in which power was off at the
    buyer's recorded wish, `path` those a minority calls down. `silent`: epochs in which too few witnesses
    published for any quorum. `fault` is the one that weighs most: provider before buyer before path.
    """

    counted: int
    forgiven: int
    suspended: int
    path: int
    silent: tuple[int, ...]
    judged: int
    fault: Fault
    why: tuple[str, ...]

    @property
    def undetermined(self) -> bool:
        """Whether nothing is found: too few rounds, or too few witnesses published to find anything."""
        return self.judged < LEAST_ROUNDS or bool(self.silent and not self.counted and not self.forgiven)


def attribute(
    grid: Grid,
    window: Window,
    judgement: Judgement,
    seen: Mapping[int, Seen],
    suspended: Sequence[Sequence[int]] = (),
) -> Attribution:
    """Say whose fault what was seen in a span is.

    `judgement` is that of all leaves (or the chain's own), `seen` what they say by epoch, `suspended` the
    recorded times without power.
    """
    off = path = 0
    lines: list[str] = []
    silent: list[int] = []
    for epoch in judgement.span.epochs:
        whole = grid.whole(epoch, window)
        power = whole & grid.touched(epoch, suspended)
        off += power.bit_count()
        said = seen.get(epoch)
        if said is None or not said.enough:
            silent.append(epoch)
            if said is not None:
                lines.append(_silent_line(epoch, said))
            continue
        found = {index: count for index, count in said.minority().items() if (whole & ~power) >> index & 1}
        path += len(found)
        lines += _path_lines(epoch, found, said)
    total = sum(bits.bit_count() for bits in judgement.down)
    forgiven = total - judgement.counted if judgement.determined else 0
    first: list[str] = []
    if judgement.counted:
        first.append(f"provider: a quorum saw it down in {_rounds(judgement)}, {judgement.counted} count")
    elif forgiven:
        first.append(
            f"provider: a quorum saw it down in {_rounds(judgement)}, all forgiven: restored in time"
        )
    if off:
        first.append(f"buyer: it was off at the buyer's recorded wish in {off} rounds, which do not count")
    if not judgement.determined:
        lines.append(f"undetermined: {judgement.judged} rounds are judged, {LEAST_ROUNDS} are needed")
    return Attribution(
        judgement.counted,
        forgiven,
        off,
        path,
        tuple(silent),
        judgement.judged,
        _heaviest(total if judgement.determined else 0, off, path),
        (*first, *lines),
    )


def _heaviest(down: int, off: int, path: int) -> Fault:
    if down:
        return Fault.PROVIDER
    if off:
        return Fault.BUYER
    return Fault.PATH if path else Fault.NOBODY


def _silent_line(epoch: int, said: Seen) -> str:
    have, of = len(said.down), said.seats
    if not said.quorum:
        return f"undetermined: nobody witnessed epoch {epoch}"
    return f"undetermined: {have} of {of} witnesses published epoch {epoch}, {said.quorum} are needed"


def _path_lines(epoch: int, found: Mapping[int, int], said: Seen) -> Iterable[str]:
    """One line for each number of witnesses that saw it down."""
    for count in sorted(set(found.values()), reverse=True):
        rounds = [index for index, seats in found.items() if seats == count]
        yield (
            f"path: {count} of {said.seats} witnesses saw it down in {ranges(rounds)} of epoch {epoch}, "
            f"a quorum of {said.quorum} did not"
        )


def _rounds(judgement: Judgement) -> str:
    parts = [
        f"{ranges(rounds_of(bits))} of epoch {epoch}"
        for epoch, bits in zip(judgement.span.epochs, judgement.down, strict=True)
        if bits
    ]
    return " and ".join(parts)


def ranges(rounds: Iterable[int], word: str = "round") -> str:
    """Rounds (or what `word` says) for people: `round 4`, `rounds 4-9, 12`."""
    ordered = sorted(rounds)
    parts: list[str] = []
    first = last = -2
    for index in [*ordered, -9]:
        if index == last + 1:
            last = index
            continue
        if last >= 0:
            parts.append(f"{first}" if first == last else f"{first}-{last}")
        first = last = index
    return f"{word}{'s' * (len(ordered) != 1)} {', '.join(parts)}"


END_EVIDENCE = {
    EndReason.NONE: "it has not ended",
    EndReason.TIME: "the window in the lease",
    EndReason.BUYER_EARLY: "the buyer's own transaction",
    EndReason.REJECTED: "the buyer's own transaction, before anything counted as accepted",
    EndReason.CANCELLED: "the buyer's own transaction, before anything was delivered",
    EndReason.BUYER_UNSIGNED: "no signature of the buyer in time",
    EndReason.PROVIDER_UNSIGNED: "no signature of the provider in time",
    EndReason.UNDELIVERED: "no delivery of the provider in time",
    EndReason.UNPROVEN: "no acceptance of the buyer and no proof of the committee in time",
    EndReason.BREACH: "final verdicts in a row, from leaves a quorum published",
    EndReason.RECLAIMED: "the provider's own transaction, after its notice",
    EndReason.PARTNER: "the end of another lease of the same award",
}
"""What shows that a lease ended for that reason."""


def end_sentence(reason: EndReason, fault: Fault | None = None) -> str:
    """Whose fault an end is, and by what evidence: `provider (no delivery of the provider in time)`."""
    whose = fault_of(reason) if fault is None else fault
    return f"{whose.name.lower()} ({END_EVIDENCE[reason]})"
