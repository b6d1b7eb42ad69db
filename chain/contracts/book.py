"""`Book`: offers and requests at rest, buy-now (contracts/interfaces/IBook.sol).

Rates are microcredits per resource and hour, windows are in slots.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from chain.contracts.base import Call, Contract, spec_tuple, struct, window_tuple
from chain.contracts.leases import Trait
from chain.generated.enums import Policy
from chain.wire import BlockId
from market.specs import Spec, class_id
from market.windows import SlotWindow

__all__ = ["Bid", "Book", "Eligible", "Offer", "OfferTerms", "Request", "RequestTerms"]


@dataclass(frozen=True, slots=True)
class Eligible:
    """Which resources a request takes: the root over them, why (canonical expression), and their numbers.

    `listed`: increasing, 4 bytes each. All empty: any resource.
    """

    root: bytes = bytes(32)
    expression: bytes = b""
    listed: bytes = b""


@dataclass(frozen=True, slots=True)
class OfferTerms:
    """IBook.OfferTerms; `buy_now_rate` 0: not for sale at once. `sla`: what leases bought at once promise,
    `traits` what else is agreed with who buys at once: nothing, or that it may be taken back."""

    window: SlotWindow
    floor_rate: int
    buy_now_rate: int = 0
    min_slots: int = 1
    sla: int = 0
    traits: Trait = Trait.NONE


@dataclass(frozen=True, slots=True)
class Offer:
    """IBook.Offer; `start` and `end` are slots. Before the second `frozen_until` an auction has it."""

    org: int
    start: int
    end: int
    min_slots: int
    floor_rate: int
    buy_now_rate: int
    by: str
    closed: bool
    created_at: int
    sla: int
    deposit: int
    traits: Trait
    frozen_until: int

    @property
    def window(self) -> SlotWindow:
        """The whole of what is for rent."""
        return SlotWindow(self.start, self.end)


@dataclass(frozen=True, slots=True)
class RequestTerms:
    """IBook.RequestTerms; `class_` is a name, `sla` what the leases are to promise (0: nothing).

    `slots`: how long each resource is needed, anywhere in the window; 0 means all of it. `eligible` is what
    `chain.eligible` makes of an expression; without one any resource may be bid.
    """

    window: SlotWindow
    count: int
    ceiling_rate: int
    class_: str
    spec: Spec
    policy: Policy = Policy.PROVIDER
    traits: Trait = Trait.NONE
    sla: int = 0
    slots: int = 0
    eligible: Eligible = field(default_factory=Eligible)

    @property
    def piece(self) -> int:
        """How long each lease will be, in slots."""
        return self.slots or self.window.end_slot - self.window.start_slot

    def as_tuple(self) -> tuple[object, ...]:
        """In the order of the Solidity struct."""
        return (
            window_tuple(self.window),
            self.slots,
            self.count,
            int(self.policy),
            int(self.traits),
            self.ceiling_rate,
            self.sla,
            class_id(self.class_),
            spec_tuple(self.spec),
            self.eligible.root,
            self.eligible.expression,
            self.eligible.listed,
        )


@dataclass(frozen=True, slots=True)
class Bid:
    """IBook.Bid; `rate` in microcredits per resource and hour, `start` the slot it begins in.

    `resources` strictly increasing.
    """

    offer: int
    rate: int
    start: int
    resources: tuple[int, ...]

    def as_tuple(self) -> tuple[int, int, int, tuple[int, ...]]:
        """In the order of the Solidity struct."""
        return (self.offer, self.rate, self.start, self.resources)


@dataclass(frozen=True, slots=True)
class Request:
    """IBook.Request; `start` and `end` are slots, `class_` is 32 bytes."""

    org: int
    start: int
    end: int
    count: int
    policy: Policy
    traits: Trait
    closed: bool
    ceiling_rate: int
    sla: int
    by: str
    created_at: int
    slots: int
    class_: bytes
    spec: Spec
    eligible: bytes

    @property
    def window(self) -> SlotWindow:
        """When the resources are needed; a lease takes `slots` of it."""
        return SlotWindow(self.start, self.end)

    @property
    def starts(self) -> range:
        """The slots a lease may begin in."""
        return range(self.start, self.end - self.slots + 1)

    @property
    def all_or_nothing(self) -> bool:
        """Fewer resources than `count` are worth nothing to the buyer."""
        return bool(self.traits & Trait.ALL_OR_NOTHING)


class Book(Contract):
    """What is for sale and what is wanted."""

    NAME = "Book"

    def offer_count(self, *, block: BlockId = "latest") -> int:
        return int(self._view("offerCount", block=block))

    def request_count(self, *, block: BlockId = "latest") -> int:
        return int(self._view("requestCount", block=block))

    def offers(self) -> list[int]:
        """Every offer there is, the oldest first."""
        return self._numbers("offerCount")

    def requests(self) -> list[int]:
        """Every request there is, the oldest first."""
        return self._numbers("requestCount")

    def offer(self, offer: int, *, block: BlockId = "latest") -> Offer:
        return struct(Offer, self._view("offer", offer, block=block))

    def resources_of(self, offer: int, *, block: BlockId = "latest") -> tuple[int, ...]:
        return tuple(self._view("resourcesOf", offer, block=block))

    def request(self, request: int, *, block: BlockId = "latest") -> Request:
        return struct(Request, self._view("request", request, block=block))

    def open_orders(self, org: int, *, block: BlockId = "latest") -> int:
        return int(self._view("openOrders", org, block=block))

    def max_open_orders(self, *, block: BlockId = "latest") -> int:
        return int(self._view("maxOpenOrders", block=block))

    def order_deposit_ppm(self, *, block: BlockId = "latest") -> int:
        return int(self._view("orderDepositPpm", block=block))

    def publish(self, terms: OfferTerms, resources: Sequence[int], *, org: int = 0) -> Call:
        """Offer for an organisation; 0 is the wallet's own, another one must have granted it the right."""
        window = window_tuple(terms.window)
        values = (window, terms.floor_rate, terms.buy_now_rate, terms.min_slots, terms.sla, terms.traits)
        return self._call("publish", org, values, sorted(resources))

    def cancel(self, offer: int) -> Call:
        return self._call("cancel", offer)

    def expire(self, offer: int) -> Call:
        return self._call("expire", offer)

    def reprice(self, offer: int, floor_rate: int, buy_now_rate: int) -> Call:
        return self._call("reprice", offer, floor_rate, buy_now_rate)

    def buy_now(self, offer: int, resources: Sequence[int], window: SlotWindow, *, org: int = 0) -> Call:
        """Buy for an organisation, as `publish` offers for one."""
        return self._call("buyNow", org, offer, sorted(resources), window_tuple(window))

    def assign(self, to: int, resources: Sequence[int], window: SlotWindow, *, org: int = 0) -> Call:
        """Hand resources to another organisation of the party, or to the own one, without payment (L10)."""
        return self._call("assign", org, to, sorted(resources), window_tuple(window))
