"""An engine that looks into each node's folder for how wrong its clock is to be.

The keeper runs one engine for all nodes. This one is a script: where a folder has a file `skew`, it runs the
build whose clock is off by so many seconds (tools/engine --skewed), else the engine that everybody runs.
"""

from __future__ import annotations

import subprocess
from pathlib import Path

from chain.nodes.engine import find_engine

__all__ = ["SKEW", "build", "engine"]

SKEW = "skew"
_TOOL = Path(__file__).parents[3] / "tools" / "engine"


def engine(folder: Path) -> Path:
    """Write the script into a folder; `build` puts the skewed engine beside it."""
    script = folder / "engine"
    script.write_text(
        f"""#!/bin/sh
if [ -s {SKEW} ]; then
  OCX_SKEW="$(cat {SKEW})"
  export OCX_SKEW
  exec {folder}/skewed "$@"
fi
exec {find_engine()} "$@"
"""
    )
    script.chmod(0o755)
    return script


def build(folder: Path) -> None:
    """Have the skewed engine: minutes the first time, nothing after."""
    if (folder / "skewed").exists():
        return
    done = subprocess.run([str(_TOOL), "--skewed"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (folder / "skewed").symlink_to(done.stdout.strip())
