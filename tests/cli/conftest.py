"""An exchange on a real anvil, and people who use it through `ocx` alone."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
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

Does = Callable[[str], Any]
"""Runs a command of somebody's that must succeed; its result."""
PARAMS = """
slot: 10
quantum: 1
sign_time: 100
fence_time: 60
deliver_time: 100
accept_time: 100
wipe_time: 100
notice: 5
reclaim_notice: 60
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
        return CliRunner().invoke(cli, [*command.split(), *more], env=self.environment | env)

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
        """Put a request for one node to tender: 30 s to commit, 30 s to reveal.

        The last block tells what time it is, and here it may be older than the time to commit.
        """
        self.warp(0)
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
    if REAL:  # waiting takes the time there: all at once
        with ThreadPoolExecutor(len(newcomers)) as pool:
            list(pool.map(lambda person: _let_in_apart(market, person), newcomers))
    else:
        for person in newcomers:
            _let_in(market, person, council.does, person.does)
    return market


def _let_in_apart(market: Market, person: Person) -> None:
    """Two processes act for it, the council's and its own."""
    with ExitStack() as stack:
        by_council, by_person = (stack.enter_context(_clerk(who)) for who in (market.council, person))
        _let_in(market, person, by_council, by_person)


@contextmanager
def _clerk(person: Person) -> Iterator[Does]:
    """A process that runs somebody's commands, one after the other."""
    environment = os.environ | person.environment | {"OCX_FORMAT": "json", "OCX_YES": "1"}
    command = [sys.executable, "-m", "cli.main", "batch"]
    with subprocess.Popen(
        command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin and process.stdout
        said, heard = process.stdin, process.stdout

        def does(line: str) -> Any:
            said.write(line + "\n")
            said.flush()
            answer = json.loads(heard.readline())
            assert answer["exit_code"] == 0, answer
            return answer["result"]

        yield does
        said.close()


def _let_in(market: Market, person: Person, by_council: Does, by_person: Does) -> None:
    address = by_person("wallet show")["address"]
    roles = "buyer" if person is market.buyer else "seller"
    by_council(f"member admit {person.name} {address} --roles {roles}")
    by_council(f"credits mint {address} 1000")
    by_person("credits deposit 900")
    if person is market.buyer:
        return
    registered = by_person(f"node register --config {config_of(person)}")["registered"]
    nodes = market.nodes[person.name] = [item["resource"] for item in registered]
    options = " ".join(f"--node {node}" for node in nodes)
    published = by_person(f"offer publish {options} --start now --for 20h --floor 2 --buy-now 8")
    market.offers[person.name] = published["offer"]


@pytest.fixture(scope="module")
def market(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Market]:
    """An exchange whose blocks come with transactions, so that tests decide what time it is."""
    with begun() as node:
        yield found(node, tmp_path_factory.mktemp("market"))
