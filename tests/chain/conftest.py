"""Networks the tests of `chain` run on; every anvil is its own process and dies with the tests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.chain.network import Network, anvil, deploy


@pytest.fixture
def network(tmp_path: Path) -> Iterator[Network]:
    """A network that mines a block per transaction."""
    with anvil() as node:
        yield deploy(node, tmp_path)


@pytest.fixture
def slow_network(tmp_path: Path) -> Iterator[Network]:
    """A network that mines only when told (`network.node.mine`), once the contract is there."""
    with anvil() as node:
        network = deploy(node, tmp_path)
        node.ask("evm_setAutomine", False)
        yield network
