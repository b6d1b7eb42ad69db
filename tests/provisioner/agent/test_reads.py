"""What many leases say at one block is what each says by itself, and is forgotten with the block."""

from __future__ import annotations

import dataclasses

import pytest

from market.errors import Refused
from provisioner.agent.reads import ChainReads
from tests.provisioner.world import Buyer, Provider


def test_a_prepared_lease_is_as_if_asked_for_alone_and_never_older_than_the_block(
    provider: Provider, buyer: Buyer
) -> None:
    exchange = buyer.exchange
    lease, missing = buyer.buy(provider, 60, delay=60), 10**6
    reads, head = ChainReads(exchange), exchange.rpc.head()
    reads.prepare([lease, missing], head)
    assert reads.lease(lease, head) == exchange.leases.lease(lease, block=head.number)
    assert reads.encryption_key(buyer.org, head) == exchange.members.organisation(buyer.org).encryption_key
    assert not reads.is_settled(lease, head)
    with pytest.raises(Refused):
        reads.lease(missing, head)
    buyer.send(exchange.leases.cancel(lease))
    assert not reads.lease(lease, head).ended_at, "what a block says does not change"
    later = exchange.rpc.head()
    assert reads.lease(lease, later).ended_at
    assert reads.lease(lease, dataclasses.replace(head, hash=b"another fork")).ended_at == 0
