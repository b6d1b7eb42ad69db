"""What the marks on a machine mean to the exchange, and what its plays must say. Pure functions.

A lease's mark (`lease.json` on the machine) holds `key`, `order` (digest of the order the key was first
used with), `machine`, `product`, `phase` (`building`, `failed`, `ready` or `releasing`), `attempt` and `run`
(the run that goes on, or went on last), `detail`, what a cleanup needs of the order, and, once ready, the
connection. A play speaks by `set_stats`: a setup sets `ocx_connection`, a cleanup `ocx_evidence`.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import re
from collections.abc import Mapping
from typing import Any

from market.errors import Permanent, Temporary
from market.specs import Spec
from provisioner.plugin import Conflict, Connection, Inspected, Order, State, Status, WipeEvidence
from provisioner.plugins.ansible.settings import Machine
from provisioner.responder import program_path

__all__ = [
    "connection_said",
    "evidence_said",
    "holds",
    "inspected",
    "new_lease",
    "order_digest",
    "status_of",
    "variables",
    "wiped",
    "without_floats",
]

_PHASES = {
    "building": State.BUILDING,
    "failed": State.FAILED,
    "ready": State.READY,
    "releasing": State.RELEASING,
}
_MAX_EVIDENCE = 1 << 16
_HOST_KEY = re.compile(r"(ssh-[a-z0-9-]+|ecdsa-sha2-nistp\d+) [A-Za-z0-9+/]+=*")
_SAY = (
    "End the setup play with: ansible.builtin.set_stats: {data: {ocx_connection: {user: NAME, host_key: "
    "'ssh-ed25519 AAAA...', port: 22}}}; host and details are optional."
)


def order_digest(order: Order) -> str:
    """What must not change between two uses of a key; the window may move."""
    text = json.dumps([order.local_id, order.hostname, sorted(order.ssh_public_keys)])
    return hashlib.sha256(text.encode()).hexdigest()


def new_lease(order: Order, product: str, before: Mapping[str, Any] | None) -> dict[str, Any]:
    """The mark of a setup that begins; `before` is the mark of an earlier attempt."""
    return {
        "key": order.key,
        "order": order_digest(order),
        "machine": order.local_id,
        "product": product,
        "hostname": order.hostname,
        "ssh_public_keys": list(order.ssh_public_keys),
        "responder": order.responder,
        "start": order.start,
        "end": order.end,
        "phase": "building",
        "attempt": int((before or {}).get("attempt", 0)) + 1,
    }


def variables(lease: Mapping[str, Any]) -> dict[str, Any]:
    """What a play is told of the lease it works for."""
    names = ("key", "machine", "hostname", "ssh_public_keys", "start", "end", "run")
    told = {f"ocx_{name}": lease[name] for name in names}
    wanted = bool(lease.get("responder"))
    return told | {"ocx_responder": str(program_path()) if wanted else ""}


def holds(found: Mapping[str, Any], machine: Machine, order: Order) -> Connection | None:
    """What an order may do with a machine whose marks are `found`: None, set it up; a connection, it is up.

    Raises what `Provisioner.provision` promises: `Conflict`, `Permanent` or `Temporary`.
    """
    lease, name, key = found["lease"], machine.name, order.key
    if found["released"]:
        raise Permanent(f"{key} was released already and cannot be used again", key=key)
    if lease is None:
        return None
    down = lease["phase"] == "releasing" or found["wanted"]
    if lease["key"] is None:
        raise Conflict(
            f"{name} carries a mark that cannot be read", hint="Find out whose it is, by hand.", key=key
        )
    if lease["key"] != key and down:
        raise Temporary(f"{name} is still being wiped for another lease", retry_after=10, holder=lease["key"])
    if lease["key"] != key:
        raise Conflict(f"{name} carries another key", key=key, holder=lease["key"])
    if down:
        raise Permanent(f"{key} was released while {name} was being set up", key=key)
    if lease["order"] != order_digest(order):
        raise Permanent(f"{key} was first used with another hostname or other SSH keys", key=key)
    return _connection(lease, machine) if lease["phase"] == "ready" else None


def _connection(lease: Mapping[str, Any], machine: Machine) -> Connection:
    """The connection in the mark of a lease that is ready."""
    try:
        return Connection(**lease["connection"])
    except (KeyError, TypeError):
        raise Temporary(f"{machine.name} carries a mark that another version wrote", retry_after=60) from None


def status_of(found: Mapping[str, Any], machine: Machine) -> Status:
    """Where the key that a machine carries stands."""
    lease = found["lease"]
    state = State.RELEASING if found["wanted"] else _PHASES.get(lease["phase"], State.FAILED)
    detail = f"{machine.name}: {lease['phase']}, run {lease.get('run', 'none yet')}"
    if lease.get("detail"):
        detail += f" ({lease['detail']})"
    connection = _connection(lease, machine) if state is State.READY else None
    return Status(state, detail, connection, machine.name)


def connection_said(facts: Mapping[str, Any], machine: Machine) -> Connection:
    """The connection a setup play gave by `set_stats`; `Permanent` says what it must write."""
    said = facts.get("ocx_connection")
    if not isinstance(said, dict):
        raise Permanent(f"the setup of {machine.name} gives no ocx_connection", hint=_SAY)
    unknown = sorted(set(said) - {field.name for field in dataclasses.fields(Connection)})
    details = said.get("details") or {}
    user, host_key, port = said.get("user"), said.get("host_key"), str(said.get("port", 22))
    host = said.get("host") or machine.host
    if not isinstance(user, str) or not user or not isinstance(host, str) or unknown:
        what = f"what nobody knows: {unknown[0]}" if unknown else "no user or host"
        raise Permanent(f"the ocx_connection of {machine.name} holds {what}", hint=_SAY)
    if not isinstance(host_key, str) or not (match := _HOST_KEY.match(host_key)):
        raise Permanent(f"the ocx_connection of {machine.name} holds no host_key", hint=_SAY)
    if not port.isdigit() or not 0 < int(port) < 65536 or not isinstance(details, dict):
        raise Permanent(f"the ocx_connection of {machine.name} has a wrong port or details", hint=_SAY)
    texts = {str(name): str(value) for name, value in details.items()}
    return Connection(host, int(port), user, match.group(0), texts)


def evidence_said(facts: Mapping[str, Any], machine: Machine) -> dict[str, Any]:
    """What a cleanup play gave by `set_stats` as evidence; `Permanent` says what it must write."""
    said = facts.get("ocx_evidence")
    if not isinstance(said, dict) or not said:
        hint = (
            "End the cleanup play with ansible.builtin.set_stats: {data: {ocx_evidence: {...}}}: what it "
            "removed, and what it looked for in vain."
        )
        raise Permanent(f"the cleanup of {machine.name} gives no ocx_evidence", hint=hint)
    plain: dict[str, Any] = without_floats(said)
    if len(json.dumps(plain)) > _MAX_EVIDENCE:
        raise Permanent(f"the ocx_evidence of {machine.name} is longer than {_MAX_EVIDENCE} bytes")
    return plain


def without_floats(value: Any) -> Any:
    """The value with every float as text, so that it has one canonical form."""
    if isinstance(value, dict):
        return {str(name): without_floats(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [without_floats(item) for item in value]
    if isinstance(value, float) or (type(value) is int and abs(value) > (1 << 53) - 1):
        return str(value)
    return value


def wiped(record: Mapping[str, Any]) -> WipeEvidence:
    """The evidence a machine keeps of a key that was released."""
    local_id = record.get("machine")
    return WipeEvidence(record["key"], local_id, int(record["wiped_at"]), dict(record["facts"]))


def inspected(machine: Machine, measured: Mapping[str, Any], site: str) -> Inspected | None:
    """What the exchange is told about a machine; None if nothing tells it from another."""
    sizes = [field.name for field in dataclasses.fields(Spec)]
    spec = Spec(**(machine.spec or {name: int(measured[name]) for name in sizes}))
    uuid, serial = str(measured["system_uuid"]), str(measured["serial"])
    pinned = f"ssh/{machine.host_key}" if machine.host_key else None
    hardware_id = machine.hardware_id or (f"{uuid}/{serial}" if uuid else pinned)
    if hardware_id is None:
        return None
    told = {name: value for name, value in measured.items() if name not in sizes}
    return Inspected(
        name=machine.name,
        local_id=machine.name,
        class_name=machine.class_name,
        spec=spec,
        site=site,
        hardware_id=hardware_id,
        document={
            "kind": "ansible",
            "name": machine.name,
            "hardware_id": hardware_id,
            "measured": told,
            **dataclasses.asdict(spec),
        },
    )
