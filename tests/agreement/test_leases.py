"""Random histories of leases: after each act the contracts and `market` say the same.

Compared: who may do what at which second, calendar words, states and ends (also at seconds to come), accrual,
and every microcredit.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar

import pytest
from eth_utils.crypto import keccak
from hypothesis import Phase, note, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from chain.contracts.base import Call
from chain.contracts.leases import Delivery, Trait
from market.errors import Refused
from market.leases import LeaseState, ending, fault_of, state
from market.windows import SlotWindow
from tests.agreement.arena import GENESIS, Arena
from tests.agreement.cast import SLA, World
from tests.agreement.twin import Lease

ACTS = {
    "sign_as_buyer": ("buyer", 12),
    "sign": ("provider", 16),
    "accept": ("buyer", 4),
    "reject": ("buyer", 3),
    "cancel": ("buyer", 1),
    "end_early": ("buyer", 2),
    "expire": ("stranger", 2),
    "set_committee": ("stranger", 12),
    "waive": ("stranger", 2),
    "prove": ("stranger", 8),
    "breach": ("stranger", 6),
    "wipe": ("provider", 3),
    "miss_wipe": ("stranger", 12),
    "settle": ("stranger", 2),
}
"""Every act on a lease besides `deliver`: whose it is, and how often it is chosen when it is lawful."""

DELIVER = 20
"""How often a delivery is chosen."""

PHASES = (Phase.explicit, Phase.reuse, Phase.generate, Phase.shrink)

moments = st.tuples(st.sampled_from([None] * 5 + [-1, 0, 1]), st.integers(1, 300))
"""Some seconds on; or a deadline (chosen by number), or the second before or after it."""

Moment = tuple[int | None, int]


class Histories(RuleBasedStateMachine):
    """Acts on up to five leases; each is tried on both sides."""

    world: ClassVar[World]

    @initialize()
    def begin(self) -> None:
        self.arena, self.x = self.world.arena, self.world.arena.exchange
        self.arena.undo()
        self.market = self.world.market()
        self.leases: dict[int, Lease] = {}

    # ---- rules ----

    @precondition(lambda self: len(self.leases) < 5)
    @rule(
        offer=st.integers(0, 2),
        machines=st.sets(st.integers(0, 2), min_size=1),
        later=st.sampled_from([0, 0, 0, 1, 2, 4]),
        slots=st.sampled_from([1, 1, 2, 3, 5]),
        far=st.sampled_from([0, 0, 0, 0, 0, 0, 250, 506]),
        rate=st.sampled_from([None, None, 1, 3_600, 5_000_003]),
        sla=st.sampled_from([0, SLA]),
        both=st.booleans(),
        whole=st.booleans(),
        signed=st.booleans(),
        up=st.integers(0, 7),
        committee=st.sampled_from(["", "waive", "set_committee", "set_committee"]),
        proven=st.booleans(),
        moment=moments,
    )
    def open(
        self,
        offer: int,
        machines: set[int],
        later: int,
        slots: int,
        far: int,
        rate: int | None,
        sla: int,
        both: bool,
        whole: bool,
        signed: bool,
        up: int,
        committee: str,
        proven: bool,
        moment: Moment,
    ) -> None:
        """By buy-now, or (with a rate) as an award would be opened; perhaps signed, seen, some of it up."""
        at = self.second(moment)
        number = list(self.world.offers)[offer]
        seller, offered, now_rate, promised = self.world.offers[number]
        chosen = tuple(offered[place] for place in sorted(machines) if place < len(offered))
        start = at // self.arena.params.slot + later + far
        window = SlotWindow(start, start + slots)
        if not chosen or not self.world.sale.contains(window):
            return
        buyer = self.world.buyer
        paid_rate = now_rate if rate is None else rate
        sla = promised if rate is None else sla
        lawful = self.may_open(seller.org, chosen, window, paid_rate, sla, at)
        if rate is None:
            both = whole = False
            call = self.x.book.buy_now(number, chosen, window)
            opened = self.tried(buyer.account, call, at, lawful)
        else:
            award = (
                buyer.org,
                buyer.account,
                0,
                int(both),
                int(Trait.ALL_OR_NOTHING if whole else Trait.NONE),
                bytes(32),
                sla,
            )
            leg = (seller.org, seller.account, number, rate, (window.start_slot, window.end_slot), chosen)
            data = self.x.awards.abi.encode_call("open", (award, [leg]))
            opened = self.tried(self.world.stranger, Call(self.x.awards.address, data, "open"), at, None)
        leases = [event.lease for event in opened if event.NAME == "LeaseOpened"]
        assert bool(leases) == lawful
        if lawful:
            self.leases[leases[0]] = Lease.open(
                self.market,
                seller.org,
                buyer.org,
                chosen,
                window,
                paid_rate,
                at,
                policy_both=both,
                all_or_nothing=whole,
                sla=sla,
            )
            acts = ["sign_as_buyer"] * both + ["sign"] + [committee] * (sla > 0 and committee != "")
            acts += (["deliver"] + ["prove"] * (sla > 0 and proven)) * (up > 0)
            for act in acts * signed:
                self.attempt(leases[0], act, self.arena.now + 1, up & (1 << len(chosen)) - 1)

    @precondition(lambda self: self.leases)
    @rule(number=st.integers(0, 999), bits=st.integers(1, 7), moment=moments)
    def lawful_act(self, number: int, bits: int, moment: Moment) -> None:
        """One of the acts that the pure Python allows at that second."""
        at = self.second(moment)
        allowed: list[tuple[int, str]] = []
        for id_, lease in self.leases.items():
            for act, (_, weight) in ACTS.items():
                allowed += [(id_, act)] * (weight * lease.may(act, at))
            allowed += [(id_, "deliver")] * (DELIVER * lease.may_deliver(bits, at))
        if allowed:
            self.attempt(*allowed[number % len(allowed)], at, bits)

    @precondition(lambda self: self.leases)
    @rule(
        number=st.integers(0, 63),
        act=st.sampled_from([*ACTS, "deliver"]),
        bits=st.integers(1, 15),
        moment=moments,
    )
    def any_act(self, number: int, act: str, bits: int, moment: Moment) -> None:
        """Any act: refused by the chain exactly if the pure Python does not allow it."""
        self.attempt(list(self.leases)[number % len(self.leases)], act, self.second(moment), bits)

    # ---- comparisons ----

    @invariant()
    def same_money(self) -> None:
        """Accounts of leases and free balances."""
        asked = [(self.x.settlement, "account", (id_,)) for id_ in self.leases]
        asked += [(self.x.escrow, "free", (org,)) for org in self.market.free]
        answers = iter(self.arena.views(asked))
        for id_, lease in self.leases.items():
            _, price, _, bond, *rest = next(answers)
            sums = lease.sums
            expected = [lease.paid, 0, 0, sums.units, lease.closed, 0]
            expected += [0, 0, 0, sums.first_start, lease.fee, 0, sums.start_sum]
            assert (price, bond, rest) == (lease.price, lease.bond, expected), f"lease {id_}"
        assert dict(zip(self.market.free, answers, strict=True)) == self.market.free

    @invariant()
    def same_calendars(self) -> None:
        """Every word an offer touches, and what they mean."""
        words = range(self.world.sale.start_slot >> 8, (self.world.sale.end_slot >> 8) + 2)
        asked = [(self.x.inventory, "calendar", (r, word)) for r in self.world.turnaround for word in words]
        answers = iter(self.arena.views(asked))
        for resource in self.world.turnaround:
            found = {word: value for word in words if (value := next(answers))}
            assert found == self.market.calendar(resource).words(), f"resource {resource}"

    @invariant()
    def same_states(self) -> None:
        """States, ends and accrual, now and at both sides of the next deadline."""
        coming = self.deadlines()[:1]
        for at in sorted({self.arena.now, *coming, *(second - 1 for second in coming)}):
            self.compare_at(at)

    def compare_at(self, at: int) -> None:
        """All leases at one second, which may be still to come."""
        contract, money = self.x.leases, self.x.settlement
        asked: list[Any] = []
        for id_, lease in self.leases.items():
            asked += [(contract, fn, (id_,)) for fn in ("stateOf", "endOf", "finalUntil")]
            asked += [
                (money, "accrued", (id_, lease.rate, self.until(lease, at), last)) for last in (False, True)
            ]
        answers = iter(self.arena.views(asked, at))
        for id_, lease in self.leases.items():
            where = f"lease {id_} at {at - GENESIS}: {lease.facts}"
            assert next(answers) == _number(state(lease.facts, at)), where
            assert next(answers) == _recorded(lease, at), where
            assert next(answers) == lease.facts.final_until(at), where
            for last in (False, True):
                assert next(answers) == lease.earned(at, last), where

    def teardown(self) -> None:
        """The end of the world: everything that can still be done is done; then all money is somebody's."""
        if not getattr(self, "leases", None):
            return
        for at in self.deadlines()[::3]:
            self.compare_at(at)
        for id_, lease in self.leases.items():
            late = self.arena.params.wipe_time if id_ % 2 else 0
            at = max(self.arena.now, lease.facts.end + late) + 1
            for act in ("expire", "settle", "miss_wipe", "wipe"):
                if lease.may(act, at):
                    self.attempt(id_, act, at)
                    at += 1
            if lease.facts.delivered_bits and not (lease.closed and not lease.bond):
                facts = lease.facts
                self.attempt(id_, "settle", max(at, facts.accept_deadline or 0, facts.final_at))
        self.same_money()
        assert all(lease.closed and not lease.bond for lease in self.leases.values())
        now = self.arena.now
        assert all(not state(lease.facts, now).is_open for lease in self.leases.values())

    # ---- inner ----

    def attempt(self, id_: int, act: str, at: int, bits: int = 0) -> None:
        """Do it on both sides, or be refused on both."""
        lease, leases = self.leases[id_], self.x.leases
        if act == "deliver":
            lawful = lease.may_deliver(bits, at)
            call = leases.deliver(id_, Delivery(bits, *[keccak(text="hash")] * 3))
        else:
            lawful = lease.may(act, at)
            given = {"wipe": keccak(text="evidence"), "reject": "late", "accept": lease.facts.delivered_bits}
            extra = (given[act],) if act in given else ()
            said = self.said(act, id_, lease)
            call = getattr(leases, act)(id_, *extra) if said is None else said
        self.tried(self.account(act, lease), call, at, lawful)
        if act == "deliver" and lawful:
            lease.deliver(bits, at)
        elif lawful:
            lease.do(act, at)

    def said(self, act: str, id_: int, lease: Lease) -> Call | None:
        """What the witnesses' contracts would say; None for what parties say."""
        says: dict[str, tuple[str, Any]] = {
            "set_committee": ("setCommittee", True),
            "waive": ("setCommittee", False),
            "prove": ("prove", lease.facts.delivered_bits),
            "breach": ("breach", bytes(32)),
        }
        if act not in says:
            return None
        fn, value = says[act]
        leases = self.x.leases
        return Call(
            leases.address, leases.abi.encode_call(fn, (id_, value)), f"Leases.{fn}({id_}, {value!r})"
        )

    def tried(self, who: str, call: Call, at: int, lawful: bool | None) -> list[Any]:
        """Its events; nothing if it was refused. None for `lawful` leaves open which it is."""
        note(f"{at - GENESIS}: {call.label}, lawful: {lawful}")
        if lawful is False:
            with pytest.raises(Refused):
                self.arena.refused(who, call, at)
            return []
        return self.arena.act(who, call, at)

    def may_open(
        self, provider: int, machines: tuple[int, ...], window: SlotWindow, rate: int, sla: int, at: int
    ) -> bool:
        """Free, and covered by both (C1)."""
        price, fee = self.market.price(rate, len(machines), window, at), self.market.fee(sla, window, at)
        bond = price * self.arena.params.default_ppm // 1_000_000
        free = self.market.free
        covered = free[self.world.buyer.org] >= price + fee - fee // 2 and free[provider] >= bond + fee // 2
        return covered and all(self.market.is_free(machine, window) for machine in machines)

    def account(self, act: str, lease: Lease) -> str:
        """Who acts."""
        party = "provider" if act == "deliver" else ACTS[act][0]
        if party == "stranger":
            return self.world.stranger
        orgs = [self.world.rich, self.world.poor, self.world.buyer]
        wanted = lease.provider if party == "provider" else lease.buyer
        return next(o.account for o in orgs if o.org == wanted)

    def second(self, moment: Moment) -> int:
        """The moment as a second after the newest block."""
        beside, number = moment
        deadlines = self.deadlines()
        if beside is None or not deadlines:
            return self.arena.now + number
        # One of the next few: a jump over all of them would end every history at once.
        return max(self.arena.now + 1, deadlines[number % min(len(deadlines), 3)] + beside)

    def deadlines(self) -> list[int]:
        """Every second to come at which something changes by itself."""
        seconds = {second for lease in self.leases.values() for second in _turns(lease)}
        return sorted(second for second in seconds if second > self.arena.now)

    def until(self, lease: Lease, at: int) -> int:
        """What `Leases` tells `Settlement` when it draws at that second."""
        return min(at, lease.facts.effective_end)


