"""What a committee is told: one spelling, one hash, and nothing that is not an address."""

from __future__ import annotations

import base64
import json
from dataclasses import replace

import pytest
from eth_utils.crypto import keccak

from chain.connection_data import ConnectionDocument, Endpoint
from chain.lease_endpoints import (
    LeaseEndpoint,
    MachineStatus,
    Told,
    address_text,
    canonical_bytes,
    endpoints_of,
    from_bytes,
    from_json,
    host_key_hash,
    host_port,
)
from market.errors import InvalidInput

KEYS = [
    "ssh-ed25519 " + base64.b64encode(b"\0\0\0\x0bssh-ed25519\0\0\0 " + bytes([n]) * 32).decode()
    for n in range(2)
]
DOCUMENT = ConnectionDocument(
    7,
    (
        Endpoint(12, "10.0.0.2", 22, "root", KEYS[1], {"http": "http://10.0.0.2/", "guest": "10.0.0.2:8022"}),
        Endpoint(11, "10.0.0.1", 22, "root", KEYS[0], {}),
    ),
    "a private key",
)
TOLD = endpoints_of(DOCUMENT, [10, 11, 12])


def test_the_committee_learns_addresses_by_place_and_neither_users_nor_keys() -> None:
    assert [(item.place, item.host, item.guest) for item in TOLD] == [
        (1, "10.0.0.1", None),
        (2, "10.0.0.2", "10.0.0.2:8022"),
    ]
    raw = canonical_bytes(TOLD)
    assert b"root" not in raw and b"private" not in raw and b"http:" not in raw
    assert raw == canonical_bytes(tuple(reversed(TOLD))) and from_bytes(raw) == TOLD


def test_the_bytes_of_a_list_are_these() -> None:
    one = LeaseEndpoint(0, "h", 22, "SHA256:" + "A" * 43)
    text = '[{"guest":null,"host":"h","host_key":"SHA256:%s","kind":"ssh","place":0,"port":22}]' % ("A" * 43)
    assert canonical_bytes([one]) == text.encode()
    digest = keccak(b"\1" * 32 + keccak(text=text))
    assert Told(b"\1" * 32, (one,)).connection_hash == digest


def test_the_host_keys_are_those_on_the_chain() -> None:
    straight = replace(DOCUMENT, resources=tuple(reversed(DOCUMENT.resources)))
    assert host_key_hash(TOLD) == straight.host_key_hash()
    assert host_key_hash(TOLD[:1]) == ConnectionDocument(7, DOCUMENT.resources[1:]).host_key_hash()


def test_a_machine_that_is_none_of_the_leases_is_not_told() -> None:
    with pytest.raises(InvalidInput, match="node 12"):
        endpoints_of(DOCUMENT, [10, 11])


@pytest.mark.parametrize(
    "change",
    [
        {"place": 64},
        {"place": True},
        {"port": 0},
        {"port": "22"},
        {"host": "a host"},
        {"host": "-oProxy\n"},
        {"host_key": "SHA256:short"},
        {"kind": "SSH"},
        {"guest": "10.0.0.1"},
        {"guest": "10.0.0.1:08022"},
        {"guest": "::1:22"},
        {"more": 1},
    ],
)
def test_what_is_no_endpoint_is_refused(change: dict[str, object]) -> None:
    good = json.loads(canonical_bytes(TOLD))[:1]
    assert from_json(good) == TOLD[:1]
    with pytest.raises(InvalidInput, match="not endpoints"):
        from_json([good[0] | change])


@pytest.mark.parametrize(
    "spoil", [lambda raw: raw + b" ", lambda raw: b"{" + raw, lambda raw: b"[" * 100_000]
)
def test_another_spelling_is_refused(spoil: object) -> None:
    with pytest.raises(InvalidInput, match="not endpoints"):
        from_bytes(spoil(canonical_bytes(TOLD)))  # type: ignore[operator]
    with pytest.raises(InvalidInput, match="in order"):
        from_json(list(reversed(json.loads(canonical_bytes(TOLD)))))


def test_addresses_of_both_families_are_written_and_read() -> None:
    for host, text in (
        ("10.0.0.1", "10.0.0.1:8022"),
        ("fd00::1", "[fd00::1]:8022"),
        ("a.example", "a.example:8022"),
    ):
        assert address_text(host, 8022) == text and host_port(text) == (host, 8022)


def test_a_status_is_read_with_care() -> None:
    told = {"place": 1, "power": "off", "state": "ready", "requested_off": True, "age": 3}
    assert MachineStatus.from_json(told) == MachineStatus(1, "off", "ready", True, 3)
    for change in ({"power": "maybe"}, {"place": -1}, {"age": "3"}):
        with pytest.raises(InvalidInput):
            MachineStatus.from_json(told | change)
