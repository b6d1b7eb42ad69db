"""Carries out what buyers ask of their running machines: power on, off and reboot, and the console.

The gateway writes an ask into the database; here it is looked at with its lease, as often as that is, until
it is done, given up after `PATIENCE`, overtaken by a later one, or dropped with the end of the lease. So an
agent that was killed goes on with it. The latest request counts: of `on` and `off` only it matters in the
end. A reboot happens at least once: an agent killed between the reboot and its record reboots again.

Two agents of one provider may see the same ask. The fence does not tell them apart (it lapses after
delivery, and its holder may be gone for good), so an agent claims an ask in the database they share before
it acts, for `HOLD` seconds from the last call it began; after that the other may. The same agent, started
again, goes on at once. What a plugin can do is read from its class alone.

Where a committee watches over the lease, a power request is recorded on the chain before it is carried out:
from then on what it brings about is not held against the provider (`provisioner.agent.power_records`).

This module must not judge whether an ask is the buyer's (`provisioner.gateway.asks` did), and never logs or
journals what a console says or where it is.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from chain.console import ConsoleDocument
from chain.exchange import Exchange
from chain.sealed import seal
from market.errors import OcxError, Permanent, Temporary
from market.leases import LeaseState, describe, state
from provisioner.agent.clouds import Clouds
from provisioner.agent.operations import Operations, Outcome, Retries
from provisioner.agent.power_records import PowerRecorder
from provisioner.agent.steps import LeaseView, operation_key
from provisioner.capabilities import Console, Power, PowerAction
from provisioner.plugin import Provisioner
from provisioner.store.asks import CONSOLE, DONE, POWER, Ask, AskStore
from provisioner.store.store import Store

__all__ = ["CALL_TIMEOUT", "HOLD", "PATIENCE", "Asks"]

PATIENCE = 600.0
"""Seconds after which an ask that could not be carried out is given up: the buyer may have other plans."""
CALL_TIMEOUT = 120.0
"""Seconds after which health calls a power or console call hung."""
HOLD = 180.0
"""Seconds for which an agent has an ask to itself, counted from the last call it began."""
_LIVE = (LeaseState.DELIVERED, LeaseState.ACTIVE)
_BEFORE = (LeaseState.AWARDED, LeaseState.SIGNED)
"""As an agent sees a lease whose blocks it has not all read: the gateway knew better when it took the ask."""
_CAPABILITY: Mapping[str, type] = {POWER: Power, CONSOLE: Console}
_PREFIX = "ask"


@dataclass(frozen=True, slots=True)
class _Doing:
    """A call under way: for which ask, under which name `Retries` knows its trouble."""

    ask: Ask
    trouble: str


class Asks:
    """The asks of one agent; `me` is its account, `wake` has the agent look soon.

    `clock` is the time of day (other processes and buyers share it), `monotonic` that of operations and
    retries.
    """

    def __init__(
        self,
        exchange: Exchange,
        store: Store,
        clouds: Clouds,
        operations: Operations,
        retries: Retries,
        *,
        me: str,
        wake: Callable[[], None],
        clock: Callable[[], float],
        monotonic: Callable[[], float],
    ) -> None:
        self.kept = AskStore(store)
        self._exchange, self._clouds = exchange, clouds
        self._operations, self._retries = operations, retries
        self._me, self._wake = me, wake
        self._clock, self._monotonic = clock, monotonic
        self._doing: dict[tuple[str, str], _Doing] = {}
        self._troubled: dict[str, Ask] = {}
        self._nudged: set[int] = set()
        self._lock = threading.Lock()
        self._recorder = PowerRecorder(exchange, store, clock=clock)

    # ---- for the gateway, from any thread --------------------------------------------------------------

    def nudge(self, lease: int) -> None:
        """Something was asked about a lease: look at it soon."""
        with self._lock:
            self._nudged.add(lease)
        self._wake()

    def cannot(self, lease: int, resource: int, kind: str) -> str | None:
        """The plugin that has a machine, if its class does not promise a kind of ask; reads no cloud.

        Raises `Permanent` if no plugin of this agent has the machine.
        """
        name, plugin = self._plugin(lease, resource)
        return None if isinstance(plugin, _CAPABILITY[kind]) else name

    # ---- for the agent's loop --------------------------------------------------------------------------

    def nudged(self) -> set[int]:
        """The leases about which something was asked since the last question."""
        with self._lock:
            found, self._nudged = self._nudged, set()
        return found

    def look(self, view: LeaseView, now: int) -> float | None:
        """Begin what is to be done for a lease at chain time `now`.

        Returns when (monotonic) to look again at the latest; None: nothing is asked.
        """
        stands = state(view.facts, now)
        if stands in _BEFORE:
            return None
        if stands not in _LIVE:
            self.kept.end(view.lease, f"the lease is {describe(view.facts, now)}", self._clock())
            self._forget_troubles(view.lease)
            return None
        self._forget_troubles(view.lease)
        return min([self._pursue(ask) for ask in self.kept.pending(view.lease)], default=None)

    def note(self, outcome: Outcome) -> int | None:
        """Take the end of a call of ours; the lease to look at, None if it was none of ours."""
        doing = self._doing.pop((outcome.key, outcome.kind), None)
        if doing is None:
            return None
        if isinstance(outcome.error, Temporary):
            self._retries.failed(doing.trouble, outcome.error)
            self._troubled[doing.trouble] = doing.ask
        elif outcome.error is not None:
            self._retries.failed(doing.trouble, outcome.error)  # logged and counted; the buyer is told why
            self._retries.succeeded(doing.trouble)
        if all(item.ask.id != doing.ask.id for item in self._doing.values()):
            self.kept.let_go(doing.ask.id, self._me)
        return doing.ask.lease

    def power_line(self, lease: int) -> str | None:
        """For health: that a lease's machines are off at their tenant's wish; None if they are not."""
        last = self.kept.newest(lease, POWER)
        off = last is not None and last.action == PowerAction.OFF.value and last.state == DONE
        return "switched off by its tenant" if off else None

    # ---- one ask ---------------------------------------------------------------------------------------

    def _pursue(self, ask: Ask) -> float:
        """Begin what can be begun for an ask; when (monotonic) to look at it again at the latest."""
        now, tick = self._clock(), self._monotonic()
        left = ask.at + PATIENCE - now
        if left <= 0:
            self.kept.fail(ask.id, self._why_late(ask), now)
            return tick
        times = [tick + left]
        for resource in ask.wanted:
            if resource not in ask.done:
                at = self._begin(ask, resource)
                times += [] if at is None else [at]
        return min(times)

    def _begin(self, ask: Ask, resource: int) -> float | None:
        """Begin one call, unless it or an earlier one is under way; when to look again, None: at its end."""
        key = f"{_PREFIX}/{ask.lease}/{resource}"
        trouble = f"{key}/{ask.kind}/{ask.id}"
        if (key, ask.kind) in self._doing:
            return None
        if self._retries.blocked(trouble) is not None:
            return self._retries.retry_at(trouble)
        now, tick = self._clock(), self._monotonic()
        if not self.kept.claim(ask, self._me, now, now + HOLD):
            return tick + 1.0
        self._doing[key, ask.kind] = _Doing(ask, trouble)
        call = self._power if ask.kind == POWER else self._console
        if self._operations.start(key, ask.kind, lambda: self._carry_out(ask, resource, call), CALL_TIMEOUT):
            return None
        del self._doing[key, ask.kind]
        return tick + 0.2

    def _carry_out(
        self, ask: Ask, resource: int, call: Callable[[Ask, int, str, Provisioner], bytes | None]
    ) -> None:
        """One call in its own thread: journalled before and after, its outcome kept before anything else."""
        if not self.kept.is_pending(ask.id):
            return
        store, key = self.kept.store, self._key(ask.lease, resource)
        entry = store.begin(key, f"{ask.kind} {ask.action}", self._clock())
        try:
            sealed = call(ask, resource, key, self._plugin(ask.lease, resource)[1])
        except Exception as error:
            store.finish(entry, self._clock(), error=_told(error))
            if not isinstance(error, Temporary):
                self.kept.fail(ask.id, f"node {resource}: {_told(error)}", self._clock())
            raise
        store.finish(entry, self._clock(), result="ok")
        self.kept.progress(ask.id, resource, self._clock(), sealed)

    def _power(self, ask: Ask, resource: int, key: str, plugin: Provisioner) -> None:
        if not isinstance(plugin, Power):
            raise Permanent("its cloud cannot switch power")
        self._recorder.record(ask)
        plugin.set_power(key, PowerAction(ask.action))

    def _console(self, ask: Ask, resource: int, key: str, plugin: Provisioner) -> bytes | None:
        """Open or close it; what is open is sealed before anything else sees it."""
        if not isinstance(plugin, Console):
            raise Permanent("its cloud cannot open a console")
        if ask.action == "close":
            plugin.close_console(key)
            return None
        buyer = self._exchange.leases.lease(ask.lease).buyer
        receiver = self._exchange.members.organisation(buyer).encryption_key
        access = plugin.open_console(key)
        document = ConsoleDocument(ask.lease, resource, access.kind, access.url, access.text)
        return seal(receiver, document.to_bytes())

    # ---- inner -----------------------------------------------------------------------------------------

    def _plugin(self, lease: int, resource: int) -> tuple[str, Provisioner]:
        """The plugin a machine was ordered from, and its name."""
        kept = self.kept.store.order(self._key(lease, resource))
        located = None if kept else self._clouds.locate(resource)
        name = kept[1] if kept else (located.plugin if located else None)
        plugin = None if name is None else self._clouds.plugins.get(name)
        if name is None or plugin is None:
            raise Permanent(f"no plugin of this agent has node {resource}", hint="Tell the provider.")
        return name, plugin

    def _key(self, lease: int, resource: int) -> str:
        network = self._exchange.connection
        return operation_key(network.chain_id, self._exchange.leases.address_of(lease), lease, resource)

    def _why_late(self, ask: Ask) -> str:
        told = [
            trouble.message
            for name, trouble in self._retries.troubles().items()
            if name.endswith(f"/{ask.kind}/{ask.id}") and name.startswith(f"{_PREFIX}/")
        ]
        return f"not done within {PATIENCE:.0f} s: {'; '.join(told) or 'the agent did not get to it'}"

    def _forget_troubles(self, lease: int) -> None:
        """What is not asked any more does not trouble anybody."""
        of_lease = [name for name, ask in self._troubled.items() if ask.lease == lease]
        for name in of_lease:
            if not self.kept.is_pending(self._troubled[name].id):
                self._retries.succeeded(name)
                del self._troubled[name]


def _told(error: Exception) -> str:
    """What a buyer, and the journal, may know of a failure."""
    return error.message if isinstance(error, OcxError) else "the provider has an internal problem"
