"""`ocx network agent`: keep a folder's nodes' allow-list equal to what `Members` says."""

from __future__ import annotations

import threading
from pathlib import Path

import click

from cli.app import App, Command, pass_app
from cli.options import dir_option, log_level_option
from cli.render import show

__all__ = ["agent"]


@click.command(cls=Command)
@dir_option
@click.option("--once", is_flag=True, help="Look once, say what was done, and end.")
@click.option(
    "--interval",
    type=click.FloatRange(0.1),
    default=5.0,
    show_default=True,
    help="Seconds from one look to the next.",
)
@log_level_option
@pass_app
def agent(app: App, folder: Path, once: bool, interval: float, log_level: str) -> None:
    """Keep the allow-list of the nodes in --dir equal to what Members says. Ctrl-C ends it.

    `ocx network up` does this by itself as soon as there is a connection.yaml in --dir; this is for --once,
    and for nodes that something else keeps. Without --connection it takes connection.yaml in --dir. Only each
    node's own word counts; a node that is not level is left as it is.
    """
    from chain import connection as connection_file
    from chain.nodes.admission.agent import Agent, connection_path, follow
    from daemons.logs import begin
    from daemons.signals import stop_on_signals

    folder = folder.absolute()
    connection = app.connection or connection_path(folder)
    network = connection_file.load(connection)
    if not once:
        begin(log_level)
        stop = threading.Event()
        with stop_on_signals(stop.set):
            follow(folder, connection, stop, interval)
        return
    rows = [
        {
            "node": one.node,
            "let_in": list(one.let_in),
            "shut_out": list(one.shut_out),
            "left_alone": one.left_alone,
        }
        for one in Agent(folder, network).once()
    ]
    show(app, rows, value="node left_alone")
