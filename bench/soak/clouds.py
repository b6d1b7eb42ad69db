"""The clouds a soak can be held on: how one comes up, how it is sold, what can be made of its requests.

The fake cloud is the provider's own file and every provider has one; of the others there is one lab, and so
one provider.
"""

from __future__ import annotations

import contextlib
import functools
import random
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from bench.soak.record import Ledger
from bench.soak.trouble import Repeated
from chain.contracts.book import OfferTerms
from cli.demo.lab import Lab
from cli.demo.lab.ec2 import Ec2Lab
from cli.demo.lab.host import HostLab
from market.windows import SlotWindow
from provisioner.catalogue import hardware_key, measure, plan
from tests.provisioner.conformance.benches import NetworkBench
from tests.provisioner.conformance.fleet import Fleet, Lane
from tests.provisioner.conformance.network_benches import AnsibleBench, AwsBench, IronicBench
from tests.provisioner.conformance.proxy import Fault, FaultProxy, Kind
from tests.provisioner.world import PARAMS, wait_for

__all__ = ["NETWORK", "BenchCloud", "NetworkFaults", "network_bench", "sell"]

NETWORK = ("ironic", "aws", "ansible")
_MACHINES = 4


@contextlib.contextmanager
def network_bench(plugin: str, folder: Path) -> Iterator[NetworkBench]:
    """A lab for the plugin of that name."""
    if plugin == "ironic":
        with Lab(folder / "lab", machines=0, fake_machines=_MACHINES, first_clean=False) as lab:
            yield IronicBench(lab)
    elif plugin == "aws":
        with Ec2Lab(folder / "lab", units=_MACHINES) as ec2:
            yield AwsBench(ec2)
    else:
        states = folder / "states"
        states.mkdir()
        with HostLab(folder / "lab", hosts=_MACHINES) as hosts:
            yield AnsibleBench(hosts, states)


def sell(running: Fleet, lane: Lane, bench: NetworkBench) -> None:
    """Offer the lab's machines of one class in place of the provider's fake ones."""
    world, provider = running.world, lane.provider
    resources = []
    for item in plan(provider.exchange, provider.org, measure({bench.name: bench.plugin()}), 1)[:_MACHINES]:
        if item.call is None:
            continue
        world.do(item.call, provider.exchange)
        key = hardware_key(item.measured.inspected)
        find = functools.partial(provider.exchange.inventory.by_hardware, key)
        resources.append(wait_for("the resource", find))
    now = int(time.time()) // PARAMS.slot
    terms = OfferTerms(SlotWindow(now, now + 1800), 1_000_000, 2_000_000)
    before = provider.exchange.book.offer_count()
    world.do(provider.exchange.book.publish(terms, resources), provider.exchange)
    provider.offer = wait_for("the offer", lambda: (n := provider.exchange.book.offer_count()) > before and n)
    provider.resources = resources


class BenchCloud:
    """A lab's cloud, asked past the plugin again and again."""

    def __init__(self, bench: NetworkBench) -> None:
        self._bench = bench
        self._lock = threading.Lock()
        self._doubles: set[str] = set()
        self._seen: set[str] = set()
        self._ended: dict[str, float] = {}

    def ready(self) -> set[str]:
        """Keys of servers that are usable now."""
        keys = self._bench.all_keys()
        counts = {key: self._bench.servers(key) for key in keys}
        with self._lock:
            self._doubles |= {key for key, count in counts.items() if count > 1}
        return {key for key, count in counts.items() if count}

    def carried(self) -> set[str]:
        """Keys that anything carries now."""
        keys = self._bench.all_keys()
        with self._lock:
            for key in self._seen - keys:
                self._ended.setdefault(key, time.time())
            self._seen |= keys
        return keys

    def doubles(self) -> list[str]:
        """Keys under which more than one server was seen; looks once more."""
        self.ready()
        return sorted(self._doubles)

    def ended(self) -> dict[str, float]:
        """When the machine of each key was first seen to be free again."""
        return dict(self._ended)


class NetworkFaults(Repeated):
    """Faults between the plugin and its cloud."""

    _HTTP = (Kind.RESET, Kind.CUT, Kind.HALF, Kind.SHORT, Kind.ERROR_500, Kind.ERROR_503, Kind.DELAY)
    _TCP = (Kind.RESET, Kind.HALF, Kind.DELAY)

    def __init__(self, proxy: FaultProxy, *, http: bool, ledger: Ledger, dice: random.Random) -> None:
        super().__init__(lambda: dice.expovariate(1.0))
        self._proxy, self._ledger, self._dice = proxy, ledger, dice
        self._kinds = self._HTTP if http else self._TCP

    def act(self) -> None:
        """Plant one fault for one of the next requests."""
        kind, skip, after = (
            self._dice.choice(self._kinds),
            self._dice.randrange(8),
            self._dice.randrange(20_000),
        )
        self._proxy.plant(Fault(kind, skip=skip, seconds=2.0, after=after))
        self._ledger.count("cloud faults planted")

    def heal(self) -> None:
        """Let nothing go wrong any more."""
        self._proxy.clear()
