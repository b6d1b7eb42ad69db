"""What the pure Python says of a lease: its facts, state and money after each act, without asking the chain.

Every number and every state comes from `market`; only the order of the money's moves (rules C2, C4, E5, L1 to
L6) is told here.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from chain.deploy import DeployParams
from market import billing
from market.leases import Committee, EndReason, LeaseFacts, LeaseState, state
from market.rounds import Grid
from market.windows import Calendar, SlotWindow

PARAMETERS = ("sign_time", "deliver_time", "accept_time", "wipe_time")


@dataclass
class Market:
    """What leases share: balances, calendars, holds, by the same numbers as on chain."""

    params: DeployParams
    free: dict[int, int]
    turnaround: dict[int, int]
    calendars: dict[int, Calendar] = field(default_factory=dict)
    holds: dict[int, int] = field(default_factory=dict)

    def calendar(self, resource: int) -> Calendar:
        """The resource's calendar."""
        return self.calendars.get(resource, Calendar())

    def is_free(self, resource: int, window: SlotWindow) -> bool:
        """Whether it can be leased in that window."""
        held = self.holds.get(resource, 0)
        return not held and self.calendar(resource).is_free(window, self.turnaround[resource])

    def price(self, rate: int, count: int, window: SlotWindow, at: int) -> int:
        """What a lease opened then costs at most."""
        seconds = window.window(self.params.slot)
        return billing.price(rate, count, seconds.start, seconds.end, at)

    @property
    def grid(self) -> Grid:
        """The witnesses' epochs and rounds."""
        return Grid(self.params.epoch, self.params.rounds)

    def fee(self, sla: int, window: SlotWindow, at: int) -> int:
        """What the witnesses of a lease opened then may cost, both halves; nothing without an SLA."""
        p, seconds = self.params, window.window(self.params.slot)
        paid = billing.witness_fee(p.seat_fee, p.large_size, self.grid, seconds.start, seconds.end, at)
        return paid if sla else 0


