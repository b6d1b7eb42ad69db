"""`EnglishAuction`: open auctions whose rate goes up (contracts/interfaces/IEnglishAuction.sol).

Rates are microcredits per resource and hour, windows are in slots, other times unix seconds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from chain.contracts.base import Call, Contract, struct, window_tuple
from chain.generated.enums import AuctionStage
from chain.wire import BlockId
from market.english import Bidding
from market.windows import SlotWindow

__all__ = ["Auction", "AuctionTerms", "EnglishAuction", "Stake"]


@dataclass(frozen=True, slots=True)
class AuctionTerms:
    """IEnglishAuction.AuctionTerms; `step_bps` in hundredths of a percent, `extension` in seconds."""

    offer: int
    window: SlotWindow
    reserve_rate: int
    step_bps: int
    end: int
    extension: int
    hard_stop: int

    def as_tuple(self) -> tuple[object, ...]:
        """In the order of the Solidity struct."""
        times = (self.end, self.extension, self.hard_stop)
        return (self.offer, window_tuple(self.window), self.reserve_rate, self.step_bps, *times)


@dataclass(frozen=True, slots=True)
class Auction:
    """IEnglishAuction.Auction; `leader` 0: nobody bid. `start` and `end_slot` are slots, `end` is a time."""

    offer: int
    seller: int
    leader: int
    rate: int
    extension: int
    step_bps: int
    stage: AuctionStage
    start: int
    end: int
    hard_stop: int
    by: str
    end_slot: int
    deposit: int
    award: int
    reserve_rate: int

    @property
    def window(self) -> SlotWindow:
        """What is leased to who wins."""
        return SlotWindow(self.start, self.end_slot)

    @property
    def bidding(self) -> Bidding:
        """How bidding stands, for `market.english`."""
        return Bidding(
            rate=self.rate,
            led=self.leader != 0,
            step_bps=self.step_bps,
            end=self.end,
            extension=self.extension,
            hard_stop=self.hard_stop,
        )


@dataclass(frozen=True, slots=True)
class Stake:
    """IEnglishAuction.Stake: what of an organisation an auction holds, and whose limit carries it."""

    by: str
    amount: int


class EnglishAuction(Contract):
    """Auctions on resources of offers; `org` 0 is the organisation where the sender is at home."""

    NAME = "EnglishAuction"

    def count(self, *, block: BlockId = "latest") -> int:
        return int(self._view("count", block=block))

    def auctions(self) -> list[int]:
        """Every auction there is, the oldest first."""
        return self._numbers("count")

    def auction(self, auction: int, *, block: BlockId = "latest") -> Auction:
        return struct(Auction, self._view("auction", auction, block=block))

    def resources_of(self, auction: int, *, block: BlockId = "latest") -> tuple[int, ...]:
        return tuple(self._view("resourcesOf", auction, block=block))

    def stake_of(self, auction: int, org: int, *, block: BlockId = "latest") -> Stake:
        return struct(Stake, self._view("stakeOf", auction, org, block=block))

    def least_rate(self, auction: int, *, block: BlockId = "latest") -> int:
        return int(self._view("leastRate", auction, block=block))

    def deposit_ppm(self, *, block: BlockId = "latest") -> int:
        return int(self._view("depositPpm", block=block))

    def open(self, terms: AuctionTerms, resources: Sequence[int], *, org: int = 0) -> Call:
        return self._call("open", org, terms.as_tuple(), sorted(resources))

    def bid(self, auction: int, rate: int, *, org: int = 0) -> Call:
        return self._call("bid", org, auction, rate)

    def pull(self, auction: int, org: int) -> Call:
        return self._call("pull", auction, org)

    def award(self, auction: int) -> Call:
        return self._call("award", auction)

    def cancel(self, auction: int) -> Call:
        return self._call("cancel", auction)
