"""Finds the data files that travel with the code: templates and contract artifacts.

In a checkout they are the folders people edit, in an installed wheel the package `ocx_data`. This
module only finds folders; it must not read what is in them.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from market.errors import Permanent

__all__ = ["DataName", "data_path"]

DataName = Literal["ansible", "artifacts", "templates"]

_ROOT = Path(__file__).resolve().parents[1]
_IN_CHECKOUT: dict[DataName, Path] = {
    "ansible": Path("ansible"),
    "templates": Path("templates"),
    "artifacts": Path("contracts", "artifacts"),
}


def data_path(name: DataName) -> Path:
    """The folder of that name: the wheel's copy where the code was installed from one, else the checkout's.

    Raises `Permanent` if neither is there.
    """
    candidates = (_ROOT / "ocx_data" / name, _ROOT / _IN_CHECKOUT[name])
    for candidate in candidates:
        if candidate.is_dir():
            return candidate
    raise Permanent(
        f"the data folder {name!r} is missing from this installation",
        hint="Install the ocx wheel again, or run from a complete checkout",
        looked_in=[str(candidate) for candidate in candidates],
    )
