"""What a cloud must be able to do to sell machines on the exchange: the plugin interface.

A plugin is one class in one file that turns an `Order` into a machine somebody can log in to and, later,
back into a clean machine. Everything it makes carries the order's `key` in the cloud itself, so the cloud
stays the only truth: an agent that was killed at any instruction may call the same method again with the
same key and loses nothing.

Rules every plugin keeps:

- A call either returns the truth or raises. `Temporary` means "could not read or could not do it now, ask
  again"; it never means that something is gone. `Permanent` means "a person has to act".
- Whatever carries no key, or another key, is never changed.
- Methods may be called from several threads at once, and by two processes of one provider.
- Secrets come from files named in the settings, and never appear in messages, documents or logs.

This module must not know any cloud, the chain, or the agent that calls it.
"""

from __future__ import annotations

import abc
import dataclasses
import enum
import importlib.metadata
from collections.abc import Mapping
from typing import Any, Self, TypeVar

from market.errors import InvalidInput, Permanent
from market.specs import Spec

__all__ = [
    "ENTRY_POINT_GROUP",
    "Conflict",
    "Connection",
    "Inspected",
    "Order",
    "Provisioner",
    "State",
    "Status",
    "WipeEvidence",
    "load",
    "read_settings",
]

ENTRY_POINT_GROUP = "ocx.provisioners"
"""Python entry-point group in which a package announces its plugin class under the plugin's name."""

_S = TypeVar("_S")


class Conflict(Permanent):
    """The machine carries another operation's key (or an unknown tenant); it was left untouched."""


class State(enum.Enum):
    """Where the machine of one key stands in its cloud."""

    ABSENT = "absent"
    """Nothing in the cloud carries the key. Said only after the cloud was read successfully."""
    BUILDING = "building"
    """Taken for the key and on its way up; `provision` with the same order joins or continues it."""
    READY = "ready"
    """Up; the connection is known."""
    FAILED = "failed"
    """The build failed, the machine still carries the key: `provision` tries again, `release` cleans up."""
    RELEASING = "releasing"
    """On its way down or being wiped; `release` with the same key joins it."""


@dataclasses.dataclass(frozen=True)
class Inspected:
    """One machine the cloud really has, as measured, whether or not it is free now."""

    name: str
    """The name its operators know it by."""
    local_id: str
    """The cloud's own id of it; what `Order.local_id` names."""
    class_name: str
    """Class offered on the exchange, for example `bm.large`; at most 31 bytes of UTF-8."""
    spec: Spec
    """Measured size."""
    site: str
    """Data centre or region."""
    hardware_id: str
    """What makes the hardware unique in the world: `<system uuid>/<serial>` for bare metal,
    `<provider>/<account>/<region>/<class>/<ordinal>` for cloud capacity."""
    document: dict[str, Any]
    """Full description: JSON without floats. The same hardware always gives the same document."""
    owner: str | None = None
    """The cloud's own name for the owner of the machine, if it keeps one."""
    rate_per_hour: int | None = None
    """The least it is to be rented at, in microcredits per hour, as the plugin's configuration says; None: it
    does not say. Not part of the document: prices change, hardware does not."""


@dataclasses.dataclass(frozen=True)
class Order:
    """What the chain says should exist: one machine, for one lease, from `start` to `end`."""

    key: str
    """Operation key: unique per chain, leases contract, lease and resource; printable ASCII."""
    local_id: str
    """`Inspected.local_id` of the machine that was leased."""
    hostname: str
    """RFC 1123 label the machine calls itself by."""
    ssh_public_keys: tuple[str, ...]
    """OpenSSH public keys that may log in; at least one."""
    start: int
    """Unix seconds UTC; information for the cloud, a plugin does not wait for it."""
    end: int
    """Unix seconds UTC, exclusive; information for the cloud, a plugin does not end anything by itself."""
    properties: Mapping[str, str] = dataclasses.field(default_factory=dict)
    """What else the tenant chose, for example `image`. A plugin that knows any names refuses others, and
    values it does not know, with `Permanent`, naming what it knows; one that knows none ignores them."""
    responder: bool = False
    """Whether a committee witnesses the lease: then the machine's first-boot configuration starts the
    responder (`provisioner.responder`), and `Connection.details` says where it answers. A plugin that cannot
    have it started ignores this."""


@dataclasses.dataclass(frozen=True)
class Connection:
    """How the tenant reaches the machine. Sealed to the tenant by the agent, never logged."""

    host: str
    port: int
    user: str
    host_key: str
    """The SSH host key the machine presents: `ssh-ed25519 AAAA...`, no comment."""
    details: dict[str, str] = dataclasses.field(default_factory=dict)
    """More for the tenant, for example `{"http": "http://host:port/"}`."""


@dataclasses.dataclass(frozen=True)
class Status:
    """The state of one key, read from the cloud just now."""

    state: State
    detail: str
    """One line for people: the cloud's own words."""
    connection: Connection | None = None
    """Set if, and only if, the state is `READY`."""
    local_id: str | None = None
    """The machine that carries the key; None if, and only if, the state is `ABSENT`."""
    power: bool | None = None
    """Whether the machine has power; None: the cloud does not tell."""


