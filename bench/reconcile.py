"""One full look of an agent at 1,000 live leases of 10 machines each, beside one question for each fact.

Leases, machines and the agent's memory are as after a restart: signed and delivered on a real chain, each
machine up in the fake cloud with its lease's key. A pass is one cycle with every lease due: read its facts
from the chain at one block, compare with the cloud as last read, decide. What the cloud takes to answer is
not in it, and told apart. The peer asks the same facts of the same leases one by one, and decides nothing.
"""

from __future__ import annotations

import argparse
import json
import sqlite3
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from bench.report import Report, Row
from bench.seller import FAR, PARAMS, ROOMY, Seller, flood, settle_in, wait_for
from bench.stage import Party, Stage, open_stage
from chain import connection as connection_file
from chain import wire
from chain.contracts.leases import Delivery
from chain.contracts.members import Role
from chain.exchange import Exchange
from chain.sealed import BoxKey
from daemons.opening import open_wallet
from provisioner.agent.loop import Agent
from provisioner.agent.steps import operation_key
from provisioner.catalogue import load_plugins
from provisioner.plugin import Order
from provisioner.store.store import Store

__all__ = ["run"]

LIMIT = 2.0
BLOCK = 1.0
_NEVER = 3600.0


@dataclass
class _Pass:
    """One pass: seconds by the wall and of our CPU, messages to the node and questions in them."""

    wall: float = 0.0
    cpu: float = 0.0
    messages: int = 0
    questions: int = 0


def run(argv: Sequence[str] | None = None) -> Report:
    """Measure and show; not complete if not every lease was looked at."""
    parser = argparse.ArgumentParser(prog="python -m bench reconcile", description=__doc__)
    parser.add_argument("--leases", type=int, default=1000, help="how many (default 1000)")
    parser.add_argument("--machines", type=int, default=10, help="in each lease (default 10)")
    parser.add_argument("--passes", type=int, default=5, help="warm passes (default 5)")
    parser.add_argument("--sample", type=int, default=100, help="leases the peer asks about (default 100)")
    report = _measure(parser.parse_args(argv))
    report.show()
    return report


def _measure(options: argparse.Namespace) -> Report:
    """Run it."""
    report = Report("reconcile")
    with open_stage(PARAMS, "--timestamp", str(int(time.time()) - FAR), *ROOMY) as stage:
        began = time.monotonic()
        seller, leases = _live_leases(stage, options.leases, options.machines)
        stage.go_live(BLOCK)
        store = Store(seller.settings.database)
        _remember(store, stage, seller, leases)
        exchange = Exchange(
            connection_file.load(seller.settings.connection),
            open_wallet(seller.settings),
            seller.settings.state_dir / "sender",
        )
        report.notes.append(f"set up in {time.monotonic() - began:.0f} s")
        agent = Agent(seller.settings, exchange, store, load_plugins(seller.settings.plugins))
        _passes(report, agent, options)
        _peer(report, exchange, leases, options)
    return report


def _live_leases(stage: Stage, leases: int, machines: int) -> tuple[Seller, dict[int, tuple[int, ...]]]:
    """Leases that are signed and delivered, with their resources."""
    apart: dict[str, Any] = {"look_every": _NEVER, "inspect_every": _NEVER, "resync": _NEVER}
    seller = settle_in(stage, leases * machines, in_file=False, **apart)
    window, offers = seller.publish(stage)
    buyer = stage.admit("buyer", Role.BUYER, 10**15)
    buyer.send(buyer.client.members.set_encryption_key(BoxKey.generate().public))
    stage.node.ask("evm_setTime", int(time.time()))
    _buy(
        stage,
        buyer,
        [(n, lot[i : i + machines]) for n, lot in offers for i in range(0, len(lot), machines)],
        window,
    )
    client = stage.council.leases
    numbers = range(1, client.count() + 1)
    delivery = Delivery((1 << machines) - 1, *(bytes([n]) * 32 for n in (1, 2, 3)))
    flood(stage, seller.operator, [client.sign(lease) for lease in numbers], 2_000_000)
    flood(stage, seller.operator, [client.deliver(lease, delivery) for lease in numbers], 2_000_000)
    found = {lease: client.resources_of(lease) for lease in numbers}
    if len(found) != leases or not client.lease(leases).delivered:
        raise RuntimeError(f"{len(found)} of {leases} leases are there")
    return seller, found


def _buy(stage: Stage, buyer: Party, lots: list[tuple[int, list[int]]], window: Any) -> None:
    book = buyer.client.book
    calls = [book.buy_now(offer, lot, window) for offer, lot in lots]
    flood(stage, buyer.client.sender.address, calls, 4_000_000)


