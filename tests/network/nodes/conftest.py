"""A network whose nodes have a keeper each, for every test that needs one."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator

import pytest

from chain.nodes import geth, layout, local
from tests.chain.nodes.processes import wait_for
from tests.network.nodes.apart import Apart, all_go_on


@pytest.fixture(scope="package")
def apart(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Apart]:
    """All four are up and know one another."""
    tmp_path = tmp_path_factory.mktemp("apart")
    description = layout.found(tmp_path / "all", 4, spaces=False, now=int(time.time()), block_time=2)
    folders = {}
    for node in description.nodes:
        folder = folders[node.name] = tmp_path / node.name
        shutil.copytree(tmp_path / "all/nodes" / node.name, folder / "nodes" / node.name)
        shutil.copy(tmp_path / "all/network.yaml", folder / "network.yaml")
    order = sorted(description.nodes, key=lambda node: bytes.fromhex(node.address[2:]))
    made = Apart(description, folders, tuple(node.name for node in order))
    try:
        for folder in folders.values():
            local.start(folder, while_pid=os.getpid())
        for name in made.names:
            wait_for(lambda name=name: (made.home(name) / geth.IPC).exists(), f"{name} to be up")
        wait_for(lambda: all_go_on(made, 3), "blocks", 120)
        yield made
    finally:
        for folder in folders.values():
            local.stop(folder)
