"""One exchange for all tests of the provisioner; each test takes a provider of its own."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import pytest

from tests.chain.network import anvil
from tests.provisioner.world import FAR, Buyer, Provider, World

_PROVIDERS = 40
"""As many as all files together use, should one worker get them all."""


@pytest.fixture(scope="session")
def founded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[World, list[Provider], list[Buyer]]]:
    """A running exchange, providers nobody used yet, and two buyers."""
    with anvil("--timestamp", str(int(time.time()) - FAR)) as node:
        world = World(node, tmp_path_factory.mktemp("world"))
        buyers = [world.buyer() for _ in range(2)]
        providers = [world.provider(f"bm.{n}") for n in range(_PROVIDERS)]
        world.begin()
        yield world, providers, buyers


@pytest.fixture
def world(founded: tuple[World, list[Provider], list[Buyer]]) -> World:
    """The exchange."""
    return founded[0]


@pytest.fixture
def buyer(founded: tuple[World, list[Provider], list[Buyer]]) -> Buyer:
    """A buyer."""
    return founded[2][0]


@pytest.fixture
def stranger(founded: tuple[World, list[Provider], list[Buyer]]) -> Buyer:
    """Another buyer."""
    return founded[2][1]


@pytest.fixture
def provider(founded: tuple[World, list[Provider], list[Buyer]]) -> Provider:
    """A provider nobody used yet."""
    return founded[1].pop()


@pytest.fixture
def another_provider(founded: tuple[World, list[Provider], list[Buyer]]) -> Callable[[], Provider]:
    """More of them."""
    return founded[1].pop
