"""Random tenders: `market.tenders` and `SealedTender` find the same winners, rates, skips and forfeits.

Bidders keep silent, sell a machine they bid with, or cannot cover when it counts; the money that moves is
compared to the microcredit.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum

import pytest
from eth_utils.crypto import keccak
from hypothesis import Phase, example, given, settings
from hypothesis import strategies as st

from chain.contracts.book import Bid, OfferTerms, RequestTerms
from chain.contracts.leases import Trait
from chain.contracts.members import Role
from chain.contracts.money import FUND
from chain.contracts.tender import TenderTerms, commitment
from chain.generated.enums import BidStatus, Stage
from market import billing, tenders
from market.errors import Refused
from market.rounds import Grid
from market.windows import SlotWindow
from tests.agreement.arena import CLASS, SPEC, Arena, Organisation

CEILING = 5_000_003
RATES = (3_600, 3_601, 999_999, 5_000_000, CEILING)
PHASES = (Phase.explicit, Phase.reuse, Phase.generate, Phase.shrink)
SALT = keccak(text="salt")
GROUPS = (0, 0, 0, 0, 7, 7)
SITES = ("hall-1", "hall-2")
MACHINES = 3


class Fate(Enum):
    """What a bidder does after its commitment."""

    REVEALS = 0
    SILENT = 1
    SOLD_BEFORE = 2
    SOLD_AFTER = 3
    POOR = 4


@dataclass(frozen=True)
class Seller:
    """A bidder with its machines in one offer."""

    who: Organisation
    group: int
    offer: int
    machines: tuple[int, ...]
    site: str


@dataclass(frozen=True)
class Plan:
    """One bidder's part: its rate, how many machines it names, what it does."""

    rate: int
    machines: int
    fate: Fate
    later: int = 0
    """Slots after the window's begin, if there is room."""


class Cast:
    """Sellers, the tender's buyer, and a stranger who buys machines away."""

    def __init__(self, arena: Arena, groups: tuple[int, ...], machines: int) -> None:
        self.arena = arena
        first = arena.now // arena.params.slot
        self.sale = SlotWindow(first, first + 50)
        self.buyer = arena.admit("tender buyer", Role.BUYER, 10**10)
        self.stranger = arena.admit("stranger", Role.BUYER, 10**10)
        self.sellers = [self._seller(n, group, machines) for n, group in enumerate(groups)]
        arena.save()

    def _seller(self, number: int, group: int, machines: int) -> Seller:
        who = self.arena.admit(f"seller {number}", Role.SELLER, 10**9, group)
        site = SITES[number % len(SITES)]
        ids = tuple(self.arena.register(who, 0, site) for _ in range(machines))
        publish = self.arena.exchange.book.publish(OfferTerms(self.sale, 1, 1_000_000), ids)
        [published] = self.arena.act(who.account, publish)
        return Seller(who, group, published.offer, ids, site)


