"""`SealedTender`: reverse auctions with sealed bids (contracts/interfaces/ISealedTender.sol)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from eth_abi.abi import encode as abi_encode
from eth_utils.crypto import keccak

from chain.contracts.base import Call, Contract, struct
from chain.contracts.book import Bid, RequestTerms
from chain.generated.enums import BidStatus, Stage
from chain.wire import BlockId

__all__ = ["Bidder", "SealedTender", "Tender", "TenderTerms", "commitment"]


@dataclass(frozen=True, slots=True)
class TenderTerms:
    """ISealedTender.TenderTerms; unix seconds."""

    commit_end: int
    reveal_end: int
    vickrey: bool = False


@dataclass(frozen=True, slots=True)
class Tender:
    """ISealedTender.Tender; `ceiling_amount` holds the buyer's half of the witness fees, too."""

    commit_end: int
    reveal_end: int
    awarded_at: int
    vickrey: bool
    stage: Stage
    commits: int
    reveals: int
    excused: int
    deposit: int
    ceiling_amount: int
    award: int
    buyer: int
    share: int


@dataclass(frozen=True, slots=True)
class Bidder:
    """ISealedTender.Bidder; `start` is the slot that a revealed bid begins in."""

    status: BidStatus
    by: str
    committed_at: int
    start: int
    commitment: bytes


def commitment(chain_id: int, tender: str, request: int, bidder: int, bid: Bid, salt: bytes) -> bytes:
    """What a bidder commits to (rule A4), as `SealedTender.commitmentOf` makes it, without telling a node."""
    types = ("uint256", "address", "uint32", "uint32", "(uint32,uint64,uint32,uint32[])", "bytes32")
    return keccak(abi_encode(types, (chain_id, tender, request, bidder, bid.as_tuple(), salt)))


class SealedTender(Contract):
    """A tender carries its request's number."""

    NAME = "SealedTender"

    def tender(self, request: int, *, block: BlockId = "latest") -> Tender:
        return struct(Tender, self._view("tender", request, block=block))

    def bidder(self, request: int, org: int, *, block: BlockId = "latest") -> Bidder:
        return struct(Bidder, self._view("bidder", request, org, block=block))

    def revealed(self, request: int, *, block: BlockId = "latest") -> list[tuple[int, Bid]]:
        """Kept bids with their bidders, best first."""
        orgs, bids = self._view("revealed", request, block=block)
        return [(org, Bid(*bid)) for org, bid in zip(orgs, bids, strict=True)]

    def deposit_ppm(self, *, block: BlockId = "latest") -> int:
        return int(self._view("depositPpm", block=block))

    def commitment_of(
        self, request: int, org: int, bid: Bid, salt: bytes, *, block: BlockId = "latest"
    ) -> bytes:
        """As the contract makes it. Shows bid and salt to the node that is asked: use `commitment` to bid."""
        return bytes(self._view("commitmentOf", request, org, bid.as_tuple(), salt, block=block))

    def post(self, request: RequestTerms, terms: TenderTerms, *, org: int = 0) -> Call:
        """Ask for an organisation; 0 is the wallet's own, another one must have granted it the right."""
        values = (terms.commit_end, terms.reveal_end, terms.vickrey)
        return self._call("post", org, request.as_tuple(), values)

    def cancel(self, request: int) -> Call:
        return self._call("cancel", request)

    def commit(self, request: int, sealed: bytes, *, org: int = 0) -> Call:
        """Bid for an organisation, as `post` asks for one."""
        return self._call("commit", org, request, sealed)

    def reveal(
        self, request: int, org: int, bid: Bid, salt: bytes, proofs: Sequence[Sequence[bytes]] = ()
    ) -> Call:
        """`proofs`: see `chain.eligible`; none if the request takes any resource."""
        return self._call("reveal", request, org, bid.as_tuple(), salt, [list(proof) for proof in proofs])

    def reveal_void(self, request: int, org: int, bid: Bid, salt: bytes, resource: int, lease: int) -> Call:
        return self._call("revealVoid", request, org, bid.as_tuple(), salt, resource, lease)

    def excuse(self, request: int, org: int, resource: int, lease: int) -> Call:
        return self._call("excuse", request, org, resource, lease)

    def award(self, request: int) -> Call:
        return self._call("award", request)

    def claim(self, request: int, org: int) -> Call:
        return self._call("claim", request, org)

    def forfeit_sold(self, request: int, org: int) -> Call:
        return self._call("forfeitSold", request, org)
