"""What rounds that a quorum calls down mean: availability, tiers, grace, streaks, breach (W5 to W9).

`judge` is pure and gives to the digit what the contract `Verdicts` gives for the same leaves; with every
judgement it says in words why. Bitmaps: bit i is round i of an epoch. Shares are parts per million.

This module has no clock, measures nothing, and moves no money.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Final, Literal

from market.errors import InvalidInput
from market.rounds import LEAST_ROUNDS, TERM, Grid, Span
from market.windows import Window

__all__ = [
    "FAULTS",
    "MAX_TIERS",
    "PPM",
    "FaultWord",
    "Judgement",
    "Ledger",
    "Record",
    "Sla",
    "Tier",
    "availability_ppm",
    "judge",
    "judge_rounds",
    "penalty_down",
]

PPM: Final = 1_000_000
MAX_TIERS: Final = 4
_STREAK_MAX: Final = 255

FaultWord = Literal["provider", "buyer", "path"]
FAULTS: Final[dict[FaultWord, str]] = {
    "provider": "the machine or what carries it failed: it counts as down",
    "buyer": "the machine runs, what the buyer does on it does not answer: it counts as up",
    "path": "the witness could not tell: its own way there was cut, so the round is not measured",
}
"""Whose fault a failed measurement is, and what that does to the round (W10)."""


@dataclass(frozen=True, slots=True)
class Tier:
    """Availability below `below_ppm` costs `penalty_ppm` of a span's price.

    `breach_after` so many spans below it in a row the buyer may end (0: never).
    """

    below_ppm: int
    penalty_ppm: int
    breach_after: int = 0


@dataclass(frozen=True, slots=True)
class Sla:
    """One to four tiers from the mildest to the worst.

    `guest`: only an answer of the responder in the guest counts as up (W10).
    """

    tiers: tuple[Tier, ...]
    guest: bool = False

    def __post_init__(self) -> None:
        """Refuse what the contract refuses (Verdicts_BadTiers)."""
        if not 1 <= len(self.tiers) <= MAX_TIERS:
            raise InvalidInput(f"an SLA has 1 to {MAX_TIERS} tiers", tiers=len(self.tiers))
        for tier in self.tiers:
            if not (0 < tier.below_ppm <= PPM and 0 < tier.penalty_ppm <= PPM):
                raise InvalidInput("availability and penalty of a tier are shares above 0, at most 1")
            if not 0 <= tier.breach_after <= _STREAK_MAX:
                raise InvalidInput(f"a breach comes after 1 to {_STREAK_MAX} spans, or 0 for never")
        for mild, bad in pairwise(self.tiers):
            if bad.below_ppm >= mild.below_ppm or bad.penalty_ppm <= mild.penalty_ppm:
                raise InvalidInput(
                    "each tier must be for worse availability and cost more",
                    hint="Order them from the mildest to the worst",
                )


@dataclass(frozen=True, slots=True)
class Record:
    """The running judgement of one machine (IVerdicts.Record); `streaks` holds 8 bits for each tier.

    `last` names the span judged last and `ppm` is its penalty, `grace_until` unix seconds, `breached` the
    span with which a breach was reached (0: none).
    """

    last: int = 0
    ppm: int = 0
    grace_until: int = 0
    streaks: int = 0
    breached: int = 0

    def streak(self, tier: int) -> int:
        """Spans in a row below that tier, up to the span judged last."""
        return self.streaks >> 8 * tier & _STREAK_MAX


@dataclass(frozen=True, slots=True)
class Judgement:
    """What a claim comes to.

    `down`: agreed rounds that could count, by epoch of the span, before grace. `judged`: whole rounds without
    suspended ones; below ten nothing is determined. `counted`: the down rounds that count. `tier`: the worst
    that holds. `record`: the record afterwards. `why`: sentences for people.
    """

    span: Span
    down: tuple[int, ...]
    judged: int
    counted: int
    ppm: int
    tier: int | None
    record: Record
    why: tuple[str, ...] = field(default=(), compare=False)

    @property
    def determined(self) -> bool:
        """Whether there were enough rounds to judge."""
        return self.judged >= LEAST_ROUNDS

    @property
    def availability_ppm(self) -> int:
        """Share of the judged rounds that were up, rounded down, for people; tiers compare exactly."""
        return availability_ppm(self.judged, self.counted)


@dataclass(frozen=True, slots=True)
class Ledger:
    """A machine's record, and the one before the span judged last, where each claim on that span starts.

    `overtaken`: spans of breaches under appeal whose place in the record a later one took.
    """

    record: Record = Record()
    before: Record = Record()
    overtaken: frozenset[int] = frozenset()

    def turned(self, span: Span) -> Ledger:
        """With this span as the one judged last, as a first claim on it or an appeal leaves it."""
        if self.record.last == span.last:
            return self
        return replace(
            self, record=replace(self.record, last=span.last, ppm=0, streaks=0), before=self.record
        )

    def base(self, span: Span) -> Record:
        """The record that a claim on this span starts from."""
        ledger = self.turned(span)
        return replace(ledger.before, breached=ledger.record.breached)

    def takes(self, judgement: Judgement) -> bool:
        """Whether the contract takes the claim: it is determined, and worse, or begins grace earlier."""
        if not judgement.determined or judgement.span.last < self.record.last:
            return False
        ledger, new = self.turned(judgement.span), judgement.record
        now, before = ledger.record.grace_until, ledger.before.grace_until
        earlier = new.grace_until != before and (now == before or new.grace_until < now)
        return judgement.ppm > ledger.record.ppm or (judgement.ppm == ledger.record.ppm and earlier)

    def after(self, judgement: Judgement) -> Ledger:
        """With that judgement in it."""
        breached, overtaken = self.record.breached, self.overtaken
        if breached and breached != judgement.record.breached:
            overtaken |= {breached}
        return Ledger(judgement.record, self.turned(judgement.span).before, overtaken)

    def appeal_closed(self, span_last: int, sla: Sla, *, upheld: bool, breach_appealed: bool) -> Ledger:
        """After the provider's appeal against that span was closed.

        Upheld, the span counts in no streak (`without`). Dismissed or lapsed, a breach that a later one
        overtook is back, unless the recorded one is not under appeal itself (`breach_appealed`).
        """
        if upheld:
            return self.without(span_last, sla)
        if span_last not in self.overtaken or (self.record.breached and not breach_appealed):
            return self
        return replace(self, record=replace(self.record, breached=span_last))

    def without(self, span_last: int, sla: Sla) -> Ledger:
        """After the council upheld the provider's appeal against that span: it was below no tier.

        A streak is at most what came since. A breach that was found since and may have needed the span is
        none, unless the streaks that are left make one.
        """
        record, before = self.record, self.before
        since = record.last - span_last
        if since:
            before = replace(before, streaks=_at_most(before.streaks, since - 1))
        record = replace(record, streaks=_at_most(record.streaks, since))
        most = max(tier.breach_after for tier in sla.tiers)
        if 0 <= record.breached - span_last < most:
            left = any(
                tier.breach_after and record.streak(index) >= tier.breach_after
                for index, tier in enumerate(sla.tiers)
            )
            record = replace(record, breached=record.last if left else 0)
        gone = {last for last in self.overtaken if 0 < last - span_last < most}
        return Ledger(record, before, self.overtaken - gone)


def judge(
    grid: Grid,
    window: Window,
    span: Span,
    down: Mapping[int, int],
    sla: Sla,
    record: Record,
    *,
    restore_time: int,
    suspended: Sequence[Sequence[int]] = (),
    breach_appealed: bool = False,
) -> Judgement:
    """Judge one machine over one span.

    `window` is what of the lease bills, `down` the rounds that a quorum agreed on, by epoch (missing: none),
    `record` the machine's before this span (`Ledger.base`), `suspended` half-open times `(from, until)` that
    do not count (W8). `restore_time` in seconds (W7). `breach_appealed`: the provider's appeal against the
    span of `record.breached` is open, so that a later breach takes its place.
    """
    why: list[str] = []
    masks = [grid.whole(epoch, window) & ~grid.touched(epoch, suspended) for epoch in span.epochs]
    agreed = tuple(down.get(epoch, 0) & mask for epoch, mask in zip(span.epochs, masks, strict=True))
    judged = sum(mask.bit_count() for mask in masks)
    whole = grid.whole_in(span, window)
    why.append(f"{whole} whole rounds of the lease in {_named(span)}")
    if judged < whole:
        why.append(f"{whole - judged} of them do not count: the machine was off at the buyer's wish")
    if judged < LEAST_ROUNDS:
        why.append(f"fewer than {LEAST_ROUNDS} rounds are left: nothing is determined")
        return Judgement(span, agreed, judged, 0, 0, None, record, tuple(why))
    found = judge_rounds(
        grid, span, agreed, judged, sla, record, restore_time=restore_time, breach_appealed=breach_appealed
    )
    return replace(found, why=(*why, *found.why))


def judge_rounds(
    grid: Grid,
    span: Span,
    agreed: Sequence[int],
    judged: int,
    sla: Sla,
    record: Record,
    *,
    restore_time: int,
    breach_appealed: bool = False,
) -> Judgement:
    """The same once it is clear which rounds are judged: `judged` many, of which `agreed` are down, by epoch.

    So that a verdict can be worked out again from what the chain says of it (event `VerdictGiven`).
    """
    why: list[str] = []
    grace = _grace(grid, span, agreed, record, restore_time)
    forgiven = sum(
        (bits & grid.before(epoch, grace)).bit_count()
        for epoch, bits in zip(span.epochs, agreed, strict=True)
    )
    total = sum(bits.bit_count() for bits in agreed)
    why.append(f"a quorum calls {total} of {judged} down")
    if forgiven:
        why.append(f"{forgiven} of them are forgiven: they begin within {restore_time} s of the first")
    counted = total - forgiven
    record = replace(record, grace_until=grace)
    return _verdict(span, tuple(agreed), judged, counted, sla, record, breach_appealed, why)


def _grace(grid: Grid, span: Span, agreed: Sequence[int], record: Record, restore_time: int) -> int:
    """Until when down rounds are forgiven: once in 24 epochs, from the first agreed one (W7)."""
    running = record.grace_until
    if running and span.first < grid.epoch_of(running - restore_time) + TERM:
        return running
    for epoch, bits in zip(span.epochs, agreed, strict=True):
        if bits:
            first = (bits & -bits).bit_length() - 1
            return grid.round_start(epoch, first) + restore_time
    return running


def _verdict(
    span: Span,
    agreed: tuple[int, ...],
    judged: int,
    counted: int,
    sla: Sla,
    record: Record,
    breach_appealed: bool,
    why: list[str],
) -> Judgement:
    """Tiers, streaks and breach, once it is clear what counts."""
    holds = [(judged - counted) * PPM < tier.below_ppm * judged for tier in sla.tiers]
    worst = max((index for index, held in enumerate(holds) if held), default=None)
    ppm = 0 if worst is None else sla.tiers[worst].penalty_ppm
    follows = record.last != 0 and span.first == record.last + 1
    streaks, breached = 0, record.breached
    open_ = breached == 0 or (breach_appealed and breached != span.last)
    for index, (tier, held) in enumerate(zip(sla.tiers, holds, strict=True)):
        streak = min((record.streak(index) if follows else 0) + 1, _STREAK_MAX) if held else 0
        streaks |= streak << 8 * index
        if held and tier.breach_after and streak >= tier.breach_after and open_:
            breached = span.last
            why.append(f"{streak} in a row below {_share(tier.below_ppm)}: the buyer may end for breach")
    text = f"{judged - counted} of {judged} rounds up, {_share(availability_ppm(judged, counted))}"
    if worst is None:
        why.append(f"{text}: no penalty")
    else:
        below = _share(sla.tiers[worst].below_ppm)
        why.append(f"{text}, below {below}: {_share(ppm)} of the price go back to the buyer")
    after = Record(span.last, ppm, record.grace_until, streaks, breached)
    return Judgement(span, agreed, judged, counted, ppm, worst, after, tuple(why))


def _at_most(streaks: int, most: int) -> int:
    """Streaks, none above a number."""
    cut = 0
    for index in range(MAX_TIERS):
        cut |= min(streaks >> 8 * index & _STREAK_MAX, most) << 8 * index
    return cut


def availability_ppm(judged: int, counted: int) -> int:
    """Share of the judged rounds that were up, rounded down."""
    return (judged - counted) * PPM // judged if judged else 0


def penalty_down(price: int, ppm: int) -> int:
    """A penalty in microcredits, `price` being what one machine costs over the span."""
    return price * ppm // PPM


def _share(ppm: int) -> str:
    """Parts per million as a percentage without needless zeros."""
    text = f"{ppm / 10_000:.4f}".rstrip("0").rstrip(".")
    return f"{text} %"


def _named(span: Span) -> str:
    return f"epoch {span.last}" if span.first == span.last else f"epochs {span.first} to {span.last}"
