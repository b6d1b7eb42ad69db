"""Finds the engine, a program that is built outside this tree (`make engine`). It never builds it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from pathlib import Path

from market.errors import InvalidInput, Permanent

__all__ = ["RELEASE", "find_engine"]

RELEASE = "1.13.15"
"""The release of geth that tools/engine builds: the last that seals Clique."""


def find_engine(environment: Mapping[str, str] | None = None) -> Path:
    """The engine's program: OCX_ENGINE if that is set, else what `make engine` built.

    InvalidInput if OCX_ENGINE names no program, Permanent if none was built.
    """
    env = os.environ if environment is None else environment
    if named := env.get("OCX_ENGINE"):
        found = shutil.which(named)
        if found is None:
            raise InvalidInput(f"OCX_ENGINE names {named}, which is no program")
        return Path(found).absolute()
    home = env.get("OCX_ENGINE_CACHE") or str(Path(env.get("HOME", "~")).expanduser() / ".cache/ocx/engine")
    built = Path(home) / f"geth-{RELEASE}"
    if not os.access(built, os.X_OK):
        raise Permanent(
            f"the engine of the chain, geth {RELEASE}, is not built on this machine",
            hint="run: make engine (it needs Go), or set OCX_ENGINE to such a geth",
        )
    return built.resolve()
