"""Prints how large each deployable contract is, and fails if one is over the house's limit.

The numbers come from the committed artifacts, which `make check` compares with the sources.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Final

LIMIT: Final = 22_528
"""Bytes of deployed code (22 kB); the ledger itself refuses more than 24,576."""

_ARTIFACTS: Final = Path(__file__).resolve().parents[1] / "contracts" / "artifacts"


def sizes() -> dict[str, tuple[int, ...]]:
    """Contract name to (deployed bytes, deployment bytes)."""
    artifacts = [json.loads(path.read_text("utf-8")) for path in sorted(_ARTIFACTS.glob("*.json"))]
    codes = ("deployedBytecode", "bytecode")
    return {item["contractName"]: tuple(_bytes(item[code]) for code in codes) for item in artifacts}


def _bytes(code: str) -> int:
    return len(code.removeprefix("0x")) // 2


def main() -> int:
    """Print the table; 1 if a contract is too large."""
    table = sizes()
    print(f"{'contract':<24}{'deployed':>10}{'initial':>10}{'of limit':>10}")
    for name, (deployed, initial) in sorted(table.items(), key=lambda row: -row[1][0]):
        print(f"{name:<24}{deployed:>10,}{initial:>10,}{deployed / LIMIT:>10.0%}")
    too_large = [name for name, (deployed, _) in table.items() if deployed >= LIMIT]
    if too_large:
        print(f"over {LIMIT:,} bytes: {', '.join(too_large)}; move a duty into a contract of its own")
    return 1 if too_large else 0


if __name__ == "__main__":
    sys.exit(main())
