"""A new generation of the contracts beside the old one: deploy it, then let the time lock put it in force.

What began under the old rules ends under them: its leases are delivered, judged, paid and wiped by the
contracts that opened them. From the moment the time lock has spoken, the old ones begin nothing new.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from chain.contracts.base import Call
from chain.contracts.timelock import Timelock
from chain.deploy import GRANTS, Deployment, DeployParams, Founding
from chain.exchange import Exchange
from market.errors import InvalidInput

__all__ = ["Upgrade", "deploy_next", "next_base"]

_SHARED: Final = ("Directory", "TimelockController", "Council", "Members", "Credits", "Escrow", "Inventory")
_ENTRANCES: Final = (
    ("Book", "awards.open"),
    ("SealedTender", "book.record"),
    ("EnglishAuction", "book.freeze"),
    ("Orders", "awards.open"),
)
"""Rights by which business begins; a tender, or an auction with a bid, keeps what it needs for its award."""

_STRIDE: Final = 1_000_000
"""Numbers of a generation begin at a multiple of it."""


@dataclass(frozen=True)
class Upgrade:
    """A generation that is deployed, and not yet in force: its record, and what the time lock has to do."""

    generation: int
    base: int
    record: Deployment
    calls: tuple[Call, ...]

    def next_step(self, exchange: Exchange) -> tuple[str, Call]:
        """`announced` or `done`, and the transaction for it; see `Timelock.next_step`."""
        lock = Timelock(exchange.directory.timelock(), exchange.rpc)
        return lock.next_step_of_all(self.calls, f"generation {self.generation}")


def next_base(exchange: Exchange) -> int:
    """Where the numbers of the next generation begin, less 1."""
    last = max(exchange.leases.count(), exchange.book.offer_count(), exchange.book.request_count())
    if exchange.english is not None:
        last = max(last, exchange.english.count())
    return (last // _STRIDE + 1) * _STRIDE


def deploy_next(
    exchange: Exchange, params: DeployParams, *, progress: Callable[[str], None] = lambda step: None
) -> Upgrade:
    """Deploy the next generation with the wallet; run again with the same sender to go on.

    InvalidInput where the parameters contradict what all generations share.
    """
    if params.slot != exchange.slot:
        raise InvalidInput(
            f"slots have {exchange.slot} s in every generation, not {params.slot}",
            hint="the calendar is shared",
        )
    directory = exchange.directory
    number = exchange.generations + 1
    founding = Founding(
        exchange.rpc, exchange.sender, params, directory.council(), progress, stem=f"generation-{number}"
    )
    places = founding.record.addresses
    places["Directory"], places["TimelockController"] = directory.address, directory.timelock()
    places |= {name: directory.latest(name) for name in directory.names() if name in _SHARED}
    base = next_base(exchange)
    founding.create_generation(base)
    fresh = {name: place for name, place in places.items() if name not in _SHARED}
    calls = [directory.publish(name, place) for name, place in fresh.items()]
    calls += [directory.set_right(fresh[name], right, True) for name, right in GRANTS if name in fresh]
    known = set(directory.names())
    calls += [
        directory.set_right(directory.latest(name), right, False)
        for name, right in _ENTRANCES
        if name in known
    ]
    founding.record.directory_code_hash = exchange.connection.directory_code_hash
    return Upgrade(number, base, founding.record, tuple(calls))
