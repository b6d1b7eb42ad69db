"""Reads from the ledger what an organisation's credits did: the postings behind a monthly statement.

Escrow's events say what became free or was locked; those of Settlement, tenders and witnesses say whose money
left a purpose account. Read up to one block, so that all of it fits together.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from chain.contracts.leases import lease_facts
from chain.generated import events
from chain.generated.enums import BidStatus
from chain.history import history, topic
from cli.balances import appeals_of, auctions_of, bids_of, movements
from market.billing import Delivery, buyers_half
from market.errors import InvalidInput
from market.leases import EndReason, ending
from market.specs import class_name
from market.statement import Bill, Kind, Posting, Role

if TYPE_CHECKING:
    from chain.exchange import Exchange
    from chain.history import Entry

__all__ = ["Ledger", "read"]

Placed = tuple[int, int, Posting]
"""A posting behind its block and its place there."""


@dataclass
class Ledger:
    """All postings of an organisation up to a block, oldest first, and what its leases bill.

    `as_of` is that block's time, `free` the free balance there, `opened` the terms of its leases.
    """

    block: int
    as_of: int
    free: int
    opened: dict[int, events.LeaseOpened]
    postings: list[Posting] = field(default_factory=list)
    bills: dict[int, Bill] = field(default_factory=dict)


def read(exchange: Exchange, org: int) -> Ledger:
    """What the ledger says of an organisation's credits, up to the newest block."""
    head = exchange.rpc.head()
    opened = _opened(exchange, org)
    ledger = Ledger(head.number, head.timestamp, exchange.escrow.free(org, block=head.number), opened)
    moved = movements(exchange, org)
    settled = history(exchange, [exchange.settlement], "lease", sorted(opened))
    found = [
        *_movements(exchange, org, opened, moved),
        *_settled(org, opened, settled, _locked_from_free(exchange, moved)),
        *_lost_accounts(exchange, org),
        *_lost_deposits(exchange, org),
        *_failed_auctions(exchange, org),
        *_mints(exchange, org),
    ]
    found = [item for item in found if item[0] <= head.number and item[2].amount]
    ledger.postings = [item[2] for item in sorted(found, key=lambda item: item[:2])]
    drawn = {e.event.lease for e in settled if isinstance(e.event, events.Accrued)}
    ledger.bills = _bills(exchange, opened, head.timestamp, drawn)
    return ledger


def _opened(exchange: Exchange, org: int) -> dict[int, events.LeaseOpened]:
    found: dict[int, events.LeaseOpened] = {}
    for side in ("buyer", "provider"):
        for entry in history(exchange, [exchange.leases], side, org, kinds=[events.LeaseOpened]):
            if isinstance(entry.event, events.LeaseOpened):
                found[entry.event.lease] = entry.event
    return found


def _posting(
    entry: Entry,
    kind: Kind,
    amount: int,
    free: int = 0,
    locked: int = 0,
    *,
    lease: int = 0,
    role: Role | None = None,
    note: str = "",
) -> Placed:
    made = Posting(entry.time, entry.tx_hash, kind, amount, free, locked, lease, role, note)
    return entry.block, entry.log_index, made


def _role(opened: dict[int, events.LeaseOpened], lease: int, org: int) -> Role:
    terms = opened.get(lease)
    if terms is None:
        return Role.WITNESS
    return Role.BUYER if terms.buyer == org else Role.PROVIDER


def _lease_of(exchange: Exchange, opener: str, account: bytes) -> int:
    """The lease whose account that is; 0 if it is none. Funds of awards have names of their own there."""
    number = int.from_bytes(account, "big")
    return number if opener in exchange.settlement.addresses and number < 1 << 32 else 0


def _movements(
    exchange: Exchange, org: int, opened: dict[int, events.LeaseOpened], entries: list[Entry]
) -> Iterator[Placed]:
    """What changed the free balance."""
    names = {at: contract.NAME for contract in exchange.contracts() for at in contract.addresses}
    for entry in entries:
        event = entry.event
        match event:
            case events.Deposited():
                yield _posting(entry, Kind.DEPOSIT, event.amount, event.amount, note=event.from_)
            case events.Withdrawn():
                yield _posting(entry, Kind.WITHDRAWAL, event.amount, -event.amount, note=event.to)
            case events.Locked() | events.Unlocked() | events.Paid():
                lease = _lease_of(exchange, event.opener, event.account)
                role = _role(opened, lease, org) if lease else None
                kind, free, locked = _moved(event, role)
                note = names.get(event.opener, event.opener)
                yield _posting(entry, kind, event.amount, free, locked, lease=lease, role=role, note=note)


