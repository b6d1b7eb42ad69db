"""Fills in the shipped forms (templates/): configurations, units, a chain's files. None of them is HTML."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from chain.data import data_path

__all__ = ["fill"]


def fill(form: str, fields: Mapping[str, Any]) -> str:
    """A form by its name below templates/, filled in; a missing field raises: it is our error."""
    import jinja2  # only for those who write files

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(data_path("templates")),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,  # noqa: S701  values pass through tojson, or are checked by who gives them
    )
    environment.policies["json.dumps_kwargs"] = {"sort_keys": False, "ensure_ascii": True}
    environment.policies["json.dumps_function"] = _json
    return environment.get_template(form).render(fields)


def _json(value: Any, **options: Any) -> str:
    """As jinja2's own, which it then escapes for HTML (`<` becomes \\u003c): valid in JSON, YAML and TOML."""
    return json.dumps(value, **options)