@dataclass
class Lease:
    """One lease, and the money that is or was in it."""

    market: Market
    provider: int
    buyer: int
    resources: tuple[int, ...]
    window: SlotWindow
    rate: int
    facts: LeaseFacts
    price: int
    bond: int
    accrual: billing.Accrual
    fee: int = 0
    paid: int = 0
    closed: bool = False
    missing: int = 0
    sums: billing.RunningSums = field(default_factory=billing.RunningSums)

    @classmethod
    def open(
        cls,
        market: Market,
        provider: int,
        buyer: int,
        resources: tuple[int, ...],
        window: SlotWindow,
        rate: int,
        at: int,
        *,
        policy_both: bool = False,
        all_or_nothing: bool = False,
        sla: int = 0,
    ) -> Lease:
        """Slots booked, price, bond and fees locked (C1, C2)."""
        p, seconds = market.params, window.window(market.params.slot)
        price = market.price(rate, len(resources), window, at)
        bond, fee = billing.bond(price, p.default_ppm), market.fee(sla, window, at)
        for resource in resources:
            turnaround = market.turnaround[resource]
            market.calendars[resource] = market.calendar(resource).book(window, turnaround)
        market.free[buyer] -= price + billing.buyers_half(fee)
        market.free[provider] -= bond + fee // 2
        facts = LeaseFacts(
            created_at=at,
            start=seconds.start,
            end=seconds.end,
            count=len(resources),
            policy_both=policy_both,
            all_or_nothing=all_or_nothing,
            committee=Committee.AWAITED if sla else Committee.NONE,
            grid=market.grid,
            **{name: getattr(p, name) for name in PARAMETERS},
        )
        accrual = billing.Accrual(rate, p.quantum, seconds.end, price)
        return cls(market, provider, buyer, resources, window, rate, facts, price, bond, accrual, fee)

    # ---- what may be done ----

    def may(self, act: str, at: int) -> bool:
        """Whether the act is lawful at that second."""
        return bool(getattr(self, f"_may_{act}")(at))

    def _may_sign_as_buyer(self, at: int) -> bool:
        unsigned = self.facts.policy_both and not self.facts.buyer_signed_at
        return unsigned and state(self.facts, at) is LeaseState.AWARDED

    def _may_sign(self, at: int) -> bool:
        turn = self.facts.sign_deadline is not None
        return turn and state(self.facts, at) is LeaseState.AWARDED

    def may_deliver(self, bits: int, at: int) -> bool:
        """Whether these resources may be delivered now."""
        deadline, new = self.facts.deliver_deadline, bits & ~self.facts.delivered_bits
        fits = bool(new) and bits < 1 << self.facts.count
        return fits and deadline is not None and at < deadline and self._is_open(at)

    def _may_accept(self, at: int) -> bool:
        return not self.facts.accepted(at) and self.facts.acceptable(at)

    def _may_reject(self, at: int) -> bool:
        return self.facts.rejectable(at)

    def _may_set_committee(self, at: int) -> bool:
        lives = (LeaseState.SIGNED, LeaseState.DELIVERED, LeaseState.ACTIVE)
        return self.facts.committee is Committee.AWAITED and state(self.facts, at) in lives

    _may_waive = _may_set_committee

    def _may_prove(self, at: int) -> bool:
        facts = self.facts
        seen = facts.committee is Committee.DRAWN and facts.accepted_bits != facts.delivered_bits
        return seen and facts.acceptable(at) and (facts.complete or not facts.all_or_nothing)

    def _may_breach(self, at: int) -> bool:
        active = state(self.facts, at) is LeaseState.ACTIVE and not self.facts.ended_at
        return active and self.facts.committee is Committee.DRAWN

    def _may_cancel(self, at: int) -> bool:
        return state(self.facts, at) in (LeaseState.AWARDED, LeaseState.SIGNED)

    def _may_end_early(self, at: int) -> bool:
        lives = state(self.facts, at) in (LeaseState.DELIVERED, LeaseState.ACTIVE)
        return lives and not self.facts.ended_at and self._notice_ends(at) < self.facts.end

    def _may_expire(self, at: int) -> bool:
        facts = self.facts
        if self._is_unproven(at):
            return True
        if facts.ended_at:
            return False
        if not facts.signed_at:
            return state(facts, at) is LeaseState.DEFAULTED
        late = facts.deliver_deadline is not None and at >= facts.deliver_deadline
        return late and not facts.complete and not self.missing

    def _may_wipe(self, at: int) -> bool:
        return state(self.facts, at) is LeaseState.ENDING

    def _may_miss_wipe(self, at: int) -> bool:
        over = state(self.facts, at) is LeaseState.ENDING and not self.facts.wipe_missed
        return over and at >= self.facts.effective_end + self.facts.wipe_time

    def _may_settle(self, at: int) -> bool:
        return self._is_unproven(at) or self.facts.accepted(at)

    def _is_unproven(self, at: int) -> bool:
        return self.facts.unproven_at is not None and at >= self.facts.unproven_at

    def _is_open(self, at: int) -> bool:
        return not self.facts.ended_at and not self._is_unproven(at)

    def _notice_ends(self, at: int) -> int:
        return max(self.facts.start, at) + self.market.params.notice

    # ---- what it does ----

    def do(self, act: str, at: int) -> None:
        """Do a lawful act."""
        getattr(self, f"_{act}")(at)

    def _sign_as_buyer(self, at: int) -> None:
        self._learn(buyer_signed_at=at)

    def _sign(self, at: int) -> None:
        self._learn(signed_at=at)

    def deliver(self, bits: int, at: int) -> None:
        """These resources bill from now, or from the start (L2)."""
        new = bits & ~self.facts.delivered_bits
        self._learn(delivered_bits=self.facts.delivered_bits | new, last_delivered_at=at)
        self.accrual = self.accrual.delivered(new.bit_count(), max(self.facts.start, at))
        self.sums = billing.RunningSums.of(self.accrual.deliveries)

    def _accept(self, at: int) -> None:
        self._learn(accepted_bits=self.facts.delivered_bits)

    def _set_committee(self, at: int) -> None:
        self._learn(committee=Committee.DRAWN, committee_at=at)

    def _waive(self, at: int) -> None:
        self._learn(committee=Committee.WAIVED, committee_at=at)
        self._return_fees()

    def _prove(self, at: int) -> None:
        self._learn(accepted_bits=self.facts.delivered_bits)

    def _breach(self, at: int) -> None:
        deadline = self.facts.deliver_deadline
        self._drop_missing(deadline is not None and at >= deadline, at)
        self._end(EndReason.BREACH, at)
        unserved = self.price - self.earned(at, final=False)
        self._forfeit(min(self.bond, billing.ppm_of(unserved, self.market.params.default_ppm)))

    def _reject(self, at: int) -> None:
        facts = self.facts
        late = facts.deliver_deadline is not None and at >= facts.deliver_deadline
        nothing_owed = facts.all_or_nothing and not facts.complete and late
        self._drop_missing(late, at)
        self._end(EndReason.REJECTED, min(at, facts.end))
        if nothing_owed:
            self._close()
        else:
            self._draw(min(at, facts.counts_from + facts.accept_time), final=True)
        if facts.committee is Committee.AWAITED:
            self._return_fees()

    def _cancel(self, at: int) -> None:
        self._end(EndReason.CANCELLED, at)
        self._pay_reserve(at)

    def _end_early(self, at: int) -> None:
        deadline = self.facts.deliver_deadline
        self._drop_missing(deadline is not None and at >= deadline, at)
        self._end(EndReason.BUYER_EARLY, self._notice_ends(at))

    def _expire(self, at: int) -> None:
        p = self.market.params
        if self._is_unproven(at):
            self._expire_unproven(at)
        elif self.facts.delivered_bits:
            self._drop_missing(True, at)
        elif self.facts.signed_at:
            self._end(EndReason.UNDELIVERED, at)
            self._default(self.bond, at)
        elif self.facts.sign_deadline is None:
            self._end(EndReason.BUYER_UNSIGNED, at)
            self._pay_reserve(at)
        else:
            self._end(EndReason.PROVIDER_UNSIGNED, at)
            self._default(billing.ppm_of(self.bond, p.sign_miss_ppm), at)

    def _expire_unproven(self, at: int) -> None:
        self._drop_missing(True, at)
        self._end(EndReason.UNPROVEN, min(at, self.facts.effective_end))
        self._close()
        self._forfeit(self.bond)

    def _wipe(self, at: int) -> None:
        if self._is_unproven(at):
            self._expire_unproven(at)
        self._drop_missing(True, at)
        if self.facts.wipe_missed:
            self._hold(-1)
        self._learn(wiped_at=at)
        if self.facts.accepted(at) and self.facts.end_reason is not EndReason.REJECTED:
            self._settle(at)
        elif self.facts.committee is not Committee.DRAWN or not self.facts.acceptable(at):
            self._free_bond()
        self._free_slots(self.facts.delivered_bits, at)

    def _miss_wipe(self, at: int) -> None:
        self._forfeit(billing.ppm_of(self.bond, self.market.params.wipe_ppm))
        self._learn(wipe_missed=True)
        self._hold(+1)

    def _settle(self, at: int) -> None:
        if self._is_unproven(at):
            self._expire_unproven(at)
            return
        over = at >= self.facts.effective_end
        if over:
            self._drop_missing(True, at)
        until = self.facts.final_until(at)
        self._draw(until, final=over and until >= self.facts.effective_end)
        if self.facts.wiped_at:
            self._free_bond()
        if over and self.facts.committee is Committee.AWAITED:
            self._return_fees()

    # ---- money and slots ----

    def earned(self, until: int, final: bool) -> int:
        """All that the provider will have been paid if it is settled up to `until`."""
        return self.paid if self.closed else max(self.paid, self.accrual.accrued(until, final))

    def _draw(self, at: int, final: bool) -> None:
        earned = self.earned(at, final)
        self.market.free[self.provider] += earned - self.paid
        self.paid = earned
        if final and not self.closed:
            self._close()

    def _close(self) -> None:
        self._lower_price(self.paid)
        self.closed = True

    def _lower_price(self, price: int) -> None:
        if self.closed:
            return
        self.market.free[self.buyer] += self.price - price
        self.price = price
        self.accrual = replace(self.accrual, price=price)

    def _pay_reserve(self, at: int) -> None:
        reserve = billing.ppm_of(self.price, self.market.params.reserve_ppm)
        self.market.free[self.provider] += reserve
        self.paid += reserve
        self._close()
        self._free_all(at)

    def _default(self, penalty: int, at: int) -> None:
        self._close()
        self._forfeit(penalty)
        self._free_all(at)

    def _free_all(self, at: int) -> None:
        self._free_bond()
        self._return_fees()
        self._free_slots(self._all, at)

    def _return_fees(self) -> None:
        to_buyer, to_provider = billing.fee_back(self.fee, 0)
        self.market.free[self.buyer] += to_buyer
        self.market.free[self.provider] += to_provider
        self.fee = 0

    def _drop_missing(self, is_default: bool, at: int) -> None:
        facts = self.facts
        gone = self._all & ~facts.delivered_bits
        if not gone or self.missing:
            return
        self.missing, left = gone.bit_count(), facts.delivered_bits.bit_count()
        seconds = facts.end - max(facts.start, facts.created_at)
        self._lower_price(min(self.price, billing.amount_up(self.rate, left, seconds)))
        if is_default:
            self._forfeit(billing.missing_share(self.bond, self.missing, facts.count))
        self._free_slots(gone, at)

    def _forfeit(self, amount: int) -> None:
        self.bond -= amount
        self.market.free[self.buyer] += amount

    def _free_bond(self) -> None:
        self.market.free[self.provider] += self.bond
        self.bond = 0

    def _free_slots(self, bits: int, at: int) -> None:
        """Free from the next slot on; a lease that did not begin gives back all (L6)."""
        begun = at >= self.facts.start
        first = at // self.market.params.slot + 1 if begun else self.window.start_slot
        for resource in self._chosen(bits):
            last = self.window.end_slot + self.market.turnaround[resource]
            calendar = self.market.calendar(resource)
            self.market.calendars[resource] = calendar.free_range(first, last)

    def _hold(self, change: int) -> None:
        for resource in self._chosen(self.facts.delivered_bits):
            self.market.holds[resource] = self.market.holds.get(resource, 0) + change

    def _chosen(self, bits: int) -> list[int]:
        return [resource for place, resource in enumerate(self.resources) if bits >> place & 1]

    def _end(self, reason: EndReason, at: int) -> None:
        self._learn(end_reason=reason, ended_at=at)
        self.accrual = replace(self.accrual, end=at)

    def _learn(self, **facts: object) -> None:
        self.facts = replace(self.facts, **facts)  # type: ignore[arg-type]

    @property
    def _all(self) -> int:
        return (1 << self.facts.count) - 1
