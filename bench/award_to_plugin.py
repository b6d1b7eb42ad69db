"""From the award's block to the plugin call, through one real provider agent with the fake cloud.

The agent is its own process (`ocx provider run`), blocks come every second. A buyer buys single machines at a
steady pace, their windows having begun. An award counts from the moment its block is first seen on the chain,
by an observer that asks every few milliseconds; the plugin call is the moment the agent keeps in its database
just before it calls. In between the agent must see the award and get its signature mined, hence the bound of
one block and 250 ms. The buyer's SSH key is not waited for.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from bench.stage import Party, Stage, open_stage
from chain import wallet as wallets
from chain.contracts.book import OfferTerms
from chain.contracts.members import MemberRight, Role
from chain.deploy import DeployParams
from chain.exchange import Exchange, decode_logs
from chain.generated import events
from chain.sealed import BoxKey
from market.windows import SlotWindow
from provisioner.catalogue import hardware_key, load_plugins, measure, plan
from provisioner.settings import Settings, load, render
from provisioner.store import Store
from tests.chain.network import die_with_parent

__all__ = ["main"]

BLOCK = 1.0
BOUND = BLOCK + 0.25
TIMER = 60.0
"""esi-leap looks for new leases once in so many seconds."""

PARAMS = DeployParams(slot=3600, timelock_delay=2)
OPERATOR = MemberRight.OFFER | MemberRight.SIGN | MemberRight.DELIVER | MemberRight.RELEASE
PER_OFFER = 64
RATE = 1_000_000
FAR = 7200
"""Seconds before now at which the chain begins, so that setting up does not run ahead of the clock."""


@dataclass(frozen=True)
class Result:
    """One award, in seconds: until the plugin call, until the signature's block, and blocks between."""

    to_call: float
    to_signed: float
    blocks: int


def main(argv: Sequence[str] | None = None) -> int:
    """Measure and show; 1 if an award never reached the plugin."""
    parser = argparse.ArgumentParser(prog="python -m bench award_to_plugin", description=__doc__)
    parser.add_argument("--awards", type=int, default=200, help="how many (default 200)")
    parser.add_argument("--per-block", type=int, default=4, help="how many in each block (default 4)")
    parser.add_argument("--cycle", type=float, help="the agent's setting `cycle`; its own default otherwise")
    options = parser.parse_args(argv)
    if options.awards < 1 or options.per_block < 1:
        parser.error("at least one award, at least one in a block")
    with open_stage(PARAMS, "--timestamp", str(int(time.time()) - FAR)) as stage:
        results, settings = _measure(stage, options.awards, options.per_block, options.cycle)
    _show(results, options.per_block, settings.cycle)
    return 0 if len(results) == options.awards else 1


def _measure(stage: Stage, awards: int, per_block: int, cycle: float | None) -> tuple[list[Result], Settings]:
    provider, settings = _provider(stage, awards, cycle)
    resources = _register(provider, settings)
    buyer = stage.admit("buyer", Role.BUYER, 10**13)
    buyer.send(buyer.client.members.set_encryption_key(BoxKey.generate().public))
    stage.go_live(BLOCK)
    offers = _publish(provider, resources)
    with _agent(stage, settings), _Observer(stage) as observer:
        _buy(Party(buyer.org, stage.client("buyer")), offers, per_block)
        _await_calls(settings, awards)
        return list(_results(stage.council, settings, observer.seen)), settings


def _provider(stage: Stage, machines: int, cycle: float | None) -> tuple[Party, Settings]:
    """A seller, its operator key, and the agent's configuration from the shipped template."""
    party = stage.admit("north", Role.SELLER, 10**13)
    folder = stage.folder / "agent"
    folder.mkdir()
    key = wallets.create(folder / "operator.json", "bench", light=True)
    (folder / "passphrase").touch(mode=0o600)
    (folder / "passphrase").write_text("bench\n")
    party.send(party.client.members.set_member(key.address, OPERATOR))
    fake = {"state": str(folder / "cloud.db"), "machines": [{"name": f"m{n}"} for n in range(machines)]}
    fields: dict[str, Any] = {
        "connection": str(stage.folder / "live" / "connection.yaml"),
        "wallet": {"keystore": "operator.json", "passphrase_file": "passphrase"},
        "state_dir": "state",
        "plugins": [{"name": "fake", "settings": fake}],
        "bidding": {"enabled": False},
        "setup_wait": 0,
    }
    if cycle is not None:
        fields["cycle"] = cycle
    (folder / "provider.yaml").write_text(render(**fields))
    return party, load(folder / "provider.yaml", {})


