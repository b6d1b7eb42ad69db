"""What a provider seals for its buyer: where each machine of a lease is, and how one logs in.

Provider and buyer, who may not import each other, agree on it here. Nothing in this module speaks to a chain
or to a gateway.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from eth_utils.crypto import keccak

from market.errors import InvalidInput

__all__ = ["ConnectionDocument", "Endpoint", "combined_hash", "delivery_hash", "fingerprint"]


@dataclass(frozen=True, slots=True)
class Endpoint:
    """How to reach one resource; `host_key` is `ssh-ed25519 AAAA...` without a comment."""

    resource: int
    host: str
    port: int
    user: str
    host_key: str
    details: dict[str, str]


@dataclass(frozen=True, slots=True)
class ConnectionDocument:
    """What is sealed to the buyer: one document for all delivered resources of a lease.

    `ssh_private_key` (OpenSSH text) is there only if the buyer named no key in time: the provider made one.
    """

    lease: int
    resources: tuple[Endpoint, ...]
    ssh_private_key: str | None = None

    def to_bytes(self) -> bytes:
        """The same bytes for the same content."""
        fields = asdict(self)
        if self.ssh_private_key is None:
            del fields["ssh_private_key"]
        return json.dumps(fields, sort_keys=True, separators=(",", ":")).encode()

    @classmethod
    def from_bytes(cls, raw: bytes) -> ConnectionDocument:
        """From what was opened; InvalidInput if it is not such a document."""
        try:
            fields = json.loads(raw)
            endpoints = tuple(
                Endpoint(
                    int(item["resource"]),
                    str(item["host"]),
                    int(item["port"]),
                    str(item["user"]),
                    str(item["host_key"]),
                    {str(name): str(value) for name, value in item["details"].items()},
                )
                for item in fields["resources"]
            )
            key = fields.get("ssh_private_key")
            return cls(int(fields["lease"]), endpoints, None if key is None else str(key))
        except (ValueError, KeyError, TypeError, AttributeError, OverflowError) as error:
            raise InvalidInput("the opened data are not connection data of a lease") from error

    def host_key_hash(self) -> bytes:
        """What the chain holds as `hostKey` for these endpoints."""
        return combined_hash([fingerprint(item.host_key) for item in self.resources], hashlib.sha256)


def fingerprint(host_key: str) -> bytes:
    """SHA-256 of an SSH host key, as `ssh-keygen -lf` shows it in base64; InvalidInput if it is none."""
    try:
        return hashlib.sha256(base64.b64decode(host_key.split()[1], validate=True)).digest()
    except (IndexError, ValueError) as error:
        raise InvalidInput(
            "that is not an SSH host key", hint="It looks like: ssh-ed25519 AAAA..."
        ) from error


def combined_hash(hashes: Sequence[bytes], algorithm: Any = keccak) -> bytes:
    """One hash for several resources in the chain's order: for one, its own; else that of all in a row."""
    if len(hashes) == 1:
        return hashes[0]
    digest = algorithm(b"".join(hashes))
    return bytes(digest if isinstance(digest, bytes) else digest.digest())


def delivery_hash(connection_hash: bytes, host_key: bytes, spec_hash: bytes) -> bytes:
    """`Lease.delivery`: keccak256 of the three hashes that `LeaseDelivered` shows."""
    return keccak(connection_hash + host_key + spec_hash)
