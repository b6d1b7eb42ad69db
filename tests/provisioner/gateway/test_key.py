"""The gateway's key changed while it serves: real TLS, a real client, a kill at every step."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from chain.gateway import GatewayClient, WrongGateway, shown_key
from market.errors import Temporary
from provisioner.gateway.tls import Identity, ensure_certificate, ensure_next, next_hash
from provisioner.settings import PluginSettings, Settings, WalletSettings
from tests.provisioner.world import Buyer, Process, Provider, Running, World, health_file, wait_for


def settings(folder: Path) -> Settings:
    """An agent whose state lies in `folder`."""
    return Settings(
        connection=folder / "connection.yaml",
        wallet=WalletSettings(keystore=folder / "operator.json"),
        state_dir=folder,
        plugins=(PluginSettings(name="fake"),),
    )


class Killed(BaseException):
    """The process ends here."""


def kill_at(monkeypatch: pytest.MonkeyPatch, nth: int) -> None:
    """The nth file that is put in another's place is the last thing this process does not do."""
    real, count = os.replace, 0

    def replace(source: Path, target: Path) -> None:
        nonlocal count
        count += 1
        if count == nth:
            raise Killed
        real(source, target)

    monkeypatch.setattr(os, "replace", replace)


# ---- the files -----------------------------------------------------------------------------------------


def test_the_next_pair_lies_beside_the_current_one_and_changes_nothing_yet(tmp_path: Path) -> None:
    mine = settings(tmp_path)
    before = ensure_certificate(mine)
    after = ensure_next(mine)
    assert after != before and ensure_certificate(mine) == before
    assert ensure_next(mine) == after == next_hash(mine)
    assert (tmp_path / "gateway.key.next").stat().st_mode & 0o777 == 0o600


def test_only_a_registered_pair_is_shown_and_the_old_key_is_gone_then(tmp_path: Path) -> None:
    mine = settings(tmp_path)
    identity = Identity(mine)
    before, old_key = identity.key_hash, mine.gateway_key.read_bytes()
    after = ensure_next(mine)
    assert identity.unsettled()
    assert not identity.adopt(b"\1" * 32) and identity.key_hash == before
    assert identity.adopt(before) and identity.key_hash == before
    assert identity.adopt(after) and identity.key_hash == after
    assert not identity.unsettled() and ensure_certificate(mine) == after
    assert all(file.read_bytes() != old_key for file in tmp_path.iterdir())


@pytest.mark.parametrize("nth", [1, 2])
def test_a_crash_while_the_files_change_places_loses_neither_pair(
    tmp_path: Path, nth: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine = settings(tmp_path)
    identity = Identity(mine)
    after = ensure_next(mine)
    with monkeypatch.context() as patch:
        kill_at(patch, nth)
        with pytest.raises(Killed):
            identity.adopt(after)
    again = Identity(mine)
    assert again.adopt(after) and again.key_hash == after == ensure_certificate(mine)
    assert next_hash(mine) is None


def test_a_second_gateway_of_the_same_folder_follows_the_first(tmp_path: Path) -> None:
    mine = settings(tmp_path)
    first, second = Identity(mine), Identity(mine)
    after = ensure_next(mine)
    assert first.adopt(after)
    assert second.unsettled() and second.adopt(after) and second.key_hash == after


# ---- a gateway that serves -----------------------------------------------------------------------------


def client_of(world: World, buyer: Buyer, provider: Provider) -> GatewayClient:
    """As the command line makes one."""
    org = world.council.members.organisation(provider.org)
    network = buyer.exchange.connection
    assert buyer.exchange.wallet
    return GatewayClient(
        org.gateway_url,
        org.gateway_key_hash,
        buyer.exchange.wallet,
        network.chain_id,
        network.directory,
        repin=lambda: buyer.exchange.members.organisation(provider.org).gateway_key_hash,
        patience=5.0,
    )


def register(world: World, provider: Provider, url: str, key_hash: bytes) -> None:
    """What the admin sends."""
    world.send(provider.exchange.members.set_gateway(url, key_hash), provider.exchange)


def test_a_client_is_served_without_a_break_while_the_key_changes(
    world: World, buyer: Buyer, provider: Provider
) -> None:
    mine = provider.settings()
    with Running(mine) as running:
        url, before = running.server.url, running.server.key_hash
        register(world, provider, url, before)
        client = client_of(world, buyer, provider)
        over, refused, calls = threading.Event(), [], 0

        def ask() -> None:
            nonlocal calls
            while not over.is_set():
                try:
                    assert client_of(world, buyer, provider).healthy() and client.healthy()
                    calls += 1
                except Exception as error:  # noqa: BLE001  whatever a client would see
                    refused.append(error)

        thread = threading.Thread(target=ask)
        thread.start()
        after = ensure_next(mine)
        wait_for("calls with the old key", lambda: calls > 3)
        register(world, provider, url, after)
        wait_for("the gateway to change its key", lambda: running.server.key_hash == after, 10)
        seen = calls
        wait_for("calls with the new key", lambda: calls > seen + 3)
        over.set()
        thread.join()
        assert refused == []
        assert shown_key(url) == after != before
        impatient = buyer.gateway(url, before)
        with pytest.raises(WrongGateway, match="Nothing was sent"):
            impatient.healthy()


def test_an_agent_killed_before_and_after_the_registration_shows_the_registered_key(
    world: World, buyer: Buyer, provider: Provider
) -> None:
    mine = provider.settings("killed", gateway={"port": free_port()})
    process = Process(provider.folder / "killed.yaml")
    url = f"https://127.0.0.1:{mine.gateway.port}"
    with process.running():
        wait_for("the first start", shows(url))
        before = ensure_certificate(mine)
        register(world, provider, url, before)
        assert shown_key(url) == before
        after = ensure_next(mine)
        process.kill()
        process.start()
        wait_for("the second start", shows(url))
        assert shown_key(url) == before
        process.kill()
        register(world, provider, url, after)  # while nobody serves
        process.start()
        assert wait_for("a client is served again", lambda: served(world, buyer, provider))
        wait_for("the new key", lambda: shown_key(url) == after)
        assert next_hash(mine) is None
        wait_for("health", lambda: health_file(mine).get("ok"))


def free_port() -> int:
    """A port nobody listens on now."""
    import socket

    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def shows(url: str) -> Callable[[], bool]:
    """Whether somebody answers there."""

    def probe() -> bool:
        try:
            return bool(shown_key(url, 1.0))
        except Temporary:
            return False

    return probe


def served(world: World, buyer: Buyer, provider: Provider) -> bool:
    """Whether a client that waits a little gets an answer."""
    try:
        return client_of(world, buyer, provider).healthy()
    except Temporary:
        return False
