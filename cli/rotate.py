"""Changing keys while everything runs: what the commands share, and those for gateway and encryption keys.

Each is a row of steps that may be repeated. What is done already is told by the chain and the files, so a
command that was killed anywhere goes on when it is given again; a small record in the agent's state folder
only says which change it was. No key is overwritten or removed before its successor counts.
"""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cli.act import confirm, working
from cli.app import App, Command, pass_app
from cli.options import config_option, load_settings
from cli.parse import DURATION
from cli.render import hex_text, show
from market.errors import InvalidInput, Refused, Temporary

if TYPE_CHECKING:
    from chain.contracts.base import Call
    from chain.exchange import Exchange
    from provisioner.settings import Settings

__all__ = ["Record", "require_agents_user", "rotate_encryption_key", "rotate_gateway", "send_once"]

_FILE = click.Path(path_type=Path, dir_okay=False)


class Record:
    """Which change of a kind of key is under way in a state folder; gone when it is complete."""

    def __init__(self, settings: Settings, kind: str) -> None:
        self._path = settings.state_dir / f"rotation-{kind}.json"

    def read(self) -> dict[str, Any] | None:
        """What was written; None if no change is under way."""
        try:
            content = json.loads(self._path.read_text("utf-8"))
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            raise InvalidInput(f"{self._path} cannot be read: {error}") from error
        return dict(content)

    def write(self, content: Mapping[str, Any]) -> None:
        """Written before the first step."""
        from chain.wallet import write_private

        write_private(self._path, json.dumps(content, indent=1, sort_keys=True) + "\n", replace=True)

    def drop(self) -> None:
        """The change is complete."""
        self._path.unlink(missing_ok=True)


def send_once(exchange: Exchange, call: Call, intent: str, holds: Callable[[], bool]) -> list[dict[str, Any]]:
    """Send a call under a name by which a repeated command finds it again; `holds`: what it must bring about.

    Returns the transaction as plain data. Refused if it was mined, and something else counts since.
    """
    with working(f"{call.label}: waiting for the chain"):
        receipt = exchange.send(call, intent=intent)
    if not holds():
        raise Refused(
            f"{call.label} is on the chain, but another change came after it",
            hint="see who else acts for the organisation: ocx member show",
            tx_hash=receipt.tx_hash,
        )
    told = {"label": call.label, "tx_hash": hex_text(receipt.tx_hash), "block": receipt.block_number}
    return [told | {"block_time": receipt.block_time, "gas_used": receipt.gas_used}]


def require_agents_user(settings: Settings) -> None:
    """Refuse to make files that the agent's user could not read."""
    if not settings.state_dir.exists():
        raise InvalidInput(
            f"there is no {settings.state_dir}", hint="start the agent once, or correct the file"
        )
    owner = settings.state_dir.stat().st_uid
    if owner != os.geteuid():
        raise InvalidInput(
            f"{settings.state_dir} belongs to user {owner}, who must be able to read what is made here",
            hint=f"run the command as that user: sudo -u '#{owner}' ocx ...",
        )


def own_admin(exchange: Exchange) -> int:
    """The organisation whose admin the wallet is; Refused if it is none."""
    from chain.contracts.members import MemberRight

    assert exchange.wallet is not None  # noqa: S101  opened with it
    member = exchange.members.member(exchange.wallet.address)
    if not member.rights & MemberRight.ADMIN:
        raise Refused(
            f"{exchange.wallet.address} is no admin of an organisation",
            hint="name an admin's keystore with --wallet",
        )
    return member.org


wait_option = click.option(
    "--wait", type=DURATION, default="30s", help="How long to wait for the running agent."
)


# ---- the gateway's TLS key -----------------------------------------------------------------------------


