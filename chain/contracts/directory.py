"""`Directory`: name, version and address of every contract (contracts/interfaces/IDirectory.sol)."""

from __future__ import annotations

from chain.contracts.base import Call, Contract
from chain.wire import BlockId
from market.specs import class_id, class_name

__all__ = ["RIGHTS", "Directory"]

RIGHTS = (
    "escrow.move",
    "members.charge",
    "inventory.book",
    "book.record",
    "awards.open",
    "leases.open",
    "settlement.report",
    "leases.witness",
    "leases.amend",
    "settlement.judge",
    "witnesses.slash",
)
"""What one contract may ask of another (contracts/libraries/Rights.sol)."""


class Directory(Contract):
    """The one address an agent is configured with."""

    NAME = "Directory"

    def council(self, *, block: BlockId = "latest") -> str:
        return str(self._view("council", block=block))

    def timelock(self, *, block: BlockId = "latest") -> str:
        return str(self._view("timelock", block=block))

    def names(self, *, block: BlockId = "latest") -> list[str]:
        return [class_name(name) for name in self._view("names", block=block)]

    def versions(self, name: str, *, block: BlockId = "latest") -> int:
        return int(self._view("versions", class_id(name), block=block))

    def at(self, name: str, version: int, *, block: BlockId = "latest") -> str:
        return str(self._view("at", class_id(name), version, block=block))

    def latest(self, name: str, *, block: BlockId = "latest") -> str:
        return str(self._view("latest", class_id(name), block=block))

    def has_right(self, holder: str, right: str, *, block: BlockId = "latest") -> bool:
        return bool(self._view("hasRight", holder, class_id(right), block=block))

    def publish(self, name: str, location: str) -> Call:
        return self._call("publish", class_id(name), location)

    def set_right(self, holder: str, right: str, granted: bool) -> Call:
        return self._call("setRight", holder, class_id(right), granted)

    def set_council(self, council: str) -> Call:
        return self._call("setCouncil", council)

    def set_timelock(self, timelock: str) -> Call:
        return self._call("setTimelock", timelock)
