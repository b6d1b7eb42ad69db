"""From a free node to one that answers: reserving, deploying, connecting.

A node is reserved by PATCHing `instance_uuid` (derived from the key) together with the marks described in
`nodes`; Ironic lets only one such PATCH in. Then the image of the order is deployed with a config drive that
carries hostname and keys, and the host key it presents is written down on the node.
"""

from __future__ import annotations

from typing import Any

from market.errors import Permanent, Temporary
from provisioner.plugin import Conflict, Connection, Order, State
from provisioner.plugins.ironic import nodes as marks
from provisioner.plugins.ironic.api import Node
from provisioner.plugins.ironic.settings import Image
from provisioner.plugins.ironic.walk import Walk
from provisioner.ssh import host_key_at

__all__ = ["Builder"]


class Builder:
    """Carries out `Provisioner.provision`."""

    def __init__(self, walk: Walk) -> None:
        self._walk = walk

    def provision(self, order: Order) -> Connection:
        """See `Provisioner.provision`. A build that had failed is started again once per call."""
        walk, image = self._walk, self._image(order)
        deadline, begun, state = walk.monotonic() + walk.settings.deploy_timeout, False, "locked"
        while True:
            with walk.step(order.local_id) as step:
                node = self._node_of(order)
                if marks.key_of(node) is None:
                    self.reserve(node, order, image)
                    state = "reserved"
                else:
                    self._must_hold(node, order)
                    state = node["provision_state"]
                if state == "deploy failed" and begun:
                    raise Temporary(f"the deployment failed: {walk.last_error(node)}", retry_after=10)
                if state in ("reserved", "available", "deploy failed"):
                    walk.must_be_in_service(node)
                    if state != "reserved":
                        self._mend(node, order, image)
                    step.must_be_fresh()
                    drive = marks.config_drive(node, order, self._guest_port(node, order))
                    walk.api.set_provision_state(order.local_id, "active", configdrive=drive)
                    begun = True
            if state == "active":
                return self._connect(order, image)
            if walk.monotonic() > deadline:
                raise Temporary(f"node {order.local_id} is still {state}", retry_after=10)
            walk.pause()

    def _image(self, order: Order) -> Image:
        """The image the order asks for; `Permanent` for a property or an image there is not."""
        settings = self._walk.settings
        known = ["image", *(["project"] if settings.lessees else [])]
        if unknown := sorted(set(order.properties) - set(known)):
            raise Permanent(
                f"these machines know no property {', '.join(unknown)}",
                hint=f"Known properties: {', '.join(known)}.",
            )
        image = settings.image(order.properties.get("image"))
        if image is None:
            names = ", ".join(sorted(settings.images)) or "none; leave it out for the usual one"
            wanted = order.properties["image"]
            raise Permanent(f"there is no image named {wanted!r} here", hint=f"Images: {names}.")
        return image

    def _node_of(self, order: Order) -> Node:
        """The node an order names, as it is now."""
        if (node := self._walk.api.node(order.local_id)) is None:
            raise Permanent(f"Ironic has no node {order.local_id}", key=order.key)
        return node

    def reserve(self, node: Node, order: Order, image: Image | None = None) -> None:
        """Take a free node, atomically."""
        self._must_be_free(node, order)
        changes: dict[str, Any] = {
            "instance_uuid": marks.instance_of(order.key),
            "instance_info": marks.instance_info(image or self._image(order), order.key),
            **self._order_marks(node, order),
        }
        if project := order.properties.get("project"):
            changes["lessee"] = project
            changes["extra/ocx_order"]["lessee_before"] = node["lessee"]
        self._walk.api.patch(node["uuid"], changes)

    def _order_marks(self, node: Node, order: Order) -> dict[str, Any]:
        mark = {
            "key": order.key,
            "digest": marks.order_digest(order),
            "since": node["provision_updated_at"],
            "event": self._walk.last_event(node["uuid"]),
        }
        return {"extra/ocx_key": order.key, "extra/ocx_order": mark}

    def _must_be_free(self, node: Node, order: Order) -> None:
        name = marks.label(node)
        if marks.evidence_of(node, order.key):
            raise Permanent(f"{order.key} was released already and cannot be used again")
        if marks.freer_of(node):
            raise Temporary(f"{name} is just being freed", retry_after=1)
        if node["instance_uuid"]:
            raise Conflict(f"{name} has a tenant the exchange does not know", holder=node["instance_uuid"])
        if node["provision_state"] != "available" or node["maintenance"]:
            state = "in maintenance" if node["maintenance"] else node["provision_state"]
            raise Temporary(f"{name} is {state}, not available", retry_after=10)
        if node["automated_clean"] is False:
            raise Permanent(
                f"{name} would not be wiped afterwards: its automated_clean is off",
                hint=f"Run: baremetal node set {name} --automated-clean",
            )
        if marks.address_of(node) is None:
            raise Permanent(f"{name} has no address", hint="Set ocx_address in the node's extra.")
        for other in self._walk.api.nodes("uuid,name", instance_uuid=marks.instance_of(order.key)):
            raise Permanent(f"{order.key} holds {other['name'] or other['uuid']}, not {name}")

    def _must_hold(self, node: Node, order: Order) -> None:
        """Raise unless the node carries the order's key and is not on its way down."""
        name, key = marks.label(node), marks.key_of(node)
        if key == order.key and marks.state_of(node) is not State.RELEASING:
            mark = marks.mark_of(node, "ocx_order")
            if mark and mark["digest"] != marks.order_digest(order):
                raise Permanent(f"{order.key} was first used with another hostname, SSH keys or properties")
            return
        if key is None or key == order.key:
            raise Permanent(f"{order.key} was released while {name} was being built")
        if marks.state_of(node) is State.RELEASING:
            raise Temporary(f"{name} is still being wiped for another lease", retry_after=10, holder=key)
        raise Conflict(f"{name} carries another key", key=order.key, holder=key)

    def _mend(self, node: Node, order: Order, image: Image) -> None:
        """Put back what another agent's late request may have taken off a reservation; see `nodes`."""
        if marks.lost_reservation(node):
            changes = {"instance_uuid": marks.instance_of(order.key)}
            self._walk.api.patch(
                node["uuid"], {**changes, "instance_info": marks.instance_info(image, order.key)}
            )
        elif not marks.mark_of(node, "ocx_order"):
            changes = self._order_marks(node, order)
            self._walk.api.patch(node["uuid"], changes, guard=marks.guard_of(order.key))

    def _connect(self, order: Order, image: Image) -> Connection:
        """Wait until SSH answers, write the host key down, and return the connection."""
        walk = self._walk
        deadline = walk.monotonic() + walk.settings.ssh_timeout
        host_key: str | None = None
        while True:
            with walk.step(order.local_id):
                node = self._node_of(order)
                self._must_hold(node, order)
                if host_key:
                    return self._note_ready(node, order, host_key, image)
            if marks.state_of(node) is State.READY and node["power_state"] == "power off":
                return marks.connection_of(node, walk.settings.ssh_user)  # its tenant switched it off
            host, port = marks.address_of(node) or ("", 0)
            host_key = host_key_at(host, port)
            if walk.monotonic() > deadline:
                what = "the node stays locked" if host_key else f"no SSH answers at {host}:{port}"
                raise Temporary(f"{marks.label(node)} is active but {what}", retry_after=10)
            if not host_key:
                walk.pause()

    def _guest_port(self, node: Node, order: Order) -> int:
        return marks.guest_port(node, order, self._walk.settings.responder_port)

    def _note_ready(self, node: Node, order: Order, host_key: str, image: Image) -> Connection:
        """Write down, on the node, the host key it presents to this key's tenant, and protect the node."""
        settings, key = self._walk.settings, order.key
        ready: dict[str, Any] = {"key": key, "host_key": host_key}
        ready |= {"user": image.ssh_user} if image.ssh_user else {}
        ready |= {"guest": port} if (port := self._guest_port(node, order)) else {}
        changes: dict[str, Any] = {}
        if marks.mark_of(node, "ocx_ready") != ready:
            changes["extra/ocx_ready"] = ready
        if not marks.mark_of(node, "ocx_order"):
            changes["extra/ocx_key"] = key
        if settings.protect and not node["protected"]:
            changes |= {"protected": True, "protected_reason": marks.protection_of(key)}
        if changes:
            self._walk.api.patch(node["uuid"], changes, guard=marks.guard_of(key))
        shown = {**node, "extra": {**node["extra"], "ocx_ready": ready}}
        return marks.connection_of(shown, settings.ssh_user)
