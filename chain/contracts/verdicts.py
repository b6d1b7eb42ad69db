"""`Verdicts`: what published leaves mean for a lease's money (contracts/interfaces/IVerdicts.sol)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from chain.contracts.base import Call, Contract, struct
from chain.generated.errors import Verdicts_UnknownSla
from chain.leaves import Published
from chain.power import PowerRequest
from chain.wire import BlockId
from market.rounds import Span
from market.verdicts import Record, Sla, Tier

__all__ = ["Appeal", "Evidence", "Terms", "Verdicts"]

_BATCH = 32


@dataclass(frozen=True, slots=True)
class Evidence:
    """IVerdicts.Evidence: one seat's published leaf for one epoch of the span."""

    epoch: int
    seat: int
    published: Published

    def to_abi(self) -> tuple[object, ...]:
        """In the order of the Solidity struct."""
        return (self.epoch, self.seat, self.published.to_abi())


@dataclass(frozen=True, slots=True)
class Terms:
    """IVerdicts.Terms: deployment constants; seconds, and microcredits for the bond."""

    restore_time: int
    power_time: int
    appeal_bond: int
    appeal_time: int


@dataclass(frozen=True, slots=True)
class Appeal:
    """IVerdicts.Appeal; `epoch` names the span, `bond` and `amount` are microcredits."""

    lease: int
    place: int
    epoch: int
    by: int
    account: str
    bond: int
    amount: int
    filed_at: int
    decided: bool


class Verdicts(Contract):
    """Claims, tiers, grace, recorded power-off, breach, appeals, and the witnesses' pay."""

    NAME = "Verdicts"

    def terms(self, lease: int | None = None, *, block: BlockId = "latest") -> Terms:
        """The constants that hold for a lease; without one, for those to come."""
        return struct(Terms, self._view_for(lease, "terms", block=block))

    def sla(self, sla: int, lease: int | None = None, *, block: BlockId = "latest") -> Sla:
        """An SLA, or what it promises a lease; Verdicts_UnknownSla if it was not registered (by then)."""
        tiers, guest, opened = self._view("sla", sla, block=block)
        if lease is not None and lease <= opened:
            raise Verdicts_UnknownSla(sla=sla)
        return Sla(tuple(struct(Tier, tier) for tier in tiers), bool(guest))

    def slas(self, *, block: BlockId = "latest") -> dict[int, Sla]:
        """Every registered SLA by its number; they are numbered one by one."""
        found: dict[int, Sla] = {}
        first = 1
        while True:
            batch = self._views("sla", range(first, first + _BATCH), block=block)
            for number, (tiers, guest, _) in batch.items():
                found[number] = Sla(tuple(struct(Tier, tier) for tier in tiers), bool(guest))
            if len(batch) < _BATCH:
                return found
            first += _BATCH

    def record(self, lease: int, place: int, *, block: BlockId = "latest") -> Record:
        return struct(Record, self._view("record", lease, place, block=block))

    def next_pay(self, lease: int, *, block: BlockId = "latest") -> tuple[int, bool]:
        """The next term of a lease to be paid, and whether all are."""
        term, done = self._view("nextPay", lease, block=block)
        return term, done

    def appeal_of(self, appeal: int, *, block: BlockId = "latest") -> Appeal:
        return struct(Appeal, self._view("appealOf", appeal, block=block))

    def power_of(self, lease: int, *, block: BlockId = "latest") -> tuple[tuple[int, int], ...]:
        """The recorded times without power, oldest first: `(from, until)` each."""
        return tuple((pair[0], pair[1]) for pair in self._view("powerOf", lease, block=block))

    def span_of(self, lease: int, epoch: int, *, block: BlockId = "latest") -> tuple[Span, int]:
        """The span an epoch belongs to, and the whole rounds of the lease in it."""
        first, last, whole = self._view("spanOf", lease, epoch, block=block)
        return Span(first, last), whole

    def register_sla(self, sla: Sla) -> Call:
        tiers = [(tier.below_ppm, tier.penalty_ppm, tier.breach_after) for tier in sla.tiers]
        return self._call("registerSla", tiers, sla.guest)

    def claim(self, lease: int, place: int, epoch: int, evidence: Sequence[Evidence]) -> Call:
        return self._call("claim", lease, place, epoch, [item.to_abi() for item in evidence])

    def post_power(self, request: PowerRequest, signature: bytes) -> Call:
        values = (request.lease, int(request.action), request.nonce, request.time)
        return self._call("postPower", values, signature)

    def end_for_breach(self, lease: int, place: int) -> Call:
        return self._call("endForBreach", lease, place)

    def appeal(self, lease: int, place: int, epoch: int) -> Call:
        return self._call("appeal", lease, place, epoch)

    def decide(self, appeal: int, to_buyer: int, upheld: bool) -> Call:
        return self._call("decide", appeal, to_buyer, upheld)

    def lapse(self, appeal: int) -> Call:
        return self._call("lapse", appeal)

    def pay(self, lease: int, term: int) -> Call:
        return self._call("pay", lease, term)
