"""What is missing in a witness's installation, found before its first tick: what it is, and what to do.

A finding is either missing (the node cannot do its duty without it) or advice. Everything is only read:
nothing is sent or made. `examine` goes on after each failure, so one answer names everything.
"""

from __future__ import annotations

import os
import shutil
import socket
import stat
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from chain import connection as connection_file
from chain.connection import ConnectionFile
from chain.contracts.members import MemberRight, Role
from chain.endpoints import server_time
from chain.exchange import Exchange
from chain.pinned import shown_key
from chain.published import judges
from chain.rpc import Rpc
from chain.wallet import Wallet
from chain.wire import Block
from market.errors import OcxError
from witness.settings import Settings

__all__ = ["Finding", "examine"]

_FULL, _LOW = 64 << 20, 1 << 30
_MOST_GATEWAYS = 50


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is not as it should be: `severity` is `missing` (must be put right) or `advice`."""

    severity: str
    what: str
    todo: str


Findings = Iterator[Finding]


def examine(
    settings: Settings, open_wallet: Callable[[Settings], Wallet], clock: Callable[[], float] = time.time
) -> list[Finding]:
    """Everything that is missing or could be better, in the order in which to put it right; blocking."""
    wallets: list[Wallet] = []
    connections: list[ConnectionFile] = []
    findings = [
        *_guarded("the key", lambda: _wallet(settings, open_wallet, wallets)),
        *_guarded("the state folder", lambda: _folder(settings)),
        *_guarded("the connection file", lambda: _connection(settings, connections)),
        *_guarded("ICMP", _icmp),
    ]
    if not connections:
        return findings
    reached = _guarded("the endpoints", lambda: _endpoints(settings, connections[0], clock))
    findings += reached
    if any(item.what.startswith("no endpoint") for item in reached):
        return findings
    exchange = Exchange(connections[0])
    for wallet in wallets:
        findings += _guarded("the witness", lambda wallet=wallet: _witness(exchange, wallet.address))  # type: ignore[misc]
    findings += _guarded("the gateways", lambda: _gateways(exchange))
    return findings


def _guarded(what: str, look: Callable[[], Findings]) -> list[Finding]:
    """All findings of one part, also if it breaks off."""
    found: list[Finding] = []
    try:
        found.extend(look())
    except OcxError as error:
        todo = (error.hint or f"see to {what}").rstrip(".")
        found.append(Finding("missing", error.message.rstrip("."), todo[:1].lower() + todo[1:]))
    return found


# ---- this machine --------------------------------------------------------------------------------------


def _wallet(settings: Settings, open_wallet: Callable[[Settings], Wallet], found: list[Wallet]) -> Findings:
    found.append(open_wallet(settings))
    yield from ()


def _folder(settings: Settings) -> Findings:
    folder = settings.state_dir
    nearest = _nearest(folder)
    if not os.access(nearest, os.W_OK):
        yield Finding("missing", f"{folder} cannot be written", "create it for the node's user")
    elif folder.exists() and stat.S_IMODE(folder.stat().st_mode) & 0o077:
        yield Finding(
            "missing", f"{folder} is open to others, and holds the master key", f"chmod 700 {folder}"
        )
    free = shutil.disk_usage(nearest).free
    if free < _LOW:
        severity = "missing" if free < _FULL else "advice"
        yield Finding(severity, f"only {free >> 20} MiB are free for {folder}", "make room: 1 GiB or more")


def _nearest(folder: Path) -> Path:
    while not folder.exists():
        folder = folder.parent
    return folder


def _icmp() -> Findings:
    try:
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM, socket.IPPROTO_ICMP).close()
    except OSError:
        yield Finding(
            "advice",
            "this user may not send ICMP echo requests, so a host that only answers these looks silent",
            "allow its group: sysctl -w net.ipv4.ping_group_range='0 2147483647'",
        )


# ---- the network ---------------------------------------------------------------------------------------


def _connection(settings: Settings, found: list[ConnectionFile]) -> Findings:
    found.append(connection_file.load(settings.connection))
    yield from ()


def _endpoints(settings: Settings, connection: ConnectionFile, clock: Callable[[], float]) -> Findings:
    heads: dict[str, Block] = {}
    for url in connection.rpc_urls:
        shown = connection_file.redact(url)
        try:
            heads[shown] = Rpc(connection.model_copy(update={"rpc_urls": (url,)}), stale_after=None).verify()
        except OcxError as error:
            yield Finding("advice", f"{shown} is of no use: {error.message}", "correct rpc_urls or that node")
    if not heads:
        yield Finding("missing", "no endpoint of rpc_urls can be used", "start a node, or correct rpc_urls")
        return
    if len(heads) == 1:
        yield Finding(
            "advice", "there is one endpoint only", "add a second node to rpc_urls: one may lag or lie"
        )
    best = max(heads.values(), key=lambda block: block.number)
    yield from _clock(settings, connection, best, clock)


def _clock(
    settings: Settings, connection: ConnectionFile, best: Block, clock: Callable[[], float]
) -> Findings:
    """Our clock beside the chain's and those of the machines the nodes run on: rounds are told by it."""
    bound = settings.clock.bound
    for url in connection.rpc_urls:
        theirs = server_time(url)
        if theirs is not None and abs(clock() - theirs) > bound + 1:
            what = f"our clock is {clock() - theirs:+.0f} s off that of {connection_file.redact(url)}"
            yield Finding("advice", what, "compare both with a third, and set the one that is wrong")
    offset = clock() - best.timestamp
    if (
        connection.block_time
        and not -bound <= offset <= bound + settings.clock.transit + connection.block_time
    ):
        what = f"our clock is {offset:+.1f} s off the newest block's; nothing would be measured"
        yield Finding("missing", what, "set the clock (chrony or the like), or see whether the chain stands")


