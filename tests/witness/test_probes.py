"""Probes against real servers, and against everything a server should not do."""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import ipaddress
import json
import socket
import ssl
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from chain.pinned import spki_hash
from tests.witness.conftest import Responder, Sshd, free_port
from tests.witness.proxy import Banner, Cut, Dead, Delay, Flood, HalfOpen, Proxy, Refuse, Slow
from witness.probes.control import control, edge
from witness.probes.guest import guest
from witness.probes.http import http
from witness.probes.icmp import allowed, icmp
from witness.probes.seen import Finding, Seen, knock
from witness.probes.ssh import banner, host_key
from witness.probes.tcp import tcp
from witness.probes.tls import fingerprint, tls
from witness.probes.wire import resolve

HOST, SECONDS = "127.0.0.1", 5.0
WITNESS = "0x" + "ab" * 20
HTML = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"


def look(probe: Awaitable[Seen]) -> Seen:
    """Run one probe."""

    async def run() -> Seen:
        return await probe

    return asyncio.run(run())


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, bytes]:
    """A file with key and certificate, and the hash of its public key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "gateway")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    pem = made.public_bytes(serialization.Encoding.PEM)
    secret = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    file = tmp_path_factory.mktemp("tls") / "both.pem"
    file.write_bytes(secret + pem)
    return file, spki_hash(pem)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    body = b""
    status = 200
    token: str | None = None

    def do_GET(self) -> None:
        type(self).token = self.headers.get("Authorization")
        self.send_response(self.status)
        self.send_header("Content-Length", str(len(self.body)))
        self.end_headers()
        self.wfile.write(self.body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def website(certificate: tuple[Path, bytes]) -> Iterator[Callable[..., tuple[int, type[_Handler]]]]:
    """Starts web servers that answer what they are told, over TLS if asked."""
    servers = []

    def start(body: bytes = b"", status: int = 200, *, secured: bool = False) -> tuple[int, type[_Handler]]:
        handler = type("Handler", (_Handler,), {"body": body, "status": status})
        server = ThreadingHTTPServer((HOST, 0), handler)
        if secured:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate[0])
            server.socket = context.wrap_socket(server.socket, server_side=True)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        servers.append(server)
        return int(server.server_address[1]), handler

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


# ---- TCP and everything that can happen to a connection ----


def test_a_server_that_listens_is_right() -> None:
    with socket.create_server((HOST, 0)) as server:
        assert look(tcp(HOST, server.getsockname()[1], SECONDS, loopback=True)).right


def test_a_port_without_a_server_refuses_and_that_shows_that_a_host_is_there() -> None:
    seen = look(tcp(HOST, free_port(), SECONDS, loopback=True))
    assert seen.finding is Finding.REFUSED
    assert seen.answers


def test_a_host_that_is_off_is_silent_and_costs_no_more_than_the_deadline(sshd: Sshd) -> None:
    with Proxy(sshd.port, Dead()) as proxy:
        began = time.monotonic()
        seen = look(tcp(HOST, proxy.port, 0.3, loopback=True))
        assert seen.finding is Finding.SILENT
        assert not seen.answers
        assert time.monotonic() - began < 2


def test_an_address_of_our_own_machine_is_nobody_elses() -> None:
    for host in ("127.0.0.1", "::1", "169.254.1.1", "0.0.0.0", "224.0.0.1", "::ffff:127.0.0.1"):  # noqa: S104
        seen = look(tcp(host, 1, SECONDS))
        assert seen.finding is Finding.UNREACHABLE, host


def test_a_name_is_looked_up_and_its_address_examined() -> None:
    with socket.create_server((HOST, 0)) as server:
        port = server.getsockname()[1]
        assert look(tcp("localhost", port, SECONDS, loopback=True)).finding in (
            Finding.RIGHT,
            Finding.REFUSED,
        )
        assert look(tcp("localhost", port, SECONDS)).finding is Finding.UNREACHABLE


def test_a_name_that_nobody_has_is_unreachable_or_nobody_could_be_asked() -> None:
    async def run() -> None:
        with pytest.raises(OSError, match="."):
            await resolve("no-such-host.invalid", 1, loopback=True)

    asyncio.run(run())
    seen = look(tcp("no-such-host.invalid", 1, SECONDS, loopback=True))
    assert seen.finding in (Finding.UNREACHABLE, Finding.OURS)


def test_a_cancelled_probe_is_cancelled_and_leaves_no_connection(sshd: Sshd) -> None:
    async def run() -> None:
        with Proxy(sshd.port, HalfOpen()) as proxy:
            task = asyncio.create_task(banner(HOST, proxy.port, 60, loopback=True))
            while not proxy.connections:
                await asyncio.sleep(0.005)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

    asyncio.run(run())


def test_a_name_that_was_found_once_is_asked_at_its_last_address(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither our name server's trouble nor a provider's slow one makes a machine impossible to measure."""
    from witness.probes import wire

    monkeypatch.setattr(wire, "_names", {"machine.test": (ipaddress.ip_address(HOST), -1000.0)})

    async def run() -> Seen:
        async def never(*_: object, **__: object) -> None:
            await asyncio.Event().wait()

        monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", never)
        with socket.create_server((HOST, 0)) as server:
            port = server.getsockname()[1]
            assert (await tcp("other.test", port, 0.4, loopback=True)).finding is Finding.OURS
            return await tcp("machine.test", port, 0.4, loopback=True)

    assert asyncio.run(run()).right


