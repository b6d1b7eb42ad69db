"""What an organisation's credits did in one calendar month, so that the opening and closing balance add up.

A posting is one movement that the ledger shows, with the transaction it stands in. `free` and `locked` are
what it changed of the organisation's free balance, and of its own money in purpose accounts; both together
are all that is its own. A statement gathers the postings of a month: one line for each lease and role, one
for each other posting. Months are calendar months in UTC, half-open like every window here.

What was paid is what the ledger says. Billed seconds and started hours only say for what time; they never
change an amount. All money is in integer microcredits. This module reads nothing and has no clock.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import Enum

from market.billing import SECONDS_PER_HOUR, Delivery, RunningSums
from market.errors import Bug, InvalidInput
from market.windows import MAX_TIME, Window

__all__ = [
    "Balance",
    "Bill",
    "Kind",
    "LeaseLine",
    "Posting",
    "Role",
    "Statement",
    "month_of",
    "statement",
]

_MONTH = re.compile(r"(\d{4})-(\d{2})", re.ASCII)


class Role(Enum):
    """What the organisation was to a lease."""

    BUYER = "buyer"
    PROVIDER = "provider"
    WITNESS = "witness"


class Kind(Enum):
    """What a posting is."""

    DEPOSIT = "deposit"
    WITHDRAWAL = "withdrawal"
    MINT = "mint"
    """Into a member's wallet: no part of the balance until it is deposited."""
    LOCKED = "locked"
    RETURNED = "returned"
    MOVED = "moved"
    """From what is locked for a request to what is locked for its leases."""
    PAID = "paid"
    EARNED = "earned"
    GIVEN_BACK = "given back"
    """What a verdict took off the bill. The buyer's own money, which comes back as `RETURNED`."""
    PENALTY = "penalty"
    """Out of the provider's bond to the buyer."""
    FEE = "witness fee"
    RECEIVED = "received"
    """Shares of forfeited deposits and fines, from nobody's lease."""
    LOST = "lost"
    """Forfeited deposits, slashed stakes, appeal bonds that went to the fund."""


_SIGNS = {
    Kind.DEPOSIT: 1,
    Kind.WITHDRAWAL: -1,
    Kind.MINT: 0,
    Kind.LOCKED: 0,
    Kind.RETURNED: 0,
    Kind.MOVED: None,
    Kind.PAID: -1,
    Kind.EARNED: 1,
    Kind.GIVEN_BACK: 0,
    Kind.PENALTY: None,
    Kind.FEE: None,
    Kind.RECEIVED: 1,
    Kind.LOST: -1,
}
"""How a posting of that kind changes what is the organisation's; None where it may be either way."""


@dataclass(frozen=True, slots=True)
class Posting:
    """One movement: `amount` says how much it is about, never negative; `lease` 0 is none.

    `time` in unix seconds, `tx` the transaction, `note` whatever says more (a contract, a reference).
    """

    time: int
    tx: bytes
    kind: Kind
    amount: int
    free: int = 0
    locked: int = 0
    lease: int = 0
    role: Role | None = None
    note: str = ""

    def __post_init__(self) -> None:
        """Refuse what does not add up in itself: Bug."""
        sign = _SIGNS[self.kind]
        if self.amount < 0 or sign is not None and self.free + self.locked != sign * self.amount:
            raise Bug(f"a posting of {self.amount} ({self.kind.value}) changes {self.free} and {self.locked}")


@dataclass(frozen=True, slots=True)
class Balance:
    """Microcredits of an organisation: free, and its own in purpose accounts."""

    free: int = 0
    locked: int = 0

    @property
    def total(self) -> int:
        """All of it."""
        return self.free + self.locked

    def after(self, postings: Iterable[Posting]) -> Balance:
        """The balance that these postings lead to."""
        free, locked = self.free, self.locked
        for posting in postings:
            free += posting.free
            locked += posting.locked
        return Balance(free, locked)


