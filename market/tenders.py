"""Who wins a sealed tender, what the winners are paid, who gets the forfeits (rules A6 to A8).

The contract decides; this is the same judgement in pure Python, for agents that want to foresee it, for the
CLI that explains it, and for tests that compare the two.

This module must not decide whether a bid is valid (that is the reveal's duty, A5): it is given valid ones.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass

from market.billing import buyers_half, price
from market.errors import InvalidInput

__all__ = [
    "ANYHOW",
    "Award",
    "Bid",
    "ForfeitSplit",
    "Together",
    "Win",
    "award",
    "clearing_rate",
    "fund",
    "keep_best",
    "rank",
    "select",
    "split_forfeits",
]

KEPT_BIDS = 32
"""How many revealed bids a tender keeps (A7)."""

VICKREY_BIDDERS = 3
"""How many unaffiliated bidders Vickrey pricing needs (A8)."""


@dataclass(frozen=True, slots=True)
class Bid:
    """A revealed valid bid: `count` resources at `rate` microcredits per resource and hour.

    `commitment` is the 32-byte commitment read as a number, unique in its tender; `group` is the bidder's
    affiliation group, 0 for none. `site` names where the resources are, `start` is the slot they begin in.
    """

    bidder: int
    rate: int
    count: int
    commitment: int
    group: int = 0
    site: bytes = b""
    start: int = 0

    def __post_init__(self) -> None:
        """Refuse a bid for nothing or for less than nothing."""
        if self.rate < 0 or self.count <= 0 or self.commitment < 0:
            raise InvalidInput("a bid needs a rate, resources and a commitment", hint="give none below zero")


@dataclass(frozen=True, slots=True)
class Together:
    """What a request asks of its award as a whole: one site, one start, one resource of each bidder."""

    same_site: bool = False
    same_start: bool = False
    distinct: bool = False

    def group_of(self, bid: Bid) -> tuple[object, ...]:
        """Bids with different ones are never awarded together."""
        return (bid.site if self.same_site else b"", bid.start if self.same_start else 0)


ANYHOW = Together()
"""Nothing is asked of the award as a whole."""


@dataclass(frozen=True, slots=True)
class Win:
    """A bid that is awarded, for `count` of its resources (the last one may be cut)."""

    bid: Bid
    count: int


@dataclass(frozen=True, slots=True)
class Award:
    """A tender's outcome: the wins in rank order, and what each is paid per resource and hour.

    `skipped` are the bids passed over on the way, for want of cover or of a slot (C1).
    """

    wins: tuple[Win, ...]
    rates: tuple[int, ...]
    skipped: tuple[Bid, ...] = ()


@dataclass(frozen=True, slots=True)
class ForfeitSplit:
    """Forfeited deposits in microcredits: `share` to each sharer, `remainder` to the council's fund."""

    share: int
    remainder: int


def fund(
    ceiling: int, count: int, start: int, end: int, now: int, fee: int = 0, length: int | None = None
) -> int:
    """What a tender posted `now` locks of its buyer, in microcredits (A3, C2).

    For each resource its price at the ceiling, rounded up by itself, and, as each may become a lease of its
    own, the buyer's half of a lease's witness fees (`fee`: both halves; 0 without an SLA). `length`: how many
    seconds of the window each is needed, by default all. The award returns the excess.
    """
    whole = price(ceiling, 1, start, end, now)
    piece = whole if length is None else min(whole, price(ceiling, 1, 0, length, 0))
    return count * (piece + buyers_half(fee))


def rank(bids: Iterable[Bid]) -> list[Bid]:
    """The bids from best to worst: lower rate first, then the earlier commitment (A7)."""
    ranked = sorted(bids, key=lambda bid: (bid.rate, bid.commitment))
    if len({bid.commitment for bid in ranked}) != len(ranked):
        raise InvalidInput("two bids share one commitment", hint="give each revealed bid once")
    return ranked


def keep_best(bids: Iterable[Bid], limit: int = KEPT_BIDS) -> list[Bid]:
    """What the contract keeps of many revealed bids: the best `limit` (A7)."""
    return rank(bids)[:limit]


def select(
    bids: Iterable[Bid],
    count: int,
    all_or_nothing: bool,
    unavailable: Collection[int] = (),
    together: Together = ANYHOW,
) -> tuple[Win, ...]:
    """The wins that fill `count`, the last cut to what is missing (A7); none if all-or-nothing falls short.

    `unavailable` names the commitments that opening would skip, for want of cover or of a slot (C1).
    """
    wins, _, missing = _walk(bids, count, unavailable, together)
    return () if all_or_nothing and missing else wins


