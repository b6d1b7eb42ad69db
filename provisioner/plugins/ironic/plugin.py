"""The Ironic plugin: a walk through Ironic's own state machine, one idempotent step at a time.

A node is reserved by PATCHing `instance_uuid` (derived from the key; Ironic lets only one in) together with
the marks described in `nodes`. Every step looks at the node first, so a call may join, at any point, what
another call, thread or process began. Ironic's own node history is the wipe evidence.
"""

from __future__ import annotations

import datetime
import shutil
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any, Self

from market.errors import OcxError, Permanent, Temporary
from provisioner.plugin import (
    Conflict,
    Connection,
    Inspected,
    Order,
    Provisioner,
    State,
    Status,
    WipeEvidence,
    read_settings,
)
from provisioner.plugins.ironic import nodes as marks
from provisioner.plugins.ironic.api import Busy, IronicApi, Node
from provisioner.plugins.ironic.settings import IronicSettings
from provisioner.ssh import host_key_at

__all__ = ["IronicPlugin"]

_MAX_EVENTS = 20
_DELETABLE = ("active", "deploy failed", "wait call-back", "deploy hold", "error")


class _Step:
    """Holds a node's lock; a conflict in Ironic ends the step quietly, which means: look again."""

    def __init__(self, lock: threading.Lock) -> None:
        self._lock = lock

    def __enter__(self) -> None:
        self._lock.acquire()

    def __exit__(self, kind: type[BaseException] | None, error: object, trace: object) -> bool:
        self._lock.release()
        return kind is not None and issubclass(kind, Busy)


