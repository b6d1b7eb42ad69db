"""Getting at the machines of a lease: the SSH key, the sealed connection data, the way in.

Nothing here is believed: the sealed data must have the hash that the provider put on the chain, the host keys
the fingerprint it put there, and ssh is told to accept those keys only.
"""

from __future__ import annotations

import shlex
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from cli.act import working
from cli.app import App, Command, pass_app
from cli.handover import handover
from cli.keys import new_ssh_key
from cli.parse import DURATION
from cli.render import show, time_text
from cli.wallet import box_key_path, key_option
from market.errors import InvalidInput, Refused, Temporary

if TYPE_CHECKING:
    from chain.exchange import Exchange
    from chain.gateway import ConnectionDocument, Endpoint, GatewayClient
    from chain.generated.events import LeaseDelivered
    from chain.lease_endpoints import Told

__all__ = ["connect", "gateway_of", "hinted", "setup", "watch"]

_TOO_EARLY, _PAUSE = 425, 0.5

T = TypeVar("T")

_NUMBER = click.argument("number", type=int)
_STATES = (
    "awarded",
    "signed",
    "delivered",
    "active",
    "ending",
    "completed",
    "terminated",
    "defaulted",
    "cancelled",
)
_OVER = _STATES[5:]


def _folder(app: App, exchange: Exchange, number: int) -> Path:
    place = f"{exchange.connection.chain_id}-{exchange.leases.addresses[0][2:10].lower()}"
    return app.state_dir / "leases" / place / str(number)


def gateway_of(exchange: Exchange, provider: int) -> GatewayClient:
    """The gateway of a provider, for the wallet; Refused if it has published none."""
    from chain.gateway import GatewayClient

    org = exchange.members.organisation(provider)
    if not org.gateway_url:
        raise Refused(
            f"organisation {provider} has published no gateway",
            hint="ask the provider to: ocx member gateway",
        )
    network = exchange.connection
    assert exchange.wallet is not None  # noqa: S101  callers open it with the wallet
    return GatewayClient(
        org.gateway_url,
        org.gateway_key_hash,
        exchange.wallet,
        network.chain_id,
        network.directory,
        repin=lambda: exchange.members.organisation(provider).gateway_key_hash,
        patience=2.0 + 3 * network.block_time,
    )


@contextmanager
def hinted(number: int) -> Iterator[None]:
    """A gateway's bare no comes with the place to look at."""
    try:
        yield
    except Refused as error:
        error.hint = error.hint or f"see whose lease it is and where it stands: ocx lease show {number}"
        raise


@click.command(cls=Command)
@_NUMBER
@click.option("--hostname", default="", help="What the machines call themselves.")
@click.option("--property", "properties", multiple=True, help="More for the provider, as name=value.")
@pass_app
def setup(app: App, number: int, hostname: str, properties: tuple[str, ...]) -> None:
    """Make a fresh SSH key for this lease and send its public half to the provider's gateway.

    Do it soon after the award: a provider that has begun to provision takes no other key.
    """
    pairs = dict(_pair(text) for text in properties)
    exchange = app.exchange(sign=True)
    kept = exchange.leases.lease(number)
    key = _folder(app, exchange, number) / "id_ed25519"
    public = new_ssh_key(key, f"ocx-lease-{number}")
    gateway, network = gateway_of(exchange, kept.provider), exchange.connection
    # The lease may count here a moment before it does at the provider's node.
    patience = 5.0 + 2 * network.confirmations * network.block_time
    with working("telling the provider's gateway"), hinted(number):
        _when_due(lambda: gateway.put_setup(number, [public], hostname, pairs), lambda: patience)
    result = {"lease": number, "ssh_key": str(key), "public_key": public, "hostname": hostname or None}
    show(app, result | {"properties": pairs}, value="ssh_key")


def _pair(text: str) -> tuple[str, str]:
    name, separator, value = text.partition("=")
    if not name or not separator:
        raise InvalidInput(f"'{text}' is not name=value", hint="write it like team=physics")
    return name, value


