"""`ocx network validator`: vote about who seals blocks."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from cli.act import confirm, working
from cli.app import App, Group, pass_app
from cli.options import dir_option
from cli.render import show
from market.errors import Temporary

if TYPE_CHECKING:
    from chain.nodes.consensus import votes

__all__ = ["validator"]

_FEW = 4
"""With fewer validators than this not one may be away."""

_no_wait = click.option("--no-wait", is_flag=True, help="End once the votes are cast.")
_timeout = click.option(
    "--timeout",
    type=click.IntRange(1),
    default=600,
    show_default=True,
    help="Seconds to wait for others' votes.",
)


@click.group(cls=Group)
def validator() -> None:
    """Vote a node in as a validator, or out; more than half of the validators decide."""


@validator.command()
@click.argument("node")
@dir_option
@_no_wait
@_timeout
@pass_app
def add(app: App, node: str, folder: Path, no_wait: bool, timeout: int) -> None:
    """Vote for NODE, with every validator of --dir.

    The others run the same where their validators are. NODE must be in network.yaml, connected and level.
    Votes of a node that is started again before it has passed are lost: run the command again.
    """
    _vote(app, node, True, folder.absolute(), None if no_wait else timeout)


@validator.command()
@click.argument("node")
@dir_option
@_no_wait
@_timeout
@pass_app
def remove(app: App, node: str, folder: Path, no_wait: bool, timeout: int) -> None:
    """Vote against NODE, with every validator of --dir; it stays connected and follows the chain.

    The others run the same where their validators are.
    """
    _vote(app, node, False, folder.absolute(), None if no_wait else timeout)


def _vote(app: App, name: str, adds: bool, folder: Path, timeout: int | None) -> None:
    from chain.nodes.consensus import votes
    from chain.nodes.consensus.view import majority
    from chain.nodes.description import load
    from chain.nodes.layout import description_path, node_folder

    description = load(description_path(folder))
    homes = {node.name: node_folder(folder, node) for node in description.nodes}
    vote = votes.prepare(description, {n: at for n, at in homes.items() if at.is_dir()}, name, adds)
    after = vote.validators + (1 if adds else -1)
    warning = f"with {after} validators blocks need {majority(after)} of them" if after < _FEW else ""
    facts = {
        "node": f"{name} of {vote.node.organisation}, {vote.node.address}",
        "voters here": ", ".join(vote.voters),
        "needed": f"{vote.needed} of {vote.validators} validators",
    }
    confirm(
        app,
        f"Vote {name} {'in as a validator' if adds else 'out as one'} of {description.network}.",
        facts | ({"warning": warning} if warning and not adds else {}),
    )
    votes.cast(vote)
    found = votes.count(vote)
    if timeout is not None:
        found = _wait(vote, timeout)
    known = {node.address.lower(): node.name for node in description.nodes}
    result = {
        "node": name,
        "address": vote.node.address,
        "change": "add" if adds else "remove",
        "voters": list(vote.voters),
        "votes": found.votes,
        "needed": found.needed,
        "passed": found.passed,
        "certain": found.certain,
        "block": found.block,
        "validators": sorted(known.get(address, address) for address in found.validators),
        "quorum": majority(len(found.validators)),
        "confirmations": majority(len(found.validators)),
        "warning": warning if not adds else "",
    }
    show(app, result, value="node passed")


def _wait(vote: votes.Vote, timeout: int) -> votes.Count:
    """Until the vote has passed and no branch of a minority can undo it; says how far it is."""
    from chain.nodes.consensus import votes

    deadline = time.monotonic() + timeout
    told = -1
    with working("waiting for the other validators' votes"):
        while True:
            found = votes.count(vote)
            if found.certain:
                return found
            if found.votes != told:
                click.echo(f"block {found.block}: {found.votes} of {found.needed} votes", err=True)
                told = found.votes
            if time.monotonic() > deadline:
                raise Temporary(
                    f"{found.votes} of {found.needed} votes after {timeout} s; those cast here stand",
                    hint="the others must vote, too; run this again to go on waiting",
                    retry_after=1,
                )
            time.sleep(0.5)
