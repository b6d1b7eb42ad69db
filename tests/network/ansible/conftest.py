"""Hosts need root and namespaces; without them tests skip, or fail where OCX_REQUIRE_ENGINE is set."""

from __future__ import annotations

import os

import pytest

from tests.network.ansible.hosts import Hosts


@pytest.fixture(scope="session", autouse=True)
def _hosts_can_be_had() -> None:
    """Say why not."""
    if (why := Hosts.missing()) is None:
        return
    if os.environ.get("OCX_REQUIRE_ENGINE"):
        pytest.fail(f"OCX_REQUIRE_ENGINE is set, but {why}", pytrace=False)
    pytest.skip(why)
