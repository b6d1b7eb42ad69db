"""From the award's block to the plugin call: one real provider agent, beside a plain timer of two seconds.

The agent is its own process (`ocx provider run`) with the fake cloud, blocks come every second, and a buyer
buys single machines at a steady pace, their windows having begun. An award counts from the moment its block
is first at the node, by an observer that asks every ten milliseconds. The plugin call is the moment just
before it. In between the agent must see the award and get its signature mined, because the signature is what
takes the fence: so one block is the floor, and the bound is that and 250 ms. The timer, in the same run and
for the same awards, has no fence to take. The buyer's SSH key is waited for by neither.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from bench.probe import Blocks, Node, Usage
from bench.report import Report, Row, percentile
from bench.seller import FAR, PARAMS, ROOMY, Seller, running_agent, send, settle_in, wait_for
from bench.stage import Party, Stage, open_stage
from chain.contracts.members import Role
from chain.exchange import Exchange, decode_logs
from chain.generated import events
from chain.sealed import BoxKey
from market.windows import SlotWindow
from provisioner.settings import Settings
from provisioner.store.store import Store
from tests.chain.network import die_with_parent

__all__ = ["run"]

BLOCK = 1.0
BOUND = BLOCK + 0.25
ESI_LEAP = 60.0
"""The timer of esi-leap, seconds."""


@dataclass
class _Run:
    """What was seen, in seconds from the award's block to either side's call and to the signature's block."""

    cycle: float
    agent: list[float] = field(default_factory=list)
    signed: list[float] = field(default_factory=list)
    blocks: list[int] = field(default_factory=list)
    timer: list[float] = field(default_factory=list)
    cpu: float = 0.0
    rss: float = 0.0


def run(argv: Sequence[str] | None = None) -> Report:
    """Measure and show; not complete if an award never reached the plugin."""
    parser = argparse.ArgumentParser(prog="python -m bench award_to_plugin", description=__doc__)
    parser.add_argument("--awards", type=int, default=1000, help="how many (default 1000)")
    parser.add_argument("--per-block", type=int, default=4, help="how many in each block (default 4)")
    parser.add_argument("--every", type=float, default=2.0, help="the plain timer, seconds (default 2)")
    parser.add_argument("--cycle", type=float, help="the agent's setting `cycle`; its own default otherwise")
    report = _measure(parser.parse_args(argv))
    report.show()
    return report


def _measure(options: argparse.Namespace) -> Report:
    """Run it."""
    report = Report("award_to_plugin")
    with open_stage(PARAMS, "--timestamp", str(int(time.time()) - FAR), *ROOMY) as stage:
        run = _run(stage, options)
    report.complete = len(run.agent) == options.awards
    _tell(report, run, options)
    return report


def _run(stage: Stage, options: argparse.Namespace) -> _Run:
    fields = {} if options.cycle is None else {"cycle": options.cycle}
    seller = settle_in(stage, options.awards, **fields)
    window, offers = seller.publish(stage)
    buyer = stage.admit("buyer", Role.BUYER, 10**15)
    buyer.send(buyer.client.members.set_encryption_key(BoxKey.generate().public))
    stage.go_live(BLOCK)
    run = _Run(seller.settings.cycle)
    with (
        running_agent(seller.settings) as process,
        _timer(stage, seller, options.awards, options.every) as timer,
        Blocks(stage.node.port) as blocks,
    ):
        before = Usage.of(process.pid)
        _buy(stage, buyer, offers, window, options.per_block, blocks)
        _await_calls(seller.settings, options.awards)
        wait_for("the timer's calls", lambda: len(timer) >= options.awards)
        after = Usage.of(process.pid)
        run.cpu, run.rss = after.cpu - before.cpu, after.rss
        _collect(run, stage.council, seller.settings, blocks.seen, timer)
    return run