# ---- SSH ----


def test_a_real_sshd_shows_its_banner(sshd: Sshd) -> None:
    seen = look(banner(HOST, sshd.port, SECONDS, loopback=True))
    assert seen.right
    assert seen.detail.startswith("SSH-2.0-OpenSSH")


@pytest.mark.parametrize("kind", ["ed25519", "ecdsa", "rsa"])
def test_a_real_sshd_proves_that_it_holds_the_key_delivered(sshd: Sshd, kind: str) -> None:
    seen = look(host_key(HOST, sshd.port, SECONDS, expected=sshd.keys[kind], loopback=True))
    assert seen.right, seen
    assert seen.detail == sshd.keys[kind]


def test_another_machine_has_another_key(sshd: Sshd) -> None:
    seen = look(host_key(HOST, sshd.port, SECONDS, expected="SHA256:" + "A" * 43, loopback=True))
    assert seen.finding is Finding.OTHER_KEY


def test_a_copied_key_without_its_secret_proves_nothing(sshd: Sshd) -> None:
    """Between us and the real server somebody replaces our half of the exchange, as one who has only the
    public key would have to."""

    async def man_in_the_middle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_connection(HOST, sshd.port)

        async def there() -> None:
            data = b""
            while more := await reader.read(65_536):
                data += more
                if (at := data.find(b"\x1e\x00\x00\x00\x20")) >= 0:  # ECDH_INIT with our 32 bytes
                    point = bytes(range(1, 33))
                    data = data[: at + 5] + point + data[at + 37 :]
                    far_writer.write(data)
                    data = b""
                elif data.endswith(b"\n") or len(data) > 200:
                    far_writer.write(data)
                    data = b""

        task = asyncio.create_task(there())
        with contextlib.suppress(OSError):
            while more := await far_reader.read(65_536):
                writer.write(more)
        task.cancel()
        far_writer.transport.abort()
        writer.transport.abort()

    async def run() -> Seen:
        server = await asyncio.start_server(man_in_the_middle, HOST, 0)
        async with server:
            port = server.sockets[0].getsockname()[1]
            return await host_key(HOST, port, SECONDS, expected=sshd.keys["ed25519"], loopback=True)

    seen = asyncio.run(run())
    assert seen.finding is Finding.OTHER_KEY
    assert "does not hold" in seen.detail


@pytest.mark.parametrize("probe", [banner, host_key])
def test_what_is_not_ssh_is_wrong(sshd: Sshd, probe: Callable[..., Awaitable[Seen]]) -> None:
    for said in (
        b"220 smtp ready\r\n" * 30,
        b"SSH-1.5-old\r\n",
        b"\x00\x01\x02\n",
        b"SSH-2.0-x\r\n" + b"\xff" * 64,
    ):
        with Proxy(sshd.port, Banner(said)) as proxy:
            seen = look(probe(HOST, proxy.port, SECONDS, loopback=True))
            is_banner = probe is banner and said.startswith(b"SSH-2")
            assert seen.finding is (Finding.RIGHT if is_banner else Finding.WRONG), said


# ---- what a hostile or broken server does to every probe ----

Probe = Callable[[int], Awaitable[Seen]]
PROBES: dict[str, Probe] = {
    "banner": lambda port: banner(HOST, port, 0.4, loopback=True),
    "host key": lambda port: host_key(HOST, port, 0.4, loopback=True),
    "tls": lambda port: tls(HOST, port, 0.4, loopback=True),
    "http": lambda port: http(HOST, port, 0.4, loopback=True),
    "https": lambda port: http(HOST, port, 0.4, tls=True, loopback=True),
}


