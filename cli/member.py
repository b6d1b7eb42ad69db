"""`ocx member`: organisations, and the accounts that act for them."""

from __future__ import annotations

from enum import IntFlag
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from cli.act import Plan, apply, finish, run
from cli.app import App, Group, pass_app
from cli.parse import ADDRESS, CREDITS, org_id
from cli.render import NO_LIMIT, credits_text, hex_text, show, word
from cli.rotate import rotate_encryption_key
from cli.tree import COMMANDS
from market.errors import InvalidInput

if TYPE_CHECKING:
    from chain.exchange import Exchange

__all__ = ["bits_of", "handles", "member", "own_org", "rights_names", "roles_names"]

_F = TypeVar("_F", bound=IntFlag)


def bits_of(kind: type[_F], text: str, what: str) -> _F:
    """Flags by their names, comma-separated; InvalidInput names what is none."""
    known = {flag.name.lower(): flag for flag in kind if flag.name}
    result = kind(0)
    for part in filter(None, (item.strip().lower() for item in text.split(","))):
        if part == "all":
            result |= kind(sum(known.values()))
        elif part in known:
            result |= known[part]
        else:
            raise InvalidInput(f"there is no {what} '{part}'", hint=f"known: {', '.join(known)}, all")
    return result


def _names(kind: type[IntFlag], bits: int) -> list[str]:
    return [flag.name.lower() for flag in kind if flag.name and bits & flag]


def rights_names(bits: int) -> list[str]:
    """Rights of a member account by name."""
    from chain.contracts.members import MemberRight

    return _names(MemberRight, bits)


def roles_names(bits: int) -> list[str]:
    """Roles of an organisation by name."""
    from chain.contracts.members import Role

    return _names(Role, bits)


def handles(exchange: Exchange) -> dict[int, str]:
    """Every organisation's handle by its number; 0 is the council's fund."""
    count = exchange.members.count()
    return {0: "-"} | {org: word(exchange.members.organisation(org).handle) for org in range(1, count + 1)}


def own_org(app: App, exchange: Exchange) -> int:
    """The organisation the wallet acts for: its own, or that of --acting-for. InvalidInput if it may not."""
    address = app.address()
    if address is None:
        app.wallet_path()
    if app.acting_for is None:
        org = exchange.members.member(str(address)).org
        if not org:
            raise InvalidInput(
                f"{address} acts for no organisation", hint="an admin adds it with: ocx member set ACCOUNT"
            )
        return org
    org = org_id(exchange, app.acting_for)
    if not exchange.members.member_of(org, str(address)).org:
        raise InvalidInput(
            f"{address} has no rights in {app.acting_for}",
            hint="an admin of it gives some with: ocx member grant ACCOUNT",
        )
    return org


@click.group(cls=Group)
def member() -> None:
    """Organisations and the accounts that act for them."""


for _command in (rotate_encryption_key, *COMMANDS):
    member.add_command(_command)


@member.command()
@click.argument("handle")
@click.argument("admin", type=ADDRESS)
@click.option("--roles", required=True, help="Comma-separated: seller, buyer, witness, auditor, operator.")
@click.option(
    "--group", type=click.IntRange(0, 2**31 - 1), default=0, help="Affiliation group; 0 stands alone."
)
@click.option("--under", metavar="ORG", help="The organisation it stands below.")
@click.option(
    "--department", is_flag=True, help="Of the same party as that one (admin there), not a party of its own."
)
@pass_app
def admit(
    app: App, handle: str, admin: str, roles: str, group: int, under: str | None, department: bool
) -> None:
    """Let an organisation in (council; an admin for a department of its party); ADMIN is its first account
    and may everything."""
    from chain.contracts.members import Role
    from chain.generated.events import OrganisationAdmitted

    bits = bits_of(Role, roles, "role")
    exchange = app.exchange(sign=True)
    facts = {"admin": admin, "roles": ", ".join(roles_names(bits)) or "none"}
    if under is None:
        if department:
            raise InvalidInput("a department of nobody", hint="say of which organisation: --under ORG")
        facts["group"] = str(group or "alone")
        call = exchange.members.admit(handle, admin, bits, group)
    else:
        if group:
            raise InvalidInput(
                "a group is given to a whole party",
                hint="leave --group out, and let the council set it later",
            )
        facts["under"] = f"{under}, {'a department' if department else 'a party of its own'}"
        call = exchange.members.admit_under(org_id(exchange, under), handle, admin, bits, department)
    done = apply(app, exchange, Plan(f"Admit the organisation {handle}.", [call], facts))
    org = done.one(OrganisationAdmitted).org
    finish(app, done, {"org": org, "handle": handle}, value="org")


@member.command("list")
@pass_app
def list_(app: App) -> None:
    """All organisations."""
    exchange = app.exchange()
    show(
        app, [_row(exchange, org) for org in range(1, exchange.members.count() + 1)], empty="no organisations"
    )


def _row(exchange: Exchange, org: int) -> dict[str, Any]:
    o = exchange.members.organisation(org)
    return {
        "org": org,
        "handle": word(o.handle),
        "roles": roles_names(o.roles),
        "group": o.group,
        "suspended": o.suspended,
        "gateway": o.gateway_url or None,
        "free": exchange.escrow.free(org),
    }


@member.command("show")
@click.argument("organisation")
@pass_app
def show_(app: App, organisation: str) -> None:
    """One organisation, by HANDLE or number, with its accounts."""
    exchange = app.exchange()
    org = org_id(exchange, organisation)
    o = exchange.members.organisation(org)
    result = _row(exchange, org) | {
        "payout": o.payout,
        "encryption_key": hex_text(o.encryption_key) if any(o.encryption_key) else None,
        "gateway_key_hash": hex_text(o.gateway_key_hash) if any(o.gateway_key_hash) else None,
        "open_orders": exchange.book.open_orders(org),
        "accounts": _accounts(exchange, org),
    }
    show(app, result)