def _walk(
    bids: Iterable[Bid], count: int, unavailable: Collection[int], together: Together
) -> tuple[tuple[Win, ...], tuple[Bid, ...], int]:
    """Wins of the best group in rank order, bids that were skipped, resources still missing.

    A skipped bid may make another group the best; each is skipped only when the award comes to it.
    """
    if count <= 0:
        raise InvalidInput(f"a tender for {count} resources is none", hint="ask for at least 1")
    left, skipped = rank(bids), list[Bid]()
    while True:
        wins, unable = _try(_best_group(left, count, together), count, unavailable, together)
        if unable is None:
            return wins, tuple(skipped), count - sum(win.count for win in wins)
        skipped.append(unable)
        left = [bid for bid in left if bid is not unable]


def _best_group(ranked: Iterable[Bid], count: int, together: Together) -> list[Bid]:
    """The bids of the group that fills most of the count, then is the cheapest, then has the first bid."""
    groups: dict[tuple[object, ...], list[Bid]] = {}
    for bid in ranked:
        groups.setdefault(together.group_of(bid), []).append(bid)

    def worth(group: list[Bid]) -> tuple[int, int]:
        wins, _ = _try(group, count, (), together)
        return sum(win.count for win in wins), -sum(win.count * win.bid.rate for win in wins)

    return max(groups.values(), key=worth, default=[])


def _try(
    group: Iterable[Bid], count: int, unavailable: Collection[int], together: Together
) -> tuple[tuple[Win, ...], Bid | None]:
    """What fills the count from the first bid on; and the first bid on the way that cannot be opened."""
    wins: list[Win] = []
    for bid in group:
        if not count:
            break
        if bid.commitment in unavailable:
            return tuple(wins), bid
        wins.append(Win(bid, min(1 if together.distinct else bid.count, count)))
        count -= wins[-1].count
    return tuple(wins), None


def clearing_rate(
    bids: Iterable[Bid],
    wins: Collection[Win],
    ceiling: int,
    skipped: Iterable[Bid] = (),
    together: Together = ANYHOW,
) -> int | None:
    """The one rate Vickrey pays all winners (A8), or None where first price applies.

    Vickrey needs three unaffiliated bidders with valid bids. The rate is the lowest not awarded, leaving out
    the bids the award had to skip and those that could not have been in this award; without any such bid it
    is the ceiling rate. A bid that was cut is awarded; one that the award did not come to counts, whether or
    not it could still have been opened.
    """
    ranked = rank(bids)
    if _unaffiliated(ranked) < VICKREY_BIDDERS:
        return None
    out = {win.bid.commitment for win in wins} | {bid.commitment for bid in skipped}
    groups = {together.group_of(win.bid) for win in wins}
    losers = (bid for bid in ranked if bid.commitment not in out and together.group_of(bid) in groups)
    return next((bid.rate for bid in losers), ceiling)


def _unaffiliated(bids: Iterable[Bid]) -> int:
    """How many bidders there are, those of one affiliation group counted once."""
    return len({("group", bid.group) if bid.group else ("bidder", bid.bidder) for bid in bids})


def award(
    bids: Collection[Bid],
    count: int,
    *,
    all_or_nothing: bool,
    vickrey: bool,
    ceiling: int,
    unavailable: Collection[int] = (),
    together: Together = ANYHOW,
) -> Award:
    """The whole outcome of a tender at a ceiling rate; a bid above the ceiling is InvalidInput."""
    if any(bid.rate > ceiling for bid in bids):
        raise InvalidInput(
            "a bid is above the ceiling rate", hint="leave it out; it is not valid", ceiling=ceiling
        )
    wins, skipped, missing = _walk(bids, count, unavailable, together)
    if all_or_nothing and missing:
        return Award((), (), skipped)
    uniform = clearing_rate(bids, wins, ceiling, skipped, together) if vickrey else None
    return Award(wins, tuple(win.bid.rate if uniform is None else uniform for win in wins), skipped)


def split_forfeits(total: int, sharers: int) -> ForfeitSplit:
    """Shares `total` microcredits of forfeits equally among revealed valid bids without an award (A6).

    Shares are rounded down. With no sharer all of it is the remainder. Nothing ever goes to the buyer, who
    could plant bids.
    """
    if total < 0 or sharers < 0:
        raise InvalidInput("forfeits and sharers cannot be negative", total=total, sharers=sharers)
    share = total // sharers if sharers else 0
    return ForfeitSplit(share, total - share * sharers)
