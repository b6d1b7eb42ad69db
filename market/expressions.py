"""Expressions: which documents a buyer accepts, as clauses `[JMESPath, operator, value]` that must all hold.

Whoever answers a request with an expression, and whoever checks the answer, has to come to the same result
about a document, at any load and on any machine: nothing here depends on time. Regular expressions are RE2's,
which needs time in proportion to the text; patterns, texts and paths are bounded (ADR 9).

A clause never fails on a document. Where its path finds nothing it does not hold; a `!` before an operator
turns that round. This module makes bytes, never hashes, and reads no files.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from functools import lru_cache
from math import isfinite
from typing import Any, TypeAlias

import re2

from market.errors import InvalidInput
from market.jmespaths import MAX_DEPTH, check_path, find, too_deep

__all__ = [
    "OPERATORS",
    "Clause",
    "Expression",
    "Finding",
    "canonical_expression",
    "eligible",
    "judge",
    "matches",
    "parse_expression",
]

Scalar: TypeAlias = "str | int | float | bool"
"""What a clause may compare with; null is what is missing."""

MAX_CLAUSES = 32
MAX_VALUE = 1024
"""Most characters of a text to compare with."""
MAX_LIST = 64
"""Most values of `in`."""
MAX_REGEX = 256
MAX_TEXT = 4096
"""Longest text of a document, in characters, that `matches` searches."""
_REGEX_MEMORY = 1 << 16
_MAX_EXACT = (1 << 53) - 1
_SHOWN = 60

_NUMERIC: dict[str, Callable[[Any, Any], bool]] = {
    "==": lambda found, value: found == value,
    "!=": lambda found, value: found != value,
    "<": lambda found, value: found < value,
    "<=": lambda found, value: found <= value,
    ">": lambda found, value: found > value,
    ">=": lambda found, value: found >= value,
}
_TEXT: dict[str, Callable[[str, str], bool]] = {
    "eq": lambda found, value: found == value,
    "ne": lambda found, value: found != value,
    "startswith": str.startswith,
    "endswith": str.endswith,
    "matches": lambda found, value: _search(value, found),
}
OPERATORS = (*_NUMERIC, *_TEXT, "in", "contains")
"""The operators; each may have a `!` before it, which turns its answer round."""


@dataclass(frozen=True, slots=True)
class Clause:
    """One condition: the value at `path` (JMESPath), compared by `operator` with `value`.

    `value` is a number for `==` and its like, text for `eq` and its like, a tuple for `in`, any of them for
    `contains`. InvalidInput if the clause can never be right.
    """

    path: str
    operator: str
    value: Scalar | tuple[Scalar, ...]

    def __post_init__(self) -> None:
        """Refuse a malformed path, operator, number, text or regular expression."""
        check_path(self.path)
        if self.base not in OPERATORS:
            raise InvalidInput(
                f"'{self.operator}' is not an operator",
                hint=f"use one of {' '.join(OPERATORS)}, perhaps with a ! before it",
            )
        object.__setattr__(self, "value", _checked(self.base, self.value))
        _need_utf8(self)

    @property
    def negated(self) -> bool:
        """Whether a `!` stands before a complete operator; `!=` is one itself."""
        return self.operator not in OPERATORS and self.operator.startswith("!")

    @property
    def base(self) -> str:
        """The operator without its negation."""
        return self.operator[1:] if self.negated else self.operator

    def __str__(self) -> str:
        """As people read it."""
        return f"{_path(self.path)} {self.operator} {_shown(_json(self.value))}"


@dataclass(frozen=True, slots=True)
class Expression:
    """Clauses in the order they were given, at least one; all must hold."""

    clauses: tuple[Clause, ...]

    def __post_init__(self) -> None:
        """Refuse none, and more than anybody needs."""
        if not 0 < len(self.clauses) <= MAX_CLAUSES:
            raise InvalidInput(
                "the expression has no clauses, or too many",
                hint=f"give 1 to {MAX_CLAUSES}",
            )


@dataclass(frozen=True, slots=True)
class Finding:
    """Whether a clause holds for a document, the value that was found (None: nothing), and why in words."""

    clause: Clause
    holds: bool
    found: Any
    why: str


# ---- reading ----


def parse_expression(raw: object) -> Expression:
    """An expression from JSON: a list of `[path, operator, value]`; InvalidInput says which is wrong."""
    if not isinstance(raw, list):
        raise InvalidInput("an expression must be a list", hint='write it like [["cpu.count", ">=", 32]]')
    some = raw[: MAX_CLAUSES + 1]  # one too many is enough to be refused
    return Expression(tuple(_clause(number, item) for number, item in enumerate(some, 1)))


def _clause(number: int, raw: object) -> Clause:
    hint = 'write it like ["cpu.count", ">=", 32]'
    if not isinstance(raw, list) or len(raw) != 3:
        raise InvalidInput(f"clause {number} is not [path, operator, value]", hint=hint)
    path, operator, value = raw
    if not isinstance(path, str) or not isinstance(operator, str):
        raise InvalidInput(f"clause {number}: path and operator must be text", hint=hint)
    try:
        return Clause(path, operator, tuple(value) if isinstance(value, list) else value)
    except InvalidInput as error:
        raise InvalidInput(
            f"clause {number}: {error.message}", hint=error.hint, clause=number, **error.evidence
        ) from error


def _checked(operator: str, value: object) -> Scalar | tuple[Scalar, ...]:
    """The value, if the operator can compare with it; whole numbers as int."""
    if operator in _NUMERIC:
        return _number(value, f"for {operator}", "for text use eq or ne, for others in [...]")
    if operator == "in":
        if not isinstance(value, tuple) or not 0 < len(value) <= MAX_LIST:
            raise InvalidInput("'in' needs a list", hint=f"give 1 to {MAX_LIST} values")
        return tuple(_scalar(item, "in") for item in value)
    if operator == "contains":
        return _scalar(value, operator)
    text = _text(value, operator)
    if operator == "matches":
        if len(text) > MAX_REGEX:
            raise InvalidInput(
                "the regular expression is too long", hint=f"use at most {MAX_REGEX} characters"
            )
        _regex(text)
    return text


def _scalar(value: object, operator: str) -> Scalar:
    if isinstance(value, bool):
        return value
    return (
        _text(value, operator) if isinstance(value, str) else _number(value, f"or text for {operator}", None)
    )


def _text(value: object, operator: str) -> str:
    if not isinstance(value, str):
        raise InvalidInput(
            f"'{operator}' needs text, not {_shown(_json(value))}", hint="for numbers use == and its like"
        )
    if len(value) > MAX_VALUE:
        raise InvalidInput(f"a text of {len(value)} characters is too long", hint=f"use at most {MAX_VALUE}")
    return value


def _number(value: object, what: str, hint: str | None) -> int | float:
    """A number that every language reads alike: up to 2**53, with at most six decimals."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not _is_number(value):
        raise InvalidInput(f"{_shown(_json(value))} is no number {what}", hint=hint or "give one value")
    if abs(value) > _MAX_EXACT:
        raise InvalidInput(f"{_shown(_json(value))} is a number past 2**53", hint="compare it as text")
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if len(_digits(value).partition(".")[2]) > 6:
        raise InvalidInput(f"{value} has more than six decimals", hint="round it")
    return value


