"""What is missing in a witness's installation, found before its first tick: what it is, and what to do.

A finding is either missing (the node cannot do its duty without it) or advice. Everything is only read:
nothing is sent or made. `examine` goes on after each failure, so one answer names everything.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Callable

from chain.connection import ConnectionFile, redact
from chain.contracts.members import MemberRight, Role
from chain.endpoints import server_time
from chain.exchange import Exchange
from chain.pinned import shown_key
from chain.published import judges
from chain.wallet import Wallet
from chain.wire import Block
from daemons.findings import Finding, Findings, endpoints, folder, guarded, kept
from daemons.opening import network_of, open_wallet
from market.errors import OcxError
from witness.settings import Settings

__all__ = ["examine"]

_MOST_GATEWAYS = 50


def examine(settings: Settings, clock: Callable[[], float] = time.time) -> list[Finding]:
    """Everything that is missing or could be better, in the order in which to put it right; blocking."""
    wallets: list[Wallet] = []
    connections: list[ConnectionFile] = []
    findings = [
        *guarded("the key", lambda: kept(lambda: open_wallet(settings), wallets)),
        *guarded("the state folder", lambda: folder(settings.state_dir, "the master key")),
        *guarded("the connection file", lambda: kept(lambda: network_of(settings), connections)),
        *guarded("ICMP", _icmp),
    ]
    if not connections:
        return findings
    reached = guarded("the endpoints", lambda: _network(settings, connections[0], clock))
    findings += reached
    if any(item.what.startswith("no endpoint") for item in reached):
        return findings
    exchange = Exchange(connections[0], generation=settings.generation)
    for wallet in wallets:
        findings += guarded("the witness", lambda wallet=wallet: _witness(exchange, wallet.address))  # type: ignore[misc]
    findings += guarded("the gateways", lambda: _gateways(exchange))
    return findings


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


def _network(settings: Settings, connection: ConnectionFile, clock: Callable[[], float]) -> Findings:
    newest: list[Block] = []
    yield from endpoints(connection, newest)
    for head in newest:
        yield from _clock(settings, connection, head, clock)


def _clock(
    settings: Settings, connection: ConnectionFile, best: Block, clock: Callable[[], float]
) -> Findings:
    """Our clock beside the chain's and those of the machines the nodes run on: rounds are told by it."""
    bound = settings.clock.bound
    for url in connection.rpc_urls:
        theirs = server_time(url)
        if theirs is not None and abs(clock() - theirs) > bound + 1:
            what = f"our clock is {clock() - theirs:+.0f} s off that of {redact(url)}"
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
