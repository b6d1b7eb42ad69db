"""Tells how a play of `ocx deploy` goes, host by host and task by task, and what came of it.

Progress is on standard error, the result on standard output. This module must not start anything.
"""

from __future__ import annotations

import difflib
import sys
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Self

import click

from cli.render import show
from market.errors import Bug, InvalidInput, OcxError, Refused

if TYPE_CHECKING:
    from cli.app import App

__all__ = ["Progress"]

_WORDS = {"failures": "failed", "dark": "unreachable"}
_AGAIN = "put that right and give the same command again: what is done stays"
_MOST_DIFF = 20_000
_CHATTER = "Validating arguments against arg spec"
"""What Ansible does at every role's start."""


@dataclass(frozen=True)
class _Change:
    """Something that was changed on a host, or would be."""

    host: str
    role: str
    task: str
    diff: str


@dataclass(frozen=True)
class _Failure:
    """Why a host stopped."""

    host: str
    role: str
    task: str
    kind: str
    message: str

    def error(self) -> OcxError:
        """As the command's one line."""
        where = f"{self.host}: {self.role + ': ' if self.role else ''}{self.task}: {self.message}"
        hint = _AGAIN
        if self.kind == "unreachable":
            where = f"{self.host} cannot be reached: {self.message}"
            hint = "see whether ssh gets in as the inventory says; then give the same command again"
        elif "vault" in self.message and "secret" in self.message:
            hint = "give --vault-password-file FILE"
        return Refused(where, hint=hint)


@dataclass
class Progress:
    """A context manager: takes the events of a run, and knows at its end what came of it."""

    app: App
    changes: list[_Change] = field(default_factory=list)
    failures: list[_Failure] = field(default_factory=list)
    counts: dict[str, dict[str, int]] = field(default_factory=dict)
    """Per kind of outcome, how many tasks of each host."""

    def __post_init__(self) -> None:
        """Nothing has begun."""
        self._task, self._tasks, self._text = "", 0, ""
        self._outcomes: dict[str, list[str]] = {}
        self._status: Any = None
        self._end: dict[str, Any] = {}

    def __enter__(self) -> Self:
        """Show that something is going on, where somebody watches."""
        if sys.stderr.isatty():
            from rich.console import Console

            self._status = Console(stderr=True).status("starting Ansible")
            self._status.start()
        return self

    def __exit__(self, *_error: object) -> None:
        """Say what is left to say."""
        self._flush()
        if self._status is not None:
            self._status.stop()

    def note(self, event: dict[str, Any]) -> None:
        """Take the next event of the run."""
        kind = event["event"]
        if kind == "task":
            self._flush()
            self._task, self._tasks = event["name"], self._tasks + 1
            if self._status is not None:
                self._status.update(f"task {self._tasks}: {self._task}")
        elif kind == "stats":
            self.counts = event["counts"]
        elif kind == "text":
            self._text += f" {event['text']}"
        elif kind in ("end", "broke"):
            self._end = event
        else:
            self._result(kind, event)

    def _result(self, kind: str, event: dict[str, Any]) -> None:
        """What came of the task on one host."""
        host, role, task = event["host"], event["role"], event["name"]
        if kind == "ok":
            if event["hidden"]:
                kind = "done"  # Ansible does not say whether a secret was changed; the sums at the end do
            elif event["changed"]:
                diff = "".join(_diff(each) for each in event.get("diff", ()))[:_MOST_DIFF]
                self.changes.append(_Change(host, role, task, diff))
                kind = "changed"
        elif kind in ("failed", "unreachable") and "message" in event:
            message = " ".join(event["message"].split())[:500]
            self.failures.append(_Failure(host, role, task, kind, message.rstrip(".")))
        if kind != "skipped" and not task.startswith(_CHATTER):
            label = f"{role}: {task}" if role else task
            self._outcomes.setdefault(label, []).append(f"{host} {kind}")

    def _flush(self) -> None:
        """Tell what came of the last task."""
        outcomes, self._outcomes = self._outcomes, {}
        if self.app.format != "table":
            return
        for label, hosts in outcomes.items():
            click.echo(f"{label}: {', '.join(hosts)}", err=True)
        for change in self.changes[self._told :]:
            if change.diff:
                click.echo(change.diff, err=True)
        self._told = len(self.changes)

    _told = 0
    """How many changes were shown."""

    def conclude(self, *, state: str, check: bool, hosts: list[str]) -> None:
        """Show what came of it; an error if it is not what was wanted."""
        failure = self._failure()
        if self.counts:
            self._show(state, check, hosts, good=failure is None)
        if failure is not None:
            raise failure

    def _failure(self) -> OcxError | None:
        if self.failures:
            error = self.failures[0].error()
            others = len({each.host for each in self.failures} - {self.failures[0].host})
            if others:
                error.message += f" (and {others} more host{'s' if others > 1 else ''})"
            return error
        if self._end.get("status") == "successful":
            return None
        said = " ".join((self._text or self._end.get("text", "")).split())
        if self._end["event"] == "end" and not self._tasks:
            return InvalidInput(f"Ansible cannot play this: {said[-400:] or 'no reason given'}", hint=_AGAIN)
        return Bug(f"the play ended in the middle: {said[-400:] or 'no reason given'}")

    def _show(self, state: str, check: bool, hosts: list[str], *, good: bool) -> None:
        rows = []
        for host in hosts:
            found = {kind: int(by_host.get(host, 0)) for kind, by_host in self.counts.items()}
            tasks = {"ok": found.get("ok", 0), "changed": found.get("changed", 0)}
            rows.append(
                {"host": host, **tasks, **{word: found.get(kind, 0) for kind, word in _WORDS.items()}}
            )
        if self.app.format != "json":
            show(self.app, rows, value="host changed failed unreachable")
            return
        whole = {"state": state, "check": check, "good": good, "hosts": rows}
        whole["changes"] = [asdict(change) for change in self.changes]
        whole["failures"] = [asdict(failure) for failure in self.failures]
        show(self.app, whole)


def _diff(found: dict[str, Any]) -> str:
    """Before and after as a unified diff."""
    if "prepared" in found:
        return str(found["prepared"])
    sides = found.get("before"), found.get("after")
    if any(isinstance(side, dict) for side in sides):
        return ""  # of a folder or a file's attributes; the task's name says as much
    before, after = (str(side or "").splitlines(keepends=True) for side in sides)
    names = [str(found.get(f"{side}_header", side)) for side in ("before", "after")]
    return "".join(difflib.unified_diff(before, after, names[0], names[1], n=2))
