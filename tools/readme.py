"""Keeps the command help quoted in the pages equal to what the commands print.

A page quotes a command between two markers:

    <!-- help: ocx tender bid -->
    (a code block, written by this tool)
    <!-- /help -->

`python -m tools.readme` rewrites the blocks of README.md and docs/*.md, `--check` names stale ones.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Final

_ROOT: Final = Path(__file__).resolve().parents[1]
_BLOCK: Final = re.compile(r"(<!-- help: (ocx[ a-z-]*) -->\n).*?(<!-- /help -->)", re.DOTALL)
_WIDTH: Final = "100"


@cache
def help_of(command: str) -> str:
    """What `COMMAND --help` prints at a fixed width, without colours."""
    program = [str(Path(sys.executable).with_name("ocx")), *command.split()[1:], "--help"]
    surroundings = {name: value for name, value in os.environ.items() if not name.startswith("OCX_")}
    surroundings |= {"COLUMNS": _WIDTH, "TERMINAL_WIDTH": _WIDTH, "NO_COLOR": "1", "TERM": "dumb"}
    done = subprocess.run(program, capture_output=True, text=True, check=False, env=surroundings)
    if done.returncode:
        raise SystemExit(f"{command} --help failed: {done.stderr.strip()}")
    return "\n".join(line.rstrip() for line in done.stdout.strip().splitlines())


def refreshed(text: str) -> str:
    """The page with every quoted help replaced by the live one."""
    return _BLOCK.sub(lambda match: f"{match[1]}```text\n{help_of(match[2])}\n```\n{match[3]}", text)


def pages() -> list[Path]:
    """The pages that may quote a command."""
    return [path for path in (_ROOT / "README.md", *sorted((_ROOT / "docs").glob("*.md"))) if path.is_file()]


def main(arguments: list[str] | None = None) -> int:
    """Rewrite the pages, or with `--check` say which are stale. Returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tools.readme", description="Quote live command help.")
    parser.add_argument("--check", action="store_true", help="name stale pages only")
    options = parser.parse_args(arguments)
    stale = [path for path in pages() if refreshed(path.read_text("utf-8")) != path.read_text("utf-8")]
    for path in stale:
        if options.check:
            print(f"{path.relative_to(_ROOT)} quotes outdated command help")
        else:
            path.write_text(refreshed(path.read_text("utf-8")), "utf-8")
            print(f"{path.relative_to(_ROOT)} refreshed")
    if stale and options.check:
        print("run: make docs")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
