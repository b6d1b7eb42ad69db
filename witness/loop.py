"""The node: the engine measures on the event loop; beside it one thread looks at the chain, block by block.

Each cycle reads what happened, ticks first, then sees to everything else a witness owes: what to measure,
proofs of delivery, answers, and the chores anyone may do. Whatever fails concerns that part alone, and is
tried again at the next block. It goes by the newest block that counts, so that nothing is opened or forgotten
because of one that may go. This module must not decide anything itself.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable, Coroutine, Sequence
from concurrent.futures import Future
from typing import Any

from chain.events import EventReader
from chain.exchange import Exchange
from chain.lease_endpoints import LeaseEndpoint
from chain.published import judges
from chain.rpc import CHAIN_AWAY
from chain.wire import Block
from market.errors import InvalidInput, OcxError
from market.rounds import Grid
from witness.aims import Aims
from witness.answers import Answers
from witness.claims import Claims
from witness.clock import Clock
from witness.duties import Duties, Watched, duties_of
from witness.endpoints import Endpoints, Gateways
from witness.health import Condition
from witness.index import Index
from witness.log import Log
from witness.measure import Engine
from witness.outbox import Outbox
from witness.proofs import Proofs
from witness.schedule import Times
from witness.seals import Seals
from witness.settings import Settings
from witness.sheets import Sheets
from witness.targets import Target
from witness.ticks import Ticker

__all__ = ["Node"]

log = logging.getLogger(__name__)

_PUBLISHED_KEPT = 80
"""Epochs for which others' published leaves are kept: fines and appeals look back no further."""