class IronicPlugin(Provisioner):
    """Bare metal through Ironic; see the module's docstring."""

    def __init__(
        self,
        settings: IronicSettings,
        *,
        clock: Callable[[], float] = time.time,
        wait: Callable[[float], None] = time.sleep,
    ) -> None:
        self._settings, self._clock, self._wait = settings, clock, wait
        self._api = IronicApi(settings)
        self._locks: dict[str, threading.Lock] = {}
        self._locks_lock = threading.Lock()

    @classmethod
    def from_settings(cls, settings: Mapping[str, Any]) -> Self:
        """See `Provisioner.from_settings`; the settings are those of `IronicSettings`."""
        return cls(read_settings(IronicSettings, "ironic", settings))

    # ---- reading ---------------------------------------------------------------------------------------

    def inspect(self) -> list[Inspected]:
        """See `Provisioner.inspect`.

        Nodes that have a resource class and an identity, are not retired or in maintenance, and are free
        (`available`) or carry a key of ours. Sorted by name.
        """
        result = []
        for node in sorted(self._ours(), key=lambda n: (n["name"] or "", n["uuid"])):
            free = node["provision_state"] == "available" and not node["instance_uuid"]
            if marks.key_of(node) is None and not (free and not node["maintenance"] and not node["retired"]):
                continue
            inventory, traits = self._api.inventory(node["uuid"]), self._api.traits(node["uuid"])
            if machine := marks.inspected(node, inventory, traits, self._settings):
                result.append(machine)
        return result

    def status(self, key: str) -> Status:
        """See `Provisioner.status`."""
        node = self._find(key)
        if node is None:
            return Status(State.ABSENT, "no node carries this key")
        return marks.status_of(node, self._settings.ssh_user)

    def list_owned(self) -> dict[str, Status]:
        """See `Provisioner.list_owned`."""
        owned = ((marks.key_of(node), node) for node in self._api.nodes(marks.FIELDS))
        return {key: marks.status_of(node, self._settings.ssh_user) for key, node in owned if key}

    def check(self) -> list[str]:
        """See `Provisioner.check`."""
        problems = [] if shutil.which("ssh-keyscan") else ["ssh-keyscan is missing; install openssh-client"]
        try:
            self._api.version()
            machines = self._ours()
        except OcxError as error:
            return [*problems, str(error)]
        if not machines:
            problems.append("no node has a resource class that is for sale; set resource_class on some")
        for node in machines:
            name = node["name"] or node["uuid"]
            if marks.address_of(node) is None:
                problems.append(f"{name} has no address; set ocx_address (and ocx_ssh_port) in its extra")
            if node["maintenance"]:
                problems.append(f"{name} is in maintenance; repair it and end its maintenance")
            if self._api.inventory(node["uuid"]) is None:
                problems.append(f"{name} was never inspected; run `baremetal node inspect` on it")
        return problems

    def _ours(self) -> list[Node]:
        """Nodes of a class that is for sale."""
        classes = self._settings.classes
        every = self._api.nodes(marks.FIELDS)
        return [n for n in every if n["resource_class"] and (not classes or n["resource_class"] in classes)]

    def _find(self, key: str) -> Node | None:
        """The node that carries the key: by its reservation, else, as Ironic clears that, by its mark."""
        reserved = self._api.nodes(marks.FIELDS, instance_uuid=marks.instance_of(key))
        for node in reserved or self._api.nodes(marks.FIELDS):
            if marks.key_of(node) == key:
                return node
        return None

    # ---- provision -------------------------------------------------------------------------------------

    def provision(self, order: Order) -> Connection:
        """See `Provisioner.provision`. A build that had failed is started again once per call."""
        deadline, begun, state = self._clock() + self._settings.deploy_timeout, False, "locked"
        while True:
            with self._step(order.local_id):
                node = self._node_of(order)
                if marks.key_of(node) is None and not begun:
                    self._reserve(node, order)
                    begun, state = True, "reserved"
                else:
                    self._must_hold(node, order)
                    state = node["provision_state"]
                if state == "deploy failed" and begun:
                    raise Temporary(f"the deployment failed: {self._last_error(node)}", retry_after=10)
                if state in ("reserved", "available", "deploy failed"):
                    drive = marks.config_drive(node, order)
                    self._api.set_provision_state(order.local_id, "active", configdrive=drive)
                    begun = True
            if state == "active":
                return self._connect(order)
            if self._clock() > deadline:
                raise Temporary(f"node {order.local_id} is still {state}", retry_after=10)
            self._wait(self._settings.poll)

    def _node_of(self, order: Order) -> Node:
        """The node an order names, as it is now."""
        if (node := self._api.node(order.local_id)) is None:
            raise Permanent(f"Ironic has no node {order.local_id}", key=order.key)
        return node

    def _reserve(self, node: Node, order: Order) -> None:
        """Take a free node, atomically."""
        name = node["name"] or node["uuid"]
        if marks.evidence_of(node, order.key):
            raise Permanent(f"{order.key} was released already and cannot be used again")
        if node["instance_uuid"]:
            raise Conflict(f"{name} has a tenant the exchange does not know", holder=node["instance_uuid"])
        if node["provision_state"] != "available" or node["maintenance"]:
            state = "in maintenance" if node["maintenance"] else node["provision_state"]
            raise Temporary(f"{name} is {state}, not available", retry_after=10)
        if marks.address_of(node) is None:
            raise Permanent(f"{name} has no address", hint="Set ocx_address in the node's extra.")
        for other in self._api.nodes("uuid,name", instance_uuid=marks.instance_of(order.key)):
            raise Permanent(f"{order.key} holds {other['name'] or other['uuid']}, not {name}")
        image = {
            "image_source": self._settings.image_source,
            "image_os_hash_algo": "sha256",
            "image_os_hash_value": self._settings.image_sha256,
            "image_disk_format": self._settings.image_disk_format,
        }
        changes = {
            "instance_uuid": marks.instance_of(order.key),
            "instance_info": image,
            "extra/ocx_key": order.key,
            "extra/ocx_order": {"digest": marks.order_digest(order), "since": node["provision_updated_at"]},
        }
        self._api.patch(node["uuid"], changes)

    def _must_hold(self, node: Node, order: Order) -> None:
        """Raise unless the node carries the order's key and is not on its way down."""
        name, key = node["name"] or node["uuid"], marks.key_of(node)
        if key == order.key and marks.state_of(node) is not State.RELEASING:
            if node["extra"].get("ocx_order", {}).get("digest") != marks.order_digest(order):
                raise Permanent(f"{order.key} was first used with another hostname or other SSH keys")
            return
        if key is None or key == order.key:
            raise Permanent(f"{order.key} was released while {name} was being built")
        if marks.state_of(node) is State.RELEASING:
            raise Temporary(f"{name} is still being wiped for another lease", retry_after=10, holder=key)
        raise Conflict(f"{name} carries another key", key=order.key, holder=key)

    def _connect(self, order: Order) -> Connection:
        """Wait until SSH answers, write the host key down, and return the connection.

        The key is trusted as it is read: the provider's own network lies between the agent and the machine.
        """
        deadline = self._clock() + self._settings.ssh_timeout
        host_key: str | None = None
        while True:
            with self._step(order.local_id):
                node = self._node_of(order)
                self._must_hold(node, order)
                if host_key:
                    return self._note_ready(node, order.key, host_key)
            host, port = marks.address_of(node) or ("", 0)
            host_key = host_key_at(host, port)
            if self._clock() > deadline:
                what = "the node stays locked" if host_key else f"no SSH answers at {host}:{port}"
                raise Temporary(f"{node['name']} is active but {what}", retry_after=10)
            if not host_key:
                self._wait(self._settings.poll)

    def _note_ready(self, node: Node, key: str, host_key: str) -> Connection:
        """Write down, on the node, the host key it presents to this key's tenant."""
        ready = {"key": key, "host_key": host_key}
        if node["extra"].get("ocx_ready") != ready:
            self._api.patch(node["uuid"], {"extra/ocx_ready": ready})
        shown = {**node, "extra": {**node["extra"], "ocx_ready": ready}}
        return marks.connection_of(shown, self._settings.ssh_user)

    # ---- release ---------------------------------------------------------------------------------------

    def release(self, key: str) -> WipeEvidence:
        """See `Provisioner.release`.

        The evidence is the node's own history since it was reserved. Raises `Permanent` if Ironic freed the
        node without cleaning it. A cleaning that had failed is started again once per call.
        """
        found = self._find(key)
        if found is None:
            return self._former_evidence(key)
        deadline, pushed, seen = self._clock() + self._settings.clean_timeout, False, list[str]()
        while True:
            with self._step(found["uuid"]):
                node = self._api.node(found["uuid"]) or {}
                if not node or marks.key_of(node) != key:
                    return self._former_evidence(key)
                state = node["provision_state"]
                seen += [state] if state not in seen[-1:] else []
                if state == "available" and not node["reservation"]:
                    return self._free(node, key, seen)
                pushed = self._push_down(node, pushed) or pushed
            if self._clock() > deadline:
                raise Temporary(f"{found['name']} is still {seen[-1]}", retry_after=10)
            self._wait(self._settings.poll)

    def _push_down(self, node: Node, pushed: bool) -> bool:
        """Start whatever leads from the node's state to a clean one; True if that was a repair."""
        uuid, state = node["uuid"], node["provision_state"]
        if state in ("clean failed", "error") and pushed:
            raise Temporary(f"the wipe of {node['name']} failed: {self._last_error(node)}", retry_after=30)
        if state in _DELETABLE:
            self._api.set_provision_state(uuid, "deleted")
        elif state == "clean failed":
            if node["fault"] == "clean failure":
                self._api.end_maintenance(uuid)
            self._api.set_provision_state(uuid, "manage")
        elif state == "manageable":
            self._api.set_provision_state(uuid, "provide")
        return state in ("error", "clean failed")

    def _free(self, node: Node, key: str, seen: list[str]) -> WipeEvidence:
        """Take the marks off a node that is clean, and leave the evidence on it in the same step."""
        since = node["extra"].get("ocx_order", {}).get("since") or ""
        history = [h for h in self._api.history(node["uuid"]) if str(h["created_at"]) > since]
        cleanings = [
            h for h in history if h["event_type"] == "automated_cleaning_end" and h["severity"] == "INFO"
        ]
        untouched = node["instance_uuid"] is not None
        if not untouched and not cleanings and "clean wait" not in seen:
            raise Permanent(
                f"Ironic made {node['name']} available without cleaning it",
                hint="Set automated_clean on the node, then `manage` and `provide` it; the release goes on.",
            )
        at = cleanings[-1]["created_at"] if cleanings else node["provision_updated_at"]
        events = ("uuid", "created_at", "severity", "event_type", "event")
        facts = {
            "plugin": "ironic",
            "node": node["uuid"],
            "instance": marks.instance_of(key),
            "deployed": not untouched,
            "cleaned": not untouched,
            "provision_state": node["provision_state"],
            "power_state": node["power_state"],
            "since": since,
            "history": [{name: h[name] for name in events} for h in history[-_MAX_EVENTS:]],
        }
        wiped_at = _unix(at)
        removals = [f"extra/{mark}" for mark in marks.MARKS if mark in node["extra"]]
        removals += ["instance_uuid", "instance_info"] if untouched else []
        wiped = {"key": key, "wiped_at": wiped_at, "facts": facts}
        self._api.patch(node["uuid"], {"extra/ocx_wiped": wiped}, removals)
        return WipeEvidence(key, node["uuid"], wiped_at, facts)

    def _former_evidence(self, key: str) -> WipeEvidence:
        """Evidence of a key nothing carries: from the node it was on, or that there is none."""
        for node in self._api.nodes(marks.FIELDS):
            if evidence := marks.evidence_of(node, key):
                return evidence
        return WipeEvidence(key, None, int(self._clock()), {"plugin": "ironic", "absent": True})

    # ---- helpers ---------------------------------------------------------------------------------------

    def _step(self, uuid: str) -> _Step:
        """Look and act without another thread of ours in between."""
        with self._locks_lock:
            return _Step(self._locks.setdefault(uuid, threading.Lock()))

    def _last_error(self, node: Node) -> str:
        """Why the node's last operation failed; Ironic often knows only in its history."""
        if node["last_error"]:
            return str(node["last_error"])
        errors = [h for h in self._api.history(node["uuid"]) if h["severity"] == "ERROR"]
        return str(errors[-1]["event"]) if errors else "Ironic gives no reason; see the conductor's log"


def _unix(text: str) -> int:
    """Unix seconds of one of Ironic's times."""
    return int(datetime.datetime.fromisoformat(text).timestamp())
