"""Fills in the shipped systemd units."""

from __future__ import annotations

from collections.abc import Mapping

from market.errors import InvalidInput

__all__ = ["fill"]


def fill(template: str, fields: Mapping[str, str]) -> str:
    """A shipped unit, filled in; InvalidInput for what a unit's line cannot hold."""
    import jinja2

    from chain.data import data_path

    for field, text in fields.items():
        if any(character.isspace() or character in "%$\\\"'" for character in text):
            raise InvalidInput(
                f"{field} {text!r} cannot stand in a unit", hint="choose one without blanks or quotes"
            )
    forms = jinja2.FileSystemLoader(data_path("templates"))
    environment = jinja2.Environment(
        loader=forms,
        undefined=jinja2.StrictUndefined,
        keep_trailing_newline=True,
        autoescape=False,  # noqa: S701
    )
    return environment.get_template(template).render(fields)
