"""Puts together what is known about one lease: the chain's facts at one block, the cloud's word, our memory.

Only reads. What it makes, `provisioner.agent.steps` decides on.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from chain.contracts.leases import Lease, Terms, lease_facts
from chain.exchange import Exchange
from chain.generated.enums import Committee, EndReason
from chain.wire import Block
from market.leases import LeaseFacts, LeaseState, state
from provisioner.agent.clouds import Clouds, Reading
from provisioner.agent.hands import Hands
from provisioner.agent.operations import Operations, Retries
from provisioner.agent.reads import ChainReads
from provisioner.agent.steps import LeaseView, MachineView, operation_key
from provisioner.plugin import State
from provisioner.store.store import Store

__all__ = ["Observer", "trouble_key"]

_WITH_FEES = (Committee.DRAWN, Committee.WAIVED)
_OVER = (LeaseState.COMPLETED, LeaseState.TERMINATED, LeaseState.DEFAULTED, LeaseState.CANCELLED)


@dataclass
class _Sighting:
    """The first look that found a machine in the cloud while its lease was over."""

    reading: int
    block: int
    now: int
    confirmed: bool = False


@dataclass(frozen=True, slots=True)
class _Break:
    """A machine that was up and is not: in words, and the first and the last reading that said so."""

    words: str
    reading: int
    last: int


class Observer:
    """Makes the view of each lease."""

    def __init__(
        self,
        exchange: Exchange,
        store: Store,
        clouds: Clouds,
        hands: Hands,
        operations: Operations,
        retries: Retries,
        me: str,
    ) -> None:
        self._exchange, self._store, self._clouds = exchange, store, clouds
        self._hands, self._operations, self._retries = hands, operations, retries
        self._me = me
        self._reads = ChainReads(exchange)
        self._terms: dict[str, Terms] = {}
        self._sightings: dict[str, _Sighting] = {}
        self._breaks: dict[str, _Break] = {}

    def prepare(self, leases: Sequence[int], head: Block) -> None:
        """Read in a few messages what the views of these leases need; see `ChainReads`."""
        self._reads.prepare(leases, head)
        self._clouds.know(r for item in self._store.resources_of(leases).values() for r in item)

    def terms(self, lease: int | None = None) -> Terms:
        """The constants that hold for a lease, or for those to come; read once for each generation."""
        leases = self._exchange.leases
        place = leases.address if lease is None else leases.address_of(lease)
        if place not in self._terms:
            self._terms[place] = leases.terms(lease)
        return self._terms[place]

    def view(self, lease: int, resources: tuple[int, ...], head: Block) -> tuple[LeaseView, Lease]:
        """The lease as it is at the block `head`."""
        chain = self._reads.lease(lease, head)
        terms = self.terms(lease)
        facts = lease_facts(chain, terms, self._exchange.slot)
        current = state(facts, head.timestamp)
        wiped = current in _OVER and bool(chain.wiped_at)
        proven = set(self._store.evidence(lease))
        machines = tuple(
            self._machine(lease, i, resource, chain.missing != 0, facts, current, proven, head)
            for i, resource in enumerate(resources)
        )
        view = LeaseView(
            lease=lease,
            facts=facts,
            me=self._me,
            fence_holder=chain.fence_holder,
            fence_until=chain.fence_until,
            fence_time=terms.fence_time,
            machines=machines,
            has_setup=self._store.setup(lease) is not None,
            can_seal=self._can_seal(chain, facts, current, head),
            settled=wiped and self._reads.is_settled(lease, head),
            missing_recorded=chain.missing != 0,
            unpaid=self._unpaid(lease, chain, current, head),
            bond_waits=self._bond_waits(lease, chain, current, head),
        )
        return view, chain

    def _unpaid(self, lease: int, chain: Lease, current: LeaseState, head: Block) -> int | None:
        """The term of its committee that is to be paid next; asked only once the lease is over."""
        verdicts = self._exchange.verdicts
        if verdicts is None or current not in _OVER or chain.committee not in _WITH_FEES:
            return None
        term, done = verdicts.next_pay(lease, block=head.number)
        return None if done else term

    def _bond_waits(self, lease: int, chain: Lease, current: LeaseState, head: Block) -> bool:
        """Whether it was taken back under a committee's eyes, and its bond is not shared out."""
        waits = chain.reason is EndReason.RECLAIMED and chain.committee is Committee.DRAWN
        if not waits or current not in _OVER:
            return False
        taken, _ = self._exchange.amendments.reclaim_of(lease, block=head.number)
        return not taken.closed

    def key(self, lease: int, resource: int) -> str:
        """The operation key of one resource of a lease."""
        return operation_key(
            self._exchange.connection.chain_id, self._exchange.leases.address_of(lease), lease, resource
        )

    def _can_seal(self, chain: Lease, facts: LeaseFacts, current: LeaseState, head: Block) -> bool:
        """Whether the buyer has an encryption key; not asked where nothing is to be delivered."""
        undelivered = current in (LeaseState.SIGNED, LeaseState.DELIVERED, LeaseState.ACTIVE)
        if not undelivered or facts.complete:
            return True
        return any(self._reads.encryption_key(chain.buyer, head))

    def _machine(
        self,
        lease: int,
        place: int,
        resource: int,
        missing_recorded: bool,
        facts: LeaseFacts,
        current: LeaseState,
        proven: set[str],
        head: Block,
    ) -> MachineView:
        key = self.key(lease, resource)
        found = self._clouds.locate(resource)
        plugin = self._store.plugin_of(key) or (found.plugin if found is not None else None)
        running = self._operations.running(key)
        wanted = current not in _OVER and not _given_up(facts, place, missing_recorded, head.timestamp)
        in_cloud: bool | None = False  # nothing was ever ordered for it, and no plugin has it
        since = broken = None
        if plugin is not None:
            in_cloud, reading = self._clouds.carries(plugin, key)
            was_up = self._hands.connected(key) is not None or bool(facts.delivered_bits >> place & 1)
            broken = self._break(key, reading, watched=wanted and was_up and running is None)
            since = self._sight(key, in_cloud, reading.number if reading else 0, wanted, head)
        return MachineView(
            resource=resource,
            key=key,
            known=plugin is not None and plugin in self._clouds.plugins,
            ready=self._hands.connected(key) is not None,
            running=running.kind if running else None,
            blocked=self._retries.blocked(
                trouble_key(key, "provision" if wanted and current is not LeaseState.ENDING else "release")
            ),
            in_cloud=in_cloud,
            evidence=key in proven and not in_cloud,  # a build that hung may come up after its wipe
            orphan_since=since,
            lost=found is not None and self._clouds.lacks(found),
            broken=broken,
        )

    def orphans(self) -> dict[str, int]:
        """Machines that are left in a cloud though their lease is over, and since when (chain time)."""
        return {key: seen.now for key, seen in self._sightings.copy().items() if seen.confirmed}

    def forget(self, keys: list[str]) -> None:
        """A lease is finished with."""
        for key in keys:
            self._sightings.pop(key, None)
            self._breaks.pop(key, None)

    def _break(self, key: str, reading: Reading | None, *, watched: bool) -> str | None:
        """What became of a machine that was up, once a second reading says the same."""
        if not watched:
            self._breaks.pop(key, None)
            return None
        seen = self._breaks.get(key)
        if reading is not None:
            status = reading.owned.get(key)
            if status is not None and status.state is not State.FAILED:
                self._breaks.pop(key, None)
                return None
            words = "is gone from its cloud" if status is None else f"failed: {status.detail}"
            seen = _Break(words, seen.reading if seen else reading.number, reading.number)
            self._breaks[key] = seen
        return seen.words if seen is not None and seen.last > seen.reading else None

    def _sight(self, key: str, in_cloud: bool | None, reading: int, wanted: bool, head: Block) -> int | None:
        """Since when (chain time) a machine is an orphan; known once chain and cloud have said so twice."""
        if wanted or in_cloud is False:
            self._sightings.pop(key, None)
            return None
        if in_cloud is None:
            return None
        seen = self._sightings.setdefault(key, _Sighting(reading, head.number, head.timestamp))
        seen.confirmed = seen.confirmed or (reading > seen.reading and head.number > seen.block)
        return seen.now if seen.confirmed else None


def _given_up(facts: LeaseFacts, place: int, missing_recorded: bool, now: int) -> bool:
    """Whether nobody wants this resource of a running lease any more, since it was not delivered."""
    late = facts.deliver_deadline is not None and now >= facts.deliver_deadline
    closed = late or missing_recorded or facts.ended_at != 0
    return bool(facts.delivered_bits) and closed and not facts.delivered_bits >> place & 1


def trouble_key(key: str, kind: str) -> str:
    """Under which key `Retries` knows a failure: a build that failed for good must not block the wipe."""
    return f"{key}/release" if kind == "release" else key
