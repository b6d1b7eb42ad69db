"""Leaves, trees, commitments and lots: what Python hashes, the contract takes, and nothing else.

Each case is a page of a witness, committed in one epoch and opened in the next, in as many chunks as it has.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from random import Random

import pytest
from eth_utils.crypto import keccak
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from chain import lots
from chain.generated import errors
from chain.leaves import CHUNK, EpochLeaves, Leaf, Opening, epoch_key, salt_of
from chain.published import opened
from market.errors import Refused
from market.rounds import Span
from market.windows import SlotWindow
from tests.agreement.arena import GENESIS, Arena
from tests.agreement.watch import WATCHED, Seat, Watch
from tests.chain.network import anvil


@pytest.fixture(scope="module")
def watch(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watch]:
    """A deployment with three witnesses."""
    with anvil("--timestamp", str(GENESIS)) as node:
        yield Watch(Arena(node, tmp_path_factory.mktemp("arena"), WATCHED))


def page(random: Random, leaves: int, rounds: int, epoch: int) -> EpochLeaves:
    """Leaves for random machines, most of them with down rounds."""
    machines = random.sample(range(4, 4 * (leaves + 1)), leaves)
    found = []
    for machine in machines:
        down = random.getrandbits(rounds) if random.random() < 0.8 else 0
        measured = down | random.getrandbits(rounds)
        found.append(Leaf(machine // 4, machine % 4, measured, down, keccak(text=f"{machine}")))
    return EpochLeaves(tuple(found), salt_of(epoch_key(bytes(range(32)), epoch)))


class Ticks:
    """One witness's ticks, epoch by epoch."""

    def __init__(self, watch: Watch, seat: Seat) -> None:
        self.watch, self.seat = watch, seat
        self.arena, self.contract = watch.arena, watch.witnesses
        self.arena.undo()
        self.epoch = watch.grid.epoch_of(self.arena.now)

    def commit(self, page: EpochLeaves) -> None:
        """Into the next epoch, and commit to this page for the one that is over."""
        self.next()
        call = self.contract.tick(
            self.epoch - 1, page.commitment(self.seat.org, self.epoch - 1), Opening(), ()
        )
        self.arena.act(self.seat.signer, call)

    def open(self, page: EpochLeaves, opening: Opening | None = None) -> None:
        """Into the next epoch, and open what was committed, with all chunks."""
        self.next()
        first = next(iter(page.chunks), ())
        opening = page.opening if opening is None else opening
        self.arena.act(
            self.seat.signer, self.contract.tick(self.epoch - 1, keccak(text="next"), opening, first)
        )
        for number, chunk in enumerate(page.chunks[1:], 1):
            assert not self.contract.ticked(self.seat.org, self.epoch - 2)
            call = self.contract.publish(self.epoch - 2, number, page.opening.chunks, chunk)
            self.arena.act(self.seat.signer, call)

    def next(self) -> None:
        self.epoch += 1
        self.arena.now = self.watch.grid.start(self.epoch)


@settings(max_examples=25, deadline=None, phases=(Phase.explicit, Phase.reuse, Phase.generate))
@given(seed=st.integers(0, 2**32), count=st.sampled_from([0, 1, 2, 3, 5, 8, 31, 127, 170]))
def test_every_published_leaf_is_shown_and_no_other(watch: Watch, seed: int, count: int) -> None:
    random, seat = Random(seed), watch.seats[0]
    ticks = Ticks(watch, seat)
    leaves = page(random, count, watch.grid.rounds, ticks.epoch)
    ticks.commit(leaves)
    epoch = ticks.epoch - 1
    ticks.open(leaves)
    assert watch.witnesses.ticked(seat.org, epoch)
    assert watch.witnesses.commitment_of(seat.org, epoch) == leaves.commitment(seat.org, epoch)
    watch.witnesses.require_opening(seat.org, epoch, leaves.opening)
    for leaf in random.sample(leaves.leaves, min(4, count)):
        shown = leaves.published(*leaf.key)
        assert (shown is None) == (leaf.down == 0)
        if shown is None:
            continue
        watch.witnesses.require_published(seat.org, epoch, shown)
        for wrong in (
            replace(shown, leaf=replace(leaf, samples=keccak(leaf.samples))),
            replace(shown, proof=(*shown.proof, bytes(32))),
            replace(shown, chunk=shown.chunk + 1),
            replace(shown, opening=replace(shown.opening, salt=keccak(shown.opening.salt))),
        ):
            with pytest.raises(errors.Witnesses_NotPublished):
                watch.witnesses.require_published(seat.org, epoch, wrong)
        with pytest.raises(errors.Witnesses_NotPublished):
            watch.witnesses.require_published(watch.seats[1].org, epoch, shown)


