"""`ocx lease power` and `ocx lease console`: what a buyer asks of its running machines, at the gateway.

Power is asked for with a request that the wallet signs (`chain.power`); the provider keeps it. A console's
way in comes sealed to the organisation's encryption key and is shown, never kept. The chain is only read.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cli.access import gateway_of, hinted
from cli.act import confirm, working
from cli.app import App, Command, pass_app
from cli.parse import DURATION
from cli.render import show
from cli.wallet import box_key_path, key_option
from market.errors import InvalidInput, Refused, Temporary

if TYPE_CHECKING:
    from chain.console import ConsoleDocument
    from chain.exchange import Exchange
    from chain.gateway import GatewayClient
    from chain.power import PowerRequest

__all__ = ["console", "power"]

_NUMBER = click.argument("number", type=int)
_PENDING, _DONE = "pending", "done"
_WORDS = {"on": "Switch on", "off": "Switch off", "reboot": "Reboot"}
_BUSY = (425, 429)
_PAUSE = 0.5
_ESCAPES = r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[@-Z\\-_])"
_CONTROL = re.compile(rf"{_ESCAPES}|[^\n\t\x20-\x7e\xa0-\U0010ffff]")
"""Escape sequences and control characters: what a console says must not command the reader's terminal."""


@click.command(cls=Command)
@_NUMBER
@click.argument("action", type=click.Choice([*_WORDS, "status"]))
@click.option("--wait/--no-wait", default=True, help="Wait until it is done; else look with status.")
@click.option("--timeout", type=DURATION, default="11m", help="Wait at most so long.")
@pass_app
def power(app: App, number: int, action: str, wait: bool, timeout: int) -> None:
    """Switch the machines of a lease on or off, reboot them, or look what became of that (status).

    The request is for the whole lease: all its delivered machines. The wallet signs it, and the provider
    keeps it: from it, whoever judges the lease knows that you switched the machines off, not the provider.
    A lease bills on while its machines are off. Of several requests the latest counts; a reboot of a machine
    that is off switches it on.
    """
    exchange = app.exchange(sign=True)
    with working("asking the provider's gateway"), hinted(number):
        client = gateway_of(exchange, exchange.leases.lease(number).provider)
        told = client.power(number)
    if action == "status":
        show(app, _power_row(number, told), value="state")
        return
    request, signature = _signed(app, exchange, number, action, told)
    with hinted(number):
        _hand_in(client, request, signature)
    if wait:
        told = _wait(
            lambda: client.power(number),
            ("nonce", request.nonce),
            what=f"{action} of lease {number}",
            look=f"ocx lease power {number} status",
            timeout=timeout,
        )
    else:
        told = client.power(number)
    show(app, _power_row(number, told), value="state")


def _signed(
    app: App, exchange: Exchange, number: int, action: str, told: dict[str, Any]
) -> tuple[PowerRequest, bytes]:
    """Ask the user, then sign a request newer than every one before it."""
    from chain.power import Action, PowerRequest, sign

    assert exchange.wallet is not None  # noqa: S101  opened with the wallet
    nodes = _delivered(exchange, number)
    facts = {
        "nodes": ", ".join(map(str, nodes)) or "none delivered yet",
        "signed by": exchange.wallet.address,
        "billing": "goes on, whatever the power",
    }
    confirm(app, f"{_WORDS[action]} the machines of lease {number}.", facts)
    now = time.time()
    nonce = max(int(now * 1000), int(told.get("nonce", 0)) + 1)
    request = PowerRequest(number, Action[action.upper()], nonce, int(now))
    return request, sign(
        exchange.wallet, request, exchange.connection.chain_id, exchange.leases.address_of(request.lease)
    )


def _hand_in(client: GatewayClient, request: PowerRequest, signature: bytes) -> None:
    """Hand a request in once; an answer that was lost is looked up, since the same request is taken once."""
    try:
        client.ask_power(request, signature)
    except Temporary as error:
        if error.evidence.get("status") in _BUSY or client.power(request.lease)["nonce"] != request.nonce:
            raise


def _power_row(number: int, told: dict[str, Any]) -> dict[str, Any]:
    asked = told.get("request") or {}
    return {
        "lease": number,
        "action": asked.get("action"),
        "state": asked.get("state", "never asked"),
        "detail": _CONTROL.sub("", str(asked["detail"])) if asked.get("detail") else None,
        "nodes": asked.get("resources", []),
        "done": asked.get("done", []),
        "account": asked.get("account"),
        "nonce": asked.get("nonce"),
        "asked_at": asked.get("asked_at"),
        "ended_at": asked.get("ended_at"),
    }


