"""The responder as first-boot configuration: what a plugin gives a new machine so that it answers witnesses.

The program itself is `templates/guest/ocx_responder.py`; it runs in the tenant's machine, with a key born
there, and is described in docs/responder.md. Here it is only packed. This module contacts nobody and knows no
cloud.
"""

from __future__ import annotations

import base64
import functools
import gzip
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from chain.data import data_path
from chain.lease_endpoints import GUEST_DETAIL, address_text

__all__ = ["PORT", "PROGRAM", "UNIT", "cloud_config", "detail", "program_path", "unit_text"]

PORT = 8022
"""Where it listens unless something else is said."""
PROGRAM = "/usr/local/lib/ocx/ocx_responder.py"
UNIT = "/etc/systemd/system/ocx-responder.service"
"""Where program and systemd unit lie in the machine."""


def program_path() -> Path:
    """The program, in this installation."""
    return data_path("templates") / "guest" / "ocx_responder.py"


def unit_text(port: int) -> str:
    """The systemd unit that keeps it running at a port."""
    text = program_path().with_name("ocx-responder.service").read_text("utf-8")
    return text.replace(f"--port {PORT}", f"--port {port}")


def cloud_config(port: int, more: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Cloud-config that installs and starts it, beside what `more` has for the same lists.

    The same for the same arguments, so that a repeated launch asks for the same.
    """
    more = more or {}
    files = [
        {
            "path": PROGRAM,
            "permissions": "0755",
            "encoding": "gz+b64",
            "content": _packed(program_path().read_bytes()),
        },
        {"path": UNIT, "permissions": "0644", "content": unit_text(port)},
    ]
    commands = [
        ["systemctl", "daemon-reload"],
        ["systemctl", "enable", "--now", "--no-block", Path(UNIT).name],
    ]
    return {
        **more,
        "write_files": [*(more.get("write_files") or []), *files],
        "runcmd": [*(more.get("runcmd") or []), *commands],
    }


def detail(host: str, port: int | None) -> dict[str, str]:
    """What a connection's `details` say of a responder; nothing where there is none."""
    return {GUEST_DETAIL: address_text(host, port)} if port else {}


@functools.cache
def _packed(content: bytes) -> str:
    """Gzip without a time stamp, in base64."""
    return base64.b64encode(gzip.compress(content, 9, mtime=0)).decode()
