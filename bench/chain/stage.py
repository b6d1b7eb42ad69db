"""Four validators on this machine's loopback, the exchange on them, and the parties that trade there.

A real network of the members' own (`chain.nodes.local`): blocks of a second, the gas limit of network.yaml,
confirmations as members wait for them. This module must not measure anything.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from eth_utils.crypto import keccak

from bench.stage import CLASS, SITE, SPEC, Party, wallet
from chain import connection as connection_file
from chain.contracts.base import Call
from chain.contracts.book import OfferTerms
from chain.contracts.members import Role
from chain.deploy import DeployParams, deploy
from chain.exchange import Exchange, decode_logs
from chain.generated import events
from chain.nodes import layout, local, render
from chain.nodes.description import NetworkDescription, load
from chain.rpc import Rpc
from chain.sender import Sender
from chain.wire import Receipt
from market.windows import SlotWindow

__all__ = ["FLOOR", "ChainStage", "Shop", "open_chain", "together"]

FLOOR = 1_000_000
"""Microcredits per machine and hour, of every offer."""

_MOST = (1 << 32) - 1
_MONEY = 10**15
_AHEAD = 48
"""Slots between now and the first one that is sold: nothing begins while it is measured."""


@dataclass
class Shop:
    """A seller with one offer at rest that holds all its machines, so long that it does not sell out."""

    party: Party
    offer: int
    machines: tuple[int, ...]
    window: SlotWindow


@dataclass
class ChainStage:
    """The network, its folder, who trades on it, and what is still for sale: `pieces`."""

    folder: Path
    description: NetworkDescription
    connection_file: Path
    council: Exchange
    shops: list[Shop]
    buyers: list[Party]

    def __post_init__(self) -> None:
        """Every load buys from the same shelves, so that nothing is asked for twice."""
        self.pieces = _pieces(self.shops)

    @property
    def urls(self) -> list[str]:
        """JSON-RPC of every node; the client asks the first while that is right and fresh."""
        return [node.rpc_url for node in self.description.nodes]

    def pids(self) -> dict[str, int]:
        """The process of each node."""
        kept = local.ask_keeper(self.folder, "status")
        return {name: int(each["pid"]) for name, each in kept.items()}

    def data_of(self, name: str) -> Path:
        """Where a node keeps its chain."""
        return layout.node_folder(self.folder, self.description.node(name)) / "data"


def together(calls: Sequence[tuple[Party, Call]]) -> list[Receipt]:
    """Send all, then wait for all: none may need another one's effect."""
    sent = [(party, party.client.sender.send(call.to, call.data, wait=False)) for party, call in calls]
    return [party.client.sender.wait(entry) for party, entry in sent]


@contextlib.contextmanager
def open_chain(
    *, validators: int = 4, sellers: int = 8, buyers: int = 24, machines: int = 6
) -> Iterator[ChainStage]:
    """A network with the exchange and parties with money; all of it gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="ocx-chain-") as name:
        folder = Path(name)
        layout.found(folder, validators, spaces=False, now=int(time.time()))
        local.start(folder, while_pid=os.getpid())
        try:
            local.wait_until(folder, lambda found: found.good and (found.height or 0) > 1, timeout=120)
            yield _furnish(folder, sellers, buyers, machines)
        finally:
            local.stop(folder)


def _furnish(folder: Path, sellers: int, buyers: int, machines: int) -> ChainStage:
    description = load(layout.description_path(folder))
    rpc = Rpc.for_deployment([node.rpc_url for node in description.nodes])
    founder = Sender(rpc, wallet("council"), folder / "founder")
    made = deploy(rpc, founder, DeployParams(slot=description.slot, max_open_orders=_MOST))
    founder.close()
    text = render.connection(
        description,
        genesis_hash=made.genesis_hash,
        directory=made.addresses["Directory"],
        directory_code_hash=made.directory_code_hash,
    )
    (folder / "connection.yaml").write_text(text, "utf-8")
    council = _client(folder, "council")
    names = [(f"shop{n}", Role.SELLER) for n in range(sellers)] + [
        (f"buyer{n}", Role.BUYER) for n in range(buyers)
    ]
    parties = _admit(folder, council, names)
    shops = _open_shops(council, parties[:sellers], machines)
    return ChainStage(folder, description, folder / "connection.yaml", council, shops, parties[sellers:])


def _client(folder: Path, name: str, rpc: Rpc | None = None) -> Exchange:
    return Exchange(connection_file.load(folder / "connection.yaml"), wallet(name), folder / name, rpc=rpc)


def _admit(folder: Path, council: Exchange, names: list[tuple[str, Role]]) -> list[Party]:
    """Organisations with half their money in Escrow and half in the hand; one process, so one `Rpc`."""
    head = Party(0, council)
    clients = [_client(folder, name, council.rpc) for name, _ in names]
    together(
        [
            (head, call)
            for (name, role), client in zip(names, clients, strict=True)
            for call in (
                council.members.admit(name, client.sender.address, role),
                council.credits.mint(client.sender.address, _MONEY, f"bench {name}"),
            )
        ]
    )
    parties = [
        Party(client.members.by_handle(name), client)
        for (name, _), client in zip(names, clients, strict=True)
    ]
    together([(p, p.client.credits.approve(p.client.escrow.address, _MONEY)) for p in parties])
    together([(p, p.client.escrow.deposit(p.org, _MONEY // 2)) for p in parties])
    return parties


def _open_shops(council: Exchange, sellers: list[Party], machines: int) -> list[Shop]:
    first = council.now() // council.slot + _AHEAD
    window = SlotWindow(first, first + 8_000)
    registered = together(
        [
            (seller, _register(seller, n * machines + m))
            for n, seller in enumerate(sellers)
            for m in range(machines)
        ]
    )
    numbers = [_one(receipt, events.ResourceRegistered).resource for receipt in registered]
    stock = [tuple(sorted(numbers[n * machines : (n + 1) * machines])) for n in range(len(sellers))]
    terms = OfferTerms(window, FLOOR, buy_now_rate=FLOOR)
    offered = together(
        [(seller, seller.client.book.publish(terms, own)) for seller, own in zip(sellers, stock, strict=True)]
    )
    offers = [_one(receipt, events.OfferPublished).offer for receipt in offered]
    return [Shop(*each, window) for each in zip(sellers, offers, stock, strict=True)]


def _register(seller: Party, number: int) -> Call:
    key, document = keccak(text=f"hardware {number}"), keccak(text="document")
    return seller.client.inventory.register(CLASS, SITE, SPEC, 0, document, key)


def _one(receipt: Receipt, kind: type) -> Any:
    [found] = [event for event in decode_logs(receipt.logs) if isinstance(event, kind)]
    return found


def _pieces(shops: list[Shop]) -> Iterator[tuple[Shop, int, int]]:
    """Each machine of each shop in each slot, once; the last machine is for tenders."""
    for slot in range(shops[0].window.start_slot, shops[0].window.end_slot):
        for shop in shops:
            for machine in shop.machines[:-1]:
                yield shop, machine, slot
