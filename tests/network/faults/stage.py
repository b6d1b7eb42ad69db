"""Four validators with an exchange on them, two providers whose agents are real processes, and callers.

Founded once for all faults. Where root can, each node has a namespace and a wire of its own.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from chain import connection as connection_file
from chain.connection import ConnectionFile
from chain.contracts.members import Role
from chain.exchange import Exchange
from chain.nodes import geth, keys, layout, local, render, space
from chain.nodes.consensus import untie
from chain.nodes.description import NetworkDescription, Node, parse, save
from chain.nodes.line import IpcLine
from chain.nodes.status import NetworkStatus
from chain.ports import free_ports
from chain.rpc import Rpc
from tests.chain.network import die_with_parent
from tests.network.faults import clockwork
from tests.network.faults.journal import Journal
from tests.network.faults.load import Caller, Lessee, Payer
from tests.network.faults.wires import Wires
from tests.provisioner.conformance.fleet import PATIENT, Witness
from tests.provisioner.world import Party, Provider, World, wait_for

__all__ = ["LATE", "Agent", "Door", "Stage", "linked", "stage"]

LATE = "late"
"""The fifth node: named in every allow-list, and not there yet."""
_SLOT = PATIENT.slot
_REPORT = Path(__file__).parents[3] / "build" / "faults.json"
"""What was measured; `docs/faults.md` has the numbers of one such run."""


class Door:
    """A node's JSON-RPC, as `World` wants it: nobody waits for confirmations while it is founded."""

    block_time, confirmations, first_wallet = 0.0, 0, 5000

    def __init__(self, url: str) -> None:
        self.url, self.urls = url, [url]
        self.port = int(url.rpartition(":")[2])

    def rpc(self) -> Rpc:
        """Its RPC without any check."""
        return Rpc.for_deployment([self.url], block_time=0)

    def ask(self, method: str, *params: Any) -> Any:
        """Any JSON-RPC method."""
        return self.rpc().call(method, params)


class Exchanges(World):
    """An exchange founded on real validators; whoever is admitted has credits in hand, too."""

    def __init__(self, door: Any, folder: Path) -> None:
        super().__init__(door, folder, PATIENT)

    def admit(self, name: str, roles: int) -> Party:
        """See `World.admit`."""
        party = super().admit(name, roles)
        self.do(self.council.credits.transfer(party.address, 10**9))
        return party


