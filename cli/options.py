"""Options that several commands share, so that one word means one thing everywhere."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from cli.parse import DURATION

if TYPE_CHECKING:
    from provisioner.settings import Settings

__all__ = [
    "config_option",
    "dir_option",
    "for_option",
    "load_settings",
    "log_level_option",
    "node_option",
    "place_option",
    "sla_option",
    "window_end",
    "window_start",
]

window_start = click.option("--start", default="now", help="now, +90m, or an ISO time with its zone.")
window_end = click.option("--end", help="An ISO time with its zone, or +6h from the start.")
for_option = click.option("--for", "length", type=DURATION, help="Length instead of --end, e.g. 6h or 1d12h.")
node_option = click.option(
    "--node",
    "nodes",
    type=click.IntRange(1),
    multiple=True,
    required=True,
    help="Node number; give it for each.",
)
sla_option = click.option(
    "--sla",
    type=click.IntRange(0, (1 << 32) - 1),
    default=0,
    help="Number of the SLA that the leases promise (see: ocx sla list); 0 promises nothing.",
)
place_option = click.option(
    "--place", type=click.IntRange(0, 63), default=0, help="Which machine of the lease, from 0."
)
config_option = click.option(
    "--config",
    "config_file",
    type=click.Path(path_type=Path, dir_okay=False),
    required=True,
    envvar="OCX_CONFIG",
    help="The program's configuration file.",
)
dir_option = click.option(
    "--dir",
    "folder",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("build/network"),
    show_default=True,
    help="The network's folder.",
)
log_level_option = click.option(
    "--log-level",
    type=click.Choice(["debug", "info", "warning", "error"]),
    default="info",
    envvar="OCX_LOG_LEVEL",
    help="What it writes to standard error.",
)


def load_settings(path: Path) -> Settings:
    """The settings in an agent's configuration file."""
    from provisioner.settings import load

    return load(path)
