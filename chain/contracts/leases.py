"""`Leases`: facts and deadlines of leases (contracts/interfaces/ILeases.sol)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntFlag

from chain.contracts.base import Call, Contract, struct
from chain.generated.enums import Committee, EndReason, Fault, LeaseState, Policy
from chain.wire import BlockId
from market.leases import Committee as JudgedCommittee
from market.leases import EndReason as JudgedReason
from market.leases import LeaseFacts
from market.rounds import Grid
from market.specs import class_id
from market.windows import SlotWindow

__all__ = ["Delivery", "Lease", "Leases", "Terms", "Trait", "lease_facts"]


@dataclass(frozen=True, slots=True)
class Terms:
    """ILeases.Terms: deployment constants, seconds and parts per million.

    `seat_fee`: microcredits a seat of a committee gets for an epoch; `seats`: as many as fees are locked for.
    """

    sign_time: int
    fence_time: int
    deliver_time: int
    accept_time: int
    wipe_time: int
    notice: int
    default_ppm: int
    sign_miss_ppm: int
    reserve_ppm: int
    wipe_ppm: int
    epoch: int
    rounds: int
    seat_fee: int
    seats: int

    @property
    def grid(self) -> Grid:
        """How the witnesses cut time."""
        return Grid(self.epoch, self.rounds)


class Trait(IntFlag):
    """What may be agreed on a lease beside its price and policy (contracts/libraries/Traits.sol)."""

    NONE = 0
    ALL_OR_NOTHING = 1
    COMPOSITE = 2
    RECLAIMABLE = 4
    SAME_SITE = 8
    DISTINCT = 16
    SAME_START = 32


@dataclass(frozen=True, slots=True)
class Lease:
    """ILeases.Lease; `start` and `end` are slots, times unix seconds (0: not yet); `sla` 0: no promise."""

    award: int
    offer: int
    request: int
    provider: int
    buyer: int
    start: int
    end: int
    count: int
    policy: Policy
    traits: Trait
    rate: int
    created_at: int
    buyer_signed_at: int
    signed_at: int
    ended_at: int
    reason: EndReason
    missing: int
    fence_holder: str
    fence_until: int
    delivered_at: int
    wipe_missed: bool
    delivered: int
    accepted: int
    wiped_at: int
    sla: int
    committee: Committee
    committee_at: int
    delivery: bytes

    @property
    def window(self) -> SlotWindow:
        """When the resources are the buyer's."""
        return SlotWindow(self.start, self.end)

    @property
    def all_or_nothing(self) -> bool:
        """Fewer resources than `count` are worth nothing to the buyer."""
        return bool(self.traits & Trait.ALL_OR_NOTHING)


@dataclass(frozen=True, slots=True)
class Delivery:
    """ILeases.Delivery; `resources` is a bitmap of places in `resources_of`."""

    resources: int
    connection_hash: bytes
    host_key: bytes
    spec_hash: bytes


class Leases(Contract):
    """From award to wipe evidence."""

    NAME = "Leases"

    def count(self, *, block: BlockId = "latest") -> int:
        return int(self._view("count", block=block))

    def numbers(self) -> list[int]:
        """Every lease there is, the oldest first."""
        return self._numbers("count")

    def base(self) -> int:
        """The number before the first one of this generation."""
        return int(self._view("base"))

    def terms(self, lease: int | None = None, *, block: BlockId = "latest") -> Terms:
        """The constants that hold for a lease; without one, for those to come."""
        return struct(Terms, self._view_for(lease, "terms", block=block))

    def lease(self, lease: int, *, block: BlockId = "latest") -> Lease:
        return struct(Lease, self._view("lease", lease, block=block))

    def many(self, leases: Sequence[int], *, block: BlockId = "latest") -> dict[int, Lease]:
        """The records of several leases in few messages; what the chain refuses is left out."""
        return {n: struct(Lease, item) for n, item in self._views("lease", leases, block=block).items()}

    def resources_of(self, lease: int, *, block: BlockId = "latest") -> tuple[int, ...]:
        return tuple(self._view("resourcesOf", lease, block=block))

    def state_of(self, lease: int, *, block: BlockId = "latest") -> LeaseState:
        return LeaseState(self._view("stateOf", lease, block=block))

    def end_of(self, lease: int, *, block: BlockId = "latest") -> tuple[EndReason, Fault]:
        reason, fault = self._view("endOf", lease, block=block)
        return EndReason(reason), Fault(fault)

    def final_until(self, lease: int, *, block: BlockId = "latest") -> int:
        """The second up to which no verdict can change what accrued."""
        return int(self._view("finalUntil", lease, block=block))

    def sign_as_buyer(self, lease: int) -> Call:
        return self._call("signAsBuyer", lease)

    def sign(self, lease: int) -> Call:
        return self._call("sign", lease)

    def renew_fence(self, lease: int) -> Call:
        return self._call("renewFence", lease)

    def take_over(self, lease: int) -> Call:
        return self._call("takeOver", lease)

    def deliver(self, lease: int, delivery: Delivery) -> Call:
        values = (delivery.resources, delivery.connection_hash, delivery.host_key, delivery.spec_hash)
        return self._call("deliver", lease, values)

    def accept(self, lease: int, delivered: int) -> Call:
        return self._call("accept", lease, delivered)

    def reject(self, lease: int, note: str) -> Call:
        return self._call("reject", lease, class_id(note))

    def cancel(self, lease: int) -> Call:
        return self._call("cancel", lease)

    def end_early(self, lease: int) -> Call:
        return self._call("endEarly", lease)

    def expire(self, lease: int) -> Call:
        return self._call("expire", lease)

    def wipe(self, lease: int, evidence_hash: bytes) -> Call:
        return self._call("wipe", lease, evidence_hash)

    def miss_wipe(self, lease: int) -> Call:
        return self._call("missWipe", lease)

    def settle(self, lease: int) -> Call:
        return self._call("settle", lease)


def lease_facts(lease: Lease, terms: Terms, slot: int) -> LeaseFacts:
    """The contract's record in the form that `market.leases` judges."""
    return LeaseFacts(
        created_at=lease.created_at,
        start=lease.start * slot,
        end=lease.end * slot,
        count=lease.count,
        sign_time=terms.sign_time,
        deliver_time=terms.deliver_time,
        accept_time=terms.accept_time,
        wipe_time=terms.wipe_time,
        policy_both=lease.policy is Policy.BOTH,
        all_or_nothing=lease.all_or_nothing,
        buyer_signed_at=lease.buyer_signed_at,
        signed_at=lease.signed_at,
        delivered_bits=lease.delivered,
        accepted_bits=lease.accepted,
        last_delivered_at=lease.delivered_at,
        ended_at=lease.ended_at,
        end_reason=JudgedReason(int(lease.reason)),
        wiped_at=lease.wiped_at,
        wipe_missed=lease.wipe_missed,
        committee=JudgedCommittee(int(lease.committee)),
        committee_at=lease.committee_at,
        grid=terms.grid if lease.committee is not Committee.NONE else None,
    )
