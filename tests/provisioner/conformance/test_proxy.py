"""The proxy does to a plugin's requests exactly what it is told."""

from __future__ import annotations

import http.client
import json
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from tests.provisioner.conformance.proxy import Fault, FaultProxy, Kind, Moment, partial

BODY = json.dumps({"servers": ["one", "two", "three", "four"]}).encode()


class Cloud:
    """A cloud that counts what reaches it."""

    def __init__(self) -> None:
        self.seen: list[str] = []
        seen = self.seen

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                seen.append(self.path)
                self.send_response(200)
                self.send_header("Content-Length", str(len(BODY)))
                self.end_headers()
                self.wfile.write(BODY)

            def do_POST(self) -> None:
                self.rfile.read(int(self.headers["Content-Length"]))
                self.do_GET()

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


@pytest.fixture
def cloud() -> Iterator[Cloud]:
    """A running cloud."""
    made = Cloud()
    yield made
    made.server.shutdown()
    made.server.server_close()


@pytest.fixture
def proxy(cloud: Cloud) -> Iterator[FaultProxy]:
    """A proxy before it."""
    with FaultProxy(("127.0.0.1", cloud.server.server_port)) as running:
        yield running


def ask(
    proxy: FaultProxy, method: str = "GET", path: str = "/servers", timeout: float = 5
) -> tuple[int, bytes]:
    """One request; status and body."""
    connection = http.client.HTTPConnection("127.0.0.1", proxy.ports[0], timeout=timeout)
    try:
        connection.request(method, path, body=b"Action=Run" if method == "POST" else None)
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def test_without_faults_it_passes_everything_on(proxy: FaultProxy, cloud: Cloud) -> None:
    assert ask(proxy) == (200, BODY) and ask(proxy, "POST") == (200, BODY)
    assert proxy.lines == ["GET /servers", "POST /servers Action=Run"] and len(cloud.seen) == 2


@pytest.mark.parametrize(
    ("kind", "effects"), [(Kind.REFUSE, 0), (Kind.RESET, 0), (Kind.CUT, 1), (Kind.HALF, 1)]
)
def test_a_cut_comes_before_or_after_the_effect(
    proxy: FaultProxy, cloud: Cloud, kind: Kind, effects: int
) -> None:
    proxy.plant(Fault(kind))
    with pytest.raises((OSError, http.client.HTTPException)):
        ask(proxy)
    assert len(cloud.seen) == effects
    assert ask(proxy) == (200, BODY)


def test_a_short_answer_says_it_is_whole_and_is_not(proxy: FaultProxy) -> None:
    proxy.plant(Fault(Kind.SHORT))
    status, body = ask(proxy)
    assert status == 200 and body == BODY[: len(BODY) // 2]


def test_a_partial_answer_is_well_formed_and_lacks_the_second_half_of_each_list(proxy: FaultProxy) -> None:
    proxy.plant(Fault(Kind.PARTIAL))
    assert json.loads(ask(proxy)[1]) == {"servers": ["one", "two"]}
    assert partial(b"<r><set><item>1</item><item>2</item></set></r>") == b"<r><set><item>1</item></set></r>"


@pytest.mark.parametrize("kind", [Kind.ERROR_500, Kind.ERROR_503])
def test_an_error_is_answered_without_asking_the_cloud(proxy: FaultProxy, cloud: Cloud, kind: Kind) -> None:
    proxy.plant(Fault(kind))
    assert ask(proxy)[0] == int(kind.value) and cloud.seen == []


def test_a_hanging_request_never_reaches_the_cloud(proxy: FaultProxy, cloud: Cloud) -> None:
    proxy.plant(Fault(Kind.HANG))
    with pytest.raises(TimeoutError):
        ask(proxy, timeout=0.2)
    proxy.clear()
    assert ask(proxy) == (200, BODY) and len(cloud.seen) == 1


def test_a_fault_chooses_by_pattern_place_and_number(proxy: FaultProxy) -> None:
    proxy.plant(Fault(Kind.ERROR_503, match="Action=Run", skip=1, times=2))
    told = [ask(proxy, method)[0] for method in ("POST", "GET", "POST", "GET", "POST", "POST")]
    assert told == [200, 200, 503, 200, 503, 200]


def test_the_same_seed_makes_the_same_choices(proxy: FaultProxy) -> None:
    def choices() -> list[int]:
        proxy.at_random(7, 0.5, (Kind.ERROR_500, Kind.ERROR_503))
        return [ask(proxy)[0] for _ in range(12)]

    first = choices()
    assert first == choices() and {200, 500, 503} == set(first)


def test_a_watcher_is_told_before_and_after_the_effect(proxy: FaultProxy, cloud: Cloud) -> None:
    told = []
    proxy.watcher = lambda number, line, moment: told.append((number, line, moment, len(cloud.seen)))
    ask(proxy)
    assert told == [(1, "GET /servers", Moment.BEFORE, 0), (1, "GET /servers", Moment.AFTER, 1)]


def test_what_is_no_http_is_passed_on_by_the_byte_and_cut_where_told() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        target = server.getsockname()[:2]

        def serve() -> None:
            while True:
                try:
                    peer, _ = server.accept()
                except OSError:
                    return
                peer.sendall(b"x" * 1000)
                peer.recv(1)
                peer.close()

        threading.Thread(target=serve, daemon=True).start()
        with FaultProxy(target, http=False) as proxy:
            proxy.plant(Fault(Kind.HALF, skip=1, after=300))
            sizes = []
            for _ in range(2):
                with socket.create_connection(("127.0.0.1", proxy.ports[0]), 5) as near:
                    size = 0
                    while size < 1000 and (part := near.recv(4096)):
                        size += len(part)
                    sizes.append(size)
            assert sizes == [1000, 300]
        server.shutdown(socket.SHUT_RDWR)
