"""`Ranking`: what reverse auctions judge, without a state of its own (contracts/interfaces/IRanking.sol)."""

from __future__ import annotations

from chain.contracts.base import Contract
from chain.contracts.book import RequestTerms
from chain.wire import BlockId

__all__ = ["Ranking"]


class Ranking(Contract):
    """Who wins, what a request costs at most, what excuses a bid."""

    NAME = "Ranking"

    def ceiling_of(self, request: RequestTerms, *, block: BlockId = "latest") -> tuple[int, int]:
        """What a request locks if it is posted at that block, microcredits: the price at its ceiling, and the
        buyer's half of the witness fees."""
        price, fees = self._view("ceilingOf", request.as_tuple(), block=block)
        return int(price), int(fees)

    def pick(
        self, entries: list[tuple[int, int, int, bytes]], wanted: int, ceiling: int
    ) -> tuple[list[int], list[int], int]:
        """`IRanking.pick`: entries are rate, count, skip, group, best first; taken, passed, rate."""
        taken, passed, clearing = self._view("pick", entries, wanted, ceiling)
        return list(taken), list(passed), int(clearing)
