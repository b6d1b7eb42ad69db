"""`ocx network backup|restore`: one node in one file, its key encrypted."""

from __future__ import annotations

import time
from pathlib import Path

import click

from cli.act import working
from cli.app import App, Command, pass_app
from cli.options import dir_option
from cli.render import show

__all__ = ["backup", "restore"]

_FILE = click.Path(path_type=Path, dir_okay=False)


@click.command(cls=Command)
@click.argument("node")
@dir_option
@click.option("--out", type=_FILE, required=True, help="The file to write.")
@click.option("--with-chain", is_flag=True, help="Put the chain in, too; the node must be stopped.")
@pass_app
def backup(app: App, node: str, folder: Path, out: Path, with_chain: bool) -> None:
    """Write NODE's key, encrypted with a passphrase, and the network's files into one file.

    The passphrase comes from --passphrase-file, OCX_PASSPHRASE or a prompt. The chain need not be in it: the
    other nodes have it.
    """
    from chain.nodes.backup import back_up
    from chain.nodes.description import load
    from chain.nodes.layout import description_path

    folder = folder.absolute()
    found = load(description_path(folder)).node(node)
    passphrase = app.passphrase(confirm=True)()
    with working("writing the back-up"):
        facts = back_up(folder, found, out, passphrase, now=int(time.time()), with_chain=with_chain)
    result = {"file": str(out), "node": facts.node, "address": facts.address, "with_chain": facts.with_chain}
    show(app, result, value="file")


@click.command(cls=Command)
@click.argument("file", type=_FILE)
@dir_option
@pass_app
def restore(app: App, file: Path, folder: Path) -> None:
    """Put the node of a back-up FILE into --dir; ocx network up --dir starts it.

    Never run it beside the original. A validator begins to seal only once it is level and all others have
    sealed twice without a block by its key, or the chain has stood for a minute; ocx network status says so.
    """
    from chain.nodes import backup

    folder = folder.absolute()
    with working("restoring"):
        facts = backup.restore(file, folder, app.passphrase())
    show(app, {"node": facts.node, "address": facts.address, "folder": str(folder)}, value="node")
