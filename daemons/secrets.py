"""Where a plugin's credentials come from: an environment variable, a file, or a command that prints them.

A setting that needs a secret holds one of `{env: NAME}`, `{file: PATH}` and `{command: [PROGRAM, ...]}`,
never the secret. It is read each time it is needed, so a rotated one counts from the next use on. What was
read is remembered in memory alone, for `redact`: a cloud's library may put a password into an error, and what
an agent tells goes through it. This module must not log, and no error of it repeats what it read.
"""

from __future__ import annotations

import base64
import dataclasses
import json
import os
import stat
import subprocess
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self
from urllib.parse import quote

from market.errors import InvalidInput, Permanent, Temporary

__all__ = ["SecretSource", "redact"]

_COMMAND_SECONDS = 30.0
"""How long a command may take."""
_SHORTEST = 6
"""Characters; what is shorter is too likely a part of ordinary words to be taken out of texts."""
_MOST = 256
_lock = threading.Lock()
_read: dict[str, None] = {}
"""Forms of what was read in this process, newest last; commands may give another token each time."""


@dataclasses.dataclass(frozen=True)
class SecretSource:
    """One place a secret is read from; exactly one of the three is set."""

    env: str | None = None
    """Name of an environment variable."""
    file: str | None = None
    """Path of a file that holds only the secret, closed to other users; white space at its ends is cut."""
    command: tuple[str, ...] | None = None
    """Program and arguments; what it prints is the secret. It gets no input and 30 seconds."""

    @classmethod
    def parse(cls, value: Any, setting: str) -> Self:
        """From a setting's value; `InvalidInput` naming `setting` if it is not one of the three forms."""
        form = InvalidInput(
            f"the setting {setting} must say where the secret is",
            hint="Write {env: NAME}, {file: PATH} or {command: [PROGRAM, ...]}, not the secret itself.",
        )
        if isinstance(value, cls):
            return value
        if not isinstance(value, Mapping) or len(value) != 1:
            raise form
        [(kind, place)] = value.items()
        if kind in ("env", "file") and isinstance(place, str) and place:
            return cls(env=place) if kind == "env" else cls(file=place)
        words = isinstance(place, list) and place and all(isinstance(word, str) and word for word in place)
        if kind == "command" and words:
            return cls(command=tuple(place))
        raise form

    def read(self) -> str:
        """The secret, now. `Permanent` if it is not there, `Temporary` if the command fails."""
        if self.env is not None:
            secret = os.environ.get(self.env, "")
        elif self.file is not None:
            secret = _from_file(Path(self.file))
        else:
            secret = _from_command(self.command or ())
        if not secret.strip():
            raise Permanent(f"there is no secret in {self}", hint="Put it there, or correct the setting.")
        _remember(secret.strip())
        return secret.strip()

    def __str__(self) -> str:
        """The place, for people."""
        if self.env is not None:
            return f"the variable {self.env}"
        return (
            f"the file {self.file}"
            if self.file is not None
            else f"the output of {(self.command or ('?',))[0]}"
        )


def redact(text: str) -> str:
    """`text` with every secret that this process has read replaced by a mark, also in the form it takes in a
    URL, in JSON, or alone in base64."""
    with _lock:
        forms = sorted(_read, key=len, reverse=True)
    for form in forms:
        text = text.replace(form, "[secret]")
    return text


def _remember(secret: str) -> None:
    if len(secret) < _SHORTEST:
        return
    encoded = base64.b64encode(secret.encode()).decode()
    with _lock:
        for form in (secret, quote(secret, safe=""), json.dumps(secret)[1:-1], repr(secret)[1:-1], encoded):
            _read.pop(form, None)
            _read[form] = None
        while len(_read) > _MOST:
            del _read[next(iter(_read))]


def _from_file(path: Path) -> str:
    try:
        with path.expanduser().open(encoding="utf-8") as file:
            mode = os.fstat(file.fileno()).st_mode
            if mode & stat.S_IRWXO:
                raise Permanent(
                    f"the secret's file {path} is open to everybody (mode {stat.S_IMODE(mode):04o})",
                    hint=f"Run: chmod 600 {path}",
                )
            return file.read()
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not text"
        raise Permanent(
            f"the secret's file {path} cannot be read: {why}", hint="Correct the setting."
        ) from None


def _from_command(command: tuple[str, ...]) -> str:
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, timeout=_COMMAND_SECONDS, check=False
        )
        text = done.stdout.decode()
    except (OSError, subprocess.TimeoutExpired, UnicodeDecodeError) as error:
        raise Temporary(
            f"the secret's command {command[0]} did not work: {type(error).__name__}", retry_after=10
        ) from None
    if done.returncode != 0:
        raise Temporary(
            f"the secret's command {command[0]} ended with {done.returncode}",
            hint="Run it by hand as the agent's user; what it prints is never shown here.",
            retry_after=10,
        )
    return text
