"""A chain of its own for each cast; each history starts from the same snapshot."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.agreement.arena import GENESIS, Arena
from tests.chain.network import anvil


@pytest.fixture
def arena(tmp_path: Path) -> Iterator[Arena]:
    """A fresh deployment."""
    with anvil("--timestamp", str(GENESIS)) as node:
        yield Arena(node, tmp_path)
