"""A small exchange on a real anvil, with providers, buyers and agents to act on it."""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from chain import connection as connection_file
from chain import wallet as wallets
from chain.contracts.base import Call
from chain.contracts.book import OfferTerms, RequestTerms
from chain.contracts.members import MemberRight, Role
from chain.contracts.tender import TenderTerms
from chain.deploy import DeployParams, deploy
from chain.exchange import Exchange
from chain.gateway import ConnectionDocument, GatewayClient
from chain.generated import events as ledger
from chain.lease_endpoints import endpoints_of
from chain.rpc import Rpc
from chain.sealed import BoxKey
from chain.sender import Sender
from chain.wallet import Wallet
from daemons.opening import open_wallet
from market.specs import Spec
from market.windows import SlotWindow
from provisioner.agent.loop import Agent
from provisioner.catalogue import hardware_key, load_plugins, measure, plan
from provisioner.gateway.server import GatewayServer
from provisioner.health.page import report
from provisioner.plugins.fake import FakePlugin
from provisioner.settings import Settings, load, render
from provisioner.store.store import Store
from tests.chain.network import die_with_parent, wallet
from tests.engine import PATIENCE, REAL, SETTLE, Chain, Validators

PARAMS = DeployParams(
    slot=2,
    quantum=1,
    sign_time=12 + SETTLE,
    fence_time=12 if REAL else 5,
    deliver_time=60 if REAL else 20,
    accept_time=30 + SETTLE,
    wipe_time=20 + SETTLE,
    notice=1,
    reclaim_notice=4,
    timelock_delay=1,
)
KEY = "ssh-ed25519 " + "A" * 68
OPERATOR = MemberRight.OFFER | MemberRight.SIGN | MemberRight.DELIVER | MemberRight.RELEASE
FAR = 600
"""Seconds before now at which the chain begins, so that the deployment's blocks do not run ahead of now."""


def wait_for(what: str, probe: Callable[[], Any], limit: float = 30.0) -> Any:
    """The first truthy value of `probe`; fails after `limit` seconds."""
    deadline = time.monotonic() + limit * PATIENCE
    while True:
        value = probe()
        if value:
            return value
        assert time.monotonic() < deadline, f"waited {limit * PATIENCE} s for {what}"
        time.sleep(0.05)


@dataclass
class Party:
    """An organisation with one key that acts for it."""

    org: int
    exchange: Exchange

    @property
    def address(self) -> str:
        """Its account."""
        assert self.exchange.wallet
        return self.exchange.wallet.address


@dataclass
class Provider(Party):
    """A provider with one fake cloud of two machines, one open offer on both."""

    folder: Path
    machines: list[dict[str, Any]]
    resources: list[int] = field(default_factory=list)
    offer: int = 0

    def settings(
        self,
        name: str = "agent",
        *,
        keystore: str = "operator",
        cloud: dict[str, Any] | None = None,
        **more: Any,
    ) -> Settings:
        """Settings of one agent, through the shipped template; `cloud` are settings of its fake plugin."""
        path = self.folder / f"{name}.yaml"
        if not path.exists():
            fields = {
                "connection": "connection.yaml",
                "wallet": {"keystore": f"{keystore}.json", "passphrase_file": "passphrase"},
                "state_dir": f"state-{name}",
                "plugins": [{"name": "fake", "settings": self.fake | (cloud or {})}],
                "cycle": 0.1,
                "look_every": 0.5,
                "setup_wait": 0,
                "orphan_grace": 1,
                "resync": 5.0,
            }
            path.write_text(render(**(fields | more)))
        return load(path, {})

    @property
    def cloud(self) -> Path:
        """The file that is its cloud."""
        return self.folder / "cloud.db"

    @property
    def fake(self) -> dict[str, Any]:
        """Settings of the fake plugin for that cloud."""
        return {"state": str(self.cloud), "machines": self.machines}

    def plugin(self) -> FakePlugin:
        """Another look at the same cloud."""
        return FakePlugin.from_settings(self.fake)