@click.command(cls=Command)
@_NUMBER
@key_option
@click.option("--node", type=int, help="Which node, if the lease has several.")
@click.option("--run", "command", help="Run this command there over SSH and pass its exit code on.")
@click.option("--wait/--no-wait", default=True, help="Wait while the lease's committee looks first.")
@pass_app
def connect(
    app: App, number: int, key_file: Path | None, node: int | None, command: str | None, wait: bool
) -> None:
    """Fetch and open the sealed connection data, check them against the chain, print the way in.

    Writes a known_hosts file with the checked host keys; ssh accepts no others. Where witnesses have to see
    what was delivered, they have some minutes to do so before the provider lets you in.
    """
    exchange = app.exchange(sign=True)
    with working("fetching the connection data"):
        document = _open_document(app, exchange, number, key_file, wait)
        measured = handover(exchange, number)
    folder = _folder(app, exchange, number)
    endpoints = [item for item in document.resources if node in (None, item.resource)]
    if not endpoints:
        raise InvalidInput(
            f"lease {number} has no delivered node {node}", hint=f"see: ocx lease show {number}"
        )
    key, known_hosts = _prepare(folder, document)
    if command is None:
        told = {"measured": measured.text if measured else None}
        rows = [_row(item, key, known_hosts) | told for item in endpoints]
        show(app, rows[0] if len(rows) == 1 else rows, value="ssh")
        return
    if len(endpoints) > 1:
        raise InvalidInput("the lease has several nodes", hint="choose one with --node")
    if measured and not measured.agrees:
        click.echo(f"ocx: what was re-measured {measured.text}", err=True)
    raise click.exceptions.Exit(_run_there(app, endpoints[0], key, known_hosts, command))


