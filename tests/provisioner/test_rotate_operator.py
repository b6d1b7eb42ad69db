"""The operator key changed through `ocx` while an agent has leases in every state; killed at every step."""

from __future__ import annotations

import contextlib
import fcntl
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from eth_utils.crypto import keccak

from chain import wallet as wallets
from chain.contracts.book import OfferTerms
from chain.contracts.members import UNLIMITED
from chain.exchange import Exchange
from chain.generated.enums import BidStatus, EndReason
from chain.sender import Sender
from chain.wallet import Wallet, address_of
from cli import rotate_operator
from cli.main import cli
from cli.rotate import Record
from market.errors import OcxError, Refused
from market.windows import SlotWindow
from provisioner import amend
from provisioner.settings import load
from tests.chain.network import wallet
from tests.provisioner.world import (
    OPERATOR,
    PARAMS,
    Buyer,
    Process,
    Provider,
    World,
    health_file,
    wait_for,
)

pytestmark = pytest.mark.timeout(240)
LIMIT = 10**11


class Killed(BaseException):
    """The process ends here."""


class Admin:
    """The provider's admin at the command line, on the machine where the agent's files lie."""

    def __init__(self, world: World, provider: Provider, name: str = "agent") -> None:
        self.world, self.provider = world, provider
        self.settings = provider.settings(name)
        self.config = provider.folder / f"{name}.yaml"
        self.settings.state_dir.mkdir(parents=True, exist_ok=True)
        self.keystore = provider.folder / "admin.json"
        if not self.keystore.exists():
            number = next(n for n in range(1001, 1500) if wallet(n).address == provider.address)
            wallets.import_key(self.keystore, keccak(text=f"wallet {number}"), "let me in", light=True)

    def runs(self, new: str, *more: str) -> Result:
        """Give the command."""
        command = ["provider", "rotate-operator", "--config", str(self.config), "--light", "--new"]
        environment = {
            "OCX_CONNECTION": str(self.provider.folder / "connection.yaml"),
            "OCX_WALLET": str(self.keystore),
            "OCX_PASSPHRASE_FILE": str(self.provider.folder / "passphrase"),
            "OCX_STATE": str(self.provider.folder / "admin-state"),
            "OCX_FORMAT": "json",
            "OCX_YES": "1",
        }
        return CliRunner().invoke(cli, [*command, str(self.provider.folder / new), *more], env=environment)

    def says(self, new: str, *more: str) -> dict[str, Any]:
        """Give it; what it prints, whether complete or not."""
        result = self.runs(new, *more)
        assert result.stdout, result.stderr
        told: dict[str, Any] = json.loads(result.stdout)
        assert result.exit_code == (0 if told["complete"] else 1), result.stderr
        return told

    @property
    def running_key(self) -> str:
        """The key that the configuration names."""
        return address_of(load(self.config, {}).wallet.keystore)

    def rights(self, address: str) -> int:
        """What the chain lets it do."""
        return self.provider.exchange.members.member(address).rights

    @contextlib.contextmanager
    def agent_runs(self, address: str) -> Iterator[None]:
        """The lock an agent with this key would hold."""
        path = self.settings.state_dir / f"agent-{address.lower()}.lock"
        with path.open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield


@pytest.fixture(scope="module")
def admin(founded: tuple[World, list[Provider], list[Buyer]]) -> Admin:
    """One provider whose key is changed again and again."""
    return Admin(founded[0], founded[1].pop())


@pytest.fixture
def fresh(admin: Admin, request: pytest.FixtureRequest) -> Iterator[tuple[Admin, str, str]]:
    """The admin, the key in use, and a keystore for the next; an agent seems to run with the next."""
    name = f"key-{abs(hash(request.node.name))}.json"
    made = wallets.create(admin.provider.folder / name, "let me in", light=True)
    with admin.agent_runs(made.address):
        yield admin, admin.running_key, name


def killing(monkeypatch: pytest.MonkeyPatch, owner: Any, name: str, nth: int) -> None:
    """The nth call of a function never happens: the process is gone."""
    real, count = getattr(owner, name), 0

    def call(*args: Any, **named: Any) -> Any:
        nonlocal count
        count += 1
        if count == nth:
            raise Killed
        return real(*args, **named)

    monkeypatch.setattr(owner, name, call)


