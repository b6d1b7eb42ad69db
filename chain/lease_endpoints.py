"""What a lease's committee is told of its machines: where to measure, and what the provider last saw of them.

One `LeaseEndpoint` for each delivered machine, by its place in `Leases.resourcesOf`; the list as canonical
JSON is hashed into `Delivery.connectionHash` together with the sealed connection data, so that the buyer can
check that the committee measures the very machines it was given. Neither users nor keys that let in are part
of it (rules P2, P3). The format is agreed here between provider, buyer and witnesses, who may not import each
other. This module must not speak to a chain or to a gateway.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from eth_utils.crypto import keccak

from chain.connection_data import ConnectionDocument, combined_hash, fingerprint
from market.errors import InvalidInput

__all__ = [
    "GUEST_DETAIL",
    "POWER_WORDS",
    "LeaseEndpoint",
    "MachineStatus",
    "Told",
    "address_text",
    "canonical_bytes",
    "endpoints_of",
    "from_bytes",
    "from_json",
    "host_key_hash",
    "host_port",
    "shown_fingerprint",
]

GUEST_DETAIL = "guest"
"""The name in a connection's `details` of the responder's address, `host:port`; absent: there is none."""
POWER_WORDS = ("on", "off", "unknown")
_PLACES = 64
_HOST = re.compile(r"[A-Za-z0-9._:%-]{1,253}")
_KIND = re.compile(r"[a-z][a-z0-9-]{0,15}")
_FINGERPRINT = re.compile(r"SHA256:[A-Za-z0-9+/]{43}")
_FIELDS = {"place", "host", "port", "kind", "host_key", "guest"}


@dataclass(frozen=True, slots=True)
class LeaseEndpoint:
    """Where one machine is reached: `kind` of what answers (`ssh`), its `host_key` as `SHA256:...` (what
    `ssh-keygen -lf` shows), and the responder's address `host:port` as `guest` (None: it has none)."""

    place: int
    host: str
    port: int
    host_key: str
    kind: str = "ssh"
    guest: str | None = None

    def __post_init__(self) -> None:
        """InvalidInput for anything that is not exactly an endpoint."""
        whole = type(self.place) is int and type(self.port) is int
        if not whole or not 0 <= self.place < _PLACES or not 0 < self.port < 1 << 16:
            raise _malformed("place or port is out of range")
        for text, form in ((self.host, _HOST), (self.kind, _KIND), (self.host_key, _FINGERPRINT)):
            if not isinstance(text, str) or form.fullmatch(text) is None:
                raise _malformed(f"{str(text)[:40]!r} cannot stand there")
        if self.guest is not None:
            host_port(self.guest)


@dataclass(frozen=True, slots=True)
class Told:
    """What a gateway says was delivered; nothing of it is to be believed before `connection_hash` is the
    chain's. `sealed_hash`: keccak256 of the sealed connection data, which only the buyer opens."""

    sealed_hash: bytes
    endpoints: tuple[LeaseEndpoint, ...]

    @property
    def connection_hash(self) -> bytes:
        """`Delivery.connectionHash`: keccak256 of the sealed data's hash and the endpoints' hash in a row."""
        return keccak(self.sealed_hash + keccak(canonical_bytes(self.endpoints)))


@dataclass(frozen=True, slots=True)
class MachineStatus:
    """What the provider's control plane last saw of one machine: nothing is looked up for the question.

    `power` is `on`, `off` or `unknown`; `state` a word of `provisioner.plugin.State`, or `unknown`;
    `requested_off`: the buyer's last signed request that was carried out switched it off; `age`: seconds
    since the cloud said so, None if nothing is known.
    """

    place: int
    power: str
    state: str
    requested_off: bool
    age: int | None

    @classmethod
    def from_json(cls, raw: object) -> MachineStatus:
        """From a gateway's answer; InvalidInput if it is malformed."""
        if not isinstance(raw, dict):
            raise _malformed("a status is a JSON object")
        place, power, age = raw.get("place"), raw.get("power"), raw.get("age")
        if type(place) is not int or not 0 <= place < _PLACES or power not in POWER_WORDS:
            raise _malformed("a status names a place and its power")
        if age is not None and (type(age) is not int or age < 0):
            raise _malformed("an age is a number of seconds")
        return cls(place, str(power), str(raw.get("state"))[:40], raw.get("requested_off") is True, age)


