"""Carries out the steps: calls plugins, seals connection data, sends transactions. Each act may be repeated.

Nothing here decides whether an act is right; `provisioner.agent.steps` did. All acts run as `Operations`, so
none of them holds up the caller. What a tenant may know is sealed before it is stored, and is never logged.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, cast

from eth_utils.crypto import keccak

from chain.contracts.base import Call
from chain.contracts.leases import Delivery, Lease
from chain.exchange import Exchange
from chain.gateway import ConnectionDocument, Endpoint, combined_hash, delivery_hash
from chain.lease_endpoints import Told, canonical_bytes, endpoints_of
from chain.nonces import Entry
from chain.sealed import seal, sealed_hash
from chain.wire import Receipt
from market.errors import Bug, InvalidInput, OcxError, Permanent, Temporary
from market.specs import Json, canonical_document
from provisioner.agent.clouds import Clouds
from provisioner.agent.handover import must_be_as_registered
from provisioner.agent.operations import Operations
from provisioner.agent.steps import (
    CloseReclaim,
    Deliver,
    Expire,
    LeaseView,
    MachineView,
    Pay,
    Provision,
    Release,
    RenewFence,
    Settle,
    Sign,
    Step,
    TakeOver,
    Wipe,
)
from provisioner.catalogue import document_hash
from provisioner.plugin import Conflict, Connection, Order, Provisioner, State, WipeEvidence
from provisioner.store.records import Blob, Setup
from provisioner.store.store import Store

__all__ = ["Connected", "Hands", "evidence_hash", "lease_key", "release"]

_SEND_TIMEOUT = 120.0


@dataclass(frozen=True, slots=True)
class Connected:
    """What a provisioning gave: how to reach the machine, and the hash of its re-measured document."""

    connection: Connection
    document_hash: bytes


class Hands:
    """The acts of one agent; `timeouts` in seconds for provision and release."""

    def __init__(
        self,
        exchange: Exchange,
        store: Store,
        clouds: Clouds,
        operations: Operations,
        *,
        timeouts: Mapping[str, float],
        clock: Callable[[], float],
    ) -> None:
        self._exchange, self._store, self._clouds = exchange, store, clouds
        self._operations = operations
        self._timeouts = timeouts
        self._clock = clock
        self._connected: dict[str, Connected] = {}

    def connected(self, key: str) -> Connected | None:
        """What is known of a machine that is up; forgotten by a restart, when provisioning tells it again."""
        return self._connected.get(key)

    def note_connected(self, key: str, connected: Connected | None) -> None:
        """A provisioning came to its end, or the machine is no longer ours."""
        if connected is None:
            self._connected.pop(key, None)
        else:
            self._connected[key] = connected

    def do(self, step: Step, view: LeaseView, lease: Lease) -> bool:
        """Begin a step that is not a wait; whether anything was begun."""
        calls = self._exchange.leases
        match step:
            case Sign():
                return self.send(view.lease, "sign", calls.sign(view.lease))
            case TakeOver():
                return self.send(
                    view.lease, f"take-over/{view.fence_until}", calls.take_over(view.lease), "take-over"
                )
            case RenewFence():
                return self.send(
                    view.lease, f"renew/{view.fence_until}", calls.renew_fence(view.lease), "renew"
                )
            case Expire():
                late = "expire-unproven" if view.facts.wiped_at else "expire"
                intent = late if view.facts.signed_at else "expire-unsigned"
                return self.send(view.lease, intent, calls.expire(view.lease))
            case Settle():
                return self.send(view.lease, "settle", calls.settle(view.lease))
            case CloseReclaim():
                call = self._exchange.amendments.close_reclaim(view.lease)
                return self.send(view.lease, "close-reclaim", call)
            case Pay(term):
                if self._exchange.verdicts is None:
                    raise Bug(f"lease {view.lease} has a committee, but the exchange no verdicts")
                return self.send(view.lease, f"pay/{term}", self._exchange.verdicts.pay(view.lease, term))
            case Provision(resources):
                witnessed = lease.sla != 0
                return sum(self._provision(view, m, witnessed) for m in _of(view, resources)) > 0
            case Release(resources):
                return sum(self._release(view, m) for m in _of(view, resources)) > 0
            case Deliver(bits):
                return self._start(
                    lease_key(view.lease), "deliver", lambda: self._deliver(view, lease, bits), _SEND_TIMEOUT
                )
            case Wipe():
                hash_ = evidence_hash(view.lease, self._store.evidence(view.lease))
                return self.send(view.lease, "wipe", calls.wipe(view.lease, hash_))
        raise Bug(f"{step} is not something to do")

    def send(self, lease: int, intent: str, call: Call, kind: str | None = None) -> bool:
        """Begin a transaction for a lease; one at a time for each, each intent once. See `_send`."""
        key = lease_key(lease)
        return self._start(key, kind or intent, lambda: self._send(key, intent, call), _SEND_TIMEOUT)

    def submit(self, key: str, kind: str, intent: str, call: Call) -> bool:
        """Begin a transaction under any other key, and wait until it is mined."""
        name = self.intent(key, intent)
        return self._start(key, kind, lambda: self._exchange.send(call, intent=name), _SEND_TIMEOUT)

    def intent(self, key: str, name: str) -> str:
        """The name under which the sender knows an act: unique per deployment."""
        return f"{self._exchange.leases.addresses[0].lower()[2:10]}/{key}/{name}"

    # ---- machines --------------------------------------------------------------------------------------

    def _provision(self, view: LeaseView, machine: MachineView, witnessed: bool) -> bool:
        located = self._clouds.locate(machine.resource)
        if located is None:
            return False
        with self._store.transaction():  # so that a setup is either in the order, or refused
            setup = self._store.setup(view.lease) or self._own_setup(view.lease)
            order = Order(
                key=machine.key,
                local_id=located.local_id,
                hostname=_hostname(setup.hostname, view, machine),
                ssh_public_keys=setup.ssh_public_keys,
                start=view.facts.start,
                end=view.facts.effective_end,
                properties=setup.properties or {},
                responder=witnessed,
            )
            order, plugin = self._store.keep_order(order, view.lease, located.plugin, int(self._clock()))
        return self._start(
            machine.key,
            "provision",
            lambda: self._call_provision(view, machine.resource, order, plugin),
            self._timeouts["provision"],
        )

    def _call_provision(self, view: LeaseView, resource: int, order: Order, plugin: str) -> Connected:
        now = self._clock()
        due = max(view.facts.created_at, view.facts.start)
        self._store.keep_metric(
            view.lease, int((now - view.facts.created_at) * 1000), int((now - due) * 1000)
        )
        try:
            connection = self._clouds.plugins[plugin].provision(order)
        except Conflict as error:  # most likely the lease before this one, still being wiped
            raise Temporary(f"the machine is not free yet: {error}", retry_after=2.0) from error
        found = self._clouds.remeasure(plugin, order.local_id)
        registered = self._exchange.inventory.resource(resource)
        must_be_as_registered(found, resource, registered, self._clouds.documents)
        return Connected(connection, document_hash(found))

    def _release(self, view: LeaseView, machine: MachineView) -> bool:
        kept = self._store.order(machine.key)
        located = self._clouds.locate(machine.resource)
        plugin = kept[1] if kept else (located.plugin if located else None)
        if plugin is None or plugin not in self._clouds.plugins:
            return False

        def call() -> WipeEvidence:
            evidence = release(self._clouds.plugins[plugin], machine.key)
            _require_canonical(evidence, plugin)
            self._store.keep_evidence(view.lease, machine.resource, evidence)
            return evidence

        return self._start(machine.key, "release", call, self._timeouts["release"])

    def _own_setup(self, lease: int) -> Setup:
        """A key of our making, for a buyer that named none in time; its private half leaves only sealed."""
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
        from cryptography.hazmat.primitives.serialization import (
            Encoding,
            NoEncryption,
            PrivateFormat,
            PublicFormat,
        )

        key = Ed25519PrivateKey.generate()
        public = key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()
        private = key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()).decode()
        self._store.keep_setup(lease, Setup((public,), private_key=private), int(self._clock()))
        kept = self._store.setup(lease)
        if kept is None:
            raise Bug(f"lease {lease} has orders but no setup")
        return kept

    # ---- delivery --------------------------------------------------------------------------------------

    def _deliver(self, view: LeaseView, lease: Lease, bits: int) -> Receipt | Entry:
        up = [machine for i, machine in enumerate(view.machines) if bits >> i & 1]
        self._must_still_be_registered(up)
        blob = self._sealed(view, lease, bits, up)
        delivery = Delivery(bits, blob.connection_hash, blob.host_key, blob.spec_hash)
        key = lease_key(view.lease)
        intent = f"deliver/{bits:x}/{blob.connection_hash.hex()[:16]}"
        return self._send(key, intent, self._exchange.leases.deliver(view.lease, delivery))

    def _must_still_be_registered(self, up: list[MachineView]) -> None:
        """What counts is what the chain says now; a machine registered anew meanwhile is measured again."""
        known = self._exchange.inventory.many([machine.resource for machine in up])
        for machine in up:
            registered = known.get(machine.resource)
            if registered and registered.document_hash != self._connected[machine.key].document_hash:
                self.note_connected(machine.key, None)
                raise Temporary(
                    f"node {machine.resource} was registered anew; it is measured again before its hand-over"
                )

    def _sealed(self, view: LeaseView, lease: Lease, bits: int, up: list[MachineView]) -> Blob:
        """The sealed data for these machines; the same again if they were sealed before."""
        connected = [self._connected[machine.key] for machine in up]
        setup = self._store.setup(view.lease)
        document = ConnectionDocument(
            lease=view.lease,
            resources=tuple(
                Endpoint(resource=machine.resource, **asdict(item.connection))
                for machine, item in zip(up, connected, strict=True)
            ),
            ssh_private_key=setup.private_key if setup else None,
        )
        plain = document.to_bytes()
        receiver = self._exchange.members.organisation(lease.buyer).encryption_key
        plain_hash = hashlib.sha256(receiver + plain).digest()
        before = self._store.sealed_before(view.lease, plain_hash)
        if before is not None:
            return before
        sealed = seal(receiver, plain)
        spec_hash = combined_hash([item.document_hash for item in connected])
        told = Told(sealed_hash(sealed), endpoints_of(document, [m.resource for m in view.machines]))
        endpoints = canonical_bytes(told.endpoints)
        blob = Blob(bits, sealed, endpoints, told.connection_hash, document.host_key_hash(), spec_hash)
        delivery = delivery_hash(blob.connection_hash, blob.host_key, blob.spec_hash)
        self._store.keep_sealed(view.lease, delivery, plain_hash, blob, int(self._clock()))
        return blob

    # ---- inner -----------------------------------------------------------------------------------------

    def _send(self, key: str, intent: str, call: Call) -> Receipt | Entry:
        """Broadcast, and leave it to the event to tell that it is mined; only the second time, wait for it.

        So a hundred leases signed at once do not poll for a hundred receipts; and what is stuck is replaced.
        """
        name = self.intent(key, intent)
        if self._exchange.sender.journal.by_intent(name) is not None:
            return self._exchange.send(call, intent=name)
        return self._exchange.sender.send(call.to, call.data, intent=name, wait=False)

    def _start(self, key: str, kind: str, call: Callable[[], Any], timeout: float) -> bool:
        """Begin an operation with its intent journalled first and its outcome after."""

        def journalled() -> Any:
            entry = self._store.begin(key, kind, self._clock())
            try:
                value = call()
            except Exception as error:
                shown = str(error) if isinstance(error, OcxError) else type(error).__name__
                self._store.finish(entry, self._clock(), error=shown)
                raise
            self._store.finish(entry, self._clock(), result=_shown(value))
            return value

        return self._operations.start(key, kind, journalled, timeout)


def lease_key(lease: int) -> str:
    """The key under which a lease's transactions run."""
    return f"lease/{lease}"


