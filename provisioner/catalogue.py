"""What our clouds really have, and what the chain should be told of it.

A piece of hardware is known on the chain by its hardware key (hash of what makes it unique) and its measured
document by that document's hash; so a resource and a plugin's machine find each other without any table that
could be wrong. This module plans registrations; it sends nothing and changes no cloud.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum

from eth_utils.crypto import keccak

from chain.contracts.base import Call
from chain.contracts.inventory import Resource
from chain.exchange import Exchange
from market.errors import InvalidInput
from market.specs import canonical_document, class_id, class_name
from provisioner.plugin import Inspected, Provisioner, load
from provisioner.settings import PluginSettings
from provisioner.store.records import MachineRecord

__all__ = [
    "Action",
    "Measured",
    "Planned",
    "document_hash",
    "hardware_key",
    "least_rate",
    "load_plugins",
    "measure",
    "plan",
    "record",
]


class Action(Enum):
    """What the chain should be told about a machine."""

    REGISTER = "register"
    """It is not on the chain."""
    REMEASURE = "remeasure"
    """It changed since."""
    NOTHING = "nothing"
    """The chain has it as it is."""
    TAKEN = "taken"
    """Another organisation has registered this hardware."""
    RETIRE_FIRST = "retire first"
    """Its class or site changed, which a registration cannot; retire the resource and register again."""


@dataclass(frozen=True, slots=True)
class Measured:
    """One machine as a plugin measured it; `plugin` is the id that `load_plugins` gave."""

    plugin: str
    inspected: Inspected


@dataclass(frozen=True, slots=True)
class Planned:
    """One line of the plan: `resource` is 0 while it has no number, `call` None where none is to be made."""

    measured: Measured
    action: Action
    resource: int
    call: Call | None


def load_plugins(settings: Sequence[PluginSettings]) -> dict[str, Provisioner]:
    """The configured plugins by id: their name, with `-2` and so on behind a repeated one."""
    plugins: dict[str, Provisioner] = {}
    for item in settings:
        twins = sum(1 for name in plugins if name == item.name or name.startswith(f"{item.name}-"))
        plugins[f"{item.name}-{twins + 1}" if twins else item.name] = load(item.name, item.settings)
    return plugins


def hardware_key(inspected: Inspected) -> bytes:
    """keccak256 of the hardware id: the one key of this piece of hardware in the world."""
    return keccak(inspected.hardware_id.encode())


def document_hash(inspected: Inspected) -> bytes:
    """keccak256 of the canonical document; InvalidInput if the document holds what none may hold."""
    return keccak(canonical_document(inspected.document))


def record(measured: Measured) -> MachineRecord:
    """What the agent remembers of a machine."""
    found = measured.inspected
    return MachineRecord(
        hardware_key(found), measured.plugin, found.local_id, found.name, document_hash(found)
    )


def measure(plugins: Mapping[str, Provisioner]) -> list[Measured]:
    """Ask every plugin what it has; blocking, seconds. Raises the first plugin's error."""
    return [Measured(name, found) for name, plugin in plugins.items() for found in plugin.inspect()]


def least_rate(exchange: Exchange, measured: Sequence[Measured], resources: Sequence[int]) -> int:
    """The rate below which none of these resources is to be rented, in microcredits per hour.

    The highest of what their plugins' configuration asks. InvalidInput for a resource of which it asks
    nothing, or which no configured cloud has.
    """
    asked = {hardware_key(item.inspected): item.inspected.rate_per_hour for item in measured}
    rates = {number: asked.get(exchange.inventory.resource(number).hardware_key) for number in resources}
    if unpriced := [str(number) for number, rate in rates.items() if rate is None]:
        raise InvalidInput(
            f"the configuration asks no rate for node {', '.join(unpriced)}",
            hint="give --floor, or set rate_per_hour in the plugin's settings",
        )
    return max(rate for rate in rates.values() if rate is not None)


def plan(exchange: Exchange, org: int, measured: Sequence[Measured], turnaround: int) -> list[Planned]:
    """Compare what was measured with the chain; `turnaround` in slots goes into new registrations."""
    return [_plan_one(exchange, org, item, turnaround) for item in measured]


def _plan_one(exchange: Exchange, org: int, item: Measured, turnaround: int) -> Planned:
    found = item.inspected
    inventory = exchange.inventory
    resource = inventory.by_hardware(hardware_key(found))
    if resource == 0:
        known_by = document_hash(found), hardware_key(found)
        call = inventory.register(found.class_name, found.site, found.spec, turnaround, *known_by, org=org)
        return Planned(item, Action.REGISTER, 0, call)
    known = inventory.resource(resource)
    if known.owner != org:
        return Planned(item, Action.TAKEN, resource, None)
    if not _same_place(known, found):
        return Planned(item, Action.RETIRE_FIRST, resource, None)
    if known.document_hash == document_hash(found) and known.spec == found.spec:
        return Planned(item, Action.NOTHING, resource, None)
    call = inventory.remeasure(resource, found.spec, document_hash(found))
    return Planned(item, Action.REMEASURE, resource, call)


def _same_place(known: Resource, found: Inspected) -> bool:
    return known.class_ == class_id(found.class_name) and class_name(known.site) == found.site
