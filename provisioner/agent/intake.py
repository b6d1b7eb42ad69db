"""Whose agent this is, and what happened to its leases since it last looked: the chain's events.

Only rows are written; what they mean for a lease is read again from the chain. Nothing is sent or decided.
"""

from __future__ import annotations

import logging

from chain.events import EventReader
from chain.exchange import Exchange
from chain.wire import Block
from market.errors import Temporary
from provisioner.agent.index import Index
from provisioner.store.store import Store

__all__ = ["Intake"]

log = logging.getLogger(__name__)


class Intake:
    """The events of one agent; `org` is 0 until the chain could be read once."""

    def __init__(self, exchange: Exchange, store: Store, me: str) -> None:
        self._exchange, self._store, self._me = exchange, store, me
        self._parts: tuple[EventReader, Index] | None = None
        self.org = 0

    def open(self, head: Block) -> bool:
        """Learn whose agent this is; True the one time it is learned. Temporary if it is nobody's yet."""
        if self._parts is not None:
            return False
        exchange = self._exchange
        member = exchange.members.member(self._me)
        if member.org == 0:
            raise Temporary(
                f"the account {self._me} is no member of any organisation",
                hint="Its admin must add it: ocx member set ADDRESS --rights offer,sign,deliver,release",
                retry_after=5.0,
            )
        name = f"agent-{exchange.leases.address[2:10]}-{self._me[2:10]}".lower()
        told = [*exchange.leases.addresses, *exchange.book.addresses, *exchange.tender.addresses]
        reader = EventReader(exchange.rpc, self._store.db, told, name)
        self._parts = reader, Index(member.org, exchange.leases.addresses)
        self.org = member.org
        log.info("agent of organisation %d as %s at block %d", member.org, self._me, head.number)
        return True

    def read(self, head: Block) -> tuple[Block, set[int]]:
        """Read what happened: the block to look at, no older than what was read, and the leases concerned."""
        if self._parts is None:
            return head, set()
        reader, index = self._parts
        reader.poll(index.handle, index.rewind, head=head)
        touched, index.touched = index.touched, set()
        position = reader.position()
        return (head if position <= head.number else self._exchange.rpc.block(position)), touched
