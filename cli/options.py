"""Options that several commands share, so that one word means one thing everywhere."""

from __future__ import annotations

import click

from cli.parse import DURATION

__all__ = ["for_option", "node_option", "window_end", "window_start"]

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
