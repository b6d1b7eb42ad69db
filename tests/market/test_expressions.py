"""Expressions: what each operator says, what is refused when read, and that nothing fails or takes long."""

from __future__ import annotations

import json
import time
from typing import Any, cast

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from market.errors import InvalidInput
from market.expressions import (
    MAX_CLAUSES,
    MAX_TEXT,
    OPERATORS,
    Clause,
    Expression,
    canonical_expression,
    eligible,
    judge,
    matches,
    parse_expression,
)
from market.jmespaths import MAX_DEPTH, MAX_PATH, too_deep
from market.specs import Json, canonical_document

DOCUMENT = {
    "cpu": {"count": 64, "model": "AMD EPYC 9354", "flags": ["avx2", "avx512f"], "load": 0.5},
    "disks": [{"name": "sda", "gib": 480, "ssd": True}, {"name": "sdb", "gib": 960, "ssd": False}],
    "one": 1,
    "true": True,
    "nothing": None,
    "text": "64",
    "long": "x" * (MAX_TEXT + 1),
}


def holds(path: str, operator: str, value: Any, document: Any = DOCUMENT) -> bool:
    """What one clause says, as it comes from a file."""
    return matches(parse_expression([[path, operator, value]]), document)


@pytest.mark.parametrize(
    ("path", "operator", "value", "expected"),
    [
        ("cpu.count", "==", 64, True),
        ("cpu.count", "==", 64.0, True),
        ("cpu.count", "==", 65, False),
        ("cpu.count", "!=", 65, True),
        ("cpu.count", "!=", 64, False),
        ("cpu.count", "<", 64, False),
        ("cpu.count", "<", 65, True),
        ("cpu.count", "<=", 64, True),
        ("cpu.count", "<=", 63, False),
        ("cpu.count", ">", 64, False),
        ("cpu.count", ">", 63.5, True),
        ("cpu.count", ">=", 64, True),
        ("cpu.count", ">=", 65, False),
        ("cpu.load", "==", 0.5, True),
        ("cpu.model", "eq", "AMD EPYC 9354", True),
        ("cpu.model", "eq", "amd epyc 9354", False),
        ("cpu.model", "ne", "Xeon", True),
        ("cpu.model", "ne", "AMD EPYC 9354", False),
        ("cpu.model", "startswith", "AMD", True),
        ("cpu.model", "startswith", "EPYC", False),
        ("cpu.model", "endswith", "9354", True),
        ("cpu.model", "endswith", "AMD", False),
        ("cpu.model", "matches", "EPYC 9[0-9]{3}", True),
        ("cpu.model", "matches", "^EPYC", False),
        ("cpu.count", "in", [32, 64], True),
        ("cpu.count", "in", ["64"], False),
        ("one", "in", [True], False),
        ("true", "in", [1], False),
        ("true", "in", [True], True),
        ("cpu.flags", "contains", "avx2", True),
        ("cpu.flags", "contains", "avx", False),
        ("cpu.model", "contains", "EPYC", True),
        ("cpu.model", "contains", 9354, False),
        ("disks[*].gib", "contains", 960, True),
        ("disks[*].ssd", "contains", 1, False),
        ("length(disks[?ssd])", ">=", 1, True),
        ("max(disks[*].gib)", ">", 959, True),
        ("sum(map(&gib, disks))", "==", 1440, True),
        ("max_by(disks, &gib).name", "eq", "sdb", True),
    ],
)
def test_operators(path: str, operator: str, value: Any, expected: bool) -> None:
    assert holds(path, operator, value) is expected
    assert holds(path, f"!{operator}", value) is not expected


@pytest.mark.parametrize(
    ("operator", "value"),
    [
        *((operator, 64) for operator in ("==", "!=", "<", "<=", ">", ">=")),
        *((operator, "64") for operator in ("eq", "ne", "startswith", "endswith", "matches", "contains")),
        ("in", [64, "64"]),
    ],
)
@pytest.mark.parametrize("path", ["gpus", "cpu.gone.deeper", "disks[7].gib", "nothing", "abs(text)"])
def test_a_missing_key_is_false_and_true_only_with_a_negation(path: str, operator: str, value: Any) -> None:
    assert not holds(path, operator, value)
    assert holds(path, f"!{operator}", value)


@pytest.mark.parametrize("path", ["text", "true", "cpu", "disks", "cpu.model"])
@pytest.mark.parametrize("operator", ["==", "!=", "<", "<=", ">", ">="])
def test_a_numeric_operator_on_what_is_no_number_is_false(path: str, operator: str) -> None:
    assert not holds(path, operator, 1)
    assert holds(path, f"!{operator}", 1)


