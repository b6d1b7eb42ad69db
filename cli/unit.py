"""Fills in the shipped systemd units."""

from __future__ import annotations

from collections.abc import Mapping

from chain.forms import fill as fill_form
from market.errors import InvalidInput

__all__ = ["fill"]


def fill(template: str, fields: Mapping[str, str]) -> str:
    """A shipped unit, filled in; InvalidInput for what a unit's line cannot hold."""
    for field, text in fields.items():
        if any(character.isspace() or character in "%$\\\"'" for character in text):
            raise InvalidInput(
                f"{field} {text!r} cannot stand in a unit", hint="choose one without blanks or quotes"
            )
    return fill_form(template, fields)
