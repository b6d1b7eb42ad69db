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
from chain.contracts.amendments import Amendments
from chain.contracts.audits import Audits
from chain.contracts.awards import Awards
from chain.contracts.base import Call, Contract
from chain.contracts.book import Book
from chain.contracts.directory import Directory
from chain.contracts.english import EnglishAuction
from chain.contracts.inquiries import Inquiries
from chain.contracts.inventory import Inventory
from chain.contracts.leases import Leases
from chain.contracts.members import Members
from chain.contracts.money import Credits, Escrow, Settlement
from chain.contracts.orders import Orders
from chain.contracts.ranking import Ranking
from chain.contracts.sublets import Sublets
from chain.contracts.tender import SealedTender
from chain.contracts.verdicts import Verdicts
from chain.contracts.witnesses import Witnesses
from chain.generated import events
from chain.rpc import Rpc
from chain.sender import Sender
from chain.wallet import Wallet
from chain.wire import Log, Receipt
from market.errors import InvalidInput, Refused

__all__ = ["Exchange"]

C = TypeVar("C", bound=Contract)


class Exchange:
    """The contracts that the connection file's Directory names.

    A generation is what is deployed anew together when the rules change: all but the directory, members,
    credits, escrow and inventory. What began in an older one ends there: its leases, awards, offers and
    requests are found by their numbers. With `generation` (from 1) there is that one alone.
    """

    def __init__(
        self,
        connection: ConnectionFile,
        wallet: Wallet | None = None,
        state_dir: Path | None = None,
        *,
        rpc: Rpc | None = None,
        generation: int | None = None,
    ) -> None:
        self._wanted = generation
        self.connection = connection
        self.rpc = rpc or Rpc(connection)
        self.wallet = wallet
        self.directory = Directory(connection.directory, self.rpc)
        self._state_dir = state_dir

    @classmethod
    def open(
        cls,
        path: Path | str,
        wallet: Wallet | None = None,
        state_dir: Path | None = None,
        *,
        generation: int | None = None,
    ) -> Exchange:
        """From a connection file; the network is checked at the first read."""
        return cls(connection_file.load(path), wallet, state_dir, generation=generation)

    @cached_property
    def generations(self) -> int:
        """How many there are; InvalidInput if there is none of the number that was asked for."""
        known = self.directory.versions("Leases")
        if self._wanted is not None and not 0 < self._wanted <= known:
            raise InvalidInput(
                f"the exchange has no generation {self._wanted}", hint=f"name one from 1 to {known}"
            )
        return known

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
        return self._numbered(Settlement)

    @cached_property
    def leases(self) -> Leases:
        """Leases."""
        return self._numbered(Leases)

    @cached_property
    def awards(self) -> Awards:
        """What leases of one outcome share."""
        return self._numbered(Awards)

    @cached_property
    def amendments(self) -> Amendments:
        """Changes of leases that run."""
        return self._numbered(Amendments)

    @cached_property
    def book(self) -> Book:
        """Offers and requests."""
        return self._numbered(Book)

    @cached_property
    def ranking(self) -> Ranking:
        """What reverse auctions judge."""
        return self._numbered(Ranking)

    @cached_property
    def tender(self) -> SealedTender:
        """Sealed tenders."""
        return self._numbered(SealedTender)

    @cached_property
    def english(self) -> EnglishAuction | None:
        """English auctions; None on an exchange without them."""
        return self._optional(EnglishAuction)

    @cached_property
    def orders(self) -> Orders | None:
        """Restricted offers; None on an exchange without them."""
        return self._optional(Orders)

    @cached_property
    def sublets(self) -> Sublets | None:
        """Parts of leases that are let on; None on an exchange without them."""
        return self._optional(Sublets)

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
            self.amendments,
            self.book,
            self.tender,
        ]
        further = (
            self.english,
            self.orders,
            self.sublets,
            self.witnesses,
            self.verdicts,
            self.audits,
            self.inquiries,
        )
        return core + [contract for contract in further if contract is not None]

    def _numbered(self, kind: type[C]) -> C:
        """A contract of the generations; Refused if the directory names none."""
        if self.generations == 1:
            return kind(self.directory.latest(kind.NAME), self.rpc)
        found = self._optional(kind)
        if found is None:
            raise Refused(f"the exchange has no {kind.NAME}", hint="is this ocx newer than the exchange?")
        return found

    def _optional(self, kind: type[C]) -> C | None:
        """A contract of the generations that not every exchange has."""
        places = self._versions(kind.NAME)
        if not places:
            return None
        lasts = self._lasts[1 - len(places) :] if len(places) > 1 else []
        return kind(places[-1], self.rpc, tuple(zip(lasts, places[:-1], strict=True)))

    def _versions(self, name: str) -> list[str]:
        """Its addresses, the oldest first. One that came later has fewer: the newest belong together."""
        known = self.directory.versions(name)
        if self._wanted is None:
            return [self.directory.at(name, version) for version in range(1, known + 1)]
        version = known - (self.generations - self._wanted)
        return [self.directory.at(name, version)] if version > 0 else []

    @cached_property
    def _lasts(self) -> list[int]:
        """The highest number of each generation but the newest."""
        places = [self.directory.at("Leases", version) for version in range(2, self.generations + 1)]
        return [Leases(place, self.rpc).base() for place in places]

    def addresses(self) -> list[str]:
        """Where their events come from."""
        return [address for contract in self.contracts() for address in contract.addresses]

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
