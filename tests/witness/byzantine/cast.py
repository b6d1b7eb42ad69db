"""Who takes part, and by which terms: parameters, programs, machines, leases to come."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from chain.deploy import DeployParams
from chain.lease_endpoints import LeaseEndpoint
from market.rounds import Grid
from market.verdicts import Sla, Tier
from tests.chain.network import die_with_parent
from tests.witness.node_world import Witnessing

EPOCH, ROUNDS = 36, 12
PARAMS = DeployParams(
    slot=2,
    quantum=1,
    sign_time=300,
    fence_time=5,
    deliver_time=300,
    accept_time=300,
    wipe_time=20,
    notice=1,
    timelock_delay=1,
    epoch=EPOCH,
    rounds=ROUNDS,
    restore_time=3,
    power_time=60,
    seat_fee=1_000,
    small_size=3,
    small_quorum=2,
    large_size=5,
    large_quorum=4,
    large_pool=5,
    min_stake=1_000_000,
    tick_fine=1_000,
    appeal_bond=1_000,
    appeal_time=60,
    outlier_epochs=2,
)
"""Rounds of three seconds. Who has three eligible gets (3,2), who has five or more (5,4)."""
GRID = Grid(EPOCH, ROUNDS)
STAKE = 5_000_000
DEPOSIT = 10**12
"""What each organisation has to begin with."""
BAD = 500_000
"""What an outage costs, ppm: two rounds of an epoch beside those that grace forgives."""
SLAS = (
    Sla((Tier(900_000, BAD, 1),)),
    Sla((Tier(900_000, BAD, 1),), guest=True),
)
HONEST = ("h1", "h2", "h3", "h4")
OWN = {name: f"127.0.1.{number}" for number, name in enumerate(HONEST, 1)}
"""The addresses that the connections of the honest come from."""
LIARS = ("up", "down", "copying", "late", "silent", "equivocating", "forging", "lazy")
ABSENT = ("silent", "late")
"""Those whose ticks never are on the chain."""
_ROOT = Path(__file__).resolve().parents[3]
_ANY_KEY = "SHA256:" + "A" * 43


@dataclass
class Sworn(Witnessing):
    """A witness organisation with its program: `ocx witness run`, or a liar."""

    name: str = ""
    hour: Path = Path()

    def start(self, die_at: str = "") -> None:
        """Start its program."""
        command = [sys.executable, "-m", "tests.witness.byzantine.hour", str(self.hour)]
        if self.name in LIARS:
            command += ["tests.witness.byzantine.liar", self.name, str(self.settings)]
        else:
            command += ["tests.witness.byzantine.own_address", OWN[self.name]]
            command += ["witness", "run", "--config", str(self.settings)]
        environment = os.environ | {"PYTHONPATH": str(_ROOT)}
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                command, env=environment, cwd=_ROOT, stdout=log, stderr=log, preexec_fn=die_with_parent
            )

    def restart(self) -> None:
        """kill -9, and start anew."""
        self.kill()
        self.start()


@dataclass(frozen=True)
class Spot:
    """A machine of a lease: where it answers. `key`: its SSH host key; none: it is probed as `plain` says."""

    port: int
    key: str = ""
    guest: int = 0
    plain: str = "tcp"

    def endpoint(self, place: int) -> LeaseEndpoint:
        """As a committee is told."""
        guest = f"127.0.0.1:{self.guest}" if self.guest else None
        kind = "ssh" if self.key else self.plain
        return LeaseEndpoint(place, "127.0.0.1", self.port, self.key or _ANY_KEY, kind, guest)


@dataclass
class Plan:
    """A lease to come: who shall sit, by name; which machines; with which SLA. `by_lot`: five of them."""

    name: str
    seats: tuple[str, ...]
    spots: dict[str, Spot]
    sla: int = 1
    by_lot: bool = False
    lease: int = 0

    def place(self, spot: str) -> int:
        """The place of a machine in the lease."""
        return list(self.spots).index(spot)

    @property
    def by_hand(self) -> bool:
        """Whether its buyer has to accept it: nobody proves the key of a machine that shows none."""
        return not all(spot.key for spot in self.spots.values())