def _need_utf8(clause: Clause) -> None:
    """So that the expression has bytes at all."""
    try:
        _encoded(clause)
    except UnicodeEncodeError as error:
        raise InvalidInput(
            f"{_shown(_json(clause.path))} {clause.operator}: there are characters that UTF-8 cannot hold",
            hint="remove lone surrogates",
        ) from error


@lru_cache(maxsize=256)
def _regex(pattern: str) -> Any:
    """The compiled pattern. Its memory bounds its size, and so the time of a search, whatever the text."""
    options = re2.Options()
    options.log_errors, options.max_mem, options.never_capture = False, _REGEX_MEMORY, True
    try:
        return re2.compile(pattern, options=options)
    except (re2.error, UnicodeEncodeError) as error:
        reason = error.args[0].decode(errors="replace") if isinstance(error, re2.error) else "it is not UTF-8"
        raise InvalidInput(
            f"the regular expression {_shown(_json(pattern))} is refused ({reason})",
            hint="RE2's syntax, without look-around and back references",
        ) from error


# ---- judging ----


def judge(expression: Expression, document: object) -> list[Finding]:
    """For each clause whether it holds for the document (any JSON), and why. Never raises."""
    if too_deep(document):
        why = f"the document is nested deeper than {MAX_DEPTH}: nothing is looked for"
        return [_told(clause, None, why, False) for clause in expression.clauses]
    return [_finding(clause, document) for clause in expression.clauses]


