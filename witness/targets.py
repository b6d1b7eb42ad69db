"""What is measured: one machine of one lease, where it answers, and what counts as a right answer.

Made by `witness/duties.py` from the chain and the gateways, consumed by `witness/measure.py`. Data only.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

__all__ = ["Endpoint", "Gateway", "Kind", "Reference", "Target"]


class Kind(StrEnum):
    """How a service is asked whether it is there."""

    TCP = "tcp"
    """It accepts a connection."""
    SSH = "ssh"
    """It shows an SSH banner, and in some rounds proves that it holds the host key."""
    TLS = "tls"
    """It completes a TLS handshake (with the pinned key, if `Endpoint.host_key` names one)."""
    HTTP = "http"
    """It answers `GET path` with a status below 500."""
    HTTPS = "https"
    """The same over TLS."""
    ICMP = "icmp"
    """It answers an echo request; where this process may send none, it cannot tell."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where a machine's service answers.

    `host_key`: for SSH `SHA256:<base64>` as OpenSSH prints it, for TLS and HTTPS `SHA256:<base64>` of the
    public key (SPKI); None: any key will do. `guest`: host and port of the responder in the machine; None: it
    has none.
    """

    host: str
    port: int
    kind: Kind = Kind.SSH
    host_key: str | None = None
    path: str = "/"
    guest: tuple[str, int] | None = None


@dataclass(frozen=True, slots=True)
class Gateway:
    """A provider's gateway: its URL and the SHA-256 of its TLS key (SPKI), as registered in `Members`."""

    url: str
    key_hash: bytes


@dataclass(frozen=True, slots=True)
class Reference:
    """Somebody whose answer shows that our own network works; `org`: whose it is, 0: of no provider."""

    host: str
    port: int
    org: int = 0


@dataclass(frozen=True, slots=True)
class Target:
    """One machine.

    It is measured in the rounds that lie entirely in `[start, end)` (unix seconds). `guest_address`: the 20
    bytes its responder signs with (`DeliveryProven`), None if not known. `guest_required`: the SLA asks for
    its receipts. `power_off`: the chain holds the buyer's signed wish that it be off now; a provider's word
    is not enough.
    """

    lease: int
    place: int
    provider: int
    endpoint: Endpoint
    start: int
    end: int
    guest_address: bytes | None = None
    guest_required: bool = False
    gateway: Gateway | None = None
    power_off: bool = False

    @property
    def key(self) -> tuple[int, int]:
        """What names it: lease and place."""
        return self.lease, self.place
