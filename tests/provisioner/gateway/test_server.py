"""The gateway over real TLS, asked by real wallets."""

from __future__ import annotations

import http.client
import json
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from chain import challenge as challenges
from chain.contracts.leases import Delivery
from chain.contracts.members import MemberRight
from chain.gateway import (
    ConnectionDocument,
    Endpoint,
    GatewayClient,
    WrongGateway,
    combined_hash,
    delivery_hash,
    fingerprint,
    spki_hash,
)
from chain.lease_endpoints import Told, canonical_bytes, endpoints_of
from chain.sealed import seal, sealed_hash
from chain.wallet import Wallet
from daemons.opening import open_exchange, open_wallet
from market.errors import InvalidInput, Refused, Temporary
from provisioner.gateway.server import GatewayServer
from provisioner.gateway.setup import read_setup
from provisioner.store.records import Blob, Setup
from provisioner.store.store import Store
from tests.chain.network import wallet
from tests.provisioner.world import KEY, Buyer, Provider, World


class Served:
    """A gateway, its clock, its store, and a lease of its provider."""

    def __init__(self, provider: Provider, buyer: Buyer) -> None:
        settings = provider.settings()
        settings.state_dir.mkdir(parents=True, exist_ok=True)
        self.ahead = 0.0
        self.told = 0
        self.store = Store(settings.database)
        self.exchange = open_exchange(settings, open_wallet(settings))
        self.server = GatewayServer(
            settings,
            self.exchange,
            self.store,
            clock=lambda: time.time() + self.ahead,
            on_setup=self._on_setup,
        )
        self.server.start()
        self.buyer, self.provider = buyer, provider
        self.lease = buyer.buy(provider, 120)

    def _on_setup(self, _lease: int) -> None:
        self.told += 1

    def client(self, by: Wallet | None = None, **changes: Any) -> GatewayClient:
        """A client, of the buyer by default."""
        network = self.exchange.connection
        fields: dict[str, Any] = {
            "url": self.server.url,
            "key_hash": self.server.key_hash,
            "wallet": by or self.buyer.exchange.wallet,
            "chain_id": network.chain_id,
            "directory": network.directory,
        }
        return GatewayClient(**(fields | changes))

    def ask(
        self, method: str, path: str, body: bytes = b"", headers: dict[str, str] | None = None
    ) -> tuple[int, Any]:
        """A bare request, without the client; status and JSON."""
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        connection = http.client.HTTPSConnection("127.0.0.1", self.server.port, context=context, timeout=10)
        connection.request(method, path, body, headers or {})
        response = connection.getresponse()
        status, raw = response.status, response.read()
        connection.close()
        return status, json.loads(raw)

    def token(self, by: Wallet) -> str:
        """A token, by hand."""
        status, answer = self.ask("POST", "/v1/token", json.dumps(self.signed(by)).encode())
        assert status == 200, answer
        return str(answer["token"])

    def signed(self, by: Wallet) -> dict[str, Any]:
        """A challenge with its signature."""
        _, raw = self.ask("POST", "/v1/challenge", json.dumps({"account": by.address}).encode())
        challenge = challenges.Challenge.from_json(raw)
        network = self.exchange.connection
        signature = challenges.sign(by, challenge, network.chain_id, network.directory, self.server.url)
        return {**raw, "signature": "0x" + signature.hex()}


@pytest.fixture(scope="module")
def served(founded: tuple[World, list[Provider], list[Buyer]]) -> Iterator[Served]:
    """One gateway and one lease for all tests here."""
    made = Served(founded[1].pop(), founded[2][0])
    yield made
    made.server.stop()


def test_a_setup_is_kept_given_back_and_told(served: Served) -> None:
    client = served.client()
    assert client.healthy()
    before = served.told
    kept = client.put_setup(served.lease, [KEY], "web", {"callback_url": "https://me.example/hook"})
    assert kept["ssh_public_keys"] == [KEY] and kept["fixed"] is False
    assert client.setup(served.lease)["properties"] == {"callback_url": "https://me.example/hook"}
    stored = served.store.setup(served.lease)
    assert stored == Setup((KEY,), "web", {"callback_url": "https://me.example/hook"})
    assert served.told == before + 1


def test_another_organisation_learns_nothing_of_a_lease(served: Served, stranger: Buyer) -> None:
    client = served.client(stranger.exchange.wallet)
    said = set()
    for lease in (served.lease, served.lease + 1000, 2**40):
        for call in (client.connection, client.setup):
            with pytest.raises(Refused) as caught:
                call(lease)
            said.add(caught.value.message.replace(str(lease), "N"))
    assert len(said) == 1, "the answer does not tell a lease of others from one that does not exist"
    with pytest.raises(Refused):
        client.put_setup(served.lease, [KEY])