async def ask_guest(port: int, seconds: float = 0.4, expected: bytes | None = None) -> Seen:
    """The responder's probe, as the others."""
    found = await guest(
        HOST,
        port,
        seconds,
        lease=7,
        place=1,
        epoch=9,
        round_=3,
        witness=WITNESS,
        expected=expected,
        loopback=True,
    )
    return found.seen


PROBES["guest"] = ask_guest


@pytest.mark.parametrize("name", PROBES)
def test_silence_after_connecting_ends_with_the_deadline(name: str) -> None:
    with Proxy(1, HalfOpen()) as proxy:
        began = time.monotonic()
        seen = look(PROBES[name](proxy.port))
        assert seen.finding is Finding.SILENT
        assert seen.connected
        assert time.monotonic() - began < 2


@pytest.mark.parametrize("name", PROBES)
def test_a_connection_cut_at_once_is_no_answer(name: str) -> None:
    with Proxy(1, Cut()) as proxy:
        assert look(PROBES[name](proxy.port)).finding is Finding.CUT


@pytest.mark.parametrize("name", PROBES)
def test_a_flood_is_left_soon(name: str) -> None:
    with Proxy(1, Flood()) as proxy:
        seen = look(PROBES[name](proxy.port))
        assert seen.finding in (Finding.WRONG, Finding.SILENT)
        assert len(seen.detail) <= 160


@pytest.mark.parametrize("name", PROBES)
@pytest.mark.parametrize("said", [b"\xff" * 3000, b"\n" * 3000, b"{}\n", b"null\n", b'{"signature":5}\n'])
def test_bytes_that_are_no_protocol_are_wrong_and_never_an_exception(name: str, said: bytes) -> None:
    with Proxy(1, Banner(said)) as proxy:
        assert not look(PROBES[name](proxy.port)).right


def test_a_slow_server_is_right_if_it_makes_the_deadline_and_silent_if_not(sshd: Sshd) -> None:
    with Proxy(sshd.port, Delay(0.1)) as proxy:
        assert look(banner(HOST, proxy.port, SECONDS, loopback=True)).right
    with Proxy(sshd.port, Slow(10)) as proxy:
        assert look(banner(HOST, proxy.port, 0.5, loopback=True)).finding is Finding.SILENT


def test_what_a_stranger_says_is_printable_and_short(sshd: Sshd) -> None:
    with Proxy(sshd.port, Banner(b"SSH-2.0-\x1b[2J" + b"a" * 900 + b"\r\n")) as proxy:
        seen = look(banner(HOST, proxy.port, SECONDS, loopback=True))
    assert "\x1b" not in seen.detail
    assert len(seen.detail) <= 160


def test_a_refusing_proxy_refuses(sshd: Sshd) -> None:
    with Proxy(sshd.port) as proxy:
        proxy.fault = Refuse()
        assert look(tcp(HOST, proxy.port, SECONDS, loopback=True)).finding is Finding.REFUSED


# ---- TLS, HTTP, gateways ----


def test_a_tls_server_with_the_pinned_key_is_right(
    website: Callable[..., tuple[int, type[_Handler]]], certificate: tuple[Path, bytes]
) -> None:
    port, _ = website(secured=True)
    assert look(tls(HOST, port, SECONDS, loopback=True)).detail == "TLSv1.3"
    assert look(tls(HOST, port, SECONDS, key=fingerprint(certificate[1]), loopback=True)).right
    other = look(tls(HOST, port, SECONDS, key=fingerprint(bytes(32)), loopback=True))
    assert other.finding is Finding.OTHER_KEY


@pytest.mark.parametrize(
    ("status", "finding"), [(200, "right"), (404, "right"), (500, "wrong"), (503, "wrong")]
)
def test_a_website_that_answers_is_right_unless_it_says_it_is_broken(
    website: Callable[..., tuple[int, type[_Handler]]], status: int, finding: str
) -> None:
    for secured in (False, True):
        port, _ = website(b"hello", status, secured=secured)
        assert look(http(HOST, port, SECONDS, tls=secured, loopback=True)).finding == finding


@pytest.mark.parametrize(
    "said",
    [
        b"HTTP/1.1\r\n\r\n",
        b"HTTP/1.1 abc\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"x: y\r\n" * 9000,
        b"ICY 200 OK\r\n\r\n",
    ],
)
def test_what_is_nearly_http_is_wrong(said: bytes) -> None:
    with Proxy(1, Banner(said)) as proxy:
        assert look(http(HOST, proxy.port, SECONDS, loopback=True)).finding is Finding.WRONG


