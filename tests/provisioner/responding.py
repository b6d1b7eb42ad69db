"""What tests ask a responder, as a witness does."""

from __future__ import annotations

import json
import secrets
import socket
import time
from collections.abc import Callable
from typing import Any

__all__ = ["WITNESS", "answers", "ask", "question", "wait_for"]

WITNESS = "0x" + "ab" * 20


def ask(address: tuple[str, int], line: bytes | dict[str, Any]) -> dict[str, Any]:
    """One line in, one line out."""
    with socket.create_connection(address, 5) as connection:
        connection.settimeout(5)
        connection.sendall((json.dumps(line).encode() if isinstance(line, dict) else line) + b"\n")
        answer = connection.makefile("rb").read()
    return dict(json.loads(answer)) if answer else {}


def question(**changes: Any) -> dict[str, Any]:
    """A proper one."""
    told = {"ocx": 1, "lease": 7, "place": 2, "epoch": 482113, "round": 59, "witness": WITNESS}
    return told | {"nonce": "0x" + secrets.token_hex(32)} | changes


def wait_for(done: Callable[[], bool]) -> None:
    """Until it is so."""
    deadline = time.monotonic() + 10
    while not done():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def answers(address: tuple[str, int]) -> bool:
    """Whether a responder signs there."""
    try:
        return "signature" in ask(address, question())
    except OSError:
        return False
