"""`python -m cli.demo.lab`: run a lab in the foreground until SIGTERM or Ctrl-C."""

from __future__ import annotations

import argparse
import functools
from collections.abc import Sequence
from pathlib import Path

from cli.demo.lab.lab import Lab
from cli.demo.lab.service import foreground


def main(argv: Sequence[str] | None = None) -> int:
    """Start the lab, write `DIR/lab.json` when all machines are available, and wait to be told to stop."""
    parser = argparse.ArgumentParser(prog="python -m cli.demo.lab", description=__doc__)
    parser.add_argument("--machines", type=int, default=2, help="how many machines")
    parser.add_argument("--fake-machines", type=int, default=0, help="how many of fake-hardware beside them")
    parser.add_argument("--dir", type=Path, required=True, help="folder for logs, state and lab.json")
    parser.add_argument("--class", dest="resource_class", default="bm.large", help="their resource class")
    parser.add_argument("--no-first-clean", action="store_true", help="trust the new machines' empty disks")
    args = parser.parse_args(argv)
    return foreground(
        "lab",
        lambda: Lab(
            args.dir,
            machines=args.machines,
            resource_class=args.resource_class,
            first_clean=not args.no_first_clean,
            fake_machines=args.fake_machines,
            say=functools.partial(print, flush=True),
        ),
    )


if __name__ == "__main__":
    raise SystemExit(main())
