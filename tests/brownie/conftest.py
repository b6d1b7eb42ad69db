"""The exchange, deployed through Brownie's own project objects.

The scenarios beside it show that the contracts need nothing of OCX's Python: whoever uses Brownie compiles,
deploys, calls them like any other project. One for each way to an award: they must not grow into a second
test suite; the paths and edges are tested by Foundry.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import brownie
import pytest
from web3.middleware import Web3Middleware

_BY_HASH = ("eth_getTransactionByHash", "eth_getTransactionReceipt")
SLOT = 3600
QUANTUM = 60
TURNAROUND = 1
HOUR = 3600
FUNDS = 1_000_000_000
LOW_RATE = 3_000_000
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
    "english": ["escrow.move", "awards.open", "book.freeze"],
    "orders": ["awards.open"],
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
        self.leases = project.Leases.deploy(*base[:3], self.settlement, TERMS, 0, own)
        self.awards = project.Awards.deploy(self.directory, self.leases, own)
        self.book = project.Book.deploy(*base, self.awards, 100, 1_000, own)
        self.ranking = project.Ranking.deploy(self.awards, self.inventory, self.members, own)
        further = (self.book, self.awards, self.ranking, self.settlement)
        self.tender = project.SealedTender.deploy(*base, *further, 10_000, own)
        further = (self.book, self.awards, self.settlement)
        self.english = project.EnglishAuction.deploy(*base, *further, 10_000, own)
        self.orders = project.Orders.deploy(self.members, self.inventory, self.awards, own)
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

    def put_on_sale(
        self, seller: Any, hardware: str, window: tuple[int, int], buy_now: int = 0
    ) -> tuple[int, int]:
        """One machine registered and offered; its number and the offer's."""
        own = {"from": seller}
        names = name("bm.large"), name("hall-1")
        known_by = name("document"), name(hardware)
        registered = self.inventory.register(0, *names, SPEC, TURNAROUND, *known_by, own)
        resource = registered.events["ResourceRegistered"]["resource"]
        published = self.book.publish(0, (window, LOW_RATE, buy_now, 1, 0, 0), [resource], own)
        return int(resource), int(published.events["OfferPublished"]["offer"])


class Patience(Web3Middleware):
    """anvil counts a transaction a moment before it finds it by its hash; Brownie then calls it dropped."""

    def wrap_make_request(self, make_request: Callable[[str, Any], Any]) -> Callable[[str, Any], Any]:
        """Ask again for what is not there yet, for five seconds."""

        def asked(method: str, params: Any) -> Any:
            answer, until = make_request(method, params), time.monotonic() + 5
            while method in _BY_HASH and answer.get("result") is None and time.monotonic() < until:
                time.sleep(0.02)
                answer = make_request(method, params)
            return answer

        return asked


@pytest.fixture(scope="session", autouse=True)
def patience() -> None:
    """For all that Brownie asks."""
    brownie.web3.middleware_onion.add(Patience)


@pytest.fixture(scope="module")
def exchange(accounts: Any) -> Exchange:
    """A whole exchange on Brownie's development chain."""
    [project] = brownie.project.get_loaded_projects()
    return Exchange(project, accounts[0])


def pass_to(second: int) -> None:
    """The next block is of that second, or later."""
    brownie.chain.sleep(max(0, second - brownie.chain.time()))
    brownie.chain.mine()


def live_through(x: Exchange, lease: int, provider: Any, buyer: Any, window: tuple[int, int]) -> int:
    """Sign, deliver, accept, settle half-way, wipe after the end; what the provider earned."""
    start, end = (slot * SLOT for slot in window)
    rate = x.leases.lease(lease)["rate"]
    price = x.settlement.account(lease)["price"]
    x.leases.sign(lease, {"from": provider})
    pass_to(start + 1)
    x.leases.deliver(lease, (1, name("connection"), name("host key"), name("document")), {"from": provider})
    delivered_at = x.leases.lease(lease)["deliveredAt"]
    x.leases.accept(lease, x.leases.lease(lease)["delivered"], {"from": buyer})
    assert x.leases.stateOf(lease) == 4  # active

    pass_to(start + SLOT)
    x.leases.settle(lease, {"from": x.council})
    paid = x.settlement.account(lease)["paid"]
    assert 0 < paid < price
    pass_to(end)
    x.leases.wipe(lease, name("evidence"), {"from": provider})
    seconds = -(-(end - max(delivered_at, start)) // QUANTUM) * QUANTUM
    earned = min(price, -(-rate * seconds // HOUR))
    account = x.settlement.account(lease)
    assert (account["paid"], account["bond"], account["closed"]) == (earned, 0, True)
    assert x.leases.stateOf(lease) == 6  # completed
    return int(earned)
