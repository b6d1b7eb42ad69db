"""One tender from request to settlement, through Brownie's own project objects.

It shows that the contracts need nothing of OCX's Python: whoever uses Brownie compiles, deploys, calls them
like any other project. It must not grow into a second test suite; the paths and edges are tested by Foundry.
"""

from __future__ import annotations

from typing import Any

import brownie
import pytest
from brownie import web3

SLOT = 3600
QUANTUM = 60
TURNAROUND = 1
HOUR = 3600
FUNDS = 1_000_000_000
CEILING, LOW_RATE, HIGH_RATE = 5_000_000, 3_000_000, 4_000_000
SELLER, BUYER = 1, 2
SPEC = (64, 1_048_576, 480, 0, 25_000)
TERMS = (900, 900, HOUR, 1800, 2 * HOUR, HOUR, 200_000, 100_000, 50_000, 100_000, HOUR, 60, 10_000, 5)
RIGHTS = {
    "escrow": ["members.charge"],
    "settlement": ["escrow.move"],
    "leases": ["inventory.book", "settlement.report"],
    "awards": ["leases.open"],
    "book": ["escrow.move", "awards.open"],
    "tender": ["escrow.move", "awards.open", "book.record"],
}


def name(text: str) -> str:
    """A name in 32 bytes."""
    return "0x" + text.encode().ljust(32, b"\0").hex()


class Exchange:
    """Every contract, deployed by the council from the project that Brownie compiled."""

    def __init__(self, project: Any, council: Any) -> None:
        self.council = council
        own = {"from": council}
        self.directory = project.Directory.deploy(council, own)
        self.members = project.Members.deploy(self.directory, own)
        self.credits = project.Credits.deploy(self.directory, own)
        self.escrow = project.Escrow.deploy(self.directory, self.credits, self.members, own)
        self.inventory = project.Inventory.deploy(self.directory, self.members, SLOT, own)
        self.settlement = project.Settlement.deploy(self.directory, self.escrow, QUANTUM, own)
        base = (self.directory, self.members, self.inventory, self.escrow)
        self.leases = project.Leases.deploy(*base[:3], self.settlement, TERMS, own)
        self.awards = project.Awards.deploy(self.directory, self.leases, own)
        self.book = project.Book.deploy(*base, self.awards, 100, 1_000, own)
        self.ranking = project.Ranking.deploy(self.awards, self.inventory, self.members, own)
        further = (self.book, self.awards, self.ranking, self.settlement)
        self.tender = project.SealedTender.deploy(*base, *further, 10_000, own)
        for holder, rights in RIGHTS.items():
            for right in rights:
                self.directory.setRight(getattr(self, holder), name(right), True, own)

    def admit(self, handle: str, admin: Any, role: int) -> int:
        """A funded organisation."""
        own, council = {"from": admin}, {"from": self.council}
        admitted = self.members.admit(name(handle), admin, role, 0, council)
        org = admitted.events["OrganisationAdmitted"]["org"]
        self.credits.mint(admin, FUNDS, name("brownie"), council)
        self.credits.approve(self.escrow, FUNDS, own)
        self.escrow.deposit(org, FUNDS, own)
        return int(org)

    def put_on_sale(self, seller: Any, hardware: str, window: tuple[int, int]) -> tuple[int, int]:
        """One machine registered and offered; its number and the offer's."""
        own = {"from": seller}
        names = name("bm.large"), name("hall-1")
        registered = self.inventory.register(
            0, *names, SPEC, TURNAROUND, name("document"), name(hardware), own
        )
        resource = registered.events["ResourceRegistered"]["resource"]
        published = self.book.publish(0, (window, LOW_RATE, 0, 1, 0), [resource], own)
        return int(resource), int(published.events["OfferPublished"]["offer"])


@pytest.fixture(scope="module")
def exchange(accounts: Any) -> Exchange:
    """A whole exchange on Brownie's development chain."""
    [project] = brownie.project.get_loaded_projects()
    return Exchange(project, accounts[0])


def pass_to(second: int) -> None:
    """The next block is of that second, or later."""
    brownie.chain.sleep(max(0, second - brownie.chain.time()))
    brownie.chain.mine()