def evidence_hash(lease: int, evidence: Mapping[str, Mapping[str, Any]]) -> bytes:
    """What `LeaseWiped` shows: keccak256 of the canonical JSON of all evidence, in the order of resources."""
    items = [cast(Json, dict(item)) for item in evidence.values()]
    return keccak(canonical_document({"lease": lease, "evidence": items}))


def release(plugin: Provisioner, key: str) -> WipeEvidence:
    """Have a key released. That nothing carried it is believed only if the cloud, asked once more, agrees.

    A list that lost some entries and is well-formed looks like the truth to a plugin; `Temporary` then.
    """
    evidence = plugin.release(key)
    if evidence.facts.get("absent") and plugin.status(key).state is not State.ABSENT:
        raise Temporary(f"the cloud said that nothing carries {key}, and then that something does")
    return evidence


def _require_canonical(evidence: WipeEvidence, plugin: str) -> None:
    try:
        canonical_document({"evidence": asdict(evidence)})
    except InvalidInput as error:
        raise Permanent(f"the plugin {plugin} gave wipe evidence that cannot be hashed: {error}") from error


def _of(view: LeaseView, resources: tuple[int, ...]) -> list[MachineView]:
    return [machine for machine in view.machines if machine.resource in resources]


def _hostname(wanted: str, view: LeaseView, machine: MachineView) -> str:
    """The buyer's name for its machines, numbered where there are several."""
    base = wanted or f"lease-{view.lease}"
    if len(view.machines) == 1:
        return base
    place = [item.resource for item in view.machines].index(machine.resource)
    return f"{base[:58].rstrip('-')}-{place + 1}"


def _shown(value: object) -> str:
    """What the journal may say of a result: never a connection."""
    if isinstance(value, Entry):
        return f"0x{value.latest.hash.hex()} under way"
    if isinstance(value, Receipt):
        return f"0x{value.tx_hash.hex()} in block {value.block_number}"
    return f"wiped at {value.wiped_at}" if isinstance(value, WipeEvidence) else "ok"
