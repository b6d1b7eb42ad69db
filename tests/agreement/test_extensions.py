"""Extended leases (L7): `Settlement` bills each rate as `market.billing` does, and locks what `Awards` tells.

Nothing here may ask the contracts what the pure Python ought to answer.
"""

from __future__ import annotations

from eth_utils.crypto import keccak
from hypothesis import given, settings
from hypothesis import strategies as st

from chain.contracts.base import Call
from chain.contracts.leases import Delivery
from market.billing import Accrual, Step, amount_up, bond
from market.windows import SlotWindow
from tests.agreement.arena import Arena
from tests.agreement.cast import World

LEASE = 1
LATE = 37
"""Seconds of its window that a lease is delivered late."""

extensions = st.lists(st.tuples(st.integers(1, 3), st.integers(1, 10_000_000)), min_size=1, max_size=4)


def test_extended_leases_agree(arena: Arena) -> None:
    """Whatever is added at whatever rate, at every second both sides have accrued the same."""
    world = World(arena)
    arena.grant(world.stranger, "leases.amend")
    arena.save()

    @settings(max_examples=25, deadline=None)
    @given(slots=st.integers(1, 3), added=extensions, moments=st.lists(st.integers(0, 12_000), max_size=6))
    def agree(slots: int, added: list[tuple[int, int]], moments: list[int]) -> None:
        arena.undo()
        _agree(world, slots, added, moments)

    agree()


def _agree(world: World, slots: int, added: list[tuple[int, int]], moments: list[int]) -> None:
    arena, x = world.arena, world.arena.exchange
    offer, (seller, machines, rate, _) = next(iter(world.offers.items()))
    slot, params = arena.params.slot, arena.params
    first = arena.now // slot + 1
    end, start = first + slots, first * slot
    arena.act(world.buyer.account, x.book.buy_now(offer, machines[:2], SlotWindow(first, end)), start - 9)
    arena.act(seller.account, x.leases.sign(LEASE))
    arena.act(seller.account, x.leases.deliver(LEASE, Delivery(3, *[keccak(text="hash")] * 3)), start + LATE)
    arena.act(world.buyer.account, x.leases.accept(LEASE, 3))

    price, steps = amount_up(rate, 2, slots * slot), []
    held = price + bond(price, params.default_ppm)
    last = rate
    for more, new in added:
        cost = x.awards.extension_of(LEASE, end + more, new)
        assert cost.price == amount_up(new, 2, more * slot)
        assert (cost.bond, cost.fee) == (bond(cost.price, params.default_ppm), 0)
        extension = (world.buyer.account, cost.price, seller.account, cost.bond, cost.fee, new, True)
        data = x.leases.abi.encode_call("extend", (LEASE, end + more, extension))
        arena.act(world.stranger, Call(x.leases.address, data, "extend"))
        if new != last:
            steps.append(Step(end * slot, new))
        end, last = end + more, new
        price, held = price + cost.price, held + cost.price + cost.bond

    account = x.settlement.account(LEASE)
    assert (account.price, account.steps) == (price, len(steps))
    assert x.settlement.steps_of(LEASE) == tuple(steps)
    assert x.leases.lease(LEASE).end == end
    assert account.price + account.bond == held
    twin = Accrual(rate, params.quantum, end * slot, price, steps=tuple(steps)).delivered(2, start + LATE)
    turns = [step.begins + by for step in steps for by in (-1, 0, 1)]
    for until in sorted({start, end * slot, *turns, *(min(start + at, end * slot) for at in moments)}):
        for final in (False, True):
            assert x.settlement.accrued(LEASE, rate, until, final) == twin.accrued(until, final)
    assert sum(x.settlement.span_price(LEASE, rate, a, a + slot) for a in range(start, end * slot, slot)) == (
        sum((twin.accrued(a + slot) - twin.accrued(a)) // 2 for a in range(start, end * slot, slot))
    )
