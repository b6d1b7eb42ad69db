"""The acts whose gas is measured, in a fixed order and at fixed seconds.

It only acts and notes; what the numbers mean stands in `bench.gas`.
"""

from __future__ import annotations

from eth_utils.crypto import keccak

from bench.stage import CLASS, SPEC, Party, Stage, leases_of
from chain.contracts.base import Call
from chain.contracts.book import Bid, RequestTerms
from chain.contracts.leases import Delivery
from chain.contracts.members import Role
from chain.contracts.tender import TenderTerms, commitment
from chain.wire import Receipt
from market.windows import SlotWindow

__all__ = ["GENESIS", "MANY", "Calls", "Script", "award_name", "buy_name"]

GENESIS = 1_800_000_000
"""The start of slot 500,000; all times count from here. 223 more slots lie in the same calendar word."""

MANY = 9
"""Resources of the larger awards: one and eight more."""

SLOT = 3600
FIRST = GENESIS // SLOT
RATE, CEILING = 3_000_000, 5_000_000
EVIDENCE = keccak(text="evidence")
OFFERED = SlotWindow(FIRST + 1, FIRST + 200)
SPINE = SlotWindow(FIRST + 3, FIRST + 27)
WINDOWS = {"new": SlotWindow(FIRST + 40, FIRST + 64), "used": SlotWindow(FIRST + 70, FIRST + 94)}
"""A machine's calendar word is new at its first lease in 256 slots: its storage was zero."""

Calls = dict[str, int]


def award_name(count: int, word: str) -> str:
    """How the award of a tender with one bid is called."""
    return f"SealedTender.award (1 bid, {count} resource{'s' * (count > 1)}, {word} calendar word)"


def buy_name(count: int, word: str) -> str:
    """How a buy-now is called."""
    return f"Book.buyNow ({count} resource{'s' * (count > 1)}, {word} calendar word)"


