"""Sealed bids until they are revealed: one private file each, written before the commitment is sent.

Whoever loses a bid's salt loses its deposit. So a file is never overwritten, and which of several belongs to
a tender is told by the commitment on the chain, not by the file's date.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from chain.contracts.book import Bid
from chain.contracts.tender import commitment
from chain.wallet import write_private
from market.errors import InvalidInput, Refused

if TYPE_CHECKING:
    from chain.contracts.base import Call
    from chain.exchange import Exchange

__all__ = ["SealedBid", "excusing_call", "find", "keep", "read"]


@dataclass(frozen=True)
class SealedBid:
    """A bid with the salt that seals it (32 bytes)."""

    request: int
    bidder: int
    bid: Bid
    salt: bytes

    def commitment(self, exchange: Exchange) -> bytes:
        """What the chain is told, made here so that no node learns the bid."""
        chain_id, place = exchange.connection.chain_id, exchange.tender.address_of(self.request)
        return commitment(chain_id, place, self.request, self.bidder, self.bid, self.salt)


def _folder(state: Path, exchange: Exchange) -> Path:
    return state / "bids" / f"{exchange.connection.chain_id}-{exchange.tender.addresses[0][2:10].lower()}"


def keep(state: Path, exchange: Exchange, sealed: SealedBid) -> Path:
    """Write a sealed bid down (mode 0600); returns the file."""
    content: dict[str, Any] = {
        "request": sealed.request,
        "bidder": sealed.bidder,
        "bid": asdict(sealed.bid),
        "salt": sealed.salt.hex(),
    }
    name = f"{sealed.request}-{sealed.bidder}-{sealed.commitment(exchange).hex()[:16]}.json"
    path = _folder(state, exchange) / name
    write_private(path, json.dumps(content, sort_keys=True) + "\n")
    return path


def find(state: Path, exchange: Exchange, request: int, bidder: int) -> SealedBid:
    """The sealed bid that was committed on chain; InvalidInput if this state directory has no such file."""
    wanted = exchange.tender.bidder(request, bidder).commitment
    for path in sorted(_folder(state, exchange).glob(f"{request}-{bidder}-*.json")):
        sealed = read(path)
        if sealed.commitment(exchange) == wanted:
            return sealed
    raise InvalidInput(
        f"the sealed bid of organisation {bidder} for tender {request} is not in {_folder(state, exchange)}",
        hint="use the --state directory of the machine that sent the bid, or give its file with --bid",
    )


def read(path: Path) -> SealedBid:
    """A sealed bid from its file; InvalidInput if it is none."""
    try:
        content = json.loads(path.read_text("utf-8"))
        kept = content["bid"]
        bid = Bid(kept["offer"], kept["rate"], kept["start"], tuple(kept["resources"]))
        return SealedBid(content["request"], content["bidder"], bid, bytes.fromhex(content["salt"]))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InvalidInput(f"{path} is not a sealed bid: {error}") from error


def excusing_call(state: Path, exchange: Exchange, request: int, bidder: int) -> Call:
    """The call that excuses a bid, by the lease that took a node of it; Refused if the chain takes none.

    A bid that is still sealed is opened by it, void.
    """
    from chain.generated.enums import BidStatus

    known = exchange.tender.bidder(request, bidder)
    sealed = find(state, exchange, request, bidder) if known.status is BidStatus.COMMITTED else None
    bids = dict(exchange.tender.revealed(request))
    nodes = sealed.bid.resources if sealed else bids[bidder].resources if bidder in bids else ()
    refusal: Refused | None = None
    for lease in reversed(exchange.leases.numbers()):
        if exchange.leases.lease(lease).created_at < known.committed_at:
            break
        for node in set(nodes) & set(exchange.leases.resources_of(lease)):
            call = (
                exchange.tender.reveal_void(request, bidder, sealed.bid, sealed.salt, node, lease)
                if sealed
                else exchange.tender.excuse(request, bidder, node, lease)
            )
            try:
                exchange.estimate(call)
            except Refused as error:
                refusal = error
            else:
                return call
    raise refusal or Refused(
        f"no lease since the commitment took a node of the bid on tender {request}", hint="reveal it instead"
    )
