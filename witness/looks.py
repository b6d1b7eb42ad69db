"""One look at one machine: which probes, in which order, until its outcome is known.

A machine that answers costs one probe. One that does not is asked once more, and beside that: whether it is
alive in another way, what its provider says of it, and whether our own network works. This module must not
keep time (`witness/schedule.py`) nor what it found (`witness/log.py`); `witness/attribution.py` judges.
"""

from __future__ import annotations

import asyncio
import ipaddress
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from chain.leaves import Outcome
from witness.attribution import Evidence, Reason, attribute
from witness.probes.control import ControlSeen, control, edge
from witness.probes.guest import GuestSeen, guest
from witness.probes.http import http
from witness.probes.icmp import icmp
from witness.probes.seen import Finding, Seen
from witness.probes.ssh import banner, host_key
from witness.probes.tcp import tcp
from witness.probes.tls import tls
from witness.reach import Reach
from witness.schedule import Key
from witness.targets import Endpoint, Gateway, Kind, Target

__all__ = ["Look", "Looks", "Tokens"]

_SHARED = 5.0
"""Seconds for which what a provider's edge said is good for other machines of it."""
_MOST_ASKING = 32
"""Questions to providers' control planes at one time."""

Tokens = Callable[[Gateway, int], Awaitable[str | None]]
"""What lets us in at a provider's gateway for the status of a lease; None: nothing does just now."""


async def no_token(_gateway: Gateway, _lease: int) -> str | None:
    """For who is let in nowhere."""
    return None


@dataclass(frozen=True, slots=True)
class Look:
    """What came of it, with the guest's receipt if there is one."""

    outcome: Outcome
    reason: Reason
    detail: str
    nonce: bytes = bytes(32)
    signature: bytes = b""


