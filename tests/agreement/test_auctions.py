"""Random English auctions: `market.english` and `EnglishAuction` agree on each least rate, end and step.

Bids come early, late and too late, high and too low; the price that is locked and what the winner's lease
costs is compared to the microcredit.
"""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chain.contracts.book import OfferTerms
from chain.contracts.english import AuctionTerms
from chain.contracts.members import Role
from chain.generated.enums import AuctionStage
from market.billing import amount_up
from market.english import ALL_BPS, Bidding, after_bid, least_rate
from market.errors import InvalidInput, Refused
from market.windows import SlotWindow
from tests.agreement.arena import Arena, Organisation

AUCTION = 1
OPENED = 40
"""Seconds after the arena was saved at which each auction opens."""

terms = st.builds(
    Bidding,
    rate=st.integers(1, 9_999_999),
    led=st.just(False),
    step_bps=st.one_of(st.sampled_from((1, 500, ALL_BPS)), st.integers(1, ALL_BPS)),
    end=st.integers(1, 900),
    extension=st.integers(1, 300),
    hard_stop=st.integers(900, 1_500),
)
moves = st.lists(st.tuples(st.integers(0, 400), st.integers(-2, 3)), min_size=1, max_size=12)


def test_auctions_agree(arena: Arena) -> None:
    """Whoever bids whenever, both sides see the same auction."""
    x = arena.exchange
    assert x.english is not None
    first = arena.now // arena.params.slot
    window = SlotWindow(first, first + 50)
    seller = arena.admit("seller", Role.SELLER, 10**12)
    buyers = [arena.admit(f"buyer {n}", Role.BUYER, 10**12) for n in range(2)]
    machines = [arena.register(seller, 0) for _ in range(2)]
    arena.act(seller.account, x.book.publish(OfferTerms(window, 1), machines))
    arena.save()

    @settings(max_examples=40, deadline=None)
    @given(start=terms, moves=moves)
    def agree(start: Bidding, moves: list[tuple[int, int]]) -> None:
        arena.undo()
        _agree(arena, seller, buyers, machines, start, moves)

    agree()


def _agree(
    arena: Arena,
    seller: Organisation,
    buyers: list[Organisation],
    machines: list[int],
    start: Bidding,
    moves: list[tuple[int, int]],
) -> None:
    x, english, slot = arena.exchange, arena.exchange.english, arena.params.slot
    assert english is not None
    begin = arena.now + OPENED
    first = arena.now // slot
    window = SlotWindow(first + 4, first + 8)
    at = {"end": begin + start.end, "hard_stop": begin + start.hard_stop}
    opening = AuctionTerms(1, window, start.rate, start.step_bps, at["end"], start.extension, at["hard_stop"])
    arena.act(seller.account, english.open(opening, machines), begin)
    twin = Bidding(start.rate, False, start.step_bps, at["end"], start.extension, at["hard_stop"])
    turn, leader = 0, 0
    for wait, above in moves:
        now, buyer = arena.now + 1 + wait, buyers[turn % 2]
        least = least_rate(twin)
        assert english.least_rate(AUCTION) == least
        call = english.bid(AUCTION, max(0, least + above))
        try:
            after = after_bid(twin, max(0, least + above), now)
        except Refused:
            with pytest.raises(Refused):
                arena.refused(buyer.account, call, now)
            continue
        arena.act(buyer.account, call, now)
        twin, turn, leader = after, turn + 1, buyer.org
        a = english.auction(AUCTION)
        assert (a.bidding, a.leader) == (twin, leader)
        seconds = window.window(slot)
        amount = amount_up(twin.rate, 2, seconds.end - max(seconds.start, now))
        assert english.stake_of(AUCTION, leader).amount == amount
    done = max(arena.now + 1, twin.end)
    arena.act(seller.account, english.award(AUCTION), done)
    a = english.auction(AUCTION)
    assert a.stage is (AuctionStage.AWARDED if leader else AuctionStage.UNSOLD)
    if leader:
        seconds = window.window(slot)
        lease = x.leases.lease(1)
        assert (lease.buyer, lease.rate) == (leader, twin.rate)
        left = seconds.end - max(seconds.start, done)
        assert x.settlement.account(1).price == amount_up(twin.rate, 2, left)


@pytest.mark.parametrize(
    "wrong", [{"rate": 0}, {"step_bps": 0}, {"step_bps": ALL_BPS + 1}, {"extension": 0}, {"end": 3}]
)
def test_bidding_that_no_contract_would_open_is_refused(wrong: dict[str, int]) -> None:
    good = {"rate": 5, "step_bps": 1, "end": 1, "extension": 1, "hard_stop": 2}
    Bidding(led=False, **good)
    with pytest.raises(InvalidInput):
        Bidding(led=False, **(good | wrong))
