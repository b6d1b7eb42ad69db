"""Reads the JSON files that people hand to commands. A bad one is InvalidInput, told in one line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from market.errors import InvalidInput

__all__ = ["read_json"]

MAX_FILE = 16 << 20
"""Largest file that is read, in bytes."""


def read_json(path: Path, what: str) -> Any:
    """What a JSON file holds; `what` says what it should be, e.g. "expression"."""
    try:
        with path.open("rb") as file:
            raw = file.read(MAX_FILE + 1)
    except OSError as error:
        raise InvalidInput(
            f"cannot read the {what} {path} ({error.strerror})", hint="name a file that is there"
        ) from error
    if len(raw) > MAX_FILE:
        raise InvalidInput(
            f"the {what} {path} is larger than {MAX_FILE >> 20} MiB", hint="is it the right file?"
        )
    try:
        return json.loads(raw.decode(), parse_constant=_refuse)
    except RecursionError as error:
        raise InvalidInput(f"the {what} {path} is nested too deep", hint="is it the right file?") from error
    except ValueError as error:
        raise InvalidInput(
            f"the {what} {path} is not JSON ({error})", hint="a list or an object as JSON writes it, in UTF-8"
        ) from error


def _refuse(name: str) -> None:
    raise ValueError(f"{name} is no number")
