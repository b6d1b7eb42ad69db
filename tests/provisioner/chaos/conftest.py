"""Each file of faults has a small exchange of its own: clocks and endpoints are nothing to share."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from tests.chain.network import anvil
from tests.provisioner.world import FAR, Buyer, Provider, World


@pytest.fixture(scope="module")
def founded(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[World, list[Provider], list[Buyer]]]:
    """A running exchange, `PROVIDERS` of the test's module that nobody used yet, and a buyer."""
    with anvil("--timestamp", str(int(time.time()) - FAR)) as node:
        world = World(node, tmp_path_factory.mktemp("chaos"))
        buyers = [world.buyer()]
        providers = [world.provider(f"bm.{n}") for n in range(request.module.PROVIDERS)]
        world.begin()
        yield world, providers, buyers


@pytest.fixture
def own_world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """An exchange whose time may jump, not running yet: found parties, then `begin`."""
    with anvil("--timestamp", str(int(time.time()) - FAR)) as node:
        yield World(node, tmp_path_factory.mktemp("own"))
