"""Finds the engine on the control machine. Needs `ocx` beside Ansible, as `ocx deploy` has it."""

from __future__ import annotations

from typing import Any

from ansible.errors import AnsibleFilterError

from market.errors import OcxError


class FilterModule:
    """What Ansible loads."""

    def filters(self) -> dict[str, Any]:
        """The filters by name."""
        return {"chain_node_engine_path": engine_path}


def engine_path(named: str) -> str:
    """The engine's program: the one named, else OCX_ENGINE's, else what `make engine` built."""
    from chain.nodes.engine import find_engine

    try:
        return str(named) or str(find_engine())
    except OcxError as error:
        raise AnsibleFilterError(str(error)) from error
