"""`ocx network invite` and `ocx network node`: whom the members let in, on the chain's list."""

from __future__ import annotations

import contextlib
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from cli.act import Plan, apply, confirm, finish, through_council, waits_for_council, working
from cli.app import App, Command, Group, pass_app
from cli.member import roles_names
from cli.network_join import use_connection_of
from cli.options import dir_option
from cli.parse import ADDRESS, DURATION
from cli.render import show, time_text
from market.errors import InvalidInput, Refused

if TYPE_CHECKING:
    from chain.contracts.base import Call
    from chain.exchange import Exchange
    from chain.nodes.admission.card import Card
    from chain.nodes.admission.invitation import Invitation
    from chain.nodes.description import NetworkDescription

__all__ = ["COMMANDS"]

_ROLES = click.Choice(["seller", "buyer", "witness", "auditor", "operator"])


@click.command(cls=Command)
@dir_option
@click.option(
    "--card",
    "source",
    type=click.Path(path_type=Path, dir_okay=False),
    required=True,
    help="The card.json of the node to be invited.",
)
@click.option(
    "--role",
    "roles",
    type=_ROLES,
    multiple=True,
    help="What a new organisation may be; may be given several times.",
)
@click.option(
    "--group", type=click.IntRange(0, 2**32 - 1), default=0, help="A new one's affiliation; 0 stands alone."
)
@click.option("--valid-for", type=DURATION, default="7d", help="How long the invitation may be used.")
@click.option(
    "--out", type=click.Path(path_type=Path, dir_okay=False), required=True, help="Where to write it."
)
@pass_app
def invite(
    app: App, folder: Path, source: Path, roles: tuple[str, ...], group: int, valid_for: int, out: Path
) -> None:
    """Let a node in and write its invitation, signed by the wallet.

    An organisation that is not there yet is admitted with --role (council). The node is put on the members'
    list (council, or admin of its organisation). Cut short, the same command goes on.
    """
    from chain.nodes.admission.card import load as load_card
    from chain.nodes.description import load
    from chain.nodes.layout import description_path
    from chain.wallet import write_private

    card = load_card(source)
    description = load(description_path(folder))
    use_connection_of(app, folder)
    exchange = app.exchange(sign=True)
    _require_same(exchange, description)
    with working("looking at what was sent before"):
        _finish_earlier(exchange)
    _admit(app, exchange, card, roles, group, valid_for)
    with working("writing the invitation"):
        invitation = _written(exchange, card, description, int(time.time()) + valid_for)
    write_private(out, invitation.text, replace=True)
    result = {
        "invitation": str(out),
        "organisation": card.organisation,
        "node": card.name,
        "address": card.address,
        "inviter": invitation.inviter,
        "expires": invitation.expires,
    }
    show(app, result, value="invitation")


def _require_same(exchange: Exchange, description: NetworkDescription) -> None:
    from chain.nodes.render import block_0

    if exchange.connection.genesis != block_0(description):
        raise InvalidInput(
            f"the connection file and network.yaml of {description.network} begin with different blocks",
            hint="give the connection file of that network: --connection",
        )


def _finish_earlier(exchange: Exchange) -> None:
    """Wait for what an earlier run sent, so that what is on the chain says what is left to do."""
    exchange.sender.recover()
    for entry in exchange.sender.journal.live():
        with contextlib.suppress(Refused):
            exchange.sender.wait(entry)


def _admit(
    app: App, exchange: Exchange, card: Card, roles: tuple[str, ...], group: int, valid_for: int
) -> None:
    """Bring the chain to where the invitation is true: organisation and node, each unless it is there."""
    from chain.contracts.members import Role

    members = exchange.members
    org = members.by_handle(card.organisation)
    bits = Role(sum(Role[name.upper()] for name in set(roles)))
    new = _require_sensible(exchange, card, org, bits)
    known = {node.address: node for node in members.nodes(block=exchange.rpc.head().number)}
    before = known.get(card.address)
    listed = before is not None and (before.org, before.endpoint) == (org, card.place)
    facts = {
        "organisation": f"{card.organisation}, {'new: ' + ', '.join(roles_names(bits)) if new else 'there'}",
        **({"its admin": str(card.account)} if new else {}),
        "node": f"{card.address} at {card.place}{', listed already' if listed else ''}",
        "valid until": time_text(int(time.time()) + valid_for),
        "transactions": str(int(new) + int(not listed)),
    }
    confirm(app, f"Invite {card.name} of {card.organisation}.", facts)
    with working("waiting for the chain"):
        if new:
            _have_done(exchange, members.admit(card.organisation, str(card.account), bits, group))
            org = members.by_handle(card.organisation)
        if not listed:
            key = bytes.fromhex(card.public_key)
            _have_done(exchange, members.set_node(org, key, card.place, card.consent))