def test_what_is_read_back_from_the_chain_is_what_was_published(watch: Watch) -> None:
    seat = watch.seats[0]
    ticks = Ticks(watch, seat)
    leaves = page(Random(7), 2 * CHUNK, watch.grid.rounds, ticks.epoch)
    assert len(leaves.chunks) == 2
    ticks.commit(leaves)
    epoch = ticks.epoch - 1
    ticks.open(leaves)
    found = opened(watch.arena.exchange, watch.grid, [seat.org, watch.seats[1].org], Span(epoch, epoch))
    mine = found[seat.org, epoch]
    assert mine.chunks == leaves.chunks
    assert mine.opening == leaves.opening
    assert mine.fits
    for leaf in leaves.chunks[1][:3]:
        assert mine.published(*leaf.key) == leaves.published(*leaf.key)
    other = found[watch.seats[1].org, epoch]
    assert not other.is_open
    assert not other.fits


def test_an_epoch_is_not_whole_before_its_last_chunk_is_published(watch: Watch) -> None:
    seat = watch.seats[0]
    ticks = Ticks(watch, seat)
    leaves = page(Random(7), 2 * CHUNK, watch.grid.rounds, ticks.epoch)
    ticks.commit(leaves)
    epoch = ticks.epoch - 1
    ticks.open(EpochLeaves(leaves.chunks[0], leaves.salt), leaves.opening)
    found = opened(watch.arena.exchange, watch.grid, [seat.org], Span(epoch, epoch))[seat.org, epoch]
    assert found.is_open
    assert not found.is_whole
    assert not found.fits
    shown = leaves.published(*leaves.chunks[0][0].key)
    assert shown is not None
    with pytest.raises(errors.Witnesses_NotPublished):
        watch.witnesses.require_published(seat.org, epoch, shown)


@pytest.mark.parametrize("change", ["salt", "root", "chunks", "leaf", "missing"])
def test_only_what_was_committed_can_be_opened(watch: Watch, change: str) -> None:
    seat = watch.seats[0]
    ticks = Ticks(watch, seat)
    leaves = page(Random(3), 6, watch.grid.rounds, ticks.epoch)
    ticks.commit(leaves)
    opening, shown = leaves.opening, leaves
    if change == "salt":
        opening = replace(opening, salt=keccak(text="other"))
    elif change == "root":
        opening = replace(opening, root=keccak(text="other"))
    elif change == "chunks":
        opening = replace(opening, chunks=(*opening.chunks, keccak(text="other")))
    else:
        kept = leaves.chunks[0][1:]
        first = replace(leaves.chunks[0][0], samples=keccak(text="other"))
        shown = EpochLeaves(kept if change == "missing" else (first, *kept), leaves.salt)
    with pytest.raises(Refused) as refused:
        ticks.open(shown, opening)
    assert isinstance(refused.value, errors.Witnesses_NotCommitted)


@pytest.mark.parametrize("withheld", [0, 1, 2, 3])
def test_a_committee_is_drawn_by_the_lots_of_the_salts(tmp_path: Path, withheld: int) -> None:
    """Of five witnesses three sit, by lots of the epoch after the signature; who opens nothing comes last."""
    with anvil("--timestamp", str(GENESIS)) as node:
        watch = Watch(Arena(node, tmp_path, WATCHED), witnesses=5)
        arena, x, grid = watch.arena, watch.arena.exchange, watch.grid
        window = SlotWindow(arena.now // arena.params.slot, arena.now // arena.params.slot + 2)
        [lease] = [
            event.lease
            for event in arena.act(
                watch.buyer.account, x.book.buy_now(watch.offers[0], watch.machines, window)
            )
            if event.NAME == "LeaseOpened"
        ]
        arena.act(watch.seller.account, x.leases.sign(lease))
        with pytest.raises(errors.Witnesses_DrawClosed):
            arena.act(watch.buyer.account, watch.witnesses.draw(lease, 0))
        signed = grid.epoch_of(arena.now)
        salts = {seat.org: keccak(text=f"salt {seat.org}") for seat in watch.seats}
        openings = {org: Opening((), bytes(32), salt) for org, salt in salts.items()}
        for org in sorted(salts)[:withheld]:
            del salts[org]
        for epoch, opens in ((signed, False), (signed + 1, True)):
            arena.now = max(arena.now, grid.start(epoch))
            for seat in watch.seats:
                if opens and seat.org not in salts:
                    continue
                commitment = openings[seat.org].commitment(seat.org, epoch - 1)
                opening = openings[seat.org] if opens else Opening()
                arena.act(seat.signer, watch.witnesses.tick(epoch - 1, commitment, opening, ()))
        arena.now = grid.start(signed + 2)
        arena.act(watch.buyer.account, watch.witnesses.draw(lease, 0))
        seed = watch.witnesses.seed_of(signed + 1)
        assert seed == lots.seed_of(salts)
        drawn = watch.witnesses.committee(lease, 0)
        pool = [seat.org for seat in watch.seats]
        ours = lots.draw(seed, lease, 0, pool, salts, watch.witnesses.terms())
        assert (drawn.seats, drawn.quorum) == ours
        assert drawn.drawn == signed + 2
        first = lots.seats(seed, lease, 0, salts, 3)
        rest = lots.seats(seed, lease, 0, set(pool) - set(salts), 3 - len(first))
        assert (drawn.seats, drawn.quorum) == (first + rest, 2)
        assert len(rest) == (withheld == 3)
