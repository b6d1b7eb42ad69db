"""What the agent last saw of its tenants' machines, for who measures them: power, state, and how old it is.

It answers from memory and from the store alone: a witness that asks every round costs no cloud anything, and
learns how fresh the word is. This module must not judge who may ask, and changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable

from chain.exchange import Exchange
from chain.lease_endpoints import MachineStatus
from provisioner.agent.clouds import Clouds
from provisioner.agent.steps import operation_key
from provisioner.store.asks import AskStore
from provisioner.store.store import Store

__all__ = ["ControlPlane"]

_POWER = {True: "on", False: "off", None: "unknown"}


class ControlPlane:
    """For any thread. `monotonic` is the clock of the readings of `clouds`."""

    def __init__(
        self, exchange: Exchange, store: Store, clouds: Clouds, *, monotonic: Callable[[], float]
    ) -> None:
        self._exchange, self._store, self._clouds = exchange, store, clouds
        self._asks = AskStore(store)
        self._monotonic = monotonic

    def status(self, lease: int) -> tuple[MachineStatus, ...]:
        """Every machine of a lease of ours, by place; empty for a lease that is none."""
        kept = self._store.lease_window(lease)
        if kept is None:
            return ()
        return tuple(self._machine(lease, place, resource) for place, resource in enumerate(kept[1]))

    def _machine(self, lease: int, place: int, resource: int) -> MachineStatus:
        network = self._exchange.connection
        key = operation_key(network.chain_id, self._exchange.leases.address_of(lease), lease, resource)
        off = self._asks.last_done_power(lease, resource) == "off"
        plugin = self._store.plugin_of(key)
        reading = None if plugin is None else self._clouds.reading(plugin)
        if reading is None:
            return MachineStatus(place, "unknown", "unknown", off, None)
        age = max(0, int(self._monotonic() - reading.ended))
        found = reading.owned.get(key)
        if found is None:
            return MachineStatus(place, "unknown", "absent", off, age)
        return MachineStatus(place, _POWER[found.power], found.state.value, off, age)
