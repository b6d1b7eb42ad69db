"""One HTTP line: connections are kept, and one that the node closed is not used again."""

from __future__ import annotations

import http.server
import json
import threading
from collections.abc import Iterator

import pytest

from chain.line import HttpStatus, Line


class Server(http.server.ThreadingHTTPServer):
    """Counts its connections; answers as `reply` says and closes after each where `closes`."""

    daemon_threads = True

    def __init__(self) -> None:
        self.connections = 0
        self.closes = False
        self.status = 200
        self.seen: list[dict[str, str]] = []
        super().__init__(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server_address[1]}/path?key=1"


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Server

    def setup(self) -> None:
        super().setup()
        self.server.connections += 1

    def do_POST(self) -> None:
        size = int(self.headers["Content-Length"])
        asked = json.loads(self.rfile.read(size))
        self.server.seen.append(dict(self.headers) | {"path": self.path})
        many = isinstance(asked, list)
        answers = [{"id": each["id"], "result": each["method"]} for each in (asked if many else [asked])]
        content = json.dumps(answers[::-1] if many else answers[0]).encode()
        self.send_response(self.server.status)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)
        self.close_connection = self.server.closes

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[Server]:
    """One that runs until the test is over."""
    with Server() as running:
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        yield running
        running.shutdown()


def test_calls_one_after_another_share_a_connection(server: Server) -> None:
    line = Line(server.url, None, 3.0, 10.0)
    assert [line.make_request("a", [])["result"] for _ in range(3)] == ["a", "a", "a"]
    assert server.connections == 1
    assert server.seen[0]["path"] == "/path?key=1"


def test_answers_of_a_batch_come_in_the_order_of_the_calls(server: Server) -> None:
    line = Line(server.url, None, 3.0, 10.0)
    found = line.make_batch_request([(name, []) for name in "abc"])
    assert [answer["result"] for answer in found] == ["a", "b", "c"]


def test_a_connection_the_node_closed_is_replaced(server: Server) -> None:
    """It closes without having said so, as a node does that is started again."""
    server.closes = True
    line = Line(server.url, None, 3.0, 10.0)
    for number in range(1, 4):
        assert line.make_request("a", [])["result"] == "a"
        assert server.connections == number


def test_calls_at_the_same_time_have_connections_of_their_own(server: Server) -> None:
    line = Line(server.url, None, 3.0, 10.0)
    found: list[str] = []
    threads = [
        threading.Thread(target=lambda: found.append(line.make_request("a", [])["result"])) for _ in range(20)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == ["a"] * 20
    assert len(line._idle) <= 8


def test_who_has_a_name_and_a_password_says_so(server: Server) -> None:
    Line(server.url, ("user", "secret"), 3.0, 10.0).make_request("a", [])
    assert server.seen[0]["Authorization"] == "Basic dXNlcjpzZWNyZXQ="


def test_an_http_error_and_a_redirect_are_told_by_their_number(server: Server) -> None:
    line = Line(server.url, None, 3.0, 10.0)
    for server.status in (302, 500):
        with pytest.raises(HttpStatus) as caught:
            line.make_request("a", [])
        assert caught.value.status == server.status


def test_nobody_there_is_an_os_error() -> None:
    with pytest.raises(OSError, match="refused"):
        Line("http://127.0.0.1:1", None, 3.0, 10.0).make_request("a", [])
