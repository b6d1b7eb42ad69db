"""A fast exchange with several providers, whose agents are real processes, easily killed and soon back.

Blocks come five times a second. Each provider's cloud writes down, by itself, every server that ever became
usable and under which key, so that two servers of one lease cannot hide between two looks.
"""

from __future__ import annotations

import contextlib
import dataclasses
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from chain import connection as connection_file
from chain.deploy import DeployParams
from chain.generated import events as ledger
from market.errors import Refused
from tests.chain.network import Anvil, anvil
from tests.provisioner.conformance.warm import Child, Warm
from tests.provisioner.world import FAR, PARAMS, Buyer, Provider, World, wait_for

__all__ = ["BLOCK", "Fleet", "Lane", "Witness", "fleet", "patiently"]

BLOCK = 0.2
"""Seconds between two blocks."""
PATIENT = dataclasses.replace(
    PARAMS, sign_time=90, fence_time=60, deliver_time=120, accept_time=120, wipe_time=120
)
"""Deadlines that a busy machine does not miss."""
_PROGRAM = "tests.provisioner.conformance.programs:agent"

_WATCH = """
CREATE TABLE IF NOT EXISTS boots (key TEXT, local_id TEXT, host_key TEXT, at REAL);
CREATE TABLE IF NOT EXISTS ends (key TEXT, local_id TEXT, at REAL);
CREATE TRIGGER IF NOT EXISTS boot AFTER UPDATE OF state ON machines
    WHEN NEW.state = 'ready' AND OLD.state != 'ready'
    BEGIN INSERT INTO boots VALUES
        (NEW.key, NEW.local_id, NEW.host_key, (julianday('now') - 2440587.5) * 86400.0); END;
CREATE TRIGGER IF NOT EXISTS ended AFTER UPDATE OF key ON machines
    WHEN OLD.key IS NOT NULL AND NEW.key IS NOT OLD.key
    BEGIN INSERT INTO ends VALUES (OLD.key, OLD.local_id, (julianday('now') - 2440587.5) * 86400.0); END;
"""


class Witness:
    """Looks at one fake cloud past everybody, at what it holds now and at what ever became usable in it."""

    def __init__(self, cloud: Path) -> None:
        self._cloud = cloud
        with contextlib.closing(sqlite3.connect(cloud, timeout=30)) as db:
            db.executescript(_WATCH)

    def boots(self) -> dict[str, int]:
        """How many servers ever became usable under each key."""
        return {row[0]: row[1] for row in self._ask("SELECT key, count(*) FROM boots GROUP BY key")}

    def doubles(self) -> list[str]:
        """Keys under which more than one server ever became usable."""
        return [key for key, count in self.boots().items() if count > 1]

    def ready(self) -> set[str]:
        """Keys of servers that are usable now."""
        return {row[0] for row in self._ask("SELECT key FROM machines WHERE state = 'ready'")}

    def carried(self) -> set[str]:
        """Keys that anything carries now."""
        return {row[0] for row in self._ask("SELECT key FROM machines WHERE key IS NOT NULL")}

    def ended(self) -> dict[str, float]:
        """When the machine of each key was free again (unix seconds)."""
        return {row[0]: row[1] for row in self._ask("SELECT key, max(at) FROM ends GROUP BY key")}

    def _ask(self, query: str) -> list[tuple[str, float]]:
        with contextlib.closing(sqlite3.connect(self._cloud, timeout=30)) as db:
            return db.execute(query).fetchall()


def patiently(act: Callable[[], object], limit: float = 15.0) -> None:
    """Act on what was just seen; again if it is refused.

    While a block is made, anvil may answer one question by it and the next one without it.
    """
    deadline = time.monotonic() + limit
    while True:
        try:
            act()
            return
        except Refused:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.2)


@dataclass
class Lane:
    """One provider with one buyer, and the agent processes that serve the provider."""

    provider: Provider
    buyer: Buyer
    witness: Witness
    warm: Warm

    def agent(self, name: str = "agent", **more: object) -> Child:
        """Start the agent of that name; its settings must have been written."""
        log = self.provider.folder / f"{name}.log"
        return self.warm.start(_PROGRAM, str(self.provider.folder / f"{name}.yaml"), log=log, **more)

    def mortal(self, name: str, fatal: int) -> Child:
        """The same, dying at that moment of its journals."""
        return self.agent(name, fatal=fatal)

    def key(self, lease: int, place: int = 0) -> str:
        """The operation key of one resource of a lease."""
        exchange = self.provider.exchange
        contract = exchange.leases.address.lower()[2:10]
        return f"ocx-{exchange.connection.chain_id}-{contract}-{lease}-{self.provider.resources[place]}"

    def count(self, lease: int) -> dict[str, int]:
        """How often the chain was told of the signature, the delivery and the wipe of a lease."""
        kinds = (ledger.LeaseSigned, ledger.LeaseDelivered, ledger.LeaseWiped)
        return {kind.__name__: len(self.buyer.events(kind, lease)) for kind in kinds}

    def accept(self, lease: int, buyer: Buyer | None = None) -> None:
        """Accept what is delivered."""
        by = buyer or self.buyer
        patiently(lambda: by.accept(lease))

    def end_early(self, lease: int, buyer: Buyer | None = None) -> None:
        """End it before its time."""
        by = buyer or self.buyer
        patiently(lambda: by.send(by.exchange.leases.end_early(lease)))

    def is_settled(self, lease: int) -> bool:
        """Whether no money is left in a lease."""
        return self.provider.exchange.settlement.account(lease).closed


@dataclass
class Fleet:
    """The exchange and its lanes."""

    world: World
    lanes: list[Lane]
    _blocks: contextlib.ExitStack

    def buyer(self) -> Buyer:
        """One more buyer; before `begin`."""
        return self.world.buyer()

    def begin(self) -> None:
        """From now on blocks come by the clock, not by the transaction."""
        self._blocks.enter_context(_blocks(self.world.node))


@contextlib.contextmanager
def fleet(folder: Path, warm: Warm, lanes: int, params: DeployParams | None = None) -> Iterator[Fleet]:
    """An exchange with so many providers and buyers; its blocks come with the transactions until `begin`."""
    with anvil("--timestamp", str(int(time.time()) - FAR)) as node:
        world = World(node, folder, params or PATIENT)
        network = connection_file.load(world.connection).model_dump(mode="json")
        world.connection.write_text(connection_file.render(**network | {"block_time": BLOCK}))
        made = []
        for number in range(lanes):
            provider, buyer = world.provider(f"bm.{number}"), world.buyer()
            made.append(Lane(provider, buyer, Witness(provider.cloud), warm))
        with contextlib.ExitStack() as stack:
            yield Fleet(world, made, stack)


@contextlib.contextmanager
def _blocks(node: Anvil) -> Iterator[None]:
    """From now on the chain runs with the wall clock, a block every `BLOCK` seconds."""
    node.ask("evm_setTime", int(time.time()))
    node.ask("evm_setAutomine", False)
    over = threading.Event()

    def mine() -> None:
        rpc = node.rpc()
        while not over.wait(BLOCK):
            with contextlib.suppress(Exception):  # the node is ending
                rpc.call("evm_mine", ())

    thread = threading.Thread(target=mine, daemon=True)
    thread.start()
    try:
        wait_for("blocks", lambda: abs(node.rpc().head().timestamp - time.time()) < 3)
        yield
    finally:
        over.set()
        thread.join(10)
