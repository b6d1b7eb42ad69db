"""What a program writes to its log: its own words at the level asked for, those of libraries from info on.

At the level debug, libraries that speak HTTP write requests, headers and addresses, and so might write what a
cloud's password is; that is no log for operators. Whatever is written goes through `redact`.
"""

from __future__ import annotations

import logging
import sys
from typing import TextIO

from daemons.secrets import redact

__all__ = ["begin"]

_OURS = ("chain", "cli", "daemons", "market", "provisioner", "trader", "witness")
_FORMAT = "%(asctime)s %(levelname)s %(name)s: %(message)s"


class _Formatter(logging.Formatter):
    """The line, traceback included, without secrets."""

    def format(self, record: logging.LogRecord) -> str:
        """See `logging.Formatter.format`."""
        return redact(super().format(record))


def begin(level: str, stream: TextIO | None = None) -> None:
    """Write records from `level` on to `stream` (standard error); of others' none at the level debug.

    Once per process; a second call changes nothing.
    """
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(_Formatter(_FORMAT))
    handler.addFilter(_is_wanted)
    logging.basicConfig(level=level.upper(), handlers=[handler])


def _is_wanted(record: logging.LogRecord) -> bool:
    package = record.name.partition(".")[0]
    return record.levelno >= logging.INFO or package in _OURS or package.startswith("ocx")
