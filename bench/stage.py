"""A deployed exchange with its parties on an anvil of its own: what the measurements act on.

Everything goes through the product's own client (`chain.exchange`, `chain.sender`). This module must not
measure anything.
"""

from __future__ import annotations

import contextlib
import dataclasses
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from eth_utils.crypto import keccak

from chain.connection import load
from chain.contracts.base import Call
from chain.contracts.book import OfferTerms
from chain.contracts.members import Role
from chain.deploy import Deployment, DeployParams, deploy
from chain.exchange import Exchange, decode_logs
from chain.generated import events
from chain.rpc import Rpc
from chain.sender import Sender
from chain.wallet import Wallet
from chain.wire import Receipt
from market.specs import Spec
from market.windows import SlotWindow
from tests.chain.network import Anvil, anvil

__all__ = ["CLASS", "SITE", "SPEC", "Party", "Stage", "leases_of", "open_stage"]

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

    def publish(
        self, window: SlotWindow, resources: list[int], floor: int, buy_now: int = 0, sla: int = 0
    ) -> Call:
        """Offer machines."""
        return self.client.book.publish(OfferTerms(window, floor, buy_now, sla=sla), resources)


@dataclass
class Stage:
    """The chain, the deployment, and how parties come in."""

    node: Anvil
    folder: Path
    connection_file: Path
    council: Exchange
    deployment: Deployment

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
        return party

    def go_live(self, block_time: float) -> None:
        """From now on blocks come with the wall clock; clients made from now on know it."""
        self.node.ask("evm_setTime", int(time.time()))
        self.node.ask("evm_setIntervalMining", int(block_time))
        live = dataclasses.replace(self.deployment, block_time=block_time)
        _, self.connection_file = live.write(self.folder / "live")

    def pass_to(self, second: int) -> None:
        """Make a block of that second."""
        self.node.ask("evm_setNextBlockTimestamp", hex(second))
        self.node.mine()


@contextlib.contextmanager
def open_stage(params: DeployParams, *options: str) -> Iterator[Stage]:
    """A stage with a block per transaction, gone afterwards; `options` are the engine's."""
    with tempfile.TemporaryDirectory(prefix="ocx-bench-") as name, anvil(*options) as node:
        folder = Path(name)
        founder = Sender(Rpc.for_deployment([node.url], block_time=0), wallet("council"), folder / "founder")
        deployment = deploy(founder.rpc, founder, params)
        founder.close()
        _, connection = deployment.write(folder)
        council = Exchange(load(connection), wallet("council"), folder / "council")
        yield Stage(node, folder, connection, council, deployment)


def leases_of(receipt: Receipt) -> list[int]:
    """The leases that a transaction opened."""
    seen = decode_logs(receipt.logs)
    return [event.lease for event in seen if isinstance(event, events.LeaseOpened)]
