"""What is played on the stage: the leases, who lies in them, and what happens when.

Eight epochs: the leases are signed, drawn and delivered (s), a seed is made (s + 1), all is well (o - 1),
there are outages and partitions (o), all is opened (o + 1, o + 2), claimed (o + 3) and final, so that
canaries are revealed and witnesses paid (o + 4). Everything is killed or started anew at some moment drawn
from a seed.
"""

from __future__ import annotations

import random
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from pathlib import Path

from chain.contracts.base import Call
from chain.generated import events as ledger
from chain.leaves import Leaf
from chain.pages import opened
from chain.published import judges
from market.errors import OcxError, Refused
from market.rounds import Span, places_of
from tests.provisioner.world import FAR
from tests.witness.byzantine.cast import ABSENT, GRID, HONEST, LIARS, OWN, Plan, Spot
from tests.witness.byzantine.history import DOWN, ZOO, History, files
from tests.witness.byzantine.liar import TwoFaced
from tests.witness.byzantine.servers import guest_server, ssh_server, web_server
from tests.witness.byzantine.split import Split
from tests.witness.byzantine.stage import Lasting, Stage, batch, found
from tests.witness.proxy import Dead, Pass, Proxy, Refuse

__all__ = ["played"]

E = GRID.epoch
SEED = 20_261_122
PATIENCE = 90.0
"""Seconds of the machine's clock for what the stage waits for; on an idle machine it takes three."""
SSH = ("banner", "slow", "cut")
"""Those before an SSH server; the others are before a web server."""
ALL_BUT_LAST = places_of(range(GRID.rounds - 1))


@contextmanager
def played(folder: Path) -> Iterator[History]:
    """The whole history, and its chain for questions."""
    with ExitStack() as stack:
        for name in ("web", "ssh", "guest"):
            (folder / name).mkdir()
        node = Lasting(folder, int(time.time()) - FAR)
        stack.callback(node.stop)
        node.start()
        stage = found(node, folder / "world", {1: 57, 2: 4})
        stack.callback(stage.close)
        theatre = Theatre(stage, stack, folder)
        theatre.play()
        stage.close()
        last = stage.exchange.rpc.head().number
        _eventually("all that is under way", lambda: stage.exchange.rpc.head().number > last + 1)
        yield theatre.history


def _eventually(what: str, probe: Callable[[], object], seconds: float = PATIENCE) -> None:
    """Wait until it holds."""
    deadline = time.monotonic() + seconds
    while not probe():
        assert time.monotonic() < deadline, f"waited {seconds} s for {what}"
        time.sleep(0.2)


