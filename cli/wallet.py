"""`ocx wallet`: the key that signs, and the encryption key that opens connection data.

Passphrases come from `--passphrase-file`, OCX_PASSPHRASE or a prompt; keys never appear on the command line.
"""

from __future__ import annotations

import sys
from pathlib import Path

import click

from cli.app import App, Group, pass_app
from cli.render import hex_text, show
from market.errors import InvalidInput

__all__ = ["box_key_path", "key_option", "wallet"]

_FILE = click.Path(path_type=Path, dir_okay=False)
_LIGHT = click.option("--light", is_flag=True, help="Cheap to open and to guess: for demos and tests only.")


def box_key_path(app: App, given: Path | None) -> Path:
    """Where the encryption key lies: the file given, else `encryption-key.json` in the state directory."""
    return given or app.state_dir / "encryption-key.json"


key_option = click.option(
    "--key",
    "key_file",
    type=_FILE,
    envvar="OCX_KEY",
    help="Encryption key file.  [default: encryption-key.json in the state directory]",
)


@click.group(cls=Group)
def wallet() -> None:
    """Keys: the wallet that signs, the encryption key that opens connection data."""


@wallet.command()
@click.argument("file", type=_FILE, required=False)
@_LIGHT
@pass_app
def create(app: App, file: Path | None, light: bool) -> None:
    """Make a fresh key in a keystore FILE (by default the one of --wallet)."""
    from chain.wallet import create as make

    path = file or app.wallet_path()
    made = make(path, app.passphrase(confirm=True)(), light=light)
    show(app, {"address": made.address, "file": str(path)}, value="address")


@wallet.command("import")
@click.argument("file", type=_FILE, required=False)
@click.option(
    "--from", "source", type=_FILE, help="File with the private key in hexadecimal; else standard input."
)
@_LIGHT
@pass_app
def import_(app: App, file: Path | None, source: Path | None, light: bool) -> None:
    """Put an existing private key into a new keystore FILE; the key is read from --from or standard input."""
    from chain.wallet import import_key

    path = file or app.wallet_path()
    made = import_key(path, _read_key(source), app.passphrase(confirm=True)(), light=light)
    show(app, {"address": made.address, "file": str(path)}, value="address")


def _read_key(source: Path | None) -> bytes:
    try:
        text = source.read_text("utf-8") if source else sys.stdin.readline()
        key = bytes.fromhex(text.strip().removeprefix("0x"))
    except OSError as error:
        raise InvalidInput(f"the key file {source} cannot be read: {error}") from error
    except ValueError:
        raise InvalidInput("that is no key in hexadecimal", hint="it has 64 digits") from None
    return key


@wallet.command("show")
@pass_app
def show_(app: App) -> None:
    """The account, the organisation it acts for, its rights and balances."""
    from chain.wallet import address_of
    from cli.member import own_org, rights_names
    from cli.render import word

    address = address_of(app.wallet_path())
    result: dict[str, object] = {"address": address, "file": str(app.wallet_path())}
    if app.connection is not None:
        exchange = app.exchange()
        member = exchange.members.member(address)
        if app.acting_for is not None:
            member = exchange.members.member_of(own_org(app, exchange), address)
        result["org"] = member.org or None
        if member.org:
            result["handle"] = word(exchange.members.organisation(member.org).handle)
            result["rights"] = rights_names(member.rights)
            result |= {"limit": member.limit, "spent": member.spent}
            result["org_free"] = exchange.escrow.free(member.org)
        result["wallet_credits"] = exchange.credits.balance_of(address)
        result["council"] = exchange.directory.council() == address
    show(app, result, value="address")


@wallet.command()
@pass_app
def pending(app: App) -> None:
    """What this wallet sent that is not mined yet; what the chain has lost is broadcast again."""
    exchange = app.exchange(sign=True)
    found = exchange.sender.recover()
    told = {entry.id: "mined" for entry in found.mined} | {entry.id: "lost" for entry in found.lost}
    entries = [*found.mined, *found.lost, *exchange.sender.journal.live()]
    rows = [
        {
            "nonce": entry.nonce,
            "status": told.get(entry.id, "under way"),
            "to": entry.recipient,
            "created_at": int(entry.created_at),
            "tx": hex_text(entry.latest.hash),
        }
        for entry in entries
    ]
    show(app, rows, value="tx status", empty="nothing is under way")


@wallet.command("key-create")
@key_option
@_LIGHT
@pass_app
def key_create(app: App, key_file: Path | None, light: bool) -> None:
    """Make the organisation's encryption key; publish it with: ocx member encryption-key."""
    from chain.sealed import BoxKey

    path = box_key_path(app, key_file)
    key = BoxKey.generate()
    key.save(path, app.passphrase(confirm=True)(), light=light)
    show(app, {"public_key": hex_text(key.public), "file": str(path)}, value="public_key")


@wallet.command("key-export")
@click.argument("target", type=_FILE)
@key_option
@click.option("--new-passphrase-file", type=_FILE, help="Passphrase of the copy; by default the same.")
@pass_app
def key_export(app: App, target: Path, key_file: Path | None, new_passphrase_file: Path | None) -> None:
    """Write a copy of the encryption key, still wrapped, to TARGET, for a colleague or another machine."""
    from chain.sealed import BoxKey
    from chain.wallet import from_file

    passphrase = app.passphrase()()
    key = BoxKey.load(box_key_path(app, key_file), lambda: passphrase)
    key.save(target, from_file(new_passphrase_file)() if new_passphrase_file else passphrase)
    show(app, {"public_key": hex_text(key.public), "file": str(target)}, value="file")


@wallet.command("key-import")
@click.argument("source", type=_FILE)
@key_option
@pass_app
def key_import(app: App, source: Path, key_file: Path | None) -> None:
    """Take over an exported encryption key from SOURCE; the passphrase stays the one it was exported with.

    If there is another one, as after a colleague's rotation, that is kept for what was sealed to it.
    """
    from chain.sealed import BoxKey
    from cli.keyring import next_file, promote
    from cli.keys import public_half

    passphrase = app.passphrase()()
    key = BoxKey.load(source, lambda: passphrase)
    path = box_key_path(app, key_file)
    if path.exists() and public_half(path) != key.public:
        key.save(next_file(path), passphrase)
        promote(path)
    else:
        key.save(path, passphrase)
    show(app, {"public_key": hex_text(key.public), "file": str(path)}, value="public_key")
