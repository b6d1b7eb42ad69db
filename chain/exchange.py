"""One deployment of the exchange, opened: its contracts, a wallet, and the sender that speaks for it.

Everything above `chain/` starts here. It must not decide anything about the market.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cached_property
from pathlib import Path
from typing import TypeVar

from chain import connection as connection_file
from chain.codec import Event
from chain.connection import ConnectionFile
from chain.contracts.audits import Audits
from chain.contracts.awards import Awards
from chain.contracts.base import Call, Contract
from chain.contracts.book import Book
from chain.contracts.directory import Directory
from chain.contracts.inquiries import Inquiries
from chain.contracts.inventory import Inventory
from chain.contracts.leases import Leases
from chain.contracts.members import Members
from chain.contracts.money import Credits, Escrow, Settlement
from chain.contracts.ranking import Ranking
from chain.contracts.tender import SealedTender
from chain.contracts.verdicts import Verdicts
from chain.contracts.witnesses import Witnesses
from chain.generated import events
from chain.rpc import Rpc
from chain.sender import Sender
from chain.wallet import Wallet
from chain.wire import Log, Receipt
from market.errors import InvalidInput

__all__ = ["Exchange"]

C = TypeVar("C", bound=Contract)


class Exchange:
    """The newest version of every contract that the connection file's Directory names."""

    def __init__(
        self,
        connection: ConnectionFile,
        wallet: Wallet | None = None,
        state_dir: Path | None = None,
        *,
        rpc: Rpc | None = None,
    ) -> None:
        self.connection = connection
        self.rpc = rpc or Rpc(connection)
        self.wallet = wallet
        self.directory = Directory(connection.directory, self.rpc)
        self._state_dir = state_dir

    @classmethod
    def open(cls, path: Path | str, wallet: Wallet | None = None, state_dir: Path | None = None) -> Exchange:
        """From a connection file; the network is checked at the first read."""
        return cls(connection_file.load(path), wallet, state_dir)

    @cached_property
    def members(self) -> Members:
        """Organisations and accounts."""
        return Members(self.directory.latest("Members"), self.rpc)

    @cached_property
    def credits(self) -> Credits:
        """The ERC-20."""
        return Credits(self.directory.latest("Credits"), self.rpc)

    @cached_property
    def escrow(self) -> Escrow:
        """Balances."""
        return Escrow(self.directory.latest("Escrow"), self.rpc)

    @cached_property
    def inventory(self) -> Inventory:
        """Resources."""
        return Inventory(self.directory.latest("Inventory"), self.rpc)

    @cached_property
    def settlement(self) -> Settlement:
        """The money of leases."""
        return Settlement(self.directory.latest("Settlement"), self.rpc)

    @cached_property
    def leases(self) -> Leases:
        """Leases."""
        return Leases(self.directory.latest("Leases"), self.rpc)

    @cached_property
    def awards(self) -> Awards:
        """What leases of one outcome share."""
        return Awards(self.directory.latest("Awards"), self.rpc)

    @cached_property
    def book(self) -> Book:
        """Offers and requests."""
        return Book(self.directory.latest("Book"), self.rpc)

    @cached_property
    def ranking(self) -> Ranking:
        """What reverse auctions judge."""
        return Ranking(self.directory.latest("Ranking"), self.rpc)

    @cached_property
    def tender(self) -> SealedTender:
        """Sealed tenders."""
        return SealedTender(self.directory.latest("SealedTender"), self.rpc)

    @cached_property
    def witnesses(self) -> Witnesses | None:
        """Stakes, committees and ticks; None on an exchange without witnesses."""
        return self._optional(Witnesses)

    @cached_property
    def verdicts(self) -> Verdicts | None:
        """SLAs and what they cost; None on an exchange without witnesses."""
        return self._optional(Verdicts)

    @cached_property
    def audits(self) -> Audits | None:
        """What finds witnesses out; None on an exchange without."""
        return self._optional(Audits)

    @cached_property
    def inquiries(self) -> Inquiries | None:
        """Questions to committees; None on an exchange without."""
        return self._optional(Inquiries)

    @cached_property
    def sender(self) -> Sender:
        """The one way out for this wallet; InvalidInput if there is none."""
        if self.wallet is None or self._state_dir is None:
            raise InvalidInput(
                "this needs a wallet to sign with", hint="Give --wallet FILE, or set OCX_WALLET."
            )
        return Sender(self.rpc, self.wallet, self._state_dir)

    @property
    def slot(self) -> int:
        """Seconds per slot, as the connection file says."""
        return self.connection.slot

    def contracts(self) -> list[Contract]:
        """All of them, the directory first."""
        core = [
            self.directory,
            self.members,
            self.credits,
            self.escrow,
            self.inventory,
            self.settlement,
            self.leases,
            self.awards,
            self.book,
            self.tender,
        ]
        further = (self.witnesses, self.verdicts, self.audits, self.inquiries)
        return core + [contract for contract in further if contract is not None]

    def _optional(self, kind: type[C]) -> C | None:
        """A contract that not every exchange has."""
        known = self.directory.versions(kind.NAME)
        return kind(self.directory.at(kind.NAME, known), self.rpc) if known else None

    def addresses(self) -> list[str]:
        """Where their events come from."""
        return [contract.address for contract in self.contracts()]

    def now(self) -> int:
        """Unix seconds of the newest block: the clock the contracts go by."""
        return self.rpc.chain_time()

    def estimate(self, call: Call) -> int:
        """Gas that a call would need now; raises the typed error it would revert with."""
        return self.rpc.estimate_gas(call.to, call.data, self.sender.address)

    def send(self, call: Call, intent: str | None = None) -> Receipt:
        """Try, journal, send and wait; see `Sender.send`."""
        return self.sender.send(call.to, call.data, intent=intent)

    def events(self, receipt: Receipt) -> list[Event]:
        """What a transaction made happen, in order; logs of strangers are left out."""
        return decode_logs(receipt.logs)


def decode_logs(logs: Iterable[Log]) -> list[Event]:
    """The events behind logs; what is none of ours is left out."""
    decoded = (events.decode(log.topics, log.data) for log in logs)
    return [event for event in decoded if event is not None]
