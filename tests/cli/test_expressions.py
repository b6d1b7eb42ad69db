"""`ocx request check`: what it says of an expression and a document, and of files that are neither."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from cli.files import MAX_FILE
from tests.cli.conftest import Person

GOOD = ["cpu.count", ">=", 32]
BAD = ["cpu.count", ">=", 96]
DOCUMENT = {"cpu": {"count": 64, "model": "AMD EPYC [bold]"}}


@pytest.fixture
def person(tmp_path: Path) -> Person:
    """Somebody without wallet and connection."""
    return Person("anna", tmp_path)


def written(person: Person, name: str, content: Any) -> Path:
    """A file of somebody's: JSON, or these very bytes."""
    path = person.folder / name
    path.write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())
    return path


def files(person: Person, expression: Any, document: Any = DOCUMENT) -> tuple[str, str]:
    """The two files as arguments."""
    return str(written(person, "expr.json", expression)), str(written(person, "doc.json", document))


def test_an_expression_that_holds_is_told_clause_by_clause(person: Person) -> None:
    raw = [GOOD, ["gpus", "!in", ["A100", True]], ["cpu.model", "contains", "EPYC"]]
    result = person.does("request check", *files(person, raw))
    assert result["eligible"] is True
    assert [list(row) for row in result["clauses"]] == [
        ["clause", "path", "operator", "value", "holds", "found", "why"]
    ] * 3
    assert [[row["path"], row["operator"], row["value"]] for row in result["clauses"]] == raw
    assert [row["found"] for row in result["clauses"]] == [64, None, "AMD EPYC [bold]"]
    assert all(row["holds"] for row in result["clauses"])


@pytest.mark.parametrize("option", ["--format=table", "--json", "--format=value"])
def test_an_expression_that_does_not_hold_is_told_and_fails_with_one_line(
    person: Person, option: str
) -> None:
    result = person.run("request check", *files(person, [GOOD, BAD, BAD]), option)
    assert result.exit_code == 1
    assert result.stderr.splitlines() == [
        "ocx: of 3 clauses these do not hold: 2, 3; a resource with this document is not eligible"
    ]
    if option == "--json":
        assert [row["holds"] for row in json.loads(result.stdout)["clauses"]] == [True, False, False]
    elif option == "--format=value":
        assert result.stdout.splitlines() == ["1\tTrue", "2\tFalse", "3\tFalse"]
    else:
        assert "cpu.count is 64, so >= 96 is false" in result.stdout
        assert "cpu.count >= 32" in result.stdout


def test_a_table_shows_texts_literally(person: Person) -> None:
    result = person.run("request check", *files(person, [["cpu.model", "endswith", "[bold]"]]))
    assert result.exit_code == 0
    assert 'is "AMD EPYC [bold]"' in result.stdout


def test_nothing_in_the_files_moves_the_cursor(person: Person) -> None:
    hidden = "\u202e\x9b2J"
    raw = [[f'"{hidden}"', "contains", f"\x1b{hidden}"]]
    result = person.run("request check", *files(person, raw, {hidden: f"a\x1b{hidden}"}))
    assert result.exit_code == 0
    assert all(line.isprintable() for line in result.output.splitlines())


@pytest.mark.parametrize(
    ("expression", "document", "said"),
    [
        (b"", DOCUMENT, "is not JSON"),
        (b"[", DOCUMENT, "is not JSON"),
        (b"\xff", DOCUMENT, "is not JSON"),
        (b"[" * 9_999, DOCUMENT, "nested too deep"),
        ({"cpu.count": 1}, DOCUMENT, "must be a list"),
        ([GOOD, ["cpu[", "==", 1]], DOCUMENT, "clause 2: the path 'cpu[' is not JMESPath"),
        ([["cpu", "=", 1]], DOCUMENT, "clause 1: '=' is not an operator"),
        ([["cpu", ">", "1"]], DOCUMENT, "is no number for >"),
        ([["cpu", "matches", "("]], DOCUMENT, "missing )"),
        ([GOOD], b"not JSON", "is not JSON"),
        ([GOOD], b'{"cpu": NaN}', "NaN is no number"),
    ],
)
def test_a_bad_file_is_one_clear_error(person: Person, expression: Any, document: Any, said: str) -> None:
    assert said in person.is_refused("request check", *files(person, expression, document))


def test_a_file_that_is_not_there_or_huge_is_one_clear_error(person: Person) -> None:
    expression, _ = files(person, [GOOD])
    assert "No such file" in person.is_refused("request check", expression, str(person.folder / "gone.json"))
    huge = written(person, "huge.json", b"0" * (MAX_FILE + 1))
    assert "larger than 16 MiB" in person.is_refused("request check", expression, str(huge))
