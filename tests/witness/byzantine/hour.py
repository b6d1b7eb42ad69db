"""The hour on the stage: a clock all programs share, so that epochs without measurements can be short.

    python -m tests.witness.byzantine.hour FILE MODULE ARGUMENT ...

runs a module as a program whose wall clock is ahead of the machine's by what FILE says, at every moment. The
clock that measures durations stays as it is. Time passes at its usual rate; the stage only leaps forward, and
sets the chain's clock at the same moment. Nothing of the product knows.
"""

from __future__ import annotations

import mmap
import runpy
import struct
import sys
import time
from pathlib import Path

__all__ = ["Hour"]

_AHEAD = struct.Struct("d")
_machine = time.time


class Hour:
    """Seconds ahead of the machine's clock, in a file that all share."""

    def __init__(self, file: Path) -> None:
        if not file.exists():
            file.write_bytes(_AHEAD.pack(0.0))
        with file.open("r+b") as shared:
            self._shared = mmap.mmap(shared.fileno(), _AHEAD.size)

    def now(self) -> float:
        """Unix seconds, on the stage."""
        return _machine() + float(_AHEAD.unpack_from(self._shared)[0])

    def leap(self, second: float) -> None:
        """It is that second now, if that was still to come."""
        ahead = max(second - _machine(), float(_AHEAD.unpack_from(self._shared)[0]))
        _AHEAD.pack_into(self._shared, 0, ahead)


if __name__ == "__main__":
    time.time = Hour(Path(sys.argv[1])).now
    del sys.argv[:2]
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
