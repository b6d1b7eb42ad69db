"""What the engine is told to measure, and whom to ask whether our own network works.

From duties and endpoints to targets; nothing is measured and nothing sent here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from urllib.parse import urlsplit

from chain.exchange import Exchange
from chain.lease_endpoints import LeaseEndpoint, host_port
from chain.wire import Block
from witness.duties import Duty, Watched
from witness.targets import Endpoint, Gateway, Kind, Reference, Target

__all__ = ["Aims"]

_MOST_ORGS = 500
"""Organisations whose gateways are looked up as references."""


class Aims:
    """Makes targets for one node; for one thread. `endpoints` gives a lease's (None: unknown)."""

    def __init__(
        self, exchange: Exchange, endpoints: Callable[[Watched], tuple[LeaseEndpoint, ...] | None]
    ) -> None:
        self._exchange, self._endpoints = exchange, endpoints
        self._gateways: dict[int, Gateway] = {}

    def targets(self, duties: Sequence[Duty], leases: Mapping[int, Watched], now: int) -> list[Target]:
        """A target for every duty whose endpoint is known."""
        found, known = [], {}
        for duty in duties:
            watched = leases[duty.lease]
            if duty.lease not in known:
                known[duty.lease] = {item.place: item for item in self._endpoints(watched) or ()}
            item = known[duty.lease].get(duty.place)
            if item is not None:
                found.append(self._target(duty, watched, item, now))
        return found

    def references(self, head: Block, named: Sequence[str]) -> list[Reference]:
        """The chain's endpoints, all organisations' gateways, and what the operator named (`host:port`)."""
        self._gateways.clear()
        members, rpc_urls = self._exchange.members, self._exchange.connection.rpc_urls
        found = [_reference(url) for url in (*(f"//{text}" for text in named), *rpc_urls)]
        count = min(_MOST_ORGS, members.count(block=head.number))
        orgs = members.many(list(range(1, count + 1)), block=head.number)
        found += [_reference(item.gateway_url, org) for org, item in orgs.items() if item.gateway_url]
        return [item for item in found if item is not None]

    def _target(self, duty: Duty, watched: Watched, item: LeaseEndpoint, now: int) -> Target:
        guest = watched.guests[duty.place] if duty.place < len(watched.guests) else ""
        address = bytes.fromhex(guest.removeprefix("0x"))
        where = None if item.guest is None else host_port(item.guest)
        return Target(
            lease=duty.lease,
            place=duty.place,
            provider=watched.record.provider,
            endpoint=Endpoint(item.host, item.port, _kind(item.kind), item.host_key, guest=where),
            start=duty.start,
            end=duty.end,
            guest_address=address if any(address) else None,
            guest_required=watched.guest_required,
            gateway=self._gateway(watched.record.provider),
            power_off=any(start <= now and (now < until or not until) for start, until in watched.suspended),
        )

    def _gateway(self, provider: int) -> Gateway | None:
        if provider not in self._gateways:
            org = self._exchange.members.organisation(provider)
            if not org.gateway_url:
                return None
            self._gateways[provider] = Gateway(org.gateway_url, org.gateway_key_hash)
        return self._gateways[provider]


def _kind(word: str) -> Kind:
    """How to ask; what we cannot ask was never seen to hold its key, so it is asked as the rest are."""
    try:
        return Kind(word)
    except ValueError:
        return Kind.SSH


def _reference(url: str, org: int = 0) -> Reference | None:
    """Where a URL leads; None if it names no host, or no port that there is."""
    parts = urlsplit(url)
    try:
        port = parts.port or {"http": 80}.get(parts.scheme, 443)
    except ValueError:
        return None
    return Reference(parts.hostname, port, org) if parts.hostname else None
