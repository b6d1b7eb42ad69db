"""`ocx deploy`: chain nodes, provider agents, witness nodes and Docker on many hosts, by Ansible."""

from __future__ import annotations

import contextlib
import dataclasses
import importlib.util
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from cli.act import confirm
from cli.app import App, Command, pass_app
from market.errors import InvalidInput, Permanent

if TYPE_CHECKING:
    from cli.deploy_progress import Progress
    from cli.plays import Run

__all__ = ["deploy"]

_ROLES = {
    "docker": ("docker_hosts", "Docker Engine"),
    "chain_node": ("chain_nodes", "chain nodes"),
    "provider_agent": ("providers", "provider agents"),
    "witness_node": ("witnesses", "witness nodes"),
}
"""Role, which is the tag of its play -> group of the inventory, and what runs there."""


@click.command(cls=Command)
@click.option(
    "--inventory", type=click.Path(path_type=Path, exists=True), help="Ansible's inventory: a file or folder."
)
@click.option("--limit", help="Only hosts of this pattern, as Ansible reads it.")
@click.option(
    "--tags", type=click.Choice(list(_ROLES)), multiple=True, help="Only this role; give it for each."
)
@click.option("--check", is_flag=True, help="Change nothing, say what would change.")
@click.option("--diff", is_flag=True, help="Show what changes in files.")
@click.option(
    "--state",
    type=click.Choice(["present", "absent"]),
    default="present",
    help="absent: end it and take it away; what it remembers stays, unless ROLE_purge is set.",
)
@click.option(
    "--vault-password-file",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="Where the password of ansible-vault is: a file, or a program that prints it.",
)
@click.option("--forks", type=click.IntRange(1), default=10, help="Hosts worked on at once.")
@click.option("--example", is_flag=True, help="Print an inventory to begin with, and do nothing else.")
@pass_app
def deploy(
    app: App,
    inventory: Path | None,
    limit: str | None,
    tags: tuple[str, ...],
    check: bool,
    diff: bool,
    state: str,
    vault_password_file: Path | None,
    forks: int,
    example: bool,
) -> None:
    """Set up hosts by Ansible, or bring them up to date: what an inventory names runs there afterwards.

    Given again it changes nothing that is as it should be. Ctrl-C ends it; give it again to go on.
    """
    from chain.data import data_path

    if example:
        click.echo((data_path("templates") / "inventory.yml").read_text("utf-8"), nl=False)
        return
    if inventory is None:
        raise InvalidInput(
            "no inventory was given",
            hint="give --inventory FILE; ocx deploy --example prints one to begin with",
        )
    if importlib.util.find_spec("ansible_runner") is None:
        raise Permanent("ansible-runner is not installed", hint="install ocx with the extra `ansible`")
    from cli.plays import Run

    playbook = "deploy.yml" if state == "present" else "cleanup.yml"
    wanted = Run(playbook, inventory, limit or "", tags, check, diff, vault_password_file)
    hosts = _confirm(app, wanted, state)
    progress = _play(app, wanted, forks)
    progress.conclude(state=state, check=check, hosts=hosts)


def _confirm(app: App, wanted: Run, state: str) -> list[str]:
    """Show which hosts get what, and ask; returns the hosts."""
    from cli.act import working
    from cli.plays import read_inventory

    with working("reading the inventory"):
        inventory = read_inventory(wanted)
    chosen = {what: inventory.get(group, []) for what, group in _wanted(wanted.tags)}
    hosts = list(dict.fromkeys(host for names in chosen.values() for host in names))
    if not hosts:
        groups = ", ".join(group for _, group in _wanted(wanted.tags))
        raise InvalidInput(
            f"{wanted.inventory} has no hosts for this",
            hint=f"name some in the groups {groups}, or see --limit",
        )
    count = f"{len(hosts)} host" + ("s" if len(hosts) > 1 else "")
    title = f"Set up what runs on {count}." if state == "present" else f"Take away what runs on {count}."
    facts = {what: ", ".join(names) for what, names in chosen.items() if names}
    if wanted.check:
        facts["changes"] = "none: this only looks"
    confirm(dataclasses.replace(app, yes=True) if wanted.check else app, title, facts)
    return hosts


def _wanted(tags: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    """What runs, and in which group, of the roles chosen."""
    return ((what, group) for role, (group, what) in _ROLES.items() if not tags or role in tags)


def _play(app: App, wanted: Run, forks: int) -> Progress:
    """Play it and tell how it goes; Ctrl-C and SIGTERM end the play before they end this."""
    from cli.deploy_progress import Progress
    from cli.plays import run

    with _until_told(), Progress(app) as progress, run(wanted, forks=forks) as events:
        for event in events:
            progress.note(event)
    return progress


@contextlib.contextmanager
def _until_told() -> Iterator[None]:
    """SIGTERM is told like Ctrl-C while inside."""

    def leave(*_: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, leave)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
