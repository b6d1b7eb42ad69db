"""One network for all faults: they come one after the other, and each finds what the last one left."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.network.faults.stage import Stage, stage


@pytest.fixture(scope="package")
def founded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """Four validators under load."""
    with stage(tmp_path_factory.mktemp("faults")) as made:
        yield made


@pytest.fixture
def four(founded: Stage) -> Stage:
    """The same, all four well, and callers told of success."""
    founded.wires.mend()
    founded.right_clocks()
    founded.keep("start", *founded.names)
    founded.whole()
    return founded
