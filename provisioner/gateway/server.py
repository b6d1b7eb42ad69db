"""The provider's gateway: where a buyer's members leave their SSH keys and fetch sealed connection data.

Over TLS with a key that `Members` pins. Who asks proves its account with a signed challenge and gets a token
for some minutes; each call then asks the chain whether that account is a member of the lease's buyer. What is
served was sealed to the buyer before it was stored, so even this process cannot read it. Bodies are bounded,
errors are JSON, and a stranger learns only that the lease is not its own.

This module must not touch a cloud or send a transaction, and must not log bodies, tokens or keys.
"""

from __future__ import annotations

import base64
import json
import logging
import threading
import time
from collections.abc import Callable

import uvicorn
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from chain.challenge import Challenge, Gatekeeper, Tokens
from chain.contracts.leases import Lease
from chain.contracts.members import MemberRight
from chain.exchange import Exchange
from chain.generated.errors import Leases_Unknown
from market.errors import InvalidInput, OcxError, Permanent, Refused
from provisioner.agent.asks import Asks
from provisioner.agent.control import ControlPlane
from provisioner.gateway.asks import AskDesk
from provisioner.gateway.committee import CommitteeDesk
from provisioner.gateway.documents import DocumentDesk
from provisioner.gateway.http import Caller, Denied, guarded, lease_number, not_found, read_body
from provisioner.gateway.setup import read_setup
from provisioner.gateway.tls import Identity, bind
from provisioner.settings import Settings
from provisioner.store.store import Store

__all__ = ["Gateway", "GatewayServer"]

log = logging.getLogger(__name__)


