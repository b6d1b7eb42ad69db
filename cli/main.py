"""The entry point `ocx`. Commands live in the other modules of this package and are imported when used."""

from __future__ import annotations

import click

from cli.app import App, Root

__all__ = ["cli", "main"]

_COMMANDS = {
    "network": ("cli.network:network", "Run a chain, deploy the contracts, show them, check endpoints."),
    "wallet": ("cli.wallet:wallet", "The key that signs, the encryption key that opens connection data."),
    "member": ("cli.member:member", "Organisations and the accounts that act for them."),
    "council": ("cli.council:council", "Those who govern: proposals, approvals, who is of the council."),
    "credits": ("cli.credits:credits_", "Mint, burn, deposit, transfer credits; balances, statements."),
    "node": ("cli.node:node", "The machines that can be offered."),
    "offer": ("cli.offer:offer", "Nodes for rent: publish, look, cancel, buy now."),
    "request": ("cli.request:request", "What a buyer needs, put to a sealed tender."),
    "tender": ("cli.tender:tender", "Sealed bids on a request: bid, reveal, award, claim."),
    "auction": ("cli.auction:auction", "English auctions on an offer: open, bid, pull, award."),
    "lease": ("cli.lease:lease", "The signed contracts: sign, connect, accept, end, settle."),
    "provider": ("cli.provider:provider", "The provider agent: configure, check, run."),
    "sla": ("cli.sla:sla", "Promises of availability: register, ask, report, claim, appeal."),
    "witness": ("cli.witness:witness", "Those who measure: join, run a node, verify verdicts."),
    "audit": ("cli.audit:audit", "Find witnesses out: audits, canaries, outliers."),
    "deploy": ("cli.deploy:deploy", "Set up nodes, agents and witnesses on many hosts, by Ansible."),
    "batch": ("cli.batch:batch", "Many commands in one process, from standard input."),
    "completion": ("cli.completion:completion", "The script that lets a shell complete commands."),
    "demo": ("cli.demo.command:demo", "Play the main job for real on this machine."),
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
