"""What a lease with a committee wants from its provider beside the steps: lots drawn, and final money drawn.

Pure like `provisioner.agent.steps`: from the chain's facts and the time to what is due, each safe to repeat,
and each something that anyone may do. So nobody who is missing can hold it up for long, and whoever comes
second is refused without cost. This module has no clock, contacts nothing and remembers nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from market.leases import Committee, LeaseFacts, LeaseState, state

__all__ = ["DrawFinal", "DrawLots", "Errand", "Later", "errands", "running_term"]

_LIVE = (LeaseState.SIGNED, LeaseState.DELIVERED, LeaseState.ACTIVE)


@dataclass(frozen=True, slots=True)
class DrawLots:
    """Have the committee of a term drawn (W2)."""

    term: int


@dataclass(frozen=True, slots=True)
class DrawFinal:
    """Draw the price up to a second that no verdict can reach any more (E5)."""

    until: int


@dataclass(frozen=True, slots=True)
class Later:
    """There will be something to do at a chain time."""

    at: int


Errand = DrawLots | DrawFinal | Later


def running_term(facts: LeaseFacts, now: int) -> int | None:
    """The term whose committee measures the lease now; None if it has, or may have, none."""
    wanted = facts.committee in (Committee.AWAITED, Committee.DRAWN)
    if facts.grid is None or not wanted or state(facts, now) not in _LIVE:
        return None
    return facts.grid.term_of(facts.grid.epoch_of(now), facts.signed_at)


def errands(
    facts: LeaseFacts, now: int, *, is_drawn: Callable[[int], bool], drawn_until: int, patience: int
) -> Iterator[Errand]:
    """What is due at chain time `now`.

    `is_drawn`: whether a term's committee is drawn. `drawn_until`: up to which second the price was drawn.
    `patience`: seconds for which others may be quicker, so that not all who may do it come at once.
    """
    term = running_term(facts, now)
    if term is None or facts.grid is None:
        return
    begins = facts.grid.start(facts.grid.term(term, facts.signed_at).first)
    due = max(begins, facts.signed_at) + patience
    drawn = facts.committee is Committee.DRAWN and (term == 0 or is_drawn(term))
    if not drawn:
        yield DrawLots(term) if now >= due else Later(due)
    elif facts.grid.end(facts.grid.term(term, facts.signed_at).last) < facts.effective_end:
        yield Later(facts.grid.end(facts.grid.term(term, facts.signed_at).last) + patience)
    if facts.committee is Committee.DRAWN and state(facts, now) is LeaseState.ACTIVE:
        final = facts.final_until(now)
        if max(facts.counts_from, drawn_until) < final < facts.effective_end:
            yield DrawFinal(final)
        yield Later(facts.grid.end(facts.grid.epoch_of(now)))
