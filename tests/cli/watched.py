"""A lease that three witnesses watch, epoch by epoch, without nodes: what each saw is told by the test."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from eth_utils.crypto import keccak

from chain import power
from chain.contracts.base import Call
from chain.contracts.leases import Delivery
from chain.leaves import (
    EpochLeaves,
    Leaf,
    Opening,
    Outcome,
    Sample,
    Tree,
    epoch_key,
    offset_ms,
    salt_of,
    samples_root,
)
from chain.power import Action, PowerRequest
from market.rounds import Grid, places_of
from tests.chain.network import anvil, wallet
from tests.cli.conftest import PARAMS, Market, Person, found

EPOCH, ROUNDS = 100, 20
WATCHED = f"""{PARAMS}
epoch: {EPOCH}
rounds: {ROUNDS}
restore_time: 10
power_time: 60
seat_fee: 1000
tick_fine: 1000
appeal_bond: 1000
appeal_time: 150
"""
GRID = Grid(EPOCH, ROUNDS)


@dataclass
class Watched:
    """A market with three witnesses in the pool; `pages` is what each committed to, by (seat, epoch)."""

    market: Market
    admins: list[Person]
    signers: list[str]
    orgs: list[int]
    lease: int = 0
    seats: list[int] = field(default_factory=list)
    pages: dict[tuple[int, int], EpochLeaves] = field(default_factory=dict)

    @property
    def now(self) -> int:
        """By the chain."""
        return int(self.market.node.ask("eth_getBlockByNumber", "latest", False)["timestamp"], 16)

    @property
    def epoch(self) -> int:
        """That of the chain's clock."""
        return GRID.epoch_of(self.now)

    def unaccounted(self) -> int:
        """Microcredits in escrow that nobody's `ocx credits balance` shows."""
        exchange = self.market.buyer.exchange()
        count, total = exchange.members.count(), exchange.escrow.total()
        told = [self.market.north.does(f"credits balance {org}") for org in range(1, count + 1)]
        exchange.sender.close()
        return total - exchange.escrow.free(0) - sum(item["free"] + item["locked"] for item in told)

    def go(self, epoch: int, into: int = 5) -> None:
        """On to so many seconds after an epoch's begin."""
        at = GRID.start(epoch) + into
        assert at > self.now, "that time is over"
        self.market.node.ask("evm_setNextBlockTimestamp", hex(at))
        self.market.node.mine()

    def act(self, signer: str, call: Call) -> None:
        """A transaction of a key that nobody here keeps."""
        sent = {"from": signer, "to": call.to, "data": f"0x{call.data.hex()}", "gas": hex(8_000_000)}
        receipt = self.market.node.ask("eth_sendTransactionSync", sent | {"gasPrice": "0x0"})
        assert receipt["status"] == "0x1", call.label

    def open(self, sla: int, offer: int, node: int, length: int) -> int:
        """A lease from the begin of the next epoch but few seconds: signed, drawn, delivered, proven."""
        market = self.market
        self.go(self.epoch + 1, 3)
        first = self.epoch
        bought = market.buyer.does(f"offer buy {offer} --node {node} --start now --for {length}s --sla {sla}")
        self.lease = int(bought["lease"])
        market.south.does(f"lease sign {self.lease}")
        exchange = market.south.exchange()
        assert exchange.witnesses
        exchange.send(exchange.witnesses.draw(self.lease, 0))
        exchange.send(exchange.leases.deliver(self.lease, Delivery(1, b"c" * 32, b"h" * 32, b"s" * 32)))
        self.seats = [self.orgs.index(org) for org in exchange.witnesses.committee(self.lease, 0).seats]
        delivery = exchange.leases.lease(self.lease).delivery
        for seat in self.seats[:2]:
            self.act(self.signers[seat], exchange.witnesses.seen(self.lease, 1, delivery, []))
        exchange.sender.close()
        assert self.epoch == first
        return first

    def tick(self, epoch: int, downs: Sequence[Sequence[int] | None], opens: Sequence[bool] = ()) -> None:
        """In the epoch after it: seat by seat, what it saw down (None: it does not tick).

        `opens`: whether the seat opens the epoch before; by default all do.
        """
        self.go(epoch + 1)
        exchange = self.market.buyer.exchange()
        assert exchange.witnesses
        for seat, down in enumerate(downs):
            if down is None:
                continue
            org, signer = self.orgs[self.seats[seat]], self.signers[self.seats[seat]]
            root = samples_root(self.samples(seat, epoch, down))
            leaf = Leaf(self.lease, 0, (1 << ROUNDS) - 1, places_of(down), root)
            page = EpochLeaves((leaf,), salt_of(self.key(seat, epoch)))
            before = self.pages.get((seat, epoch - 1))
            opening = Opening()
            chunk: tuple[Leaf, ...] = ()
            if before is not None and (not opens or opens[seat]):
                opening, chunk = before.opening, next(iter(before.chunks), ())
            commitment = page.commitment(org, epoch)
            self.act(signer, exchange.witnesses.tick(epoch, commitment, opening, chunk))
            self.pages[seat, epoch] = page

    def key(self, seat: int, epoch: int) -> bytes:
        """A seat's key of an epoch, which says when in each round it measures."""
        return epoch_key(keccak(text=f"master {seat}"), epoch)

    def samples(self, seat: int, epoch: int, down: Sequence[int]) -> list[Sample]:
        """What a seat measured of the machine in an epoch: up but where it saw it down."""
        key, found = self.key(seat, epoch), []
        for number in range(ROUNDS):
            start = 1000 * GRID.round_start(epoch, number)
            at = start + offset_ms(GRID, key, self.lease, 0, number)
            found.append(Sample(number, at, Outcome.PROVIDER if number in down else Outcome.UP))
        return found

    def open_up(self, audit: int, seat: int, down: Sequence[int]) -> None:
        """A seat's answer to an audit, as its node gives it."""
        exchange = self.market.buyer.exchange()
        assert exchange.audits
        asked = exchange.audits.audit_of(audit)
        page = self.pages[seat, asked.epoch]
        rooted = page.rooted(self.lease, 0)
        assert rooted
        samples = self.samples(seat, asked.epoch, down)
        proof = Tree.of(samples).proof(asked.round)
        key, sample = self.key(seat, asked.epoch), samples[asked.round]
        call = exchange.audits.answer(audit, key, page.opening, rooted, sample, proof)
        self.act(self.signers[self.seats[seat]], call)

    def switch(self, action: Action) -> None:
        """The buyer's signed request, recorded."""
        exchange = self.market.buyer.exchange()
        assert exchange.verdicts
        now = self.now
        request = PowerRequest(self.lease, action, now, now)
        key = self.market.buyer.wallet()
        signature = power.sign(key, request, exchange.connection.chain_id, exchange.leases.address)
        exchange.send(exchange.verdicts.post_power(request, signature))
        exchange.sender.close()

    def answer(self, inquiry: int, seat: int, value: Any, ppm: int, measured: int) -> None:
        """One seat's answer to an inquiry."""
        exchange = self.market.buyer.exchange()
        assert exchange.inquiries
        call = exchange.inquiries.answer(inquiry, value, ppm, measured)
        self.act(self.signers[self.seats[seat]], call)


@contextmanager
def watched(folder: Path, timestamp: int) -> Iterator[Watched]:
    """Found the market and let three witnesses in."""
    with anvil("--timestamp", str(timestamp)) as node:
        market = found(node, folder, WATCHED)
        node.ask("anvil_autoImpersonateAccount", True)
        admins, signers = [], []
        for number in range(3):
            person = Person(f"eye-{number}", folder / f"eye-{number}", market.council.connection)
            person.does("wallet create --light")
            address = person.does("wallet show")["address"]
            market.council.does(f"member admit {person.name} {address} --roles witness")
            market.council.does(f"credits mint {address} 100")
            person.does("credits deposit 90")
            signers.append(wallet(1000 + number).address)
            person.does(f"witness join --signer {signers[-1]} --stake 5")
            admins.append(person)
        orgs = [int(row["org"]) for row in market.buyer.does("witness list")]
        yield Watched(market, admins, signers, orgs)
