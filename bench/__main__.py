"""`python -m bench [NAME] [OPTIONS]`: one measurement, or all of them."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from bench import award_to_plugin, gas, soak

MEASUREMENTS = {"gas": gas.main, "award_to_plugin": award_to_plugin.main}


def main(argv: list[str]) -> int:
    """Run the named measurement with the options after it; without a name run all as they are."""
    engine = Path(__file__).resolve().parents[1] / "node_modules" / ".bin"
    os.environ["PATH"] = f"{engine}{os.pathsep}{os.environ['PATH']}"
    known = MEASUREMENTS | {"soak": soak.main}  # which takes ten minutes, so it is not one of all
    if argv and argv[0] in known:
        return known[argv[0]](argv[1:])
    if argv:
        print(f"there is no measurement {argv[0]!r}; there are: {', '.join(known)}", file=sys.stderr)
        return 2
    code = 0
    for name, measurement in MEASUREMENTS.items():
        print(f"\n== {name}", flush=True)
        code = measurement([]) or code
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
