"""Puts together what is known about one lease: the chain's facts at one block, the cloud's word, our memory.

Only reads. What it makes, `provisioner.steps` decides on.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from chain.contracts.leases import Lease, Terms, lease_facts
from chain.exchange import Exchange
from chain.wire import Block
from market.leases import LeaseFacts, LeaseState, state
from provisioner.clouds import Clouds
from provisioner.hands import Hands
from provisioner.operations import Operations, Retries
from provisioner.steps import LeaseView, MachineView, operation_key
from provisioner.store import Store

__all__ = ["LeaseReport", "Observer", "machine_line", "trouble_key"]

_OVER = (LeaseState.COMPLETED, LeaseState.TERMINATED, LeaseState.DEFAULTED, LeaseState.CANCELLED)


@dataclass
class LeaseReport:
    """What health says of one lease."""

    state: str
    step: str
    why: str
    machines: dict[int, str] = field(default_factory=dict)
    award_to_provision_ms: int | None = None
    due_to_provision_ms: int | None = None
    power: str | None = None
    """Set while the tenant has its machines switched off."""


@dataclass
class _Sighting:
    """The first look that found a machine in the cloud while its lease was over."""

    reading: int
    block: int
    now: int
    confirmed: bool = False


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
        self._terms: Terms | None = None
        self._sightings: dict[str, _Sighting] = {}

    def terms(self) -> Terms:
        """The deployment's constants; read once."""
        if self._terms is None:
            self._terms = self._exchange.leases.terms()
        return self._terms

    def view(self, lease: int, resources: tuple[int, ...], head: Block) -> tuple[LeaseView, Lease]:
        """The lease as it is at the block `head`."""
        chain = self._exchange.leases.lease(lease, block=head.number)
        terms = self.terms()
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
            settled=wiped and self._exchange.settlement.account(lease, block=head.number).closed,
            missing_recorded=chain.missing != 0,
        )
        return view, chain

    def key(self, lease: int, resource: int) -> str:
        """The operation key of one resource of a lease."""
        return operation_key(
            self._exchange.connection.chain_id, self._exchange.leases.address, lease, resource
        )

    def _can_seal(self, chain: Lease, facts: LeaseFacts, current: LeaseState, head: Block) -> bool:
        """Whether the buyer has an encryption key; not asked where nothing is to be delivered."""
        undelivered = current in (LeaseState.SIGNED, LeaseState.DELIVERED, LeaseState.ACTIVE)
        if not undelivered or facts.complete:
            return True
        return any(self._exchange.members.organisation(chain.buyer, block=head.number).encryption_key)

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
        order = self._store.order(key)
        found = self._clouds.locate(resource)
        plugin = order[1] if order is not None else (found.plugin if found is not None else None)
        running = self._operations.running(key)
        wanted = current not in _OVER and not _given_up(facts, place, missing_recorded, head.timestamp)
        in_cloud: bool | None = False  # nothing was ever ordered for it, and no plugin has it
        since = None
        if plugin is not None:
            in_cloud, reading = self._clouds.carries(plugin, key)
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
        )

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


def machine_line(machine: MachineView) -> str:
    """The state of one machine in a word or a line, for health."""
    if machine.blocked:
        return machine.blocked
    if machine.running:
        return f"{machine.running} under way"
    if machine.evidence:
        return "wiped"
    return "up" if machine.ready else ("in the cloud" if machine.in_cloud else "not up")
