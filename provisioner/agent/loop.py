"""The provider agent: a loop that makes what is into what should be, one idempotent step at a time.

Each cycle reads the chain at one block, looks at every lease that is due, and begins at most one step for it.
That block is the newest that counts: nothing is provisioned, wiped or forgotten because of one that may go.
Events, ended calls and the gateway only make it look sooner; if all of them were lost it would do the same a
little later. It keeps running whatever fails: the node, a cloud, one lease.

The loop is single-threaded; calls that take long run as `Operations`. This module must not decide what a
lease needs (`provisioner.agent.steps`) or how it is done (`provisioner.agent.hands`).
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

from chain.contracts.leases import Lease
from chain.exchange import Exchange
from chain.nonces import Entry
from chain.rpc import CHAIN_AWAY
from chain.wire import Block, Receipt
from market.errors import InvalidInput
from provisioner.agent.again import Again
from provisioner.agent.agenda import Agenda
from provisioner.agent.asks import Asks
from provisioner.agent.bidder import Bidder
from provisioner.agent.clouds import Clouds
from provisioner.agent.committees import Committees
from provisioner.agent.control import ControlPlane
from provisioner.agent.hands import Hands, lease_key
from provisioner.agent.heads import Heads
from provisioner.agent.intake import Intake
from provisioner.agent.operations import Operations, Outcome, Retries
from provisioner.agent.reports import LeaseReport, lease_report
from provisioner.agent.sightings import Sightings
from provisioner.agent.steps import Done, LeaseView, Rules, Step, Wait, decide, parse_key
from provisioner.agent.view import Observer, trouble_key
from provisioner.agent.vitals import Vitals
from provisioner.health.conditions import Conditions
from provisioner.health.metrics import Metrics
from provisioner.plugin import Provisioner
from provisioner.settings import Settings
from provisioner.store.store import Store

__all__ = ["Agent"]

log = logging.getLogger(__name__)


class Agent:
    """One agent of one provider organisation; `run` until `stop`."""

    def __init__(
        self,
        settings: Settings,
        exchange: Exchange,
        store: Store,
        plugins: Mapping[str, Provisioner],
        *,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """`clock` says what o'clock it is, `monotonic` how long something takes: a clock may be set anew."""
        wallet = exchange.wallet
        if wallet is None:
            raise InvalidInput("a provider agent needs a wallet")
        self.settings, self.exchange, self.store = settings, exchange, store
        self.address = wallet.address
        self.clock, self.monotonic = clock, monotonic
        self._wake = threading.Event()
        self._stopping = threading.Event()
        self.operations = Operations(settings.workers, self._wake.set, monotonic)
        self.retries = Retries(monotonic)
        self.clouds = Clouds(
            plugins,
            exchange,
            store,
            self.operations,
            self.retries,
            inspect_every=settings.inspect_every,
            look_every=settings.look_every,
            clock=clock,
            monotonic=monotonic,
        )
        timeouts = {"provision": settings.provision_timeout, "release": settings.release_timeout}
        self.hands = Hands(exchange, store, self.clouds, self.operations, timeouts=timeouts, clock=clock)
        self.asks = Asks(
            exchange,
            store,
            self.clouds,
            self.operations,
            self.retries,
            me=self.address,
            wake=self._wake.set,
            clock=clock,
            monotonic=monotonic,
        )
        self._committees = Committees(
            exchange,
            store,
            self.operations,
            self.retries,
            me=self.address,
            intent=self.hands.intent,
            clock=clock,
        )
        self.control = ControlPlane(exchange, store, self.clouds, monotonic=monotonic)
        self._observer = Observer(
            exchange, store, self.clouds, self.hands, self.operations, self.retries, self.address
        )
        self.vitals = Vitals(
            exchange, store, self.clouds, every=settings.resync, clock=clock, monotonic=monotonic
        )
        self.metrics, self.conditions = Metrics(), Conditions()
        self.journal = exchange.sender.journal
        self._intake = Intake(exchange, store, self.address)
        self._again = Again(store, self.clouds, self.retries, self._lease_of)
        self.sightings = Sightings(store, self.clouds, self._lease_of, self.key)
        self.bidder: Bidder | None = None
        self._agenda = Agenda(monotonic)
        self._heads = Heads(exchange.connection.block_time, settings.cycle, monotonic)
        self._touched: dict[int, float] = {}
        self.reports: dict[int, LeaseReport] = {}
        self.first_calls = store.metrics()
        self.head: Block | None = None
        self.newest: Block | None = None
        self.last_good = 0.0
        self.cycles = 0
        self.cycle_failure: Exception | None = None

    @property
    def org(self) -> int:
        """The organisation it acts for; 0 until the chain could be read once."""
        return self._intake.org

    def key(self, lease: int, resource: int) -> str:
        """The operation key of one resource of a lease."""
        return self._observer.key(lease, resource)

    # ---- the loop --------------------------------------------------------------------------------------

    def run(self) -> None:
        """Cycle until `stop`; then let transactions and plugin calls end for a few seconds."""
        while not self._stopping.is_set():
            pause = 0.0
            try:
                self.cycle(ask=self._heads.pause() <= 0.0)
            except Exception as error:  # noqa: BLE001  the cycle's boundary: the agent outlives any one failure
                self.retries.failed("cycle", error)
                self.cycle_failure = error
                self.metrics.cycle(error)
                pause = max(self.settings.cycle, min(5.0, getattr(error, "retry_after", 1.0)))
            self._wake.wait(max(pause, min(self.settings.cycle, self._heads.pause())))
            self._wake.clear()
        left = self.operations.close(5.0)
        if left:
            log.info("stopping with %d calls under way; they go on at the next start", len(left))

    def stop(self) -> None:
        """End `run` soon; safe from a signal handler."""
        self._stopping.set()
        self._wake.set()

    def wake(self) -> None:
        """Look at everything soon, from any thread; for the gateway, when a buyer's setup arrived."""
        self._agenda.wake()
        self._wake.set()

    def cycle(self, *, ask: bool = True) -> None:
        """Look once at everything that is due and begin what is to be done; `ask` the chain for its head."""
        head = self.head
        if ask or head is None:
            self.newest, head = self.exchange.rpc.heads()
            self._heads.seen(self.newest)
        if self._intake.open(head):
            self._start_bidder()
        if self.head is None or head.hash != self.head.hash:
            head = self._read_events(head)
        self.head = head
        for outcome in self.operations.ended():
            self._note(outcome)
        self.clouds.look()
        self.sightings.reopen()
        for lease in self._again.look():
            self._agenda.touch(lease, "to be tried again")
        for lease in self.asks.nudged():
            self._agenda.touch(lease, "its buyer asks for something")
        self._agenda.begin()
        due = [
            lease
            for lease in self.store.open_leases()
            if self._agenda.is_due(lease, head) and self.operations.running(lease_key(lease)) is None
        ]
        self._observer.prepare(due, head)
        for lease in due:
            self._reconcile(lease, head)
        if self.bidder is not None:
            self.bidder.cycle(head, behind=self._behind(head))
        self.vitals.look(self.org, head)
        self.cycles += 1
        self.last_good = self.monotonic()
        self.cycle_failure = None
        self.metrics.cycle(None)
        self.retries.succeeded("cycle")

    def snapshot(self) -> list[dict[str, Any]]:
        """For health: each open lease's state, step and reason; from any thread."""
        reports = self.reports.copy()
        return [{"lease": lease, **vars(item)} for lease, item in sorted(reports.items())]

    def tenders(self) -> list[dict[str, Any]]:
        """For health: each open tender's move and reason; from any thread."""
        reports = self.bidder.reports.copy() if self.bidder is not None else {}
        return [{"request": n, "move": item.move, "why": item.why} for n, item in sorted(reports.items())]

    def orphans(self) -> dict[str, int]:
        """For health: machines left in a cloud though their lease is over, and since when (chain time)."""
        return self._observer.orphans()

    def _read_events(self, head: Block) -> Block:
        if self.head is not None and head.number > self.head.number:
            self.vitals.head_moved(self.newest or head)
        head, touched = self._intake.read(head)
        for lease in touched:
            self._touched[lease] = self.monotonic()
            self._agenda.touch(lease, "an event")
        return head

    def _start_bidder(self) -> None:
        if self.settings.bidding.enabled:
            self.bidder = Bidder(
                self.settings.bidding,
                self.exchange,
                self.store,
                self.hands,
                self.clouds,
                self.operations,
                self.retries,
                org=self.org,
                clock=self.clock,
                monotonic=self.monotonic,
            )

    # ---- one lease -------------------------------------------------------------------------------------

    def _reconcile(self, lease: int, head: Block) -> None:
        """Look at one lease; whatever goes wrong concerns this lease alone, unless the chain is away."""
        try:
            self._step(lease, head)
        except CHAIN_AWAY:
            raise
        except Exception as error:  # noqa: BLE001  one lease that cannot be understood must not stop the others
            trouble = self.retries.failed(lease_key(lease), error)
            self._agenda.plan(lease, "try again", after=[trouble.retry_at])
            self.reports[lease] = LeaseReport("unknown", "none", str(error))

    def _step(self, lease: int, head: Block) -> None:
        kept = self.store.lease_window(lease)
        if kept is None:
            return
        view, chain = self._observer.view(lease, kept[1], head)
        asked = self.asks.look(view, head.timestamp)
        step = decide(view, head.timestamp, self._rules(head))
        keys = [m.key for m in view.machines]
        if isinstance(step, Done):
            self._finish(lease, keys)
            return
        errand = self._committees.look(view, head)
        times = [errand, step.until if isinstance(step, Wait) else None]
        until = min((time for time in times if time is not None), default=None)
        why, soon = self._take(step, view, chain)
        # No later than the first thing that may be retried, or read.
        retries = [self.retries.retry_at(key) for key in self._trouble_keys(lease, keys)]
        resync = self.monotonic() + (self.settings.cycle if soon else self._resync_of(lease))
        self._agenda.plan(lease, why or type(step).__name__, after=[resync, asked, *retries], chain=until)
        self.reports[lease] = self._report(view, head, type(step).__name__, why)

    def _take(self, step: Step, view: LeaseView, chain: Lease) -> tuple[str, bool]:
        """Begin a step; what stands in the way, and whether to look again very soon."""
        if isinstance(step, Wait):
            return step.reason, False
        blocked = self.retries.blocked(lease_key(view.lease))
        if blocked is not None:
            return blocked, False
        if not self.hands.do(step, view, chain):
            return "waiting for a free worker", True
        self.metrics.step(type(step).__name__)
        return "", False

    def _report(self, view: LeaseView, head: Block, step: str, why: str) -> LeaseReport:
        report = lease_report(view, head.timestamp, step, why, self.asks.power_line(view.lease))
        metric = self.store.metric(view.lease)
        if metric is not None:
            report.award_to_provision_ms, report.due_to_provision_ms = metric
            if view.lease not in self.first_calls:
                self.metrics.award(metric[0])
            self.first_calls[view.lease] = metric
        return report

    def _finish(self, lease: int, keys: list[str]) -> None:
        self.store.set_done(lease, True)
        self._observer.forget(keys)
        self._committees.forget(lease)
        for key in self._trouble_keys(lease, keys):
            self.retries.succeeded(key)
        self.reports.pop(lease, None)
        self._agenda.forget(lease)
        self._touched.pop(lease, None)
        log.info("lease %d is finished with", lease)

    def _trouble_keys(self, lease: int, keys: list[str]) -> list[str]:
        kinds = ("provision", "release")
        return [lease_key(lease), *(trouble_key(key, kind) for key in keys for kind in kinds)]

    # ---- what happened ---------------------------------------------------------------------------------

    def _note(self, outcome: Outcome) -> None:
        """Take what ended into account, and have its lease looked at."""
        asked = self.asks.note(outcome) or self._committees.note(outcome)
        if asked is not None:
            self._agenda.touch(asked, f"{outcome.kind} came to its end")
            return
        self.metrics.operation(outcome, self.clouds.plugin_of(outcome.key))
        if self.clouds.note(outcome):
            if outcome.error is None:
                for lease in self.sightings.concerned(self.reports, measured=outcome.kind == "inspect"):
                    self._agenda.touch(lease, "a cloud was read")
            return
        trouble = trouble_key(outcome.key, outcome.kind)
        if outcome.error is not None:
            final = outcome.kind in ("provision", "release")
            self.retries.failed(trouble, outcome.error, final=final)
        else:
            self.retries.succeeded(trouble)
            if outcome.kind in ("provision", "release"):
                up = outcome.kind == "provision"
                self.hands.note_connected(outcome.key, outcome.value if up else None)
        if outcome.kind == "provision":
            self.clouds.note_build(outcome)
        block = outcome.value.block_number if isinstance(outcome.value, Receipt) else 0
        found = self._lease_of(outcome.key)
        if found is None:
            if self.bidder is not None:
                self.bidder.note(outcome.key, block)
        elif isinstance(outcome.value, Entry) and self._touched.get(found, 0.0) < outcome.started:
            # Its event will tell, or we look.
            patience = 1.0 + 3 * self.exchange.connection.block_time
            self._agenda.plan(found, "its transaction", after=[self.monotonic() + patience])
        else:
            self._agenda.touch(found, f"{outcome.kind} came to its end", block=block)

    def _lease_of(self, key: str) -> int | None:
        if key.startswith("lease/"):
            return int(key.removeprefix("lease/"))
        for place in self.exchange.leases.addresses:
            parsed = parse_key(key, self.exchange.connection.chain_id, place)
            if parsed is not None:
                return parsed[0]
        return None

    def _resync_of(self, lease: int) -> float:
        """Seconds until a lease is read again though nothing points at it: a thousand do not come at once."""
        return self.settings.resync * (0.5 + 0.5 * (lease * 0.618034 % 1))

    def _behind(self, head: Block) -> int:
        """Seconds that the chain's time is ahead of the block we go by."""
        return max(0, self.newest.timestamp - head.timestamp) if self.newest is not None else 0

    def _rules(self, head: Block) -> Rules:
        terms, block_time = self._observer.terms(), self.exchange.connection.block_time
        margin = int(2 * block_time) + 1 + self._behind(head)
        return Rules(
            margin=margin,
            deliver_margin=max(2 * margin, terms.deliver_time // 10),
            setup_wait=self.settings.setup_wait,
            orphan_grace=self.settings.orphan_grace,
        )
