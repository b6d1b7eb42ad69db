"""The gateway's calls about a running machine: power requests and consoles, from the buyer's members alone.

A power request counts only if it is signed by the account that asks, is newer than every one before it, was
signed just now by the agent's clock, and is for a lease that is delivered and not over. It is written down
before the answer leaves, and carried out by the agent (`provisioner.agent.asks`); the same request is never
taken twice. A console's access is served sealed to the buyer's organisation.

This module must not touch a cloud, and must not log bodies or signatures.
"""

from __future__ import annotations

import base64
from collections.abc import Awaitable, Callable
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from chain.contracts.leases import Lease
from chain.exchange import Exchange
from chain.generated.enums import LeaseState
from chain.power import Action, PowerRequest, recover
from market.errors import InvalidInput, Permanent, Refused
from provisioner.agent.asks import Asks
from provisioner.gateway.http import Caller, Denied, guarded, read_body
from provisioner.store.asks import CONSOLE, POWER, Ask

__all__ = ["MOST_PER_HOUR", "REBOOT_PAUSE", "SKEW", "AskDesk"]

SKEW = 120
"""Seconds by which the time in a power request may differ from the agent's clock."""
REBOOT_PAUSE = 10.0
"""Seconds between two reboots of a lease."""
MOST_PER_HOUR = 60
"""Asks of one kind that a lease may make in an hour."""
_LIVE = (LeaseState.DELIVERED, LeaseState.ACTIVE)
_EARLY = (LeaseState.AWARDED, LeaseState.SIGNED)
_CANNOT = {POWER: "cannot switch its power", CONSOLE: "cannot open its console"}


