"""The documents of machines that are on offer, for buyers who judge them before they ask for machines.

The chain holds only a document's hash, so whoever reads one here checks it. It must not show a machine that
no open offer names: what is not for rent is nobody's business.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from chain.exchange import Exchange
from chain.generated.errors import Inventory_Unknown
from provisioner.agent.handover import Documents
from provisioner.gateway.http import Denied, guarded
from provisioner.store.store import Store

__all__ = ["DocumentDesk"]


class DocumentDesk:
    """Shows documents to members. `account_of` says who asks, or raises; `ours` is the provider."""

    def __init__(
        self,
        exchange: Exchange,
        store: Store,
        account_of: Callable[[Request], Awaitable[str]],
        *,
        ours: Callable[[], int],
    ) -> None:
        self._exchange, self._store, self._documents = exchange, store, Documents(store)
        self._account_of, self._ours = account_of, ours

    def routes(self) -> list[Route]:
        """The call: the document of a machine."""
        return [Route("/v1/documents/{resource}", guarded(self._document))]

    async def _document(self, request: Request) -> Response:
        account = await self._account_of(request)
        text = str(request.path_params["resource"])
        number = int(text) if text.isascii() and text.isdigit() and len(text) < 11 else 0
        found = await run_in_threadpool(self._find, number, account)
        if found is None:
            raise Denied(404, f"node {text[:20]} is not on offer here")
        return JSONResponse({"resource": number, "document": found})

    def _find(self, number: int, account: str) -> dict[str, Any] | None:
        if not 0 < number < 1 << 32 or not self._exchange.members.member(account).org:
            return None
        slot = self._exchange.now() // self._exchange.slot
        offers = self._store.offers_of(number, slot)
        if all(self._exchange.book.offer(offer).closed for offer in offers):
            return None
        try:
            known = self._exchange.inventory.resource(number)
        except Inventory_Unknown:
            return None
        return self._documents.get(known.document_hash) if known.owner == self._ours() else None
