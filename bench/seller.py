"""A provider of many machines of the fake cloud, and its agent as its own process: what measurements act on.

Setting up goes around the product's sender where that would take minutes: the engine signs for known
accounts. This module must not measure anything.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.probe import Node
from bench.stage import Party, Stage
from chain import wallet as wallets
from chain.contracts.base import Call
from chain.contracts.book import OfferTerms
from chain.contracts.members import MemberRight, Role
from chain.deploy import DeployParams
from market.windows import SlotWindow
from provisioner.catalogue import document_hash, hardware_key, load_plugins, measure
from provisioner.settings import PluginSettings, Settings, load, render
from tests.chain.network import die_with_parent

__all__ = [
    "FAR",
    "PARAMS",
    "ROOMY",
    "Seller",
    "flood",
    "health",
    "running_agent",
    "send",
    "settle_in",
    "wait_for",
]

PARAMS = DeployParams(slot=3600, timelock_delay=2)
FAR = 7200
"""Seconds before now at which the chain begins, so that setting up does not run ahead of the clock."""
ROOMY = ("--gas-limit", "2000000000")
"""Options of an engine whose blocks hold thousands of transactions."""

_OPERATOR = MemberRight.OFFER | MemberRight.SIGN | MemberRight.DELIVER | MemberRight.RELEASE
_PER_OFFER = 60
_RATE = 1_000_000
_AT_ONCE = 200


@dataclass
class Seller:
    """A provider; `resources` in the order of its machines, `offers` beside their resources."""

    party: Party
    operator: str
    settings: Settings
    resources: list[int]

    def publish(self, stage: Stage, hours: int = 4) -> tuple[SlotWindow, list[tuple[int, list[int]]]]:
        """Offer all machines, a few dozen an offer, in a window that has begun; offers and their machines."""
        book = self.party.client.book
        first = int(time.time()) // PARAMS.slot
        window = SlotWindow(first, first + hours)
        before = book.offer_count()
        lots = [self.resources[i : i + _PER_OFFER] for i in range(0, len(self.resources), _PER_OFFER)]
        calls = [book.publish(OfferTerms(window, _RATE, _RATE), lot) for lot in lots]
        flood(stage, self.party.client.sender.address, calls, 8_000_000)
        return window, [(before + place + 1, lot) for place, lot in enumerate(lots)]


def settle_in(
    stage: Stage, machines: int, *, name: str = "north", in_file: bool = True, **fields: Any
) -> Seller:
    """A seller with so many registered machines, and the configuration of its agent, `fields` included.

    Thousands of machines take long to read from YAML; without `in_file` only the settings returned have them.
    """
    party = stage.admit(name, Role.SELLER, 10**15)
    folder = stage.folder / f"agent-{name}"
    folder.mkdir()
    key = wallets.create(folder / "operator.json", "bench", light=True)
    (folder / "passphrase").touch(mode=0o600)
    (folder / "passphrase").write_text("bench\n")
    party.send(party.client.members.set_member(key.address, _OPERATOR))
    party.send(party.client.members.set_payout(party.client.sender.address))
    names = [{"name": f"m{n}", "ssh_port": 1, "http_port": 1} for n in range(machines)]
    fake: dict[str, Any] = {"state": str(folder / "cloud.db"), "machines": names if in_file else []}
    settings: dict[str, Any] = {
        "connection": str(stage.folder / "live" / "connection.yaml"),
        "bidding": {"enabled": False},
        "wallet": {"keystore": "operator.json", "passphrase_file": "passphrase"},
        "state_dir": "state",
        "plugins": [{"name": "fake", "settings": fake}],
        "setup_wait": 0,
    }
    (folder / "provider.yaml").write_text(render(**(settings | fields)))
    loaded = load(folder / "provider.yaml", {})
    if not in_file:
        plugins = (PluginSettings(name="fake", settings=fake | {"machines": names}),)
        loaded = loaded.model_copy(update={"plugins": plugins})
    return Seller(party, key.address, loaded, _register(stage, party, loaded) if machines else [])


def _register(stage: Stage, party: Party, settings: Settings) -> list[int]:
    inventory = party.client.inventory
    before = inventory.count()
    calls = []
    for item in measure(load_plugins(settings.plugins)):
        found = item.inspected
        hashes = document_hash(found), hardware_key(found)
        calls.append(inventory.register(found.class_name, found.site, found.spec, 1, *hashes))
    flood(stage, party.client.sender.address, calls, 400_000)
    resources = list(range(before + 1, inventory.count() + 1))
    if len(resources) != len(calls):
        raise RuntimeError(f"{len(resources)} of {len(calls)} machines were registered")
    return resources


def flood(stage: Stage, account: str, calls: Sequence[Call], gas: int) -> None:
    """Have many calls of one account mined, in order, a few blocks in all; the engine signs."""
    node = Node(stage.node.port)
    node.ask(("anvil_impersonateAccount", [account]), ("evm_setAutomine", [False]))
    for start in range(0, len(calls), _AT_ONCE):
        send(node, account, calls[start : start + _AT_ONCE], gas)
        node.ask(("anvil_mine", ["0x1"]))
    node.ask(("evm_setAutomine", [True]), ("anvil_stopImpersonatingAccount", [account]))


def send(node: Node, account: str, calls: Sequence[Call], gas: int) -> None:
    """Hand calls of an account to the engine, which signs for it; they are mined in order, later."""
    [count] = node.ask(("eth_getTransactionCount", [account, "pending"]))
    shared = {"from": account, "gas": hex(gas), "gasPrice": "0x0"}
    asked: list[tuple[str, list[Any]]] = [
        (
            "eth_sendTransaction",
            [shared | {"to": call.to, "data": "0x" + call.data.hex(), "nonce": hex(int(count, 16) + place)}],
        )
        for place, call in enumerate(calls)
    ]
    node.ask(*asked)


@contextmanager
def running_agent(settings: Settings) -> Iterator[subprocess.Popen[bytes]]:
    """The agent's process, once it is well; its log is shown if it is not."""
    folder = settings.state_dir.parent
    command = [sys.executable, "-m", "cli.main", "provider", "run", "--config", str(folder / "provider.yaml")]
    with (folder / "agent.log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, preexec_fn=die_with_parent)
    try:
        wait_for("the agent", lambda: _is_well(settings, process))
        yield process
    except BaseException:
        print((folder / "agent.log").read_text("utf-8")[-4000:], file=sys.stderr)
        raise
    finally:
        process.terminate()
        process.wait(20)


def _is_well(settings: Settings, process: subprocess.Popen[bytes]) -> bool:
    if process.poll() is not None:
        raise RuntimeError(f"the agent ended with {process.returncode}")
    return int(health(settings.state_dir).get("cycles", 0)) > 2


def health(state_dir: Path) -> dict[str, Any]:
    """What the agent last wrote of itself; empty before the first time."""
    path = state_dir / "health.json"
    found: dict[str, Any] = json.loads(path.read_text("utf-8")) if path.exists() else {}
    return found


def wait_for(what: str, probe: Callable[[], object], limit: float = 60.0) -> None:
    """Until something holds; TimeoutError if it does not in time."""
    deadline = time.monotonic() + limit
    while not probe():
        if time.monotonic() > deadline:
            raise TimeoutError(f"waited {limit:.0f} s for {what}")
        time.sleep(0.1)