@pytest.mark.parametrize("number", [float("nan"), float("inf"), -float("inf")])
def test_what_json_has_no_number_for_is_none(number: float) -> None:
    assert not holds("n", "!=", 1, {"n": number})


@pytest.mark.parametrize("operator", ["eq", "ne", "startswith", "endswith", "matches"])
@pytest.mark.parametrize("path", ["cpu.count", "true", "cpu.flags"])
def test_a_text_operator_on_what_is_no_text_is_false(path: str, operator: str) -> None:
    assert not holds(path, operator, "a")


def test_all_clauses_must_hold() -> None:
    good, bad = ["cpu.count", ">=", 1], ["cpu.count", ">=", 99]
    assert matches(parse_expression([good, good]), DOCUMENT)
    assert not matches(parse_expression([good, bad]), DOCUMENT)


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        ({}, "must be a list"),
        ([], "no clauses"),
        ([["a", "==", 1]] * (MAX_CLAUSES + 1), "too many"),
        (["a == 1"], "clause 1 is not"),
        ([["a", "==", 1], ["a", "=="]], "clause 2 is not"),
        ([[1, "==", 1]], "must be text"),
        ([["a", None, 1]], "must be text"),
        ([["", "==", 1]], "not JMESPath"),
        ([["a..b", "==", 1]], "not JMESPath"),
        ([["a[", "==", 1]], "not JMESPath"),
        ([["a-b", "==", 1]], "not JMESPath"),
        ([["`1", "==", 1]], "not JMESPath"),
        ([["a" * (MAX_PATH + 1), "==", 1]], "too long"),
        ([["!" * 100 + "a", "==", 1]], "nested too deep"),
        ([["(" * (MAX_PATH - 1), "==", 1]], "not JMESPath"),
        ([["[a, b]", "==", 1]], "of its own"),
        ([["{a: b}", "==", 1]], "of its own"),
        ([["a[?b == `[1]`]", "==", 1]], "literal list"),
        ([["a[::0]", "==", 1]], "step 0"),
        ([["join(',', a)", "==", 1]], "'join'"),
        ([["nosuch(a)", "==", 1]], "'nosuch'"),
        ([["length(a, b)", "==", 1]], "2 arguments"),
        ([["not_null()", "==", 1]], "0 arguments"),
        ([["&a", "==", 1]], "reference"),
        ([["not_null(&a)", "==", 1]], "reference"),
        ([["map(&(&a), @)", "==", 1]], "&"),
        ([["a | &b", "==", 1]], "&"),
        ([["a", "=", 1]], "not an operator"),
        ([["a", "!", 1]], "not an operator"),
        ([["a", "!!eq", "b"]], "not an operator"),
        ([["a", "!!==", 1]], "not an operator"),
        ([["a", "===", 1]], "not an operator"),
        ([["a", "EQ", "b"]], "not an operator"),
        ([["a", "==", "1"]], "no number"),
        ([["a", "==", True]], "no number"),
        ([["a", "==", None]], "no number"),
        ([["a", ">", [1]]], "no number"),
        ([["a", ">", float("nan")]], "no number"),
        ([["a", ">", float("inf")]], "no number"),
        ([["a", ">", 1 << 53]], "2**53"),
        ([["a", ">", 1e300]], "2**53"),
        ([["a", ">", 1e-7]], "six decimals"),
        ([["a", "eq", 1]], "needs text"),
        ([["a", "ne", None]], "needs text"),
        ([["a", "eq", "x" * 1025]], "too long"),
        ([["a", "eq", "\ud800"]], "UTF-8"),
        ([['"\ud800"', "eq", "a"]], "UTF-8"),
        ([["a", "matches", "("]], "regular expression"),
        ([["a", "matches", "\ud800"]], "regular expression"),
        ([["a", "matches", "(?=a)b"]], "regular expression"),
        ([["a", "matches", "(a{0,100}){0,100}"]], "regular expression"),
        ([["a", "matches", "x" * 257]], "too long"),
        ([["a", "in", "abc"]], "needs a list"),
        ([["a", "in", []]], "needs a list"),
        ([["a", "in", [1] * 65]], "needs a list"),
        ([["a", "in", [None]]], "no number or text"),
        ([["a", "in", [[1]]]], "no number or text"),
        ([["a", "contains", {}]], "no number or text"),
    ],
)
def test_what_can_never_be_right_is_refused_when_it_is_read(raw: Any, said: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        parse_expression(raw)
    assert said in refused.value.message
    assert refused.value.hint


def test_a_refusal_names_its_clause() -> None:
    with pytest.raises(InvalidInput, match=r"^clause 2: ") as refused:
        parse_expression([["a", "==", 1], ["b", "==", "x"]])
    assert refused.value.evidence["clause"] == 2


def test_a_bang_before_a_complete_operator_negates_and_otherwise_belongs_to_it() -> None:
    assert [Clause("a", operator, 1).negated for operator in ("!=", "!==", "!!=")] == [False, True, True]
    assert not holds("gone", "!=", 1)
    assert holds("gone", "!==", 1)
    assert holds("gone", "!!=", 1)


def test_each_finding_tells_the_value_and_why() -> None:
    raw = [
        ["cpu.count", ">=", 96],
        ["gpus", "!in", ["A100"]],
        ["text", ">", 1],
        ["cpu.model", "contains", "EPYC"],
        ["long", "matches", "x"],
    ]
    findings = judge(parse_expression(raw), DOCUMENT)
    assert [(finding.holds, finding.found) for finding in findings] == [
        (False, 64),
        (True, None),
        (False, "64"),
        (True, "AMD EPYC 9354"),
        (False, DOCUMENT["long"]),
    ]
    assert [finding.why for finding in findings[:4]] == [
        "cpu.count is 64, so >= 96 is false",
        'nothing is at gpus, so in ["A100"] is false and !in is true',
        'text is "64", which is no number, so > 1 is false',
        'cpu.model is "AMD EPYC 9354", so contains "EPYC" is true',
    ]
    assert len(findings[4].why) < 250


def test_a_number_too_long_to_print_is_told_nevertheless() -> None:
    [finding] = judge(parse_expression([["@", ">", 1]]), 10**5000)
    assert finding.holds
    assert finding.why == "@ is what cannot be printed, so > 1 is true"


def test_a_document_nested_too_deep_holds_nothing_and_is_told() -> None:
    document: Any = {}
    for _ in range(100_000):
        document = {"a": document}
    assert too_deep(document)
    findings = judge(parse_expression([["a", "eq", "b"], ["a", "!eq", "b"]]), document)
    assert [finding.holds for finding in findings] == [False, True]
    assert all(str(MAX_DEPTH) in finding.why for finding in findings)


def test_a_document_that_can_be_registered_is_not_too_deep() -> None:
    document: Any = 1
    for _ in range(MAX_DEPTH):
        document = {"a": document}
    canonical_document(document)
    assert not too_deep(document)
    assert too_deep({"a": {"a": document}})


def test_eligible_resources_come_by_rising_number() -> None:
    expression = parse_expression([["cores", ">=", 32]])
    documents = {9: {"cores": 64}, 3: {"cores": 32}, 5: {"cores": 16}, 4: {}}
    assert eligible(expression, documents) == [3, 9]


# ---- time ----


@pytest.mark.parametrize(
    "pattern",
    ["(a|aa)+$", "(a+)+$", "(?:(?:a?){20}){20}$", "(.*a.{12}){3}b", "(?:x{0,30}a?){30}z", r"^(\w+\s?)*$"],
)
def test_a_hostile_regular_expression_is_answered_soon(pattern: str) -> None:
    expression = parse_expression([["text", "matches", pattern]] * MAX_CLAUSES)
    began = time.process_time()
    matches(expression, {"text": "a" * (MAX_TEXT - 1) + "!"})
    assert time.process_time() - began < 4


@pytest.mark.parametrize(
    "path",
    [
        "[]" * 20,
        "|".join(["[]"] * 30),
        "map(&map(&map(&map(&@, @), @), @), @)",
        "|".join(["@[?@==@]"] * 20),
        "sort_by(@, &sort_by(@, &length(@))[0])",
        "*.*.*.*.*.*",
    ],
)
def test_a_hostile_path_is_answered_soon(path: str) -> None:
    wide: Any = [[[["a"] * 10] * 10] * 10] * 10
    began = time.process_time()
    holds(path, "eq", "x", wide)
    assert time.process_time() - began < 4


# ---- properties ----

keys = st.sampled_from(["a", "b", "cpu", "count"]) | st.text(max_size=3)
leaves = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(st.characters(), max_size=8)
    | st.sampled_from([10**400, -(10**4000), "nan", "1e999", "\ud800", 1 << 53, -0.0, "9" * 5000])
)
documents = st.recursive(
    leaves,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(keys, inner, max_size=4),
    max_leaves=12,
)
steps = st.sampled_from(
    ["a", "b", "cpu", "count", '"b c"', "@", "*", "[0]", "[-1]", "[*]", "[]", "[1:]", "[::-1]", "[?a]"]
    + ["[?a > `1`]", "[?@ == 'x']", "[9999999999999999999999]", "`1e999`", "`null`", "!a", "a || b", "a && b"]
    + [f"{name}(@)" for name in ("abs", "avg", "ceil", "floor", "keys", "length", "max", "min", "reverse")]
    + [f"{name}(@)" for name in ("sort", "sum", "to_number", "type", "values", "not_null")]
    + ["contains(@, 'a')", "starts_with(@, 'a')", "ends_with(@, @)", "map(&a, @)", "sort_by(@, &a)"]
    + ["max_by(@, &@)", "min_by(@, &count)", "sum(map(&@, @))", "to_number(@)", "`1e400` == @"]
)
paths = st.lists(steps, min_size=1, max_size=5).map(" | ".join)
numbers = st.integers(-(1 << 53) + 1, (1 << 53) - 1) | st.integers(-(10**9), 10**9).map(lambda n: n / 10**6)
texts = st.text(st.characters(codec="utf-8"), max_size=6)
scalars = numbers | texts | st.booleans()
negation = st.sampled_from(["", "!"])


