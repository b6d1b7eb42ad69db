"""Errors: one line for people, facts for programs."""

from __future__ import annotations

import pytest

from market.errors import Bug, InvalidInput, OcxError, Permanent, Refused, Temporary


def test_text_is_the_message_and_the_hint_on_one_line() -> None:
    error = Refused("no\n  cover", hint="deposit\tmore credits", needed=7)
    assert str(error) == "no cover. deposit more credits"
    assert error.evidence == {"needed": 7}


def test_text_adds_no_second_full_stop() -> None:
    assert str(InvalidInput("Not a time.", hint="Add Z.")) == "Not a time. Add Z."


def test_text_without_a_hint_is_the_message() -> None:
    assert str(Permanent("wrong chain")) == "wrong chain"


def test_temporary_says_when_to_try_again() -> None:
    assert Temporary("busy", retry_after=2.5).retry_after == 2.5


@pytest.mark.parametrize("kind", [InvalidInput, Refused, Temporary, Permanent, Bug])
def test_every_error_is_caught_as_the_base(kind: type[OcxError]) -> None:
    with pytest.raises(OcxError):
        raise kind("x")
