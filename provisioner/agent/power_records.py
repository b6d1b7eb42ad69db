"""Puts a buyer's signed power request on the chain, before the machine is switched (W8).

From that block on the SLA is suspended at the buyer's own wish. The order matters: a machine that is off
before its request is recorded looks like an outage; a request that cannot be recorded (too old, overtaken,
its signer no longer a member) is not carried out, and the buyer is told to sign a new one. Recorded once,
whoever of a provider's agents does it: the chain knows each nonce.

This module must not decide whether a request may be carried out otherwise, and must not touch a cloud.
"""

from __future__ import annotations

from collections.abc import Callable

from chain.exchange import Exchange
from chain.generated.enums import Committee
from chain.generated.events import PowerRecorded
from chain.history import history
from chain.power import Action, PowerRequest
from market.errors import OcxError, Refused, Temporary
from provisioner.store.asks import Ask
from provisioner.store.store import Store

__all__ = ["PowerRecorder"]


class PowerRecorder:
    """Records requests for one agent; for any thread, blocking until the transaction is mined."""

    def __init__(self, exchange: Exchange, store: Store, *, clock: Callable[[], float]) -> None:
        self._exchange, self._store, self._clock = exchange, store, clock

    def record(self, ask: Ask) -> None:
        """See that the chain knows a power request; nothing happens where no committee may ever look.

        Raises what the chain says against it (`Refused`), or `Temporary`.
        """
        verdicts = self._exchange.verdicts
        if verdicts is None or ask.nonce is None or ask.time is None or ask.signature is None:
            return
        kept = self._exchange.leases.lease(ask.lease)
        if kept.committee not in (Committee.AWAITED, Committee.DRAWN):
            return
        self._wait_for_chain(ask.time)
        request = PowerRequest(ask.lease, Action[ask.action.upper()], ask.nonce, ask.time)
        key, name = f"power/{ask.lease}", f"record {ask.action} {ask.nonce}"
        entry = self._store.begin(key, name, self._clock())
        intent = f"{self._exchange.leases.addresses[0].lower()[2:10]}/{key}/{ask.nonce}"
        try:
            receipt = self._exchange.send(verdicts.post_power(request, ask.signature), intent=intent)
        except Refused as error:
            if not self._is_recorded(ask):
                self._store.finish(entry, self._clock(), error=str(error))
                raise
            self._store.finish(entry, self._clock(), result="another agent of ours recorded it")
        except Exception as error:
            shown = str(error) if isinstance(error, OcxError) else type(error).__name__
            self._store.finish(entry, self._clock(), error=shown)
            raise
        else:
            self._store.finish(entry, self._clock(), result=f"0x{receipt.tx_hash.hex()}")

    def _wait_for_chain(self, time: int) -> None:
        """No block may be older than what it records: blocks come a little behind the buyer's clock."""
        behind = time - self._exchange.now()
        if behind > 0:
            raise Temporary(
                f"the power request was signed {behind} s ahead of the chain's clock",
                retry_after=max(0.2, self._exchange.connection.block_time / 2),
            )

    def _is_recorded(self, ask: Ask) -> bool:
        """Whether the chain knows this very request."""
        verdicts = self._exchange.verdicts
        if verdicts is None:
            return False
        entries = history(self._exchange, [verdicts], "lease", ask.lease, kinds=[PowerRecorded])
        return any(getattr(entry.event, "nonce", None) == ask.nonce for entry in entries)
