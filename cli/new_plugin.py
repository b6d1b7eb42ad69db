"""`ocx provider new-plugin`: a plugin of one's own, started from the shipped example that already works."""

from __future__ import annotations

import re
from pathlib import Path

import click

from cli.app import App, Command, pass_app
from cli.render import show
from market.errors import InvalidInput

__all__ = ["new_plugin"]

_NAME = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*")


# Not OCX_PROVIDER_...: those variables are an agent's own settings.
@click.command("new-plugin", cls=Command, context_settings={"auto_envvar_prefix": "OCX_NEW_PLUGIN"})
@click.argument("name")
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder to make, which must not exist yet; by default ocx-NAME here.",
)
@pass_app
def new_plugin(app: App, name: str, out: Path | None) -> None:
    """Write a new plugin package NAME that works on a toy cloud, ready to be made into one for yours."""
    if not _NAME.fullmatch(name):
        raise InvalidInput(f"a plugin cannot be named {name!r}", hint="use small letters, digits and _")
    folder = out or Path(f"ocx-{name.replace('_', '-')}")
    written = write_plugin(name, folder)
    steps = f"pip install -e {folder}; ocx provider plugins; then replace _Cloud: docs/plugins.md"
    show(
        app, {"folder": str(folder), "files": [path.name for path in written], "next": steps}, value="folder"
    )


def write_plugin(name: str, folder: Path) -> list[Path]:
    """The example's files under another name, in a new folder; nothing is ever written over."""
    from chain.data import data_path

    try:
        folder.mkdir(parents=True)
    except OSError as error:
        raise InvalidInput(
            f"the folder {folder} cannot be made: {error.strerror}", hint="choose another with --out"
        ) from None
    written = []
    for source in sorted((data_path("templates") / "plugin").iterdir()):
        if source.is_file():
            target = folder / source.name.replace("example", name)
            target.write_text(_renamed(source.read_text("utf-8"), name), "utf-8")
            written.append(target)
    return written


def _renamed(text: str, name: str) -> str:
    title = "".join(word.capitalize() for word in name.split("_"))
    text = text.replace("ocx-example", f"ocx-{name.replace('_', '-')}")
    return text.replace("Example", title).replace("example", name)