class Gateway:
    """The calls, independent of how they are served. `on_setup` is told for which lease a setup came."""

    def __init__(
        self,
        exchange: Exchange,
        store: Store,
        audience: str,
        *,
        clock: Callable[[], float] = time.time,
        on_setup: Callable[[int], None] = lambda lease: None,
        asks: Asks | None = None,
        control: ControlPlane | None = None,
        committee_first: int = 0,
        tokens: Tokens | None = None,
        challenge_ttl: int = 60,
    ) -> None:
        """`asks`: where what buyers ask of running machines goes; None: such calls do not exist here.
        `control`: what the agent last saw of the machines; None: nothing. `committee_first`: see
        `CommitteeDesk`."""
        network = exchange.connection
        self._exchange, self._store = exchange, store
        self._clock = clock
        self._on_setup = on_setup
        self._keeper = Gatekeeper(
            network.chain_id, network.directory, audience, ttl=challenge_ttl, tokens=tokens
        )
        self._desk = None if asks is None else AskDesk(exchange, asks, self._of_caller, clock=clock)
        self._committee = CommitteeDesk(
            exchange,
            store,
            control,
            self._account_of,
            ours=self._ours,
            clock=clock,
            first=committee_first,
        )

    def app(self) -> Starlette:
        """The ASGI application."""
        lease = "/v1/leases/{lease}"
        return Starlette(
            routes=[
                Route("/healthz", self._healthz),
                Route("/v1/challenge", guarded(self._challenge), methods=["POST"]),
                Route("/v1/token", guarded(self._token), methods=["POST"]),
                Route(f"{lease}/connection", guarded(self._connection)),
                Route(f"{lease}/setup", guarded(self._setup), methods=["GET", "PUT"]),
                *(self._desk.routes() if self._desk else []),
                *self._committee.routes(),
                *DocumentDesk(self._exchange, self._store, self._account_of, ours=self._ours).routes(),
            ],
            exception_handlers={404: not_found, 405: not_found},
        )

    async def _healthz(self, request: Request) -> Response:
        return JSONResponse({"ok": True})

    async def _challenge(self, request: Request) -> Response:
        body = await read_body(request)
        account = body.get("account")
        if not isinstance(account, str):
            raise InvalidInput("the body must name an account")
        return JSONResponse(self._keeper.challenge(account, int(self._clock())).to_json())

    async def _token(self, request: Request) -> Response:
        body = await read_body(request)
        try:
            signature = bytes.fromhex(str(body["signature"]).removeprefix("0x"))
        except (KeyError, ValueError) as error:
            raise InvalidInput("the body must carry the challenge and its signature in hex") from error
        challenge = Challenge.from_json(body)
        now = int(self._clock())
        try:
            token = await run_in_threadpool(self._keeper.redeem, challenge, signature, now)
        except Refused as error:
            raise Denied(401, error.message, error.hint) from error
        return JSONResponse({"token": token, "expires": now + self._keeper.tokens.ttl})

    async def _connection(self, request: Request) -> Response:
        caller = await self._of_caller(request)
        lease_id, lease = caller.lease_id, caller.lease
        if not lease.delivered:
            raise Denied(425, f"lease {lease_id} is not delivered yet", "Try again once it is.")
        await run_in_threadpool(self._committee.looks_first, lease_id, lease)
        blob = await run_in_threadpool(self._store.sealed, lease_id, lease.delivery)
        if blob is None:
            raise Denied(404, f"the connection data of lease {lease_id} are not at this gateway")
        return JSONResponse(
            {
                "lease": lease_id,
                "sealed": base64.b64encode(blob.sealed).decode(),
                "connection_hash": "0x" + blob.connection_hash.hex(),
                "endpoints": json.loads(blob.endpoints),
            }
        )

    async def _setup(self, request: Request) -> Response:
        caller = await self._of_caller(request)
        lease_id, lease = caller.lease_id, caller.lease
        if request.method == "PUT":
            setup = read_setup(await read_body(request))
            if lease.ended_at:
                raise Denied(409, f"lease {lease_id} is over")
            await run_in_threadpool(self._must_count, caller)
            now = int(self._clock())
            if not await run_in_threadpool(self._store.keep_setup, lease_id, setup, now):
                raise Denied(409, f"lease {lease_id} is being provisioned; its setup is fixed")
            self._on_setup(lease_id)
        kept = await run_in_threadpool(self._store.setup, lease_id)
        fixed = await run_in_threadpool(self._store.has_orders, lease_id)
        if kept is None:
            raise Denied(404, f"nothing was set up for lease {lease_id}")
        shown = {
            "ssh_public_keys": list(kept.ssh_public_keys),
            "hostname": kept.hostname,
            "properties": kept.properties or {},
            "fixed": fixed,
        }
        return JSONResponse(shown)

    def _must_count(self, caller: Caller) -> None:
        """Whose key logs in is settled only with the block that opened the lease.

        Were that block taken back, its number could become the lease of somebody else.
        """
        _, head = self._exchange.rpc.heads()
        try:
            buyer = self._exchange.leases.lease(caller.lease_id, block=head.number).buyer
        except Leases_Unknown:
            buyer = 0
        if buyer != caller.lease.buyer:
            raise Denied(425, f"lease {caller.lease_id} is too new to count", "Try again in a few seconds.")

    async def _of_caller(self, request: Request) -> Caller:
        """The lease asked for, if the caller may buy for its buyer; else the same "no" in every case."""
        lease_id, account = lease_number(request), await self._account_of(request)
        found = await run_in_threadpool(self._lease_of, lease_id, account)
        if found is None:
            raise Denied(403, f"lease {lease_id} is none of this account's organisation at this provider")
        return Caller(account, lease_id, found)

    async def _account_of(self, request: Request) -> str:
        """The account whose token came with a request."""
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not token:
            raise Denied(401, "a token is needed", "Sign a challenge first.")
        try:
            return self._keeper.tokens.verify(token.strip(), int(self._clock()))
        except Refused as error:
            raise Denied(401, error.message, error.hint) from error

    def _ours(self) -> int:
        return self._exchange.members.member(self.account).org

    def _lease_of(self, lease_id: int, account: str) -> Lease | None:
        if not 0 < lease_id < 1 << 32:
            return None
        try:
            lease = self._exchange.leases.lease(lease_id)
        except Leases_Unknown:
            return None
        caller = self._exchange.members.member_of(lease.buyer, account)
        may = caller.org != 0 and caller.rights & MemberRight.BUY
        return lease if may and lease.provider == self._ours() else None

    @property
    def account(self) -> str:
        """The provider's own account, by which it knows whose leases it serves."""
        wallet = self._exchange.wallet
        if wallet is None:
            raise InvalidInput("a gateway needs the provider's wallet, to know whose leases it serves")
        return wallet.address


