"""One exchange for all tests of the provisioner; each test takes a provider of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from queue import SimpleQueue

import pytest

from tests.engine import REAL, begun
from tests.provisioner.world import FAR, Buyer, Provider, World

_PROVIDERS = 40
"""As many as all files together use, should one worker get them all."""
_AHEAD = 3


class _Reserve:
    """Providers nobody used yet; where a block takes its time, they are made while others are used."""

    def __init__(self, world: World) -> None:
        self._world, self._made = world, 0
        self._pool = ThreadPoolExecutor(_AHEAD if REAL else 1)
        self._ready = SimpleQueue[Future[Provider]]()
        for _ in range(_AHEAD if REAL else _PROVIDERS):
            self._order()
        if not REAL:
            self._pool.shutdown()

    def pop(self) -> Provider:
        """One of them."""
        if REAL:
            self._order()
        return self._ready.get_nowait().result()

    def _order(self) -> None:
        self._made += 1
        self._ready.put(self._pool.submit(self._world.provider, f"bm.{self._made}"))


@pytest.fixture(scope="session")
def founded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[World, _Reserve, list[Buyer]]]:
    """A running exchange, providers nobody used yet, and two buyers."""
    with begun(FAR) as node:
        world = World(node, tmp_path_factory.mktemp("world"))
        buyers = [world.buyer() for _ in range(2)]
        providers = _Reserve(world)
        world.begin()
        yield world, providers, buyers


@pytest.fixture
def world(founded: tuple[World, _Reserve, list[Buyer]]) -> World:
    """The exchange."""
    return founded[0]


@pytest.fixture
def buyer(founded: tuple[World, _Reserve, list[Buyer]]) -> Buyer:
    """A buyer."""
    return founded[2][0]


@pytest.fixture
def stranger(founded: tuple[World, _Reserve, list[Buyer]]) -> Buyer:
    """Another buyer."""
    return founded[2][1]


@pytest.fixture
def provider(founded: tuple[World, _Reserve, list[Buyer]]) -> Provider:
    """A provider nobody used yet."""
    return founded[1].pop()


@pytest.fixture
def another_provider(founded: tuple[World, _Reserve, list[Buyer]]) -> Callable[[], Provider]:
    """More of them."""
    return founded[1].pop
