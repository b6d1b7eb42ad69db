"""Witnesses on a real chain: organisations with stakes, and their nodes as processes of their own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import urllib.request
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from chain import wallet as wallets
from chain.contracts.members import Role
from chain.deploy import DeployParams
from tests.chain.network import die_with_parent
from tests.engine import REAL, SETTLE
from tests.provisioner.world import Party, World, wait_for

EPOCH = 15 if REAL else 10
PARAMS = DeployParams(
    slot=2,
    quantum=1,
    sign_time=20 + SETTLE,
    fence_time=12 if REAL else 5,
    deliver_time=60 if REAL else 20,
    accept_time=30 + SETTLE,
    wipe_time=20 + SETTLE,
    notice=1,
    timelock_delay=1,
    epoch=EPOCH,
    rounds=10,
    restore_time=3,
    seat_fee=1_000,
    min_stake=1_000_000,
    tick_fine=1_000,
    appeal_bond=1_000,
    appeal_time=60,
    power_time=60,
)
_PROGRAM = """
import logging, sys
from witness.run import run
from witness.settings import load
logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(message)s")
def told(where):
    open(sys.argv[2], "w").write(__import__("json").dumps(where))
die_at = sys.argv[3:]
seen = []
def on_step(step):
    seen.append(step)
    if die_at and seen.count(die_at[0]) == 1 and step == die_at[0]:
        import os, signal
        os.kill(os.getpid(), signal.SIGKILL)
run(load(sys.argv[1], {}), ready=told, on_step=on_step)
"""


@dataclass
class Witnessing(Party):
    """A witness organisation and its node's folder."""

    folder: Path
    signer: str
    process: subprocess.Popen[bytes] | None = None

    def join(self, stake: int = 5_000_000) -> None:
        """Put up the stake."""
        assert self.exchange.witnesses
        self.exchange.send(self.exchange.witnesses.join(self.signer, stake))

    @property
    def settings(self) -> Path:
        """The node's configuration."""
        return self.folder / "witness.yaml"

    def start(self, die_at: str = "") -> None:
        """Start the node; `die_at`: it kills itself with SIGKILL right before that step."""
        (self.folder / "ready").unlink(missing_ok=True)
        command = [sys.executable, "-c", _PROGRAM, str(self.settings), str(self.folder / "ready")]
        command += [die_at] if die_at else []
        environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                command, env=environment, stdout=log, stderr=log, preexec_fn=die_with_parent
            )

    def kill(self) -> None:
        """kill -9, if it runs."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()

    def stop(self) -> int:
        """SIGTERM; the exit code."""
        assert self.process
        self.process.terminate()
        return self.process.wait(20)

    def health(self) -> dict[str, Any]:
        """What its page says; empty while there is none."""
        with suppress(OSError, ValueError):
            port = json.loads((self.folder / "ready").read_text())["health_port"]
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=5) as page:
                    return dict(json.load(page))
            except urllib.error.HTTPError as error:
                return dict(json.load(error))
        return {}

    def log(self) -> str:
        """What it wrote."""
        return (self.folder / "log").read_text()


def witness(world: World, number: int) -> Witnessing:
    """An organisation with the role, a key to sign with and a configured node; it has not joined yet."""
    party = world.admit(f"witness{number}", Role.WITNESS)
    folder = world.folder / f"witness-{party.org}"
    folder.mkdir(parents=True)
    (folder / "connection.yaml").write_bytes(world.connection.read_bytes())
    (folder / "passphrase").write_text("let me in\n")
    (folder / "passphrase").chmod(0o600)
    key = wallets.create(folder / "signer.json", "let me in", light=True)
    fields = {
        "connection": "connection.yaml",
        "wallet": {"keystore": "signer.json", "passphrase_file": "passphrase"},
        "state_dir": "state",
        "measure": {"loopback": True, "host_key_every": 3},
        "cycle": 0.3,
    }
    found = Witnessing(party.org, party.exchange, folder, key.address)
    found.settings.write_text(json.dumps(fields))
    return found


def epoch_now() -> int:
    """By the wall clock, which the chain keeps."""
    return int(time.time()) // EPOCH


def wait_epoch(epoch: int, into: float = 0.0) -> None:
    """Wait until an epoch has begun, and `into` seconds of it are over."""
    wait_for(f"epoch {epoch}", lambda: time.time() >= epoch * EPOCH + into, limit=120)
