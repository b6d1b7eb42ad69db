"""Takes the power away from a machine of the fake cloud, behind the cloud's back, and gives it back.

`python -m cli.demo.lab.fuse CONFIG cut|restore`, with the configuration of an agent that has the fake plugin:
for every machine that somebody holds. Prints their names, one a line.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from provisioner.plugins.fake import FakePlugin
from provisioner.settings import load

__all__ = ["main"]


def main() -> int:
    """Do it; the exit code."""
    parser = argparse.ArgumentParser(prog="cli.demo.lab.fuse")
    parser.add_argument("config", type=Path)
    parser.add_argument("act", choices=["cut", "restore"])
    options = parser.parse_args()
    section = next(item for item in load(options.config).plugins if item.name == "fake")
    cloud = FakePlugin.from_settings(section.settings)
    ids = {machine.local_id: machine.name for machine in cloud.inspect()}
    for status in cloud.list_owned().values():
        name = ids[str(status.local_id)]
        (cloud.cut_power if options.act == "cut" else cloud.restore_power)(name)
        print(name)
    return 0


if __name__ == "__main__":
    sys.exit(main())
