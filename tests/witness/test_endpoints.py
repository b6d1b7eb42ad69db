"""Endpoints count only if they are what was delivered."""

from __future__ import annotations

from dataclasses import replace

import pytest

from chain.connection_data import delivery_hash
from chain.lease_endpoints import LeaseEndpoint, Told, host_key_hash
from market.errors import Permanent
from witness.endpoints import checked
from witness.index import Delivered

KEY = "SHA256:" + "A" * 42 + "E"
TOLD = Told(b"s" * 32, (LeaseEndpoint(0, "192.0.2.7", 22, KEY),))
DELIVERED = Delivered(1, TOLD.connection_hash, host_key_hash(TOLD.endpoints), b"m" * 32)
DELIVERY = delivery_hash(DELIVERED.connection_hash, DELIVERED.host_key, DELIVERED.spec_hash)


def test_what_hashes_to_the_delivery_is_taken() -> None:
    assert checked(TOLD, DELIVERY, DELIVERED) == TOLD.endpoints


def test_a_gateway_cannot_send_one_witness_elsewhere() -> None:
    elsewhere = Told(TOLD.sealed_hash, (LeaseEndpoint(0, "192.0.2.8", 22, KEY),))
    with pytest.raises(Permanent, match="other endpoints than were delivered"):
        checked(elsewhere, DELIVERY, DELIVERED)


def test_host_keys_must_be_the_delivered_ones() -> None:
    other = replace(DELIVERED, host_key=b"h" * 32)
    delivery = delivery_hash(other.connection_hash, other.host_key, other.spec_hash)
    with pytest.raises(Permanent, match="host keys"):
        checked(TOLD, delivery, other)


def test_an_older_event_does_not_vouch_for_a_newer_delivery() -> None:
    with pytest.raises(Permanent, match="not the one the lease holds"):
        checked(TOLD, b"x" * 32, DELIVERED)