class Agent:
    """`ocx provider run`, as a process."""

    def __init__(self, provider: Provider) -> None:
        self.settings = provider.settings(cloud={"provision_seconds": 0.3}, cycle=0.3)
        self._file, self._log = provider.folder / "agent.yaml", provider.folder / "agent.log"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it; it dies with the test."""
        command = [str(Path(sys.executable).with_name("ocx")), "provider", "run", "--config", str(self._file)]
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log, preexec_fn=die_with_parent)

    def stop(self) -> None:
        """SIGTERM, and wait."""
        if self._process is not None:
            self._process.terminate()
            self._process.wait(30)
            self._process = None

    @property
    def alive(self) -> bool:
        """Whether it runs."""
        return self._process is not None and self._process.poll() is None

    def health(self) -> dict[str, Any]:
        """Its health file."""
        path = self.settings.state_dir / "health.json"
        return dict(json.loads(path.read_text())) if path.exists() else {}


@dataclasses.dataclass
class Stage:
    """Everything a fault needs."""

    folder: Path
    description: NetworkDescription
    world: Exchanges
    wires: Wires
    journal: Journal
    callers: list[Caller]
    agents: list[Agent]
    providers: list[Provider]
    witnesses: list[Witness]
    parties: list[Party]
    spaces: bool
    measured: dict[str, dict[str, Any]] = dataclasses.field(default_factory=dict)

    @property
    def names(self) -> list[str]:
        """The four validators."""
        return [node.name for node in self.description.validators]

    def home(self, name: str) -> Path:
        """A node's folder."""
        return layout.node_folder(self.folder, self.description.node(name))

    def node(self, name: str) -> Node:
        """A node."""
        return self.description.node(name)

    def status(self) -> NetworkStatus:
        """As `ocx network status` has it."""
        return local.status(self.folder)

    def height(self) -> int:
        """The highest head of the validators that answer."""
        homes = {name: self.home(name) for name in self.names}
        return max(head.number for head in untie.heads(homes).values())

    def line(self, name: str) -> IpcLine:
        """IPC with a node."""
        return IpcLine(self.home(name) / geth.IPC, 15)

    def head(self, name: str) -> int:
        """A node's own head."""
        with self.line(name) as line:
            return int(line.call("eth_blockNumber"), 16)

    def right_clocks(self) -> None:
        """Stop every node whose clock is wrong; the next start is with the right one."""
        for name in self.names:
            if (self.home(name) / clockwork.SKEW).exists():
                self.keep("stop", name)
                (self.home(name) / clockwork.SKEW).unlink()

    def keep(self, do: str, *names: str) -> None:
        """Have the keeper start, stop or kill nodes."""
        local.ask_keeper(self.folder, do, list(names))

    def wait(self, wanted: Callable[[NetworkStatus], bool], what: str, timeout: float = 120) -> NetworkStatus:
        """Until the network is as wanted."""
        return local.wait_until(self.folder, wanted, what=what, timeout=timeout)

    def note(self, fault: str, **numbers: Any) -> None:
        """Something that was measured of a fault, for people; also written to build/faults.json."""
        rounded = {key: round(v, 1) if isinstance(v, float) else v for key, v in numbers.items()}
        self.measured.setdefault(fault, {}).update(rounded)
        print(f"measured: {fault}: {rounded}")
        _REPORT.parent.mkdir(exist_ok=True)
        _REPORT.write_text(json.dumps(self.measured, indent=2) + "\n")

    def recovered(self, fault: str, began: float, limit: float = 180) -> None:
        """Wait until all validators are level and linked and a caller was told of success; note how long."""
        told = self.journal.first_after(began, limit=limit).at - began
        self.wait(lambda found: linked(found, self.names), "whole", limit)
        self.note(fault, told_after=told, whole_after=time.monotonic() - began)

    def stand(self, seconds: float, *names: str) -> dict[str, int]:
        """Wait until no head of these nodes moved for so long; the heads."""
        deadline = time.monotonic() + 120
        before, since = {name: self.head(name) for name in names}, time.monotonic()
        while time.monotonic() - since < seconds:
            assert time.monotonic() < deadline, f"heads go on moving: {before}"
            time.sleep(0.2)
            now = {name: self.head(name) for name in names}
            if now != before:
                before, since = now, time.monotonic()
        return before

    def connection(self, first: str, *urls: str) -> ConnectionFile:
        """The network's connection file with `urls`, then validators from `first` on, as endpoints."""
        return _connection(self.world, self.description, first, urls)

    def whole(self, timeout: float = 180) -> None:
        """Until all validators are level and meet one another, and somebody was told of success since."""
        began = time.monotonic()
        self.wait(lambda found: linked(found, self.names), "whole", timeout)
        self.journal.first_after(began)


def linked(found: NetworkStatus, names: Sequence[str]) -> bool:
    """Whether these nodes are well and all of them have met."""
    ours = [node for node in found.nodes if node.name in names]
    return all(node.good and set(names) - {node.name} <= set(node.peers) for node in ours)


def _found(folder: Path, spaces: bool) -> NetworkDescription:
    """Four validators, and a fifth node that is known to all and does not run."""
    description = layout.found(folder, 4, spaces=spaces, now=int(time.time()), slot=_SLOT)
    key = keys.create(folder / "nodes" / LATE)
    taken = {port for node in description.nodes for port in (node.p2p_port, node.rpc_port)}
    ports = (port for port in free_ports() if port not in taken)
    late = Node(
        name=LATE,
        organisation="org5",
        address=key.address,
        public_key=key.public_key.hex(),
        host="10.99.0.15" if spaces else "127.0.0.1",
        p2p_port=30303 if spaces else next(ports),
        rpc_port=next(ports),
    )
    description = parse(description.model_dump() | {"followers": [late.model_dump()]})
    save(layout.description_path(folder), render.network_yaml(description))
    return description


def _connection(
    world: Exchanges, description: NetworkDescription, first: str, urls: Sequence[str] = ()
) -> ConnectionFile:
    known = connection_file.load(world.connection)
    names = [node.name for node in description.validators]
    at = names.index(first)
    ours = [description.node(name).rpc_url for name in names[at:] + names[:at]]
    fields = known.model_dump() | {
        "rpc_urls": [*urls, *ours],
        "confirmations": description.confirmations,
        "block_time": float(description.block_time),
    }
    return ConnectionFile.model_validate(fields)


