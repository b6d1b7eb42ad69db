"""What `make check-slither` takes for answered, and what not; Slither itself is not run here."""

from __future__ import annotations

import pytest

from tools.slither import Finding, Rule, comments, judge

FILE = "contracts/Till.sol"
WHY = "Dice are not thrown in this house."
RULE = Rule(("weak-prng",), "contracts/", WHY)
DOWN = Rule(("reentrancy-no-eth",), "contracts/", WHY, calls_down=True)


def finding(check: str = "weak-prng", line: int = 2, calls: tuple[str, ...] = ()) -> Finding:
    return Finding(check, "a finding", ((FILE, 1), (FILE, line)), calls)


def source(comment: str) -> str:
    return f"{comment}\n    uint256 place = epoch % RING;\n"


def judged(found: Finding, text: str = "", *rules: Rule) -> list[str]:
    return judge([found], comments(FILE, text), {FILE: frozenset({"escrow", "directory"})}, rules)


def test_a_finding_fails() -> None:
    (line,) = judged(finding())
    assert line == f"{FILE}:1: weak-prng: a finding"


def test_a_suppression_with_its_reason_answers_it() -> None:
    assert judged(finding(), source("// slither-disable-next-line weak-prng (a place in a ring)")) == []


@pytest.mark.parametrize("reason", ["", " a place in a ring", " ()", " (ok)"])
def test_a_suppression_without_a_reason_fails(reason: str) -> None:
    (line,) = judged(finding(), source(f"// slither-disable-next-line weak-prng{reason}"))
    assert line == f"{FILE}:1: a suppression needs its reason in brackets behind it"


def test_a_suppression_of_many_lines_fails() -> None:
    lines = judged(finding(), source("// slither-disable-start weak-prng (all that follows)"))
    assert (
        f"{FILE}:1: slither-disable-start covers more than one line; use slither-disable-next-line" in lines
    )


def test_a_suppression_that_leaves_nothing_out_fails() -> None:
    text = source("// slither-disable-next-line weak-prng,unused-return (a place in a ring)")
    assert judged(finding(), text) == [f"{FILE}:1: nothing is left out any more: unused-return"]


def test_a_suppression_elsewhere_answers_nothing() -> None:
    text = "\n\n" + source("// slither-disable-next-line weak-prng (a place in a ring)")
    assert len(judged(finding(), text)) == 2


def test_a_rule_answers_its_kind_of_finding_and_no_other() -> None:
    assert judged(finding(), "", RULE) == []
    assert len(judged(finding("tx-origin"), "", RULE)) == 2


def test_a_rule_that_answers_nothing_fails() -> None:
    text = source("// slither-disable-next-line weak-prng (a place in a ring)")
    assert judged(finding(), text, RULE) == ["tools/slither.py: a rule for weak-prng answers no finding"]


@pytest.mark.parametrize(
    "call",
    [
        "escrow.pay(key,org,amount)",
        "(a,b) = escrow.pay(key,org,x.toUint96())",
        "_forfeit(p,amount)",
        "! escrow.can()",
    ],
)
def test_calls_to_contracts_that_stood_before_are_no_reentrancy(call: str) -> None:
    assert judged(finding("reentrancy-no-eth", calls=(call,)), "", DOWN) == []


@pytest.mark.parametrize(
    "call",
    [
        "target.call(data)",
        "escrow.call(data)",
        "(ok,None) = p.target.call{value: 1}(data)",
        "stranger.ping()",
        "hook()",
    ],
)
def test_calls_to_anybody_are(call: str) -> None:
    assert len(judged(finding("reentrancy-no-eth", calls=("escrow.pay(key)", call)), "", DOWN)) == 2
