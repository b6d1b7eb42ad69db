"""Keys changed by `ocx`: the gateway's and the organisation's encryption key, killed at every step."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from chain.gateway import shown_key
from chain.sealed import BoxKey, seal
from chain.wallet import from_file
from cli import keyring, rotate
from cli.keys import public_half
from market.errors import InvalidInput, Refused
from provisioner.amend import name_wallet
from provisioner.gateway.tls import ensure_certificate, next_hash
from tests.cli.conftest import Market, Person, config_of
from tests.cli.test_access import Counter, document, lease, with_key

__all__ = ["lease"]

pytestmark = pytest.mark.timeout(180)


class Killed(BaseException):
    """The process ends here."""


def killing(monkeypatch: pytest.MonkeyPatch, owner: Any, name: str, nth: int) -> Callable[[], int]:
    """The nth call of a function never happens: the process is gone; tells how many calls came."""
    real, count = getattr(owner, name), 0

    def call(*args: Any, **named: Any) -> Any:
        nonlocal count
        count += 1
        if count == nth:
            raise Killed
        return real(*args, **named)

    monkeypatch.setattr(owner, name, call)
    return lambda: count


def passphrase(person: Person) -> Callable[[], str]:
    """Where its passphrase is."""
    return from_file(person.folder / "passphrase")


def published(market: Market) -> bytes:
    """The buyer's encryption key on the chain."""
    return bytes.fromhex(market.north.does("member show buyer")["encryption_key"][2:])


# ---- the encryption key --------------------------------------------------------------------------------


def test_what_was_sealed_before_a_rotation_opens_after_it_and_new_data_are_sealed_to_the_new_key(
    market: Market, lease: int
) -> None:
    old, content = with_key(market.buyer), document(market, lease)
    with Counter(market, lease) as counter:
        counter.deliver(seal(old.public, content.to_bytes()), content.host_key_hash())
        done = market.buyer.does("member rotate-encryption-key --light")
        again = market.buyer.does("member rotate-encryption-key --light")
        new = BoxKey.load(market.buyer.state / "encryption-key.json", passphrase(market.buyer))
        assert published(market) == new.public != old.public
        assert (len(done["kept"]), len(again["kept"])) == (1, 2)
        assert market.buyer.does(f"lease connect {lease}")["port"] == 2222


