"""What the plugin remembers in its state folder: where a key went, and how machines measured themselves.

All of it may be lost: the machines know better. It is asked first because it is near.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from pathlib import Path
from typing import Any

from market.errors import Permanent
from provisioner.plugins.ansible.settings import AnsibleSettings

__all__ = ["Memory"]


class Memory:
    """The files `claims/` and `measured/` of the state folder. Safe to use from several processes."""

    def __init__(self, settings: AnsibleSettings) -> None:
        self._state = Path(settings.state).expanduser().absolute()

    def where(self, key: str) -> str | None:
        """The machine a key was last used with, until its release; None: not known here."""
        found = _load(self._claim(key))
        return str(found["machine"]) if found and found.get("key") == key else None

    def note(self, key: str, machine: str) -> None:
        """Remember where a key goes, before it goes there."""
        self._save(self._claim(key), {"key": key, "machine": machine})

    def forget(self, key: str) -> None:
        """The key was released; nothing happens if it was not known."""
        self._claim(key).unlink(missing_ok=True)

    def claims(self) -> dict[str, str]:
        """Every key that is known here, and its machine."""
        found = [_load(path) for path in sorted((self._state / "claims").glob("*.json"))]
        return {str(claim["key"]): str(claim["machine"]) for claim in found if claim}

    def measured(self, machine: str, facts: dict[str, Any]) -> None:
        """Remember how a machine measured itself."""
        path = self._state / "measured" / f"{machine}.json"
        if _load(path) != facts:
            self._save(path, facts)

    def last_measured(self, machine: str) -> dict[str, Any] | None:
        """How a machine last measured itself; None: never."""
        return _load(self._state / "measured" / f"{machine}.json")

    def _claim(self, key: str) -> Path:
        return self._state / "claims" / f"{hashlib.sha256(key.encode()).hexdigest()[:32]}.json"

    def _save(self, path: Path, value: dict[str, Any]) -> None:
        """Replace a file so that a crash leaves the old or the new one."""
        try:
            self._state.mkdir(mode=0o700, parents=True, exist_ok=True)
            path.parent.mkdir(exist_ok=True)
            partial = path.with_suffix(f".{os.getpid()}-{os.urandom(4).hex()}")
            with partial.open("w") as file:
                json.dump(value, file)
                file.flush()
                os.fsync(file.fileno())
            partial.rename(path)
        except OSError as error:
            hint = "Make the folder named by the setting state writable."
            raise Permanent(f"the state folder cannot be used: {error}", hint=hint) from error


def _load(path: Path) -> dict[str, Any] | None:
    with contextlib.suppress(OSError, ValueError):
        value = json.loads(path.read_text())
        return value if isinstance(value, dict) else None
    return None