def _moved(event: events.Locked | events.Unlocked | events.Paid, role: Role | None) -> tuple[Kind, int, int]:
    """What a movement is, and what it changes of the free balance and of what is locked."""
    if isinstance(event, events.Locked):
        return Kind.LOCKED, -event.amount, event.amount
    if isinstance(event, events.Unlocked):
        return Kind.RETURNED, event.amount, -event.amount
    kinds = {Role.BUYER: Kind.PENALTY, Role.PROVIDER: Kind.EARNED, Role.WITNESS: Kind.FEE}
    return kinds[role] if role else Kind.RECEIVED, event.amount, 0


def _locked_from_free(exchange: Exchange, entries: list[Entry]) -> set[tuple[bytes, int]]:
    """Transactions and leases for which the organisation locked free balance."""
    return {
        (entry.tx_hash, _lease_of(exchange, entry.event.opener, entry.event.account))
        for entry in entries
        if isinstance(entry.event, events.Locked)
    }


def _settled(
    org: int,
    opened: dict[int, events.LeaseOpened],
    entries: list[Entry],
    from_free: set[tuple[bytes, int]],
) -> Iterator[Placed]:
    """What left the accounts of leases, or is only told of them."""
    fees: dict[int, int] = {}
    for entry in entries:
        event = entry.event
        lease = int(getattr(event, "lease", 0))
        role = _role(opened, lease, org)
        buyer = role is Role.BUYER
        match event:
            case events.Funded() if buyer and (entry.tx_hash, lease) not in from_free:
                amount = event.price + buyers_half(event.fee)
                yield _posting(entry, Kind.MOVED, amount, locked=amount, lease=lease, role=role)
                yield _posting(entry, Kind.MOVED, amount, locked=-amount, note=f"to lease {lease}")
            case events.Accrued() | events.ReservePaid() if buyer:
                yield _posting(entry, Kind.PAID, event.amount, locked=-event.amount, lease=lease, role=role)
            case events.BondForfeited() if not buyer:
                yield _posting(entry, Kind.PENALTY, event.amount, 0, -event.amount, lease=lease, role=role)
            case events.PenaltyPaid():
                yield _posting(entry, Kind.GIVEN_BACK, event.amount, lease=lease, role=role)
            case events.DisputeResolved():
                yield _posting(entry, Kind.GIVEN_BACK, event.to_buyer, lease=lease, role=role)
                if buyer:
                    paid = event.to_provider
                    yield _posting(entry, Kind.PAID, paid, locked=-paid, lease=lease, role=role)
            case events.FeePaid():
                before = fees.get(lease, 0)
                fees[lease] = before + event.amount
                borne = _borne(fees[lease], buyer) - _borne(before, buyer)
                yield _posting(entry, Kind.FEE, borne, locked=-borne, lease=lease, role=role)


def _borne(fees: int, buyer: bool) -> int:
    """What of paid fees a side bore."""
    return buyers_half(fees) if buyer else fees - buyers_half(fees)


def _lost_accounts(exchange: Exchange, org: int) -> Iterator[Placed]:
    """What was taken from the organisation's stake as a witness, and from its appeals' bonds."""
    if exchange.witnesses is None or exchange.verdicts is None:
        return
    accounts = {exchange.witnesses.address: [org], exchange.verdicts.address: appeals_of(exchange, org)}
    for opener, keys in accounts.items():
        for entry in history(exchange, [exchange.escrow], "account", keys, kinds=[events.Paid]):
            event = entry.event
            if isinstance(event, events.Paid) and event.opener == opener:
                note = "stake" if opener == exchange.witnesses.address else "bond of an appeal"
                yield _posting(entry, Kind.LOST, event.amount, locked=-event.amount, note=note)


def _lost_deposits(exchange: Exchange, org: int) -> Iterator[Placed]:
    """Deposits of bids that were not revealed, not covered, or sold elsewhere without an excuse (A5, A6)."""
    requests = bids_of(exchange, org)
    own_kinds = [events.BidRevealed, events.BidExcused, events.BidSkipped, events.DepositClaimed]
    own = history(exchange, [exchange.tender], "bidder", org, kinds=own_kinds)
    end_kinds = [events.TenderAwarded, events.TenderUnfilled, events.DepositsForfeited]
    ends = history(exchange, [exchange.tender], "request", requests, kinds=end_kinds)
    for request in requests:
        lost = _loss(
            exchange,
            org,
            request,
            [entry for entry in own if getattr(entry.event, "request", 0) == request],
            [entry for entry in ends if getattr(entry.event, "request", 0) == request],
        )
        if lost is not None:
            amount = exchange.tender.tender(request).deposit
            yield _posting(lost, Kind.LOST, amount, locked=-amount, note=f"deposit of request {request}")


