"""The gateway's key and certificate, killed between the two."""

from __future__ import annotations

import ssl
from pathlib import Path

import pytest

from market.errors import InvalidInput
from provisioner.gateway.tls import ensure_certificate
from provisioner.settings import PluginSettings, Settings, WalletSettings


def settings(folder: Path) -> Settings:
    """An agent whose state lies in `folder`."""
    return Settings(
        connection=folder / "connection.yaml",
        wallet=WalletSettings(keystore=folder / "operator.json"),
        state_dir=folder,
        plugins=(PluginSettings(name="fake"),),
    )


def test_a_certificate_that_a_crash_left_unmade_is_made_for_the_same_key(tmp_path: Path) -> None:
    mine = settings(tmp_path)
    pinned = ensure_certificate(mine)
    mine.gateway_cert.unlink()
    assert ensure_certificate(mine) == pinned
    ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(mine.gateway_cert, mine.gateway_key)


def test_a_certificate_without_its_key_is_refused(tmp_path: Path) -> None:
    mine = settings(tmp_path)
    ensure_certificate(mine)
    mine.gateway_key.unlink()
    with pytest.raises(InvalidInput, match="Restore it"):
        ensure_certificate(mine)


def test_what_is_no_key_is_refused(tmp_path: Path) -> None:
    mine = settings(tmp_path)
    mine.gateway_key.write_text("no key")
    with pytest.raises(InvalidInput, match="cannot be read"):
        ensure_certificate(mine)
