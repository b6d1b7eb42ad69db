"""What happened to one thing: every event that names it, with time and transaction, from the chain.

For people who ask about one offer, tender or lease. Programs that follow everything use `chain.events`; this
keeps nothing and starts at block 0 each time, filtered by the node.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from chain.codec import Event
from chain.contracts.base import Contract
from chain.generated import events
from chain.rpc import RpcRefused
from chain.wire import Log

if TYPE_CHECKING:
    from chain.exchange import Exchange

__all__ = ["Entry", "history", "topic"]

_MOST_VALUES = 200
"""Values that a node is asked for at once."""


@dataclass(frozen=True)
class Entry:
    """One event: what happened, at which contract, when (unix seconds), and by which transaction."""

    event: Event
    address: str
    block: int
    time: int
    tx_hash: bytes
    log_index: int


def topic(value: int | bytes) -> bytes:
    """An indexed argument as it stands in a log."""
    return value if isinstance(value, bytes) else value.to_bytes(32, "big")


def history(
    exchange: Exchange,
    contracts: Sequence[Contract],
    field: str,
    value: int | bytes | list[int] | list[bytes],
    *,
    kinds: Iterable[type[Event]] | None = None,
) -> list[Entry]:
    """The events of `contracts` whose indexed argument `field` is `value`, oldest first.

    With a list of values: is one of them. `kinds` narrows it to some events; else all that have such an
    argument are looked for.
    """
    names = {contract.NAME for contract in contracts}
    wanted = list(events.REGISTRY.values()) if kinds is None else list(kinds)
    places: dict[int, list[bytes]] = {}
    for kind in wanted:
        place = _place(kind, field)
        if place is not None and names & set(kind.CONTRACTS):
            places.setdefault(place, []).append(kind.TOPIC)
    addresses = [address for contract in contracts for address in contract.addresses]
    logs: list[Log] = []
    values = [topic(item) for item in value] if isinstance(value, list) else [topic(value)]
    if not values:
        return []
    head = exchange.rpc.head().number
    for place, topics in sorted(places.items()):
        for first in range(0, len(values), _MOST_VALUES):
            chosen = values[first : first + _MOST_VALUES]
            filters: list[bytes | Sequence[bytes] | None] = [topics, *[None] * (place - 1), chosen]
            logs += _logs(exchange, addresses, 0, head, filters)
    logs.sort(key=lambda log: (log.block_number, log.log_index))
    return [entry for entry in (_entry(exchange, log) for log in logs) if entry is not None]


def _place(kind: type[Event], field: str) -> int | None:
    """Which topic of the event holds the argument, counted from 1."""
    indexed = [item.name for item in kind.PARAMETERS if item.indexed]
    return indexed.index(field) + 1 if field in indexed else None


def _logs(
    exchange: Exchange,
    addresses: Sequence[str],
    first: int,
    last: int,
    filters: Sequence[bytes | Sequence[bytes] | None],
) -> list[Log]:
    """Logs of a range; halved where the node finds it too much."""
    try:
        return exchange.rpc.get_logs(addresses, first, last, filters)
    except RpcRefused:
        if last - first < 16:
            raise
        middle = (first + last) // 2
        return [
            *_logs(exchange, addresses, first, middle, filters),
            *_logs(exchange, addresses, middle + 1, last, filters),
        ]


def _entry(exchange: Exchange, log: Log) -> Entry | None:
    event = events.decode(log.topics, log.data)
    if event is None:
        return None
    time = log.block_time
    if time is None:
        time = exchange.rpc.block_time(log.block_number, log.block_hash)
    return Entry(event, log.address, log.block_number, time, log.tx_hash, log.log_index)