def endpoints_of(document: ConnectionDocument, resources: Sequence[int]) -> tuple[LeaseEndpoint, ...]:
    """What a committee may know of connection data; `resources` are all of the lease, in the chain's order.

    Raises InvalidInput if a machine is none of the lease's, or its address is not one.
    """
    found = []
    for item in document.resources:
        if item.resource not in resources:
            raise InvalidInput(f"node {item.resource} is none of lease {document.lease}")
        place = resources.index(item.resource)
        key, guest = shown_fingerprint(fingerprint(item.host_key)), item.details.get(GUEST_DETAIL)
        found.append(LeaseEndpoint(place, item.host, item.port, key, guest=guest))
    return tuple(sorted(found, key=lambda endpoint: endpoint.place))


def canonical_bytes(endpoints: Sequence[LeaseEndpoint]) -> bytes:
    """The same bytes for the same endpoints: JSON, by place, keys sorted, no spaces, ASCII."""
    ordered = sorted(endpoints, key=lambda endpoint: endpoint.place)
    _require_distinct(ordered)
    return json.dumps([asdict(item) for item in ordered], sort_keys=True, separators=(",", ":")).encode()


def from_bytes(raw: bytes) -> tuple[LeaseEndpoint, ...]:
    """The endpoints of canonical bytes; InvalidInput for any other spelling, too."""
    try:
        found = from_json(json.loads(raw))
    except (ValueError, RecursionError) as error:
        raise _malformed("they are not JSON") from error
    if canonical_bytes(found) != raw:
        raise _malformed("they are not in their canonical form")
    return found


def from_json(raw: object) -> tuple[LeaseEndpoint, ...]:
    """From a gateway's answer; InvalidInput for anything that is not exactly a list of endpoints by place."""
    if not isinstance(raw, list) or not all(isinstance(item, dict) and set(item) == _FIELDS for item in raw):
        raise _malformed("it is a list of objects with place, host, port, kind, host_key and guest")
    found = tuple(LeaseEndpoint(**item) for item in raw)
    _require_distinct(found)
    return found


def host_key_hash(endpoints: Sequence[LeaseEndpoint]) -> bytes:
    """What the chain holds as `Delivery.hostKey` for these endpoints."""
    digests = [base64.b64decode(item.host_key.removeprefix("SHA256:") + "=") for item in endpoints]
    return combined_hash(digests, hashlib.sha256)


def shown_fingerprint(digest: bytes) -> str:
    """The SHA-256 of a host key as people and `ssh-keygen` write it."""
    return "SHA256:" + base64.b64encode(digest).rstrip(b"=").decode()


def address_text(host: str, port: int) -> str:
    """`host:port`, an IPv6 host in brackets."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def host_port(address: str) -> tuple[str, int]:
    """Host and port of `host:port`; InvalidInput if it is not that."""
    host, _, port = str(address).rpartition(":")
    bare = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    number = int(port) if port.isascii() and port.isdecimal() and len(port) <= 5 else 0
    if not _HOST.fullmatch(bare) or not 0 < number < 1 << 16 or address_text(bare, number) != address:
        raise _malformed(f"{str(address)[:80]!r} is not host:port")
    return bare, number


def _require_distinct(endpoints: Sequence[LeaseEndpoint]) -> None:
    places = [item.place for item in endpoints]
    if places != sorted(set(places)):
        raise _malformed("each place stands there once, in order")


def _malformed(why: str) -> InvalidInput:
    return InvalidInput(f"those are not endpoints of a lease: {why}", hint="Tell the provider.")
