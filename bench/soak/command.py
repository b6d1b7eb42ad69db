"""The command line of the soak: what is to happen, for how long, and the table at the end."""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import functools
import json
import random
import secrets
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from bench.soak.clouds import NETWORK, BenchCloud, NetworkFaults, network_bench, sell
from bench.soak.record import Ledger
from bench.soak.seat import Buying, Cloud, Watching
from bench.soak.trouble import Agents, ChainCuts, FakeFaults, Repeated
from chain import connection as connection_file
from tests.provisioner.conformance.benches import NetworkBench
from tests.provisioner.conformance.fleet import PATIENT, Fleet, Lane, fleet
from tests.provisioner.conformance.proxy import FaultProxy
from tests.provisioner.conformance.warm import Warm
from tests.provisioner.world import Proxy

__all__ = ["main"]

_FENCE = 12
"""Seconds a fence lasts: a dead agent's leases are taken over soon."""
_HEAVY = {"ironic": ("openstack.connection",), "aws": ("boto3",), "ansible": ()}
_PACE = {"provision_seconds": 0.7, "release_seconds": 0.4}
_SETTLE = 420.0
"""Seconds within which everything must have converged once the killing is over."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run it; 1 if anything was doubled or lost."""
    parser = argparse.ArgumentParser(prog="python -m bench soak", description=__doc__)
    parser.add_argument("--plugin", choices=("fake", *NETWORK), default="fake", help="the cloud (fake)")
    parser.add_argument("--kills", type=int, default=2000, help="agents to kill (default 2000)")
    parser.add_argument("--minutes", type=float, default=40.0, help="end after so long all the same (40)")
    parser.add_argument("--seed", type=int, help="repeat the choices of another run")
    parser.add_argument(
        "--providers",
        type=int,
        default=4,
        help="each with two agents, two machines (4; 1 where there is one lab)",
    )
    parser.add_argument("--life", type=float, default=8.0, help="mean life of an idle agent, seconds (8)")
    parser.add_argument(
        "--run-out", type=int, help="seconds of leases that run out; 0: none (90; 300 where building is slow)"
    )
    parser.add_argument("--json", type=Path, help="write the numbers here as well")
    options = parser.parse_args(argv)
    if options.run_out is None:
        options.run_out = 300 if options.plugin in NETWORK else 90
    seed = secrets.randbelow(2**32) if options.seed is None else options.seed
    print(f"seed {seed}", flush=True)
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="ocx-soak-") as folder:
        ledger = _hold(options, seed, Path(folder))
        numbers = {"plugin": options.plugin, "seed": seed, "seconds": round(time.monotonic() - began)}
        numbers |= ledger.summary()
        if numbers["findings"]:
            _keep_logs(Path(folder))
    _show(numbers)
    if options.json:
        options.json.write_text(json.dumps(numbers, indent=1) + "\n")
    return 1 if numbers["doubles"] or numbers["lost"] else 0


def _hold(options: argparse.Namespace, seed: int, folder: Path) -> Ledger:
    """Set everything up, and hold the soak."""
    waits = {"sign_time": 240, "deliver_time": 240, "accept_time": 240, "wipe_time": 240}
    params = dataclasses.replace(PATIENT, fence_time=_FENCE, **waits)
    with contextlib.ExitStack() as stack:
        bench = None
        if options.plugin in NETWORK:
            options.providers = 1
            bench = stack.enter_context(network_bench(options.plugin, folder))
        extra = () if bench is None else (f"provisioner.plugins.{options.plugin}", *_HEAVY[options.plugin])
        warm = stack.enter_context(Warm(*extra))
        running = stack.enter_context(fleet(folder / "world", warm, options.providers, params))
        return _soak(running, options, seed, bench)