class GatewayServer:
    """A gateway on a TLS port, in a thread of its own."""

    def __init__(
        self,
        settings: Settings,
        exchange: Exchange,
        store: Store,
        *,
        clock: Callable[[], float] = time.time,
        on_setup: Callable[[int], None] = lambda lease: None,
        asks: Asks | None = None,
        control: ControlPlane | None = None,
    ) -> None:
        self._identity = Identity(settings)
        self._socket = bind(settings.gateway.host, settings.gateway.port)
        self.port = int(self._socket.getsockname()[1])
        host = f"[{settings.gateway.host}]" if ":" in settings.gateway.host else settings.gateway.host
        self.url = (settings.gateway.url or f"https://{host}:{self.port}").rstrip("/")
        self.gateway = Gateway(
            exchange,
            store,
            self.url,
            clock=clock,
            on_setup=on_setup,
            asks=asks,
            control=control,
            committee_first=settings.gateway.committee_first,
        )
        config = uvicorn.Config(
            self.gateway.app(),
            ssl_context_factory=lambda config, default: self._identity.context,
            access_log=False,
            log_config=None,
            log_level="warning",
            lifespan="off",
            limit_concurrency=256,
            timeout_keep_alive=5,
            timeout_graceful_shutdown=3,
            h11_max_incomplete_event_size=32 * 1024,
            server_header=False,
        )
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._serve, name="gateway", daemon=True)
        self._exchange = exchange
        self._over = threading.Event()
        self._key_trouble = ""
        self._watch = threading.Thread(target=self._follow_key, name="gateway key", daemon=True)

    @property
    def key_hash(self) -> bytes:
        """SHA-256 of the public key that new connections are shown."""
        return self._identity.key_hash

    def start(self, patience: float = 10.0) -> None:
        """Serve; Permanent if it does not come up within `patience` seconds."""
        self._look_at_key()  # so that a key registered while nobody served is the first that is shown
        self._thread.start()
        deadline = time.monotonic() + patience
        while not self._server.started:
            if not self._thread.is_alive() or time.monotonic() > deadline:
                raise Permanent(f"the gateway could not be started at {self.url}", hint="See the log.")
            time.sleep(0.01)
        self._watch.start()

    def stop(self) -> None:
        """End it; open requests get a few seconds."""
        self._over.set()
        self._server.should_exit = True
        if self._thread.is_alive():
            self._thread.join(5.0)
        self._socket.close()

    def _serve(self) -> None:
        self._server.run(sockets=[self._socket])

    def _follow_key(self) -> None:
        """While another pair lies on disk, look each block which one is registered, and show that one."""
        pause = min(5.0, max(0.25, self._exchange.connection.block_time / 2))
        while not self._over.wait(pause):
            self._look_at_key()

    def _look_at_key(self) -> None:
        try:
            if self._identity.unsettled() and self._adopt_registered():
                self._key_trouble = ""
        except (OcxError, OSError) as error:
            if str(error) != self._key_trouble:
                log.warning("gateway key: %s", error)
            self._key_trouble = str(error)

    def _adopt_registered(self) -> bool:
        before, members = self._identity.key_hash, self._exchange.members
        org = members.member(self.gateway.account).org
        found = org != 0 and self._identity.adopt(members.organisation(org).gateway_key_hash)
        if self._identity.key_hash != before:
            log.info("the gateway shows the key 0x%s from now on", self._identity.key_hash.hex())
        return found
