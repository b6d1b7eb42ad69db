"""The one error tree of OCX.

Every failure a user, an operator or a calling module can see is an `OcxError`. The subclass says who
can do something about it, the message says what is wrong, the hint says what to do next, and the
evidence holds the facts for logs and for JSON output.

This module must not import anything of OCX, and no secret may be passed as evidence.
"""

from __future__ import annotations

__all__ = ["Bug", "InvalidInput", "OcxError", "Permanent", "Refused", "Temporary"]


def _one_line(text: str) -> str:
    """Collapse every run of white space, line breaks included, into one space."""
    return " ".join(text.split())


class OcxError(Exception):
    """Base of all errors OCX raises on purpose.

    `message` says what is wrong, `hint` what to do about it, `evidence` carries named facts.
    `str()` of it is always exactly one line.
    """

    def __init__(self, message: str, *, hint: str | None = None, **evidence: object) -> None:
        super().__init__(message)
        self.message = _one_line(message)
        self.hint = None if hint is None else _one_line(hint)
        self.evidence: dict[str, object] = dict(evidence)

    def __str__(self) -> str:
        """The message and, if there is one, the hint, on one line."""
        if not self.hint:
            return self.message
        stop = "" if self.message.endswith((".", "!", "?", ":", ";")) else "."
        return f"{self.message}{stop} {self.hint}"


class InvalidInput(OcxError):
    """What the caller gave can never be right; change it before trying again."""


class Refused(OcxError):
    """The chain or the other side understood the request and says no."""


class Temporary(OcxError):
    """It failed now but may well work later; `retry_after` is the advised wait in seconds."""

    def __init__(
        self, message: str, *, hint: str | None = None, retry_after: float = 1.0, **evidence: object
    ) -> None:
        super().__init__(message, hint=hint, **evidence)
        self.retry_after = retry_after


class Permanent(OcxError):
    """It failed and trying the same again will not help; a person has to act."""


class Bug(OcxError):
    """OCX itself is wrong: something that cannot happen did."""