class Script:
    """One run on a fresh stage whose chain began at `GENESIS`."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._calls: Calls = {}
        self._sellers = [stage.admit(name, Role.SELLER, 10**12) for name in ("north", "south", "west")]
        self._buyer = stage.admit("buyer", Role.BUYER, 10**12)
        self._second = GENESIS + 600
        self._machines = 0
        self._offers = 0

    def play(self) -> Calls:
        """All acts; gas by name."""
        self._money()
        lease = self._tender_of_three()
        self._whole_lease(lease)
        self._awards()
        leases = self._buy_now()
        self._ends(*leases)
        return self._calls

    def _do(self, name: str, party: Party, call: Call) -> Receipt:
        """Send ten seconds later; note the gas unless the name is empty."""
        self._second += 10
        self._stage.node.ask("evm_setNextBlockTimestamp", hex(self._second))
        receipt = party.send(call)
        if name:
            self._calls[name] = receipt.gas_used
        return receipt

    def _pass_to(self, second: int) -> None:
        self._second = second
        self._stage.pass_to(second)

    def _money(self) -> None:
        buyer, client = self._buyer, self._buyer.client
        mint = self._stage.council.credits.mint(client.sender.address, 10**9, "again")
        self._do("Credits.mint", Party(0, self._stage.council), mint)
        self._do("Credits.approve", buyer, client.credits.approve(client.escrow.address, 10**9))
        self._do("Escrow.deposit", buyer, client.escrow.deposit(buyer.org, 10**9))
        self._do("Escrow.withdraw", buyer, client.escrow.withdraw(10**9))

    def _put_on_sale(self, seller: Party, count: int, *, named: bool, buy_now: int = 0) -> list[int]:
        """So many new machines in one new offer."""
        first = self._machines + 1
        for _ in range(count):
            self._machines += 1
            self._do("Inventory.register" if named else "", seller, seller.register(self._machines))
        machines = list(range(first, self._machines + 1))
        self._offers += 1
        name = f"Book.publish ({count} resource{'s' * (count > 1)})" if named else ""
        self._do(name, seller, seller.publish(OFFERED, machines, RATE, buy_now))
        return machines

    def _tender_of_three(self) -> int:
        """Three sealed bids for one machine, the first seller's wins; its lease."""
        for number, seller in enumerate(self._sellers):
            self._put_on_sale(seller, 1, named=number == 0)
        start, sellers = SPINE.start_slot, enumerate(self._sellers, 1)
        bids = [(seller, Bid(n, RATE + n, start, (n,))) for n, seller in sellers]
        request, opened = self._tender(SPINE, bids, "SealedTender.award (3 bids, 1 resource)", named=True)
        winner = self._sellers[0]
        claim = winner.client.tender.claim(request, winner.org)
        self._do("SealedTender.claim", winner, claim)
        return opened[0]

    def _tender(
        self, window: SlotWindow, bids: list[tuple[Party, Bid]], award: str, *, named: bool = False
    ) -> tuple[int, list[int]]:
        """Post, commit, reveal, award; the request and the leases."""
        closes = self._second + 300
        count = len(bids[0][1].resources)
        terms = RequestTerms(window, count, CEILING, CLASS, SPEC)
        tender = self._buyer.client.tender
        post = tender.post(terms, TenderTerms(closes, closes + 300))
        self._do("SealedTender.post" if named else "", self._buyer, post)
        request = self._stage.council.book.request_count()
        sealed = [self._seal(request, seller, bid) for seller, bid in bids]
        self._each(
            "commit", named, [(s, tender.commit(request, c)) for (s, _), c in zip(bids, sealed, strict=True)]
        )
        self._pass_to(closes)
        self._each("reveal", named, [(s, tender.reveal(request, s.org, bid, EVIDENCE)) for s, bid in bids])
        self._pass_to(closes + 300)
        return request, leases_of(self._do(award, self._buyer, tender.award(request)))

    def _each(self, act: str, named: bool, calls: list[tuple[Party, Call]]) -> None:
        """The same act by each bidder; the first also makes what all share."""
        for number, (party, call) in enumerate(calls):
            name = f"SealedTender.{act}{'' if number else ' (first)'}"
            self._do(name if named else "", party, call)

    def _seal(self, request: int, seller: Party, bid: Bid) -> bytes:
        network = self._stage.council.connection
        tender = self._stage.council.tender.address
        return commitment(network.chain_id, tender, request, seller.org, bid, EVIDENCE)

    def _whole_lease(self, lease: int) -> None:
        seller, buyer, leases = self._sellers[0], self._buyer, self._stage.council.leases
        self._do("Leases.sign", seller, leases.sign(lease))
        self._do("Leases.renewFence", seller, leases.renew_fence(lease))
        self._pass_to(SPINE.start_slot * SLOT)
        self._do("Leases.deliver", seller, leases.deliver(lease, _delivery(1)))
        self._do("Leases.accept", buyer, leases.accept(lease, leases.lease(lease).delivered))
        self._pass_to(SPINE.start_slot * SLOT + 1800)
        self._do("Leases.settle (half-way)", seller, leases.settle(lease))
        self._pass_to(SPINE.end_slot * SLOT)
        self._do("Leases.settle (last)", seller, leases.settle(lease))
        self._do("Leases.wipe", seller, leases.wipe(lease, EVIDENCE))

    def _awards(self) -> None:
        seller = self._sellers[0]
        one = tuple(self._put_on_sale(seller, 1, named=False))
        many = tuple(self._put_on_sale(seller, MANY, named=True))
        for word, window in WINDOWS.items():
            for offer, machines in ((self._offers - 1, one), (self._offers, many)):
                bid = Bid(offer, RATE, window.start_slot, machines)
                self._tender(window, [(seller, bid)], award_name(len(machines), word))

    def _buy_now(self) -> list[int]:
        """The leases: of one and of many resources, in new calendar words and in used ones."""
        seller, book = self._sellers[0], self._buyer.client.book
        one = self._put_on_sale(seller, 1, named=False, buy_now=RATE)
        many = self._put_on_sale(seller, MANY, named=False, buy_now=RATE)
        opened = []
        for word, window in WINDOWS.items():
            for offer, machines in ((self._offers - 1, one), (self._offers, many)):
                bought = self._do(
                    buy_name(len(machines), word), self._buyer, book.buy_now(offer, machines, window)
                )
                opened += leases_of(bought)
        return opened

    def _ends(self, cancelled: int, rejected: int, unsigned: int, early: int) -> None:
        seller, buyer, leases = self._sellers[0], self._buyer, self._stage.council.leases
        self._do("Leases.cancel", buyer, leases.cancel(cancelled))
        for lease in (rejected, early):
            self._do("", seller, leases.sign(lease))
        self._pass_to(WINDOWS["new"].start_slot * SLOT)
        self._do(f"Leases.deliver ({MANY} resources)", seller, leases.deliver(rejected, _delivery(MANY)))
        self._do("Leases.reject", buyer, leases.reject(rejected, "bench"))
        self._do("Leases.expire (not signed)", buyer, leases.expire(unsigned))
        self._pass_to(WINDOWS["used"].start_slot * SLOT)
        self._do("", seller, leases.deliver(early, _delivery(MANY)))
        self._do("", buyer, leases.accept(early, leases.lease(early).delivered))
        self._do("Leases.endEarly", buyer, leases.end_early(early))
        self._pass_to(leases.lease(early).ended_at)
        name = f"Leases.wipe ({MANY} resources, with the last payment)"
        self._do(name, seller, leases.wipe(early, EVIDENCE))


def _delivery(count: int) -> Delivery:
    hashes = (keccak(text=what) for what in ("connection", "host key", "document"))
    return Delivery((1 << count) - 1, *hashes)
