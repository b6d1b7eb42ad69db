"""Why a lease or a tender is where it is: the facts, each with the transaction that made it one.

What follows from the facts is `market`'s judgement; this only puts the two beside each other.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from chain.generated import events
from chain.generated.enums import Skip
from cli.render import credits_text, hex_text, time_text
from market.faults import ranges
from market.leases import Committee, LeaseFacts
from market.why import why as lease_reasons

if TYPE_CHECKING:
    from chain.codec import Event
    from chain.exchange import Exchange
    from chain.history import Entry
    from chain.report import Judged

__all__ = ["auction_line", "lease_why", "tender_why", "undetermined_lines"]

_EPOCH_NAMED = re.compile(r"epoch \d+")

_BEHIND: tuple[tuple[str, type[Event]], ...] = (
    ("awarded at", events.LeaseOpened),
    ("the buyer signed", events.BuyerSigned),
    ("the provider signed", events.LeaseSigned),
    ("delivered, the last", events.LeaseDelivered),
    ("committee of witnesses was drawn", events.CommitteeSet),
    ("it has no committee", events.CommitteeSet),
    ("the buyer accepted all", events.LeaseAccepted),
    ("the buyer or the committee accepted all", events.LeaseProven),
    ("ended at", events.LeaseEnded),
    ("it will end at", events.LeaseEnded),
    ("wipe evidence given", events.LeaseWiped),
    ("the wipe deadline", events.WipeMissed),
)


def lease_why(exchange: Exchange, number: int, facts: LeaseFacts, entries: Sequence[Entry]) -> list[str]:
    """The reasons for a lease's state, oldest first, then where its money is, then what witnesses saw."""
    lines = [_with_transaction(line, entries) for line in lease_reasons(facts, exchange.now())]
    for entry in entries:
        text = _money_line(entry) or _witness_line(entry)
        if text:
            lines.append(f"{text}{_by(entry)}")
    if facts.committee is Committee.DRAWN and exchange.verdicts is not None:
        from chain.report import report

        found = report(exchange, number).judged
        lines += [line for item in found for line in _seen_lines(item)]
        lines += undetermined_lines(found)
    return lines


def undetermined_lines(found: Sequence[Judged]) -> list[str]:
    """One line for each machine and reason, however many epochs it holds for."""
    epochs: dict[tuple[int, str], list[int]] = {}
    for item in found:
        why = item.why_undetermined if item.stage != "measured" else ""
        if why:
            why = _EPOCH_NAMED.sub("it", why)
            epochs.setdefault((item.case.place, why), []).extend(item.case.span.epochs)
    return [
        f"machine {place}: undetermined in {ranges(held, 'epoch')}, so nothing is taken off: {why}"
        for (place, why), held in epochs.items()
    ]


def _seen_lines(item: Judged) -> list[str]:
    """Whom what was published of a span puts at fault, with the leaves and transactions that show it."""
    if item.stage == "measured":
        return []
    name = f"epoch {item.case.span.last}, machine {item.case.place}"
    shown = "; ".join(
        f"organisation {sitting.org} published {sitting.leaf.down.bit_count()} rounds down "
        f"[{', '.join(map(hex_text, sitting.opened.txs))}]"
        for sitting in item.case.sittings
        if sitting.usable and sitting.leaf is not None
    )
    return [
        f"{name}: {line}{f'; {shown}' if shown and line.startswith(('provider', 'path')) else ''}"
        for line in item.blame.why
        if not line.startswith("undetermined")
    ]


def _with_transaction(line: str, entries: Sequence[Entry]) -> str:
    for text, kind in _BEHIND:
        if text in line:
            behind = [entry for entry in entries if isinstance(entry.event, kind)]
            return f"{line}{_by(behind[-1])}" if behind else line
    return line


def _by(entry: Entry) -> str:
    return f" [block {entry.block}, {hex_text(entry.tx_hash)}]"


def _money_line(entry: Entry) -> str:
    match entry.event:
        case events.Funded(price=price, bond=bond, fee=fee):
            fees = f"; {credits_text(fee)} in witness fees" if fee else ""
            return (
                f"the price of {credits_text(price)} and the bond of {credits_text(bond)} were locked{fees}"
            )
        case events.Accrued(amount=amount):
            return f"{credits_text(amount)} was paid to the provider"
        case events.PriceRefunded(amount=amount):
            return f"{credits_text(amount)} of the price returned to the buyer"
        case events.ReservePaid(amount=amount):
            return f"{credits_text(amount)} was paid to the provider for keeping it ready"
        case events.BondForfeited(amount=amount):
            return f"{credits_text(amount)} of the bond went to the buyer; at fault: provider"
        case events.BondFreed(amount=amount):
            return f"{credits_text(amount)} of the bond returned to the provider"
        case events.PenaltyWithheld(amount=amount, span=span):
            return (
                f"{credits_text(amount)} was put aside for the buyer by the verdict on epoch {span}; "
                "at fault: provider"
            )
        case events.PenaltyPaid(amount=amount, span=span):
            return f"{credits_text(amount)} went to the buyer by the verdict on epoch {span}"
        case events.Disputed(amount=amount):
            return f"{credits_text(amount)} is in dispute"
        case events.DisputeResolved(to_buyer=buyer, to_provider=provider):
            return f"of a dispute the buyer got {credits_text(buyer)}, the provider {credits_text(provider)}"
        case events.FeePaid(org=org, amount=amount):
            return f"{credits_text(amount)} was paid to witness {org}"
        case events.FeesReturned(to_buyer=buyer, to_provider=provider):
            return (
                f"fees returned: {credits_text(buyer)} to the buyer, {credits_text(provider)} to the provider"
            )
    return ""


