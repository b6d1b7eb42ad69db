"""Random histories of a witnessed lease: contracts and `market.verdicts` make the same of published leaves.

Witnesses tick (or not), publish (or not), disagree; anybody claims with some of the leaves, once or again;
the buyer switches machines off and ends early; both sides appeal. Compared are spans, every claim's verdict
or refusal, its penalty, and the record of each machine. At the end, events alone give the same verdicts.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from random import Random

import pytest
from eth_utils.crypto import keccak
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from chain import power
from chain.contracts.verdicts import Evidence
from chain.generated import errors
from chain.leaves import EpochLeaves, Leaf, Opening
from chain.power import Action, PowerRequest
from chain.published import billed
from chain.recompute import recompute
from market.errors import Refused
from market.rounds import Span, agreed
from market.verdicts import Judgement, Ledger, judge, penalty_down
from market.windows import Window
from tests.agreement.arena import GENESIS, Arena
from tests.agreement.watch import RATE, SLAS, WATCHED, Watch
from tests.chain.network import anvil, wallet

PLACES = (0, 1)


class History:
    """One lease from its delivery until its last epoch is final."""

    def __init__(self, watch: Watch, random: Random) -> None:
        self.watch, self.random = watch, random
        self.arena, self.x = watch.arena, watch.arena.exchange
        self.arena.undo()
        self.kind = random.randrange(len(SLAS))
        self.bad = random.random() < 0.4  # down most of the time, and often appealed: streaks and breaches
        self.lease = watch.lease(self.kind, random.choice((1, 1, 2)), random.randrange(1, 150))
        committee = watch.witnesses.committee(self.lease, 0)
        signers = {seat.org: seat.signer for seat in watch.seats}
        self.seats = [(org, signers[org]) for org in committee.seats]
        self.quorum = committee.quorum
        self.first = self.epoch
        self.pages: dict[tuple[int, int], EpochLeaves] = {}
        self.open: set[tuple[int, int]] = set()
        self.ledgers = {place: Ledger() for place in PLACES}
        self.appealed: dict[tuple[int, int], set[str]] = {}
        self.appeals: dict[int, tuple[int, int, str]] = {}
        self.nonce = 0
        self.judged: set[Span] = set()

    # ---- what is known ----

    @property
    def epoch(self) -> int:
        return self.watch.grid.epoch_of(self.arena.now)

    @property
    def window(self) -> Window:
        found = billed(self.x.leases.lease(self.lease), self.arena.params.slot)
        assert found is not None
        return found

    def spans(self) -> list[Span]:
        return list(self.watch.grid.spans(self.window))

    # ---- what happens ----

    def live(self) -> None:
        """Epoch by epoch, in each in some order: ticks, claims, power, appeals, an early end."""
        grid, chance = self.watch.grid, self.random.random
        while self.epoch < self.spans()[-1].last + 4:
            epoch = self.epoch + 1
            self.arena.now = max(self.arena.now, grid.start(epoch) + self.random.randrange(15))
            acts: list[Callable[[], None]] = [
                partial(self.tick, seat, epoch - 1) for seat in range(len(self.seats))
            ]
            acts += [self.switch] * (chance() < 0.15) + [self.end_early] * (chance() < 0.03)
            self.random.shuffle(acts)
            claims: list[Callable[[], None]] = []
            for span in self.spans():
                if span.last + 3 == epoch:
                    self.judged.add(span)
                    claims += [partial(self.claim, place, span, 2) for place in PLACES]
                    claims += [partial(self.appeal, span)] * (chance() < (0.6 if self.bad else 0.2))
                    claims += [self.decide] * (chance() < 0.1)
                    claims += [partial(self.claim, place, span, 3) for place in PLACES]
            for act in acts + claims + [self.decide] * (chance() < 0.3) + [self.end_for_breach]:
                act()
            assert self.epoch == epoch, "too much in one epoch"

    def leaves(self, epoch: int) -> list[tuple[Leaf, ...]]:
        """What each seat found: much the same, as a rule."""
        random, grid = self.random, self.watch.grid
        found: list[list[Leaf]] = [[] for _ in self.seats]
        for place in PLACES:
            low = 0 if self.bad else random.randrange(grid.rounds)
            length = 30 if self.bad else random.choice((0, 1, 3, 6, 12, 18, 30))
            truth = grid.all_rounds & ((1 << low + length) - (1 << low))
            for seat in range(len(self.seats)):
                down = truth
                if random.random() < 0.5:
                    down &= ~(random.getrandbits(grid.rounds) & random.getrandbits(grid.rounds))
                if random.random() < 0.1:
                    down = random.getrandbits(grid.rounds)
                measured = down | random.getrandbits(grid.rounds)
                found[seat].append(Leaf(self.lease, place, measured, down, keccak(text=f"{epoch}.{place}")))
        return [tuple(leaves) for leaves in found]

    def tick(self, seat: int, epoch: int) -> None:
        """As a rule, commit to this epoch and open the one before."""
        org, signer = self.seats[seat]
        if self.random.random() < 0.08:
            return
        page = EpochLeaves(self.leaves(epoch)[seat] if epoch >= self.first else (), keccak(text=f"{org}"))
        before = self.pages.get((seat, epoch - 1))
        opening = Opening()
        chunk: tuple[Leaf, ...] = ()
        if before is not None and self.random.random() < 0.95:
            opening, chunk = before.opening, next(iter(before.chunks), ())
            self.open.add((seat, epoch - 1))
        commitment = page.commitment(org, epoch)
        self.arena.act(signer, self.watch.witnesses.tick(epoch, commitment, opening, chunk))
        self.pages[seat, epoch] = page

    def claim(self, place: int, span: Span, seats: int) -> None:
        """With what so many seats published; what comes of it is foretold."""
        evidence, down = self.evidence(place, span, seats)
        foretold = self.judgement(place, span, down)
        ledger = self.ledgers[place]
        call = self.watch.verdicts.claim(self.lease, place, self.random.choice(span.epochs), evidence)
        refusal = self.refusal(ledger, foretold, place, span)
        if refusal is not None:
            with pytest.raises(refusal):
                self.arena.act(self.watch.buyer.account, call)
            return
        events = self.arena.act(self.watch.buyer.account, call)
        given_ = next(event for event in events if event.NAME == "VerdictGiven")
        assert given_.down == foretold.down
        assert (given_.judged, given_.counted) == (foretold.judged, foretold.counted)
        assert given_.penalty_ppm == foretold.ppm
        added = foretold.ppm - ledger.turned(span).record.ppm
        assert given_.penalty == penalty_down(self.price(span), added)
        self.ledgers[place] = ledger.after(foretold)
        breached = foretold.record.breached
        assert any(event.NAME == "BreachReached" for event in events) == (
            breached == span.last and ledger.record.breached != span.last
        )
        self.same_record(place)

    def evidence(self, place: int, span: Span, seats: int) -> tuple[list[Evidence], dict[int, int]]:
        """Leaves of so many seats, and what a quorum of them agrees on."""
        evidence: list[Evidence] = []
        down: dict[int, int] = {}
        for epoch in span.epochs:
            bitmaps = []
            opened = [seat for seat in range(len(self.seats)) if (seat, epoch) in self.open]
            for seat in sorted(self.random.sample(opened, min(seats, len(opened)))):
                shown = self.pages[seat, epoch].published(self.lease, place)
                if shown is not None:
                    evidence.append(Evidence(epoch, seat, shown))
                    bitmaps.append(shown.leaf.down)
            down[epoch] = agreed(bitmaps, self.quorum)
        return evidence, down

    def judgement(self, place: int, span: Span, down: dict[int, int]) -> Judgement:
        ledger = self.ledgers[place]
        return judge(
            self.watch.grid,
            self.window,
            span,
            down,
            SLAS[self.kind],
            ledger.base(span),
            restore_time=self.arena.params.restore_time,
            suspended=self.watch.verdicts.power_of(self.lease),
            breach_appealed=self.breach_appealed(place),
        )

    def refusal(self, ledger: Ledger, foretold: Judgement, place: int, span: Span) -> type[Refused] | None:
        """What the contract has to answer instead of a verdict."""
        sides = self.appealed.get((place, span.last), ())
        open_ = (place, span.last, "seller") in self.appeals.values()
        if "buyer" in sides or ("seller" in sides and not open_):
            return errors.Verdicts_Appealed
        if not foretold.determined:
            return errors.Verdicts_Undetermined
        return None if ledger.takes(foretold) else errors.Verdicts_NotWorse

    def price(self, span: Span) -> int:
        """What one machine costs over the span, as far as it bills."""
        grid, window = self.watch.grid, self.window
        start = max(grid.start(span.first), window.start)
        until = min(grid.end(span.last), window.end)
        return self.x.settlement.span_price(self.lease, RATE, start, until)

    def same_record(self, place: int) -> None:
        assert self.watch.verdicts.record(self.lease, place) == self.ledgers[place].record

    def switch(self) -> None:
        """The buyer's signed request, posted by somebody."""
        self.nonce += 1
        action = self.random.choice(list(Action))
        request = PowerRequest(self.lease, action, self.nonce, self.arena.now)
        key = wallet(int.from_bytes(keccak(text="buyer")[:4], "big"))
        signature = power.sign(key, request, self.x.rpc.connection.chain_id, self.x.leases.address)
        self.arena.act(self.watch.seller.account, self.watch.verdicts.post_power(request, signature))

    def end_early(self) -> None:
        if not self.x.leases.lease(self.lease).ended_at and self.arena.now + 120 < self.window.end:
            self.arena.act(self.watch.buyer.account, self.x.leases.end_early(self.lease))

    def end_for_breach(self) -> None:
        """Lawful once a span with a breach is final and no appeal against it is open."""
        ledger = self.ledgers[0]
        breached = ledger.record.breached
        if not breached or self.random.random() < 0.7:
            return
        span = Span(breached, breached)
        disputed = any((p, last, by) == (0, breached, "seller") for p, last, by in self.appeals.values())
        lawful = self.watch.grid.is_final(span, self.arena.now + 1) and not disputed
        over = self.x.leases.lease(self.lease).ended_at or self.arena.now + 1 >= self.window.end
        call = self.watch.verdicts.end_for_breach(self.lease, 0)
        if over or not lawful:
            with pytest.raises(Refused):
                self.arena.act(self.watch.buyer.account, call)
            return
        self.arena.act(self.watch.buyer.account, call)

    def appeal(self, span: Span) -> None:
        """By one of the sides; refused if there is nothing in dispute."""
        place = self.random.choice(PLACES)
        by = self.random.choice(("seller", "seller" if self.bad else "buyer"))
        account = getattr(self.watch, by).account
        try:
            events = self.arena.act(account, self.watch.verdicts.appeal(self.lease, place, span.last))
        except errors.Verdicts_AppealClosed:
            return
        except errors.Verdicts_Appealed:
            assert by in self.appealed[place, span.last]
            return
        filed = next(event for event in events if event.NAME == "AppealFiled")
        self.appealed.setdefault((place, span.last), set()).add(by)
        self.appeals[filed.appeal] = (place, span.last, by)
        self.ledgers[place] = self.ledgers[place].turned(span)
        self.same_record(place)

    def decide(self) -> None:
        """The council, on the oldest appeal."""
        if not self.appeals:
            return
        number = min(self.appeals)
        place, last, by = self.appeals.pop(number)
        amount = self.watch.verdicts.appeal_of(number).amount
        upheld = self.random.random() < 0.5
        to_buyer = self.random.randint(0, amount)
        timelock = self.x.directory.timelock()
        self.arena.act(timelock, self.watch.verdicts.decide(number, to_buyer, upheld))
        if by == "seller":
            self.ledgers[place] = self.ledgers[place].appeal_closed(
                last, SLAS[self.kind], upheld=upheld, breach_appealed=self.breach_appealed(place)
            )
        self.same_record(place)

    def breach_appealed(self, place: int) -> bool:
        """Whether the provider's appeal against the recorded breach is open."""
        return (place, self.ledgers[place].record.breached, "seller") in self.appeals.values()

    # ---- what is compared at the end ----

    def same_geometry(self) -> None:
        """Spans, whole rounds, and what is final when."""
        grid, window = self.watch.grid, self.window
        epochs = grid.epochs_of(window).epochs
        views = [(self.watch.verdicts, "spanOf", (self.lease, epoch)) for epoch in epochs]
        for epoch, said in zip(epochs, self.arena.views(views), strict=True):
            span = grid.span_of(epoch, window)
            assert tuple(said) == (span.first, span.last, grid.whole_in(span, window))
        finals = (self.x.leases, "finalUntil", (self.lease,))
        for epoch in range(epochs[0], epochs[-1] + 6):
            at = max(grid.start(epoch) + self.random.randrange(grid.epoch), self.arena.now)
            assert self.arena.views([finals], at) == [grid.final_until(window, at)]

    def same_worked_out_again(self) -> None:
        """Some spans, from events alone."""
        for span in self.random.sample(sorted(self.judged), min(2, len(self.judged))):
            place = self.random.choice(PLACES)
            checked = recompute(self.x, self.lease, place, span.first)
            assert checked.problems == ()
            assert checked.right
            if checked.verdict is not None:
                assert checked.best.ppm >= checked.verdict.penalty_ppm
            elif checked.takes:
                assert "buyer" in self.appealed.get((place, span.last), ())


def test_random_histories_come_out_the_same(tmp_path: Path) -> None:
    with anvil("--timestamp", str(GENESIS)) as node:
        watch = Watch(Arena(node, tmp_path, WATCHED))

        @settings(max_examples=25, deadline=None, phases=(Phase.explicit, Phase.reuse, Phase.generate))
        @given(seed=st.integers(0, 2**32))
        def one(seed: int) -> None:
            history = History(watch, Random(seed))
            history.live()
            for place in PLACES:
                history.same_record(place)
            history.same_geometry()
            history.same_worked_out_again()

        one()