def _clauses(names: tuple[str, ...], values: st.SearchStrategy[Any]) -> st.SearchStrategy[list[Any]]:
    operators = st.builds(str.__add__, negation, st.sampled_from(names))
    return st.tuples(paths, operators, values).map(list)


clauses = st.one_of(
    _clauses(OPERATORS[:6], numbers),
    _clauses(("eq", "ne", "startswith", "endswith"), texts),
    _clauses(("matches",), st.sampled_from(["a", "^", "a*$", "[^a]", r"\d+", "é", r"\pL", "."])),
    _clauses(("in",), st.lists(scalars, min_size=1, max_size=3)),
    _clauses(("contains",), scalars),
)
expressions = st.lists(clauses, min_size=1, max_size=4)


@given(expressions, documents)
@example([["avg(@)", "==", 1]], [10**400, 1])
@example([["ceil(@)", "==", 1]], float("nan"))
@example([["@", "contains", "a"]], "\ud800")
@example([["@", "matches", "a"]], "\ud800a")
def test_no_expression_fails_on_any_document(raw: list[list[Any]], document: Any) -> None:
    expression = parse_expression(raw)
    findings = judge(expression, document)
    assert matches(expression, document) == all(finding.holds for finding in findings)
    for finding, (path, operator, value) in zip(findings, raw, strict=True):
        assert "\n" not in finding.why
        plain = operator.removeprefix("!") if operator not in OPERATORS else operator
        positive, negative = (holds(path, name, value, document) for name in (plain, f"!{plain}"))
        assert positive is not negative
        assert not (positive and finding.found is None)


