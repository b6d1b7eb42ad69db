"""Who plays in the demo, and what each of them is given: terms, constants, an agent's configuration.

Data and files only; what happens with them is `cli.demo.story`'s.
"""

from __future__ import annotations

import shutil
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Any

from chain.deploy import DeployParams
from market.errors import Permanent
from market.verdicts import Sla, Tier
from provisioner.settings import render as render_settings
from witness.settings import render as render_witness

__all__ = [
    "CLASS",
    "EC2_RATE",
    "GRANT",
    "OPERATOR_RIGHTS",
    "PARTIES",
    "PROVIDERS",
    "SLA",
    "SLA_ID",
    "STAKE",
    "WITNESSES",
    "Provider",
    "Timing",
    "agent_settings",
    "anvil",
    "params",
    "witness_settings",
]

WITNESSES = ("witness1", "witness2", "witness3")
PARTIES = ("north", "south", "east", "customer", *WITNESSES)
GRANT = 100
"""Credits the council mints for each organisation."""
OPERATOR_RIGHTS = "offer,sign,deliver,release"
STAKE = 10
"""Credits each witness puts up."""
SLA = Sla((Tier(999_000, 100_000), Tier(900_000, 500_000)), guest=True)
"""What the tenders ask for: below 99.9 % a tenth of an epoch's price comes back, below 90 % half."""
SLA_ID = 1
"""Its number: the first that is registered."""
CLASS = "host.large"
"""What the customer asks for: a large host, however its provider makes one."""


@dataclass(frozen=True)
class Provider:
    """A seller: its plugin, the class it sells, the lab its cloud stands in, and the terms of its offers."""

    plugin: str
    class_name: str
    lab: tuple[str, ...]
    """Command of the lab after `python -m`, without its folder."""
    described: str
    """File in the lab's folder that is there once the lab is up."""
    up: str
    """What there is then, for the report."""
    offers: tuple[str, ...]
    """One for each machine; a floor that is not named is the plugin's own price."""


PROVIDERS = {
    "north": Provider(
        "ironic",
        CLASS,
        ("cli.demo.lab", "--machines", "2", "--class", CLASS),
        "lab.json",
        "two Redfish machines are enrolled in Ironic",
        ("--floor 3.6", "--floor 9"),
    ),
    "south": Provider(
        "aws",
        CLASS,
        ("cli.demo.lab.ec2",),
        "ec2.json",
        "an EC2 answers",
        ("--config {config}", "--config {config}"),
    ),
    "east": Provider(
        "ansible",
        "host.small",
        ("cli.demo.lab.host", "--hosts", "1"),
        "hosts.json",
        "a host answers SSH",
        ("--floor 7.2 --buy-now 7.2",),
    ),
}
"""Bare metal, virtual machines, and hosts that a playbook makes ready. North is cheapest once, South after
that; East's host is for whoever is in a hurry."""
EC2_TYPE = "r5.8xlarge"
EC2_RATE = 5_400_000
"""What South's configuration asks for an instance, microcredits per hour."""


@dataclass(frozen=True)
class Timing:
    """How long things take, seconds: bids may be committed, then revealed; how long a server is wanted; for
    how long the one is bought that is given back early."""

    commit: int
    reveal: int
    wanted: int
    bought: int

    @classmethod
    def of(cls, fake: bool, engine: str, spent: float) -> Timing:
        """Chosen when trade begins: a machine on which that took longer, `spent` seconds, gets more time.

        A real deployment takes longer than none, and its verdicts are to come while the lease runs.
        """
        quiet, usual = _QUIET[engine, fake]
        pace = min(max(1.0, spent / usual), 2.0)
        return cls(*(round(seconds * pace) for seconds in astuple(quiet)))


_QUIET = {
    ("anvil", True): (Timing(4, 4, 20, 20), 13.0),
    ("anvil", False): (Timing(5, 5, 70, 150), 28.0),
    ("clique", True): (Timing(12, 12, 105, 45), 80.0),
    ("clique", False): (Timing(13, 13, 130, 170), 90.0),
}
"""For each engine, without labs and with: the timing, and the seconds until trade begins, on two quiet cores.
Where a block counts only once others stand on it, everybody learns of everything later."""


