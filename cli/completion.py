"""`ocx completion`: the script that lets a shell complete commands."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

from cli.app import Command
from market.errors import InvalidInput

__all__ = ["completion"]


@click.command(cls=Command)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Print the completion script for a SHELL, e.g. eval "$(ocx completion bash)"."""
    from cli.main import cli

    kind = get_completion_class(shell)
    if kind is None:
        raise InvalidInput(f"there is no completion for {shell}")
    click.echo(kind(cli, {}, "ocx", "_OCX_COMPLETE").source())
