"""Keeps Python's recursion limit where a library we need would raise it.

`eth_account` imports a library that allows 100,000 frames, more than the stack holds: from then on a few
thousand opening brackets in somebody's JSON end the process. This module must not import anything itself.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["recursion_limit_kept"]


@contextmanager
def recursion_limit_kept() -> Iterator[None]:
    """Whatever is imported inside, the limit is afterwards what it was."""
    limit = sys.getrecursionlimit()
    try:
        yield
    finally:
        sys.setrecursionlimit(limit)
