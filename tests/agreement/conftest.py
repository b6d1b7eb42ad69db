"""One chain for all comparisons; each history starts from the same snapshot."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.agreement.arena import GENESIS, Arena
from tests.chain.network import anvil


@pytest.fixture(scope="module")
def arena(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Arena]:
    """A fresh deployment."""
    with anvil("--timestamp", str(GENESIS)) as node:
        yield Arena(node, tmp_path_factory.mktemp("arena"))