def _soak(running: Fleet, options: argparse.Namespace, seed: int, bench: NetworkBench | None) -> Ledger:
    ledger = Ledger()
    with contextlib.ExitStack() as stack:
        agents: list[Agents] = []
        troubles: list[Repeated] = []
        buyings: list[Buying] = []
        for number, lane in enumerate(running.lanes):
            dice = [random.Random(f"{seed}/{number}/{what}") for what in ("kill", "fail", "cut")]  # noqa: S311
            cloud: Cloud = lane.witness
            if bench is None:
                _settle_agents(lane, cloud=_PACE, look_every=0.3)
                troubles.append(FakeFaults(lane.provider.plugin(), ledger, dice[1]))
            else:
                between, cloud = stack.enter_context(bench.proxy()), BenchCloud(bench)
                sell(running, lane, bench)
                _settle_agents(lane, bench=bench, through=between)
                troubles.append(NetworkFaults(between, http=bench.http, ledger=ledger, dice=dice[1]))
            troubles.append(ChainCuts(_chain_proxy(lane, running), ledger, dice[2]))
            starts = {name: functools.partial(lane.mortal, name) for name in ("first", "second")}
            agents.append(Agents(starts, ledger, dice[0], options.life, lane.provider.folder))
            stack.callback(agents[-1].stop)
            watching = Watching(lane, cloud, ledger)
            watching.thread.start()
            stack.callback(watching.stop)
            for place in range(len(lane.provider.resources)):
                chance = f"{seed}/{number}/{place}"
                buyings.append(Buying(lane, place, running.buyer(), cloud, ledger, chance, options.run_out))
        running.begin()
        for killed in agents:
            killed.start()
        for trouble in troubles:
            trouble.start()
        for buying in buyings:
            buying.thread.start()
        for line in _progress(ledger, options.kills, time.monotonic() + options.minutes * 60):
            print(line, flush=True)
        for trouble in troubles:
            trouble.stop()
        for killed in agents:
            killed.merciful.set()
        for buying in buyings:
            buying.enough.set()
        until = time.monotonic() + _SETTLE
        for buying in buyings:
            buying.thread.join(max(0.0, until - time.monotonic()))
    for life in ledger.lives:
        if not life.over and not life.lost:
            life.lost = "it never came to its end"
    return ledger


def _chain_proxy(lane: Lane, running: Fleet) -> Proxy:
    """The provider's agents reach the chain through a proxy that can be cut."""
    proxy = Proxy(running.world.node.port)
    path = lane.provider.folder / "connection.yaml"
    network = connection_file.load(path).model_dump(mode="json")
    urls = {"rpc_urls": [f"http://127.0.0.1:{proxy.port}"]}
    path.write_text(connection_file.render(**network | urls))
    return proxy


def _settle_agents(
    lane: Lane,
    *,
    bench: NetworkBench | None = None,
    through: FaultProxy | None = None,
    **more: Any,
) -> None:
    """The settings of two agents with keys of their own on one state folder."""
    for name, key in (("first", "operator"), ("second", "second")):
        if bench is not None:
            more["plugins"] = [{"name": bench.name, "settings": bench.settings(through)}]
        lane.provider.settings(name, keystore=key, state_dir="state", **more)


def _progress(ledger: Ledger, kills: int, deadline: float) -> Iterator[str]:
    """A line every ten seconds until there were enough kills, or it is late."""
    told = time.monotonic()
    while ledger.kills < kills and time.monotonic() < deadline:
        time.sleep(0.2)
        if time.monotonic() - told >= 10:
            told = time.monotonic()
            over = sum(life.over for life in ledger.lives)
            bad = sum(bool(life.lost) for life in ledger.lives)
            yield f"{ledger.kills} kills, {over} leases, {len(ledger.doubles)} doubles, {bad} lost"


def _show(numbers: dict[str, Any]) -> None:
    orphans = numbers["orphans"]
    rows = {
        "seed": numbers["seed"],
        "plugin": numbers["plugin"],
        "seconds": numbers["seconds"],
        "kills": numbers["kills"],
        **{f"  {name}": count for name, count in numbers["done"].items()},
        "leases": numbers["leases"],
        "  delivered": numbers["delivered"],
        "  converged": numbers["converged"],
        "doubles": numbers["doubles"],
        "lost": numbers["lost"],
        "orphans seen": orphans["seen"],
        "orphans cleared": orphans["cleared"],
        "  p50 s": orphans["p50_seconds"],
        "  max s": orphans["max_seconds"],
        "agents that ended by themselves": numbers["agents_that_ended_by_themselves"],
    }
    print()
    for name, value in rows.items():
        print(f"{name:32} {value}")
    for line in numbers["findings"]:
        print(line)
    if numbers["findings"]:
        print(f"repeat it with --seed {numbers['seed']}")


def _keep_logs(folder: Path) -> None:
    """Show the end of each agent's log where something was found."""
    for log in sorted(folder.glob("provider-*/*.log")):
        print(f"---- {log}", file=sys.stderr)
        print("\n".join(log.read_text(errors="replace").splitlines()[-15:]), file=sys.stderr)
