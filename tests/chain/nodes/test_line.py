"""The line to sockets on this machine: long paths, dead ends, silence."""

from __future__ import annotations

import socket
import threading
from pathlib import Path

import pytest

from chain.nodes.line import connected, listening, request
from chain.wire import RpcUnreachable


def test_a_path_longer_than_the_kernel_takes_works(tmp_path: Path) -> None:
    folder = tmp_path / ("a" * 120)
    folder.mkdir()
    path = folder / "keeper.sock"

    def answer(server: socket.socket) -> None:
        line, _ = server.accept()
        with line:
            line.sendall(line.recv(4096))

    with listening(path) as server:
        threading.Thread(target=answer, args=(server,), daemon=True).start()
        assert request(path, {"do": "status"}) == {"do": "status"}
        assert path.stat().st_mode & 0o777 == 0o600


def test_nobody_there_is_temporary_and_said(tmp_path: Path) -> None:
    with pytest.raises(RpcUnreachable, match="nobody listens"):
        connected(tmp_path / "none.sock", 1)


def test_one_that_hangs_up_or_is_silent_is_unreachable(tmp_path: Path) -> None:
    path = tmp_path / "s"
    with listening(path), pytest.raises(RpcUnreachable, match="nobody answers"):
        request(path, {}, timeout=0.05)