@contextlib.contextmanager
def _engine_is(program: Path) -> Iterator[None]:
    """What a keeper that is started now runs as its engine."""
    before = os.environ.get("OCX_ENGINE")
    os.environ["OCX_ENGINE"] = str(program)
    try:
        yield
    finally:
        del os.environ["OCX_ENGINE"]
        if before is not None:
            os.environ["OCX_ENGINE"] = before


@contextlib.contextmanager
def stage(folder: Path) -> Iterator[Stage]:
    """Found it, run it under load, and end it; what was measured is written to build/faults.json."""
    spaces = space.work_here()
    description = _found(folder, spaces)
    names = [node.name for node in description.validators]
    try:
        with _engine_is(clockwork.engine(folder)):
            local.start(folder, while_pid=os.getpid())
        local.ask_keeper(folder, "kill", [LATE])
        local.wait_until(folder, lambda found: linked(found, names) and (found.height or 0) > 0, timeout=120)
        made = _people(folder, description, spaces)
        with contextlib.ExitStack() as stack:
            for agent in made.agents:
                agent.start()
                stack.callback(agent.stop)
            for caller in made.callers:
                caller.start()
            stack.callback(lambda: [caller.enough.set() for caller in made.callers])
            yield made
    finally:
        local.stop(folder)


def _people(folder: Path, description: NetworkDescription, spaces: bool) -> Stage:
    """The exchange, its parties, and the callers they will be."""
    world = Exchanges(Door(description.nodes[0].rpc_url), folder / "exchange")
    names = [node.name for node in description.validators]
    text = connection_file.render(**_connection(world, description, names[0]).model_dump(mode="json"))
    world.connection.write_text(text)
    with ThreadPoolExecutor(8) as pool:
        sellers = [pool.submit(world.provider, f"bm.{number}") for number in range(2)]
        buying = [pool.submit(world.buyer) for _ in range(2)]
        paying = [pool.submit(world.admit, "payer", Role.BUYER) for _ in range(3)]
        providers, buyers = [each.result() for each in sellers], [each.result() for each in buying]
        payers = [each.result() for each in paying]
    for provider in providers:  # published side by side: each finds its own
        provider.offer = wait_for("its offer", lambda provider=provider: _offer_of(provider))
    journal, parties = Journal(), [*providers, *buyers, *payers]
    for number, party in enumerate(parties):
        party.exchange = _patient(world, description, names[number % 4], party, folder / f"calls-{number}")
    witnesses: list[Witness] = []
    callers: list[Caller] = []
    agents: list[Agent] = []
    for number, (provider, buyer) in enumerate(zip(providers, buyers, strict=True)):
        own = _connection(world, description, names[2 * number])
        (provider.folder / "connection.yaml").write_text(
            connection_file.render(**own.model_dump(mode="json"))
        )
        agents.append(Agent(provider))
        provider.plugin().inspect()
        witnesses.append(Witness(provider.cloud))
        for place in range(2):
            name = f"lessee{number}{place}"
            callers.append(Lessee(name, buyer, provider, place, witnesses[-1], journal))
    callers += [Payer(number, party, journal) for number, party in enumerate(payers, 1)]
    with ThreadPoolExecutor(8) as pool:
        allowed = [pool.submit(_allow, party) for party in payers]
        for each in allowed:
            each.result()
    wires = Wires(folder)
    return Stage(
        folder, description, world, wires, journal, callers, agents, providers, witnesses, parties, spaces
    )


def _offer_of(provider: Provider) -> int | None:
    book = provider.exchange.book
    numbers = range(1, book.offer_count() + 1)
    return next((n for n in numbers if set(book.resources_of(n)) == set(provider.resources)), None)


def _allow(party: Party) -> None:
    party.exchange.send(party.exchange.credits.approve(party.exchange.escrow.address, 10**12))


def _patient(
    world: Exchanges, description: NetworkDescription, first: str, party: Party, folder: Path
) -> Exchange:
    """As everybody opens it: several endpoints, confirmations."""
    assert party.exchange.wallet
    return Exchange(_connection(world, description, first), party.exchange.wallet, folder)
