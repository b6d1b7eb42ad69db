"""Epochs, their rounds, and which of them are judged together: the geometry of availability (rules W3 to W6).

Epoch `e` is `[e * epoch, (e + 1) * epoch)` in unix seconds; its rounds are equal parts of it, and a set of
rounds is a bitmap: bit i is round i. What is judged is a *span*: one epoch as a rule; a first or last epoch
with fewer than ten whole rounds of the lease joins its neighbour. From two epochs after its end a span is
open for one: to claims for the first three quarters of it, to appeals for all; from then on it is final.

The twin of contracts/libraries/Rounds.sol. This module has no clock: whoever needs "now" passes it in.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from market.errors import InvalidInput
from market.windows import Window

__all__ = [
    "CLAIM_AFTER",
    "CLAIM_FOR",
    "LEAST_ROUNDS",
    "MAX_ROUNDS",
    "TERM",
    "Grid",
    "Span",
    "agreed",
    "places_of",
    "rounds_of",
]

MAX_ROUNDS = 256
"""The most rounds in an epoch: they have to fit into one word."""

LEAST_ROUNDS = 10
"""A span with fewer rounds to judge is undetermined."""

CLAIM_AFTER = 2
"""Epochs after the end of a span until claims on it are open."""

CLAIM_FOR = 1
"""Epochs from then on until the span is final: claims for three quarters, appeals for all of it."""

TERM = 24
"""Epochs a committee serves."""


@dataclass(frozen=True, slots=True, order=True)
class Span:
    """The epochs `first` to `last`, both included, that are judged together; named by its last."""

    first: int
    last: int

    def __contains__(self, epoch: int) -> bool:
        return self.first <= epoch <= self.last

    @property
    def epochs(self) -> range:
        """Its epochs, in order."""
        return range(self.first, self.last + 1)


@dataclass(frozen=True, slots=True)
class Grid:
    """How time is cut: epochs of `epoch` seconds, each of `rounds` rounds (1 to 256)."""

    epoch: int
    rounds: int

    def __post_init__(self) -> None:
        """Refuse a grid whose rounds would be shorter than a second or do not fit into a word."""
        if not 1 <= self.rounds <= min(MAX_ROUNDS, self.epoch):
            raise InvalidInput(
                f"an epoch of {self.epoch} s cannot have {self.rounds} rounds",
                hint="Give 1 to 256 rounds of at least a second",
                epoch=self.epoch,
                rounds=self.rounds,
            )

    # ---- one epoch, one round ----

    def epoch_of(self, time: int) -> int:
        """The epoch that a second lies in."""
        return time // self.epoch

    def start(self, epoch: int) -> int:
        """Its first second."""
        return epoch * self.epoch

    def end(self, epoch: int) -> int:
        """The first second after it."""
        return (epoch + 1) * self.epoch

    def round_of(self, time: int) -> tuple[int, int]:
        """Epoch and round that a second lies in."""
        epoch, inside = divmod(time, self.epoch)
        return epoch, ((inside + 1) * self.rounds - 1) // self.epoch

    def round_start(self, epoch: int, index: int) -> int:
        """First second of a round; of `rounds` itself, the end of the epoch."""
        return epoch * self.epoch + index * self.epoch // self.rounds

    def round_end(self, epoch: int, index: int) -> int:
        """The first second after a round."""
        return self.round_start(epoch, index + 1)

    @property
    def round_ms(self) -> int:
        """The length of a round in milliseconds, rounded down: what secret offsets are drawn from."""
        return self.epoch * 1000 // self.rounds

    @property
    def all_rounds(self) -> int:
        """The bitmap with every round of an epoch."""
        return (1 << self.rounds) - 1

    # ---- bitmaps of one epoch ----

    def whole(self, epoch: int, window: Window) -> int:
        """The rounds that lie inside the window from first to last second."""
        return _bits(self._begun(epoch, window.start), self._ended(epoch, window.end))

    def touched(self, epoch: int, times: Iterable[Sequence[int]]) -> int:
        """The rounds that share at least a second with one of the half-open times `(from, until)`."""
        bits = 0
        for begin, stop in times:
            if begin < stop:
                bits |= _bits(self._ended(epoch, begin), self._begun(epoch, stop))
        return bits

    def before(self, epoch: int, second: int) -> int:
        """The rounds whose first second is before that one: those that grace until then forgives."""
        return _bits(0, self._begun(epoch, second))

    def _begun(self, epoch: int, second: int) -> int:
        """How many rounds begin before that second."""
        inside = min(max(second - self.start(epoch), 0), self.epoch)
        return -(-inside * self.rounds // self.epoch)

    def _ended(self, epoch: int, second: int) -> int:
        """How many rounds have ended at that second."""
        inside = second - self.start(epoch)
        if inside <= 0:
            return 0
        return self.rounds if inside >= self.epoch else -(-(inside + 1) * self.rounds // self.epoch) - 1

    # ---- spans ----

    def epochs_of(self, window: Window) -> Span:
        """First and last epoch that the window touches."""
        return Span(self.epoch_of(window.start), self.epoch_of(window.end - 1))

    def span_of(self, epoch: int, window: Window) -> Span:
        """The span that an epoch belongs to, for a lease that bills in `window`.

        Every epoch of a window has exactly one span, the same for all of its epochs. InvalidInput for an
        epoch the window does not touch.
        """
        all_ = self.epochs_of(window)
        if epoch not in all_:
            raise InvalidInput(
                f"the lease does not bill in epoch {epoch}",
                hint=f"Its epochs are {all_.first} to {all_.last}",
                epoch=epoch,
            )
        if all_.first == all_.last:
            return all_
        low = high = epoch
        second, short_start = all_.first + 1, self._short(all_.first, window)
        if short_start and epoch <= second:
            low, high = all_.first, second
        if high >= all_.last - 1 and self._short(all_.last, window):
            low, high = min(low, all_.last - 1), all_.last
            if short_start and low == second:
                low = all_.first
        return Span(low, high)

    def spans(self, window: Window) -> Iterator[Span]:
        """All spans of a lease, in order."""
        all_ = self.epochs_of(window)
        epoch = all_.first
        while epoch <= all_.last:
            span = self.span_of(epoch, window)
            yield span
            epoch = span.last + 1

    def whole_in(self, span: Span, window: Window) -> int:
        """How many whole rounds of the lease the span has."""
        return sum(self.whole(epoch, window).bit_count() for epoch in span.epochs)

    def _short(self, epoch: int, window: Window) -> bool:
        return self.whole(epoch, window).bit_count() < LEAST_ROUNDS

    # ---- when ----

    def tick_window(self, epoch: int) -> Window:
        """When the tick of an epoch is accepted (and with it the opening of the epoch before)."""
        return Window(self.end(epoch), self.end(epoch + 1))

    def publish_window(self, epoch: int) -> Window:
        """When the leaves of an epoch are published: with the tick of the next one."""
        return self.tick_window(epoch + 1)

    def claim_window(self, span: Span) -> Window:
        """When claims on a span are open: for three quarters of the time in which it can be appealed, so that
        there is time to answer the last one."""
        appeals = self.appeal_window(span)
        return Window(appeals.start, appeals.end - self.epoch // 4)

    def appeal_window(self, span: Span) -> Window:
        """When a span can be appealed; it is final at the end of this."""
        opens = self.end(span.last) + CLAIM_AFTER * self.epoch
        return Window(opens, opens + CLAIM_FOR * self.epoch)

    def is_final(self, span: Span, now: int) -> bool:
        """Whether the span can be neither claimed on nor appealed any more."""
        return now >= self.appeal_window(span).end

    def final_until(self, window: Window, now: int) -> int:
        """Up to which second of the window all is final: what may be drawn (E5)."""
        all_ = self.epochs_of(window)
        final = self.epoch_of(now) - CLAIM_AFTER - CLAIM_FOR  # the first epoch that is not final by itself
        if final > all_.last:
            return window.end
        if final > all_.first:
            span = self.span_of(final - 1, window)
            if span.last >= final:
                final = span.first
        return window.start if final <= all_.first else self.start(final)

    def term_of(self, epoch: int, signed_at: int) -> int:
        """The committee's term (from 0) that an epoch belongs to; InvalidInput before the signing."""
        first = self.epoch_of(signed_at)
        if not signed_at or epoch < first:
            raise InvalidInput(f"epoch {epoch} is before the lease was signed", epoch=epoch)
        return (epoch - first) // TERM

    def term(self, number: int, signed_at: int) -> Span:
        """First and last epoch of a term."""
        first = self.epoch_of(signed_at) + number * TERM
        return Span(first, first + TERM - 1)


def agreed(bitmaps: Sequence[int], quorum: int) -> int:
    """The bits that are set in at least `quorum` of the bitmaps."""
    if quorum <= 0:
        raise InvalidInput("a quorum is at least 1", quorum=quorum)
    at_least = [0] * quorum  # at_least[n]: the bits set in more than n of those seen so far
    for bits in bitmaps:
        for n in range(quorum - 1, 0, -1):
            at_least[n] |= at_least[n - 1] & bits
        at_least[0] |= bits
    return at_least[-1]


def rounds_of(bits: int) -> list[int]:
    """The rounds (or seats, or places) in a bitmap, in order."""
    return [index for index in range(bits.bit_length()) if bits >> index & 1]


def places_of(indices: Iterable[int]) -> int:
    """The bitmap of these rounds (or seats, or places)."""
    bits = 0
    for index in indices:
        bits |= 1 << index
    return bits


def _bits(low: int, high: int) -> int:
    """The bits `low` to `high - 1`."""
    return (1 << high) - (1 << low) if low < high else 0
