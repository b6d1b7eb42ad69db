"""The disk of the state folder is full: no act without its journal entry; it goes on once there is room."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from chain.generated import events as ledger
from tests.provisioner.world import Buyer, Provider, Running, wait_for

pytestmark = pytest.mark.timeout(150)

PROVIDERS = 1


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 96 MiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    if os.geteuid() != 0:
        pytest.skip("NOT TESTED: a full disk needs a tmpfs, and so root")
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=96m", "tmpfs", folder], check=True)
    yield folder
    subprocess.run(["umount", "-l", folder], check=True)


def fill(folder: Path) -> Path:
    """Take every byte that is left; the file that holds them."""
    ballast = folder / "ballast"
    with ballast.open("wb", buffering=0) as out:
        try:
            for size in (1 << 20, 1 << 12, 1):
                while True:
                    try:
                        out.write(b"\0" * size)
                    except OSError:
                        break
        finally:
            os.fsync(out.fileno())
    return ballast


def test_on_a_full_disk_nothing_is_signed_and_nothing_is_lost(
    provider: Provider, buyer: Buyer, small_disk: Path
) -> None:
    plugin = provider.plugin()
    with Running(provider.settings(state_dir=str(small_disk / "state"))) as running:
        first = buyer.buy(provider, 60)
        buyer.wait_state(first, "delivered")
        buyer.accept(first)
        ballast = fill(small_disk)
        told = wait_for("health to tell", lambda: running.conditions().get("disk-full"))
        assert str(small_disk) in told or "KiB are free" in told
        wait_for("a cycle to fail", lambda: running.agent.cycle_failure)
        second = buyer.buy(provider, 60, places=(1,))
        wait_for("more tries", lambda: running.agent.retries.troubles()["cycle"].times > 2)
        health = running.health()
        assert not health["ok"] and health["unforeseen_errors"] == 0
        assert buyer.state(second) == "awarded" and len(plugin.list_owned()) == 1
        ballast.unlink()
        began = time.monotonic()
        buyer.wait_state(second, "delivered")
        print(f"measured: the waiting lease is up {time.monotonic() - began:.1f} s after there was room")
        wait_for("the agent to be well", lambda: running.health()["ok"])
        assert "disk-full" not in running.conditions()
        assert len(buyer.events(ledger.LeaseSigned, second)) == 1
        assert [step for step, *_ in running.store.journal(f"lease/{second}")][:1] == ["sign"]
        assert buyer.state(first) == "active"
    for file in (small_disk / "state").rglob("*"):
        if file.suffix in (".db", ".sqlite"):
            assert sqlite3.connect(file).execute("PRAGMA integrity_check").fetchone() == ("ok",)