def test_an_account_of_nobody_is_refused(served: Served) -> None:
    with pytest.raises(Refused, match="none of this account"):
        served.client(wallet(987654)).setup(served.lease)


def test_a_member_of_the_buyer_without_the_right_to_buy_is_refused(served: Served, buyer: Buyer) -> None:
    clerk = wallet(987655)
    buyer.send(buyer.exchange.members.set_member(clerk.address, MemberRight.RELEASE))
    with pytest.raises(Refused, match="none of this account"):
        served.client(clerk).put_setup(served.lease, [KEY])


def test_the_provider_itself_cannot_fetch_what_was_sealed_to_the_buyer(served: Served) -> None:
    with pytest.raises(Refused):
        served.client(served.exchange.wallet).connection(served.lease)


def test_nothing_is_sent_to_a_gateway_with_another_key(served: Served) -> None:
    client = served.client(key_hash=b"\1" * 32)
    with pytest.raises(WrongGateway, match="Nothing was sent"):
        client.setup(served.lease)


def test_the_client_writes_no_byte_before_it_has_seen_the_key(tmp_path: Path, served: Served) -> None:
    """A server with another certificate sees a handshake and nothing after it."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    settings = served.provider.settings()  # the certificate files the real gateway serves
    context.load_cert_chain(settings.gateway_cert, settings.gateway_key)
    seen: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]

        def serve() -> None:
            near, _ = listener.accept()
            try:
                with context.wrap_socket(near, server_side=True) as secured:
                    seen.append(secured.recv(1000))
            except OSError:
                seen.append(b"")

        thread = threading.Thread(target=serve)
        thread.start()
        with pytest.raises(WrongGateway):
            served.client(url=f"https://127.0.0.1:{port}", key_hash=b"\2" * 32).setup(1)
        thread.join(10)
    assert seen == [b""]


def test_a_challenge_buys_one_token(served: Served, buyer: Buyer) -> None:
    assert buyer.exchange.wallet
    body = json.dumps(served.signed(buyer.exchange.wallet)).encode()
    assert served.ask("POST", "/v1/token", body)[0] == 200
    status, answer = served.ask("POST", "/v1/token", body)
    assert status == 401 and "has been used" in answer["error"]


def test_a_signature_of_somebody_else_buys_nothing(served: Served, buyer: Buyer, stranger: Buyer) -> None:
    assert buyer.exchange.wallet and stranger.exchange.wallet
    mine, theirs = served.signed(buyer.exchange.wallet), served.signed(stranger.exchange.wallet)
    for forged in (mine | {"signature": theirs["signature"]}, mine | {"account": theirs["account"]}):
        assert served.ask("POST", "/v1/token", json.dumps(forged).encode())[0] == 401


def test_an_old_challenge_and_an_old_token_are_refused(served: Served, buyer: Buyer) -> None:
    assert buyer.exchange.wallet
    signed = served.signed(buyer.exchange.wallet)
    token = served.token(buyer.exchange.wallet)
    headers = {"Authorization": f"Bearer {token}"}
    path = f"/v1/leases/{served.lease}/setup"
    assert served.ask("GET", path, headers=headers)[0] in (200, 404)
    served.ahead = 301.0
    try:
        assert served.ask("POST", "/v1/token", json.dumps(signed).encode())[0] == 401
        status, answer = served.ask("GET", path, headers=headers)
        assert status == 401 and "expired" in answer["error"]
    finally:
        served.ahead = 0.0


def test_the_client_signs_again_when_its_token_has_run_out(served: Served) -> None:
    client = served.client()
    client.put_setup(served.lease, [KEY])
    served.ahead = 301.0
    try:
        assert client.setup(served.lease)["ssh_public_keys"] == [KEY]
    finally:
        served.ahead = 0.0


def test_a_forged_token_is_refused(served: Served) -> None:
    for token in ("", "x", "a.b", "ä.ö", "." * 50):
        headers = {"Authorization": f"Bearer {token}".encode().decode("latin-1")}
        assert served.ask("GET", f"/v1/leases/{served.lease}/setup", headers=headers)[0] == 401


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 400),
        (b"[]", 400),
        (b"{" * 5000, 400),
        (b"x" * 20_000, 413),
        (b'{"account": 1}', 400),
        (b'{"account": "0x1"}', 400),
        (b"\xff\xfe", 400),
    ],
)
def test_bad_bodies_get_a_clean_answer(served: Served, body: bytes, status: int) -> None:
    got, answer = served.ask("POST", "/v1/challenge", body)
    assert got == status and set(answer) == {"error", "hint"}


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/v1/leases/x/setup",
        "/v1/leases/-1/setup",
        f"/v1/leases/{'9' * 5000}/setup",
        "/v2",
        "/v1/challenge",
    ],
)
def test_unknown_calls_get_a_clean_answer(served: Served, path: str) -> None:
    status, answer = served.ask("GET", path)
    assert status in (404, 405) and "error" in answer


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"ssh_public_keys": []},
        {"ssh_public_keys": [KEY] * 17},
        {"ssh_public_keys": ["not a key"]},
        {"ssh_public_keys": [KEY + "\ncommand=evil"]},
        {"ssh_public_keys": ['command="x" ' + KEY]},
        {"ssh_public_keys": [KEY], "hostname": "Bad_Name"},
        {"ssh_public_keys": [KEY], "hostname": "-x"},
        {"ssh_public_keys": [KEY], "properties": {"a": 1}},
        {"ssh_public_keys": [KEY], "properties": {"a": "x\ny"}},
        {"ssh_public_keys": [KEY], "surprise": 1},
    ],
)
def test_a_setup_that_is_not_exactly_one_is_refused(body: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput):
        read_setup(body)


def test_connection_data_are_served_only_as_the_chain_recorded_them(served: Served, buyer: Buyer) -> None:
    client = served.client()
    lease = buyer.buy(served.provider, 120, places=(1,))
    with pytest.raises(Temporary, match="not delivered yet"):
        client.connection(lease)
    [resource] = served.exchange.leases.resources_of(lease)
    endpoint = Endpoint(resource, "10.0.0.1", 22, "root", "ssh-ed25519 AAAA", {})
    document = ConnectionDocument(lease, (endpoint,))
    sealed = seal(buyer.key.public, document.to_bytes())
    told = Told(sealed_hash(sealed), endpoints_of(document, [resource]))
    hashes = told.connection_hash, document.host_key_hash(), b"\7" * 32
    leases = served.exchange.leases
    served.exchange.send(leases.sign(lease))
    served.exchange.send(leases.deliver(lease, Delivery(1, *hashes)))
    with pytest.raises(Refused, match="not at this gateway"):
        client.connection(lease)
    blob = Blob(1, sealed, canonical_bytes(told.endpoints), *hashes)
    served.store.keep_sealed(lease, delivery_hash(*hashes), b"p" * 32, blob, 0)
    assert leases.lease(lease).delivery == delivery_hash(*hashes)
    assert buyer.open(client, lease) == document


def test_a_gateway_that_is_not_there_is_a_matter_of_time(served: Served) -> None:
    with socket.create_server(("127.0.0.1", 0)) as gone:
        port = gone.getsockname()[1]
    with pytest.raises(Temporary, match="does not answer"):
        served.client(url=f"https://127.0.0.1:{port}").setup(1)


def test_only_https_and_a_registered_key_will_do(served: Served) -> None:
    with pytest.raises(InvalidInput, match="https"):
        served.client(url="http://127.0.0.1:1")
    with pytest.raises(InvalidInput, match="no gateway key"):
        served.client(key_hash=bytes(32))


def test_the_pinned_hash_is_that_of_the_certificates_key(served: Served, provider: Provider) -> None:
    certificate = served.provider.settings().gateway_cert
    assert spki_hash(certificate.read_bytes()) == served.server.key_hash
    assert spki_hash(ssl.PEM_cert_to_DER_cert(certificate.read_text())) == served.server.key_hash
    key = served.provider.settings().gateway_key
    assert key.stat().st_mode & 0o077 == 0


def test_documents_and_hashes() -> None:
    one = Endpoint(1, "h", 22, "u", "ssh-ed25519 AAAA", {"http": "x"})
    two = Endpoint(2, "h", 23, "u", "ssh-ed25519 AAAB", {})
    document = ConnectionDocument(7, (one, two), "secret")
    assert ConnectionDocument.from_bytes(document.to_bytes()) == document
    assert ConnectionDocument(7, (one,)).host_key_hash() == fingerprint(one.host_key)
    assert document.host_key_hash() not in (fingerprint(one.host_key), fingerprint(two.host_key))
    assert combined_hash([b"a"]) == b"a" and combined_hash([b"a", b"b"]) != combined_hash([b"b", b"a"])
    for broken in (b"", b"[]", b'{"lease": 1}', b'{"lease": 1, "resources": [1]}'):
        with pytest.raises(InvalidInput):
            ConnectionDocument.from_bytes(broken)
