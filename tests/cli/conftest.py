"""An exchange on a real anvil, and people who use it through `ocx` alone."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from chain.exchange import Exchange
from chain.wallet import Wallet, from_file, load
from cli.main import cli
from tests.engine import REAL, Chain, Validators, begun
from tests.provisioner.world import wait_for

PARAMS = """
slot: 10
quantum: 1
sign_time: 100
fence_time: 60
deliver_time: 100
accept_time: 100
wipe_time: 100
notice: 5
timelock_delay: 2
min_stake: 1000000
"""


@dataclass
class Person:
    """Somebody with a wallet and a state directory of its own, who runs `ocx` in this process."""

    name: str
    folder: Path
    connection: Path | None = None
    more: dict[str, str] = field(default_factory=dict)
    apart: bool = False
    """Its commands run in processes of their own, so that several people can act at once."""

    def __post_init__(self) -> None:
        """Give it a folder and a passphrase."""
        self.folder.mkdir(parents=True, exist_ok=True)
        passphrase = self.folder / "passphrase"
        passphrase.touch(mode=0o600)
        passphrase.write_text("let me in\n")

    @property
    def keystore(self) -> Path:
        """Its wallet."""
        return self.folder / "wallet.json"

    @property
    def state(self) -> Path:
        """Its state directory."""
        return self.folder / "state"

    @property
    def environment(self) -> dict[str, str]:
        """What its shell exports."""
        named = {"OCX_CONNECTION": str(self.connection)} if self.connection else {}
        return {
            "OCX_WALLET": str(self.keystore),
            "OCX_PASSPHRASE_FILE": str(self.folder / "passphrase"),
            "OCX_STATE": str(self.state),
            **named,
            **self.more,
        }

    def run(self, command: str, *more: str, **env: str) -> Result:
        """Run a command as it stands."""
        if self.apart:
            return self._run_apart([*command.split(), *more], env)
        return CliRunner().invoke(cli, [*command.split(), *more], env=self.environment | env)

    def _run_apart(self, command: list[str], env: dict[str, str]) -> Result:
        done = subprocess.run(
            [sys.executable, "-m", "cli.main", *command],
            env=os.environ | self.environment | env,
            capture_output=True,
            timeout=120,
            check=False,
        )
        out, err = done.stdout, done.stderr
        return Result(CliRunner(), out, err, out + err, None, done.returncode, None)

    def does(self, command: str, *more: str) -> Any:
        """Run a command that must succeed; its result."""
        result = self.run(command, *more, OCX_FORMAT="json", OCX_YES="1")
        assert result.exit_code == 0, result.stderr
        return json.loads(result.stdout)

    def is_refused(self, command: str, *more: str) -> str:
        """Run a command that must be refused in one line, with what to do after a ';', and exit code 1."""
        result = self.run(command, *more, OCX_FORMAT="json", OCX_YES="1")
        lines = result.stderr.splitlines()
        assert (result.exit_code, len(lines)) == (1, 1), result.output
        assert lines[0].startswith("ocx: ") and "; " in lines[0]
        assert result.stdout == ""
        return lines[0]

    def exchange(self) -> Exchange:
        """The exchange with this person's wallet, for what has no command."""
        assert self.connection
        return Exchange.open(self.connection, self.wallet(), self.state / "sender")

    def wallet(self) -> Wallet:
        """Its wallet, unlocked."""
        return load(self.keystore, from_file(self.folder / "passphrase"))


@dataclass
class Market:
    """A founded exchange with a council, two sellers with three nodes each on offer, and a buyer."""

    node: Chain
    council: Person
    north: Person
    south: Person
    buyer: Person
    offers: dict[str, int] = field(default_factory=dict)
    nodes: dict[str, list[int]] = field(default_factory=dict)

    @property
    def council_address(self) -> str:
        """The council's account."""
        return self.council.wallet().address

    def warp(self, seconds: int) -> None:
        """Let time pass on the chain; on a real one it passes by itself."""
        if isinstance(self.node, Validators):
            until = self.node.rpc().chain_time() + seconds
            wait_for(f"{seconds} s", lambda: self.node.rpc().chain_time() >= until, seconds + 30.0)
            return
        self.node.ask("evm_increaseTime", seconds)
        self.node.mine()

    def request(self, terms: str = "", *, length: int = 600) -> int:
        """Put a request for one node to tender: 30 s to commit, 30 s to reveal."""
        posted = self.buyer.does(
            f"request post --class bm.large --spec cores=32 --start +100s --for {length}s --ceiling 10 "
            f"--commit-for 30s --reveal-for 30s {terms}"
        )
        return int(posted["request"])


def config_of(person: Person) -> Path:
    """A provider configuration with three fake machines."""
    path = person.folder / "provider.yaml"
    machines = [{"name": f"{person.name}-{n}", "class": "bm.large"} for n in (1, 2, 3)]
    cloud = {"name": "fake", "settings": {"state": str(person.folder / "cloud.db"), "machines": machines}}
    fields = {
        "connection": str(person.connection),
        "wallet": {"keystore": str(person.keystore), "passphrase_file": str(person.folder / "passphrase")},
        "state_dir": str(person.folder / "agent"),
        "plugins": [cloud],
        "turnaround_slots": 0,
    }
    path.write_text(json.dumps(fields))
    return path


def found(node: Chain, folder: Path, params: str = PARAMS) -> Market:
    """Deploy an exchange with `ocx network deploy` and let everybody in."""
    people = {name: Person(name, folder / name) for name in ("council", "north", "south", "buyer")}
    for person in people.values():
        person.does("wallet create --light")
    council = people["council"]
    (folder / "params.yaml").write_text(params)
    urls = " ".join(f"--rpc-url {url}" for url in node.urls)
    deployed = council.does(
        f"network deploy {urls} --name test --block-time {node.block_time:g} "
        f"--confirmations {node.confirmations} --params {folder / 'params.yaml'} --out {folder / 'net'}"
    )
    for person in people.values():
        person.connection = Path(deployed["connection"])
    market = Market(node, **people)
    newcomers = (market.north, market.south, market.buyer)
    for person in people.values():
        person.apart = REAL
    with ThreadPoolExecutor(len(newcomers) if REAL else 1) as pool:
        list(pool.map(lambda person: _let_in(market, person), newcomers))
    for person in people.values():
        person.apart = False
    return market


def _let_in(market: Market, person: Person) -> None:
    address = person.does("wallet show")["address"]
    roles = "buyer" if person is market.buyer else "seller"
    market.council.does(f"member admit {person.name} {address} --roles {roles}")
    market.council.does(f"credits mint {address} 1000")
    person.does("credits deposit 900")
    if person is market.buyer:
        return
    registered = person.does(f"node register --config {config_of(person)}")["registered"]
    nodes = market.nodes[person.name] = [item["resource"] for item in registered]
    options = " ".join(f"--node {node}" for node in nodes)
    published = person.does(f"offer publish {options} --start now --for 20h --floor 2 --buy-now 8")
    market.offers[person.name] = published["offer"]


@pytest.fixture(scope="session")
def market(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Market]:
    """An exchange whose blocks come with transactions, so that tests decide what time it is."""
    with begun() as node:
        yield found(node, tmp_path_factory.mktemp("market"))
