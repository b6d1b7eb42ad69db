"""Filters that fill in the project's own forms (templates/) on the control machine.

Configurations pass through the programs' own models, so a wrong field ends the play before anything is
changed, and defaults are those of the programs. Needs `ocx` beside Ansible, as `ocx deploy` has it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible.errors import AnsibleFilterError

from market.errors import OcxError


class FilterModule:
    """What Ansible loads."""

    def filters(self) -> dict[str, Any]:
        """The filters by name."""
        return {
            "ocx_provider_configuration": provider_configuration,
            "ocx_witness_configuration": witness_configuration,
            "ocx_unit": unit,
            "ocx_finding": finding,
        }


def provider_configuration(fields: Mapping[str, Any]) -> str:
    """provider.yaml of an agent, from the fields of its settings."""
    from provisioner.settings import render

    return _told(render, **_plain(fields))


def witness_configuration(fields: Mapping[str, Any]) -> str:
    """witness.yaml of a node, from the fields of its settings."""
    from witness.settings import render

    return _told(render, **_plain(fields))


def unit(fields: Mapping[str, Any], form: str) -> str:
    """A systemd unit, from a form of templates/."""
    from cli.unit import fill

    return _told(fill, form, _plain(fields))


def _told(fill: Any, *given: Any, **fields: Any) -> str:
    try:
        return str(fill(*given, **fields))
    except OcxError as error:
        raise AnsibleFilterError(str(error)) from error


def _plain(value: Any) -> Any:
    """Values without Ansible's wrappers, which YAML and JSON writers do not know."""
    if isinstance(value, Mapping):
        return {str(name): _plain(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    for kind in (str, int, float):
        if isinstance(value, kind) and not isinstance(value, bool):
            return kind(value)
    return value


def finding(found: Mapping[str, Any]) -> str:
    """A finding of `ocx provider check` or `ocx witness check` as a sentence."""
    return f"{found['finding']}: {found['to_do']}"