def _witness_line(entry: Entry) -> str:
    """What the witnesses' contracts say of a lease; payments to them are told with the money."""
    match entry.event:
        case events.CommitteeDrawn(term=term, seats=seats, quorum=quorum):
            sat = ", ".join(map(str, seats)) or "nobody"
            return f"term {term} is witnessed by organisations {sat}, {quorum} of which make a verdict"
        case events.VerdictGiven(place=place, epoch=epoch, judged=judged, counted=counted, seats=seats):
            return (
                f"verdict on epoch {epoch}, machine {place}: {counted} of {judged} rounds count as down, on "
                f"{seats} published leaves; at fault: provider"
            )
        case events.BreachReached(place=place, epoch=epoch):
            return (
                f"machine {place} breached the SLA with epoch {epoch}: the buyer may end; at fault: provider"
            )
        case events.PowerRecorded(action=1, by=by):
            return f"the buyer ({by}) had it switched on: its SLA counts again"
        case events.PowerRecorded(action=action, by=by):
            word = "rebooted" if action == 3 else "switched off"
            return f"the buyer ({by}) had it {word}; what that takes down is at fault: buyer"
        case events.AppealFiled(appeal=appeal, by=by, epoch=epoch, amount=amount):
            return (
                f"organisation {by} appeals (appeal {appeal}) against epoch {epoch}: {credits_text(amount)}"
            )
    return ""


def tender_why(exchange: Exchange, number: int, entries: Sequence[Entry]) -> list[str]:
    """The reasons for a tender's stage, oldest first, then what may be done now."""
    lines = [f"{text}{_by(entry)}" for entry in entries if (text := _tender_line(entry))]
    tender, now = exchange.tender.tender(number), exchange.now()
    if tender.stage.name != "OPEN":
        return lines
    if now < tender.commit_end:
        lines.append(
            f"bids are taken for {tender.commit_end - now} s more, until {time_text(tender.commit_end)}"
        )
    elif now < tender.reveal_end:
        sealed = tender.commits - tender.reveals - tender.excused
        lines.append(f"{sealed} sealed bids may be revealed until {time_text(tender.reveal_end)}")
    else:
        lines.append(f"reveals are over since {time_text(tender.reveal_end)}; anyone may award it now")
    return lines


def auction_line(entry: Entry) -> str:
    """What one event did to an English auction, with its transaction; empty if there is nothing to say."""
    text = _auction_text(entry)
    return f"{text}{_by(entry)}" if text else ""


def _auction_text(entry: Entry) -> str:
    at = time_text(entry.time)
    match entry.event:
        case events.AuctionOpened(reserve_rate=rate, deposit=deposit):
            return (
                f"opened at {at} with a reserve of {credits_text(rate)} per hour; "
                f"its seller stands by it with {credits_text(deposit)}"
            )
        case events.AuctionBid(buyer=buyer, rate=rate, bid_until=until):
            said = f"organisation {buyer} bid {credits_text(rate)} per hour at {at}"
            return f"{said}; open until {time_text(until)}"
        case events.BidPulled(buyer=buyer, amount=amount):
            return f"organisation {buyer} has {credits_text(amount)} back"
        case events.AuctionAwarded(buyer=buyer, rate=rate, award=award):
            return f"won at {at} by organisation {buyer} at {credits_text(rate)} per hour, award {award}"
        case events.AuctionUnsold():
            return f"closed at {at}: nobody bid"
        case events.AuctionFailed(buyer=buyer, reason=Skip.NONE):
            return f"closed at {at} after its window: organisation {buyer} has its money back"
        case events.AuctionFailed(buyer=buyer, reason=reason, to_buyer=amount):
            said = "a machine was taken" if reason is Skip.NOT_FREE else "the seller could not cover its bond"
            return f"failed at {at}: {said}; organisation {buyer} got its money and {credits_text(amount)}"
        case events.AuctionCancelled():
            return f"cancelled at {at} by its seller"
    return ""


def _tender_line(entry: Entry) -> str:
    at = time_text(entry.time)
    match entry.event:
        case events.TenderOpened(ceiling_amount=ceiling, deposit=deposit):
            return f"posted at {at}; {credits_text(ceiling)} locked, each bid locks {credits_text(deposit)}"
        case events.BidCommitted(bidder=bidder):
            return f"organisation {bidder} committed to a sealed bid at {at}"
        case events.BidRevealed(bidder=bidder, rate=rate, offer=offer):
            return f"organisation {bidder} revealed {credits_text(rate)} per hour of offer {offer} at {at}"
        case events.BidExcused(bidder=bidder, lease=lease):
            return f"the bid of organisation {bidder} is excused: lease {lease} took its resource"
        case events.BidSkipped(bidder=bidder, status=status):
            return f"the award passed over organisation {bidder}: {status.name.lower()}"
        case events.BidEvicted(bidder=bidder):
            return f"the bid of organisation {bidder} was not among the best that are kept"
        case events.TenderAwarded(award=award, awarded=count, clearing_rate=rate):
            price = f"all are paid {credits_text(rate)} (Vickrey)" if rate else "each is paid its own bid"
            return f"awarded at {at}: {count} resources under award {award}; {price}"
        case events.TenderUnfilled():
            return f"closed at {at} without an award: no valid bids fill it"
        case events.DepositsForfeited(amount=amount, share=share):
            return f"{credits_text(amount)} of deposits were forfeited, {credits_text(share)} to each loser"
        case events.DepositClaimed(bidder=bidder):
            return f"organisation {bidder} took its deposit back at {at}"
        case events.TenderCancelled():
            return f"the buyer cancelled it at {at}"
    return ""