def _register(provider: Party, settings: Settings) -> list[int]:
    """All machines, as the agent's own catalogue describes them."""
    client, found = provider.client, measure(load_plugins(settings.plugins))
    for planned in plan(client, provider.org, found, turnaround=1):
        if planned.call is not None:
            client.sender.send(planned.call.to, planned.call.data, gas=400_000, wait=False)
    provider.send(client.members.set_payout(client.sender.address))  # mined after all of them
    return sorted(client.inventory.by_hardware(hardware_key(item.inspected)) for item in found)


def _publish(provider: Party, resources: list[int]) -> list[tuple[int, int, SlotWindow]]:
    """Offers of at most 64 machines; each machine with its offer and a window that has begun."""
    book = provider.client.book
    first = int(time.time()) // PARAMS.slot
    window = SlotWindow(first, first + 4)
    offers = []
    for start in range(0, len(resources), PER_OFFER):
        lot = resources[start : start + PER_OFFER]
        provider.send(book.publish(OfferTerms(window, RATE, RATE), lot))
        offers += [(book.offer_count(), resource, window) for resource in lot]
    return offers


@contextmanager
def _agent(stage: Stage, settings: Settings) -> Iterator[None]:
    """The agent's process, once it is well; its log is shown if it is not."""
    folder = settings.state_dir.parent
    command = [sys.executable, "-m", "cli.main", "provider", "run", "--config", str(folder / "provider.yaml")]
    with (folder / "agent.log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, preexec_fn=die_with_parent)
    try:
        _wait_for("the agent", lambda: _is_well(settings, process))
        yield
    except BaseException:
        print((folder / "agent.log").read_text("utf-8")[-4000:], file=sys.stderr)
        raise
    finally:
        process.terminate()
        process.wait(20)


def _is_well(settings: Settings, process: subprocess.Popen[bytes]) -> bool:
    if process.poll() is not None:
        raise RuntimeError(f"the agent ended with {process.returncode}")
    path = settings.state_dir / "health.json"
    return path.exists() and json.loads(path.read_text("utf-8")).get("cycles", 0) > 2


class _Observer:
    """Notes when each block is first seen, to about five milliseconds."""

    def __init__(self, stage: Stage) -> None:
        self.seen: dict[int, float] = {}
        self._node = stage.node.rpc()
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)

    def __enter__(self) -> _Observer:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join(5)

    def _look(self) -> None:
        while not self._done.wait(0.005):
            number = int(self._node.call("eth_blockNumber"), 16)
            self.seen.setdefault(number, time.time())


def _buy(buyer: Party, offers: list[tuple[int, int, SlotWindow]], per_block: int) -> None:
    """Buy all, so many in each block."""
    sender = buyer.client.sender
    for place, (offer, resource, window) in enumerate(offers):
        call = buyer.client.book.buy_now(offer, [resource], window)
        entry = sender.send(call.to, call.data, gas=500_000, wait=False)
        if place % per_block == per_block - 1 or place == len(offers) - 1:
            sender.wait(entry)


def _await_calls(settings: Settings, awards: int) -> None:
    """Until the plugin was called for all of them."""
    store = Store(settings.database)
    _wait_for("every plugin call", lambda: len(store.metrics(awards)) >= awards, limit=120)


def _results(exchange: Exchange, settings: Settings, seen: dict[int, float]) -> Iterator[Result]:
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
            called = exchange.leases.lease(event.lease).created_at + calls[event.lease][0] / 1000
            signed = seen[log.block_number] - seen[award]
            yield Result(called - seen[award], signed, log.block_number - award)


def _wait_for(what: str, probe: Any, limit: float = 60.0) -> None:
    deadline = time.monotonic() + limit
    while not probe():
        if time.monotonic() > deadline:
            raise TimeoutError(f"waited {limit:.0f} s for {what}")
        time.sleep(0.1)


def _show(results: list[Result], per_block: int, cycle: float) -> None:
    calls = sorted(result.to_call for result in results)
    load_average = os.getloadavg()[0]
    print(
        f"{len(calls)} awards, {per_block} a block; blocks of {BLOCK:.0f} s; the agent looks every {cycle} s;"
    )
    print(f"load average {load_average:.1f} on {os.cpu_count()} processors")
    print(f"{'award block seen -> plugin call':32}  seconds  / (block + 250 ms)  / 60 s timer (esi-leap)")
    for name, share in (("p50", 0.5), ("p99", 0.99), ("max", 1.0)):
        value = calls[max(0, -(-int(share * 1000) * len(calls) // 1000) - 1)]
        print(f"{name:32}  {value:7.3f}  {value / BOUND:18.2f}  {value / TIMER:24.3f}")
    blocks = sorted(result.blocks for result in results)
    told = ", ".join(f"{n}: {blocks.count(n)}" for n in sorted(set(blocks)))
    signed = sorted(result.to_call - result.to_signed for result in results)
    print(f"blocks from award to signature (leases): {told}")
    print(
        f"signature's block seen -> plugin call: p50 {signed[len(signed) // 2]:.3f} s, max {signed[-1]:.3f} s"
    )
