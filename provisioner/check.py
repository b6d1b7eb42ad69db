"""What is missing in an installation, found before the first lease: every finding says what, and what to do.

A finding is either missing (the agent cannot serve a lease without it) or advice. Everything is only read:
nothing is sent, registered or made. `examine` goes on after each failure, so one answer names everything that
can be seen from here.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from chain.connection import ConnectionFile, redact
from chain.contracts.members import UNLIMITED, Member, MemberRight, Organisation, Role
from chain.endpoints import server_time
from chain.exchange import Exchange
from chain.gateway import GatewayClient
from chain.wallet import Wallet, address_of
from chain.wire import Block
from daemons.findings import Finding, Findings, endpoints, folder, guarded, kept
from daemons.opening import network_of, open_wallet
from market.billing import bond, price
from market.errors import OcxError
from provisioner.catalogue import Action, load_plugins, measure, plan
from provisioner.gateway.tls import ensure_certificate, next_hash
from provisioner.plugin import Provisioner
from provisioner.settings import Settings

__all__ = ["NEEDED", "examine"]

NEEDED = MemberRight.SIGN | MemberRight.DELIVER | MemberRight.RELEASE
"""Rights without which an agent can do nothing."""

_CLOCK_OFF = 30.0
_MOST_OFFERS = 500


def examine(settings: Settings, clock: Callable[[], float] = time.time) -> list[Finding]:
    """Everything that is missing or could be better, in the order in which to put it right; blocking."""
    findings: list[Finding] = []
    wallets: list[Wallet] = []
    findings += guarded("the operator key", lambda: kept(lambda: open_wallet(settings), wallets))
    findings += guarded("the state folder", lambda: folder(settings.state_dir, "tenants' keys"))
    plugins: dict[str, Provisioner] = {}
    findings += guarded("the plugins", lambda: _plugins(settings, plugins))
    connection: list[ConnectionFile] = []
    findings += guarded("the connection file", lambda: kept(lambda: network_of(settings), connection))
    if not connection:
        return findings
    findings += guarded("the endpoints", lambda: _network(connection[0], clock))
    if any(item.severity == "missing" and item.what.startswith("no endpoint") for item in findings):
        return findings
    exchange = Exchange(connection[0], generation=settings.generation)
    findings += guarded("the membership", lambda: _membership(settings, exchange))
    findings += guarded("the gateway", lambda: _gateway(settings, exchange, wallets))
    findings += guarded("the machines", lambda: _machines(settings, exchange, plugins))
    findings += guarded("the offers", lambda: _offers(settings, exchange))
    return findings


# ---- this machine --------------------------------------------------------------------------------------


def _plugins(settings: Settings, plugins: dict[str, Provisioner]) -> Findings:
    plugins |= load_plugins(settings.plugins)
    for name, plugin in plugins.items():
        for line in plugin.check():
            what, _, todo = line.partition(";")
            yield Finding("missing", f"{name}: {what}", todo.strip() or "see to that cloud")


# ---- the network ---------------------------------------------------------------------------------------


def _network(connection: ConnectionFile, clock: Callable[[], float]) -> Findings:
    newest: list[Block] = []
    yield from endpoints(connection, newest)
    for head in newest:
        yield from _clock(connection, head, clock)


def _clock(connection: ConnectionFile, best: Block, clock: Callable[[], float]) -> Findings:
    """Our clock beside the chain's and those of the machines the nodes run on."""
    for url in connection.rpc_urls:
        theirs = server_time(url)
        if theirs is not None and abs(clock() - theirs) > _CLOCK_OFF:
            word = "ahead of" if clock() > theirs else "behind"
            what = f"our clock is {abs(clock() - theirs):.0f} s {word} that of {redact(url)}"
            yield Finding("advice", what, "compare both with a third, and set the one that is wrong")
    offset = clock() - best.timestamp
    if connection.block_time and abs(offset) > max(_CLOCK_OFF, 20 * connection.block_time):
        word = "ahead of" if offset > 0 else "behind"
        yield Finding(
            "missing",
            f"our clock is {abs(offset):.0f} s {word} the newest block's",
            "set the clock (chrony or the like); if it is right, the chain stands still: tell its operators",
        )


# ---- the organisation ----------------------------------------------------------------------------------


def _member(settings: Settings, exchange: Exchange) -> tuple[str, Member]:
    address = address_of(settings.wallet.keystore)
    return address, exchange.members.member(address)


