"""What members do on a working day, as calls of the Python client, without end.

Every call is one that must succeed: it asks for a machine and a slot nobody else takes, and steps of a tender
follow one another. This module must not send anything.
"""

from __future__ import annotations

import random
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from bench.chain.stage import FLOOR, ChainStage, Shop
from bench.stage import CLASS, SPEC, Party
from chain.contracts.base import Call
from chain.contracts.book import Bid, OfferTerms, RequestTerms
from chain.contracts.tender import TenderTerms, commitment
from chain.exchange import decode_logs
from chain.generated import events
from chain.wire import Receipt
from market.windows import SlotWindow

__all__ = ["SHARES", "Act", "Mix"]

SHARES = {
    "buy now": 25,
    "deposit": 20,
    "seal a bid": 20,
    "reveal a bid": 15,
    "publish an offer": 15,
    "post": 5,
}
"""Out of a hundred calls. A step whose turn it is not yet is made up for by a deposit."""

_COMMIT = 20
"""Seconds in which a tender takes sealed bids."""
_TOO_LATE = 10
"""Seconds before the end of that in which nobody begins to bid."""
_REVEAL = 24 * 3600
_SALT = bytes(31) + b"\1"


@dataclass(frozen=True)
class Act:
    """A call that somebody is about to make: `build` encodes it, `done` is told how it came out."""

    kind: str
    party: Party
    build: Callable[[], Call]
    done: Callable[[Receipt], None] = lambda receipt: None


class Mix:
    """Draws acts by `SHARES`; the same `seed` draws alike. Safe among threads."""

    def __init__(self, stage: ChainStage, seed: int = 1, clock: Callable[[], float] = time.time) -> None:
        self._stage, self._clock = stage, clock
        self._random = random.Random(seed)  # noqa: S311  what is drawn need not be a secret
        self._lock = threading.Lock()
        self._parties = [shop.party for shop in stage.shops] + stage.buyers
        self._unsealed: deque[tuple[int, float, Shop]] = deque()
        self._sealed: deque[tuple[int, float, Shop, Bid]] = deque()
        self._acts: dict[str, Callable[[], Act | None]] = {
            "buy now": self._buy,
            "deposit": self._deposit,
            "seal a bid": self._seal,
            "reveal a bid": self._reveal,
            "publish an offer": self._publish,
            "post": self._post,
        }

    def draw(self) -> Act:
        """The next act."""
        with self._lock:
            [kind] = self._random.choices(list(SHARES), list(SHARES.values()))
            return self._acts[kind]() or self._deposit()

    def _deposit(self) -> Act:
        party = self._random.choice(self._parties)
        return Act("deposit", party, lambda: party.client.escrow.deposit(party.org, 1_000))

    def _buy(self) -> Act | None:
        buyer = self._random.choice(self._stage.buyers)
        piece = next(self._stage.pieces, None)
        if piece is None:  # sold out, after hundreds of thousands
            return None
        shop, machine, slot = piece
        window = SlotWindow(slot, slot + 1)
        return Act("buy now", buyer, lambda: buyer.client.book.buy_now(shop.offer, [machine], window))

    def _publish(self) -> Act:
        shop = self._random.choice(self._stage.shops)
        terms = OfferTerms(shop.window, FLOOR)
        return Act(
            "publish an offer", shop.party, lambda: shop.party.client.book.publish(terms, shop.machines[:1])
        )

    def _post(self) -> Act:
        buyer = self._random.choice(self._stage.buyers)
        closes = int(self._clock()) + _COMMIT
        window = self._stage.shops[0].window
        request = RequestTerms(
            SlotWindow(window.end_slot - 2, window.end_slot - 1), 1, 2 * FLOOR, CLASS, SPEC
        )
        times = TenderTerms(closes, closes + _REVEAL)

        def opened(receipt: Receipt) -> None:
            [number] = [e.request for e in decode_logs(receipt.logs) if isinstance(e, events.TenderOpened)]
            with self._lock:
                self._unsealed += [(number, closes, shop) for shop in self._stage.shops]

        return Act("post", buyer, lambda: buyer.client.tender.post(request, times), opened)

    def _seal(self) -> Act | None:
        while self._unsealed:
            number, closes, shop = self._unsealed.popleft()
            if self._clock() < closes - _TOO_LATE:
                return self._bid(number, closes, shop)
        return None

    def _bid(self, number: int, closes: int | float, shop: Shop) -> Act:
        client, org = shop.party.client, shop.party.org
        bid = Bid(shop.offer, FLOOR, shop.window.end_slot - 2, shop.machines[-1:])

        def build() -> Call:
            chain_id = client.connection.chain_id
            sealed = commitment(chain_id, client.tender.address, number, org, bid, _SALT)
            return client.tender.commit(number, sealed)

        def sealed(_: Receipt) -> None:
            with self._lock:
                self._sealed.append((number, closes, shop, bid))

        return Act("seal a bid", shop.party, build, sealed)

    def _reveal(self) -> Act | None:
        if not self._sealed or self._clock() < self._sealed[0][1] + 2:
            return None
        number, _, shop, bid = self._sealed.popleft()
        client, org = shop.party.client, shop.party.org
        return Act("reveal a bid", shop.party, lambda: client.tender.reveal(number, org, bid, _SALT))