@click.command(cls=Command)
@_NUMBER
@key_option
@click.option("--node", type=int, help="Which node, if the lease has several.")
@click.option("--close", is_flag=True, help="Close it instead.")
@click.option("--timeout", type=DURATION, default="2m", help="Wait at most so long.")
@pass_app
def console(
    app: App, number: int, key_file: Path | None, node: int | None, close: bool, timeout: int
) -> None:
    """Open the console of a machine and show where it is, or what it says where it is a log.

    Each call opens it anew. It comes sealed to your organisation's encryption key, and is kept nowhere.
    """
    from chain.sealed import BoxKey

    exchange = app.exchange(sign=True)
    resource = _one_node(exchange, number, node)
    key = None if close else BoxKey.load(box_key_path(app, key_file), app.passphrase())
    with working("asking the provider's gateway"), hinted(number):
        client = gateway_of(exchange, exchange.leases.lease(number).provider)
        asked = (client.ask_console(number, resource, close=close)["request"] or {}).get("id")
    told = _wait(
        lambda: client.console(number, resource),
        ("id", asked),
        what=f"console of node {resource}",
        look="ask again",
        timeout=timeout,
    )
    if key is None:
        show(app, {"lease": number, "node": resource, "console": "closed"}, value="console")
        return
    _show_console(app, _opened(key.open(told["sealed"] or b""), number, resource))


def _opened(raw: bytes, number: int, resource: int) -> ConsoleDocument:
    from chain.console import ConsoleDocument

    document = ConsoleDocument.from_bytes(raw)
    if (document.lease, document.resource) != (number, resource):
        raise Refused(
            f"the gateway gave the console of node {document.resource} in lease {document.lease}",
            hint="do not use it; ask the provider what is wrong with its gateway",
        )
    return document


def _show_console(app: App, document: ConsoleDocument) -> None:
    """A log as it is, without what would command the terminal; for programs, and for others, a result."""
    url = None if document.url is None else _CONTROL.sub("", document.url)
    text = None if document.text is None else _CONTROL.sub("", document.text)
    if text is not None and app.format != "json":
        click.echo(text, nl=not text.endswith("\n"))
        return
    kind = _CONTROL.sub("", document.kind)
    result = {"lease": document.lease, "node": document.resource, "kind": kind, "url": url}
    show(app, result | ({} if text is None else {"text": text}), value="url")


def _one_node(exchange: Exchange, number: int, node: int | None) -> int:
    nodes = _delivered(exchange, number)
    if not nodes:
        raise Refused(f"lease {number} is not delivered yet", hint=f"wait: ocx lease watch {number}")
    if node is None and len(nodes) > 1:
        raise InvalidInput(
            f"lease {number} has several nodes: {', '.join(map(str, nodes))}", hint="choose one with --node"
        )
    if node is not None and node not in nodes:
        raise InvalidInput(
            f"lease {number} has no delivered node {node}", hint=f"see: ocx lease show {number}"
        )
    return nodes[0] if node is None else node


def _delivered(exchange: Exchange, number: int) -> list[int]:
    bits = exchange.leases.lease(number).delivered
    return [node for place, node in enumerate(exchange.leases.resources_of(number)) if bits >> place & 1]


def _wait(
    ask: Callable[[], dict[str, Any]], mine: tuple[str, object], *, what: str, look: str, timeout: int
) -> dict[str, Any]:
    """Ask until our request has ended; Refused with the provider's reason if it was not done.

    `mine`: the field by which our request is known, and its value. Another one is there only after ours.
    """
    deadline = time.monotonic() + timeout
    with working(f"{what}: waiting for the provider"):
        while True:
            late = Refused(f"the {what} is still pending after {timeout} s", hint=f"see: {look}")
            try:
                found = ask()
                asked = found["request"] or {}
                if asked.get(mine[0]) != mine[1]:
                    raise Refused(f"the {what} was overtaken by a later request", hint=f"see: {look}")
                if asked["state"] != _PENDING:
                    break
            except Temporary as error:  # the gateway may be starting again
                if time.monotonic() >= deadline:
                    raise late from error
            if time.monotonic() >= deadline:
                raise late
            time.sleep(_PAUSE)
    if asked["state"] != _DONE:
        why = _CONTROL.sub("", str(asked.get("detail") or "no reason was given"))
        raise Refused(f"the {what} {_ended(asked['state'])}: {why}", hint="ask again, or ask the provider")
    return found


def _ended(state: str) -> str:
    return {"superseded": "was overtaken", "dropped": "was dropped"}.get(state, "failed")
