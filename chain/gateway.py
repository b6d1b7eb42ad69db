"""The customer's side of a provider's gateway, and the form of what is fetched there (rules P1, P2).

`GatewayClient` speaks to one gateway and to no other: the TLS key is compared with the hash pinned in
`Members` before a single byte is sent. `ConnectionDocument` is what is sealed: provider and buyer, who may
not import each other, agree on it here. Nothing in this module reads the chain or keeps a secret on disk.
"""

from __future__ import annotations

import base64
import hashlib
import http.client
import json
import socket
import ssl
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any
from urllib.parse import urlsplit

from eth_utils.crypto import keccak

from chain import challenge as challenges
from chain.power import PowerRequest
from chain.wallet import Wallet
from market.errors import InvalidInput, OcxError, Permanent, Refused, Temporary

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


class WrongGateway(Permanent):
    """The gateway does not hold the TLS key pinned in `Members`; nothing was sent to it."""


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


def spki_hash(certificate: bytes) -> bytes:
    """SHA-256 of the public key (SPKI, DER) of a certificate in DER or PEM: `Members.gatewayKeyHash`."""
    from cryptography import x509
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    try:
        pem = certificate.lstrip().startswith(b"-----")
        found = (
            x509.load_pem_x509_certificate(certificate)
            if pem
            else x509.load_der_x509_certificate(certificate)
        )
    except ValueError as error:
        raise InvalidInput("that is not a certificate") from error
    spki = found.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return hashlib.sha256(spki).digest()


def shown_key(url: str, timeout: float = 5.0) -> bytes:
    """The hash of the key that whoever answers at a gateway's URL shows; Temporary if nobody does."""
    parts = urlsplit(url)
    context = ssl.create_default_context()
    context.check_hostname = False  # looked at, not trusted
    context.verify_mode = ssl.CERT_NONE
    try:
        place = (parts.hostname or "", parts.port or 443)
        with socket.create_connection(place, timeout) as plain, context.wrap_socket(plain) as secured:
            return spki_hash(secured.getpeercert(binary_form=True) or b"")
    except OSError as error:
        raise Temporary(
            f"nobody answers at {url} ({type(error).__name__})",
            hint="Is the agent running?",
            retry_after=2.0,
        ) from error


class _PinnedConnection(http.client.HTTPSConnection):
    """HTTPS that trusts exactly one public key, and no authority."""

    def __init__(self, host: str, port: int | None, key_hash: bytes, timeout: float) -> None:
        context = ssl.create_default_context()
        context.check_hostname = False  # the key is pinned; names and authorities say nothing more
        context.verify_mode = ssl.CERT_NONE
        super().__init__(host, port, timeout=timeout, context=context)
        self._key_hash = key_hash

    def connect(self) -> None:
        """Connect and compare the key, before any request is written."""
        super().connect()
        certificate = (
            self.sock.getpeercert(binary_form=True) if isinstance(self.sock, ssl.SSLSocket) else None
        )
        if not certificate or spki_hash(certificate) != self._key_hash:
            self.close()
            raise WrongGateway(
                f"{self.host}:{self.port} does not hold the key that its organisation registered",
                hint="Nothing was sent. Ask the provider whether its gateway key changed.",
            )


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

    def connection(self, lease: int) -> bytes:
        """The sealed connection data of a delivered lease."""
        answer = self._authorised("GET", f"/v1/leases/{lease}/connection")
        try:
            return base64.b64decode(answer["sealed"], validate=True)
        except (KeyError, TypeError, ValueError) as error:
            raise Permanent("the gateway gave no sealed data") from error

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
        """Hand in a signed power request; `power` tells what becomes of it."""
        body = request.to_json() | {"signature": "0x" + signature.hex()}
        return self._authorised("POST", f"/v1/leases/{request.lease}/power", body)

    def power(self, lease: int) -> dict[str, Any]:
        """The newest power request of a lease (`request`, None if there was none) and its last `nonce`."""
        return self._authorised("GET", f"/v1/leases/{lease}/power")

    def ask_console(self, lease: int, resource: int, *, close: bool = False) -> dict[str, Any]:
        """Have a console opened (or closed); `console` tells what becomes of it."""
        body = {"resource": resource, "action": "close" if close else "open"}
        return self._authorised("POST", f"/v1/leases/{lease}/console", body)

    def console(self, lease: int, resource: int) -> dict[str, Any]:
        """The newest console request of one machine (`request`), and the `sealed` bytes once it is open."""
        answer = self._authorised("GET", f"/v1/leases/{lease}/console/{resource}")
        try:
            sealed = answer.get("sealed")
            return {**answer, "sealed": None if sealed is None else base64.b64decode(sealed, validate=True)}
        except (TypeError, ValueError) as error:
            raise Permanent("the gateway gave no sealed data") from error

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

    def _connect(self) -> _PinnedConnection:
        """A connection to whoever holds the pinned key; `WrongGateway` once patience is at an end.

        Between the chain's change of key and the gateway's lies a moment in which one of two honest sides
        is ahead of the other. Nothing is sent before the keys agree, so waiting risks nothing.
        """
        deadline = time.monotonic() + self._patience
        while True:
            connection = _PinnedConnection(self._host, self._port, self._key_hash, self._timeout)
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