def matches(expression: Expression, document: object) -> bool:
    """Whether all clauses hold for the document. Never raises."""
    return all(finding.holds for finding in judge(expression, document))


def eligible(expression: Expression, documents: Mapping[int, object]) -> list[int]:
    """The resources whose documents the expression accepts, by rising number, as in a tree over them."""
    return sorted(number for number, document in documents.items() if matches(expression, document))


def _finding(clause: Clause, document: object) -> Finding:
    found = find(clause.path, document)
    if found is None:
        return _told(clause, None, f"nothing is at {_path(clause.path)}", False)
    known = f"{_path(clause.path)} is {_shown(_json(found))}"
    lacks = _lacks(clause.base, found)
    if lacks:
        return _told(clause, found, f"{known}, {lacks}", False)
    return _told(clause, found, known, _compare(clause.base, found, clause.value))


def _told(clause: Clause, found: object, known: str, says: bool) -> Finding:
    why = f"{known}, so {clause.base} {_shown(_json(clause.value))} is {_json(says)}"
    if clause.negated:
        why += f" and {clause.operator} is {_json(not says)}"
    return Finding(clause, says != clause.negated, found, why)


def _lacks(operator: str, found: object) -> str:
    """Why the operator cannot say anything of what was found; empty if it can."""
    if operator in _NUMERIC and not _is_number(found):
        return "which is no number"
    if operator in _TEXT and not isinstance(found, str):
        return "which is no text"
    if operator == "matches" and isinstance(found, str) and len(found) > MAX_TEXT:
        return f"which is longer than the {MAX_TEXT} characters that are searched"
    if operator == "contains" and not isinstance(found, str | list):
        return "which is neither text nor a list"
    return ""


def _compare(operator: str, found: Any, value: Any) -> bool:
    if operator in _NUMERIC:
        return _NUMERIC[operator](found, value)
    if operator in _TEXT:
        return _TEXT[operator](found, value)
    if operator == "in":
        return any(_same(found, item) for item in value)
    if isinstance(found, str):
        return isinstance(value, str) and value in found
    return any(_same(item, value) for item in found)


def _search(pattern: str, text: str) -> bool:
    try:
        return _regex(pattern).search(text) is not None
    except UnicodeEncodeError:  # a lone surrogate, which is no text
        return False


def _is_number(value: object) -> bool:
    """Whether JSON calls it a number: not true or false, and not what some readers make of 1e999."""
    if isinstance(value, float):
        return isfinite(value)
    return isinstance(value, int) and not isinstance(value, bool)


def _same(one: object, other: object) -> bool:
    """Equal as in JSON, where true is not 1."""
    return isinstance(one, bool) == isinstance(other, bool) and one == other


# ---- bytes ----


def canonical_expression(expression: Expression) -> bytes:
    """The one byte string of an expression, so that everybody who holds it gets the same hash.

    As `market.specs.canonical_document` for documents: no white space, UTF-8, numbers as RFC 8785 has them.
    """
    return b"[" + b",".join(_encoded(clause) for clause in expression.clauses) + b"]"


def _encoded(clause: Clause) -> bytes:
    return f"[{_written(clause.path)},{_written(clause.operator)},{_written(clause.value)}]".encode()


def _written(value: Scalar | tuple[Scalar, ...]) -> str:
    if isinstance(value, tuple):
        return f"[{','.join(map(_written, value))}]"
    return _digits(value) if isinstance(value, float) else json.dumps(value, ensure_ascii=False)


def _digits(number: float) -> str:
    """Without an exponent; with six decimals at most this is what RFC 8785 asks for."""
    return format(Decimal(repr(number)), "f")


def _json(value: object) -> str:
    """As a line of ASCII, for people."""
    try:
        return json.dumps(value)
    except (RecursionError, TypeError, ValueError):
        return "what cannot be printed"


def _path(path: str) -> str:
    """A path for people: nothing in it moves their terminal's cursor."""
    return path if path.isprintable() else _json(path)


def _shown(text: str) -> str:
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 3]}..."
