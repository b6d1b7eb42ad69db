"""What the customer buys: a server at once, others by sealed tender."""

from __future__ import annotations

from dataclasses import dataclass

from chain.exchange import Exchange
from chain.generated.enums import Stage as TenderStage
from cli.demo.cast import CLASS, SLA_ID, Timing
from cli.demo.stage import Party, Stage, poll
from market.errors import Permanent

__all__ = ["Market"]

_TRIES = 3


@dataclass(frozen=True)
class Market:
    """The customer's side of the market."""

    stage: Stage
    customer: Party
    observer: Exchange
    timing: Timing

    def post(self, more: int = 1) -> int:
        """Put a request to sealed tender, with so many times the usual time for bids; its number."""
        posted = self.customer.ocx(
            f"request post --class {CLASS} --count 1 --spec cores=32,memory=256GiB --start now "
            f"--for {self.timing.wanted}s --ceiling 10 --sla {SLA_ID} "
            f"--commit-for {more * self.timing.commit}s --reveal-for {more * self.timing.reveal}s",
            step=f"puts a request to sealed tender, with SLA {SLA_ID}",
        )
        return int(posted["request"])

    def buy_now(self) -> int:
        """Buy the first node that is for sale at once; the lease."""
        book = self.observer.book
        offers = ((number, book.offer(number)) for number in range(1, book.offer_count() + 1))
        offer = next(number for number, offer in offers if offer.buy_now_rate)
        bought = self.customer.ocx(
            f"offer buy {offer} --node {book.resources_of(offer)[0]} --start now --for {self.timing.bought}s",
            step="buys a third server at its buy-now rate",
        )
        return int(bought["lease"])

    def lease_of(self, request: int) -> int:
        """The lease a tender makes. Where nobody bids in time, the customer asks again, with more time."""
        for attempt in range(_TRIES):
            if self._outcome(request, 2**attempt) == TenderStage.AWARDED:
                leases = self.observer.leases
                numbers = range(1, leases.count() + 1)
                return next(number for number in numbers if leases.lease(number).request == request)
            self.stage.note("chain", f"nobody's bid for request {request} came in time", 0)
            if attempt + 1 < _TRIES:
                request = self.post(2 ** (attempt + 1))
        raise Permanent(f"{_TRIES} tenders found no provider", hint="look into the agents' logs")

    def _outcome(self, request: int, more: int) -> TenderStage:
        """How a tender ends; where nobody bid, only the customer asks for the award."""
        tenders = self.observer.tender

        def over() -> TenderStage | None:
            now, tender = self.observer.now(), tenders.tender(request)
            if tender.stage != TenderStage.OPEN:
                return tender.stage
            if now >= tender.reveal_end and not tender.commits:
                self.customer.ocx(f"tender award {request}")
            return None

        limit = more * (self.timing.commit + self.timing.reveal) + 60
        ended: TenderStage = poll(f"the award of tender {request}", over, self.stage, limit)
        return ended
