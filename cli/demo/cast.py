"""Who plays in the demo, and what each of them is given: terms, constants, an agent's configuration.

Data and files only; what happens with them is `cli.demo.story`'s.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from market.errors import Permanent
from provisioner.settings import render as render_settings

__all__ = [
    "CLASS",
    "GRANT",
    "OFFERS",
    "OPERATOR_RIGHTS",
    "PARTIES",
    "Timing",
    "agent_settings",
    "anvil",
    "params",
]

CLASS = "bm.large"
PARTIES = ("north", "south", "customer")
GRANT = 100
"""Credits the council mints for each organisation."""
OPERATOR_RIGHTS = "offer,sign,deliver,release"
OFFERS = {
    "north": ("--floor 3.6", "--floor 9"),
    "south": ("--floor 5.4", "--floor 5.4", "--floor 7.2 --buy-now 7.2"),
}
"""Terms of each provider's machines, one offer each: North is cheapest once, South after that."""


@dataclass(frozen=True)
class Timing:
    """How long things take, seconds: bids may be committed, then revealed; how long a server is wanted."""

    commit: int
    reveal: int
    wanted: int

    @classmethod
    def of(cls, fake: bool) -> Timing:
        """A real deployment takes ten seconds longer than none."""
        return cls(commit=5, reveal=4, wanted=20) if fake else cls(commit=6, reveal=5, wanted=50)


def params(fake: bool) -> dict[str, int]:
    """Deployment constants small enough to watch (rule T4)."""
    return {
        "slot": 5 if fake else 10,
        "quantum": 1,
        "sign_time": 20,
        "fence_time": 60,
        "deliver_time": 60,
        "accept_time": 20,
        "wipe_time": 60,
        "notice": 2,
        "timelock_delay": 2,
    }


def agent_settings(name: str, folder: Path, connection: Path, url: str, lab: dict[str, Any] | None) -> str:
    """The configuration file of a provider's agent; `lab` is what lab.json holds, None for the fake cloud."""
    return render_settings(
        connection=str(connection),
        wallet={
            "keystore": str(folder / "operator.json"),
            "passphrase_file": str(folder / "passphrase"),
        },
        state_dir=str(folder / "agent"),
        gateway={"port": int(url.rpartition(":")[2]), "url": url},
        plugins=[_ironic(lab) if lab else _fake(name, folder)],
        turnaround_slots=2,
        cycle=0.5,
        look_every=1.0,
        orphan_grace=5,
    )


def _fake(name: str, folder: Path) -> dict[str, Any]:
    machines = [{"name": f"{name}-{number}", "class": CLASS} for number, _ in enumerate(OFFERS[name], 1)]
    settings = {
        "state": str(folder / "cloud.db"),
        "machines": machines,
        "guests": True,
        "provision_seconds": 1.0,
        "release_seconds": 0.5,
    }
    return {"name": "fake", "settings": settings}


def _ironic(lab: dict[str, Any]) -> dict[str, Any]:
    settings = {
        "site": "north-hall-1",
        "endpoint": lab["ironic_url"],
        "username": lab["username"],
        "password_file": lab["password_file"],
        "image_source": lab["image_url"],
        "image_sha256": lab["image_sha256"],
        "classes": [CLASS],
        "deploy_timeout": 120.0,
        "clean_timeout": 120.0,
        "ssh_timeout": 30.0,
    }
    return {"name": "ironic", "settings": settings}


def anvil() -> str:
    """The development chain's program; Permanent if there is none."""
    beside = Path(__file__).resolve().parents[2] / "node_modules" / ".bin" / "anvil"
    found = str(beside) if beside.exists() else shutil.which("anvil")
    if not found:
        raise Permanent("the demo needs anvil, the development chain", hint="run 'make setup' in a checkout")
    return found
