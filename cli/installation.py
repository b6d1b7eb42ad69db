"""What the commands for our long-running programs share: their health, what they lack, their forms."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cli.app import App
from cli.render import show
from cli.unit import fill
from market.errors import Refused

if TYPE_CHECKING:
    from daemons.configuration import Program
    from daemons.findings import Finding

__all__ = ["ask_health", "show_findings", "show_unit", "show_yaml"]


def show_findings(app: App, findings: Sequence[Finding]) -> None:
    """What is missing and what could be better; Refused if anything is missing."""
    rows = [{"severity": f.severity, "finding": f.what, "to_do": f.todo} for f in findings]
    show(app, rows, value="severity finding", empty="nothing is missing")
    missing = sum(1 for finding in findings if finding.severity == "missing")
    if missing:
        raise Refused(f"{missing} thing(s) to put right", hint="see the list above")


def show_yaml(app: App, text: str) -> None:
    """A configuration as it stands in its file; as JSON if that is asked for."""
    import yaml

    if app.format == "json":
        click.echo(json.dumps(yaml.safe_load(text), indent=2))
    else:
        click.echo(text, nl=False)


def show_unit(app: App, template: str, name: str, user: str, config_file: Path, settings: Program) -> None:
    """A shipped systemd unit for the program of this configuration."""
    fields = {
        "name": name,
        "user": user,
        "ocx": shutil.which("ocx") or str(Path(sys.argv[0]).resolve()),
        "config": str(config_file.resolve()),
        "state_dir": str(settings.state_dir),
    }
    text = fill(template, fields)
    if app.format == "json":
        click.echo(json.dumps({"unit": text}))
    else:
        click.echo(text, nl=False)


def ask_health(port: object) -> dict[str, Any] | None:
    """The answer of the health page at that loopback port, None if there is none."""
    import http.client

    if not isinstance(port, int):
        return None
    page = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        page.request("GET", "/")
        answer = json.loads(page.getresponse().read())
    except (OSError, ValueError, http.client.HTTPException):
        return None
    finally:
        page.close()
    return answer if isinstance(answer, dict) and "ok" in answer else None