@dataclass(frozen=True, slots=True)
class Bill:
    """For what time a lease bills: its deliveries, until `until` (unix seconds, what is known by now).

    With `over` the time since the first delivery is rounded up to `quantum` seconds, as the contract does
    once at the end, but to no more than `most` resource-seconds: those of the whole window.
    """

    deliveries: tuple[Delivery, ...] = ()
    until: int = 0
    over: bool = False
    quantum: int = 1
    most: int = 0

    def seconds(self, window: Window) -> int:
        """Resource-seconds billed in the window; what the end is rounded up by counts where the end is."""
        return self._seconds(window.end) - self._seconds(window.start)

    def started_hours(self, window: Window) -> int:
        """Hours of each resource that started in the window, by its own delivery."""
        return self._hours(window.end) - self._hours(window.start)

    def _seconds(self, at: int) -> int:
        last = self.over and at >= self.until
        at = min(at, self.until)
        begun = RunningSums.of(delivery for delivery in self.deliveries if delivery.billed_from <= at)
        return min(begun.resource_seconds(at, self.quantum if last else 1), self.most)

    def _hours(self, at: int) -> int:
        at = min(at, self.until)
        return sum(
            delivery.count * -(-max(0, at - delivery.billed_from) // SECONDS_PER_HOUR)
            for delivery in self.deliveries
        )


@dataclass(frozen=True, slots=True)
class LeaseLine:
    """One lease in a month, as seen in one role.

    Penalties and fees have a sign: what came in less what went out. Always
    `earned - paid + penalties + fees + moved == free + locked`; `moved` was locked for its request before.
    """

    lease: int
    role: Role
    seconds: int
    hours: int
    postings: tuple[Posting, ...]

    def sum_of(self, kind: Kind) -> int:
        """The amounts of one kind."""
        return sum(posting.amount for posting in self.postings if posting.kind is kind)

    def change_of(self, kind: Kind) -> int:
        """What the postings of one kind changed of all that is the organisation's."""
        return sum(posting.free + posting.locked for posting in self.postings if posting.kind is kind)

    @property
    def change(self) -> Balance:
        """What the lease changed in the month."""
        return Balance().after(self.postings)

    @property
    def transactions(self) -> tuple[bytes, ...]:
        """Where all this stands, oldest first, each once."""
        return tuple(dict.fromkeys(posting.tx for posting in self.postings))


@dataclass(frozen=True, slots=True)
class Statement:
    """A month of one organisation; `complete` if it was over at `as_of` (unix seconds)."""

    month: Window
    as_of: int
    opening: Balance
    closing: Balance
    leases: tuple[LeaseLine, ...]
    others: tuple[Posting, ...]

    @property
    def complete(self) -> bool:
        """Whether nothing can be added to the month any more."""
        return self.as_of >= self.month.end


def month_of(text: str) -> Window:
    """The calendar month `2026-11`, in UTC and half-open; InvalidInput if it is none."""
    match = _MONTH.fullmatch(text.strip())
    year, number = (int(match[1]), int(match[2])) if match else (0, 0)
    if year < 1970 or not 1 <= number <= 12:
        raise InvalidInput(f"'{text}' is not a month", hint="write it like 2026-11")
    start = int(datetime(year, number, 1, tzinfo=UTC).timestamp())
    if (year, number) == (9999, 12):
        return Window(start, MAX_TIME)
    following = datetime(year + number // 12, number % 12 + 1, 1, tzinfo=UTC)
    return Window(start, int(following.timestamp()))


def statement(
    month: Window, as_of: int, postings: Iterable[Posting], bills: Mapping[int, Bill], free: int
) -> Statement:
    """The statement of a month, from all postings there ever were up to `as_of`, oldest first.

    `bills` by lease, of those the organisation is buyer or provider of; `free` is the free balance that the
    ledger has at `as_of`. InvalidInput if the month has not begun; Bug if anything does not add up.
    """
    if as_of < month.start:
        raise InvalidInput(
            "that month has not begun", hint="name this month or an earlier one", start=month.start, now=as_of
        )
    known = list(postings)
    if Balance().after(known).free != free:
        raise Bug(
            f"the movements add up to {Balance().after(known).free} microcredits, the ledger has {free}",
            hint="give the command again; if it stays, report it with the month",
        )
    opening = Balance().after(posting for posting in known if posting.time < month.start)
    closing = Balance().after(posting for posting in known if posting.time < month.end)
    inside = [posting for posting in known if month.contains(posting.time)]
    result = Statement(
        month,
        as_of,
        opening,
        closing,
        _lines(month, inside, bills, {posting.lease: posting.role for posting in known}),
        tuple(posting for posting in inside if posting.role is None),
    )
    _require_sums(result)
    return result


def _lines(
    month: Window, inside: list[Posting], bills: Mapping[int, Bill], roles: Mapping[int, Role | None]
) -> tuple[LeaseLine, ...]:
    grouped: dict[tuple[int, Role], list[Posting]] = defaultdict(list)
    for posting in inside:
        if posting.role is not None:
            grouped[posting.lease, posting.role].append(posting)
    for lease, bill in bills.items():
        role = roles.get(lease)
        if role is not None and bill.seconds(month):
            grouped.setdefault((lease, role), [])
    return tuple(
        LeaseLine(lease, role, *_times(month, role, bills.get(lease, Bill())), tuple(found))
        for (lease, role), found in sorted(grouped.items(), key=lambda item: (item[0][0], item[0][1].value))
    )


def _times(month: Window, role: Role, bill: Bill) -> tuple[int, int]:
    """Billed seconds and started hours; a witness bills for neither."""
    return (0, 0) if role is Role.WITNESS else (bill.seconds(month), bill.started_hours(month))


def _require_sums(made: Statement) -> None:
    """Bug unless the rows lead from the opening to the closing balance, each lease by its own columns."""
    free, locked = made.opening.free, made.opening.locked
    for line in made.leases:
        change = line.change
        explained = line.sum_of(Kind.EARNED) - line.sum_of(Kind.PAID)
        explained += sum(line.change_of(kind) for kind in (Kind.PENALTY, Kind.FEE, Kind.MOVED))
        if explained != change.total:
            raise Bug(
                f"lease {line.lease} changed {change.total} microcredits, of which {explained} are told"
            )
        free, locked = free + change.free, locked + change.locked
    last = Balance(free, locked).after(made.others)
    if last != made.closing:
        raise Bug(f"the rows lead to {last}, the month closes with {made.closing}")
    if min(made.opening.free, made.opening.locked, made.closing.free, made.closing.locked) < 0:
        raise Bug(f"a balance below nothing: {made.opening} to {made.closing}")