@given(st.text(st.sampled_from("ab.[]*?@&|!=<>`'\"(){},:0 -\\"), max_size=30), documents)
def test_any_path_is_refused_or_answers(path: str, document: Any) -> None:
    try:
        expression = parse_expression([[path, "eq", "a"]])
    except InvalidInput:
        return
    judge(expression, document)


@given(st.text(st.sampled_from("ab.[]*?|(){}0,+^$\\dwb"), max_size=20), st.text(max_size=50))
def test_any_regular_expression_is_refused_or_answers(pattern: str, text: str) -> None:
    try:
        expression = parse_expression([["@", "matches", pattern]])
    except InvalidInput:
        return
    judge(expression, text)


@given(expressions)
def test_an_expression_is_read_back_from_its_bytes(raw: list[list[Any]]) -> None:
    expression = parse_expression(raw)
    encoded = canonical_expression(expression)
    again = parse_expression(json.loads(encoded))
    assert again == expression
    assert canonical_expression(again) == encoded


@given(expressions)
def test_without_fractions_the_bytes_are_those_of_a_document(raw: list[list[Any]]) -> None:
    plain = [
        [p, o, v]
        for p, o, v in raw
        if not any(isinstance(n, float) for n in (v if isinstance(v, list) else [v]))
    ]
    if plain:
        encoded = canonical_expression(parse_expression(plain))
        assert b'{"e":' + encoded + b"}" == canonical_document({"e": cast("Json", plain)})


def test_the_bytes_do_not_depend_on_how_a_number_was_written() -> None:
    wanted = b'[["a",">=",2],["a","<",0.000001],["b","in",["\xc3\xa9",-1.5,true]]]'
    raw = json.loads('[["a", ">=", 2.0], ["a", "<", 1e-6], ["b", "in", ["\\u00e9", -15e-1, true]]]')
    assert canonical_expression(parse_expression(raw)) == wanted


def test_expressions_compare_by_what_they_say() -> None:
    assert Expression((Clause("a", "==", 2.0),)) == parse_expression([["a", "==", 2]])