def _failed_auctions(exchange: Exchange, org: int) -> Iterator[Placed]:
    """Deposits of own auctions that went to who led, because no lease could be opened (A2)."""
    if exchange.english is None:
        return
    own = auctions_of(exchange, org)
    for entry in history(exchange, [exchange.english], "auction", own, kinds=[events.AuctionFailed]):
        event = entry.event
        if isinstance(event, events.AuctionFailed):
            note = f"deposit of auction {event.auction}"
            yield _posting(entry, Kind.LOST, event.to_buyer, locked=-event.to_buyer, note=note)


def _loss(exchange: Exchange, org: int, request: int, own: list[Entry], ends: list[Entry]) -> Entry | None:
    """Where a bid's deposit was lost; None if it was not.

    Who takes a sold bid's deposit is not named on the ledger: of several, the last one is taken.
    """
    done = [e for e in ends if not isinstance(e.event, events.DepositsForfeited)]
    said = {type(e.event) for e in own}
    if not done or events.BidExcused in said:
        return None
    if events.BidRevealed not in said:
        return done[0]
    skipped = [e.event.status for e in own if isinstance(e.event, events.BidSkipped)]
    if BidStatus.UNCOVERED in skipped:
        return done[0]
    status = exchange.tender.bidder(request, org).status
    if BidStatus.SOLD not in skipped or status is not BidStatus.CLAIMED or events.DepositClaimed in said:
        return None
    later = [e for e in ends if isinstance(e.event, events.DepositsForfeited)]
    return later[-1]


def _mints(exchange: Exchange, org: int) -> Iterator[Placed]:
    """Credits made in wallets of those who were members then."""
    kinds = [events.MemberSet, events.MemberRemoved]
    changes = history(exchange, [exchange.members], "org", org, kinds=kinds)
    accounts = sorted({str(getattr(entry.event, "account", "")) for entry in changes})
    keys = [topic(int(account, 16)) for account in accounts]
    for entry in history(exchange, [exchange.credits], "to", keys, kinds=[events.Minted]):
        event = entry.event
        if isinstance(event, events.Minted) and _was_member(changes, event.to, entry):
            yield _posting(entry, Kind.MINT, event.amount, note=reference(event.ref))


def _was_member(changes: list[Entry], account: str, at: Entry) -> bool:
    before = [
        isinstance(change.event, events.MemberSet)
        for change in changes
        if getattr(change.event, "account", "") == account
        and (change.block, change.log_index) < (at.block, at.log_index)
    ]
    return bool(before) and before[-1]


def reference(raw: bytes) -> str:
    """A reference as text; as hexadecimal where it is none."""
    try:
        return class_name(raw)
    except InvalidInput:
        return "0x" + raw.hex()


def _bills(
    exchange: Exchange, opened: dict[int, events.LeaseOpened], now: int, drawn: set[int]
) -> dict[int, Bill]:
    """For what time each lease bills, as far as that is known by now; nothing for one that was refunded."""
    numbers = sorted(opened)
    slot, terms = exchange.slot, exchange.leases.terms()
    kept, quantum = exchange.leases.many(numbers), exchange.settlement.quantum()
    deliveries = _deliveries(exchange, opened)
    bills: dict[int, Bill] = {}
    for number in numbers:
        made = deliveries.get(number)
        if made is None or number not in kept:
            continue
        lease = kept[number]
        start, end = lease.start * slot, lease.end * slot
        until, over = min(now, end), ending(lease_facts(lease, terms, slot), now)
        if over is not None:
            until = min(over.at, end)
            if over.reason is EndReason.REJECTED:
                until = min(until, max(start, lease.delivered_at) + terms.accept_time)
            if over.reason is EndReason.UNPROVEN or over.reason is EndReason.REJECTED and number not in drawn:
                continue
        most = (lease.count - lease.missing) * (end - max(start, lease.created_at))
        bills[number] = Bill(tuple(made), until, over is not None, quantum, most)
    return bills


def _deliveries(exchange: Exchange, opened: dict[int, events.LeaseOpened]) -> dict[int, list[Delivery]]:
    """By lease, how many machines bill from when (L2)."""
    found: dict[int, list[Delivery]] = {}
    bits: dict[int, int] = {}
    for entry in history(exchange, [exchange.leases], "lease", sorted(opened), kinds=[events.LeaseDelivered]):
        event = entry.event
        if not isinstance(event, events.LeaseDelivered):
            continue
        added = event.resources & ~bits.get(event.lease, 0)
        bits[event.lease] = bits.get(event.lease, 0) | added
        start = max(opened[event.lease].start * exchange.slot, entry.time)
        found.setdefault(event.lease, []).append(Delivery(added.bit_count(), start))
    return found
