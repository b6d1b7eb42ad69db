"""The guard of conftest holds: a test cannot leave this machine."""

from __future__ import annotations

import socket

import pytest


def test_connecting_beyond_loopback_is_refused_before_a_packet_leaves() -> None:
    with pytest.raises(RuntimeError, match="only this machine's loopback"):
        socket.create_connection(("192.0.2.1", 80), 1)


def test_loopback_is_open() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname(), 1):
        pass


def test_workers_are_told_which_tests_belong_together(request: pytest.FixtureRequest) -> None:
    """pytest-xdist names a test's group behind its id; where a pytest did not let it, each was its own."""
    if not getattr(request.config.option, "loadgroup", False):
        pytest.skip("there is one worker")
    assert request.node.nodeid.endswith("@tests/test_isolation.py")