def _membership(settings: Settings, exchange: Exchange) -> Findings:
    address, member = _member(settings, exchange)
    if member.org == 0:
        todo = f"its admin must add it: ocx member set {address} --rights offer,sign,deliver,release"
        yield Finding("missing", f"{address} is no member of any organisation", todo)
        return
    wanted = NEEDED | (MemberRight.OFFER if settings.bidding.enabled else MemberRight(0))
    lacking = wanted & ~MemberRight(member.rights)
    if lacking:
        names = ", ".join(str(right.name).lower() for right in lacking)
        yield Finding("missing", f"{address} lacks the rights {names}", "grant them: ocx member set")
    org = exchange.members.organisation(member.org)
    if not org.roles & Role.SELLER:
        yield Finding("missing", f"organisation {member.org} has no seller role", "ask the council")
    if org.suspended:
        yield Finding("missing", f"organisation {member.org} is suspended", "ask the council")
    if exchange.connection.gas_price != 0 and exchange.rpc.balance(address) == 0:
        what = f"{address} has nothing to pay for gas with"
        yield Finding("missing", what, "send it some of the chain's coin")


def _gateway(settings: Settings, exchange: Exchange, wallets: list[Wallet]) -> Findings:
    _, member = _member(settings, exchange)
    if member.org == 0:
        return
    org = exchange.members.organisation(member.org)
    if not org.gateway_url:
        yield Finding("missing", "the organisation has no gateway", "register it: ocx member gateway")
        return
    ours = (ensure_certificate(settings), next_hash(settings)) if settings.gateway_cert.exists() else None
    if ours is not None and org.gateway_key_hash not in ours:
        yield Finding(
            "missing", "the gateway's key is not the registered one", "register it: ocx member gateway"
        )
    elif settings.gateway.url and org.gateway_url.rstrip("/") != settings.gateway.url.rstrip("/"):
        what = f"the registered gateway {org.gateway_url} is not gateway.url {settings.gateway.url}"
        yield Finding("missing", what, "correct either: ocx member gateway")
    for wallet in wallets:
        yield from _reached(settings, exchange, org, wallet)


def _reached(settings: Settings, exchange: Exchange, org: Organisation, wallet: Wallet) -> Findings:
    """Whether whoever answers at the registered URL holds the registered key; only a running agent does."""
    network = exchange.connection
    try:
        client = GatewayClient(
            org.gateway_url, org.gateway_key_hash, wallet, network.chain_id, network.directory, timeout=5.0
        )
        client.healthy()
    except OcxError as error:
        running = (settings.state_dir / "health.json").exists()
        todo = "see that buyers can reach that URL" if running else "start the agent, then check again"
        yield Finding("missing" if running else "advice", error.message.rstrip("."), todo)


# ---- what is for sale ----------------------------------------------------------------------------------


def _machines(settings: Settings, exchange: Exchange, plugins: dict[str, Provisioner]) -> Findings:
    _, member = _member(settings, exchange)
    for name, plugin in plugins.items():
        planned = plan(exchange, member.org, measure({name: plugin}), settings.turnaround_slots)
        if not planned:
            yield Finding("missing", f"{name} has no machine at all", "see to that cloud, or its settings")
        for action, severity, what, todo in (
            (Action.REGISTER, "advice", "not registered", "register them: ocx node register"),
            (Action.REMEASURE, "advice", "changed since they were registered", "tell it: ocx node register"),
            (Action.RETIRE_FIRST, "advice", "of another class or site now", "retire and register them anew"),
            (Action.TAKEN, "missing", "registered by another organisation", "take them out of the settings"),
        ):
            names = [item.measured.inspected.name for item in planned if item.action is action]
            if names:
                some = ", ".join(names[:5]) + (", ..." if len(names) > 5 else "")
                yield Finding(severity, f"{name}: {len(names)} machine(s) {what} ({some})", todo)


def _offers(settings: Settings, exchange: Exchange) -> Findings:
    address, member = _member(settings, exchange)
    if member.org == 0:
        return
    now, book = exchange.now(), exchange.book
    live, needed = 0, 0
    for number in reversed(book.offers()[-_MOST_OFFERS:]):
        offer = book.offer(number)
        window = offer.window.window(exchange.slot)
        if offer.org != member.org or offer.closed or window.end <= now:
            continue
        live += 1
        rate = max(offer.buy_now_rate, offer.floor_rate)
        cost = price(rate, len(book.resources_of(number)), window.start, window.end, now)
        needed += bond(cost, exchange.leases.terms().default_ppm)
        needed += exchange.awards.fee_of(offer.window) // 2 if offer.sla else 0
    if not live:
        yield Finding("advice", "no offer of the organisation is open", "publish one: ocx offer publish")
    free = exchange.escrow.free(member.org)
    if free < needed:
        what = f"{free / 1e6:.6f} free credits do not cover the bonds of all our offers, {needed / 1e6:.6f}"
        yield Finding("advice", what, "deposit more: ocx credits deposit")
    elif member.limit != UNLIMITED and member.limit - member.spent < needed:
        what = f"the limit of {address} does not cover the bonds of all our offers"
        yield Finding("advice", what, "raise it: ocx member set --limit")