class Theatre:
    """The machines, the leases on them, and what happens when."""

    def __init__(self, stage: Stage, stack: ExitStack, folder: Path) -> None:
        self.stage, self.random, self.history = stage, random.Random(SEED), History(stage)
        self._began = time.monotonic()
        self.web = web_server(folder / "web")
        self.ssh, self.key = ssh_server(folder / "ssh")
        self.guest = guest_server(folder / "guest")
        for server in (self.web, self.ssh, self.guest):
            stack.callback(server.kill)

        def proxy(port: int) -> Proxy:
            return stack.enter_context(Proxy(port))

        def split(*blind: str) -> Split:
            made = Split(self.web.port, [OWN[name] for name in blind])
            self.splits.append(made)
            stack.enter_context(made)
            return made

        self.splits: list[Split] = []
        self.web_out, self.ssh_out = proxy(self.web.port), proxy(self.ssh.port)
        self.guest_out = proxy(self.guest.port)
        ports = {name: self.ssh.port if name in SSH else self.web.port for name in ZOO}
        self.zoo = {name: proxy(port) for name, port in ports.items()}
        self.partitions = {
            "small": {"one": split("h3"), "most": split("h2", "h3")},
            "large": {"two": split("h3", "h4"), "most": split("h2", "h3", "h4")},
        }

    def plans(self) -> list[Plan]:
        """All leases."""
        good, out = Spot(self.web.port), Spot(self.web_out.port)
        plain = {"good": good, "out": out}
        guest = {
            "good": Spot(self.ssh.port, self.key, self.guest.port),
            "out": Spot(self.ssh_out.port, self.key, self.guest_out.port),
        }
        pairs = ("h1 h2", "h2 h3", "h3 h4", "h1 h3", "h1 h4", "h2 h4", "h1 h2", "h3 h4")
        made = []
        for liar, pair in zip(LIARS, pairs, strict=True):
            spots, sla = (guest, 2) if liar in ("forging", "lazy") else (plain, 1)
            made.append(Plan(f"small/{liar}", (*pair.split(), liar), spots, sla))
            made.append(Plan(f"large/{liar}", (*HONEST, liar), plain))
        zoo = {
            name: Spot(each.port, self.key if name in SSH else "", plain="http")
            for name, each in self.zoo.items()
        }
        parts = {
            size: {name: Spot(each.port, plain="http") for name, each in splits.items()}
            for size, splits in self.partitions.items()
        }
        return [
            *made,
            Plan("small/faults", ("h1", "h2", "up"), zoo),
            Plan("large/faults", (*HONEST, "down"), zoo),
            Plan("small/split", ("h1", "h2", "h3"), parts["small"]),
            Plan("large/split", (*HONEST, "down"), parts["large"]),
            Plan("small/hidden", ("h1", "silent", "up"), {"out": out}),
            Plan("large/hidden", ("h1", "h2", "h3", "silent", "up"), {"out": out}),
            Plan("small/too few", ("h2", "silent", "late"), {"out": out}),
            Plan("large/breach?", ("h1", "h2", "down", "equivocating", "copying"), {"good": good}),
            Plan("small/breach!", ("h1", "down", "equivocating"), {"good": good}),
            Plan("lots", (*HONEST, "down", "equivocating", "copying"), plain, by_lot=True),
        ]

    # ---- the acts ------------------------------------------------------------------------------------------

    def play(self) -> None:
        """Play it all."""
        stage, history = self.stage, self.history
        history.joined = stage.join()
        history.s = s = history.joined + 1
        history.o = o = s + 3
        stage.buy(self.plans(), GRID.start(o + 1))
        stage.sign_and_draw()
        stage.deliver()
        self._commit_canary(o)
        keyed = [plan for plan in stage.plans if not plan.by_hand and not plan.by_lot]
        _eventually("the proofs", lambda: {plan.lease for plan in keyed} <= self._proven())
        self._go_on(s)
        self._go_on(s + 1)
        self._measured(o)
        self._go_on(o + 1, lambda: self._ask(o - 1), self._answered, kill=("h2", "h4", "up", "late"))
        self._go_on(o + 2, self._restart_chain, kill=("h1", "h3", "forging"), opened=o)
        self._go_on(
            o + 3,
            lambda: self._denounce(o),
            lambda: self._judged(o),
            kill=HONEST,
            before=lambda: self._fine(o),
        )
        self._go_on(o + 4, lambda: self._reveal_canary(o), self._paid, before=lambda: self._fine_rest(o))

    def _go_on(
        self,
        epoch: int,
        act: Callable[[], None] = lambda: None,
        done: Callable[[], object] = lambda: True,
        *,
        kill: Sequence[str] = (),
        opened: int = 0,
        before: Callable[[], None] = lambda: None,
    ) -> None:
        """An epoch in which nothing is measured: over as soon as all that was due in it is on the chain."""
        stage = self.stage
        stage.leap(GRID.start(epoch))
        print(f"{time.monotonic() - self._began:.0f} s: epoch {epoch - self.history.s}")
        _eventually("the chain", lambda: stage.exchange.rpc.head().timestamp >= GRID.start(epoch))
        self._try(before)
        self._until(f"ticks of {epoch - 1}", lambda: stage.have_ticked(epoch - 1))
        if opened:
            self._until(f"all opened of {opened}", lambda: stage.have_opened(opened))
        self._try(act)
        if kill:
            self._kill(self.random.choice(kill), epoch)
        self._until(f"what is due in {epoch}", done)

    def _until(self, what: str, probe: Callable[[], object]) -> None:
        """Wait for it; if it does not happen, that is told, and the tests say what is missing."""
        try:
            _eventually(what, probe)
        except AssertionError as error:
            warnings.warn(str(error), stacklevel=1)

    def _try(self, act: Callable[[], None]) -> None:
        """What the chain refuses is told, and the tests say what is missing."""
        try:
            act()
        except OcxError as error:
            warnings.warn(str(error), stacklevel=1)

    def _measured(self, o: int) -> None:
        """The two epochs in which everybody measures take their time."""
        begin, after = GRID.start(o), GRID.start(o + 1)
        print(f"{time.monotonic() - self._began:.0f} s: two epochs measured")
        self.stage.leap(begin - E)
        draw = judges(self.stage.exchange)[0].draw(self.stage.plan("lots").lease, 0)
        acts: list[tuple[float, Callable[[], None]]] = [
            (begin - E + 1.0, lambda: self._insist(draw, self._drawn)),
            *self._random(o - 1, 0.15, 0.75, self._restarts()),
            (begin - E * 0.4, self._restart_chain),
            *self._random(o - 1, 0.3, 0.5, [partial(self._kill, self._one("h2", "h4", "up", "late"), o - 1)]),
            (begin - 0.8, self._outage),
            *self._random(o, 0.05, 0.2, [self.stage.edge.stop]),
            *self._random(o, 0.85, 0.92, [partial(self._kill, self._one(*HONEST), o)]),
            *self._random(o, 0.3, 0.7, [partial(self._kill, self._one("forging", "lazy", "late"), o)]),
            *self._random(o, 0.7, 0.9, [self._start_edge]),
            (after - 1.6, self._recovery),
        ]
        for when, act in sorted(acts, key=lambda item: item[0]):
            self.stage.reach(when)
            self._try(act)
        self.stage.reach(after)

    def _one(self, *names: str) -> str:
        return self.random.choice(names)

    def _random(
        self, epoch: int, first: float, last: float, acts: Sequence[Callable[[], None]]
    ) -> list[tuple[float, Callable[[], None]]]:
        return [(GRID.start(epoch) + E * self.random.uniform(first, last), act) for act in acts]

    # ---- what happens --------------------------------------------------------------------------------------

    def _outage(self) -> None:
        for split in self.splits:
            split.parts = True
        self.web_out.fault = Refuse()
        self.ssh_out.fault, self.guest_out.fault = Refuse(), Dead()
        for name, (fault, _) in ZOO.items():
            self.zoo[name].fault = fault

    def _recovery(self) -> None:
        for split in self.splits:
            split.parts = False
        for proxy in (self.web_out, self.ssh_out, self.guest_out, *self.zoo.values()):
            proxy.fault = Pass()

    def _restarts(self) -> list[Callable[[], None]]:
        """Each server is killed and started anew; what nobody sees meanwhile is within the grace."""
        servers = {"web": self.web, "ssh": self.ssh, "guest": self.guest}

        def restart(name: str) -> None:
            servers[name].restart()
            self.history.restarted.append(name)

        return [partial(restart, name) for name in servers]

    def _restart_chain(self) -> None:
        self.stage.restart_chain()
        self.history.restarted.append("chain")

    def _start_edge(self) -> None:
        self.stage.edge.start()
        self.history.restarted.append("gateway")

    def _kill(self, name: str, epoch: int) -> None:
        """Kill -9 once it has ticked, and start anew."""
        if name not in ABSENT:
            self._until(f"a tick of {name}", lambda: self.stage.has_ticked(name, epoch - 1))
        self.history.killed.append((name, epoch - 1))
        self.stage.cast[name].restart()

    def _fine(self, epoch: int) -> None:
        """The buyer has those fined that left its lease without a quorum, if no witness was faster."""
        stage, witnesses = self.stage, judges(self.stage.exchange)[0]
        for name in ABSENT:
            call = witnesses.fine(stage.org(name), epoch, stage.plan("small/too few").lease)
            with suppress(Refused):
                batch(stage.buyer.exchange, [call])

    def _fine_rest(self, o: int) -> None:
        """Anybody may; the honest had two epochs for it."""
        for epoch in range(self.history.s, o + 1):
            self._fine(epoch)
        for name in ABSENT:
            call = judges(self.stage.exchange)[0].fine(self.stage.org(name), self.history.joined)
            with suppress(Refused):
                batch(self.stage.buyer.exchange, [call])

    # ---- what is waited for --------------------------------------------------------------------------------

    def _proven(self) -> set[int]:
        return {event.lease for event in self.stage.events(ledger.DeliveryProven)}

    def _drawn(self) -> bool:
        return bool(judges(self.stage.exchange)[0].committee(self.stage.plan("lots").lease, 0).seats)

    def _answered(self) -> bool:
        """All that are answered at all: nobody answers for who copies."""
        stage = self.stage
        opened_ = {event.audit for event in stage.events(ledger.AuditOpened)}
        closed = {
            event.audit for kind in (ledger.AuditPassed, ledger.AuditFailed) for event in stage.events(kind)
        }
        mute = {
            event.audit for event in stage.events(ledger.AuditOpened) if event.org == stage.org("copying")
        }
        return opened_ - mute <= closed

    def _judged(self, o: int) -> bool:
        stage = self.stage
        wanted = [plan for plan in stage.plans if "out" in plan.spots and plan.name not in _HIDDEN]
        bad = [name for name, (_, (outcome, _)) in ZOO.items() if outcome == DOWN[0]]
        spots = [(plan, "out") for plan in wanted]
        spots += [(stage.plan(f"{size}/faults"), name) for size in ("small", "large") for name in bad]
        spots += [(stage.plan(f"{size}/split"), "most") for size in ("small", "large")]
        given = stage.verdicts()
        return all((plan.lease, plan.place(spot), o) in given for plan, spot in spots)

    def _paid(self) -> bool:
        fined = set(self.stage.fined(self.history.o))
        return (
            self.history.owed().keys() <= self.history.paid().keys() and self.history.fines().keys() <= fined
        )

    # ---- finding liars out ---------------------------------------------------------------------------------

    def _insist(self, call: Call, done: Callable[[], bool] = lambda: False) -> None:
        """Send it as soon as the chain takes it; what it refuses for long is told, and left."""

        def sent() -> bool:
            try:
                return done() or bool(batch(self.stage.buyer.exchange, [call]))
            except Refused as error:
                refused.append(str(error))
                return False

        refused: list[str] = []
        try:
            _eventually("the chain to take it", sent, 10.0)
        except AssertionError:
            warnings.warn(refused[-1], stacklevel=1)  # the tests say what is missing

    def _commit_canary(self, o: int) -> None:
        lease = self.stage.plan("small/hidden").lease
        call = self.history.audits.commit_canary(lease, 0, o, ALL_BUT_LAST, b"c" * 32)
        batch(self.stage.buyer.exchange, [call])

    def _reveal_canary(self, o: int) -> None:
        stage, audits = self.stage, self.history.audits
        lease = stage.plan("small/hidden").lease
        self._insist(audits.reveal_canary(1, lease, 0, o, ALL_BUT_LAST, b"c" * 32))
        self._insist(audits.miss_canary(1, self.history.told("up", o).page()))

    def _ask(self, epoch: int) -> None:
        """Audit rounds of who should have receipts, and one of who has measured nothing at all."""
        stage, asked = self.stage, []
        for liar, honest in (("forging", "h1"), ("lazy", "h3")):
            lease = stage.plan(f"small/{liar}").lease
            asked += [(name, lease, round_) for name in (liar, honest) for round_ in (3, 5, 7)]
        asked.append(("copying", stage.plan("small/copying").lease, 5))
        calls = [
            self.history.audits.audit(stage.org(name), epoch, lease, 0, round_)
            for name, lease, round_ in asked
        ]
        batch(stage.buyer.exchange, calls)

    def _denounce(self, o: int) -> None:
        """Show the two leaves of who has two, twice who is an outlier, and that a copy cannot be opened."""
        stage, audits, calls = self.stage, self.history.audits, []
        for event in stage.events(ledger.AuditOpened):
            if event.org == stage.org("copying"):
                calls.append(audits.fail(event.audit))
        both = _two_faced(stage, o - 1)
        plan = stage.plan("small/equivocating")
        published, rooted = both.published(plan.lease, 0), both.rooted(plan.lease, 0)
        assert published and rooted
        calls.append(audits.unlike_root(stage.org("equivocating"), o - 1, published, rooted))
        plan = stage.plan("small/down")
        for epoch in (o - 1, o):
            orgs = judges(stage.exchange)[0].committee(plan.lease, 0).seats
            told = opened(stage.exchange, GRID, orgs, Span(epoch, epoch))
            pages = [told[org, epoch].page() for org in orgs if told[org, epoch].is_whole]
            calls.append(audits.outlier(stage.org("down"), plan.lease, 0, epoch, pages))
        for call in calls:
            self._insist(call)


_HIDDEN = ("small/hidden", "small/too few", "large/hidden")


def _two_faced(stage: Stage, epoch: int) -> TwoFaced:
    """What the equivocating witness committed to, from its own files."""
    with files(stage, "equivocating", "witness.db") as db:
        rows = db.execute("SELECT lease, place, measured, down, samples FROM leaf WHERE epoch = ?", (epoch,))
        leaves = [
            Leaf(lease, place, *(int.from_bytes(bits, "big") for bits in (measured, down)), bytes(samples))
            for lease, place, measured, down, samples in rows
        ]
    with files(stage, "equivocating", "seals.db") as db:
        [(salt,)] = db.execute("SELECT salt FROM seal WHERE epoch = ?", (epoch,))
    return TwoFaced(tuple(leaves), bytes(salt))
