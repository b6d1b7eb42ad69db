"""Everything bad that happens in a soak: agents killed, chains cut, clouds that fail; by seeded choice."""

from __future__ import annotations

import random
import signal
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from pathlib import Path

from bench.soak.record import Ledger
from provisioner.plugins.fake import FakePlugin
from tests.provisioner.conformance.warm import Child
from tests.provisioner.world import Proxy

__all__ = ["Agents", "ChainCuts", "FakeFaults", "Repeated"]

_TICK = 0.05


class Agents:
    """The agents of one provider, each killed again and again, and started again.

    An agent is given a statement of its own journals at which it dies, so that the slower the machine, the
    longer it lives; one with nothing to do is killed by the clock, after `life` seconds in the mean.
    """

    def __init__(
        self,
        start: Mapping[str, Callable[[int], Child]],
        ledger: Ledger,
        dice: random.Random,
        life: float,
        logs: Path,
    ) -> None:
        self._start, self._ledger, self._dice, self._life, self._logs = start, ledger, dice, life, logs
        self._children: dict[str, Child] = {}
        self._dies: dict[str, float] = {}
        self._born: dict[str, float] = dict.fromkeys(start, 0.0)
        self.merciful = threading.Event()
        """Set: nobody is killed any more, the dead are started again."""
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """Kill all agents for the last time; this does not count."""
        self._over.set()
        if self._thread.ident is not None:
            self._thread.join(30)
        for child in self._children.values():
            child.kill()

    def _run(self) -> None:
        while not self._over.wait(_TICK):
            for name, make in self._start.items():
                child, now = self._children.get(name), time.monotonic()
                if child is None or not child.alive:
                    self._raise(name, child, make, now)
                elif now >= self._dies[name] and not self.merciful.is_set():
                    child.kill()
                    self._ledger.count("killed by the clock")
                    self._bury(name, now)

    def _raise(self, name: str, child: Child | None, make: Callable[[int], Child], now: float) -> None:
        if child is not None:
            code = child.wait(1)
            if code == -signal.SIGKILL:
                self._ledger.count("killed at a statement or in a cloud call")
            else:
                self._ledger.crashes.append(f"{name} of {self._logs} ended by itself with code {code}")
            self._bury(name, now)
        if now >= self._born[name] or self.merciful.is_set():
            most = self._dice.choice((30, 90, 200))
            self._children[name] = make(0 if self.merciful.is_set() else self._dice.randint(1, most))
            self._dies[name] = now + self._dice.expovariate(1 / self._life)

    def _bury(self, name: str, now: float) -> None:
        del self._children[name]
        # Now and then one stays away so long that the other has to take its leases over.
        away = 30.0 if self._dice.random() < 0.1 else 0.5
        self._born[name] = now + self._dice.random() * away


class Repeated(ABC):
    """Something done again and again until it is over."""

    def __init__(self, pause: Callable[[], float]) -> None:
        self._pause = pause
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End, and leave all well."""
        self._over.set()
        self._thread.join(30)
        self.heal()

    @abstractmethod
    def act(self) -> None:
        """Do it once."""

    @abstractmethod
    def heal(self) -> None:
        """Make all well again."""

    def _run(self) -> None:
        while not self._over.wait(self._pause()):
            self.act()


class FakeFaults(Repeated):
    """Faults planted in a fake cloud; what hangs does so for some seconds."""

    _KINDS = ("temporary", "crash", "hang", "kill")
    _READS = ("inspect", "list_owned")
    _ACTS = ("provision", "release")

    def __init__(self, plugin: FakePlugin, ledger: Ledger, dice: random.Random) -> None:
        super().__init__(lambda: dice.expovariate(1.0))
        self._plugin, self._ledger, self._dice = plugin, ledger, dice

    def act(self) -> None:
        """Plant one fault, or forget all."""
        if self._dice.random() < 0.3:
            self._plugin.clear_faults()
            return
        if self._dice.random() < 0.3:
            method = self._dice.choice(self._READS)
            kind = self._dice.choice(("temporary", "hang", "half", "kill", "crash"))
        else:
            method = self._dice.choice(self._ACTS)
            kinds = [f"{kind}{when}" for kind in self._KINDS for when in ("", "-during", "-after")]
            kind = self._dice.choice([*kinds, "half"] + (["fail"] if method == "provision" else []))
        self._plugin.inject(method, kind)
        self._ledger.count("cloud faults planted")

    def heal(self) -> None:
        """Forget all faults."""
        self._plugin.clear_faults()


class ChainCuts(Repeated):
    """A chain that cannot be reached for a moment."""

    def __init__(self, proxy: Proxy, ledger: Ledger, dice: random.Random) -> None:
        super().__init__(lambda: 5.0 + dice.expovariate(1 / 20))
        self._proxy, self._ledger, self._dice = proxy, ledger, dice

    def act(self) -> None:
        """Cut it, wait, mend it."""
        self._proxy.cut()
        self._ledger.count("chain cut")
        self._over.wait(0.3 + self._dice.random())
        self._proxy.mend()

    def heal(self) -> None:
        """It is mended already."""
