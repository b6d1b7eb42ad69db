"""The bound: ERC-20 transfers that are signed before the clock starts and need only be handed to a node.

Nothing is tried, journalled or waited for, and no account waits for its turn. This module must not use the
client but to prepare.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Sequence
from urllib.parse import urlsplit

from bench.chain.load import Latency
from bench.chain.stage import ChainStage, together
from bench.chain.watch import Watch
from bench.probe import Node
from bench.stage import Party, wallet
from chain.wallet import Wallet

__all__ = ["Bound", "Given"]

_GAS = 60_000
_PART = 50
"""Transfers in one message at the maximum."""

Given = tuple[str, float]
"""A transaction's hash (0x..), and when it was due (unix seconds)."""


class Bound:
    """Accounts with credits, and what they hand in. Latencies are those of the last run."""

    def __init__(self, stage: ChainStage, watch: Watch, accounts: int = 64) -> None:
        self._stage, self._watch = stage, watch
        self._node = Node(urlsplit(stage.urls[0]).port or 80)
        self._wallets: list[Wallet] = [wallet(f"runner{n}") for n in range(accounts)]
        self._ready: deque[tuple[str, str]] = deque()
        self._signed = 0
        head = Party(0, stage.council)
        mint = stage.council.credits.mint
        together([(head, mint(each.address, 10**12, "bench runner")) for each in self._wallets])

    def sign(self, count: int) -> None:
        """Have so many transfers of one microcredit ready, the accounts in turn."""
        call = self._stage.council.credits.transfer(self._wallets[0].address, 1)
        while len(self._ready) < count:
            turn, who = divmod(self._signed, len(self._wallets))
            fields = {"to": call.to, "data": call.data, "value": 0, "gas": _GAS, "gasPrice": 0}
            fields |= {"chainId": self._stage.description.chain_id, "nonce": turn}
            signed = self._wallets[who].sign_transaction(fields)
            self._ready.append(("0x" + signed.hash.hex(), "0x" + signed.raw.hex()))
            self._signed += 1

    def flood(self, seconds: float, room: int = 1_500) -> list[Given]:
        """As fast as the node takes them, at most `room` not mined yet."""
        given: list[Given] = []
        before, end = self._watch.mined(), time.time() + seconds
        while self._ready and time.time() < end:
            if len(given) - (self._watch.mined() - before) > room:
                time.sleep(0.005)
            else:
                given += self._hand_in(min(_PART, len(self._ready)))
        self._drain(given)
        return given

    def pace(self, seconds: float, rate: float) -> list[Given]:
        """One after another at a fixed rate, whatever becomes of those before."""
        began, given = time.time(), []
        for number in range(int(seconds * rate)):
            due = began + number / rate
            while (rest := due - time.time()) > 0:
                time.sleep(rest)
            [(transaction, _)] = self._hand_in(1)
            given.append((transaction, due))
        self._drain(given)
        return given

    def latencies(self, given: Sequence[Given]) -> tuple[Latency, Latency]:
        """From due to a block that holds it, and until that has its confirmations on top."""
        depth = self._stage.description.confirmations
        mined, confirmed = [], []
        for transaction, due in given:
            block = self._watch.place(transaction)
            top = block and self._watch.block(block.number + depth)
            if block is not None and top is not None:
                mined.append(block.at - due)
                confirmed.append(top.at - due)
        return Latency.of(mined), Latency.of(confirmed)

    def _hand_in(self, count: int) -> list[Given]:
        part = [self._ready.popleft() for _ in range(count)]
        now = time.time()
        self._node.ask(*(("eth_sendRawTransaction", [raw]) for _, raw in part))
        return [(transaction, now) for transaction, _ in part]

    def _drain(self, given: Sequence[Given], limit: float = 180.0) -> None:
        """Until all of them are mined and have their confirmations."""
        deadline = time.time() + limit
        while any(self._watch.place(transaction) is None for transaction, _ in given):
            if time.time() > deadline:
                raise TimeoutError(f"not all transfers were mined within {limit:.0f} s")
            time.sleep(0.2)
        last = self._watch.height
        while self._watch.height < last + self._stage.description.confirmations:
            time.sleep(0.05)
