"""`Inventory`: resources and their calendars (contracts/interfaces/IInventory.sol)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from chain.contracts.base import Call, Contract, spec_tuple, struct
from chain.wire import BlockId
from market.specs import Spec, class_id
from market.windows import Calendar, SlotWindow

__all__ = ["Inventory", "Resource"]


@dataclass(frozen=True, slots=True)
class Resource:
    """IInventory.Resource; `class_` and `site` are names in 32 bytes, `turnaround`, `booked_until` slots."""

    owner: int
    turnaround: int
    holds: int
    booked_until: int
    retired: bool
    class_: bytes
    site: bytes
    document_hash: bytes
    hardware_key: bytes
    spec: Spec


class Inventory(Contract):
    """What there is, and when it is free."""

    NAME = "Inventory"

    def slot(self, *, block: BlockId = "latest") -> int:
        return int(self._view("slot", block=block))

    def count(self, *, block: BlockId = "latest") -> int:
        return int(self._view("count", block=block))

    def resource(self, resource: int, *, block: BlockId = "latest") -> Resource:
        return struct(Resource, self._view("resource", resource, block=block))

    def many(self, resources: Sequence[int], *, block: BlockId = "latest") -> dict[int, Resource]:
        """Several resources in few messages; what the chain refuses is left out."""
        found = self._views("resource", resources, block=block)
        return {resource: struct(Resource, item) for resource, item in found.items()}

    def owner_of(self, resource: int, *, block: BlockId = "latest") -> int:
        return int(self._view("ownerOf", resource, block=block))

    def document_hash_of(self, resource: int, *, block: BlockId = "latest") -> bytes:
        """Hash of the document that it has now; zeros if there is no such resource."""
        return bytes(self._view("documentHashOf", resource, block=block))

    def document_hashes(self, resources: Sequence[int], *, block: BlockId = "latest") -> dict[int, bytes]:
        """The same for several, in few messages."""
        return {r: bytes(h) for r, h in self._views("documentHashOf", resources, block=block).items()}

    def site_of(self, resource: int, *, block: BlockId = "latest") -> bytes:
        """Name of its site, in 32 bytes."""
        return bytes(self._view("siteOf", resource, block=block))

    def by_hardware(self, hardware_key: bytes, *, block: BlockId = "latest") -> int:
        return int(self._view("byHardware", hardware_key, block=block))

    def is_free(self, resource: int, window: SlotWindow, *, block: BlockId = "latest") -> bool:
        return bool(self._view("isFree", resource, window.start_slot, window.end_slot, block=block))

    def covers(self, resource: int, class_: bytes, spec: Spec, *, block: BlockId = "latest") -> bool:
        return bool(self._view("covers", resource, class_, spec_tuple(spec), block=block))

    def calendar(self, resource: int, word: int, *, block: BlockId = "latest") -> int:
        """256 slots from slot `word * 256` on, lowest bit first; a set bit is booked."""
        return int(self._view("calendar", resource, word, block=block))

    def booked(
        self, resource: int, window: SlotWindow, turnaround: int, *, block: BlockId = "latest"
    ) -> Calendar:
        """What is booked of a resource in a window and the turnaround after it."""
        last = (window.end_slot + turnaround) >> 8
        words = range(window.start_slot >> 8, last + 1)
        return Calendar.from_words({word: self.calendar(resource, word, block=block) for word in words})

    def register(
        self,
        class_: str,
        site: str,
        spec: Spec,
        turnaround: int,
        document_hash: bytes,
        hardware_key: bytes,
        *,
        org: int = 0,
    ) -> Call:
        """Register for an organisation; 0 is the wallet's own, another one must have granted it the right."""
        known_by = turnaround, document_hash, hardware_key
        return self._call("register", org, class_id(class_), class_id(site), spec_tuple(spec), *known_by)

    def remeasure(self, resource: int, spec: Spec, document_hash: bytes) -> Call:
        return self._call("remeasure", resource, spec_tuple(spec), document_hash)

    def retire(self, resource: int) -> Call:
        return self._call("retire", resource)
