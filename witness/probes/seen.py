"""What a probe saw, and the one frame every probe runs in: a deadline, and no exception that gets out.

This module must not judge what was seen, and knows no protocol.
"""

from __future__ import annotations

import asyncio
import errno
import socket
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import StrEnum

__all__ = ["Finding", "Knock", "Seen", "WrongAnswer", "knock", "printable"]

_OURS = {
    errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM, errno.EADDRNOTAVAIL, errno.EACCES, errno.EPERM,
    errno.ENETUNREACH, errno.ENETDOWN, errno.EAFNOSUPPORT,
}  # fmt: skip
_RESOLVER_AWAY = {socket.EAI_AGAIN, socket.EAI_FAIL, socket.EAI_MEMORY, socket.EAI_SYSTEM}
_LONGEST = 160
_STALL = 0.25
"""Of its deadline: a probe that ends later than that was held up here, and an answer may lie unread."""


class Finding(StrEnum):
    """How a probe ended."""

    RIGHT = "right"
    """It answered as it should."""
    WRONG = "wrong"
    """It answered, but not as it should: another banner, status or protocol."""
    OTHER_KEY = "other-key"
    """It answered rightly, and holds another key than the one expected."""
    REFUSED = "refused"
    """The host refused the connection."""
    CUT = "cut"
    """It accepted, and closed before it had answered."""
    SILENT = "silent"
    """Nothing came within the deadline."""
    UNREACHABLE = "unreachable"
    """There is no way to it, says the network on the way, or its name is unknown."""
    OURS = "ours"
    """We could not ask: this machine's own trouble."""


@dataclass(frozen=True, slots=True)
class Seen:
    """One probe's result.

    `took`: milliseconds; `connected`: the host accepted a connection or sent something, whatever came of it;
    `detail`: a few printable words for people.
    """

    finding: Finding
    took: int = 0
    detail: str = ""
    connected: bool = False

    @property
    def right(self) -> bool:
        """Whether all was as it should be."""
        return self.finding is Finding.RIGHT

    @property
    def answers(self) -> bool:
        """Whether a host is there, right or wrong."""
        return self.connected or self.finding is Finding.REFUSED


class WrongAnswer(Exception):
    """Inside a probe: what came is not what should come; `finding` says in which way."""

    def __init__(self, detail: str, finding: Finding = Finding.WRONG) -> None:
        super().__init__(detail)
        self.finding = finding


class Knock:
    """What a probe notes on its way, so that it is known even when it comes to no end."""

    __slots__ = ("connected", "seconds")

    def __init__(self, seconds: float = 5.0) -> None:
        self.connected = False
        self.seconds = seconds
        """The whole deadline."""


async def knock(seconds: float, work: Callable[[Knock], Awaitable[str]]) -> Seen:
    """Run a probe's work, which returns its detail if all is right; every failure becomes a `Seen`."""
    began, noted = time.monotonic(), Knock(seconds)
    try:
        async with asyncio.timeout(seconds):
            finding, detail = Finding.RIGHT, await work(noted)
    except WrongAnswer as wrong:
        finding, detail = wrong.finding, str(wrong)
    except TimeoutError:
        if time.monotonic() - began > seconds * (1 + _STALL):
            finding, detail = Finding.OURS, "this witness was too busy to see an answer"
        else:
            finding, detail = Finding.SILENT, "connected, then silence" if noted.connected else "no answer"
    except OSError as error:
        finding, detail = _of_socket(error, noted.connected)
    except Exception as error:  # noqa: BLE001  a stranger's bytes broke a parser: a wrong answer
        finding, detail = Finding.WRONG, f"not understood ({type(error).__name__})"
    took = round((time.monotonic() - began) * 1000)
    return Seen(finding, took, printable(detail), noted.connected)


def printable(text: str | bytes) -> str:
    """What a stranger sent, made harmless for logs and terminals, and short."""
    if isinstance(text, bytes):
        text = text[:_LONGEST].decode("ascii", "replace")
    return "".join(char if " " <= char <= "~" else "?" for char in text[:_LONGEST])


def _of_socket(error: OSError, connected: bool) -> tuple[Finding, str]:
    if isinstance(error, socket.gaierror):
        away = error.errno in _RESOLVER_AWAY
        return (Finding.OURS, "no name server answers") if away else (Finding.UNREACHABLE, "unknown name")
    if connected:
        return Finding.CUT, "closed before it answered"
    if isinstance(error, ConnectionRefusedError):
        return Finding.REFUSED, "refused"
    name = errno.errorcode.get(error.errno or 0, type(error).__name__)
    if error.errno in _OURS:
        return Finding.OURS, name
    return Finding.UNREACHABLE, name