class Looks:
    """Looks at machines; `witness` is the signer's address, which receipts name."""

    def __init__(
        self, witness: str, reach: Reach, *, loopback: bool = False, tokens: Tokens = no_token
    ) -> None:
        self._witness, self._reach, self._loopback, self._tokens = witness, reach, loopback, tokens
        self._suspects: set[Key] = set()
        self.shared: frozenset[str] = frozenset()
        """Addresses that stand for several machines, so that a refusal there is none of theirs."""
        self._edges: dict[str, tuple[float, asyncio.Task[Seen]]] = {}
        self._asking = 0

    async def at(self, target: Target, epoch: int, round_: int, seconds: float, *, full: bool) -> Look:
        """Look once; `seconds` is the deadline of each of two attempts. `full`: prove the host key."""
        full = full or target.key in self._suspects
        began = time.monotonic()
        if target.guest_required:
            service, receipt = await asyncio.gather(
                self._service(target.endpoint, seconds, full=full),
                self._guest(target, epoch, round_, seconds),
            )
        else:
            service, receipt = await self._service(target.endpoint, seconds, full=full), None
        wanting = target.guest_required and (receipt is None or not receipt.seen.right)
        if service.right and not wanting:
            evidence = Evidence(service, guest=receipt, guest_required=target.guest_required)
        else:
            evidence = await self._again(target, epoch, round_, seconds, service, receipt, began)
        self._suspect(target.key, evidence.service)
        found = attribute(evidence)
        signed = evidence.guest if evidence.guest is not None and evidence.guest.seen.right else None
        detail = "" if found.outcome is Outcome.UP else _told(evidence)
        if signed is None:
            return Look(found.outcome, found.reason, detail)
        return Look(found.outcome, found.reason, detail, signed.nonce, signed.signature)

    async def edge(self, gateway: Gateway, seconds: float) -> Seen:
        """Whether a provider's network edge answers; many who ask at once share one asking."""
        now = time.monotonic()
        at, asking = self._edges.get(gateway.url, (float("-inf"), None))
        if asking is None or now - at > _SHARED or asking.cancelled():
            asking = asyncio.create_task(
                edge(gateway.url, gateway.key_hash, seconds, loopback=self._loopback)
            )
            self._edges = {url: item for url, item in self._edges.items() if now - item[0] <= _SHARED}
            self._edges[gateway.url] = now, asking
        return await asyncio.shield(asking)

    async def _again(
        self,
        target: Target,
        epoch: int,
        round_: int,
        seconds: float,
        service: Seen,
        receipt: GuestSeen | None,
        began: float,
    ) -> Evidence:
        """Ask once more, and ask others; all at the same time."""
        said, far, echo, reach, again, signed = await asyncio.gather(
            self._control(target, seconds),
            self._edge_of(target, seconds),
            icmp(target.endpoint.host, seconds, loopback=self._loopback),
            self._reach.works(target.provider, began),
            self._service(target.endpoint, seconds, full=True),
            self._guest(target, epoch, round_, seconds, always=True),
        )
        if service.right or (service.answers and not again.answers):
            again = service  # what was seen once was there
        if receipt is not None and receipt.seen.right:
            signed = receipt
        return Evidence(
            again,
            own_address=not self._is_shared(target.endpoint.host),
            guest=signed,
            guest_required=target.guest_required,
            reach=reach,
            power_off=target.power_off,
            echo=echo,
            control=said,
            edge=far,
        )

    def _is_shared(self, host: str) -> bool:
        if host in self.shared or host == "localhost":
            return True
        try:
            return ipaddress.ip_address(host).is_loopback
        except ValueError:
            return False

    async def _service(self, place: Endpoint, seconds: float, *, full: bool) -> Seen:
        host, port, kind, free = place.host, place.port, place.kind, self._loopback
        if kind is Kind.SSH and full and place.host_key:
            return await host_key(host, port, seconds, expected=place.host_key, loopback=free)
        if kind is Kind.SSH:
            return await banner(host, port, seconds, loopback=free)
        if kind is Kind.TLS:
            return await tls(host, port, seconds, key=place.host_key, loopback=free)
        if kind in (Kind.HTTP, Kind.HTTPS):
            secured = kind is Kind.HTTPS
            return await http(
                host, port, seconds, path=place.path, tls=secured, key=place.host_key, loopback=free
            )
        if kind is Kind.ICMP:
            return await icmp(host, seconds, loopback=free)
        return await tcp(host, port, seconds, loopback=free)

    async def _guest(
        self, target: Target, epoch: int, round_: int, seconds: float, *, always: bool = False
    ) -> GuestSeen | None:
        """The responder's receipt, where the SLA asks for one or (`always`) it may show that the machine
        lives.
        """
        place = target.endpoint.guest
        if place is None or not (target.guest_required or (always and target.guest_address)):
            return None
        return await guest(
            *place,
            seconds,
            lease=target.lease,
            place=target.place,
            epoch=epoch,
            round_=round_,
            witness=self._witness,
            expected=target.guest_address,
            loopback=self._loopback,
        )

    async def _control(self, target: Target, seconds: float) -> ControlSeen | None:
        """What the provider says; with many machines down at once only some are asked for."""
        if target.gateway is None or self._asking >= _MOST_ASKING:
            return None
        self._asking += 1
        try:
            return await self._told_by(target, target.gateway, seconds)
        finally:
            self._asking -= 1

    async def _told_by(self, target: Target, gateway: Gateway, seconds: float) -> ControlSeen | None:
        try:
            async with asyncio.timeout(seconds):
                token = await self._tokens(gateway, target.lease)
        except Exception as error:  # noqa: BLE001  who lets nobody in is evidence, no failure of ours
            return ControlSeen(Seen(Finding.SILENT, detail=f"no token ({type(error).__name__})"))
        if token is None:
            return None
        return await control(
            gateway.url,
            gateway.key_hash,
            seconds,
            lease=target.lease,
            place=target.place,
            token=token,
            loopback=self._loopback,
        )

    async def _edge_of(self, target: Target, seconds: float) -> Seen | None:
        return None if target.gateway is None else await self.edge(target.gateway, seconds)

    def _suspect(self, key: Key, service: Seen) -> None:
        """A server that did not prove its key has to prove it each time, until it does."""
        if service.right:
            self._suspects.discard(key)
        else:
            self._suspects.add(key)


def _told(seen: Evidence) -> str:
    """The evidence in one line, for people; no addresses."""
    parts = [f"service {seen.service.finding}" + (f" ({seen.service.detail})" if seen.service.detail else "")]
    if seen.guest is not None:
        parts.append(f"guest {seen.guest.seen.finding}")
    if seen.echo is not None:
        parts.append(f"echo {seen.echo.finding}")
    if seen.control is not None:
        asked = ", at the tenant's wish as it says" if seen.control.requested_off else ""
        parts.append(f"provider says {seen.control.power}{asked}")
    if seen.edge is not None:
        parts.append(f"edge {seen.edge.finding}")
    if seen.reach is not None:
        parts.append("our network works" if seen.reach else "our network does not work")
    return "; ".join(parts)