@contextmanager
def _timer(stage: Stage, seller: Seller, machines: int, every: float) -> Iterator[dict[int, float]]:
    """The plain timer as a process of its own; its calls by lease, as they come."""
    command = [sys.executable, "-m", "bench.poller", str(stage.folder / "live" / "connection.yaml")]
    command += [str(seller.party.org), str(stage.folder / "timer.db"), str(machines), str(every)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, preexec_fn=die_with_parent)
    calls: dict[int, float] = {}
    lines = process.stdout
    if lines is None or lines.readline() != "ready\n":
        raise RuntimeError("the timer did not start")

    def listen() -> None:
        for line in lines:
            lease, called = json.loads(line)
            calls[int(lease)] = float(called)

    threading.Thread(target=listen, daemon=True).start()
    try:
        yield calls
    finally:
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(10)


def _buy(
    stage: Stage,
    buyer: Party,
    offers: list[tuple[int, list[int]]],
    window: SlotWindow,
    per_block: int,
    blocks: Blocks,
) -> None:
    """Buy all, so many after each block."""
    book, account = buyer.client.book, buyer.client.sender.address
    node = Node(stage.node.port)
    node.ask(("anvil_impersonateAccount", [account]))
    calls = [book.buy_now(offer, [resource], window) for offer, lot in offers for resource in lot]
    for start in range(0, len(calls), per_block):
        blocks.wait()
        send(node, account, calls[start : start + per_block], 700_000)


def _await_calls(settings: Settings, awards: int) -> None:
    """Until the plugin was called for all of them."""
    store = Store(settings.database)
    wait_for("every plugin call", lambda: len(store.metrics(awards)) >= awards, limit=120)


def _collect(
    run: _Run, exchange: Exchange, settings: Settings, seen: dict[int, float], timer: dict[int, float]
) -> None:
    calls = Store(settings.database).metrics(1_000_000)
    head = exchange.rpc.head().number
    topics = [[events.LeaseOpened.TOPIC, events.LeaseSigned.TOPIC]]
    opened: dict[int, int] = {}
    for log in exchange.rpc.get_logs([exchange.leases.address], 0, head, topics):
        [event] = decode_logs([log])
        if isinstance(event, events.LeaseOpened):
            opened[event.lease] = log.block_number
        elif isinstance(event, events.LeaseSigned) and event.lease in calls:
            award = opened[event.lease]
            # The agent keeps the call as milliseconds since the award block's own time, in whole seconds.
            created = exchange.rpc.block_time(award, exchange.rpc.block(award).hash)
            run.agent.append(created + calls[event.lease][0] / 1000 - seen[award])
            run.signed.append(run.agent[-1] - (seen[log.block_number] - seen[award]))
            run.blocks.append(log.block_number - award)
            run.timer.append(timer[event.lease] - seen[award])


def _tell(report: Report, run: _Run, options: argparse.Namespace) -> None:
    told = ", ".join(f"{n}: {run.blocks.count(n)}" for n in sorted(set(run.blocks)))
    report.notes += [
        f"{len(run.agent)} awards, {options.per_block} a block; blocks of {BLOCK:.0f} s; the agent looks at"
        f" least every {run.cycle} s; the timer every {options.every:.0f} s, without a fence",
        f"blocks from award to signature (leases): {told}",
    ]
    peer = f"the timer of {options.every:.0f} s"
    for name, share in (("p50", 0.5), ("p99", 0.99), ("max", 1.0)):
        limit = BOUND if name == "p99" else None
        mine, theirs = percentile(run.agent, share), percentile(run.timer, share)
        report.rows.append(Row(f"award block -> plugin call, {name}", mine, "s", limit, theirs, peer))
    p99 = percentile(run.agent, 0.99)
    report.rows += [
        Row("the same p99 beside esi-leap's timer", p99, "s", None, ESI_LEAP, "60 s (esi-leap)"),
        Row("signature's block -> plugin call, p50", percentile(run.signed, 0.5), "s"),
        Row("signature's block -> plugin call, p99", percentile(run.signed, 0.99), "s"),
        Row("agent's CPU per award, delivery included", run.cpu * 1000 / len(run.agent), "ms"),
        Row("agent's resident memory after it", run.rss, "MB"),
    ]
