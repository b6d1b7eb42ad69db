"""Composite awards and leases taken back (L5, L8): the contracts pay what `market.composite` says.

Nothing here may ask the contracts what the pure Python ought to answer.
"""

from __future__ import annotations

from eth_utils.crypto import keccak
from hypothesis import given, settings
from hypothesis import strategies as st

from chain.contracts.base import Call
from chain.contracts.book import OfferTerms
from chain.contracts.leases import Delivery, Trait
from chain.generated.enums import EndReason, LeaseState
from market.billing import Accrual, amount_up, bond, ppm_of
from market.composite import partners_claim, reclaim_paid, share_out
from market.windows import SlotWindow
from tests.agreement.arena import Arena
from tests.agreement.cast import World

FIRST, SECOND, THIRD = 1, 2, 3
HASHES = [keccak(text="hash")] * 3
rates = st.integers(1, 9_000_000)


def test_partners_and_buyer_get_what_the_rule_says(arena: Arena) -> None:
    """One defaults, unsigned or undelivered; one was delivered, one not: each gets exactly its share."""
    world = World(arena)

    @settings(max_examples=25, deadline=None)
    @given(
        asked=st.tuples(rates, rates, rates),
        slots=st.integers(2, 4),
        served=st.integers(1, 500),
        signs=st.booleans(),
    )
    def agree(asked: tuple[int, int, int], slots: int, served: int, signs: bool) -> None:
        arena.undo()
        _agree(world, asked, slots, served, signs)

    agree()


def _agree(world: World, asked: tuple[int, int, int], slots: int, served: int, signs: bool) -> None:
    arena, x, p = world.arena, world.arena.exchange, world.arena.params
    start = (arena.now // p.slot + 2) * p.slot
    window = (start // p.slot, start // p.slot + slots)
    machines = list(world.turnaround)
    parts = [
        (world.rich, [machines[0], machines[1]]),
        (world.rich, [machines[2]]),
        (world.poor, [machines[3]]),
    ]
    legs = [
        (seller.org, seller.account, 0, rate, window, ids)
        for (seller, ids), rate in zip(parts, asked, strict=True)
    ]
    award = (world.buyer.org, world.buyer.account, 0, 0, int(Trait.COMPOSITE), bytes(32), 0)
    data = x.awards.abi.encode_call("open", (award, legs))
    arena.act(world.stranger, Call(x.awards.address, data, "open"), start - 500)
    opened = x.leases.count()
    if opened < THIRD:
        return  # the poor one could not cover its bond
    prices = [amount_up(rate, len(ids), slots * p.slot) for (_, ids), rate in zip(parts, asked, strict=True)]
    free = {org: x.escrow.free(org) for org in (world.rich.org, world.poor.org, world.buyer.org)}

    # The first is delivered and runs, the second waits, the third defaults.
    arena.act(world.rich.account, x.leases.sign(FIRST))
    arena.act(world.rich.account, x.leases.sign(SECOND))
    if signs:
        arena.act(world.poor.account, x.leases.sign(THIRD))
    arena.act(world.rich.account, x.leases.deliver(FIRST, Delivery(3, *HASHES)))
    arena.act(world.buyer.account, x.leases.accept(FIRST, 3))
    late = start + p.deliver_time if signs else start - 500 + p.sign_time
    arena.act(world.stranger, x.leases.expire(THIRD), late)
    pot = bond(prices[2], p.default_ppm)
    if not signs:
        pot = ppm_of(pot, p.sign_miss_ppm)

    ends = max(late + 1, start + served if not signs and start + served < late + p.deliver_time else late + 1)
    if x.leases.state_of(SECOND) is LeaseState.DEFAULTED:
        # It missed the same deadline: a default of its own, owed nothing.
        arena.act(world.stranger, x.leases.expire(SECOND), late + 1)
        ends = late + 2
    arena.act(world.buyer.account, x.awards.end_partner(THIRD, FIRST), ends)
    meter = Accrual(asked[0], p.quantum, start + slots * p.slot, prices[0]).delivered(2, start)
    claims = [partners_claim(prices[0], meter.accrued(ends) if ends > start else 0, p.reserve_ppm)]
    if x.leases.lease(SECOND).reason is EndReason.NONE:
        arena.act(world.buyer.account, x.awards.end_partner(THIRD, SECOND))
        claims.append(partners_claim(prices[1], 0, p.reserve_ppm))
    assert [x.awards.claim_of(n).amount for n in (FIRST, SECOND)][: len(claims)] == claims

    before = {org: x.escrow.free(org) for org in free}
    arena.act(world.stranger, x.awards.share_out(THIRD))
    shared = share_out(pot, claims)
    assert x.escrow.free(world.rich.org) - before[world.rich.org] == sum(shared.partners)
    assert x.escrow.free(world.buyer.org) - before[world.buyer.org] == shared.buyer
    assert free[world.poor.org] + bond(prices[2], p.default_ppm) - pot == x.escrow.free(world.poor.org)
    assert x.settlement.account(THIRD).bond == 0


def test_taking_back_costs_what_the_rule_says(arena: Arena) -> None:
    """Whatever the rate and the second: compensation, what returns, and what is drawn in the end."""
    world = World(arena)
    seller = world.rich

    @settings(max_examples=25, deadline=None)
    @given(rate=rates, slots=st.integers(2, 5), notice=st.integers(0, 2_000))
    def agree(rate: int, slots: int, notice: int) -> None:
        arena.undo()
        x, p = arena.exchange, arena.params
        start = (arena.now // p.slot + 2) * p.slot
        end = start + slots * p.slot
        window = SlotWindow(start // p.slot, end // p.slot)
        machines = list(world.turnaround)[:2]
        terms = OfferTerms(window, 1, rate, traits=Trait.RECLAIMABLE)
        [published] = arena.act(seller.account, x.book.publish(terms, machines))
        arena.act(world.buyer.account, x.book.buy_now(published.offer, machines, window), start - 9)
        arena.act(seller.account, x.leases.sign(FIRST))
        arena.act(seller.account, x.leases.deliver(FIRST, Delivery(3, *HASHES)))
        arena.act(world.buyer.account, x.leases.accept(FIRST, 3))
        at = min(arena.now + 1 + p.reclaim_notice + min(notice, p.reclaim_notice + p.slot), end - 1)
        if at < arena.now + 1 + p.reclaim_notice:
            return
        price = amount_up(rate, 2, end - start)
        stake = bond(price, p.default_ppm)
        meter = Accrual(rate, p.quantum, end, price).delivered(2, start)
        unserved = price - meter.accrued(at)
        free = x.escrow.free(world.buyer.org)
        arena.act(seller.account, x.amendments.reclaim(FIRST, at))
        paid = reclaim_paid(unserved, stake, p.reclaim_ppm)
        taken, _ = x.amendments.reclaim_of(FIRST)
        assert (taken.unserved, taken.paid, taken.at) == (unserved, paid, at)
        assert x.escrow.free(world.buyer.org) - free == paid + price - meter.accrued(at, True)
        assert x.settlement.account(FIRST).bond == stake - paid
        arena.act(seller.account, x.leases.wipe(FIRST, HASHES[0]), at)
        account = x.settlement.account(FIRST)
        assert (account.paid, account.bond) == (meter.accrued(at, True), 0)

    agree()