class Node:
    """One witness organisation's node; `run` until `stop`, in a thread beside the engine's event loop.

    `loop` is that event loop. `on_step` is told each act of ticking before it happens.
    """

    def __init__(
        self,
        settings: Settings,
        exchange: Exchange,
        org: int,
        engine: Engine,
        measurements: Log,
        clock: Clock,
        times: Times,
        loop: asyncio.AbstractEventLoop,
        *,
        on_step: Callable[[str], None] = lambda step: None,
    ) -> None:
        if exchange.wallet is None:
            raise InvalidInput("a witness needs a wallet")
        self.settings, self.exchange, self.org, self.signer = settings, exchange, org, exchange.wallet.address
        self._engine, self._log, self._clock, self._loop = engine, measurements, clock, loop
        self._wake, self._stopping = threading.Event(), threading.Event()
        self.grid: Grid = times.grid
        witnesses, verdicts = judges(exchange)
        network, block_time = exchange.connection, exchange.connection.block_time
        monotonic = clock.monotonic
        self.index = Index(settings.state_dir / "index.db", org)
        told = [exchange.leases, witnesses, verdicts, exchange.audits, exchange.inquiries]
        addresses = [contract.address for contract in told if contract is not None]
        name = f"witness-{witnesses.address[2:10]}-{org}".lower()
        self._reader = EventReader(exchange.rpc, self.index.db, addresses, name)
        self.outbox = Outbox(
            lambda: exchange.sender, rest=max(2.0, 2 * block_time), monotonic=monotonic, wake=self._wake.set
        )
        ticking = Outbox(
            lambda: exchange.sender,
            rest=max(1.0, block_time),
            monotonic=monotonic,
            wake=self._wake.set,
            workers=2,
        )
        self._ticking = ticking
        self.gateways = Gateways(
            exchange.wallet, network.chain_id, network.directory, exchange.members.organisation
        )
        self.endpoints = Endpoints(self.index.db, self.gateways, monotonic=monotonic)
        self.duties = Duties(exchange, verdicts, self.index, org, self.grid)
        self._settle = settings.measure.late_ms / 1000 + 2 * settings.log.batch
        identity = {"chain": str(network.chain_id), "contract": witnesses.address, "org": str(org)}
        self.seals = Seals(settings.state_dir / "seals.db", identity)
        sheets = Sheets(
            engine,
            measurements,
            times,
            lambda epoch: duties_of(self.duties.ours(), org, self.grid, epoch),
            self._on_loop,
            patience=self.grid.epoch / 3,
            monotonic=monotonic,
        )
        self.ticker = Ticker(
            witnesses,
            self.seals,
            sheets,
            org,
            epoch=self.grid.epoch,
            settle=self._settle,
            clock=clock.wall,
            send=ticking.send,
            published=lambda epoch: self.index.published(org, epoch),
            on_step=on_step,
        )
        seconds = min(settings.measure.timeout, max(1.0, 0.4 * self.grid.round_ms / 1000))
        self.proofs = Proofs(
            witnesses,
            self.outbox,
            org,
            self.signer,
            self.grid,
            fetch=self._endpoints_of,
            run=self._on_loop,
            accept_time=exchange.leases.terms().accept_time,
            loopback=settings.measure.loopback,
            timeout=seconds,
            monotonic=monotonic,
        )
        self.answers = Answers(
            self.index,
            measurements,
            self.outbox,
            org,
            self.grid,
            inquiries=exchange.inquiries,
            audits=exchange.audits,
            sealed=self.ticker.sealed,
            epoch_key=times.key,
            settle=self._settle + settings.measure.timeout,
        )
        step = max(2.5 * block_time, min(30.0, self.grid.epoch / 40))
        self.claims = Claims(
            exchange, self.index, self.outbox, org, self.grid, step=step, forget=self._forget
        )
        self.head: Block | None = None
        self.cycles = 0
        self.failure: str | None = None
        self.troubles: dict[str, str] = {}
        self.last_good = 0.0
        self._asked: float | None = None
        self._targets: list[Target] = []
        self._aims = Aims(exchange, self._endpoints_of)
        self._housekept = -1

    # ---- the loop ------------------------------------------------------------------------------------------

    def run(self) -> None:
        """Cycle until `stop`; blocking."""
        while not self._stopping.is_set():
            try:
                self.cycle()
                self.failure = None
            except Exception as error:  # noqa: BLE001  the cycle's boundary: the node outlives any failure
                self._note("cycle", error)
                self.failure = str(error)
            self._wake.wait(self.settings.cycle)
            self._wake.clear()

    def stop(self) -> None:
        """End `run` soon; safe from a signal handler."""
        self._stopping.set()
        self._wake.set()

    def close(self) -> None:
        """Let go of files and threads, after `run`."""
        for each in (self.outbox, self._ticking, self.endpoints, self.seals, self.index):
            each.close()

    def cycle(self) -> None:
        """Look once at everything that is due."""
        asked = self._clock.monotonic()
        newest, head = self.exchange.rpc.heads()
        self._clock.observe(newest.number, newest.timestamp, self._asked, self._clock.monotonic())
        self._asked = asked
        self._reader.poll(self.index.handle, self.index.rewind, head=head)
        position = self._reader.position()
        if position > head.number:
            head = self.exchange.rpc.block(position)
        self.head = head
        self._part("duties", lambda: self.duties.look(head))
        self._part("ticks", lambda: self.ticker.look(head))
        ours = self.duties.ours()
        self._part("targets", lambda: self._aim(ours, head))
        self._part("proofs", lambda: self.proofs.look(ours, head))
        self._part("answers", lambda: self.answers.look(head))
        self._part("claims", lambda: self.claims.look(self.duties.leases, head))
        self._part("housekeeping", lambda: self._keep_house(head))
        self.cycles += 1
        self.last_good = self._clock.monotonic()
        self.troubles.pop("cycle", None)

    def _part(self, name: str, work: Callable[[], object]) -> None:
        try:
            work()
        except CHAIN_AWAY:
            raise
        except Exception as error:  # noqa: BLE001  one part that fails must not stop the others
            self._note(name, error)
        else:
            self.troubles.pop(name, None)

    def _note(self, name: str, error: Exception) -> None:
        said = str(error) if isinstance(error, OcxError) else f"{type(error).__name__}: {error}"
        if self.troubles.get(name) != said:
            log.warning("%s: %s", name, said, exc_info=None if isinstance(error, OcxError) else error)
        self.troubles[name] = said

    def _on_loop(self, work: Coroutine[Any, Any, Any]) -> Future[Any]:
        return asyncio.run_coroutine_threadsafe(work, self._loop)

    # ---- parts of a cycle ----------------------------------------------------------------------------------

    def _endpoints_of(self, watched: Watched) -> tuple[LeaseEndpoint, ...] | None:
        if watched.delivered is None:
            return None
        record = watched.record
        return self.endpoints.get(watched.lease, record.provider, record.delivery, watched.delivered)

    def _aim(self, ours: Sequence[Watched], head: Block) -> None:
        """Tell the engine what to measure, if that has changed."""
        duties = duties_of(ours, self.org, self.grid, self.grid.epoch_of(head.timestamp))
        targets = self._aims.targets(duties, {watched.lease: watched for watched in ours}, head.timestamp)
        if targets != self._targets:
            self._targets = targets
            self._loop.call_soon_threadsafe(self._engine.set_targets, targets)

    def _keep_house(self, head: Block) -> None:
        """Once in an epoch."""
        epoch = self.grid.epoch_of(head.timestamp)
        if epoch == self._housekept:
            return
        references = self._aims.references(head, self.settings.references)
        self._loop.call_soon_threadsafe(self._engine.set_references, references)
        self.index.forget_before(epoch - _PUBLISHED_KEPT, head.timestamp)
        kept = self.settings.log
        self._log.prune(epoch - kept.keep_samples, epoch - kept.keep_leaves)
        self._housekept = epoch

    def _forget(self, lease: int) -> None:
        self.duties.forget(lease)
        self.endpoints.forget(lease)

    # ---- for health ----------------------------------------------------------------------------------------

    def report(self) -> dict[str, Any]:
        """How the chain's half stands; from any thread."""
        head, due = self.head, self.ticker.due
        return {
            "organisation": self.org,
            "signer": self.signer,
            "head": head.number if head else 0,
            "head_age": round(self._clock.wall() - head.timestamp, 3) if head else None,
            "epoch": self.grid.epoch_of(head.timestamp) if head else 0,
            "cycles": self.cycles,
            "due_epoch": due.move.epoch if due else 0,
            "due_ticked": int(bool(due and due.ticked is not None)),
            "tick": f"{due.move.what}: {due.move.why}" if due else "not looked yet",
            "targets": len(self._targets),
            "sent": self.outbox.sent + self._ticking.sent,
            "under_way": [*self._ticking.under_way(), *self.outbox.under_way()],
            "refused": {
                intent: item.error
                for box in (self._ticking, self.outbox)
                for intent, item in box.troubles().items()
            },
            "proofs_waiting": {str(lease): why for lease, why in self.proofs.waiting().copy().items()},
        }

    def conditions(self) -> list[Condition]:
        """What is not as it should be; from any thread."""
        found = []
        due = self.ticker.due
        if due is not None and due.move.what == "stuck":
            found.append(
                Condition(
                    "not-ticking",
                    f"epoch {due.move.epoch} is not ticked by this node: {due.move.why}",
                    "One key, one node: stop the other, or wait two epochs if the seals were lost.",
                    ill=True,
                )
            )
        for name, said in self.troubles.copy().items():
            hint = "It is tried again at the next block; see the log."
            found.append(Condition(f"trouble-{name}", said, hint, ill=name in ("cycle", "ticks")))
        for audit, why in self.answers.unanswerable.copy().items():
            said = f"audit {audit} cannot be answered: {why}"
            hint = "Start the node with the state folder of that epoch before the audit's deadline."
            found.append(Condition(f"audit-{audit}", said, hint, ill=True))
        return found