def _run_there(app: App, endpoint: Endpoint, key: Path, known_hosts: Path, command: str) -> int:
    """Run a command over SSH; its exit code. For programs, what it prints becomes part of the result."""
    words = [*_ssh(endpoint, key, known_hosts, "-o", "BatchMode=yes"), command]
    if app.format != "json":
        return subprocess.run(words, check=False).returncode
    done = subprocess.run(words, check=False, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
    show(app, {"node": endpoint.resource, "exit_code": done.returncode, "output": done.stdout})
    return done.returncode


def _open_document(
    app: App, exchange: Exchange, number: int, key_file: Path | None, wait: bool
) -> ConnectionDocument:
    from chain.gateway import ConnectionDocument
    from chain.lease_endpoints import endpoints_of
    from cli.keyring import open_sealed

    kept = exchange.leases.lease(number)
    delivery = _last_delivery(exchange, number)
    with hinted(number):
        gateway = gateway_of(exchange, kept.provider)
        sealed, told = _when_let_in(exchange, gateway, number) if wait else gateway.connection(number)
    if told.connection_hash != delivery.connection_hash:
        raise Refused(
            f"the gateway's data for lease {number} are not those whose hash is on the chain",
            hint="do not use them; ask again, and reject the delivery if it stays so",
            expected=delivery.connection_hash,
        )
    plain = open_sealed(box_key_path(app, key_file), app.passphrase(), sealed)
    document = ConnectionDocument.from_bytes(plain)
    if document.lease != number or document.host_key_hash() != delivery.host_key:
        raise Refused(
            f"the connection data of lease {number} contradict the fingerprint on the chain",
            hint="do not log in; reject the delivery unless the provider explains it",
            expected=delivery.host_key,
        )
    if endpoints_of(document, exchange.leases.resources_of(number)) != told.endpoints:
        raise Refused(
            f"the committee of lease {number} was told of other machines than you were given",
            hint="its verdicts would not be about yours; reject the delivery",
            told=[f"{item.host}:{item.port}" for item in told.endpoints],
        )
    return document


def _when_let_in(exchange: Exchange, gateway: GatewayClient, number: int) -> tuple[bytes, Told]:
    """The sealed data, once the committee has looked; no gateway may hold them back for longer."""
    return _when_due(
        lambda: gateway.connection(number), lambda: exchange.leases.terms(number).accept_time / 2 + _PAUSE
    )


def _when_due(ask: Callable[[], T], patience: Callable[[], float]) -> T:
    """What a gateway answers once it no longer says that it is too early, or after so many seconds."""
    deadline = None
    while True:
        try:
            return ask()
        except Temporary as error:
            if error.evidence.get("status") != _TOO_EARLY:
                raise
            if deadline is None:
                deadline = time.monotonic() + patience()
            if time.monotonic() >= deadline:
                raise
        time.sleep(_PAUSE)


def _last_delivery(exchange: Exchange, number: int) -> LeaseDelivered:
    from chain.generated.events import LeaseDelivered
    from chain.history import history

    entries = history(exchange, [exchange.leases], "lease", number, kinds=[LeaseDelivered])
    found = [entry.event for entry in entries if isinstance(entry.event, LeaseDelivered)]
    if not found:
        raise Refused(f"lease {number} is not delivered yet", hint=f"wait: ocx lease watch {number}")
    return found[-1]


def _prepare(folder: Path, document: ConnectionDocument) -> tuple[Path, Path]:
    """The private key and the known_hosts file to use."""
    from chain.wallet import write_private

    key = folder / "id_ed25519"
    if document.ssh_private_key is not None:
        key = folder / "id_provider"
        write_private(key, document.ssh_private_key, replace=True)
    known_hosts = folder / "known_hosts"
    lines = [f"[{item.host}]:{item.port} {item.host_key}\n" for item in document.resources]
    lines += [f"{item.host} {item.host_key}\n" for item in document.resources if item.port == 22]
    write_private(known_hosts, "".join(lines), replace=True)
    return key, known_hosts


def _ssh(endpoint: Endpoint, key: Path, known_hosts: Path, *options: str) -> list[str]:
    """The ssh command, word by word: our key and no other, the checked host keys and no others."""
    words = ["ssh", "-F", "none", "-i", str(key), "-o", "IdentitiesOnly=yes"]
    words += ["-o", "StrictHostKeyChecking=yes", "-o", f"UserKnownHostsFile={known_hosts}"]
    words += ["-o", "GlobalKnownHostsFile=none", "-p", str(endpoint.port)]
    # Host and user are the provider's words: they must not be read as options.
    return [*words, *options, "-l", endpoint.user, "--", endpoint.host]


def _row(endpoint: Endpoint, key: Path, known_hosts: Path) -> dict[str, Any]:
    return {
        "node": endpoint.resource,
        "host": endpoint.host,
        "port": endpoint.port,
        "user": endpoint.user,
        "host_key": endpoint.host_key,
        "checked": "hash and host key agree with the chain",
        "ssh": shlex.join(_ssh(endpoint, key, known_hosts)),
        "details": endpoint.details,
    }


@click.command(cls=Command)
@_NUMBER
@click.option("--until", "wanted", type=click.Choice(_STATES), multiple=True, help="Stop at this state.")
@click.option("--timeout", type=DURATION, help="Give up after so long, with exit code 1.")
@pass_app
def watch(app: App, number: int, wanted: tuple[str, ...], timeout: int | None) -> None:
    """Show each change of a lease's state until it is over, or until the state asked for."""
    exchange = app.exchange()
    pause = min(1.0, max(0.1, exchange.connection.block_time / 2))
    _watch(app, exchange, number, wanted, timeout, lambda: time.sleep(pause), time.monotonic)


def _watch(
    app: App,
    exchange: Exchange,
    number: int,
    wanted: tuple[str, ...],
    timeout: int | None,
    pause: Callable[[], None],
    clock: Callable[[], float],
) -> None:
    deadline = None if timeout is None else clock() + timeout
    last = ""
    while True:
        head = exchange.rpc.head()
        state = exchange.leases.state_of(number, block=head.number).name.lower()
        if state != last and app.format == "table":
            click.echo(f"{time_text(head.timestamp)}  {state}")
        last = state
        if state in (wanted or _OVER):
            break
        if state in _OVER:
            raise Refused(
                f"lease {number} is {state} and will not become {' or '.join(wanted)}",
                hint=f"see why: ocx lease show {number} --why",
            )
        if deadline is not None and clock() >= deadline:
            raise Refused(
                f"lease {number} is still {state} after {timeout} s",
                hint=f"see: ocx lease show {number} --why",
            )
        pause()
    if app.format != "table":
        show(app, {"lease": number, "state": state, "time": head.timestamp}, value="state")
