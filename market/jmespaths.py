"""Paths into documents: JMESPath, of which every evaluation ends soon.

The engine is the `jmespath` package. With all of JMESPath, 200 characters can make a list of a million
(`[@,@][]|[@,@][]|...`), and whoever answers requests evaluates what strangers wrote. So what makes new and
larger values is refused when a path is read: lists and objects of one's own, and functions such as `merge` or
`join`. What is left picks, filters and counts what the document holds: no step has more elements than the
document, and the time is at most the path's length times the document's (ADR 9).

This module must not know of clauses, and must not raise on any document.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from jmespath.exceptions import JMESPathError
from jmespath.parser import ParsedResult, Parser

from market.errors import InvalidInput

__all__ = ["MAX_DEPTH", "MAX_PATH", "check_path", "find", "too_deep"]

MAX_PATH = 200
"""Most characters of a path."""

MAX_DEPTH = 64
"""How deep a document may be nested, as in `market.specs`; in a deeper one nothing is found."""

_MAX_NESTING = 50
_SCALARS = (str, int, float, bool, type(None))
_NODES = {
    *("field", "subexpression", "identity", "current", "literal", "pipe"),
    *("index", "index_expression", "slice", "flatten"),
    *("projection", "value_projection", "filter_projection"),
    *("comparator", "and_expression", "or_expression", "not_expression"),
    *("function_expression", "expref"),
}
_UNARY = ("abs", "avg", "ceil", "floor", "keys", "length", "max", "min", "reverse", "sort", "sum")
_BY = ("map", "max_by", "min_by", "sort_by")
_ARGUMENTS = {
    **dict.fromkeys((*_UNARY, "to_number", "type", "values"), 1),
    **dict.fromkeys((*_BY, "contains", "ends_with", "starts_with"), 2),
    "not_null": None,
}
"""Functions a path may use, with how many arguments they take (None: one or more)."""
_FAILURES = (
    JMESPathError,
    ArithmeticError,
    AttributeError,
    LookupError,
    RecursionError,
    TypeError,
    ValueError,
)

Node = dict[str, Any]


def check_path(path: str) -> None:
    """Refuse what is no JMESPath, is longer than MAX_PATH, or uses a part that is not allowed here."""
    if len(path) > MAX_PATH:
        raise InvalidInput(
            f"a path of {len(path)} characters is too long",
            hint=f"use at most {MAX_PATH}",
            path=path[:MAX_PATH],
        )
    waiting: list[tuple[Node, int]] = [(_parsed(path).parsed, 1)]
    while waiting:
        node, depth = waiting.pop()
        if depth > _MAX_NESTING:
            raise _refused(path, "is nested too deep", f"nest at most {_MAX_NESTING} parts")
        _check_node(path, node)
        # A slice's children are numbers, not parts.
        waiting += [(child, depth + 1) for child in node["children"] if isinstance(child, dict)]


def _check_node(path: str, node: Node) -> None:
    kind, children = node["type"], node["children"]
    if kind not in _NODES:
        raise _refused(path, "makes a list or an object of its own", "pick one value; use a clause for each")
    if kind == "literal" and not isinstance(node["value"], _SCALARS):
        raise _refused(path, "holds a literal list or object", "compare with single values, joined by ||")
    if kind == "slice" and children[2] == 0:
        raise _refused(path, "has a slice with step 0", "use another step")
    if kind == "function_expression":
        _check_function(path, node)
    elif any(isinstance(child, dict) and child["type"] == "expref" for child in children):
        raise _refused(path, "has & outside the arguments of a function", f"& is for {', '.join(_BY)}")


def _check_function(path: str, node: Node) -> None:
    name, arguments = node["value"], node["children"]
    if name not in _ARGUMENTS:
        raise _refused(path, f"uses the function '{name}'", f"there are: {', '.join(sorted(_ARGUMENTS))}")
    wanted = _ARGUMENTS[name]
    if len(arguments) != wanted and not (wanted is None and arguments):
        raise _refused(path, f"gives {name} {len(arguments)} arguments", f"it takes {wanted or 'at least 1'}")
    if name not in _BY and any(child["type"] == "expref" for child in arguments):
        raise _refused(path, f"gives {name} a reference", f"& is for {', '.join(_BY)}")


def _refused(path: str, what: str, hint: str) -> InvalidInput:
    return InvalidInput(f"the path {path!r} {what}", hint=hint, path=path)


@lru_cache(maxsize=1024)
def _parsed(path: str) -> ParsedResult:
    try:
        result = Parser().parse(path)
    except JMESPathError as error:
        reason = str(error).splitlines()[0].rstrip(":")
        raise _refused(
            path, f"is not JMESPath ({reason})", "write it like cpu.count or disks[0].size"
        ) from error
    except (RecursionError, ValueError) as error:
        raise _refused(path, "is not JMESPath", "write it like cpu.count or disks[0].size") from error
    if result.parsed["type"] == "expref":
        raise _refused(path, "is only a reference", "leave the & away")
    return result


def find(path: str, document: object) -> object:
    """What is at a path that `check_path` took; None for nothing, for null, and where a function fails.

    The document must not be `too_deep`.
    """
    try:
        return _parsed(path).search(document)
    except _FAILURES:
        return None


def too_deep(document: object) -> bool:
    """Whether the document is nested deeper than MAX_DEPTH; takes time in proportion to its size at most."""
    level: list[object] = [document]
    for _ in range(MAX_DEPTH + 1):
        level = [
            item
            for value in level
            if isinstance(value, dict | list)
            for item in (value.values() if isinstance(value, dict) else value)
            if isinstance(item, dict | list)
        ]
        if not level:
            return False
    return True
