"""A deployed exchange with its parties on an anvil of its own: what the measurements act on.

Everything goes through the product's own client (`chain.exchange`, `chain.sender`). This module must not
measure anything.
"""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from eth_utils.crypto import keccak

from chain.connection import load
from chain.contracts.base import Call
from chain.contracts.book import OfferTerms
from chain.contracts.members import Role
from chain.deploy import DeployParams, deploy
from chain.exchange import Exchange, decode_logs
from chain.generated import events
from chain.rpc import Rpc
from chain.sender import Sender
from chain.wallet import Wallet
from chain.wire import Receipt
from market.specs import Spec
from market.windows import SlotWindow
from tests.chain.network import Anvil, anvil

__all__ = ["CLASS", "SITE", "SPEC", "Party", "Stage", "found", "leases_of", "open_stage"]

CLASS, SITE = "bm.large", "hall-1"
SPEC = Spec(cores=64, memory_mib=1_048_576, disk_gib=480, gpus=0, network_mbps=25_000)


def wallet(name: str) -> Wallet:
    """The same key for the same name at each run: gas depends on an address's zero bytes."""
    return Wallet(keccak(text=f"bench {name}"))


@dataclass
class Party:
    """An organisation, and the client its one member acts through."""

    org: int
    client: Exchange

    def send(self, call: Call) -> Receipt:
        """Act and wait until it is mined."""
        return self.client.send(call)

    def register(self, hardware: int, turnaround: int = 1) -> Call:
        """Register one machine, told apart by a number."""
        key = keccak(text=f"hardware {hardware}")
        document = keccak(text="document")
        return self.client.inventory.register(CLASS, SITE, SPEC, turnaround, document, key)

    def publish(self, window: SlotWindow, resources: list[int], floor: int, buy_now: int = 0) -> Call:
        """Offer machines."""
        return self.client.book.publish(OfferTerms(window, floor, buy_now), resources)


@dataclass
class Stage:
    """The chain, the deployment, and how parties come in."""

    node: Anvil
    folder: Path
    connection_file: Path
    council: Exchange
    params: DeployParams
    parties: dict[str, Party] = field(default_factory=dict)

    def client(self, name: str) -> Exchange:
        """The client of a wallet by that name."""
        return Exchange(load(self.connection_file), wallet(name), self.folder / name)

    def admit(self, name: str, role: Role, funds: int) -> Party:
        """A new organisation with so many microcredits in Escrow."""
        client = self.client(name)
        self.council.send(self.council.members.admit(name, client.sender.address, role))
        party = Party(client.members.by_handle(name), client)
        self.council.send(self.council.credits.mint(client.sender.address, funds, f"bench {name}"))
        party.send(client.credits.approve(client.escrow.address, funds))
        party.send(client.escrow.deposit(party.org, funds))
        self.parties[name] = party
        return party

    def pass_to(self, second: int) -> None:
        """Make a block of that second."""
        self.node.ask("evm_setNextBlockTimestamp", hex(second))
        self.node.mine()


def found(node: Anvil, folder: Path, params: DeployParams, block_time: float) -> Stage:
    """Deploy an exchange on a running anvil."""
    rpc = Rpc.for_deployment([node.url], block_time=block_time)
    founder = Sender(rpc, wallet("council"), folder / "founder")
    _, connection = deploy(rpc, founder, params).write(folder)
    founder.close()
    council = Exchange(load(connection), wallet("council"), folder / "council")
    return Stage(node, folder, connection, council, params)


@contextlib.contextmanager
def open_stage(params: DeployParams, *options: str, block_time: float = 0) -> Iterator[Stage]:
    """A stage that is gone afterwards; `block_time` 0 makes a block per transaction."""
    if block_time:
        options += ("--block-time", str(block_time))
    with tempfile.TemporaryDirectory(prefix="ocx-bench-") as folder, anvil(*options) as node:
        yield found(node, Path(folder), params, block_time)


def leases_of(receipt: Receipt) -> list[int]:
    """The leases that a transaction opened."""
    seen = decode_logs(receipt.logs)
    return [event.lease for event in seen if isinstance(event, events.LeaseOpened)]