@dataclass
class Buyer(Party):
    """A buyer with an encryption key."""

    key: BoxKey

    def window(self, seconds: int, delay: int = 0) -> SlotWindow:
        """Slots from now (or `delay` seconds later) on, for at least `seconds`."""
        slot, now, seconds = PARAMS.slot, int(time.time()), seconds + SETTLE
        first = (now + delay) // slot
        return SlotWindow(first, first + -(-seconds // slot) + 1)

    def buy(
        self,
        provider: Provider,
        seconds: int,
        *,
        places: tuple[int, ...] = (0,),
        delay: int = 0,
        offer: int | None = None,
    ) -> int:
        """Buy now, from the provider's usual offer or another; the lease."""
        resources = [provider.resources[place] for place in places]
        call = self.exchange.book.buy_now(offer or provider.offer, resources, self.window(seconds, delay))
        [opened] = [e for e in self.send(call) if isinstance(e, ledger.LeaseOpened)]
        return opened.lease

    def post(self, class_: str, seconds: int, *, commit: int, reveal: int, **more: Any) -> int:
        """Put a request to tender; its number."""
        now, commit, reveal = self.exchange.now(), commit + SETTLE // 2, reveal + SETTLE // 2
        window = self.window(seconds, commit + reveal + 2)
        terms = RequestTerms(window, more.pop("count", 1), 5_000_000, class_, Spec(cores=1), **more)
        call = self.exchange.tender.post(terms, TenderTerms(now + commit, now + commit + reveal))
        [posted] = [e for e in self.send(call) if isinstance(e, ledger.RequestPosted)]
        return posted.request

    def accept(self, lease: int) -> None:
        """Accept what is delivered."""
        leases = self.exchange.leases
        self.send(leases.accept(lease, leases.lease(lease).delivered))

    def send(self, call: Call) -> list[Any]:
        """Send and tell what happened."""
        return self.exchange.events(self.exchange.send(call))

    def state(self, lease: int) -> str:
        """The chain's word on a lease."""
        return self.exchange.leases.state_of(lease).name.lower()

    def wait_state(self, lease: int, *states: str, limit: float = 30.0) -> str:
        """Wait until the chain says one of these."""
        return str(
            wait_for(
                f"lease {lease} {'/'.join(states)}, is {self.state(lease)}",
                lambda: (now := self.state(lease)) in states and now,
                limit,
            )
        )

    def gateway(self, url: str, key_hash: bytes) -> GatewayClient:
        """A client for a provider's gateway."""
        network = self.exchange.connection
        assert self.exchange.wallet
        return GatewayClient(url, key_hash, self.exchange.wallet, network.chain_id, network.directory)

    def open(self, client: GatewayClient, lease: int) -> ConnectionDocument:
        """Fetch and open connection data as the command line does, hashes compared."""
        sealed, served = client.connection(lease)
        document = ConnectionDocument.from_bytes(self.key.open(sealed))
        told = self.events(ledger.LeaseDelivered, lease)[-1]
        assert told.connection_hash == served.connection_hash
        assert served.endpoints == endpoints_of(document, self.exchange.leases.resources_of(lease))
        assert told.host_key == document.host_key_hash()
        return document

    def events(self, kind: type[Any], lease: int) -> list[Any]:
        """All events of a kind about a lease."""
        rpc = self.exchange.rpc
        logs = rpc.get_logs(list(self.exchange.leases.addresses), 0, rpc.head().number, [kind.TOPIC])
        found = [ledger.decode(entry.topics, entry.data) for entry in logs]
        return [event for event in found if event is not None and event.lease == lease]  # type: ignore[attr-defined]


class World:
    """The exchange, its council, and parties that were admitted when it was founded."""

    def __init__(self, node: Chain, folder: Path, params: DeployParams = PARAMS) -> None:
        """Found it; the slot of `params` must be that of PARAMS."""
        self.node, self.folder = node, folder
        rpc = Rpc.for_deployment(node.urls, block_time=node.block_time, confirmations=node.confirmations)
        council = wallet(node.first_wallet)
        sender = Sender(rpc, council, folder / "council")
        deployment = deploy(rpc, sender, params)
        sender.close()
        _, self._impatient = deployment.write(folder / "founding")
        _, self.connection = dataclasses.replace(deployment, block_time=1.0).write(folder)
        self.council = self.open(council, "council")
        self.do(self.council.credits.mint(council.address, 10**15, "test"))
        self.do(self.council.credits.approve(self.council.escrow.address, 10**15))
        self._parties = itertools.count(1)

    def open(self, who: Wallet, name: str) -> Exchange:
        """The exchange for one wallet."""
        return Exchange.open(self._impatient, who, self.folder / name)

    def send(self, call: Call, exchange: Exchange | None = None) -> list[Any]:
        """Send for somebody, the council by default."""
        by = exchange or self.council
        return by.events(by.send(call))

    def do(self, call: Call, exchange: Exchange | None = None) -> None:
        """The same while blocks come at once: without waiting."""
        by = exchange or self.council
        by.sender.send(call.to, call.data, gas=3_000_000, wait=False)

    def admit(self, name: str, roles: int) -> Party:
        """A new organisation with credits and an admin."""
        number = next(self._parties)
        who = wallet(self.node.first_wallet + 1000 + number)
        exchange = self.open(who, f"wallet-{number}")
        self.do(self.council.members.admit(f"{name}-{number}", who.address, roles))
        org = wait_for("the admission", lambda: exchange.members.member(who.address).org)
        self.do(self.council.escrow.deposit(org, 10**12))
        return Party(org, exchange)

    def provider(self, class_: str, *, sla: int = 0) -> Provider:
        """A provider whose machines are of a class of their own, registered and on offer for an hour.

        `sla`: what a lease of them promises.
        """
        party = self.admit("provider", Role.SELLER)
        folder = self.folder / f"provider-{party.org}"
        folder.mkdir(parents=True)
        (folder / "connection.yaml").write_bytes(self.connection.read_bytes())
        (folder / "passphrase").write_text("let me in\n")
        (folder / "passphrase").chmod(0o600)
        for name in ("operator", "second"):
            key = wallets.create(folder / f"{name}.json", "let me in", light=True)
            self.do(party.exchange.members.set_member(key.address, OPERATOR), party.exchange)
        machines = [{"name": f"{class_}-{n}", "class": class_} for n in range(2)]
        made = Provider(party.org, party.exchange, folder, machines)
        self.sell(made, [machine["name"] for machine in machines], sla=sla)
        return made

    def sell(self, provider: Provider, names: list[str], *, sla: int = 0) -> None:
        """Register machines by name and offer them for an hour."""
        found = measure({"fake": provider.plugin()})
        first = len(provider.resources)
        for item in plan(provider.exchange, provider.org, found, 1):
            if item.measured.inspected.name not in names:
                continue
            assert item.call is not None
            self.do(item.call, provider.exchange)
            key = hardware_key(item.measured.inspected)
            resource = wait_for("the resource", lambda key=key: provider.exchange.inventory.by_hardware(key))
            provider.resources.append(resource)
        now = int(time.time()) // PARAMS.slot
        terms = OfferTerms(SlotWindow(now, now + 1800), 1_000_000, 2_000_000, sla=sla)
        book = provider.exchange.book
        before = book.offer_count()
        self.do(book.publish(terms, provider.resources[first:]), provider.exchange)
        provider.offer = wait_for(
            "the offer",
            lambda: next(
                (n for n in range(before + 1, book.offer_count() + 1) if book.offer(n).org == provider.org), 0
            ),
        )

    def buyer(self) -> Buyer:
        """A buyer."""
        party = self.admit("buyer", Role.BUYER)
        key = BoxKey.generate()
        self.do(party.exchange.members.set_encryption_key(key.public), party.exchange)
        return Buyer(party.org, party.exchange, key)

    def begin(self) -> None:
        """From now on the chain runs with the wall clock, a block a second; a real one always does."""
        if isinstance(self.node, Validators):
            return
        self.node.ask("evm_setTime", int(time.time()))
        self.node.ask("evm_setIntervalMining", 1)
        wait_for("blocks", lambda: abs(self.node.rpc().head().timestamp - time.time()) < 3)


@dataclass
class Skew:
    """Clocks of an agent that can be set: seconds ahead of the wall clock, and of the one that measures."""

    wall: float = 0.0
    ticks: float = 0.0

    def clock(self) -> float:
        """What the agent believes o'clock it is."""
        return time.time() + self.wall

    def monotonic(self) -> float:
        """What the agent measures time with."""
        return time.monotonic() + self.ticks

    def jump(self, seconds: float) -> None:
        """So much time passes, on both."""
        self.wall += seconds
        self.ticks += seconds


class Running:
    """An agent in threads of this process, with its gateway."""

    def __init__(self, settings: Settings, *, well: bool = True, skew: Skew | None = None) -> None:
        """`well` False: it is expected not to get through a cycle, so nobody waits for one."""
        self._well = well
        self.skew = skew or Skew()
        clocks = {"clock": self.skew.clock, "monotonic": self.skew.monotonic}
        settings.state_dir.mkdir(parents=True, exist_ok=True)
        network = connection_file.load(settings.connection)
        self.exchange = Exchange(
            network, open_wallet(settings), settings.state_dir / "sender", rpc=Rpc(network, **clocks)
        )
        self.store = Store(settings.database)
        self.agent = Agent(settings, self.exchange, self.store, load_plugins(settings.plugins), **clocks)
        self.server = GatewayServer(
            settings,
            self.exchange,
            self.store,
            clock=self.skew.clock,
            on_setup=self.agent.asks.nudge,
            asks=self.agent.asks,
            control=self.agent.control,
        )
        self._thread = threading.Thread(target=self.agent.run, daemon=True)

    def health(self) -> dict[str, Any]:
        """As its health page says."""
        return report(self.agent, self.skew.clock())

    def conditions(self) -> dict[str, str]:
        """The conditions that hold, and what they say."""
        return {item["name"]: item["message"] for item in self.health()["conditions"]}

    def lease(self, lease: int) -> dict[str, Any] | None:
        """What health says of one lease, None if nothing."""
        return next((item for item in self.agent.snapshot() if item["lease"] == lease), None)

    def __enter__(self) -> Running:
        self.server.start()
        self._thread.start()
        if self._well:
            wait_for("the agent to look", lambda: self.agent.org and self.agent.cycles)
        return self

    def __exit__(self, *_: object) -> None:
        self.agent.stop()
        self._thread.join(15)
        self.server.stop()
        assert not self._thread.is_alive()


_PROGRAM = """
import sys
from provisioner.run import run
from provisioner.settings import load
run(load(sys.argv[1], {}))
"""


class Process:
    """An agent as an operating-system process."""

    def __init__(self, settings_file: Path) -> None:
        self._file = settings_file
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it; it dies with the test."""
        command = [sys.executable, "-c", _PROGRAM, str(self._file)]
        environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
        self._process = subprocess.Popen(command, env=environment, preexec_fn=die_with_parent)

    @property
    def pid(self) -> int:
        """Its process number."""
        assert self._process
        return self._process.pid

    def kill(self) -> None:
        """kill -9."""
        assert self._process
        self._process.kill()
        self._process.wait()

    def stop(self) -> int:
        """SIGTERM; the exit code."""
        assert self._process
        self._process.send_signal(signal.SIGTERM)
        return self._process.wait(20)

    @contextmanager
    def running(self) -> Iterator[Process]:
        """Started, and gone afterwards."""
        self.start()
        try:
            yield self
        finally:
            if self._process is not None and self._process.poll() is None:
                self._process.kill()
                self._process.wait()


def health_file(settings: Settings) -> dict[str, Any]:
    """The document of an agent's health file, empty if there is none."""
    path = settings.state_dir / "health.json"
    return json.loads(path.read_text()) if path.exists() else {}


class Proxy:
    """A loopback port that leads to the chain's, and can be cut."""

    def __init__(self, target: int) -> None:
        self._target = target
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self._open: list[socket.socket] = []
        threading.Thread(target=self._serve, args=(self._listener,), daemon=True).start()

    def cut(self) -> None:
        """Nobody answers there any more."""
        # Shut down first: close alone does not wake a thread that waits in accept.
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for one in self._open:
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()
        self._open.clear()

    def mend(self) -> None:
        """It is there again."""
        self._listener = socket.create_server(("127.0.0.1", self.port))
        threading.Thread(target=self._serve, args=(self._listener,), daemon=True).start()

    def _serve(self, listener: socket.socket) -> None:
        while True:
            try:
                near, _ = listener.accept()
            except OSError:
                return
            far = socket.create_connection(("127.0.0.1", self._target))
            self._open += [near, far]
            for a, b in ((near, far), (far, near)):
                threading.Thread(target=_copy, args=(a, b), daemon=True).start()


def _copy(source: socket.socket, sink: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while part := source.recv(65536):
            sink.sendall(part)
    with contextlib.suppress(OSError):
        sink.shutdown(socket.SHUT_WR)
