"""What a node's fields mean to the exchange: its key, its state, its evidence. Pure functions.

Marks in a node's `instance_info`, which Ironic clears when it takes the machine down:

- `ocx_key`: the operation key, by the `instance_uuid` that stands for it;
- `ocx_freeing`: whose call is just taking the marks off the clean node, by the `instance_uuid` it set.

Marks in its `extra`, set and cleared by the plugin alone:

- `ocx_key`: the operation key, from the reservation until the wipe is proven;
- `ocx_order`: digest of the order the key was first used with, and when the node was reserved (its own
  `provision_updated_at` and the last event of its history, so that no two clocks are compared);
- `ocx_ready`: SSH host key, and the responder's port if it has one, once the machine has answered;
- `ocx_leaving`: the same times for the release, from its beginning; nothing is built for the key any more;
- `ocx_wiped`: the evidence of the last releases, newest last.

Each names its key, and counts for no other. Ironic writes a field as a whole, so a request of another agent
that was on its way for long may bring an old `extra` back; while a machine is reserved or up, its
`instance_info` therefore counts before `extra`, which is mended at the next step.

Set by the operator: `ocx_address`, `ocx_ssh_port` (22), `ocx_http_port`, `ocx_guest_port` (the
responder's): the machine's fixed address.
"""

from __future__ import annotations

import hashlib
import json
import uuid
from typing import Any

from provisioner.plugin import Connection, Order, State, Status, WipeEvidence
from provisioner.plugins.ironic.api import Node
from provisioner.plugins.ironic.settings import Image
from provisioner.responder import cloud_config, detail

__all__ = [
    "FIELDS",
    "KEPT_WIPES",
    "MARKS",
    "address_of",
    "config_drive",
    "evidence_of",
    "freer_of",
    "guard_of",
    "guest_port",
    "instance_info",
    "instance_of",
    "key_of",
    "label",
    "lost_reservation",
    "mark_of",
    "order_digest",
    "protection_of",
    "release_began",
    "state_of",
    "status_of",
    "wipes_with",
]

FIELDS = (
    "uuid,name,extra,instance_uuid,provision_state,target_provision_state,provision_updated_at,reservation,"
    "last_error,maintenance,maintenance_reason,fault,resource_class,properties,owner,lessee,retired,"
    "power_state,target_power_state,boot_mode,secure_boot,console_enabled,console_interface,automated_clean,"
    "protected,protected_reason,instance_info"
)
"""All the fields of a node that anything here reads."""

MARKS = ("ocx_key", "ocx_order", "ocx_ready", "ocx_leaving")
"""Marks that end with the release."""

KEPT_WIPES = 8
"""How many releases a node remembers: enough for agents that ask again, few enough for a database column."""

_NAMESPACE = uuid.UUID("6b5e7a52-7c0b-5d0e-9c35-0c58b0f1d0c8")
_BUILDING = ("deploying", "wait call-back", "deploy hold", "rebuild")
_PROTECTION = "leased through OCX: "


def instance_of(key: str) -> str:
    """The instance uuid of a key. Ironic keeps it unique, so it reserves a node atomically."""
    return str(uuid.uuid5(_NAMESPACE, key))


def key_of(node: Node) -> str | None:
    """The operation key the node carries.

    While the node is reserved for a key or up, that key, whatever `extra` says. While a call takes marks off
    it, what `extra` says: that call may be late, and the node another key's by now.
    """
    held = (node["instance_info"] or {}).get("ocx_key") or {}
    written = node["extra"].get("ocx_key")
    key = held.get(node["instance_uuid"] or "") or written
    if key is None and freer_of(node):
        key = next(iter(held.values()), None)
    return None if key is None else str(key)


def guard_of(key: str) -> tuple[str, str]:
    """Path and value of a field that only a node reserved for this key has."""
    return f"instance_info/ocx_key/{instance_of(key)}", key


def mark_of(node: Node, name: str) -> dict[str, Any]:
    """A mark in `extra` of the key the node carries; empty if there is none, or it is of another key."""
    mark = node["extra"].get(name) or {}
    return dict(mark) if mark.get("key") == key_of(node) else {}


def label(node: Node) -> str:
    """What people call the node."""
    return str(node["name"] or node["uuid"])


def protection_of(key: str) -> str:
    """Why a node that carries this key is protected."""
    return f"{_PROTECTION}{key}"


