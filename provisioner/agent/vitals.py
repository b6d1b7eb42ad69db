"""What an agent keeps an eye on beside its leases: the clock, the money, and machines held back from sale.

Read now and then in the agent's cycle and shown by health and metrics from copies. Nothing is decided here.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from chain.exchange import Exchange
from chain.wire import Block
from provisioner.agent.clouds import Clouds
from provisioner.store.store import Store

__all__ = ["Held", "Vitals", "disk_free"]


@dataclass(frozen=True, slots=True)
class Held:
    """A resource that is offered in no bid: its machine, why, and the open offers that still name it."""

    resource: int
    machine: str
    why: str
    offers: tuple[int, ...]


class Vitals:
    """See the module's docstring; `every`: seconds between two looks. The clocks are the agent's."""

    def __init__(
        self,
        exchange: Exchange,
        store: Store,
        clouds: Clouds,
        *,
        every: float,
        clock: Callable[[], float],
        monotonic: Callable[[], float],
    ) -> None:
        self._exchange, self._store, self._clouds = exchange, store, clouds
        self._every, self._clock, self._monotonic = every, clock, monotonic
        self._read_at = float("-inf")
        self._seen_held: object = None
        self.clock_offset: float | None = None
        self.free_balance: int | None = None
        self.gas_balance: int | None = None
        self.held: list[Held] = []

    def head_moved(self, head: Block) -> None:
        """A newer block is here: how far our clock is ahead of the chain's (seconds, negative: behind)."""
        self.clock_offset = round(self._clock() - head.timestamp, 3)

    def look(self, org: int, head: Block) -> None:
        """Read what is due."""
        held = self._clouds.all_held()
        if held == self._seen_held and self._monotonic() - self._read_at < self._every:
            return
        self._read_at, self._seen_held = self._monotonic(), held
        self.free_balance = self._exchange.escrow.free(org, block=head.number)
        if self._exchange.connection.gas_price != 0:
            wallet = self._exchange.sender.address
            self.gas_balance = self._exchange.rpc.balance(wallet, block=head.number)
        self.held = [
            found
            for (plugin, machine), why in sorted(held.items())
            if (found := self._held(org, head, plugin, machine, why)) is not None
        ]

    def _held(self, org: int, head: Block, plugin: str, machine: str, why: str) -> Held | None:
        """What the exchange has of a machine that is held back; None if nothing."""
        key = self._store.hardware_of(plugin, machine)
        inventory = self._exchange.inventory
        resource = inventory.by_hardware(key, block=head.number) if key is not None else 0
        if not resource or inventory.owner_of(resource, block=head.number) != org:
            return None
        if inventory.resource(resource, block=head.number).retired:
            return None
        offers = self._store.offers_of(resource, head.timestamp // self._exchange.slot)
        book = self._exchange.book
        live = tuple(offer for offer in offers if not book.offer(offer, block=head.number).closed)
        return Held(resource, machine, why, live)


def disk_free(folder: Path) -> int | None:
    """Bytes free on the disk of a folder; None if it cannot be told."""
    try:
        return shutil.disk_usage(folder).free
    except OSError:
        return None