def _remember(store: Store, stage: Stage, seller: Seller, leases: dict[int, tuple[int, ...]]) -> None:
    """What the agent and the cloud would know of these leases, had this agent brought them up."""
    chain_id, address = stage.council.connection.chain_id, stage.council.leases.address
    cloud = Path(str(seller.settings.plugins[0].settings["state"]))
    with sqlite3.connect(cloud) as db:
        ids = dict(db.execute("SELECT name, local_id FROM machines"))
        place = {resource: ids[f"m{n}"] for n, resource in enumerate(seller.resources)}
        with store.transaction():
            for lease, resources in leases.items():
                for resource in resources:
                    key = operation_key(chain_id, address, lease, resource)
                    order = Order(key, place[resource], f"lease-{lease}", ("ssh-ed25519 AAAA",), 0, 1)
                    store.keep_order(order, lease, "fake", 0)
                    db.execute(
                        "UPDATE machines SET key = ?, purchase = ?, state = 'ready' WHERE local_id = ?",
                        (key, json.dumps(asdict(order)), place[resource]),
                    )


def _passes(report: Report, agent: Agent, options: argparse.Namespace) -> None:
    with _counted() as first:
        agent.cycle()
    cloud = _cloud_latency(agent)
    agent.cycle()
    passes = []
    for _ in range(options.passes):
        before = agent.head
        wait_for("a block", lambda: agent.exchange.rpc.head() != before)  # noqa: B023
        agent.reports.clear()
        agent.wake()
        with _counted() as one:
            agent.cycle()
        passes.append(one)
        report.complete = report.complete and len(agent.reports) == options.leases
    worst = max(passes, key=lambda item: item.wall)
    middle = sorted(passes, key=lambda item: item.wall)[len(passes) // 2]
    size = f"{options.leases:,} leases, {options.leases * options.machines:,} machines"
    report.notes.append(
        f"{size}; the cloud took {cloud:.2f} s to be measured and read, apart from the passes"
    )
    report.rows += [
        Row("pass, median", middle.wall, "s", LIMIT),
        Row("pass, slowest", worst.wall, "s", LIMIT),
        Row("CPU of the slowest pass", worst.cpu, "s"),
        Row("first cycle of an agent that has forgotten all", first.wall, "s"),
        Row("messages to the node in a pass", worst.messages, ""),
        Row("questions in them", worst.questions, ""),
    ]


def _cloud_latency(agent: Agent) -> float:
    """Seconds until the cloud, asked in the first cycle, was measured and read."""
    [plugin] = agent.clouds.plugins.values()
    began = time.monotonic()
    plugin.list_owned()
    plugin.inspect()
    took = time.monotonic() - began

    def is_read() -> bool:
        agent.cycle()
        return agent.clouds.reading("fake") is not None

    wait_for("the cloud", is_read, limit=120)
    wait_for("the cloud's measurement", lambda: not agent.operations.running("cloud/fake/inspect"), 120)
    return took


def _peer(
    report: Report, exchange: Exchange, leases: dict[int, tuple[int, ...]], options: argparse.Namespace
) -> None:
    """One question after another for each fact of a lease."""
    sample = list(leases)[: options.sample]
    with _counted() as one:
        for lease in sample:
            found = exchange.leases.lease(lease)
            exchange.leases.state_of(lease)
            exchange.settlement.account(lease)
            exchange.members.organisation(found.buyer)
            for resource in exchange.leases.resources_of(lease):
                exchange.inventory.resource(resource)
    scale = options.leases / len(sample)
    whole = one.wall * scale
    told = f"one question for each fact ({one.questions * scale:,.0f}; {len(sample)} leases, scaled)"
    report.rows[:2] = [Row(row.what, row.value, row.unit, row.limit, whole, told) for row in report.rows[:2]]


@contextmanager
def _counted() -> Iterator[_Pass]:
    """Times what happens inside, and counts what is asked of the node."""
    one = _Pass()
    real = wire.Endpoint.request_many

    def counting(self: wire.Endpoint, requests: Sequence[tuple[str, Sequence[Any]]]) -> list[Any]:
        one.messages += 1
        one.questions += len(requests)
        return real(self, requests)

    wire.Endpoint.request_many = counting  # type: ignore[method-assign]
    wall, cpu = time.monotonic(), time.process_time()
    try:
        yield one
    finally:
        wire.Endpoint.request_many = real  # type: ignore[method-assign]
        one.wall, one.cpu = time.monotonic() - wall, time.process_time() - cpu