class Tender:
    """One tender played on both sides."""

    def __init__(
        self,
        cast: Cast,
        window: SlotWindow,
        count: int,
        *,
        whole: bool,
        vickrey: bool,
        sla: int = 0,
        piece: int | None = None,
        together: tenders.Together = tenders.ANYHOW,
    ) -> None:
        self.cast, self.arena, self.x = cast, cast.arena, cast.arena.exchange
        self.window, self.count, self.whole, self.vickrey = window, count, whole, vickrey
        self.sla = sla
        self.piece = window.slots if piece is None else piece
        self.together = together
        self.seconds = window.window(self.arena.params.slot)
        self.bids: dict[int, tuple[Seller, Plan, Bid, tenders.Bid]] = {}
        self.leases_sold: dict[int, int] = {}
        orgs = [cast.buyer.org, cast.stranger.org, FUND, *(s.who.org for s in cast.sellers)]
        self.free = dict(zip(orgs, self._balances(orgs), strict=True))
        self.poor: dict[int, int] = {}

    def play(self, plans: list[Plan | None]) -> tenders.Award:
        """From the post to the last claim, compared on the way."""
        self.post()
        for seller, plan in zip(self.cast.sellers, plans, strict=True):
            if plan is not None:
                self.commit(seller, plan)
        self.arena.now = max(self.arena.now, self.commit_end - 1)
        self.of_fate(Fate.SOLD_BEFORE, self.sell)
        for org in self.bids:
            self.reveal(org)
        self.of_fate(Fate.SOLD_AFTER, self.sell)
        self.of_fate(Fate.POOR, self.impoverish)
        self.same_ranks()
        self.arena.now = max(self.arena.now, self.reveal_end - 1)
        expected = self.award()
        self.claim_all()
        assert self.free == dict(zip(self.free, self._balances(list(self.free)), strict=True))
        return expected

    # ---- acts ----

    def post(self) -> None:
        at = self.arena.now + 1
        self.commit_end, self.reveal_end = at + 100, at + 200
        terms = RequestTerms(
            self.window, self.count, CEILING, CLASS, SPEC, traits=self.traits, sla=self.sla, slots=self.piece
        )
        call = self.x.tender.post(terms, TenderTerms(self.commit_end, self.reveal_end, self.vickrey))
        self.arena.act(self.cast.buyer.account, call)
        self.request = self.x.book.request_count()
        tender = self.x.tender.tender(self.request)
        length = self.piece * self.arena.params.slot
        last = Plan(0, 0, Fate.SILENT, self.window.slots)
        span, fee = (self.seconds.start, self.seconds.end), self._fee(last, at) if self.sla else 0
        one = tenders.fund(CEILING, 1, *span, at, length=length)
        self.deposit = billing.ppm_of(one * self.count, self.arena.params.deposit_ppm)
        locked = tenders.fund(CEILING, self.count, *span, at, fee, length)
        assert (tender.ceiling_amount, tender.deposit) == (locked, self.deposit)
        assert locked == one * self.count or self.sla

    def commit(self, seller: Seller, plan: Plan) -> None:
        """Seal and commit; a second one of a group is refused (A4)."""
        start = self._piece(plan).start_slot
        bid = Bid(seller.offer, plan.rate, start, seller.machines[: plan.machines])
        org = seller.who.org
        chain_id = self.arena.deployment.chain_id
        sealed = commitment(chain_id, self.x.tender.address, self.request, org, bid, SALT)
        call = self.x.tender.commit(self.request, sealed)
        if seller.group and seller.group in {each.group for each, *_ in self.bids.values()}:
            with pytest.raises(Refused):
                self.arena.refused(seller.who.account, call, self.arena.now + 1)
            return
        self.arena.act(seller.who.account, call)
        place = int.from_bytes(sealed)
        self.bids[org] = (
            seller,
            plan,
            bid,
            tenders.Bid(org, plan.rate, len(bid.resources), place, seller.group, seller.site.encode(), start),
        )
        self.free[org] -= self.deposit

    def sell(self, org: int) -> None:
        """The stranger buys a machine of the bid away."""
        seller, plan, bid, _ = self.bids[org]
        price = self._price(plan, 1_000_000, 1, self.arena.now + 1)
        call = self.x.book.buy_now(seller.offer, bid.resources[:1], self._piece(plan))
        events = self.arena.act(self.cast.stranger.account, call)
        self.leases_sold[org] = next(event.lease for event in events if event.NAME == "LeaseOpened")
        self.free[self.cast.stranger.org] -= price
        self.free[org] -= self._bond(price)

    def impoverish(self, org: int) -> None:
        """The bidder takes out all it has."""
        seller, *_ = self.bids[org]
        self.arena.act(seller.who.account, self.x.escrow.withdraw(self.free[org]))
        self.poor[org] = self.free[org]
        self.free[org] = 0

    def reveal(self, org: int) -> None:
        """Each by its fate; what was sold before is void, and its deposit returns (A5)."""
        seller, plan, bid, _ = self.bids[org]
        if plan.fate is Fate.SILENT:
            return
        call = self.x.tender.reveal(self.request, org, bid, SALT)
        if plan.fate is Fate.SOLD_BEFORE:
            with pytest.raises(Refused):
                self.arena.refused(seller.who.account, call, self.arena.now + 1)
            lease = self.leases_sold[org]
            call = self.x.tender.reveal_void(self.request, org, bid, SALT, bid.resources[0], lease)
            self.free[org] += self.deposit
        self.arena.act(seller.who.account, call)

    def award(self) -> tenders.Award:
        """Compared: stage, statuses, leases, rates, forfeits."""
        unavailable = {bid.commitment for _, _, bid in self.of(Fate.SOLD_AFTER, Fate.POOR)}
        expected = tenders.award(
            self.kept,
            self.count,
            all_or_nothing=self.whole,
            vickrey=self.vickrey,
            ceiling=CEILING,
            unavailable=unavailable,
            together=self.together,
        )
        events = self.arena.act(self.cast.stranger.account, self.x.tender.award(self.request))
        at = self.arena.now
        opened = [e for e in events if e.NAME == "LeaseOpened"]
        wins = [
            (win.bid.bidder, rate, win.count) for win, rate in zip(expected.wins, expected.rates, strict=True)
        ]
        assert [(e.provider, e.rate, len(e.resources)) for e in opened] == wins
        for org, rate, count in wins:
            plan = self.bids[org][1]
            price, fee = self._price(plan, rate, count, at), self._fee(plan, at) if self.sla else 0
            self.free[self.cast.buyer.org] -= price + billing.buyers_half(fee)
            self.free[org] -= self._bond(price) + fee // 2
        tender = self.x.tender.tender(self.request)
        assert tender.stage is (Stage.AWARDED if wins else Stage.UNFILLED)
        self._forfeit(expected, tender.share)
        self._statuses(expected)
        return expected

    def _forfeit(self, expected: tenders.Award, share: int) -> None:
        """A6: the silent and those who could not cover pay those who stood by a losing bid."""
        poor = [bid for bid in expected.skipped if self.bids[bid.bidder][1].fate is Fate.POOR]
        silent = len(self.of(Fate.SILENT))
        sharers = len(self.revealed) - len(expected.wins) - len(expected.skipped)
        split = tenders.split_forfeits(self.deposit * (silent + len(poor)), sharers)
        assert share == split.share
        self.free[FUND] += split.remainder
        self.share = split.share

    def _statuses(self, expected: tenders.Award) -> None:
        self.status = dict.fromkeys(self.bids, BidStatus.REVEALED)
        self.status |= {bid.bidder: BidStatus.COMMITTED for _, _, bid in self.of(Fate.SILENT)}
        self.status |= {bid.bidder: BidStatus.EXCUSED for _, _, bid in self.of(Fate.SOLD_BEFORE)}
        self.status |= {win.bid.bidder: BidStatus.AWARDED for win in expected.wins}
        for bid in expected.skipped:
            poor = self.bids[bid.bidder][1].fate is Fate.POOR
            self.status[bid.bidder] = BidStatus.UNCOVERED if poor else BidStatus.SOLD
        found = {org: self.x.tender.bidder(self.request, org).status for org in self.bids}
        assert found == self.status

    def claim_all(self) -> None:
        """Deposits and shares; a bid sold after its reveal is excused by the lease that took its machine."""
        for org, status in self.status.items():
            seller, _, bid, _ = self.bids[org]
            claim = self.x.tender.claim(self.request, org)
            if status in (BidStatus.REVEALED, BidStatus.AWARDED):
                self.arena.act(self.cast.stranger.account, claim)
                self.free[org] += self.deposit + (self.share if status is BidStatus.REVEALED else 0)
                continue
            with pytest.raises(Refused):
                self.arena.refused(seller.who.account, claim, self.arena.now + 1)
            if status is BidStatus.SOLD:
                lease = self.leases_sold[org]
                excuse = self.x.tender.excuse(self.request, org, bid.resources[0], lease)
                self.arena.act(seller.who.account, excuse)
                self.free[org] += self.deposit

    # ---- what both know ----

    @property
    def revealed(self) -> list[tenders.Bid]:
        """Every valid bid that was revealed."""
        out = (Fate.SILENT, Fate.SOLD_BEFORE)
        return [bid for _, plan, _, bid in self.bids.values() if plan.fate not in out]

    @property
    def kept(self) -> list[tenders.Bid]:
        """The best of them (A7)."""
        return tenders.keep_best(self.revealed)

    def same_ranks(self) -> None:
        """The contract's order is that of `tenders.rank`."""
        found = [org for org, _ in self.x.tender.revealed(self.request)]
        assert found == [bid.bidder for bid in self.kept]

    def of(self, *fates: Fate) -> list[tuple[Seller, Plan, tenders.Bid]]:
        """The bidders of a fate."""
        return [(s, plan, bid) for s, plan, _, bid in self.bids.values() if plan.fate in fates]

    def of_fate(self, fate: Fate, act: object) -> None:
        """Let all bidders of a fate meet it."""
        for seller, _, _ in self.of(fate):
            act(seller.who.org)  # type: ignore[operator]

    def _balances(self, orgs: list[int]) -> Iterator[int]:
        return iter(self.arena.views([(self.x.escrow, "free", (org,)) for org in orgs]))

    @property
    def traits(self) -> Trait:
        """What the request asks for, as the chain has it."""
        asked = (
            (self.whole, Trait.ALL_OR_NOTHING),
            (self.together.same_site, Trait.SAME_SITE),
            (self.together.same_start, Trait.SAME_START),
            (self.together.distinct, Trait.DISTINCT),
        )
        return Trait(sum(trait for yes, trait in asked if yes))

    def _piece(self, plan: Plan) -> SlotWindow:
        """When a bidder's lease would be."""
        start = self.window.start_slot + min(plan.later, self.window.slots - self.piece)
        return SlotWindow(start, start + self.piece)

    def _price(self, plan: Plan, rate: int, count: int, at: int) -> int:
        window = self._piece(plan).window(self.arena.params.slot)
        return billing.price(rate, count, window.start, window.end, at)

    def _fee(self, plan: Plan, at: int) -> int:
        p = self.arena.params
        grid = Grid(p.epoch, p.rounds)
        window = self._piece(plan).window(p.slot)
        return billing.witness_fee(p.seat_fee, p.large_size, grid, window.start, window.end, at)

    def _bond(self, price: int) -> int:
        return billing.bond(price, self.arena.params.default_ppm)


