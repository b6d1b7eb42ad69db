"""Endpoints that lie: in between an agent and its node, they show an old chain, or lead to another one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from tests.chain.liar import Between
from tests.provisioner.world import Provider

__all__ = ["Lagging", "endpoints"]


def endpoints(provider: Provider, *urls: str) -> None:
    """Make these the endpoints of a provider's connection file."""
    path: Path = provider.folder / "connection.yaml"
    path.write_text(yaml.safe_dump(yaml.safe_load(path.read_text()) | {"rpc_urls": list(urls)}))


class Lagging(Between):
    """A node that shows the chain as it was at block `at`; None: as it is. It takes transactions."""

    def __init__(self, port: int) -> None:
        """In front of the node on that loopback port."""
        super().__init__(port)
        self.at: int | None = None

    def answer(self, port: int, call: dict[str, Any]) -> dict[str, Any]:
        """One call, as the node would have answered it then."""
        at = self.at
        if at is not None:
            call = call | {"params": [hex(at) if p in ("latest", "pending") else p for p in call["params"]]}
            asked = call["params"][0] if call["method"] == "eth_getBlockByNumber" else None
            if asked is not None and int(asked, 16) > at:
                return {"jsonrpc": "2.0", "id": call["id"], "result": None}
        return super().answer(port, call)
