"""Run Ironic as its own `ironic` command does, remembering one slow pure function.

Runs in the lab's virtual environment: `python run_ironic.py --config-file F`. At every Redfish call Ironic
hashes the BMC's password anew with 600,000 rounds (0.2 s of a core, some forty times per deployment) only to
look up a session. On a small machine that is most of a deployment's time, so results are kept in memory.
Nothing else of Ironic is changed.
"""

# mypy: disable-error-code="import-not-found"

from __future__ import annotations

import functools
import hashlib
from typing import Any


def main() -> None:
    """Ironic's API and conductor in one service, until SIGTERM."""
    remembering: Any = functools.lru_cache(maxsize=64)(hashlib.pbkdf2_hmac)
    hashlib.pbkdf2_hmac = remembering
    from ironic.command import singleprocess

    singleprocess.main()


if __name__ == "__main__":
    main()