def test_a_tender_becomes_a_lease_that_is_delivered_wiped_and_paid(exchange: Exchange, accounts: Any) -> None:
    x = exchange
    north, south, buyer = accounts[1:4]
    orgs = {north: x.admit("north", north, SELLER), south: x.admit("south", south, SELLER)}
    buyer_org = x.admit("buyer", buyer, BUYER)
    now = brownie.chain.time()
    window = (now // SLOT + 2, now // SLOT + 5)
    start, end = (slot * SLOT for slot in window)
    machines = {seller: x.put_on_sale(seller, f"serial-{org}", window) for seller, org in orgs.items()}

    # Post: the ceiling is locked.
    spec = (32, 0, 0, 0, 0)
    request = (window, 0, 1, 0, 0, CEILING, 0, name("bm.large"), spec, name(""), b"", b"")
    posted = x.tender.post(0, request, (now + 600, now + 1200, False), {"from": buyer})
    tender = posted.events["TenderOpened"]["request"]
    assert x.escrow.free(buyer_org) == FUNDS - 3 * CEILING

    # Bid: only the commitments are seen.
    bids = {
        north: (machines[north][1], LOW_RATE, window[0], [machines[north][0]]),
        south: (machines[south][1], HIGH_RATE, window[0], [machines[south][0]]),
    }
    salts = {seller: web3.keccak(text=f"salt {org}") for seller, org in orgs.items()}
    for seller, bid in bids.items():
        sealed = x.tender.commitmentOf(tender, orgs[seller], bid, salts[seller])
        x.tender.commit(0, tender, sealed, {"from": seller})

    # Reveal: a bid that is not the one committed to is refused.
    pass_to(now + 600)
    with brownie.reverts(f"SealedTender_CommitmentMismatch: {tender}, {orgs[north]}"):
        lower = (bids[north][0], LOW_RATE - 1, *bids[north][2:])
        x.tender.reveal(tender, orgs[north], lower, salts[north], [], {"from": north})
    for seller, bid in bids.items():
        x.tender.reveal(tender, orgs[seller], bid, salts[seller], [], {"from": seller})
    pass_to(now + 1200)
    awarded = x.tender.award(tender, {"from": buyer})
    opened = awarded.events["LeaseOpened"]
    lease = opened["lease"]
    assert (opened["provider"], opened["rate"]) == (orgs[north], LOW_RATE)
    price = 3 * LOW_RATE
    assert x.escrow.free(buyer_org) == FUNDS - price
    assert x.settlement.account(lease)["bond"] == price // 5
    for seller, org in orgs.items():
        x.tender.claim(tender, org, {"from": seller})

    # Sign, deliver, accept.
    x.leases.sign(lease, {"from": north})
    pass_to(start + 1)
    x.leases.deliver(lease, (1, name("connection"), name("host key"), name("document")), {"from": north})
    delivered_at = x.leases.lease(lease)["deliveredAt"]
    x.leases.accept(lease, x.leases.lease(lease)["delivered"], {"from": buyer})
    assert x.leases.stateOf(lease) == 4  # active

    # Settle: half-way, and after the end with the wipe.
    pass_to(start + SLOT)
    x.leases.settle(lease, {"from": south})
    paid = x.settlement.account(lease)["paid"]
    assert 0 < paid < price
    pass_to(end)
    x.leases.wipe(lease, name("evidence"), {"from": north})
    seconds = -(-(end - delivered_at) // QUANTUM) * QUANTUM
    earned = min(price, -(-LOW_RATE * seconds // HOUR))
    account = x.settlement.account(lease)
    assert (account["paid"], account["bond"], account["closed"]) == (earned, 0, True)
    assert x.leases.stateOf(lease) == 6  # completed

    # Nothing is lost: the offers' resting deposits are all that is still held.
    held = sum(x.book.offer(offer)["deposit"] for _, offer in machines.values())
    assert held > 0
    free = {org: x.escrow.free(org) for org in (*orgs.values(), buyer_org)}
    assert free[buyer_org] == FUNDS - earned
    assert free[orgs[north]] == FUNDS + earned - x.book.offer(machines[north][1])["deposit"]
    assert sum(free.values()) + held == x.escrow.total() == x.credits.balanceOf(x.escrow) == 3 * FUNDS