@dataclasses.dataclass(frozen=True)
class WipeEvidence:
    """What proves that nothing of the tenant is left. Its canonical JSON is hashed on the chain."""

    key: str
    local_id: str | None
    """The machine that was wiped; None if nothing in the cloud knows the key."""
    wiped_at: int
    """Unix seconds UTC at which the wipe was complete (absent: at which absence was read)."""
    facts: dict[str, Any]
    """The cloud's own records, JSON without floats; `{"absent": true, ...}` if there was nothing to wipe."""


class Provisioner(abc.ABC):
    """One cloud. The names below are the whole contract between the agent and a plugin."""

    @classmethod
    @abc.abstractmethod
    def from_settings(cls, settings: Mapping[str, Any]) -> Self:
        """Make the plugin from the `settings` section of the agent's configuration.

        Does not contact the cloud, so an agent starts while its cloud is down. Raises `InvalidInput` for
        an unknown, missing or malformed setting.
        """

    @abc.abstractmethod
    def inspect(self) -> list[Inspected]:
        """Measure everything this cloud could sell, sold or not, in a stable order.

        Blocking: seconds. Changes nothing. Nothing to sell: an empty list. Cannot read: `Temporary`.
        """

    @abc.abstractmethod
    def provision(self, order: Order) -> Connection:
        """Bring the machine up for the order and return how to reach it.

        Blocking: until somebody could log in, minutes for bare metal. Idempotent by key: a repeated or
        concurrent call with the same key joins the build that runs, continues one that was left half-way,
        starts a failed one again, or returns the connection of one that is up. Raises `Conflict` if the
        machine carries another key or an unknown tenant, `Permanent` if there is no such machine, if the
        order contradicts the one the key was first used with (its window may change), or if the key was
        released, meanwhile or ever; `Temporary` if the cloud cannot be reached, if the build failed or did
        not finish in time, or if the machine is still being wiped for another key.
        """

    @abc.abstractmethod
    def status(self, key: str) -> Status:
        """Say where the machine of this key stands.

        Blocking: about a second. Changes nothing. Nothing carries the key: `State.ABSENT`. Cannot read:
        `Temporary`, never `ABSENT`.
        """

    @abc.abstractmethod
    def release(self, key: str) -> WipeEvidence:
        """Take the machine of this key down, wipe it, make it free again, and prove it.

        Blocking: until the wipe is complete, minutes for bare metal. Idempotent: a repeated or concurrent
        call joins the wipe that runs, or returns the evidence of the one that is done. Works from every
        state, a half-done build included. Nothing carries the key: evidence whose facts say `absent`.
        Raises `Temporary` if the cloud cannot be read or the wipe failed or did not finish in time; the
        key then stays on the machine.
        """

    @abc.abstractmethod
    def list_owned(self) -> dict[str, Status]:
        """Everything in the cloud that carries a key of ours, by key.

        Blocking: seconds. Changes nothing. None: an empty dict. Cannot read: `Temporary`.
        """

    @abc.abstractmethod
    def check(self) -> list[str]:
        """Test the installation: one line per thing that is missing or wrong and what to do about it.

        Blocking: seconds. Changes nothing and never raises for what it is meant to find; all is well: [].
        """


def load(name: str, settings: Mapping[str, Any]) -> Provisioner:
    """Make the plugin announced under `name` in the entry-point group `ocx.provisioners`.

    Only the named plugin is imported. Raises `InvalidInput` for an unknown name (listing the known ones)
    or bad settings, `Permanent` if the plugin's own imports fail.
    """
    points = importlib.metadata.entry_points(group=ENTRY_POINT_GROUP)
    known = sorted(points.names)
    if name not in known:
        raise InvalidInput(
            f"there is no provisioner plugin named {name!r}",
            hint=f"Known plugins: {', '.join(known) or 'none; is the ocx package installed?'}.",
        )
    try:
        plugin = points[name].load()
    except ImportError as error:
        raise Permanent(
            f"the provisioner plugin {name!r} cannot be imported: {error}",
            hint="Install what it needs in the agent's environment.",
        ) from error
    if not (isinstance(plugin, type) and issubclass(plugin, Provisioner)):
        raise InvalidInput(f"the entry point {name!r} is not a Provisioner class", value=points[name].value)
    return plugin.from_settings(settings)


def read_settings(kind: type[_S], plugin: str, settings: Mapping[str, Any]) -> _S:
    """Build the settings dataclass `kind` of the plugin named `plugin`.

    Raises `InvalidInput` naming every unknown or missing setting. Types are left to the dataclass's own
    `__post_init__`.
    """
    fields = {f.name: f for f in dataclasses.fields(kind)}  # type: ignore[arg-type]
    unknown = sorted(set(settings) - set(fields))
    if unknown:
        raise InvalidInput(
            f"the {plugin} plugin has no setting {', '.join(unknown)}",
            hint=f"Known settings: {', '.join(fields)}.",
        )
    missing = [
        n
        for n, f in fields.items()
        if n not in settings and f.default is dataclasses.MISSING and f.default_factory is dataclasses.MISSING
    ]
    if missing:
        raise InvalidInput(f"the {plugin} plugin needs the setting {', '.join(missing)}")
    return kind(**settings)
