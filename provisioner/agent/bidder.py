"""Sealed tenders, from the commitment to the claim: every step the provider's agent takes in each of them.

A bid is stored with its salt before its commitment leaves the house, so that a crash never costs the deposit.
Decisions go by the chain's clock, with a margin before each deadline. What is bid is in `bids`.

This module must not show a bid or a salt before the reveal.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import Enum

from chain.contracts.base import Call
from chain.contracts.tender import Bidder as ChainBidder
from chain.contracts.tender import Tender
from chain.eligible import proofs_of
from chain.exchange import Exchange
from chain.generated.enums import BidStatus, Stage
from chain.generated.errors import Inventory_NotCovering, Inventory_NotFree
from chain.rpc import CHAIN_AWAY
from chain.wire import Block
from provisioner.agent.agenda import Agenda
from provisioner.agent.bids import BidChoice, meet, offered_rate
from provisioner.agent.clouds import Clouds
from provisioner.agent.hands import Hands
from provisioner.agent.operations import Operations, Retries
from provisioner.settings import BiddingSettings
from provisioner.store.records import StoredBid, TenderRecord
from provisioner.store.store import Store

__all__ = ["BidReport", "Bidder", "Move", "decide_bid", "offered_rate"]


class Move(Enum):
    """What to do next in one tender."""

    CONSIDER = "consider"
    COMMIT = "commit"
    REVEAL = "reveal"
    AWARD = "award"
    EXCUSE = "excuse"
    CLAIM = "claim"
    WAIT = "wait"
    OVER = "over"


@dataclass(frozen=True, slots=True)
class BidReport:
    """What health says of one tender."""

    move: str
    why: str


@dataclass(slots=True)
class _Turn:
    """One look at one tender: its record, what the chain says of it and of us, and the bid we keep."""

    record: TenderRecord
    tender: Tender
    bidder: ChainBidder
    mine: StoredBid | None
    head: Block


@dataclass(frozen=True, slots=True)
class _Plan:
    """A move, the chain time of the next look (None: no time of the chain), why, and seconds until then."""

    move: Move
    until: int | None = None
    why: str = ""
    pause: float = 30.0


def decide_bid(
    tender: Tender, bidder: ChainBidder, mine: StoredBid | None, now: int, margin: int
) -> tuple[Move, int | None]:
    """The next move in a tender, and, if it is to wait, the chain time from which there may be another.

    `margin`: seconds before a deadline in which nothing is tried any more.
    """
    if tender.stage is not Stage.OPEN:
        return _after_award(tender, bidder), None
    ours = mine is not None and mine.commitment == bidder.commitment
    if bidder.status is BidStatus.NONE:
        if mine is not None and now < tender.commit_end <= now + margin:
            return Move.WAIT, tender.commit_end  # its commitment may be on its way: the salt is still needed
        if now + margin >= tender.commit_end:
            return Move.OVER, None
        return (Move.CONSIDER if mine is None else Move.COMMIT), None
    if bidder.status is BidStatus.COMMITTED and not ours:
        return Move.WAIT, tender.reveal_end  # somebody of our organisation holds the salt
    if now < tender.commit_end:
        return Move.WAIT, tender.commit_end
    if bidder.status is BidStatus.COMMITTED and now + margin < tender.reveal_end:
        return Move.REVEAL, None
    return (Move.AWARD, None) if now >= tender.reveal_end else (Move.WAIT, tender.reveal_end)


def _after_award(tender: Tender, bidder: ChainBidder) -> Move:
    if tender.stage is Stage.CANCELLED:
        return Move.OVER
    if bidder.status in (BidStatus.REVEALED, BidStatus.AWARDED):
        return Move.CLAIM
    return Move.EXCUSE if bidder.status is BidStatus.SOLD else Move.OVER


class Bidder:
    """All tenders of one agent; called once per cycle. `clock` is unix seconds, `monotonic` measures time."""

    def __init__(
        self,
        settings: BiddingSettings,
        exchange: Exchange,
        store: Store,
        hands: Hands,
        clouds: Clouds,
        operations: Operations,
        retries: Retries,
        *,
        org: int,
        clock: Callable[[], float],
        monotonic: Callable[[], float],
    ) -> None:
        self._exchange, self._store = exchange, store
        self._hands = hands
        self._operations, self._retries = operations, retries
        self._org = org
        self._clock, self._monotonic = clock, monotonic
        self._step = self._margin = int(2 * exchange.connection.block_time) + 1
        self._agenda = Agenda(monotonic)
        self._choice = BidChoice(settings, exchange, store, clouds, org)
        self._acts: dict[Move, Callable[[_Turn], Call | str]] = {
            Move.COMMIT: self._commit,
            Move.REVEAL: self._reveal,
            Move.AWARD: self._award,
            Move.EXCUSE: self._excuse,
            Move.CLAIM: self._claim,
        }
        self.reports: dict[int, BidReport] = {}

    def note(self, key: str, block: int) -> None:
        """A transaction for a tender ended, in this block if it was mined."""
        if key.startswith("tender/"):
            self._agenda.touch(int(key.removeprefix("tender/")), "its transaction ended", block=block)

    def cycle(self, head: Block, *, behind: int = 0) -> None:
        """Look at every open tender that is due; begin at most one move in each.

        `behind`: seconds that the chain's time is ahead of `head`. A bid is revealed by what counts alone:
        were the end of the commitments taken back, others could still commit and know it.
        """
        self._margin = self._step + behind
        for record in self._store.open_tenders():
            key = _key(record)
            if not self._agenda.is_due(record.request, head) or self._operations.running(key) is not None:
                continue
            if self._retries.blocked(key) is not None:
                continue
            try:
                self._look(record, head)
            except CHAIN_AWAY:
                raise
            except Exception as error:  # noqa: BLE001  one tender that cannot be understood stops no other
                self._retries.failed(key, error)
                self.reports[record.request] = BidReport("refused", str(error))

    # ---- one tender ------------------------------------------------------------------------------------

    def _look(self, record: TenderRecord, head: Block) -> None:
        request = record.request
        tender = self._exchange.tender.tender(request, block=head.number)
        bidder = self._exchange.tender.bidder(request, self._org, block=head.number)
        turn = _Turn(record, tender, bidder, self._store.bid(request), head)
        plan = self._plan(turn)
        if plan.move is Move.OVER:
            self._close(turn)
            return
        if plan.move is not Move.WAIT:
            plan = self._act(plan, turn)
        self._agenda.plan(request, plan.move.value, after=[self._monotonic() + plan.pause], chain=plan.until)
        self.reports[request] = BidReport(plan.move.value, plan.why)

    def _plan(self, turn: _Turn) -> _Plan:
        """The move of this moment; a bid that is wanted is made and stored here."""
        record, tender, head = turn.record, turn.tender, turn.head
        move, until = decide_bid(tender, turn.bidder, turn.mine, head.timestamp, self._margin)
        if move is Move.COMMIT and turn.mine is not None and self._is_stale(turn):
            if not self._store.drop_unsent_bid(record.request, _key(record)):
                return _Plan(Move.WAIT, tender.commit_end, "what our stored bid names was sold")
            move = Move.CONSIDER
        if move is Move.CONSIDER:
            turn.mine, why = self._choice.prepare(record, head)
            if turn.mine is None:
                return _Plan(Move.WAIT, tender.commit_end, why, pause=2.0)
            return _Plan(Move.COMMIT, until, pause=2.0)
        if move is Move.AWARD and (ours := self._our_turn(turn)) > head.timestamp:
            return _Plan(Move.WAIT, ours)
        return _Plan(move, until)

    def _act(self, plan: _Plan, turn: _Turn) -> _Plan:
        """Begin the transaction of a move; the plan again, with what stands in the way if anything does."""
        call = self._acts[plan.move](turn)
        if isinstance(call, str):
            return replace(plan, why=call, pause=1.0)
        name = _intent(plan.move, turn.mine)
        if not self._hands.submit(_key(turn.record), plan.move.value, name, call):
            return replace(plan, why="waiting for a free worker", pause=1.0)
        return plan

    def _close(self, turn: _Turn) -> None:
        request = turn.record.request
        if turn.bidder.status is BidStatus.NONE:
            self._store.drop_bid(request)
        self._store.close_tender(request)
        self.reports.pop(request, None)
        self._agenda.forget(request)
        self._retries.succeeded(_key(turn.record))

    # ---- moves: a transaction, or why there is none ----------------------------------------------------

    def _commit(self, turn: _Turn) -> Call | str:
        if turn.mine is None:
            return self._not_ours(turn)
        if not self._store.seal_bid(turn.mine, _key(turn.record), self._clock()):
            return "another agent of ours has replaced the bid"
        return self._exchange.tender.commit(turn.record.request, turn.mine.commitment)

    def _reveal(self, turn: _Turn) -> Call | str:
        """The reveal, or the void one if a resource was sold meanwhile (A5)."""
        if turn.mine is None:
            return self._not_ours(turn)
        chain, request, mine = self._exchange.tender, turn.record.request, turn.mine
        call = chain.reveal(
            request, self._org, mine.bid, mine.salt, proofs_of(self._exchange, request, mine.bid)
        )
        try:
            self._exchange.estimate(call)
        except (Inventory_NotFree, Inventory_NotCovering):
            conflict = self._conflict(turn)
            if conflict is None:
                return "a resource of the bid is not free, and no lease excuses it"
            return chain.reveal_void(request, self._org, mine.bid, mine.salt, *conflict)
        return call

    def _award(self, turn: _Turn) -> Call | str:
        return self._exchange.tender.award(turn.record.request)

    def _excuse(self, turn: _Turn) -> Call | str:
        if turn.mine is None:
            return self._not_ours(turn)
        conflict = self._conflict(turn)
        if conflict is None:
            self._store.close_tender(turn.record.request)
            return "a resource was sold to somebody affiliated; the deposit is lost"
        return self._exchange.tender.excuse(turn.record.request, self._org, *conflict)

    def _claim(self, turn: _Turn) -> Call | str:
        return self._exchange.tender.claim(turn.record.request, self._org)

    def _not_ours(self, turn: _Turn) -> str:
        self._store.close_tender(turn.record.request)
        return "the bid is not ours to go on with"

    # ---- what moves need to know -----------------------------------------------------------------------

    def _our_turn(self, turn: _Turn) -> int:
        """When it is our turn to send the award that anybody may send: the best bidder first."""
        request, tender = turn.record.request, turn.tender
        bidders = [org for org, _ in self._exchange.tender.revealed(request, block=turn.head.number)]
        place = bidders.index(self._org) if self._org in bidders else len(bidders)
        return tender.reveal_end + place * 2 * self._step

    def _conflict(self, turn: _Turn) -> tuple[int, int] | None:
        """A resource of our bid, and the lease that took it since for a stranger to both sides."""
        chain, record = self._exchange, turn.record
        for resource in turn.mine.bid.resources if turn.mine else ():
            turnaround = chain.inventory.resource(resource).turnaround
            for lease, window in self._store.leases_of_resource(resource):
                if turn.mine is None or not meet(window, record.piece(turn.mine.bid.start), turnaround):
                    continue
                found = chain.leases.lease(lease)
                strangers = not any(
                    chain.members.affiliated(found.buyer, side) for side in (self._org, record.org)
                )
                if strangers and found.created_at >= turn.bidder.committed_at:
                    return resource, lease
        return None

    def _is_stale(self, turn: _Turn) -> bool:
        """Whether a bid stored before a crash, and not sent, names what has been sold since."""
        record, mine = turn.record, turn.mine
        name = self._hands.intent(_key(record), _intent(Move.COMMIT, mine))
        if mine is None or self._exchange.sender.journal.by_intent(name) is not None:
            return False
        inventory, piece = self._exchange.inventory, record.piece(mine.bid.start)
        return not all(inventory.is_free(r, piece, block=turn.head.number) for r in mine.bid.resources)


def _key(record: TenderRecord) -> str:
    return f"tender/{record.request}"


def _intent(move: Move, mine: StoredBid | None) -> str:
    """A commitment's intent names the commitment, so that another one is another intent."""
    return f"commit/{mine.commitment.hex()[:16]}" if move is Move.COMMIT and mine else move.value