@click.command(cls=Command, context_settings={"auto_envvar_prefix": "OCX_ROTATE"})
@config_option
@wait_option
@pass_app
def rotate_gateway(app: App, config_file: Path, wait: int) -> None:
    """Give the gateway a new TLS key without a break (admin); run it where the agent's files lie.

    Makes the next key beside the current one, registers it, and waits until the running gateway shows it;
    the old key is removed then. Killed and given again, it goes on where it was.
    """
    from provisioner.gateway.tls import ensure_certificate, ensure_next, next_hash

    settings = load_settings(config_file)
    require_agents_user(settings)
    exchange = app.exchange(sign=True)
    org = own_admin(exchange)
    url = exchange.members.organisation(org).gateway_url
    if not url:
        raise Refused("the organisation has no gateway yet", hint="register it: ocx member gateway")
    record = Record(settings, "gateway")
    begun = record.read()
    if begun is None:
        facts = {
            "gateway": url,
            "registered key": hex_text(exchange.members.organisation(org).gateway_key_hash),
        }
        confirm(
            app, "Give the gateway a new TLS key; the old one is removed once the new one is shown.", facts
        )
        wanted = ensure_next(settings)
        record.write({"next": wanted.hex(), "begun": int(time.time())})
    else:
        wanted = bytes.fromhex(str(begun["next"]))
    if wanted not in (next_hash(settings), ensure_certificate(settings)):
        raise Refused(
            "the key of the change under way is gone from the disk",
            hint=f"remove {settings.state_dir / 'rotation-gateway.json'} and begin again",
        )

    def registered() -> bool:
        return exchange.members.organisation(org).gateway_key_hash == wanted

    sent: list[dict[str, Any]] = []
    if not registered():
        call = exchange.members.set_gateway(url, wanted)
        sent = send_once(exchange, call, f"rotate/gateway/{wanted.hex()[:32]}", registered)
    shown = _wait_shown(url, wanted, wait)
    if shown:
        record.drop()
    show(
        app,
        {"gateway": url, "gateway_key_hash": hex_text(wanted), "complete": shown, "transactions": sent},
        value="gateway_key_hash",
    )
    if not shown:
        raise Temporary(
            f"the new key is registered, but {url} does not show it yet",
            hint="start the agent, or see its log; then give the command again",
            retry_after=5.0,
        )


def _wait_shown(url: str, wanted: bytes, limit: int) -> bool:
    """Whether the gateway shows the key within `limit` seconds."""
    from chain.gateway import shown_key

    deadline = time.monotonic() + limit
    with working("waiting for the gateway to show its new key"):
        while True:
            with contextlib.suppress(Temporary):  # nobody answers now
                if shown_key(url) == wanted:
                    return True
            if time.monotonic() >= deadline:
                return False
            time.sleep(0.2)


# ---- the organisation's encryption key -----------------------------------------------------------------


@click.command(cls=Command)
@click.option(
    "--key",
    "key_file",
    type=_FILE,
    envvar="OCX_KEY",
    help="Encryption key file.  [default: encryption-key.json in the state directory]",
)
@click.option("--light", is_flag=True, help="Cheap to open and to guess: for demos and tests only.")
@pass_app
def rotate_encryption_key(app: App, key_file: Path | None, light: bool) -> None:
    """Publish a new encryption key and keep the old one for what was sealed to it (admin).

    Leases that are delivered stay sealed to the old key; `ocx lease connect` tries all that are kept.
    """
    from chain.sealed import BoxKey
    from cli.keyring import next_file, promote, ring
    from cli.keys import public_half
    from cli.wallet import box_key_path

    path = box_key_path(app, key_file)
    fresh = next_file(path)
    if not ring(path):
        raise InvalidInput(f"there is no encryption key {path}", hint="make one: ocx wallet key-create")
    exchange = app.exchange(sign=True)
    org = own_admin(exchange)
    if not fresh.exists():
        facts = {
            "published key": hex_text(exchange.members.organisation(org).encryption_key),
            "keys": str(path.parent),
        }
        confirm(
            app, "Publish a new encryption key; what is sealed already stays sealed to the old one.", facts
        )
        BoxKey.generate().save(fresh, app.passphrase()(), light=light)
    public = public_half(fresh)

    def published() -> bool:
        return exchange.members.organisation(org).encryption_key == public

    sent: list[dict[str, Any]] = []
    if not published():
        call = exchange.members.set_encryption_key(public)
        sent = send_once(exchange, call, f"rotate/encryption/{public.hex()[:32]}", published)
    promote(path)
    result = {"encryption_key": hex_text(public), "file": str(path)}
    kept = [str(file) for file in ring(path)[1:]]
    show(app, result | {"kept": kept, "transactions": sent}, value="encryption_key")
