"""The entry point `ocx`. Commands live in the other modules of this package and are imported when used."""

from __future__ import annotations

import click

from cli.app import App, Root

__all__ = ["cli", "main"]

_COMMANDS = {
    "network": "cli.network:network",
    "wallet": "cli.wallet:wallet",
    "member": "cli.member:member",
    "credits": "cli.credits:credits_",
    "node": "cli.node:node",
    "offer": "cli.offer:offer",
    "request": "cli.request:request",
    "tender": "cli.tender:tender",
    "lease": "cli.lease:lease",
    "provider": "cli.provider:provider",
    "batch": "cli.batch:batch",
    "completion": "cli.completion:completion",
    "demo": "cli.demo.command:demo",
}


@click.group(
    cls=Root,
    lazy=_COMMANDS,
    context_settings={
        "auto_envvar_prefix": "OCX",
        "help_option_names": ["-h", "--help"],
        "max_content_width": 100,
    },
)
@click.version_option(package_name="ocx", prog_name="ocx")
@click.pass_context
def cli(context: click.Context) -> None:
    """OCX, an open cloud exchange: organisations rent servers to each other without a broker.

    The options below may stand before or after the command. Amounts are credits (1.25), rates credits per
    resource and hour; in JSON both are whole microcredits, and times are unix seconds. Exit code 1 means no,
    2 that the command line cannot be parsed.
    """
    context.ensure_object(App)


def main() -> None:
    """What the `ocx` script runs."""
    cli.main()


if __name__ == "__main__":
    main()
