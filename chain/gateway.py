"""The customer's side of a provider's gateway, for a buyer and for a committee's witnesses (rules P1, P2).

`GatewayClient` speaks to one gateway and to no other: the TLS key is compared with the hash pinned in
`Members` before a single byte is sent. What is fetched has its form in `chain.connection_data` and
`chain.lease_endpoints`. Nothing in this module reads the chain or keeps a secret on disk.
"""

from __future__ import annotations

import base64
import http.client
import json
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

from eth_utils.crypto import keccak

from chain import challenge as challenges
from chain.connection_data import ConnectionDocument, Endpoint, combined_hash, delivery_hash, fingerprint
from chain.lease_endpoints import MachineStatus, Told, from_json
from chain.pinned import PinnedConnection, WrongGateway, shown_key, spki_hash
from chain.power import PowerRequest
from chain.sealed import sealed_hash
from chain.wallet import Wallet
from market.errors import InvalidInput, OcxError, Permanent, Refused, Temporary
from market.specs import canonical_document

__all__ = [
    "ConnectionDocument",
    "Endpoint",
    "GatewayClient",
    "WrongGateway",
    "combined_hash",
    "delivery_hash",
    "fingerprint",
    "shown_key",
    "spki_hash",
]

_MOST_ANSWER = 1 << 20


