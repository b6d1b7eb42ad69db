"""`ocx batch`: many commands in one process, one per line, for scripts that cannot wait for each start.

It runs the same commands in the same way; it must not know any of them.
"""

from __future__ import annotations

import io
import json
import shlex
import sys
from contextlib import redirect_stderr, redirect_stdout
from typing import Any

import click

from cli.app import Command

__all__ = ["batch"]


@click.command(cls=Command)
def batch() -> None:
    """Run commands read from standard input, one per line without the leading `ocx`.

    Answers each with one line of JSON: command, exit_code, result (what it printed, parsed where it is JSON)
    and error (what it said on standard error). Give OCX_FORMAT=json and OCX_YES=1 in the environment. A
    command that fails does not stop the batch; the end of input does.
    """
    for line in sys.stdin:
        try:
            words = shlex.split(line, comments=True)
        except ValueError as error:
            answer = {"exit_code": 2, "result": None, "error": f"this line cannot be read: {error}"}
        else:
            if not words:
                continue
            answer = _run(words)
        sys.stdout.write(json.dumps({"command": line.strip(), **answer}) + "\n")
        sys.stdout.flush()


def _run(words: list[str]) -> dict[str, Any]:
    from cli.main import cli

    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        try:
            cli.main(words)
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else 1
    return {"exit_code": code, "result": _parsed(out.getvalue()), "error": err.getvalue().strip()}


def _parsed(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text.strip() or None