@pytest.mark.parametrize(
    ("owner", "name", "nth"),
    [(rotate, "send_once", 1), (os, "replace", 1), (os, "replace", 2)],
)
def test_a_rotation_killed_anywhere_goes_on_and_loses_no_key(
    market: Market, owner: Any, name: str, nth: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    buyer = market.buyer
    old = with_key(buyer)
    path = buyer.state / "encryption-key.json"
    files = len(keyring.ring(path))
    sealed = seal(old.public, b"before")
    with monkeypatch.context() as patch:
        killing(patch, owner, name, nth)
        with pytest.raises(Killed):
            buyer.does("member rotate-encryption-key --light")
    seal_now = seal(published(market), b"meanwhile")
    assert keyring.open_sealed(path, passphrase(buyer), sealed) == b"before"
    assert keyring.open_sealed(path, passphrase(buyer), seal_now) == b"meanwhile"
    buyer.does("member rotate-encryption-key --light")
    assert public_half(path) == published(market) != old.public
    assert len(keyring.ring(path)) == files + 1 and not keyring.next_file(path).exists()
    assert keyring.open_sealed(path, passphrase(buyer), sealed) == b"before"
    assert keyring.open_sealed(path, passphrase(buyer), seal_now) == b"meanwhile"


def test_a_colleague_takes_the_new_key_over_and_keeps_the_old_one(market: Market, tmp_path: Path) -> None:
    old = with_key(market.buyer)
    colleague = Person("colleague", tmp_path / "colleague", market.buyer.connection)
    colleague.does("wallet create --light")
    market.buyer.does(f"wallet key-export {tmp_path / 'first'}")
    colleague.does(f"wallet key-import {tmp_path / 'first'}")
    market.buyer.does("member rotate-encryption-key --light")
    market.buyer.does(f"wallet key-export {tmp_path / 'second'}")
    taken = colleague.does(f"wallet key-import {tmp_path / 'second'}")
    assert bytes.fromhex(taken["public_key"][2:]) == published(market)
    path = colleague.state / "encryption-key.json"
    for public in (old.public, published(market)):
        assert keyring.open_sealed(path, passphrase(colleague), seal(public, b"x")) == b"x"
    assert "exists already" in colleague.is_refused(f"wallet key-import {tmp_path / 'second'}")


def test_what_no_key_opens_and_what_a_wrong_passphrase_hides_are_told_apart(tmp_path: Path) -> None:
    path, foreign = tmp_path / "encryption-key.json", BoxKey.generate()
    keys = [BoxKey.generate() for _ in range(2)]
    keys[0].save(path, "one", light=True)
    with pytest.raises(Refused, match="cannot be opened"):
        keyring.open_sealed(path, lambda: "one", seal(foreign.public, b"x"))
    keys[1].save(keyring.next_file(path), "one", light=True)
    with pytest.raises(Refused, match="none of the 2 encryption keys"):
        keyring.open_sealed(path, lambda: "one", seal(foreign.public, b"x"))
    with pytest.raises(Refused, match=r"wrong for encryption-key\.json, encryption-key\.json\.next"):
        keyring.open_sealed(path, lambda: "two", seal(keys[0].public, b"x"))
    with pytest.raises(InvalidInput, match="cannot be read"):
        keyring.open_sealed(tmp_path / "none.json", lambda: "one", b"")


def test_only_an_admin_rotates_and_only_what_is_there(market: Market, tmp_path: Path) -> None:
    nobody = Person("nobody", tmp_path / "nobody", market.buyer.connection)
    nobody.does("wallet create --light")
    assert "key-create" in nobody.is_refused("member rotate-encryption-key")
    nobody.does("wallet key-create --light")
    assert "--wallet" in nobody.is_refused("member rotate-encryption-key --light")
    assert "ocx member gateway" in market.south.is_refused(
        f"provider rotate-gateway --config {made_state(market.south)}"
    )


# ---- the gateway's key ---------------------------------------------------------------------------------


def made_state(person: Person) -> Path:
    """A configuration whose state folder is there."""
    (person.folder / "agent").mkdir(exist_ok=True)
    return config_of(person)


def test_the_gateway_gets_a_new_key_while_it_serves(market: Market, lease: int) -> None:
    with Counter(market, lease) as counter:
        before = shown_key(counter.server.url)
        done = market.north.does(f"provider rotate-gateway --config {config_of(market.north)}")
        assert done["complete"]
        after = shown_key(counter.server.url)
        assert after.hex() == done["gateway_key_hash"][2:] and after != before
        market.buyer.does(f"lease setup {lease}")


@pytest.mark.parametrize(("name", "nth"), [("send_once", 1), ("_wait_shown", 1)])
def test_a_gateway_rotation_killed_anywhere_goes_on_with_the_same_key(
    market: Market, lease: int, name: str, nth: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = f"provider rotate-gateway --config {config_of(market.north)}"
    with Counter(market, lease) as counter:
        with monkeypatch.context() as patch:
            killing(patch, rotate, name, nth)
            with pytest.raises(Killed):
                market.north.does(command)
        wanted = json.loads((counter.settings.state_dir / "rotation-gateway.json").read_text())["next"]
        assert market.north.does(command)["gateway_key_hash"] == f"0x{wanted}"
        assert shown_key(counter.server.url).hex() == wanted
        assert ensure_certificate(counter.settings).hex() == wanted and next_hash(counter.settings) is None
        market.buyer.does(f"lease setup {lease}")


def test_a_gateway_that_is_down_shows_the_new_key_when_it_is_up_again(market: Market, lease: int) -> None:
    command = f"provider rotate-gateway --config {config_of(market.north)}"
    with Counter(market, lease) as counter:
        url, port = counter.server.url, counter.server.port
    result = market.north.run(f"{command} --wait 1s", OCX_FORMAT="json", OCX_YES="1")
    assert result.exit_code == 1 and "start the agent" in result.stderr
    wanted = json.loads(result.stdout)["gateway_key_hash"]
    settings = counter.settings.model_copy(
        update={"gateway": counter.settings.gateway.model_copy(update={"port": port})}
    )
    from provisioner.gateway.server import GatewayServer

    server = GatewayServer(settings, market.north.exchange(), counter.store)
    server.start()
    try:
        assert market.north.does(command) | {"transactions": []} == {
            "gateway": url,
            "gateway_key_hash": wanted,
            "complete": True,
            "transactions": [],
        }
        assert shown_key(url).hex() == wanted[2:]
    finally:
        server.stop()


def test_two_rotations_at_once_end_with_one_key(market: Market, lease: int) -> None:
    command = f"provider rotate-gateway --config {config_of(market.north)}"
    with Counter(market, lease) as counter:
        environment = market.north.environment | {"OCX_YES": "1", "OCX_FORMAT": "json"}
        threads = [threading.Thread(target=_ocx, args=(command, environment)) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        market.north.does(command)
        found = market.north.does("member show north")["gateway_key_hash"]
        assert shown_key(counter.server.url).hex() == found[2:]


def _ocx(command: str, environment: dict[str, str]) -> None:
    import subprocess
    import sys

    subprocess.run(
        [sys.executable, "-m", "cli.main", *command.split()],
        env=os.environ | environment,
        check=False,
        capture_output=True,
        timeout=60,
    )


# ---- one line of a configuration -----------------------------------------------------------------------

WRITTEN = """# ours
wallet:          # the operator key
  keystore: "old.json"   # do not lose it
  passphrase_file: old.pass
state_dir: state
plugins: [{name: fake}]
"""


def test_one_line_of_the_configuration_is_changed_and_the_rest_stays(tmp_path: Path) -> None:
    path = tmp_path / "provider.yaml"
    path.write_text(WRITTEN)
    path.chmod(0o640)
    backup = name_wallet(path, tmp_path / "new.json")
    assert path.read_text() == WRITTEN.replace('"old.json"', json.dumps(str(tmp_path / "new.json")))
    assert backup.read_text() == WRITTEN and path.stat().st_mode & 0o777 == 0o640


@pytest.mark.parametrize(
    ("wallet", "after"),
    [
        ("{keystore: a, passphrase_file: b}", {"passphrase_file": "p"}),
        ("{keystore: a, passphrase_file: null, passphrase: {env: X}}", {"passphrase_file": "p"}),
        ("{keystore: a, passphrase: {command: [x, y]}}", {"passphrase": {"file": "p"}}),
    ],
)
def test_another_passphrase_file_takes_the_place_of_every_form(
    tmp_path: Path, wallet: str, after: dict[str, Any]
) -> None:
    path = tmp_path / "provider.yaml"
    path.write_text(f"wallet: {wallet}\nstate_dir: s\n")
    name_wallet(path, Path("new.json"), Path("p"))
    found = yaml.safe_load(path.read_text())["wallet"]
    assert {k: v for k, v in found.items() if v is not None} == after | {"keystore": "new.json"}


@pytest.mark.parametrize(
    "text", ["state_dir: s\n", "wallet: 7\n", "wallet: {passphrase_file: x}\n", ": :\n - ["]
)
def test_a_configuration_that_cannot_be_changed_is_left_alone(tmp_path: Path, text: str) -> None:
    path = tmp_path / "provider.yaml"
    path.write_text(text)
    with pytest.raises(InvalidInput):
        name_wallet(path, Path("new.json"))
    assert path.read_text() == text
