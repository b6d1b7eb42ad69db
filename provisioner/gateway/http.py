"""What all calls of the gateway share: who asks about which lease, bounded bodies, errors as JSON.

Nothing here knows what any single call is for, and nothing logs a body, a token or a key.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from chain.contracts.leases import Lease
from market.errors import InvalidInput, OcxError, Refused, Temporary

__all__ = ["Caller", "Denied", "Handler", "guarded", "lease_number", "not_found", "read_body"]

log = logging.getLogger(__name__)

_MOST_BODY = 16 * 1024

Handler = Callable[[Request], Awaitable[Response]]


class Denied(Refused):
    """A "no" with an HTTP status of its own."""

    def __init__(self, status: int, message: str, hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.status = status


@dataclass(frozen=True, slots=True)
class Caller:
    """An account that may buy for the buyer of a lease, and that lease as the chain has it now."""

    account: str
    lease_id: int
    lease: Lease


def lease_number(request: Request) -> int:
    """The lease a path names; 404 if that is no number."""
    number = str(request.path_params["lease"])
    if not (number.isascii() and number.isdecimal() and len(number) <= 100):
        raise Denied(404, "there is no such call")
    return int(number)


async def read_body(request: Request) -> dict[str, Any]:
    """The JSON object of a request, never more than the limit of it in memory."""
    raw = b""
    async for part in request.stream():
        raw += part
        if len(raw) > _MOST_BODY:
            raise Denied(413, f"the body is larger than {_MOST_BODY} bytes")
    try:
        body = json.loads(raw)
    except (ValueError, RecursionError) as error:
        raise InvalidInput("the body is not JSON") from error
    if not isinstance(body, dict):
        raise InvalidInput("the body must be a JSON object")
    return body


def guarded(handler: Handler) -> Handler:
    """Every error as JSON; what is not the caller's doing says nothing of our insides."""

    async def answer(request: Request) -> Response:
        try:
            return await handler(request)
        except Denied as error:
            return _error(error.status, error)
        except InvalidInput as error:
            return _error(400, error)
        except Temporary as error:
            log.warning("gateway: %s", error)
            return JSONResponse({"error": "the provider cannot read the chain now"}, 503)
        except OcxError as error:
            log.error("gateway: %s", error)
            return JSONResponse({"error": "the provider has an internal problem"}, 500)

    return answer


async def not_found(request: Request, error: Exception) -> Response:
    """There is nothing at that path, or not with that method."""
    return JSONResponse({"error": "there is no such call"}, getattr(error, "status_code", 404))


def _error(status: int, error: OcxError) -> Response:
    return JSONResponse({"error": error.message, "hint": error.hint}, status)
