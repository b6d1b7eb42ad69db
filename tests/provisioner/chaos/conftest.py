"""An exchange of its own for faults that need the chain's time to jump; the others share everybody's."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from tests.chain.network import anvil
from tests.provisioner.world import FAR, World


@pytest.fixture
def own_world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """An exchange that is not running yet: found parties, then `begin`."""
    with anvil("--timestamp", str(int(time.time()) - FAR)) as node:
        yield World(node, tmp_path_factory.mktemp("own"))