class AskDesk:
    """Takes asks and tells what became of them. `of_caller` says who asks about which lease, or raises."""

    def __init__(
        self,
        exchange: Exchange,
        asks: Asks,
        of_caller: Callable[[Request], Awaitable[Caller]],
        *,
        clock: Callable[[], float],
    ) -> None:
        self._exchange, self._asks, self._of_caller = exchange, asks, of_caller
        self._kept, self._clock = asks.kept, clock

    def routes(self) -> list[Route]:
        """The calls: hand in and look at power requests, ask for a console and fetch it."""
        lease = "/v1/leases/{lease}"
        return [
            Route(f"{lease}/power", guarded(self._power), methods=["GET", "POST"]),
            Route(f"{lease}/console", guarded(self._ask_console), methods=["POST"]),
            Route(f"{lease}/console/{{resource}}", guarded(self._console)),
        ]

    async def _power(self, request: Request) -> Response:
        caller = await self._of_caller(request)
        if request.method == "POST":
            body = await read_body(request)
            await run_in_threadpool(self._take_power, caller, body)
        return JSONResponse(await run_in_threadpool(self._power_told, caller.lease_id))

    async def _ask_console(self, request: Request) -> Response:
        caller = await self._of_caller(request)
        body = await read_body(request)
        resource = await run_in_threadpool(self._take_console, caller, body)
        return JSONResponse(await run_in_threadpool(self._console_told, caller.lease_id, resource))

    async def _console(self, request: Request) -> Response:
        caller = await self._of_caller(request)
        text = str(request.path_params["resource"])
        if not (text.isascii() and text.isdecimal() and len(text) <= 10):
            raise Denied(404, "there is no such call")
        return JSONResponse(await run_in_threadpool(self._console_told, caller.lease_id, int(text)))

    # ---- taking ----------------------------------------------------------------------------------------

    def _take_power(self, caller: Caller, body: dict[str, Any]) -> None:
        wanted, signature = _read_power(body)
        now = self._clock()
        contract = self._exchange.leases.address_of(caller.lease_id)
        self._require_signed(caller, wanted, signature, contract, now)
        resources = self._delivered(caller)
        self._require_capable(caller.lease_id, resources, POWER)
        ask = Ask(
            lease=caller.lease_id,
            kind=POWER,
            resource=0,
            action=wanted.action.name.lower(),
            account=caller.account,
            at=now,
            wanted=resources,
            contract=contract,
            nonce=wanted.nonce,
            time=wanted.time,
            signature=signature,
        )
        with self._kept.store.transaction():
            self._require_new(wanted)
            self._require_pause(wanted.lease, now, reboot=wanted.action is Action.REBOOT)
            self._kept.add(ask)
        self._asks.nudge(caller.lease_id)

    def _take_console(self, caller: Caller, body: dict[str, Any]) -> int:
        resource, action = body.get("resource"), body.get("action")
        if set(body) - {"resource", "action"} or type(resource) is not int or action not in ("open", "close"):
            raise InvalidInput("the body must name a resource and the action open or close")
        if resource not in self._delivered(caller):
            raise Denied(409, f"node {resource} is not one that was delivered in lease {caller.lease_id}")
        self._require_capable(caller.lease_id, (resource,), CONSOLE)
        now = self._clock()
        ask = Ask(
            lease=caller.lease_id,
            kind=CONSOLE,
            resource=resource,
            action=action,
            account=caller.account,
            at=now,
            wanted=(resource,),
        )
        with self._kept.store.transaction():
            self._require_few(caller.lease_id, CONSOLE, now)
            self._kept.add(ask)
        self._asks.nudge(caller.lease_id)
        return resource

    def _require_signed(
        self, caller: Caller, wanted: PowerRequest, signature: bytes, contract: str, now: float
    ) -> None:
        if wanted.lease != caller.lease_id:
            raise Denied(403, f"the power request is for lease {wanted.lease}, not {caller.lease_id}")
        if abs(now - wanted.time) > SKEW:
            raise Denied(
                409,
                f"the power request was signed {now - wanted.time:+.0f} s ago by the provider's clock",
                f"Sign a new one; the clocks may differ by {SKEW} s.",
            )
        try:
            signer = recover(wanted, signature, self._exchange.connection.chain_id, contract)
        except Refused as error:
            raise Denied(403, error.message, error.hint) from error
        if signer != caller.account:
            raise Denied(
                403,
                f"the power request is not signed by {caller.account}",
                "Sign it with that account's wallet, for this network and this lease.",
            )

    def _require_new(self, wanted: PowerRequest) -> None:
        """The nonce grows. It may not run ahead of the clock, or nobody could ask anything after it."""
        last = self._kept.last_nonce(wanted.lease)
        if wanted.nonce <= last:
            raise Denied(
                409,
                f"the nonce {wanted.nonce} is not larger than that of the last power request, {last}",
                "Sign a new request with a larger one.",
            )
        if wanted.nonce > (self._clock() + SKEW) * 1000:
            raise Denied(409, "the nonce is too large", "Take the unix time in milliseconds.")

    def _require_pause(self, lease: int, now: float, *, reboot: bool) -> None:
        self._require_few(lease, POWER, now)
        if reboot and self._kept.count_since(lease, POWER, now - REBOOT_PAUSE, Action.REBOOT.name.lower()):
            raise Denied(429, f"lease {lease} was rebooted within {REBOOT_PAUSE:.0f} s", "Wait a little.")

    def _require_few(self, lease: int, kind: str, now: float) -> None:
        if self._kept.count_since(lease, kind, now - 3600) >= MOST_PER_HOUR:
            raise Denied(429, f"lease {lease} made {MOST_PER_HOUR} {kind} requests in an hour", "Wait.")

    def _delivered(self, caller: Caller) -> tuple[int, ...]:
        """The resources that were delivered, of a lease that is not over."""
        state = self._exchange.leases.state_of(caller.lease_id)
        if state in _EARLY:
            raise Denied(425, f"lease {caller.lease_id} is not delivered yet", "Try again once it is.")
        if state not in _LIVE:
            raise Denied(409, f"lease {caller.lease_id} is {state.name.lower()}", "Its machines are gone.")
        return _delivered(caller.lease, self._exchange.leases.resources_of(caller.lease_id))

    def _require_capable(self, lease: int, resources: tuple[int, ...], kind: str) -> None:
        for resource in resources:
            try:
                plugin = self._asks.cannot(lease, resource, kind)
            except Permanent as error:
                raise Denied(501, error.message, error.hint) from error
            if plugin is not None:
                raise Denied(
                    501,
                    f"node {resource} is run by the plugin {plugin}, which {_CANNOT[kind]}",
                    "Ask the provider.",
                )

    # ---- telling ---------------------------------------------------------------------------------------

    def _power_told(self, lease: int) -> dict[str, Any]:
        newest = self._kept.newest(lease, POWER)
        return {
            "lease": lease,
            "nonce": self._kept.last_nonce(lease),
            "request": None if newest is None else _told(newest),
        }

    def _console_told(self, lease: int, resource: int) -> dict[str, Any]:
        newest = self._kept.newest(lease, CONSOLE, resource)
        sealed = self._kept.sealed(lease, resource)
        return {
            "lease": lease,
            "resource": resource,
            "request": None if newest is None else _told(newest),
            "sealed": None if sealed is None else base64.b64encode(sealed).decode(),
        }


def _read_power(body: dict[str, Any]) -> tuple[PowerRequest, bytes]:
    unknown = set(body) - {"lease", "action", "nonce", "time", "signature"}
    if unknown:
        raise InvalidInput(f"a power request has no field {', '.join(sorted(map(str, unknown)))[:100]}")
    try:
        signature = bytes.fromhex(str(body["signature"]).removeprefix("0x"))
    except (KeyError, ValueError) as error:
        raise InvalidInput("a power request carries its signature in hex") from error
    return PowerRequest.from_json(body), signature


def _delivered(lease: Lease, resources: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(resource for place, resource in enumerate(resources) if lease.delivered >> place & 1)


def _told(ask: Ask) -> dict[str, Any]:
    """What a buyer's members see of an ask."""
    shown: dict[str, Any] = {
        "id": ask.id,
        "action": ask.action,
        "account": ask.account,
        "state": ask.state,
        "detail": ask.detail,
        "asked_at": int(ask.at),
        "ended_at": None if ask.ended is None else int(ask.ended),
        "resources": list(ask.wanted),
        "done": list(ask.done),
    }
    return shown | ({} if ask.nonce is None else {"nonce": ask.nonce, "time": ask.time})
