"""How much must be free before a bid is sealed: whoever wins and cannot lock its bond loses the deposit (A6).

Bids that are still open count too: all of them may win. Only reads; amounts are microcredits.
"""

from __future__ import annotations

from collections.abc import Iterable

from chain.contracts.book import Bid
from chain.exchange import Exchange
from chain.generated.enums import BidStatus, Stage
from chain.wire import Block
from market.billing import bond, price
from provisioner.store.records import TenderRecord

__all__ = ["cover_needed"]


def cover_needed(exchange: Exchange, org: int, bids: Iterable[tuple[TenderRecord, Bid]], head: Block) -> int:
    """Bonds and witness fees of all these bids of `org`, and deposits not locked yet.

    Tenders that are over need nothing.
    """
    default_ppm = exchange.leases.terms().default_ppm
    total = 0
    for record, bid in bids:
        tender = exchange.tender.tender(record.request, block=head.number)
        piece = record.piece(bid.start)
        window = piece.window(exchange.slot)
        if tender.stage is not Stage.OPEN or window.end <= head.timestamp:
            continue
        if exchange.tender.bidder(record.request, org, block=head.number).status is BidStatus.NONE:
            total += tender.deposit
        rate = record.ceiling_rate if tender.vickrey else bid.rate
        cost = price(rate, len(bid.resources), window.start, window.end, head.timestamp)
        total += bond(cost, default_ppm)
        if exchange.book.request(record.request, block=head.number).sla:
            total += exchange.awards.fee_of(piece, block=head.number) // 2
    return total