# ---- the organisation ----------------------------------------------------------------------------------


def _witness(exchange: Exchange, signer: str) -> Findings:
    witnesses, _ = judges(exchange)
    org = witnesses.signer_of(signer)
    member = exchange.members.member(signer)
    if member.rights & MemberRight.ADMIN:
        yield Finding("missing", f"{signer} is an admin's key", "make a key of its own: ocx wallet create")
    if org == 0:
        todo = f"join, by an admin: ocx witness join --signer {signer} --stake CREDITS"
        yield Finding("missing", f"{signer} signs for no witness", todo)
        return
    record, terms = witnesses.witness(org), witnesses.terms()
    found = exchange.members.organisation(org)
    if not found.roles & Role.WITNESS:
        yield Finding("missing", f"organisation {org} has no witness role", "ask the council")
    if found.suspended:
        yield Finding("missing", f"organisation {org} is suspended, so it is not drawn", "ask the council")
    if record.stake < terms.min_stake:
        what = (
            f"the stake of {record.stake / 1e6:.6f} credits is below {terms.min_stake / 1e6:.6f}: not drawn"
        )
        yield Finding("missing", what, "add to it: ocx witness stake CREDITS")
    epoch = exchange.now() // witnesses.epoch()
    if record.exit:
        yield Finding(
            "advice", f"the witness leaves; its duties end with epoch {record.exit}", "run till then"
        )
    if record.barred_from <= epoch < record.barred_until:
        what = f"the witness is outside the draw until epoch {record.barred_until}"
        yield Finding("advice", what, "it was fined or slashed: see ocx witness show")
    if exchange.connection.gas_price != 0 and exchange.rpc.balance(signer) == 0:
        yield Finding(
            "missing", f"{signer} has nothing to pay for gas with", "send it some of the chain's coin"
        )


def _gateways(exchange: Exchange) -> Findings:
    """Whether providers' gateways are reached from here, and show the registered key."""
    count = min(exchange.members.count(), 10 * _MOST_GATEWAYS)
    orgs = exchange.members.many(list(range(1, count + 1)))
    named = {org: item for org, item in orgs.items() if item.gateway_url}
    for org, item in list(named.items())[:_MOST_GATEWAYS]:
        try:
            if shown_key(item.gateway_url) != item.gateway_key_hash:
                what = f"the gateway of organisation {org} does not show its registered key"
                yield Finding("advice", what, "tell that provider; its leases cannot be measured")
        except OcxError:
            what = f"the gateway of organisation {org} at {item.gateway_url} is not reached from here"
            yield Finding("advice", what, "see your network's way out; else tell that provider")
