"""What a delivery says the machines measured, beside what they were registered with: for the buyer's eyes.

The provider puts the hash of the re-measured documents on the chain with each delivery. It has to be the hash
of those that are registered; nobody but the provider can say why it is not, so the buyer is told.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from market.errors import OcxError

if TYPE_CHECKING:
    from chain.exchange import Exchange
    from chain.history import Entry

__all__ = ["Handover", "handover"]


@dataclass(frozen=True)
class Handover:
    """`agrees`: what was measured is what is registered; `text` says so for people."""

    agrees: bool
    text: str


def handover(exchange: Exchange, number: int) -> Handover | None:
    """Compare a lease's last delivery with the registrations; None if nothing is delivered yet.

    What counts is what was registered when it was delivered; a node without history says what is now.
    """
    from chain.gateway import combined_hash
    from chain.generated.events import LeaseDelivered

    entry = _last(exchange, number)
    if entry is None or not isinstance(entry.event, LeaseDelivered):
        return None
    told, everything = entry.event, exchange.leases.resources_of(number)
    nodes = [node for place, node in enumerate(everything) if told.resources >> place & 1]

    def matches(block: int | None) -> bool:
        known = exchange.inventory.many(nodes, block="latest" if block is None else block)
        return combined_hash([known[node].document_hash for node in nodes if node in known]) == told.spec_hash

    def matched_then() -> bool:
        try:
            return matches(entry.block)
        except OcxError:  # a node that keeps no history
            return False

    if matches(None):
        return Handover(True, "agrees with what was registered")
    if matched_then():
        return Handover(True, "agreed with what was registered at the delivery; registered anew since")
    return Handover(
        False,
        "DIFFERS from what was registered; unless the provider explains it: "
        f"ocx lease reject {number} --reason measured",
    )


def _last(exchange: Exchange, number: int) -> Entry | None:
    from chain.generated.events import LeaseDelivered
    from chain.history import history

    found = history(exchange, [exchange.leases], "lease", number, kinds=[LeaseDelivered])
    return found[-1] if found else None
