"""What a tenant may do with its node while it has it: power and console.

The console is Ironic's: its URL carries a token that Ironic makes, and lets expire. This module must not
change a node that is not delivered to the key it is asked about.
"""

from __future__ import annotations

from collections.abc import Callable

from market.errors import Permanent, Temporary
from provisioner.capabilities import ConsoleAccess, PowerAction
from provisioner.plugin import State
from provisioner.plugins.ironic import nodes as marks
from provisioner.plugins.ironic.api import Node
from provisioner.plugins.ironic.walk import Walk

__all__ = ["TenantActions"]

_TARGETS = {PowerAction.ON: "power on", PowerAction.OFF: "power off", PowerAction.REBOOT: "rebooting"}


class TenantActions:
    """Carries out `capabilities.Power` and `capabilities.Console`."""

    def __init__(self, walk: Walk) -> None:
        self._walk = walk

    def set_power(self, key: str, action: PowerAction) -> None:
        """See `Power.set_power`."""
        target = _TARGETS[action]
        wanted = "power off" if action is PowerAction.OFF else "power on"
        uuid = self._ready(key)["uuid"]

        def ask(node: Node) -> bool:
            if action is not PowerAction.REBOOT and _has_power(node, wanted):
                return False
            self._walk.api.set_power(uuid, target)
            return True

        if self._ask(key, uuid, ask, f"the power of {key}"):
            self._await(key, uuid, lambda node: _has_power(node, wanted), f"did not reach {wanted}")

    def is_on(self, key: str) -> bool:
        """See `Power.is_on`."""
        if (node := self._walk.find(key)) is None:
            raise Permanent(f"no node carries {key}")
        return bool(node["power_state"] == "power on")

    def open_console(self, key: str) -> ConsoleAccess:
        """See `Console.open_console`."""
        node = self._ready(key)
        uuid = node["uuid"]
        if node["console_interface"] in (None, "no-console"):
            raise Permanent(
                f"{marks.label(node)} has no console",
                hint="Its operator can give it a console_interface in Ironic.",
            )
        told = self._walk.api.console(uuid)
        if told is None:

            def ask(_: Node) -> bool:
                self._walk.api.set_console(uuid, True)
                return True

            self._ask(key, uuid, ask, f"the console of {key}")
            self._await(key, uuid, lambda node: bool(node["console_enabled"]), "did not open its console")
            told = self._walk.api.console(uuid) or {}
        kind, url = told.get("type") or node["console_interface"], told.get("url")
        return ConsoleAccess(str(kind), str(url) if url else None)

    def close_console(self, key: str) -> None:
        """See `Console.close_console`."""
        node = self._walk.find(key)
        if node is None or not node["console_enabled"]:
            return
        uuid = node["uuid"]

        def ask(now: Node) -> bool:
            if not now["console_enabled"]:
                return False
            self._walk.api.set_console(uuid, False)
            return True

        if self._ask(key, uuid, ask, f"the console of {key}"):
            self._await(key, uuid, lambda now: not now["console_enabled"], "did not close its console")

    def _ready(self, key: str) -> Node:
        """The node of a key that is delivered."""
        if (node := self._walk.find(key)) is None:
            raise Permanent(f"no node carries {key}")
        self._must_be_ready(node, key)
        return node

    def _must_be_ready(self, node: Node, key: str) -> None:
        if marks.key_of(node) != key or marks.state_of(node) is not State.READY:
            what = marks.state_of(node).value if marks.key_of(node) == key else "no longer of this key"
            raise Permanent(f"{marks.label(node)} is {what}, not ready", hint="Wait until it is delivered.")
        self._walk.must_be_in_service(node)

    def _ask(self, key: str, uuid: str, ask: Callable[[Node], bool], what: str) -> bool:
        """Ask Ironic once the node is free for it; whether anything was asked."""
        deadline, asked = self._walk.monotonic() + self._walk.settings.power_timeout, None
        while asked is None:
            with self._walk.step(uuid):
                asked = ask(self._look(key, uuid))
            if asked is None:
                if self._walk.monotonic() > deadline:
                    raise Temporary(f"{what} cannot be changed: the node is busy", retry_after=10)
                self._walk.pause()
        return asked

    def _await(self, key: str, uuid: str, done: Callable[[Node], bool], failure: str) -> None:
        """Look until it is done; Ironic has done with the node's power when it has no target any more."""
        deadline = self._walk.monotonic() + self._walk.settings.power_timeout
        while True:
            node = self._look(key, uuid)
            if not node["reservation"] and not node["target_power_state"]:
                if done(node):
                    return
                if node["last_error"]:
                    raise Temporary(
                        f"{marks.label(node)} {failure}: {self._walk.last_error(node)}", retry_after=10
                    )
            if self._walk.monotonic() > deadline:
                raise Temporary(f"{marks.label(node)} {failure} in time", retry_after=10)
            self._walk.pause()

    def _look(self, key: str, uuid: str) -> Node:
        node = self._walk.api.node(uuid)
        if node is None:
            raise Permanent(f"the node of {key} is gone from Ironic")
        if marks.key_of(node) != key:
            raise Permanent(f"{marks.label(node)} no longer carries {key}")
        if marks.state_of(node) is State.READY:
            self._walk.must_be_in_service(node)
        return node


def _has_power(node: Node, wanted: str) -> bool:
    return bool(node["power_state"] == wanted and not node["target_power_state"])