def _have_done(exchange: Exchange, call: Call) -> None:
    """Send it, or propose it if it is the council's to send; Refused while others must approve."""
    number = waits_for_council(exchange, exchange.send(through_council(exchange, call)[0]))
    if number:
        raise Refused(
            f"others of the council must approve proposal {number} first",
            hint=f"they do with: ocx council approve {number}; then repeat the command",
            proposal=number,
        )


def _require_sensible(exchange: Exchange, card: Card, org: int, bits: int) -> bool:
    """Whether the organisation is new; InvalidInput or Refused if it cannot be invited like this."""
    if not org:
        if not bits:
            raise InvalidInput(
                f"there is no organisation {card.organisation} yet, and it is given no role",
                hint="say what it may be: --role",
            )
        if card.account is None:
            raise InvalidInput(
                f"the card of {card.name} names no account for its organisation",
                hint="make the card anew with --account",
            )
        return True
    o = exchange.members.organisation(org)
    if not o.roles:
        raise Refused(
            f"the organisation {card.organisation} has no role, so nobody would let its node in",
            hint="give it one first: ocx member set-roles",
        )
    if bits and bits != o.roles:
        raise InvalidInput(
            f"the organisation {card.organisation} is there and is {', '.join(roles_names(o.roles))}",
            hint="leave --role out; roles are changed by: ocx member set-roles",
        )
    if card.account is not None and exchange.members.member(card.account).org != org:
        raise Refused(
            f"the card's account {card.account} is no member of {card.organisation}",
            hint="is the card that organisation's? make it anew with an account of its own",
        )
    return False


def _written(exchange: Exchange, card: Card, description: NetworkDescription, expires: int) -> Invitation:
    from chain.nodes.admission.invitation import Invitation, sign
    from chain.nodes.admission.joining import may_invite
    from chain.nodes.admission.register import counting_block, followers, registered
    from chain.nodes.description import parse

    assert exchange.wallet is not None  # noqa: S101  it was opened to sign
    wallet, connection, members = exchange.wallet, exchange.connection, exchange.members
    org = members.by_handle(card.organisation)
    if not may_invite(exchange, wallet.address, org, counting_block(exchange)):
        raise Refused(
            f"{wallet.address} may not invite {card.organisation}",
            hint="only the council, an admin of the organisation or of an operator may",
        )
    known = followers(description, registered(exchange), {node.name for node in description.followers})
    others = tuple(node for node in known if node.public_key != card.public_key)
    founder = any(node.public_key == card.public_key for node in description.validators)
    raw = description.model_dump()
    raw["followers"] = [node.model_dump() for node in (*others, *(() if founder else (card.node,)))]

    invitation = Invitation(
        network=parse(raw, f"the network with {card.name}"),
        genesis_hash=connection.genesis_hash,
        directory=connection.directory,
        directory_code_hash=connection.directory_code_hash,
        slot=connection.slot,
        gas_price=connection.gas_price,
        confirmations=max(connection.confirmations, description.confirmations),
        node=card.address,
        organisation=card.organisation,
        roles=tuple(roles_names(members.organisation(org).roles)),
        issued=int(time.time()),
        expires=expires,
        inviter=wallet.address,
    )
    return sign(invitation, wallet)


@click.group(cls=Group)
def node() -> None:
    """Nodes of the chain that the members list."""


@node.command("list")
@pass_app
def list_(app: App) -> None:
    """All nodes on the list, and whether they are to be let in."""
    from chain.nodes.admission.register import registered

    rows = [
        {
            "node": one.name,
            "organisation": one.handle,
            "address": one.address,
            "endpoint": one.endpoint,
            "roles": roles_names(one.roles),
            "let_in": one.admitted,
        }
        for one in registered(app.exchange())
    ]
    show(app, rows, value="address", empty="no nodes besides the founders'")


@node.command()
@click.argument("address", type=ADDRESS)
@pass_app
def remove(app: App, address: str) -> None:
    """Take a node off the list (admin of its organisation, or council): the others let it in no more."""
    exchange = app.exchange(sign=True)
    plan = Plan(f"Take node {address} off the list.", [exchange.members.remove_node(address)])
    finish(app, apply(app, exchange, plan), {"removed": address}, value="removed")


COMMANDS = (invite, node)
"""What `cli.network` adds to its group."""
