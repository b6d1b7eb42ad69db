"""The lab, started once for all tests that need a real Ironic."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from cli.demo.lab import Lab


@pytest.fixture(scope="session")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """A real Ironic with three machines whose disks are new."""
    directory: Path = tmp_path_factory.mktemp("lab")
    with Lab(directory, machines=3, first_clean=False, say=print) as running:
        yield running
