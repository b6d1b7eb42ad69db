"""`ocx provider rotate-operator`: another operator key takes the place of the one an agent runs with.

What is done already is read from the chain, the configuration and the locks of running agents, each time
anew, so the command may be killed anywhere and given again. The order is what keeps leases running: the new
key may do everything before the configuration names it, and the old one keeps its rights until an agent runs
with the new one. It stays a member without rights while an offer or a sealed bid of its still needs cover.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cli.act import confirm, working
from cli.app import App, Command, pass_app
from cli.options import config_option, load_settings
from cli.render import credits_text, show
from cli.rotate import Record, own_admin, require_agents_user, send_once
from market.errors import InvalidInput, Refused, Temporary

if TYPE_CHECKING:
    from chain.exchange import Exchange
    from provisioner.settings import Settings

__all__ = ["rotate_operator"]

_FILE = click.Path(path_type=Path, dir_okay=False)


@dataclass(frozen=True)
class _Change:
    """One change of key, as its record says: accounts, files, and what the old key was allowed."""

    old: str
    old_keystore: Path
    new: str
    new_keystore: Path
    rights: int
    limit: int
    begun: int
    at_once: bool

    def intent(self, act: str) -> str:
        """The name under which the sender knows a step of this change."""
        return f"rotate/operator/{self.begun}/{self.old[2:10]}/{act}".lower()


@click.command(cls=Command, context_settings={"auto_envvar_prefix": "OCX_ROTATE"})
@config_option
@click.option(
    "--new", "new_keystore", type=_FILE, required=True, help="Keystore of the new key; made if absent."
)
@click.option(
    "--new-passphrase-file", type=_FILE, help="Its passphrase, if it is not that of the old one; mode 0600."
)
@click.option(
    "--revoke-now",
    is_flag=True,
    help="The old key was stolen: take everything from it first. Its offers and sealed bids fall.",
)
@click.option("--destroy", is_flag=True, help="Remove the old keystore file at the end.")
@click.option("--light", is_flag=True, help="Cheap to open and to guess: for demos and tests only.")
@pass_app
def rotate_operator(
    app: App,
    config_file: Path,
    new_keystore: Path,
    new_passphrase_file: Path | None,
    revoke_now: bool,
    destroy: bool,
    light: bool,
) -> None:
    """Replace the agent's operator key (--wallet names an admin); run it where the agent's files lie.

    It does what can be done now, says what is next, and goes on when it is given again: once before the
    agent is restarted with the new key, and once after.
    """
    settings = load_settings(config_file)
    require_agents_user(settings)
    exchange = app.exchange(sign=True)
    org = own_admin(exchange)
    record = Record(settings, "operator")
    change = _read(record, new_keystore)
    if change is None:
        change = _begin(app, exchange, settings, record, new_keystore, new_passphrase_file, revoke_now, light)
    steps = _Steps(exchange, org, settings, config_file, change, new_passphrase_file)
    rows: list[dict[str, Any]] = []
    for name, state, detail in steps.go():
        rows.append({"step": name, "state": state, "detail": detail})
        if state == "waiting":
            break
    complete = all(row["state"] == "done" for row in rows)
    if complete:
        record.drop()
        if destroy:
            change.old_keystore.unlink(missing_ok=True)
    kept = str(change.old_keystore) if change.old_keystore.exists() else None
    result = {"old": change.old, "new": change.new, "complete": complete, "old_keystore": kept, "steps": rows}
    show(app, result | {"transactions": steps.sent}, value="new")
    if not complete:
        raise Temporary(
            f"not complete: {rows[-1]['detail']}",
            hint="then give the same command again",
            retry_after=5.0,
        )


def _read(record: Record, new_keystore: Path) -> _Change | None:
    content = record.read()
    if content is None:
        return None
    files: dict[str, Any] = {name: Path(content[name]) for name in ("old_keystore", "new_keystore")}
    change = _Change(**(content | files))
    if change.new_keystore != new_keystore.resolve():
        raise Refused(
            f"a change to {change.new_keystore} is under way",
            hint=f"finish it first: --new {change.new_keystore}",
        )
    return change


def _begin(
    app: App,
    exchange: Exchange,
    settings: Settings,
    record: Record,
    new_keystore: Path,
    new_passphrase_file: Path | None,
    revoke_now: bool,
    light: bool,
) -> _Change:
    """Plan, ask, make the keystore, write the record."""
    from chain.wallet import address_of, create, from_file, load

    old = address_of(settings.wallet.keystore)
    member = exchange.members.member(old)
    assert exchange.wallet is not None  # noqa: S101  opened with it
    if old == exchange.wallet.address:
        raise Refused(
            f"{old} cannot replace itself: it will lose its rights on the way",
            hint="name another admin's keystore with --wallet",
        )
    if member.org != exchange.members.member(exchange.wallet.address).org or not member.rights:
        raise Refused(
            f"{old} has no rights in the admin's organisation, so there is nothing to hand over",
            hint="set the new key's rights with: ocx member set, and name it in the configuration",
        )
    confirm(app, *_plan(exchange, settings, member.org, old, new_keystore, revoke_now))
    source = from_file(new_passphrase_file) if new_passphrase_file else settings.wallet.passphrase_source.read
    path = new_keystore.resolve()
    # Opened even if it is there already: an agent restarted with a keystore it cannot open would stand still.
    new = (load(path, source) if path.exists() else create(path, source(), light=light)).address
    if new == old:
        raise InvalidInput(f"{path} holds the old key", hint="name another file with --new")
    change = _Change(
        old=old,
        old_keystore=settings.wallet.keystore.resolve(),
        new=new,
        new_keystore=path,
        rights=member.rights,
        limit=member.limit,
        begun=int(time.time()),
        at_once=revoke_now,
    )
    fields = {name: getattr(change, name) for name in change.__dataclass_fields__}
    record.write(fields | {"old_keystore": str(change.old_keystore), "new_keystore": str(path)})
    return change


def _plan(
    exchange: Exchange, settings: Settings, org: int, old: str, new: Path, revoke_now: bool
) -> tuple[str, dict[str, str]]:
    from cli.member import rights_names

    member = exchange.members.member(old)
    limit = "none" if member.limit >= (1 << 96) - 1 else f"{credits_text(member.limit)} credits"
    facts = {
        "old key": f"{old} in {settings.wallet.keystore}",
        "new key": f"{'is' if new.exists() else 'will be made'} in {new}",
        "rights": ", ".join(rights_names(member.rights)),
        "limit": f"{limit}, for each of the two while both are members",
    }
    if revoke_now:
        facts["first"] = "the old key loses everything at once"
        facts["offers that fall"] = _numbers(_offers_of(exchange, org, old))
        facts["sealed bids whose deposit is lost"] = _numbers(_bids_of(exchange, org, old))
    return "Let another operator key take the place of the agent's.", facts


class _Steps:
    """The steps of one change, in order: each is looked at, and done if it can be done now."""

    def __init__(
        self,
        exchange: Exchange,
        org: int,
        settings: Settings,
        config_file: Path,
        change: _Change,
        passphrase_file: Path | None,
    ) -> None:
        self._exchange, self._org, self._settings = exchange, org, settings
        self._config, self._change = config_file, change
        self._passphrase_file = passphrase_file
        self.sent: list[dict[str, Any]] = []

    def go(self) -> Iterator[tuple[str, str, str]]:
        """Name, state (done or waiting) and detail of each; the caller stops at the first that waits."""
        change = self._change
        if change.at_once:
            yield "revoke the old key", *self._remove(at_once=True)
        yield "give the new key its rights", *self._grant()
        yield "name it in the configuration", *self._configure()
        yield "restart the agent", *self._restarted()
        if not change.at_once:
            yield "let the old key's transactions end", *self._drained()
            yield "take the old key's rights", *self._retire()
            yield "remove the old key", *self._remove(at_once=False)

    def _grant(self) -> tuple[str, str]:
        change, members = self._change, self._exchange.members

        def granted() -> bool:
            now = members.member(change.new)
            return now.org == self._org and now.rights & change.rights == change.rights

        if not granted():
            call = members.set_member(change.new, change.rights, change.limit)
            self.sent += send_once(self._exchange, call, change.intent("grant"), granted)
        return "done", change.new

    def _configure(self) -> tuple[str, str]:
        from provisioner.amend import name_wallet

        if self._settings.wallet.keystore.resolve() != self._change.new_keystore:
            file = self._passphrase_file.resolve() if self._passphrase_file else None
            name_wallet(self._config, self._change.new_keystore, file)
            if load_settings(self._config).wallet.keystore.resolve() != self._change.new_keystore:
                return (
                    "waiting",
                    "set the variable OCX_PROVIDER_WALLET__KEYSTORE, which counts before the file",
                )
        return "done", str(self._config)

    def _restarted(self) -> tuple[str, str]:
        old, new = (_is_running(self._settings, key) for key in (self._change.old, self._change.new))
        if old:
            return "waiting", "the agent still runs with the old key; restart it"
        return ("done", "runs with the new key") if new else ("waiting", "no agent runs; start it")

    def _drained(self) -> tuple[str, str]:
        left = _pending(self._exchange, self._settings, self._change.old)
        if not left:
            return "done", "nothing is under way"
        again = f"ocx wallet pending --wallet {self._change.old_keystore} --state {self._settings.state_dir}"
        return "waiting", f"{left} transactions are not mined yet; if they stay so: {again}"

    def _retire(self) -> tuple[str, str]:
        change, members = self._change, self._exchange.members

        def retired() -> bool:
            return members.member(change.old).rights == 0

        if not retired():
            call = members.set_member(change.old, 0, change.limit)
            self.sent += send_once(self._exchange, call, change.intent("retire"), retired)
        return "done", f"{change.old} may do nothing"

    def _remove(self, *, at_once: bool) -> tuple[str, str]:
        change, members = self._change, self._exchange.members

        def removed() -> bool:
            # A thief may have moved its rights to a key of its own: removing goes after that one.
            current = members.current_of(self._org, change.old)
            return not members.member_of(self._org, current).org

        if removed():
            return "done", f"{change.old} is no member"
        if not at_once:
            offers, bids = (find(self._exchange, self._org, change.old) for find in (_offers_of, _bids_of))
            if offers or bids:
                return "waiting", (
                    f"it covers offers {_numbers(offers)} and bids in tenders {_numbers(bids)}; "
                    "let them end, or cancel the offers and publish them with another key"
                )
        call = members.remove_member(change.old)
        self.sent += send_once(self._exchange, call, change.intent("remove"), removed)
        return "done", f"{change.old} is no member"


def _is_running(settings: Settings, address: str) -> bool:
    """Whether an agent with this key holds its lock on the state folder."""
    path = settings.state_dir / f"agent-{address.lower()}.lock"
    try:
        handle = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(handle)
    return False


def _pending(exchange: Exchange, settings: Settings, address: str) -> int:
    """How many journalled transactions of a key the chain may still take."""
    from chain.nonces import Journal

    rpc = exchange.rpc
    folder = settings.state_dir / "sender"
    journal = Journal(folder, rpc.connection.chain_id, rpc.connection.genesis, address)
    with working("reading the old key's journal"):
        try:
            used = rpc.transaction_count(address)
            return sum(entry.nonce >= used for entry in journal.live())
        finally:
            journal.close()


def _offers_of(exchange: Exchange, org: int, address: str) -> list[int]:
    """Offers that a key published and that can still be bought from."""
    from chain.generated.events import OfferPublished
    from chain.history import history

    now = exchange.now()
    found = []
    for entry in history(exchange, [exchange.book], "org", org, kinds=[OfferPublished]):
        number = int(getattr(entry.event, "offer", 0))
        offer = exchange.book.offer(number)
        if offer.by == address and not offer.closed and offer.end * exchange.slot > now:
            found.append(number)
    return found


def _bids_of(exchange: Exchange, org: int, address: str) -> list[int]:
    """Tenders that are open and in which a key placed the organisation's bid."""
    from chain.generated.enums import Stage
    from chain.generated.events import BidCommitted
    from chain.history import history

    entries = history(exchange, [exchange.tender], "bidder", org, kinds=[BidCommitted])
    events = [entry.event for entry in entries if isinstance(entry.event, BidCommitted)]
    mine = [event.request for event in events if event.by == address]
    return [number for number in mine if exchange.tender.tender(number).stage is Stage.OPEN]


def _numbers(found: list[int]) -> str:
    return ", ".join(map(str, found)) or "none"
