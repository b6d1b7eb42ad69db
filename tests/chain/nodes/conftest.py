"""Tests that need the engine skip where it is not built, or fail where OCX_REQUIRE_ENGINE is set."""

from __future__ import annotations

import os

import pytest

from chain.nodes.engine import find_engine
from market.errors import OcxError


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Look for the engine before any fixture of a marked test."""
    if item.get_closest_marker("engine") is None:
        return
    try:
        find_engine()
    except OcxError as error:
        if os.environ.get("OCX_REQUIRE_ENGINE"):
            pytest.fail(f"OCX_REQUIRE_ENGINE is set, but {error}", pytrace=False)
        pytest.skip(str(error))
