"""What a provider says of its own machine, and whether its network edge answers at all.

Both through its gateway, over TLS with the key pinned in `Members`, and read-only. A provider's word shifts
no blame by itself: it is evidence for people, and its edge shows where a path ends.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from urllib.parse import urlsplit

from witness.probes.http import fetch
from witness.probes.seen import Knock, Seen, WrongAnswer, knock, printable
from witness.probes.tls import fingerprint

__all__ = ["ControlSeen", "control", "edge"]

_POWERS = ("on", "off", "unknown")


@dataclass(frozen=True, slots=True)
class ControlSeen:
    """`power`: on, off or unknown, as the provider says; `requested_off`: it says the tenant wished so."""

    seen: Seen
    power: str = "unknown"
    requested_off: bool = False


async def control(
    url: str,
    key_hash: bytes,
    seconds: float,
    *,
    lease: int,
    place: int,
    token: str | None = None,
    loopback: bool = False,
) -> ControlSeen:
    """`GET /v1/leases/N/status`; right if it tells the machine's power. `token`: what the gateway let us in
    with.
    """
    found: dict[str, object] = {}

    async def work(noted: Knock) -> str:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        host, port, base = _place(url)
        path = f"{base}/v1/leases/{lease}/status"
        answer = await fetch(
            noted, host, port, path, key=fingerprint(key_hash), headers=headers, loopback=loopback
        )
        if answer.status != 200:
            raise WrongAnswer(f"status {answer.status}")
        machine = _machine(json.loads(answer.body), place)
        found.update(power=machine["power"], off=machine.get("requested_off") is True)
        return f"says {found['power']}"

    seen = await knock(seconds, work)
    return ControlSeen(seen, str(found["power"]), bool(found["off"])) if seen.right else ControlSeen(seen)


async def edge(url: str, key_hash: bytes | None, seconds: float, *, loopback: bool = False) -> Seen:
    """`GET /healthz`: any answer below 500 by whoever holds the pinned key (None: any key)."""

    async def work(noted: Knock) -> str:
        host, port, base = _place(url)
        key = fingerprint(key_hash) if key_hash else None
        answer = await fetch(noted, host, port, f"{base}/healthz", key=key, loopback=loopback)
        if answer.status >= 500:
            raise WrongAnswer(f"status {answer.status}")
        return f"status {answer.status}"

    return await knock(seconds, work)


def _place(url: str) -> tuple[str, int, str]:
    """Host, port and path of a gateway's URL."""
    parts = urlsplit(url)
    if parts.scheme != "https" or not parts.hostname:
        raise WrongAnswer(f"no gateway's URL: {printable(url)}")
    return parts.hostname, parts.port or 443, parts.path.rstrip("/")


def _machine(document: object, place: int) -> dict[str, object]:
    """What the status says of one machine: a list by place, or a mapping with `places`."""
    rows = document.get("places") if isinstance(document, dict) else document
    for row in rows if isinstance(rows, list) else []:
        if isinstance(row, dict) and row.get("place") == place and row.get("power") in _POWERS:
            return row
    raise WrongAnswer("says nothing of the machine")
