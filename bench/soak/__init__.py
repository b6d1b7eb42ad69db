"""Leases under agents that are killed all the time, before clouds that fail, on a chain that goes away.

`python -m bench soak` (`make soak`) prints how often agents were killed, and what became of the leases. It
ends with code 1 if two servers of one lease were ever up, or if a lease was lost; its seed repeats it.
"""

from __future__ import annotations

from bench.soak.command import main

__all__ = ["main"]