@pytest.mark.parametrize(
    ("owner", "name", "nth"),
    [
        (Record, "write", 1),
        (rotate_operator, "send_once", 1),
        (Sender, "wait", 1),
        (amend, "name_wallet", 1),
        (rotate_operator, "send_once", 2),
        (Sender, "wait", 2),
        (rotate_operator, "send_once", 3),
        (Sender, "wait", 3),
        (Record, "drop", 1),
    ],
)
def test_a_change_killed_anywhere_goes_on_and_ends_with_the_new_key_alone(
    fresh: tuple[Admin, str, str], owner: Any, name: str, nth: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    admin, old, new = fresh
    address = address_of(admin.provider.folder / new)
    with monkeypatch.context() as patch:
        killing(patch, owner, name, nth)
        with pytest.raises(Killed):
            admin.runs(new)
    assert admin.rights(old) or admin.rights(address)  # at no time is nobody there to act
    told = admin.says(new)
    assert told["complete"] and (told["old"], told["new"]) == (old, address)
    assert admin.running_key == address and admin.rights(address) == OPERATOR
    assert admin.provider.exchange.members.member(old).org == 0
    assert admin.provider.exchange.members.member(address).limit == UNLIMITED


def test_the_command_stops_before_the_restart_and_changes_nothing_for_the_running_agent(
    admin: Admin, tmp_path: Path
) -> None:
    old, before = admin.running_key, admin.config.read_text()
    with admin.agent_runs(old):
        told = admin.says("fourth.json")
        assert [row["state"] for row in told["steps"]] == ["done", "done", "waiting"]
        assert "restart it" in told["steps"][-1]["detail"]
        assert admin.rights(old) == OPERATOR == admin.rights(told["new"])
        assert "is under way" in admin.runs("fifth.json").stderr
    assert "no agent runs" in admin.says("fourth.json")["steps"][-1]["detail"]
    changed = [
        (a, b)
        for a, b in zip(before.splitlines(), admin.config.read_text().splitlines(), strict=True)
        if a != b
    ]
    assert len(changed) == 1 and "keystore" in changed[0][0]
    old_file = load(admin.config, {}).wallet.keystore
    with admin.agent_runs(told["new"]):
        done = admin.says("fourth.json", "--destroy")
    assert done["complete"] and done["old_keystore"] is None and old_file.exists()


def test_a_key_with_a_limit_hands_it_on_and_gives_cover_until_its_offers_end(
    fresh: tuple[Admin, str, str], world: World, buyer: Buyer
) -> None:
    admin, old, new = fresh
    provider = admin.provider
    provider.exchange.send(provider.exchange.members.set_member(old, OPERATOR, LIMIT))
    operator = as_operator(world, admin)
    offer = publish(operator, provider)
    told = admin.says(new)
    assert not told["complete"] and f"covers offers {offer}" in told["steps"][-1]["detail"]
    assert admin.rights(old) == 0
    assert provider.exchange.members.member(told["new"]).limit == LIMIT
    buyer.send(buyer.exchange.book.buy_now(offer, provider.resources[:1], buyer.window(4)))
    with pytest.raises(OcxError):
        operator.send(operator.leases.sign(buyer.exchange.leases.count()))
    provider.exchange.send(provider.exchange.book.cancel(offer))
    assert admin.says(new)["complete"]
    operator.sender.close()


def test_a_stolen_key_loses_everything_first_and_what_it_offered_cannot_be_bought(
    fresh: tuple[Admin, str, str], world: World, buyer: Buyer, monkeypatch: pytest.MonkeyPatch
) -> None:
    admin, old, new = fresh
    operator = as_operator(world, admin)
    offer = publish(operator, admin.provider)
    with monkeypatch.context() as patch:
        killing(patch, rotate_operator, "send_once", 2)
        with pytest.raises(Killed):
            admin.runs(new, "--revoke-now")
    assert admin.provider.exchange.members.member(old).org == 0
    with pytest.raises(OcxError):
        publish(operator, admin.provider)
    with pytest.raises(Refused):
        buyer.send(buyer.exchange.book.buy_now(offer, admin.provider.resources[1:2], buyer.window(4)))
    told = admin.says(new)
    assert told["complete"] and admin.rights(told["new"]) == OPERATOR
    assert told["steps"][0]["step"] == "revoke the old key"
    operator.sender.close()


def test_a_keystore_that_the_agent_could_not_open_is_refused_before_anything_is_done(admin: Admin) -> None:
    wallets.create(admin.provider.folder / "locked.json", "another", light=True)
    before = admin.running_key
    assert "wrong passphrase" in admin.runs("locked.json").stderr
    assert admin.running_key == before and not list(admin.settings.state_dir.glob("rotation*"))
    (admin.provider.folder / "other-passphrase").touch(mode=0o600)
    (admin.provider.folder / "other-passphrase").write_text("another\n")
    file = str(admin.provider.folder / "other-passphrase")
    with admin.agent_runs(address_of(admin.provider.folder / "locked.json")):
        assert admin.says("locked.json", "--new-passphrase-file", file)["complete"]
    assert load(admin.config, {}).wallet.passphrase_file == Path(file)
    admin.config.write_text(admin.config.read_text().replace(file, str(admin.provider.folder / "passphrase")))


def as_operator(world: World, admin: Admin) -> Exchange:
    """The exchange as the key in use has it."""
    keystore = load(admin.config, {}).wallet.keystore
    key: Wallet = wallets.load(keystore, lambda: "let me in")
    return world.open(key, f"operator-{key.address}")


def publish(operator: Exchange, provider: Provider) -> int:
    """An offer of both machines for some hours from now on; its number."""
    now = operator.now() // PARAMS.slot
    terms = OfferTerms(SlotWindow(now, now + 1000), 1_000_000, 2_000_000)
    operator.send(operator.book.publish(terms, provider.resources))
    return operator.book.offer_count()


# ---- with an agent that has leases in every state ------------------------------------------------------


def test_leases_in_every_state_and_a_sealed_bid_survive_the_change(
    world: World, buyer: Buyer, provider: Provider
) -> None:
    class_ = provider.machines[0]["class"]
    more = [{"name": f"{class_}-{n}", "class": class_} for n in range(2, 6)]
    provider.machines += more
    world.sell(provider, [machine["name"] for machine in more])
    settings = provider.settings("changing", cloud={"provision_seconds": 1.0})
    admin = Admin(world, provider, "changing")
    process = Process(admin.config)
    chain = buyer.exchange
    with process.running():
        wait_for("the agent", lambda: health_file(settings).get("cycles"))
        tender = buyer.post(class_, 6, commit=10, reveal=18)
        active = buyer.buy(provider, 90, places=(2,))
        ending = buyer.buy(provider, 14, places=(3,))
        later = buyer.buy(provider, 14, places=(4,), delay=22)
        for lease in (active, ending):
            buyer.wait_state(lease, "delivered")
            buyer.accept(lease)
        buyer.wait_state(later, "signed")
        wait_for("the sealed bid", lambda: bid_status(buyer, provider, tender) is BidStatus.COMMITTED)
        fresh = buyer.buy(provider, 40, places=(5,))
        buyer.wait_state(fresh, "signed", "delivered")
        first = admin.says("next.json")
        assert "restart it" in first["steps"][-1]["detail"]
        assert process.stop() == 0
        process.start()
        wait_for("the new key", lambda: health_file(settings).get("account") == first["new"])
        second = wait_for("the restart", lambda: restarted(admin))
        assert not second["complete"] and f"tenders {tender}" in second["steps"][-1]["detail"]
        assert admin.rights(first["old"]) == 0
        buyer.wait_state(fresh, "delivered")
        won = wait_for("the lease that was won", lambda: newest(buyer, provider, after=fresh), 60)
        assert bid_status(buyer, provider, tender) in (BidStatus.AWARDED, BidStatus.CLAIMED)
        assert wait_for("the end of the change", lambda: admin.says("next.json")["complete"])
        assert provider.exchange.members.member(first["old"]).org == 0
        for lease in (later, won):
            buyer.wait_state(lease, "delivered", "active", "ending", "completed", limit=60)
            assert chain.leases.lease(lease).fence_holder == first["new"]
        buyer.wait_state(ending, "completed", limit=40)
        for lease in (active, ending, later, fresh, won):
            assert chain.leases.end_of(lease)[0] in (EndReason.NONE, EndReason.TIME), lease
        assert health_file(settings)["ok"]


def bid_status(buyer: Buyer, provider: Provider, tender: int) -> BidStatus:
    """What the chain says of the provider's bid."""
    return buyer.exchange.tender.bidder(tender, provider.org).status


def restarted(admin: Admin) -> dict[str, Any] | None:
    """What the command says once it has seen the agent run with the new key."""
    told = admin.says("next.json")
    return told if len(told["steps"]) > 3 else None


def newest(buyer: Buyer, provider: Provider, after: int) -> int | None:
    """The lease of this provider that was opened after the given one."""
    leases = buyer.exchange.leases
    found = [n for n in range(after + 1, leases.count() + 1) if leases.lease(n).provider == provider.org]
    return found[0] if found else None