plans = st.builds(
    Plan,
    rate=st.sampled_from(RATES),
    machines=st.integers(1, MACHINES),
    fate=st.sampled_from([Fate.REVEALS] * 5 + list(Fate)),
    later=st.integers(0, 2),
)


togethers = st.builds(
    tenders.Together, same_site=st.booleans(), same_start=st.booleans(), distinct=st.booleans()
)


everyone_plans = st.lists(
    st.one_of(plans, plans, plans, st.none()), min_size=len(GROUPS), max_size=len(GROUPS)
)


SOLD_BEHIND_THE_WINNER: list[Plan | None] = [
    Plan(3_600, 1, Fate.REVEALS),
    Plan(3_601, 1, Fate.SOLD_AFTER),
    Plan(999_999, 1, Fate.REVEALS),
    Plan(CEILING, 1, Fate.REVEALS),
    None,
    None,
]
"""The winner is paid the sold bid's rate: the award never came to it, so it was not skipped."""


def test_tenders_agree(arena: Arena) -> None:
    cast = Cast(arena, GROUPS, MACHINES)

    @settings(max_examples=100, deadline=None, phases=PHASES)
    @given(
        later=st.integers(0, 2),
        slots=st.integers(1, 3),
        longer=st.integers(0, 2),
        together=st.one_of(st.just(tenders.ANYHOW), togethers),
        count=st.integers(1, 8),
        whole=st.booleans(),
        vickrey=st.booleans(),
        sla=st.sampled_from([0, 7]),
        everyone=everyone_plans,
    )
    @example(
        later=0,
        slots=1,
        longer=0,
        together=tenders.ANYHOW,
        count=1,
        whole=True,
        vickrey=True,
        sla=0,
        everyone=SOLD_BEHIND_THE_WINNER,
    )
    def agree(
        later: int,
        slots: int,
        longer: int,
        together: tenders.Together,
        count: int,
        whole: bool,
        vickrey: bool,
        sla: int,
        everyone: list[Plan | None],
    ) -> None:
        arena.undo()
        start = arena.now // arena.params.slot + later
        window = SlotWindow(start, start + slots + longer)
        tender = Tender(
            cast, window, count, whole=whole, vickrey=vickrey, sla=sla, piece=slots, together=together
        )
        tender.play(everyone)

    agree()


def test_only_the_best_bids_are_kept(arena: Arena) -> None:
    bidders = tenders.KEPT_BIDS + 4
    crowd = Cast(arena, (0,) * bidders, 1)

    @settings(max_examples=3, deadline=None, phases=PHASES)
    @given(rates=st.lists(st.sampled_from(RATES), min_size=bidders, max_size=bidders), vickrey=st.booleans())
    def agree(rates: list[int], vickrey: bool) -> None:
        arena.undo()
        start = arena.now // arena.params.slot + 1
        tender = Tender(crowd, SlotWindow(start, start + 1), 30, whole=False, vickrey=vickrey)
        won = tender.play([Plan(rate, 1, Fate.REVEALS) for rate in rates])
        assert len(won.wins) == 30

    agree()
