"""What a node's fields mean to the exchange: its key, its state, its measure. Pure functions.

Marks in a node's `extra`, set and cleared by the plugin alone:

- `ocx_key`: the operation key, from the reservation until the wipe is proven;
- `ocx_order`: digest of the order the key was first used with, and when the node was reserved (its own
  `provision_updated_at`, so that no two clocks are compared);
- `ocx_ready`: key and SSH host key, once the machine has answered;
- `ocx_wiped`: the evidence of the last release.

Set by the operator: `ocx_address`, `ocx_ssh_port` (22), `ocx_http_port`: the machine's fixed address.
"""

from __future__ import annotations

import hashlib
import json
import uuid
from typing import Any

from market.specs import Spec
from provisioner.plugin import Connection, Inspected, Order, State, Status, WipeEvidence
from provisioner.plugins.ironic.api import Node
from provisioner.plugins.ironic.settings import IronicSettings

__all__ = [
    "FIELDS",
    "MARKS",
    "address_of",
    "config_drive",
    "evidence_of",
    "inspected",
    "instance_of",
    "key_of",
    "order_digest",
    "state_of",
    "status_of",
]

FIELDS = (
    "uuid,name,extra,instance_uuid,provision_state,target_provision_state,provision_updated_at,reservation,"
    "last_error,maintenance,fault,resource_class,properties,owner,retired,power_state"
)
"""All the fields of a node that anything here reads."""

MARKS = ("ocx_key", "ocx_order", "ocx_ready")
"""Marks that end with the release."""

_NAMESPACE = uuid.UUID("6b5e7a52-7c0b-5d0e-9c35-0c58b0f1d0c8")
_BUILDING = ("deploying", "wait call-back", "deploy hold", "rebuild")


def instance_of(key: str) -> str:
    """The instance uuid of a key. Ironic keeps it unique, so it reserves a node atomically."""
    return str(uuid.uuid5(_NAMESPACE, key))


def key_of(node: Node) -> str | None:
    """The operation key the node carries."""
    key = node["extra"].get("ocx_key")
    return None if key is None else str(key)


def order_digest(order: Order) -> str:
    """What must not change between two uses of a key; the end may move."""
    text = json.dumps([order.local_id, order.hostname, sorted(order.ssh_public_keys)])
    return hashlib.sha256(text.encode()).hexdigest()


def address_of(node: Node) -> tuple[str, int] | None:
    """Host and SSH port the operator wrote down; None if there is no address."""
    extra = node["extra"]
    return (str(extra["ocx_address"]), int(extra.get("ocx_ssh_port", 22))) if "ocx_address" in extra else None


def state_of(node: Node) -> State:
    """The state of the key the node carries.

    Ironic clears `instance_uuid` when it takes a machine down, so `available` with it is reserved, and
    without it wiped but not yet freed.
    """
    state = node["provision_state"]
    if node["instance_uuid"] is None or state in ("deleting", "error"):
        return State.RELEASING
    if state == "active":
        ready = node["extra"].get("ocx_ready") or {}
        return State.READY if ready.get("key") == key_of(node) else State.BUILDING
    if state == "deploy failed":
        return State.FAILED
    return State.BUILDING if state == "available" or state in _BUILDING else State.RELEASING


def status_of(node: Node, ssh_user: str) -> Status:
    """Status of the key the node carries."""
    state = state_of(node)
    detail = f"{node['name'] or node['uuid']}: {node['provision_state']}"
    if node["last_error"]:
        detail += f" ({' '.join(str(node['last_error']).split())[:200]})"
    connection = connection_of(node, ssh_user) if state is State.READY else None
    return Status(state, detail, connection, node["uuid"])


def connection_of(node: Node, ssh_user: str) -> Connection:
    """How to reach a node that is ready."""
    host, port = address_of(node) or ("", 0)
    web = node["extra"].get("ocx_http_port")
    details = {"http": f"http://{host}:{web}/"} if web else {}
    return Connection(host, port, ssh_user, node["extra"]["ocx_ready"]["host_key"], details)


def evidence_of(node: Node, key: str) -> WipeEvidence | None:
    """The evidence of the node's last release, if that was of this key."""
    wiped = node["extra"].get("ocx_wiped") or {}
    if wiped.get("key") != key:
        return None
    return WipeEvidence(key, node["uuid"], int(wiped["wiped_at"]), dict(wiped["facts"]))


def config_drive(node: Node, order: Order) -> dict[str, Any]:
    """The config drive of an order, in the form Ironic builds the image from."""
    keys = {f"key-{number}": line.strip() for number, line in enumerate(order.ssh_public_keys)}
    meta = {
        "uuid": instance_of(order.key),
        "name": order.hostname,
        "hostname": order.hostname,
        "public_keys": keys,
        "availability_zone": node["resource_class"],
    }
    user_data = {"hostname": order.hostname, "ssh_authorized_keys": list(keys.values())}
    return {"meta_data": meta, "user_data": "#cloud-config\n" + json.dumps(user_data) + "\n"}


def inspected(
    node: Node, inventory: dict[str, Any] | None, traits: list[str], settings: IronicSettings
) -> Inspected | None:
    """What the exchange is told about a node; None if its hardware cannot be told apart from others."""
    found, properties = inventory or {}, node["properties"]
    vendor = found.get("system_vendor") or {}
    system = vendor.get("system_uuid") or properties.get("system_uuid")
    serial = vendor.get("serial_number") or properties.get("serial_number")
    if not system and not serial:
        return None
    document = {
        "kind": "ironic",
        "name": node["name"],
        "node": node["uuid"],
        "resource_class": node["resource_class"],
        "properties": {k: v for k, v in properties.items() if k != "capabilities"},
        "inventory": {k: v for k, v in found.items() if k not in ("boot", "bmc_address", "bmc_v6address")},
        "traits": traits,
    }
    return Inspected(
        name=node["name"] or node["uuid"],
        local_id=node["uuid"],
        class_name=node["resource_class"],
        spec=_spec(properties, found),
        site=settings.site,
        hardware_id=f"{str(system or '').lower()}/{serial or ''}",
        document=_without_floats(document),
        owner=node["owner"],
    )


def _spec(properties: dict[str, Any], inventory: dict[str, Any]) -> Spec:
    """Sizes from the node's properties, where inspection and operator put them, else the inventory."""
    links = [int(link.get("speed_mbps") or 0) for link in inventory.get("interfaces") or []]
    memory = (inventory.get("memory") or {}).get("physical_mb") or 0
    return Spec(
        cores=int(properties.get("cpus") or (inventory.get("cpu") or {}).get("count") or 0),
        memory_mib=int(properties.get("memory_mb") or memory),
        disk_gib=int(properties.get("local_gb") or 0),
        gpus=int(properties.get("gpus") or 0),
        network_mbps=int(properties.get("network_mbps") or max(links, default=0)),
    )


def _without_floats(value: Any) -> Any:
    """The same JSON, floats written as text: a document's hash must not depend on how a float prints."""
    if isinstance(value, dict):
        return {str(name): _without_floats(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_without_floats(inner) for inner in value]
    return repr(value) if isinstance(value, float) else value
