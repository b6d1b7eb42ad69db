"""The clouds the suite runs against, and the process its victims are forked from."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.provisioner.conformance.benches import Bench, FakeBench
from tests.provisioner.conformance.warm import Warm

_PLUGINS = [pytest.param("fake")]
"""Every plugin of the product. The rest of the suite knows no names."""


@pytest.fixture(scope="session")
def warm() -> Iterator[Warm]:
    """Forks children that have imported everything."""
    with Warm() as running:
        yield running


@pytest.fixture(scope="module")
def fake_bench(tmp_path_factory: pytest.TempPathFactory) -> FakeBench:
    """The fake cloud."""
    return FakeBench(tmp_path_factory.mktemp("fake"), machines=4)


@pytest.fixture(scope="module", params=_PLUGINS)
def bench(request: pytest.FixtureRequest) -> Iterator[Bench]:
    """One plugin with its cloud; whatever a module leaves in it is released."""
    made: Bench = request.getfixturevalue(f"{request.param}_bench")
    yield made
    made.clean()
    assert made.all_keys() == set()
