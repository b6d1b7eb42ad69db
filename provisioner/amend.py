"""Changes the operator key in a configuration file and leaves everything else as its author wrote it.

Comments, order and style stay: the YAML parser says where a value stands, and only those characters are
replaced. This module must not open what the file names.
"""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import yaml

from market.errors import InvalidInput

__all__ = ["name_wallet"]


def name_wallet(path: Path, keystore: Path, passphrase_file: Path | None = None) -> Path:
    """Let the configuration at `path` name another keystore, and another passphrase file if one is given.

    Returns the copy of the file as it was, made first. `InvalidInput` if it has no `wallet.keystore`, or
    cannot be written; then it is as it was.
    """
    try:
        text = path.read_text("utf-8")
        amended = _amended(text, keystore, passphrase_file)
        backup = path.with_name(f"{path.name}.before-{keystore.stem}")
        if not backup.exists():
            shutil.copy2(path, backup)
        temporary = path.with_name(f".{path.name}.new")
        shutil.copy2(path, temporary)  # with its mode
        temporary.write_text(amended, "utf-8")
        os.replace(temporary, path)
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise InvalidInput(
            f"{path} cannot be changed ({type(error).__name__})",
            hint=f"Set wallet.keystore there to {keystore} by hand, then run the command again.",
        ) from error
    return backup


def _amended(text: str, keystore: Path, passphrase_file: Path | None) -> str:
    wallet = _entries(yaml.compose(text, Loader=yaml.SafeLoader)).get("wallet")
    fields = {} if wallet is None else _entries(wallet[1])
    if "keystore" not in fields:
        raise InvalidInput("the configuration names no wallet.keystore", hint="Correct it first.")
    changes = [(fields["keystore"][1], json.dumps(str(keystore)))]
    if passphrase_file is not None:
        changes += _passphrase(fields, json.dumps(str(passphrase_file)))
    for node, value in sorted(changes, key=lambda change: change[0].start_mark.index, reverse=True):
        text = text[: node.start_mark.index] + value + text[node.end_mark.index :]
    return text


def _passphrase(fields: dict[str, tuple[yaml.Node, yaml.Node]], file: str) -> list[tuple[yaml.Node, str]]:
    """What to replace so that the passphrase is read from `file` and from nowhere else."""
    changes = []
    if "passphrase" in fields:
        value = fields["passphrase"][1]
        changes.append(
            (value, "null" if "passphrase_file" in fields else json.dumps({"file": json.loads(file)}))
        )
    if "passphrase_file" in fields:
        changes.append((fields["passphrase_file"][1], file))
    if not changes:
        raise InvalidInput(
            "the configuration names no wallet.passphrase_file to change",
            hint="Add the line passphrase_file: null to its wallet, then run the command again.",
        )
    return changes


def _entries(node: yaml.Node | None) -> dict[str, tuple[yaml.Node, yaml.Node]]:
    """Key and value nodes of a mapping by name; nothing for another node."""
    if not isinstance(node, yaml.MappingNode):
        return {}
    return {str(key.value): (key, value) for key, value in node.value}
