"""The one way a transaction leaves the house.

Every transaction is tried first (a revert is told at once and costs nothing), written into the journal, and
only then broadcast. After a crash the journal and the chain together tell what happened, so an intent is
neither lost nor done twice. Nothing else may take nonces of the same account while a `Sender` is in use; if
something does all the same, the sender steps aside and takes the next nonce.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, overload

from chain.abi import checksum
from chain.failures import NotMined, not_mined, refusal, why_reverted
from chain.fees import bump, sign, suggest
from chain.nonces import Entry, Journal, Status
from chain.opinions import are_confirmed
from chain.rpc import Receipt, Rpc, RpcRefused
from chain.taken import is_taken
from chain.trial import Trial
from chain.wallet import Wallet
from chain.wire import BroadcastReply, broadcast_reply
from market.errors import Temporary

__all__ = ["NotMined", "Receipt", "Recovery", "Sender"]

log = logging.getLogger(__name__)

_TRANSFER_GAS = 21_000
_TRIES = 16
_SWEEP = 64  # how many mined transactions that nobody waited for are noted at a time


@dataclass(frozen=True)
class _Placed:
    """Our last transaction that a node took, and until when (monotonic) the chain need not be asked again."""

    entry: Entry
    until: float


@dataclass(frozen=True)
class Recovery:
    """What `recover` found among the transactions that were under way: entries mined, lost, sent again."""

    mined: tuple[Entry, ...]
    lost: tuple[Entry, ...]
    rebroadcast: tuple[Entry, ...]


class Sender:
    """Sends for one wallet on one network; safe among threads, and among processes that share `folder`.

    `wait_limit`: seconds to wait for a receipt. `stuck_after`: seconds without being mined after which a
    transaction is replaced by a dearer one, or broadcast again where gas is free. `on_step` is told
    "journalled", "broadcast", "sent" and "mined" as they happen.
    """

    def __init__(
        self,
        rpc: Rpc,
        wallet: Wallet,
        folder: Path | str,
        *,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
        wait_limit: float | None = None,
        stuck_after: float | None = None,
        on_step: Callable[[str], None] = lambda step: None,
    ) -> None:
        network = rpc.connection
        self.rpc = rpc
        self.address = wallet.address
        self._wallet = wallet
        self._journal = Journal(folder, network.chain_id, network.genesis, wallet.address)
        self._clock = clock
        self._monotonic = monotonic
        self._sleep = sleep
        self._wait_limit = wait_limit or max(60.0, 30 * network.block_time)
        self._stuck_after = stuck_after or max(5.0, 5 * network.block_time)
        self._poll = rpc.pulse.poll
        self._patience = max(1.0, 2 * network.block_time)
        self._trial = Trial(rpc, wallet.address)
        self._on_step = on_step
        self._recovered = False
        self._placed: _Placed | None = None
        self._ask_again_at = 0.0

    @property
    def journal(self) -> Journal:
        """What was sent, for reading."""
        return self._journal

    def close(self) -> None:
        """Close the journal."""
        self._journal.close()

    @overload
    def send(
        self,
        to: str | None,
        data: bytes,
        value: int = 0,
        intent: str | None = None,
        wait: Literal[True] = True,
        gas: int | None = None,
    ) -> Receipt: ...

    @overload
    def send(
        self,
        to: str | None,
        data: bytes,
        value: int = 0,
        intent: str | None = None,
        *,
        wait: Literal[False],
        gas: int | None = None,
    ) -> Entry: ...

    def send(
        self,
        to: str | None,
        data: bytes,
        value: int = 0,
        intent: str | None = None,
        wait: bool = True,
        gas: int | None = None,
    ) -> Receipt | Entry:
        """Send a transaction and wait until it is mined; with `wait` False, hand back its journal entry.

        `to` None deploys `data`. `value` is in wei. `intent` names the act: an intent that is under way or
        mined is not sent again, its receipt is returned; one that reverted may be tried anew. `gas` is a
        limit to use as it is; else it is estimated, with a margin.
        Raises the contract's typed error when it would revert (nothing is sent) or did revert, Refused when
        no node takes it, NotMined or RpcUnreachable when it is under way but not known to be mined.
        """
        entry = self._submit(to and checksum(to), data, value, intent, gas)
        return self.wait(entry) if wait else entry

    def wait(self, entry: Entry, limit: float | None = None) -> Receipt:
        """Wait for a sent entry, at most `limit` seconds, replacing it when it is stuck.

        It is looked for at once, and then when the chain has grown.
        """
        deadline = self._clock() + (self._wait_limit if limit is None else limit)
        nudge_at = again_at = self._clock() + self._patience
        rest_until = self._clock()
        found: Receipt | None = None
        looked: int | None = None
        trouble: Temporary | None = None
        while True:
            try:
                height = -1 if looked is None else self.rpc.pulse.height()
                if height != looked or self._clock() >= again_at:
                    looked, again_at = height, self._clock() + self._patience
                    found = found or self._find_receipt(entry)
                    if found is not None and self._is_deep(found, height):
                        if self._is_confirmed(found):
                            return self._finish(entry, found)
                        found = self._find_receipt(entry)  # its block may have given way to another
                    rest_until = self._clock() + self._rest(found, height)
                    if found is None and self._clock() >= nudge_at:
                        entry = self._nudge(entry)
                        nudge_at = self._clock() + self._patience
                trouble = None
            except Temporary as error:
                looked, trouble = None, error
            if self._clock() >= deadline:
                raise not_mined(entry) from trouble
            self._sleep(max(self._poll, min(rest_until, deadline) - self._clock()))

    def recover(self) -> Recovery:
        """After a start: compare the journal with the chain and broadcast what the chain has not seen.

        Done by the first `send` of its own accord.
        """
        mined: list[Entry] = []
        lost: list[Entry] = []
        again: list[Entry] = []
        with self._journal.lock():
            self._journal.undo_from(self.rpc.transaction_count(self.address))
            for entry in self._journal.live():
                settled = self._settle(entry)
                if settled.live:
                    again.append(self._broadcast(settled))
                else:
                    (lost if settled.status is Status.LOST else mined).append(settled)
        self._recovered = True
        return Recovery(tuple(mined), tuple(lost), tuple(again))

    def _submit(self, to: str | None, data: bytes, value: int, intent: str | None, gas: int | None) -> Entry:
        if not self._recovered:
            self.recover()
        known = self._journal.by_intent(intent) if intent else None
        if known is not None:
            return known
        if gas is None:
            gas = self._trial.gas_for(to, data, value)
        else:
            self.rpc.eth_call(to, data, sender=self.address, value=value)
        with self._journal.lock():
            known = self._journal.by_intent(intent) if intent else None
            return known or self._place(to, data, value, intent, gas)

    def _place(self, to: str | None, data: bytes, value: int, intent: str | None, gas: int) -> Entry:
        """Take a nonce, write down, broadcast; the caller holds the lock."""
        fees = suggest(self.rpc)
        for _ in range(_TRIES):
            nonce = self._free_nonce()
            attempt = sign(self._wallet, self.rpc.connection.chain_id, nonce, to, data, value, gas, fees)
            entry = self._journal.add(nonce, intent, to, data, value, gas, attempt, self._clock())
            self._on_step("journalled")
            entry = self._broadcast(entry)
            if entry.status is Status.REFUSED:
                raise refusal(entry)
            if entry.status is not Status.LOST:
                self._placed = _Placed(entry, self._ask_again_at) if entry.status is Status.SENT else None
                return entry
        raise Temporary(
            f"other transactions keep taking the nonces of {self.address}",
            hint="Stop whatever else uses this key.",
        )

    def _free_nonce(self) -> int:
        """The lowest nonce neither the chain, nor a waiting transaction, nor the journal holds.

        Right after one of ours, while no other process has written, it is the next: the chain is not asked
        before each of many. If it is taken all the same, the broadcast tells.
        """
        last = self._placed
        if last is not None and self._monotonic() < last.until and self._journal.newest() == last.entry.id:
            return last.entry.nonce + 1
        self._placed = None
        latest, pending = self.rpc.transaction_counts(self.address)
        self._ask_again_at = self._monotonic() + min(1.0, self.rpc.connection.block_time)
        self._journal.undo_from(latest)
        live = self._journal.live()
        for entry in live:
            if entry.status is Status.READY:
                self._broadcast(entry)
        old = self._clock() - 3 * self.rpc.connection.confirmations * self.rpc.connection.block_time
        mined = [entry for entry in live if entry.status is Status.SENT and entry.nonce < latest]
        self._sweep([entry for entry in mined if entry.pushed_at <= old])
        held = {entry.nonce for entry in live}
        nonce = max(latest, pending)
        while nonce in held:
            nonce += 1
        return nonce

    def _sweep(self, over: list[Entry]) -> None:
        """Note what became of transactions that nobody waited for: they are older than a wait takes."""
        asked = [(entry, attempt.hash) for entry in over[:_SWEEP] for attempt in entry.attempts]
        receipts = self.rpc.receipts([hash_ for _, hash_ in asked])
        found = [(entry, it) for (entry, _), it in zip(asked, receipts, strict=True) if it is not None]
        buried = are_confirmed(self.rpc, [receipt for _, receipt in found])
        for (entry, receipt), counts in zip(found, buried, strict=True):
            if counts:
                self._note(entry, receipt)

    def _broadcast(self, entry: Entry) -> Entry:
        """Hand the newest form to a node and note the outcome; the caller holds the lock.

        It is lost only if the chain says so, refused only if no node ever took it; else it stays live.
        """
        try:
            self.rpc.call("eth_sendRawTransaction", ["0x" + entry.latest.raw.hex()])
        except Temporary as error:
            log.warning("transaction %d waits in the journal: %s", entry.nonce, error)
            return entry
        except RpcRefused as error:
            said = broadcast_reply(error)
            if said is BroadcastReply.NONCE_USED:
                return self._settle(entry)
            if said is BroadcastReply.NEVER and entry.status is Status.READY:
                return self._journal.mark(entry, Status.REFUSED, error.message)
            if said is not BroadcastReply.KNOWN:
                log.warning("transaction %d is not taken yet: %s", entry.nonce, error)
                return entry
        self._on_step("broadcast")
        entry = self._journal.mark(entry, Status.SENT, pushed_at=self._clock())
        self._on_step("sent")
        return entry

    def _settle(self, entry: Entry) -> Entry:
        """Ask the chain what became of an entry and note it; unchanged while it may still be mined."""
        for last_look in (False, True):
            receipt = self._find_receipt(entry)
            if receipt is not None:
                return self._note(entry, receipt) if self._is_confirmed(receipt) else entry
            if not is_taken(self.rpc, self.address, entry):
                return entry
            if not last_look:
                self._sleep(self._poll)
        log.warning("nonce %d of %s was used elsewhere (intent %s)", entry.nonce, self.address, entry.intent)
        return self._journal.mark(entry, Status.LOST, "its nonce was used elsewhere")

    def _find_receipt(self, entry: Entry) -> Receipt | None:
        for attempt in reversed(entry.attempts):
            receipt = self.rpc.receipt(attempt.hash)
            if receipt is not None:
                return receipt
        return None

    def _rest(self, found: Receipt | None, height: int) -> float:
        """Seconds in which a receipt cannot be confirmed: the blocks it needs are still to come."""
        if found is None or height < 0:
            return 0.0
        missing = found.block_number + self.rpc.connection.confirmations - height
        return (missing - 0.5) * self.rpc.connection.block_time

    def _is_deep(self, receipt: Receipt, height: int) -> bool:
        """Whether it may be confirmed at that height (-1: unknown), so that it is worth asking."""
        wanted = self.rpc.connection.confirmations
        return wanted == 0 or height < 0 or height >= receipt.block_number + wanted

    def _is_confirmed(self, receipt: Receipt) -> bool:
        return are_confirmed(self.rpc, [receipt])[0]

    def _note(self, entry: Entry, receipt: Receipt) -> Entry:
        if entry.status is Status.MINED:
            return entry
        return self._journal.mark(entry, Status.MINED if receipt.status else Status.REVERTED)

    def _finish(self, entry: Entry, receipt: Receipt) -> Receipt:
        self._note(entry, receipt)
        self._on_step("mined")
        if receipt.status:
            return receipt
        raise why_reverted(self.rpc, self.address, entry, receipt)

    def _nudge(self, entry: Entry) -> Entry:
        """It takes long: look whether its nonce is gone, and push it if it is stuck."""
        with self._journal.lock():
            self._journal.undo_from(self.rpc.transaction_count(self.address))
            entry = self._settle(self._journal.get(entry.id))
            if entry.status is Status.REFUSED:
                raise refusal(entry)
            if entry.status is Status.LOST:
                again = self._journal.by_intent(entry.intent) if entry.intent else None
                return again or self._place(entry.recipient, entry.data, entry.value, entry.intent, entry.gas)
            if self._clock() - entry.pushed_at >= self._stuck_after:
                self._push_up_to(entry.nonce)
            return self._journal.get(entry.id)

    def _push_up_to(self, nonce: int) -> None:
        """Replace or broadcast again everything of ours that could be in the way of `nonce`."""
        live = [entry for entry in self._journal.live() if entry.nonce <= nonce]
        self._fill_holes({entry.nonce for entry in live})
        for entry in live:
            settled = self._settle(entry)
            if settled.live:
                self._push(settled)

    def _push(self, entry: Entry) -> None:
        fees = bump(entry, suggest(self.rpc)) if entry.status is Status.SENT else None
        if fees is not None:
            log.warning("transaction %d is stuck, offering %d wei per gas", entry.nonce, fees.price)
            to, data, value, gas = entry.recipient, entry.data, entry.value, entry.gas
            chain_id = self.rpc.connection.chain_id
            attempt = sign(self._wallet, chain_id, entry.nonce, to, data, value, gas, fees)
            entry = self._journal.add_attempt(entry, attempt, self._clock())
        entry = self._broadcast(entry)
        # To all others, too: the one that took it may be cut off, or keep it to itself.
        self.rpc.others([("eth_sendRawTransaction", ["0x" + entry.latest.raw.hex()])])

    def _fill_holes(self, held: set[int]) -> None:
        """Nonces below ours that nobody holds would block us for ever: use them up on nothing."""
        pending = self.rpc.transaction_count(self.address, "pending")
        for nonce in sorted(set(range(pending, max(held, default=0))) - held):
            log.warning("nonce %d of %s is missing; filling it with an empty transfer", nonce, self.address)
            chain_id, fees = self.rpc.connection.chain_id, suggest(self.rpc)
            attempt = sign(self._wallet, chain_id, nonce, self.address, b"", 0, _TRANSFER_GAS, fees)
            filler = self._journal.add(
                nonce, None, self.address, b"", 0, _TRANSFER_GAS, attempt, self._clock()
            )
            self._broadcast(filler)