def order_digest(order: Order) -> str:
    """What must not change between two uses of a key; the end may move."""
    fixed: list[Any] = [order.local_id, order.hostname, sorted(order.ssh_public_keys)]
    text = json.dumps([*fixed, dict(order.properties)] if order.properties else fixed, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def address_of(node: Node) -> tuple[str, int] | None:
    """Host and SSH port the operator wrote down; None if there is no address."""
    extra = node["extra"]
    return (str(extra["ocx_address"]), int(extra.get("ocx_ssh_port", 22))) if "ocx_address" in extra else None


def guest_port(node: Node, order: Order, usual: int) -> int:
    """Where the responder of an order listens; 0: it has none. `usual`: where the operator said nothing."""
    return int(node["extra"].get("ocx_guest_port", usual)) if order.responder else 0


def freer_of(node: Node) -> str | None:
    """The `instance_uuid` set by the call that is taking the marks off the node; None if none is."""
    freers = list((node["instance_info"] or {}).get("ocx_freeing") or {})
    return str(freers[0]) if freers else None


def release_began(node: Node) -> dict[str, str]:
    """Since when (`since`) and since which event (`event`) of the node's history its key is being released.

    The reservation's, where no release could be noted: Ironic lets nobody write on a node that it deploys.
    """
    began = mark_of(node, "ocx_leaving") or mark_of(node, "ocx_order")
    return {"since": str(began.get("since") or ""), "event": str(began.get("event") or "")}


def lost_reservation(node: Node) -> bool:
    """Whether the node was reserved, never built on, and its `instance_uuid` taken off behind our back."""
    if node["instance_uuid"] is not None or node["provision_state"] != "available":
        return False
    order = mark_of(node, "ocx_order")
    never_built = order.get("since") == node["provision_updated_at"]
    return bool(order and never_built and not mark_of(node, "ocx_leaving"))


def state_of(node: Node) -> State:
    """The state of the key the node carries.

    Ironic clears `instance_uuid` when it takes a machine down, so `available` with it is reserved, and
    without it wiped but not yet freed.
    """
    state = node["provision_state"]
    if lost_reservation(node):
        return State.BUILDING
    if node["instance_uuid"] is None or mark_of(node, "ocx_leaving") or freer_of(node):
        return State.RELEASING
    if state == "active":
        return State.READY if mark_of(node, "ocx_ready") else State.BUILDING
    if state == "deploy failed":
        return State.FAILED
    return State.BUILDING if state == "available" or state in _BUILDING else State.RELEASING


def status_of(node: Node, ssh_user: str) -> Status:
    """Status of the key the node carries; `ssh_user` is that of an image without one of its own."""
    state = state_of(node)
    said = f"{label(node)}: {node['provision_state']}"
    if node["maintenance"]:
        said += ", in maintenance"
    if node["last_error"]:
        said += f" ({' '.join(str(node['last_error']).split())[:200]})"
    connection = connection_of(node, ssh_user) if state is State.READY else None
    power = {"power on": True, "power off": False}.get(str(node["power_state"]))
    return Status(state, said, connection, node["uuid"], power)


def connection_of(node: Node, ssh_user: str) -> Connection:
    """How to reach a node that is ready."""
    host, port = address_of(node) or ("", 0)
    web = node["extra"].get("ocx_http_port")
    details = {"http": f"http://{host}:{web}/"} if web else {}
    ready = node["extra"]["ocx_ready"]
    details |= detail(host, ready.get("guest"))
    return Connection(host, port, ready.get("user") or ssh_user, ready["host_key"], details)


def evidence_of(node: Node, key: str) -> WipeEvidence | None:
    """The evidence of this key's release, if it was one of the node's last."""
    for wiped in _wipes(node):
        if wiped.get("key") == key:
            return WipeEvidence(key, node["uuid"], int(wiped["wiped_at"]), dict(wiped["facts"]))
    return None


def wipes_with(node: Node, evidence: WipeEvidence) -> list[dict[str, Any]]:
    """What the node shall remember once this evidence is added."""
    new = {"key": evidence.key, "wiped_at": evidence.wiped_at, "facts": evidence.facts}
    return [*(one for one in _wipes(node) if one.get("key") != evidence.key), new][-KEPT_WIPES:]


def _wipes(node: Node) -> list[dict[str, Any]]:
    kept = node["extra"].get("ocx_wiped") or []
    return [kept] if isinstance(kept, dict) else list(kept)


def instance_info(image: Image, key: str) -> dict[str, Any]:
    """What Ironic must know of an image to write it, and whose machine it is."""
    return {
        "ocx_key": {instance_of(key): key},
        "image_source": image.source,
        "image_os_hash_algo": "sha256",
        "image_os_hash_value": image.sha256,
        "image_disk_format": image.disk_format,
    }


def config_drive(node: Node, order: Order, responder: int = 0) -> dict[str, Any]:
    """The config drive of an order, in the form Ironic builds the image from; `responder`: its port, or 0."""
    keys = {f"key-{number}": line.strip() for number, line in enumerate(order.ssh_public_keys)}
    meta = {
        "uuid": instance_of(order.key),
        "name": order.hostname,
        "hostname": order.hostname,
        "public_keys": keys,
        "availability_zone": node["resource_class"],
    }
    user_data: dict[str, Any] = {"hostname": order.hostname, "ssh_authorized_keys": list(keys.values())}
    if responder:
        user_data = cloud_config(responder, user_data)
    return {"meta_data": meta, "user_data": "#cloud-config\n" + json.dumps(user_data) + "\n"}
