"""What of an offer is free: `market.availability` and the contracts say the same of random windows.

Machines are booked, freed and held at random, across the words of their calendars; then windows are tried:
buying one at once must work exactly where no conflict is named.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from chain.contracts.base import Call
from chain.contracts.book import OfferTerms
from chain.contracts.members import Role
from market.availability import MAX_SLOTS, Obstacle, Offered, Shelf, conflicts, free_parts
from market.errors import Refused
from market.windows import WORD_BITS, Calendar, SlotWindow
from tests.agreement.arena import GENESIS, Arena
from tests.chain.network import anvil

TURNAROUNDS = (0, 1, 5)
LEAST, LENGTH = 3, 300
BOOKER = "0x" + "57" * 20

offsets = st.tuples(st.integers(-8, LENGTH + 8), st.sampled_from([1, 2, 3, 4, 9, 40, 260]))
edges = st.tuples(st.integers(0, 100), st.booleans(), st.integers(-2, 7), st.sampled_from([2, 3, 4, 9]))
"""An edge by its number, whether a window ends or begins near it, how far from it, and how long it is."""
acts = st.tuples(st.sampled_from(["book", "book", "book", "release", "hold"]), st.integers(0, 2), offsets)


class Shop:
    """An offer of three machines, and the same machines in pure Python."""

    def __init__(self, arena: Arena) -> None:
        self.arena, self.inventory, self.book = arena, arena.exchange.inventory, arena.exchange.book
        seller = arena.admit("seller", Role.SELLER, 10**9)
        self.buyer = arena.admit("buyer", Role.BUYER, 10**9)
        arena.grant(BOOKER, "inventory.book")
        self.machines = [arena.register(seller, turnaround) for turnaround in TURNAROUNDS]
        first = arena.now // arena.params.slot
        self.window = SlotWindow(first, first + LENGTH)
        assert self.window.start_slot // WORD_BITS < (self.window.end_slot - 1) // WORD_BITS
        terms = OfferTerms(self.window, 1, 1, min_slots=LEAST)
        [published] = arena.act(seller.account, self.book.publish(terms, self.machines))
        self.offer = int(published.offer)
        arena.save()

    def span(self, offset: tuple[int, int]) -> SlotWindow:
        """A window by its distance from the offer's begin."""
        start = self.window.start_slot + offset[0]
        return SlotWindow(start, start + offset[1])

    def act(self, what: str, place: int, offset: tuple[int, int]) -> None:
        """Book, free or hold, as Leases would; a booking that does not fit is refused by both."""
        node, span = self.machines[place], self.span(offset)
        arguments = (node,) if what == "hold" else (node, span.start_slot, span.end_slot)
        call = Call(self.inventory.address, self.inventory.abi.encode_call(what, arguments), what)
        if what == "book" and not self.inventory.is_free(node, span):
            with pytest.raises(Refused):
                self.arena.refused(BOOKER, call, self.arena.now)
            return
        self.arena.act(BOOKER, call)

    def offered(self) -> Offered:
        """The offer with its calendars as the contract stores them."""
        words = range(self.window.start_slot // WORD_BITS, self.window.end_slot // WORD_BITS + 2)
        asked = [(self.inventory, "calendar", (node, word)) for node in self.machines for word in words]
        answers = iter(self.arena.views(asked))
        return Offered(
            self.window,
            tuple(
                Shelf(
                    node,
                    Calendar.from_words({word: next(answers) for word in words}),
                    turnaround,
                    bool(self.inventory.resource(node).holds),
                )
                for node, turnaround in zip(self.machines, TURNAROUNDS, strict=True)
            ),
            LEAST,
        )

    def sells(self, node: int, window: SlotWindow, at: int) -> bool:
        """Whether the buyer could have it at that second."""
        try:
            self.arena.refused(self.buyer.account, self.book.buy_now(self.offer, [node], window), at)
        except Refused:
            return False
        return True


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    """A deployment with one offer."""
    with anvil("--timestamp", str(GENESIS)) as node:
        yield Shop(Arena(node, tmp_path_factory.mktemp("arena")))


@settings(max_examples=40, phases=(Phase.explicit, Phase.generate))
@given(
    st.lists(acts, min_size=1, max_size=6),
    st.lists(offsets, min_size=3, max_size=3),
    st.lists(edges, min_size=12, max_size=12),
    st.integers(1, 20_000),
)
def test_a_window_is_sold_exactly_where_no_conflict_is_named(
    shop: Shop,
    history: list[tuple[str, int, tuple[int, int]]],
    anywhere: list[tuple[int, int]],
    near: list[tuple[int, bool, int, int]],
    later: int,
) -> None:
    shop.arena.undo()
    for act in history:
        shop.act(*act)
    offered, at = shop.offered(), shop.arena.now + later
    now_slot = at // shop.arena.params.slot
    tried = [shop.span(offset) for offset in anywhere]
    tried += [beside(edges_of(offered, now_slot), *edge) for edge in near]
    for wanted in tried:
        named = {item.node for item in conflicts(offered, now_slot, wanted)}
        for node in shop.machines:
            assert shop.sells(node, wanted, at) == (node not in named), (node, wanted)
    for part in free_parts(offered, now_slot):
        assert shop.sells(part.node, part.window, at)
        beyond = SlotWindow(part.window.start_slot, part.window.end_slot + 1)
        before = SlotWindow(part.window.start_slot - 1, part.window.end_slot)
        assert not shop.sells(part.node, beyond, at)
        assert part.window.start_slot == now_slot or not shop.sells(part.node, before, at)


def edges_of(offered: Offered, now_slot: int) -> list[int]:
    """Where something begins or ends: the current slot, the offer, what is booked."""
    around = SlotWindow(offered.window.start_slot - 8, offered.window.end_slot + 270)
    runs = [offered.window, *(run for shelf in offered.shelves for run in shelf.calendar.booked(around))]
    return [now_slot, *(slot for run in runs for slot in (run.start_slot, run.end_slot))]


def beside(slots: list[int], number: int, ends: bool, distance: int, length: int) -> SlotWindow:
    """A window that ends so far before an edge, or begins so far after it."""
    edge = slots[number % len(slots)]
    start = edge - distance - length if ends else edge + distance
    return SlotWindow(start, start + length)


def test_the_longest_window_is_the_contracts_own(shop: Shop) -> None:
    assert shop.arena.views([(shop.inventory, "maxWindow", ())]) == [MAX_SLOTS]


def test_a_closed_offer_sells_nothing_and_is_named_closed(shop: Shop) -> None:
    shop.arena.undo()
    kept = shop.book.offer(shop.offer)
    shop.arena.act(kept.by, shop.book.cancel(shop.offer))
    offered = replace(shop.offered(), closed=shop.book.offer(shop.offer).closed)
    named = conflicts(offered, shop.arena.now // shop.arena.params.slot, shop.window)
    assert [(item.node, item.why) for item in named] == [(node, Obstacle.CLOSED) for node in shop.machines]
    assert not any(shop.sells(node, shop.window, shop.arena.now) for node in shop.machines)