def params(fake: bool, engine: str) -> dict[str, int]:
    """Deployment constants small enough to watch (rule T4).

    An epoch of the demo with labs has ten rounds, so each is judged by itself; without them it is half as
    long, and a lease's last two are judged together (W5). On Clique that is too short to tick in time.
    """
    epoch = 5 if fake and engine == "anvil" else 10
    demo = DeployParams.demo()
    names = ("seat_fee", "min_stake", "tick_fine", "restore_time", "power_time", "appeal_bond", "appeal_time")
    witnessed = {name: getattr(demo, name) for name in names} | {"seat_fee": 200}
    return witnessed | {
        "epoch": epoch,
        "rounds": epoch,
        "slot": 5 if fake else 10,
        "quantum": 1,
        "sign_time": 20 if engine == "anvil" else 40,
        "fence_time": 60,
        "deliver_time": 60 if fake else 240,
        "accept_time": 20 if fake else 30,
        "wipe_time": 60 if fake else 120,
        "notice": 2,
        "timelock_delay": 2,
    }


def agent_settings(name: str, folder: Path, connection: Path, url: str, lab: dict[str, Any] | None) -> str:
    """The configuration file of a provider's agent; `lab` is what its lab described, None: the fake cloud."""
    plugin = PROVIDERS[name].plugin if lab else "fake"
    make = {"ironic": _ironic, "aws": _aws, "ansible": _ansible}
    settings = make[plugin](lab, folder) if lab else _fake(name, folder)
    return render_settings(
        connection=str(connection),
        wallet={
            "keystore": str(folder / "operator.json"),
            "passphrase_file": str(folder / "passphrase"),
        },
        state_dir=str(folder / "agent"),
        gateway={"port": int(url.rpartition(":")[2]), "url": url},
        plugins=[{"name": plugin, "settings": settings}],
        bidding={"slas": [SLA_ID]},
        turnaround_slots=2,
        cycle=0.5,
        look_every=1.0,
        orphan_grace=5,
    )


def witness_settings(folder: Path, connection: Path) -> str:
    """The configuration file of a witness's node."""
    return render_witness(
        connection=str(connection),
        wallet={"keystore": str(folder / "signer.json"), "passphrase_file": str(folder / "passphrase")},
        state_dir=str(folder / "node"),
        measure={"loopback": True, "late_ms": 500},
        cycle=0.3,
    )


def _fake(name: str, folder: Path) -> dict[str, Any]:
    seller = PROVIDERS[name]
    machines = [
        {"name": f"{name}-{number}", "class": seller.class_name} for number, _ in enumerate(seller.offers, 1)
    ]
    return {
        "state": str(folder / "cloud.db"),
        "machines": machines,
        "guests": True,
        "provision_seconds": 1.0,
        "release_seconds": 0.5,
    }


def _ironic(lab: dict[str, Any], folder: Path) -> dict[str, Any]:
    return {
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


def _aws(lab: dict[str, Any], folder: Path) -> dict[str, Any]:
    settings: dict[str, Any] = lab["settings"]
    product = settings["products"][0] | {
        "class": PROVIDERS["south"].class_name,
        "instance_type": EC2_TYPE,
        "count": len(PROVIDERS["south"].offers),
        "rate_per_hour": EC2_RATE,
    }
    return settings | {"provider": "south", "products": [product]}


def _ansible(lab: dict[str, Any], folder: Path) -> dict[str, Any]:
    settings: dict[str, Any] = lab["settings"]
    machines = [machine | {"class": PROVIDERS["east"].class_name} for machine in settings["machines"]]
    place = {"site": "east-cellar", "state": str(folder / "plays")}
    # Half the time; what it costs when an agent is killed does not matter to a host that lives for minutes.
    return settings | place | {"machines": machines, "environment": {"ANSIBLE_PIPELINING": "1"}}


def anvil() -> str:
    """The development chain's program; Permanent if there is none."""
    beside = Path(__file__).resolve().parents[2] / "node_modules" / ".bin" / "anvil"
    found = str(beside) if beside.exists() else shutil.which("anvil")
    if not found:
        raise Permanent("the demo needs anvil, the development chain", hint="run 'make setup' in a checkout")
    return found
