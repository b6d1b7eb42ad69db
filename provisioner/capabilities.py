"""What a plugin may be able to do beside provisioning: one mixin each, and the matrix of who can what.

A plugin takes a mixin as a further base class and thereby promises its methods; nothing else tells the agent
what it can do. The rules of `provisioner.plugin` hold here as well: idempotent by key, `Temporary` for what
could not be read or done now, `Permanent` for what needs a person; what carries another key is left alone.

This module must not know any cloud, and must not import a plugin before it is asked about it.
"""

from __future__ import annotations

import abc
import dataclasses
import enum
import importlib.metadata
from typing import Any

from provisioner.plugin import ENTRY_POINT_GROUP, Provisioner

__all__ = [
    "CAPABILITIES",
    "Console",
    "ConsoleAccess",
    "Firmware",
    "Installed",
    "Power",
    "PowerAction",
    "capabilities_of",
    "installed",
]


class PowerAction(enum.Enum):
    """What a tenant may ask of its machine's power."""

    ON = "on"
    OFF = "off"
    REBOOT = "reboot"


class Power(abc.ABC):
    """The machine of a key can be switched on and off while its tenant has it."""

    @abc.abstractmethod
    def set_power(self, key: str, action: PowerAction) -> None:
        """Do it and wait until it is done.

        Blocking: seconds, on bare metal up to a minute. `ON` and `OFF` are idempotent; `REBOOT` boots once
        for each call, and switches a machine on that was off. Nothing carries the key, or it is being built
        or released: `Permanent`. The cloud cannot be reached or is busy with it: `Temporary`. A machine that
        is off stays the tenant's: `Provisioner.status` says `READY` of it all the same, and `provision` with
        its order returns its connection and leaves it off.
        """

    @abc.abstractmethod
    def is_on(self, key: str) -> bool:
        """Whether the machine of the key has power, read from the cloud just now.

        Blocking: about a second. Changes nothing. Nothing carries the key: `Permanent`.
        """


@dataclasses.dataclass(frozen=True)
class ConsoleAccess:
    """How the tenant reaches its machine's console. Sealed to the tenant by the agent, never logged."""

    kind: str
    """The protocol, for example `vnc`, `shellinabox`, `socat`, or `log` for a text that is read once."""
    url: str | None = None
    """Where to open it; None for a log."""
    text: str | None = None
    """The console's recent output, for a log."""


class Console(abc.ABC):
    """The console of the machine of a key can be opened to its tenant."""

    @abc.abstractmethod
    def open_console(self, key: str) -> ConsoleAccess:
        """Open it, or return the one that is open.

        Blocking: seconds. Idempotent. `Provisioner.release` closes it. Nothing carries the key, or it is not
        ready: `Permanent`.
        """

    @abc.abstractmethod
    def close_console(self, key: str) -> None:
        """Close it; nothing happens if it is closed, or if nothing carries the key. Blocking: seconds."""


class Firmware(abc.ABC):
    """What the machine's firmware says of itself is measured, and part of its document.

    The document of every `Inspected` then holds `firmware`: `bios_version` (text), `boot_mode` (`uefi` or
    `bios`), `secure_boot` (true or false); null where the machine does not tell.
    """

    @abc.abstractmethod
    def firmware(self, local_id: str) -> dict[str, Any]:
        """The three facts, read from the machine's controller just now.

        Blocking: seconds. Changes nothing. No such machine: `Permanent`; cannot read: `Temporary`.
        """


CAPABILITIES: dict[str, type] = {"power": Power, "console": Console, "firmware": Firmware}
"""Every capability by its name."""


def capabilities_of(plugin: type[Provisioner]) -> dict[str, bool]:
    """The plugin's line of the matrix: each capability's name, and whether the class promises it."""
    return {name: issubclass(plugin, mixin) for name, mixin in CAPABILITIES.items()}


@dataclasses.dataclass(frozen=True)
class Installed:
    """One announced plugin: where its class is, what that promises, and why it cannot be used, if so."""

    name: str
    class_path: str
    """`module:class`, as the package announces it."""
    capabilities: dict[str, bool | None]
    """Each capability's name; None where the class could not be imported."""
    problem: str | None = None


def installed() -> list[Installed]:
    """Every plugin announced in this environment, by name. Imports each; one that breaks says why."""
    points = importlib.metadata.entry_points(group=ENTRY_POINT_GROUP)
    return [_examine(point) for point in sorted(points, key=lambda point: point.name)]


def _examine(point: importlib.metadata.EntryPoint) -> Installed:
    unknown: dict[str, bool | None] = dict.fromkeys(CAPABILITIES)
    try:
        found = point.load()
    except Exception as error:  # noqa: BLE001  the plugin boundary: a stranger's module may fail in any way
        problem = " ".join(f"cannot be imported: {type(error).__name__}: {error}".split())
        return Installed(point.name, point.value, unknown, problem)
    if not (isinstance(found, type) and issubclass(found, Provisioner)):
        return Installed(point.name, point.value, unknown, "is not a Provisioner class")
    return Installed(point.name, point.value, {**unknown, **capabilities_of(found)})