class GatewayClient:
    """One wallet at one gateway. Signs a challenge at the first call and when its token has run out.

    `url` and `key_hash` are those of `Members.organisation`. Errors: `WrongGateway`, `Temporary` (not
    reached, busy), `Refused` (the gateway says no), `InvalidInput` (it says the request is malformed).
    `repin` reads the pinned hash again: a key that was changed a moment ago is met in `patience` seconds.
    """

    def __init__(
        self,
        url: str,
        key_hash: bytes,
        wallet: Wallet,
        chain_id: int,
        directory: str,
        *,
        timeout: float = 10.0,
        repin: Callable[[], bytes] | None = None,
        patience: float = 10.0,
    ) -> None:
        parts = urlsplit(url)
        if parts.scheme != "https" or not parts.hostname:
            raise InvalidInput(f"the gateway's URL {url!r} is not an https URL", hint="Ask the provider.")
        if len(key_hash) != 32 or not any(key_hash):
            raise InvalidInput("the provider has registered no gateway key", hint="Ask the provider.")
        self._url, self._host, self._port = url.rstrip("/"), parts.hostname, parts.port
        self._path = parts.path.rstrip("/")
        self._key_hash, self._wallet = key_hash, wallet
        self._network = (chain_id, directory)
        self._timeout = timeout
        self._repin, self._patience = repin, patience
        self._token: str | None = None

    def connection(self, lease: int) -> tuple[bytes, Told]:
        """The sealed connection data of a delivered lease, and what the committee is told beside them."""
        answer = self._authorised("GET", f"/v1/leases/{lease}/connection")
        try:
            sealed = base64.b64decode(answer["sealed"], validate=True)
            return sealed, Told(sealed_hash(sealed), from_json(answer["endpoints"]))
        except (KeyError, TypeError, ValueError, InvalidInput) as error:
            raise Permanent("the gateway gave no sealed data") from error

    def endpoints(self, lease: int) -> Told:
        """Where the machines of a delivered lease are reached; compare `Told.connection_hash` with the
        chain's. For members of the buyer and of the lease's committee."""
        answer = self._authorised("GET", f"/v1/leases/{lease}/endpoints")
        try:
            digest = bytes.fromhex(str(answer["sealed_hash"]).removeprefix("0x"))
            return Told(digest, from_json(answer["endpoints"]))
        except (KeyError, ValueError, InvalidInput) as error:
            raise Permanent("the gateway gave no endpoints of the lease", hint=str(error)) from error

    def status(self, lease: int) -> tuple[MachineStatus, ...]:
        """What the provider's control plane last saw of the machines, by place. For the same accounts."""
        answer = self._authorised("GET", f"/v1/leases/{lease}/status")
        places = answer.get("places")
        if not isinstance(places, list):
            raise Permanent("the gateway gave no status of the lease's machines")
        return tuple(MachineStatus.from_json(item) for item in places)

    def put_setup(
        self,
        lease: int,
        ssh_public_keys: Sequence[str],
        hostname: str = "",
        properties: Mapping[str, str] | None = None,
    ) -> dict[str, Any]:
        """Tell the provider which keys may log in, and more; Refused once provisioning has begun."""
        body = {
            "ssh_public_keys": list(ssh_public_keys),
            "hostname": hostname,
            "properties": dict(properties or {}),
        }
        return self._authorised("PUT", f"/v1/leases/{lease}/setup", body)

    def setup(self, lease: int) -> dict[str, Any]:
        """What the provider was told, and whether provisioning has begun (`fixed`)."""
        return self._authorised("GET", f"/v1/leases/{lease}/setup")

    def ask_power(self, request: PowerRequest, signature: bytes) -> dict[str, Any]:
        """Hand in a signed power request; `power` tells what becomes of it. The same is never taken twice."""
        body = request.to_json() | {"signature": "0x" + signature.hex()}
        return _told(self._authorised("POST", f"/v1/leases/{request.lease}/power", body))

    def power(self, lease: int) -> dict[str, Any]:
        """The newest power request of a lease (`request`, None if there was none) and its last `nonce`."""
        return _told(self._authorised("GET", f"/v1/leases/{lease}/power"))

    def ask_console(self, lease: int, resource: int, *, close: bool = False) -> dict[str, Any]:
        """Have a console opened (or closed); `console` tells what becomes of it."""
        body = {"resource": resource, "action": "close" if close else "open"}
        return _told(self._authorised("POST", f"/v1/leases/{lease}/console", body))

    def console(self, lease: int, resource: int) -> dict[str, Any]:
        """The newest console request of one machine (`request`), and the `sealed` bytes once it is open."""
        answer = _told(self._authorised("GET", f"/v1/leases/{lease}/console/{resource}"))
        try:
            sealed = answer.get("sealed")
            return {**answer, "sealed": None if sealed is None else base64.b64decode(sealed, validate=True)}
        except (TypeError, ValueError) as error:
            raise Permanent("the gateway gave no sealed data") from error

    def document(self, resource: int, hash_: bytes) -> dict[str, Any]:
        """The document of a resource on offer, which the chain knows by its hash.

        Permanent if the gateway gives another one.
        """
        found = self._authorised("GET", f"/v1/documents/{resource}").get("document")
        try:
            fits = isinstance(found, dict) and keccak(canonical_document(found)) == hash_
        except InvalidInput:
            fits = False
        if not isinstance(found, dict) or not fits:
            raise Permanent(
                f"the gateway's document of node {resource} is not the one on the chain",
                hint="Do not rely on it; tell the provider.",
            )
        return found

    @property
    def url(self) -> str:
        """Where it is, without a slash at the end."""
        return self._url

    def token(self) -> str:
        """A fresh token, for a caller that asks the gateway in its own way; good for some minutes."""
        self._token = self._sign_in()
        return self._token

    def healthy(self) -> bool:
        """Whether the gateway answers at all (and holds the pinned key)."""
        return bool(self._request("GET", "/healthz").get("ok"))

    def _authorised(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> dict[str, Any]:
        fresh = self._token is None
        if self._token is None:
            self._token = self._sign_in()
        try:
            return self._request(method, path, body, self._token)
        except _SignInAgain:
            if fresh:
                raise
        self._token = self._sign_in()
        return self._request(method, path, body, self._token)

    def _sign_in(self) -> str:
        offered = self._request("POST", "/v1/challenge", {"account": self._wallet.address})
        challenge = challenges.Challenge.from_json(offered)
        signature = challenges.sign(self._wallet, challenge, *self._network, self._url)
        body = challenge.to_json() | {"signature": "0x" + signature.hex()}
        return str(self._request("POST", "/v1/token", body)["token"])

    def _connect(self) -> PinnedConnection:
        """A connection to whoever holds the pinned key; `WrongGateway` once patience is at an end.

        Between the chain's change of key and the gateway's lies a moment in which one of two honest sides
        is ahead of the other. Nothing is sent before the keys agree, so waiting risks nothing.
        """
        deadline = time.monotonic() + self._patience
        while True:
            connection = PinnedConnection(self._host, self._port, self._key_hash, self._timeout)
            try:
                connection.connect()
                return connection
            except WrongGateway:
                if self._repin is None or time.monotonic() >= deadline:
                    raise
            except OSError as error:
                connection.close()
                raise self._unreached(error) from error
            before, self._key_hash = self._key_hash, self._repin()
            if before == self._key_hash:
                time.sleep(0.2)

    def _unreached(self, error: Exception) -> Temporary:
        return Temporary(
            f"the gateway {self._url} does not answer ({type(error).__name__})",
            hint="Try again; if it stays so, tell the provider.",
            retry_after=2.0,
        )

    def _request(
        self, method: str, path: str, body: Mapping[str, Any] | None = None, token: str | None = None
    ) -> dict[str, Any]:
        headers = {"Accept": "application/json"}
        if token:
            headers["Authorization"] = f"Bearer {token}"
        content = None if body is None else json.dumps(body).encode()
        if content is not None:
            headers["Content-Type"] = "application/json"
        connection = self._connect()
        try:
            connection.request(method, self._path + path, content, headers)
            response = connection.getresponse()
            raw = response.read(_MOST_ANSWER)
        except (OSError, http.client.HTTPException) as error:
            raise self._unreached(error) from error
        finally:
            connection.close()
        return _answer(response.status, raw)


class _SignInAgain(Refused):
    """The token is not, or no longer, good."""


def _answer(status: int, raw: bytes) -> dict[str, Any]:
    try:
        answer = json.loads(raw)
    except ValueError:
        answer = None
    if not isinstance(answer, dict):
        raise Permanent(f"the gateway's answer is not JSON (HTTP {status})")
    if status < 300:
        return answer
    raise _error(status, str(answer.get("error", f"HTTP {status}"))[:500], answer.get("hint"))


def _told(answer: dict[str, Any]) -> dict[str, Any]:
    """An answer about a request; Permanent if it does not have the form of one."""
    asked, nonce = answer.get("request"), answer.get("nonce", 0)
    known = {"id": int, "state": str, "action": str, "resources": list, "done": list}
    formed = asked is None or (
        isinstance(asked, dict) and all(isinstance(asked.get(name), kind) for name, kind in known.items())
    )
    if not formed or not isinstance(nonce, int):
        raise Permanent("the gateway's answer is not about a request", hint="Tell the provider.")
    return answer


def _error(status: int, message: str, hint: object) -> OcxError:
    text = f"the gateway says: {message}"
    shown = str(hint)[:500] if hint else None
    if status == 401:
        return _SignInAgain(text, hint=shown)
    if status == 501:
        return Refused(text, hint=shown, status=status)
    if status in (425, 429) or status >= 500:
        return Temporary(text, hint=shown, retry_after=2.0, status=status)
    if status in (400, 413, 415, 422):
        return InvalidInput(text, hint=shown, status=status)
    return Refused(text, hint=shown, status=status)