def test_the_control_plane_tells_a_machines_power_to_who_has_a_token(
    website: Callable[..., tuple[int, type[_Handler]]], certificate: tuple[Path, bytes]
) -> None:
    rows = [{"place": 0, "power": "on"}, {"place": 1, "power": "off", "requested_off": True}]
    port, handler = website(json.dumps({"places": rows}).encode(), secured=True)

    async def run(key: bytes, place: int) -> object:
        url = f"https://{HOST}:{port}"
        return await control(url, key, SECONDS, lease=7, place=place, token="secret", loopback=True)

    found = asyncio.run(run(certificate[1], 1))
    assert (found.seen.right, found.power, found.requested_off) == (True, "off", True)
    assert handler.token == "Bearer secret"
    assert asyncio.run(run(certificate[1], 5)).seen.finding is Finding.WRONG


def test_a_gateway_with_another_key_gets_no_token(
    website: Callable[..., tuple[int, type[_Handler]]], certificate: tuple[Path, bytes]
) -> None:
    port, handler = website(b"{}", secured=True)

    async def run() -> object:
        url = f"https://{HOST}:{port}"
        return await control(url, bytes(32), SECONDS, lease=7, place=0, token="secret", loopback=True)

    assert asyncio.run(run()).seen.finding is Finding.OTHER_KEY
    assert handler.token is None


def test_an_edge_answers(
    website: Callable[..., tuple[int, type[_Handler]]], certificate: tuple[Path, bytes]
) -> None:
    port, _ = website(b"ok", 404, secured=True)
    assert look(edge(f"https://{HOST}:{port}", certificate[1], SECONDS, loopback=True)).right
    assert (
        look(edge(f"http://{HOST}:{port}", certificate[1], SECONDS, loopback=True)).finding is Finding.WRONG
    )


@pytest.mark.parametrize(
    "body",
    [
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n3;x=1\r\ncde\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nabcde",
    ],
)
def test_a_body_is_read_by_its_length_and_in_chunks(body: bytes) -> None:
    from witness.probes.http import fetch
    from witness.probes.seen import Knock

    async def run(port: int) -> bytes:
        answer = await asyncio.wait_for(fetch(Knock(), HOST, port, "/", tls=False, loopback=True), 5)
        return answer.body

    with Proxy(1, Banner(body)) as proxy:
        assert asyncio.run(run(proxy.port)) == b"abcde"


# ---- the responder, and ping ----


def test_the_real_responder_gives_a_receipt_that_names_its_key(responder: Responder) -> None:
    async def run(expected: bytes | None) -> object:
        return await guest(
            HOST, responder.port, SECONDS, lease=7, place=1, epoch=9, round_=3, witness=WITNESS,
            expected=expected, loopback=True,
        )  # fmt: skip

    found = asyncio.run(run(None))
    assert found.seen.right, found
    assert len(found.signature) == 65
    assert any(found.nonce)
    again = asyncio.run(run(found.address))
    assert again.seen.right
    assert again.nonce != found.nonce
    other = asyncio.run(run(bytes(20)))
    assert other.seen.finding is Finding.OTHER_KEY
    assert other.address == found.address
    assert other.signature == b""


def test_a_receipt_is_over_this_very_question(responder: Responder) -> None:
    """One that was made for another round has another signer, as far as anybody can tell."""
    from chain.leaves import guest_digest
    from witness.probes.guest import signer_of

    async def run() -> object:
        return await guest(
            HOST, responder.port, SECONDS, lease=7, place=1, epoch=9, round_=3, witness=WITNESS, loopback=True
        )

    found = asyncio.run(run())
    assert signer_of(guest_digest(7, 1, 9, 3, WITNESS, found.nonce), found.signature) == found.address
    assert signer_of(guest_digest(7, 1, 9, 4, WITNESS, found.nonce), found.signature) != found.address


@pytest.mark.skipif(not allowed(), reason="this process may not send echo requests")
def test_a_host_that_echoes_is_alive() -> None:
    assert look(icmp(HOST, SECONDS, loopback=True)).right


def test_who_may_not_ping_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(1, "no")

    monkeypatch.setattr("witness.probes.icmp._socket", refuse)
    assert not allowed()
    assert look(icmp(HOST, SECONDS, loopback=True)).finding is Finding.OURS


def test_a_witness_that_was_too_busy_to_see_an_answer_does_not_call_the_machine_silent() -> None:
    async def forever(_: object) -> str:
        await asyncio.Event().wait()
        return ""

    async def busy() -> Seen:
        asyncio.get_running_loop().call_later(0.05, time.sleep, 0.3)
        return await knock(0.1, forever)

    assert asyncio.run(busy()).finding is Finding.OURS