def _turns(lease: Lease) -> Iterator[int]:
    f = lease.facts
    yield from (f.start, f.end, f.effective_end, f.effective_end + f.wipe_time, f.final_at)
    for deadline in (f.buyer_sign_deadline, f.sign_deadline, f.deliver_deadline, f.accept_deadline):
        if deadline is not None:
            yield deadline


def _number(of: LeaseState) -> int:
    """The contract's number of a state: the same words in the same order, after None."""
    return 1 + list(LeaseState).index(of)


def _recorded(lease: Lease, at: int) -> tuple[int, int]:
    """Reason and fault as the contract tells them: what nobody recorded yet is no end there, but for time."""
    facts, over = lease.facts, ending(lease.facts, at)
    if over is None and facts.ended_at:  # recorded for a second to come
        return int(facts.end_reason), int(fault_of(facts.end_reason))
    if over is None or (not facts.ended_at and not facts.delivered_bits):
        return 0, 0
    return int(over.reason), int(over.fault)


def test_histories_of_leases_agree(arena: Arena) -> None:
    Histories.world = World(arena)
    run_state_machine_as_test(
        Histories, settings=settings(max_examples=45, stateful_step_count=25, deadline=None, phases=PHASES)
    )


def test_the_last_payment_of_a_partly_delivered_lease_leaves_its_bond_whole(arena: Arena) -> None:
    """One of two machines came. Settled at the end and then wiped, the bond must be free (E2, L1, L6)."""
    world, x = World(arena), arena.exchange
    offer, (seller, machines, *_) = next(iter(world.offers.items()))
    slot = arena.params.slot
    start = (arena.now // slot + 1) * slot
    window = SlotWindow(start // slot, start // slot + 1)
    arena.act(world.buyer.account, x.book.buy_now(offer, machines[:2], window), start + 30)
    arena.act(seller.account, x.leases.sign(1))
    arena.act(seller.account, x.leases.deliver(1, Delivery(1, *[keccak(text="hash")] * 3)))
    arena.act(world.buyer.account, x.leases.accept(1, 1))
    arena.act(world.stranger, x.leases.settle(1), start + slot)
    arena.act(seller.account, x.leases.wipe(1, keccak(text="evidence")))
    assert x.settlement.account(1).bond == 0