def _accounts(exchange: Exchange, org: int) -> list[dict[str, Any]]:
    """The accounts of an organisation as they stand now; who they may be is told by the events."""
    from chain.generated.events import MemberSet
    from chain.history import history

    entries = history(exchange, [exchange.members], "org", org, kinds=[MemberSet])
    accounts = dict.fromkeys(entry.event.account for entry in entries if isinstance(entry.event, MemberSet))
    rows = []
    for account in accounts:
        m = exchange.members.member(account)
        if m.org == org:
            row = {"account": account, "rights": rights_names(m.rights), "limit": m.limit, "spent": m.spent}
            rows.append(row)
    return rows


@member.command("set")
@click.argument("account", type=ADDRESS)
@click.option(
    "--rights", required=True, help="Comma-separated: admin, buy, offer, sign, deliver, release; or all."
)
@click.option(
    "--limit", type=CREDITS, help="Most credits it may have locked or spent at a time; default: no limit."
)
@pass_app
def set_(app: App, account: str, rights: str, limit: int | None) -> None:
    """Give an account of the own organisation rights and a limit, or change them (admin)."""
    from chain.contracts.members import MemberRight

    bits = bits_of(MemberRight, rights, "right")
    exchange = app.exchange(sign=True)
    most = NO_LIMIT if limit is None else limit
    facts = {
        "rights": ", ".join(rights_names(bits)) or "none",
        "limit": "none" if limit is None else f"{credits_text(limit)} credits",
    }
    plan = Plan(
        f"Let {account} act for the organisation.", [exchange.members.set_member(account, bits, most)], facts
    )
    finish(app, apply(app, exchange, plan), {"account": account, "rights": rights_names(bits), "limit": most})


@member.command()
@click.argument("account", type=ADDRESS)
@pass_app
def remove(app: App, account: str) -> None:
    """Take all rights from an account of the own organisation (admin)."""
    exchange = app.exchange(sign=True)
    call = exchange.members.remove_member(account)
    run(app, exchange, f"Remove the account {account}.", call, {"account": account})


@member.command("set-roles")
@click.argument("organisation")
@click.option("--roles", required=True, help="Comma-separated; replaces the roles it has.")
@pass_app
def set_roles(app: App, organisation: str, roles: str) -> None:
    """Change what an organisation may be (council)."""
    from chain.contracts.members import Role

    bits = bits_of(Role, roles, "role")
    exchange = app.exchange(sign=True)
    org = org_id(exchange, organisation)
    names = roles_names(bits)
    title = f"Give {organisation} the roles {', '.join(names) or 'none'}."
    run(app, exchange, title, exchange.members.set_roles(org, bits), {"org": org, "roles": names})


def _suspension(app: App, organisation: str, suspended: bool, title: str) -> None:
    exchange = app.exchange(sign=True)
    org = org_id(exchange, organisation)
    call = exchange.members.set_suspended(org, suspended)
    run(app, exchange, title, call, {"org": org, "suspended": suspended})


@member.command()
@click.argument("organisation")
@pass_app
def suspend(app: App, organisation: str) -> None:
    """Block new orders of an organisation (council); what runs goes on."""
    _suspension(
        app, organisation, True, f"Block new orders of {organisation}; its leases and exits stay open."
    )


@member.command()
@click.argument("organisation")
@pass_app
def unsuspend(app: App, organisation: str) -> None:
    """Let a suspended organisation place orders again (council)."""
    _suspension(app, organisation, False, f"Let {organisation} place orders again.")


@member.command("encryption-key")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False), required=False)
@pass_app
def encryption_key(app: App, file: Path | None) -> None:
    """Publish the organisation's encryption key (admin); FILE is what `ocx wallet key-create` made.

    Only the public half is read and sent; no passphrase is needed.
    """
    from cli.keys import public_half
    from cli.wallet import box_key_path

    public = public_half(box_key_path(app, file))
    exchange = app.exchange(sign=True)
    title = "Publish the encryption key; from now on connection data are sealed to it."
    plan = Plan(title, [exchange.members.set_encryption_key(public)], {"key": hex_text(public)})
    finish(app, apply(app, exchange, plan), {"encryption_key": hex_text(public)})


@member.command()
@click.argument("url")
@click.option(
    "--tls-cert",
    type=click.Path(path_type=Path, dir_okay=False),
    required=True,
    help="The gateway's certificate (PEM); the hash of its public key is pinned.",
)
@pass_app
def gateway(app: App, url: str, tls_cert: Path) -> None:
    """Publish where the organisation's gateway is and which TLS key it has (admin)."""
    from cli.keys import tls_key_hash

    if not url.startswith("https://"):
        raise InvalidInput(f"the gateway's address {url} does not begin with https://", hint="it speaks TLS")
    key_hash = tls_key_hash(tls_cert)
    exchange = app.exchange(sign=True)
    facts = {"url": url, "TLS key": hex_text(key_hash)}
    plan = Plan("Publish the gateway.", [exchange.members.set_gateway(url, key_hash)], facts)
    result = {"gateway": url, "gateway_key_hash": hex_text(key_hash)}
    finish(app, apply(app, exchange, plan), result)


@member.command()
@click.argument("address", type=ADDRESS)
@pass_app
def payout(app: App, address: str) -> None:
    """Set the only address the organisation's credits are ever paid out to (admin)."""
    exchange = app.exchange(sign=True)
    title = f"Pay withdrawals to {address} from now on, and nowhere else."
    run(app, exchange, title, exchange.members.set_payout(address), {"payout": address})
