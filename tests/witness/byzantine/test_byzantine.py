"""Twelve witness organisations, of which eight lie, judge machines behind faults: W14 and W12, played.

One exchange for both sizes of committees: (3,2) among three eligible, (5,4) among five or more. All leases
are judged at once. Who measures honestly is `ocx witness run`, and is killed with SIGKILL now and then, as
some liars are: after its tick, so that it loses measurements and no stake. The expensive part is one history
of eleven epochs, played once for all tests here; with a dozen nodes on two cores it needs them for itself, so
it is played when OCX_BYZANTINE is set.
"""

from __future__ import annotations

import os
import random
import sqlite3
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest

from chain.contracts.audits import Audits
from chain.contracts.base import Call
from chain.generated import events as ledger
from chain.leaves import Leaf
from chain.lots import seats
from chain.pages import opened
from chain.published import judges
from chain.recompute import recompute
from market.errors import OcxError, Refused
from market.rounds import Span, places_of
from provisioner.keeper import die_with_parent
from tests.chain.network import anvil
from tests.provisioner.world import FAR
from tests.witness.byzantine.liar import TwoFaced
from tests.witness.byzantine.split import Split
from tests.witness.byzantine.stage import (
    BAD,
    GRID,
    HONEST,
    LIARS,
    OWN,
    STAKE,
    Plan,
    Spot,
    Stage,
    batch,
    eventually,
    found,
    join,
    reach,
)
from tests.witness.conftest import Responder, Sshd, accepts, free_port, until
from tests.witness.proxy import Banner, Cut, Dead, Delay, Fault, HalfOpen, Loss, Pass, Proxy, Refuse, Slow

pytestmark = pytest.mark.skipif(
    not os.environ.get("OCX_BYZANTINE"), reason="four minutes of two cores: set OCX_BYZANTINE=1"
)
E = GRID.epoch
SEED = 20_261_122
ZOO: dict[str, tuple[Fault, bool]] = {
    "delay": (Delay(0.03), False),
    "loss": (Loss(0.1), False),
    "banner": (
        Banner(b"SSH-1.5-other\r\n"),
        False,
    ),  # the machine is there: what runs on it is wrong
    "slow": (Slow(100), True),
    "refuse": (Refuse(), True),
    "half-open": (HalfOpen(), True),
    "dead": (Dead(), True),
    "cut": (Cut(), True),
}
"""Faults of a server for a whole epoch, and whether they are the provider's outage."""
LARGE = ("up", "down", "equivocating", "silent")


@dataclass
class History:
    """What was played; `joined` the first epoch, `o` that of the outage. `killed`: who was, and the epoch
    that it had committed to last.
    """

    stage: Stage
    joined: int
    o: int
    audits: Audits
    stakes: dict[str, int]
    killed: list[tuple[str, int]]

    @property
    def verdicts(self) -> dict[tuple[int, int, int], int]:
        """All penalties."""
        return self.stage.verdicts()

    def fines(self, name: str) -> int:
        """How many ticks it paid for."""
        org = self.stage.org(name)
        return sum(event.org == org for event in self.stage.events(ledger.TickMissed))

    def slashed(self) -> dict[str, set[bytes]]:
        """Reasons by name."""
        told: dict[str, set[bytes]] = {}
        for event in self.stage.events(ledger.WitnessSlashed):
            told.setdefault(self.stage.name_of(event.org), set()).add(event.reason.rstrip(b"\0"))
        return told


@pytest.fixture(scope="module")
def history(tmp_path_factory: pytest.TempPathFactory, sshd: Sshd, responder: Responder) -> Iterator[History]:
    """The whole history, and its chain for questions."""
    folder = tmp_path_factory.mktemp("byzantine")
    with ExitStack() as stack:
        web = stack.enter_context(_web(folder))
        node = stack.enter_context(
            anvil("--timestamp", str(int(time.time()) - FAR), "--gas-limit", "300000000")
        )
        stage = found(node, folder / "world", {1: 48, 2: 4})
        stack.callback(stage.close)
        theatre = Theatre(stage, stack, web, sshd, responder)
        joined = join(stage)
        o = theatre.play(joined)
        stage.close()
        last = stage.exchange.rpc.head().number
        until(lambda: stage.exchange.rpc.head().number > last + 1)  # with all that was under way
        audits = stage.exchange.audits
        assert audits is not None
        yield History(stage, joined, o, audits, stage.stakes(), theatre.killed)


def _web(folder: Path) -> subprocess.Popen[bytes]:
    """A web server whose port is its `args[-1]`."""
    port = free_port()
    # The server's own queue of five is full at once when all witnesses ask.
    program = "import sys, http.server as h; h.ThreadingHTTPServer.request_queue_size = 1024;"
    program += (
        "h.ThreadingHTTPServer(('127.0.0.1', int(sys.argv[1])), h.SimpleHTTPRequestHandler).serve_forever()"
    )
    command = [sys.executable, "-c", program, str(port)]
    process = subprocess.Popen(
        command,
        cwd=folder,
        preexec_fn=die_with_parent(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    until(lambda: accepts(port))
    return process


class Theatre:
    """The machines, the leases on them, and what happens when."""

    def __init__(
        self, stage: Stage, stack: ExitStack, web: subprocess.Popen[bytes], sshd: Sshd, responder: Responder
    ) -> None:
        self.stage, self.random = stage, random.Random(SEED)
        self.killed: list[tuple[str, int]] = []
        stack.callback(web.kill)
        assert isinstance(web.args, list)
        web_port, key = int(web.args[-1]), sshd.keys["ed25519"]

        def proxy(made: Proxy) -> Proxy:
            return stack.enter_context(made)

        self.web_out = proxy(Proxy(web_port))
        self.ssh_out, self.guest_out = proxy(Proxy(sshd.port)), proxy(Proxy(responder.port))
        self.zoo = {name: proxy(Proxy(sshd.port)) for name in ZOO}
        self.good, self.out = Spot(web_port), Spot(self.web_out.port)
        self.ssh_good = Spot(sshd.port, key, responder.port)
        self.ssh_bad = Spot(self.ssh_out.port, key, self.guest_out.port)
        self.one_blind = Spot(proxy(Split(sshd.port, [OWN["h3"]])).port, key)
        self.two_blind = Spot(proxy(Split(sshd.port, [OWN["h3"], OWN["h4"]])).port, key)
        self.key = key

    def plans(self) -> list[Plan]:
        """All leases."""
        plain = {"good": self.good, "out": self.out}
        guest = {"good": self.ssh_good, "out": self.ssh_bad}
        pairs = ("h1 h2", "h2 h3", "h3 h4", "h1 h3", "h1 h4", "h2 h4", "h1 h2", "h3 h4")
        made = []
        for liar, pair in zip(LIARS, pairs, strict=True):
            signs = liar in ("forging", "lazy")
            spots, sla = (guest, 2) if signs else (plain, 1)
            made.append(Plan(f"small/{liar}", (*pair.split(), liar), spots, sla))
        for liar in LARGE:
            spots = plain | ({"split": self.two_blind} if liar == "down" else {})
            made.append(Plan(f"large/{liar}", (*HONEST, liar), spots))
        zoo = {name: Spot(each.port, self.key) for name, each in self.zoo.items()}
        return [
            *made,
            Plan("faults", ("h1", "h2", "h3"), zoo | {"split": self.one_blind}),
            Plan("small/hidden", ("h1", "silent", "up"), {"out": self.out}),
            Plan("small/too few", ("h2", "silent", "late"), {"out": self.out}),
            Plan("large/hidden", ("h1", "h2", "h3", "silent", "up"), {"out": self.out}),
            Plan("large/breach?", ("h1", "h2", "down", "equivocating", "copying"), {"good": self.good}),
            Plan(
                "lots",
                (*HONEST, "down", "equivocating", "copying"),
                plain,
                by_lot=True,
            ),
        ]

    def play(self, joined: int) -> int:
        """Play it all; the epoch of the outages."""
        stage, signed = self.stage, max(joined + 1, GRID.epoch_of(int(time.time()) + 4) + 1)
        o = signed + 3
        stage.buy(self.plans(), GRID.start(o + 1))
        reach(GRID.start(signed) + 2.5)  # blocks come up to two seconds behind the clock
        stage.sign_and_draw()
        stage.deliver()
        self._commit_canary(o)
        begin, after = GRID.start(o), GRID.start(o + 1)
        acts: list[tuple[float, Callable[[], None]]] = [
            (begin - 0.8, self._outage),
            (after - 1.6, self._recovery),
            (begin - 9.0, stage.shut_gateway),
            (after + 0.5 * E, lambda: self._ask(o - 2)),
            *((GRID.start(epoch + 3) + 2.5, partial(self._fine, epoch)) for epoch in (o - 1, o)),
            (GRID.start(o + 3) + 3, lambda: self._denounce(o)),
            (GRID.start(o + 4) + 1, lambda: self._reveal_canary(o)),
            *self._kills(o),
        ]
        for when, act in sorted(acts, key=lambda item: item[0]):
            reach(when)
            try:
                act()
            except OcxError as error:
                warnings.warn(str(error), stacklevel=1)  # the tests say what is missing
        wanted = {plan.name for plan in stage.plans if "out" in plan.spots} - {
            "small/hidden",
            "small/too few",
            "large/hidden",
        }
        deadline = GRID.start(o + 5) - 1
        try:
            eventually("the verdicts", lambda: self._judged(wanted), deadline)
            missed = stage.missed(joined, o)
            eventually("all fined", lambda: missed <= set(stage.fined(o)), deadline)
        except AssertionError:
            pass  # the tests say what is missing
        return o

    def _judged(self, wanted: set[str]) -> bool:
        stage = self.stage
        return all(stage.verdicts_on(stage.plan(name), "out") for name in wanted)

    # ---- what happens --------------------------------------------------------------------------------------

    def _outage(self) -> None:
        self.web_out.fault = Refuse()
        self.ssh_out.fault, self.guest_out.fault = HalfOpen(), Dead()
        for name, proxy in self.zoo.items():
            proxy.fault = ZOO[name][0]

    def _recovery(self) -> None:
        for proxy in (self.web_out, self.ssh_out, self.guest_out, *self.zoo.values()):
            proxy.fault = Pass()

    def _kills(self, o: int) -> list[tuple[float, Callable[[], None]]]:
        """kill -9 at random moments, where it changes nothing that is told exactly: neither the outage as the
        honest see it, nor a round that is audited.
        """
        plain, liars = ("h2", "h4", "up", "late"), ("forging", "lazy", "late")
        acts = [(o - 2, 0.5, plain), (o - 1, 0.5, liars), (o, 0.65, liars), (o + 1, 0.6, plain)]
        acts += [(o + 2, 0.4, HONEST), (o + 2, 0.5, (*HONEST, "up", "forging")), (o + 3, 0.4, HONEST)]
        found: list[tuple[float, Callable[[], None]]] = []
        for epoch, share, names in acts:
            when = GRID.start(epoch) + E * self.random.uniform(share, share + 0.1)
            found.append((when, partial(self._kill, self.random.choice(names), epoch)))
        return found

    def _kill(self, name: str, epoch: int) -> None:
        """Kill it once it has ticked; who has not by then is left alone."""
        if name != "late":
            try:
                eventually("tick", lambda: self.stage.has_committed(name), GRID.start(epoch) + 0.85 * E)
            except AssertionError:
                warnings.warn(f"{name} ticks too late to be killed", stacklevel=1)
                return
            self.killed.append((name, epoch - 1))
        self.stage.cast[name].restart()

    def _fine(self, epoch: int) -> None:
        """The buyer has those fined that left its lease without a quorum, if no witness was faster."""
        stage, witnesses = self.stage, judges(self.stage.exchange)[0]
        for name in ("silent", "late"):
            call = witnesses.fine(stage.org(name), epoch, stage.plan("small/too few").lease)
            with suppress(Refused):
                batch(stage.buyer.exchange, [call])

    # ---- finding liars out ---------------------------------------------------------------------------------

    @property
    def _audits(self) -> Audits:
        audits = self.stage.exchange.audits
        assert audits is not None
        return audits

    def _insist(self, call: Call) -> None:
        """Send it as soon as the chain takes it; what it refuses for five seconds is told, and left."""

        def sent() -> bool:
            try:
                return bool(batch(self.stage.buyer.exchange, [call]))
            except Refused as error:
                refused.append(str(error))
                return False

        refused: list[str] = []
        try:
            eventually("the chain to take it", sent, time.time() + 5)
        except AssertionError:
            warnings.warn(refused[-1], stacklevel=1)  # the tests say what is missing

    def _commit_canary(self, o: int) -> None:
        lease = self.stage.plan("small/hidden").lease
        call = self._audits.commit_canary(lease, 0, o, _ALL_BUT_LAST, b"c" * 32)
        batch(self.stage.buyer.exchange, [call])

    def _reveal_canary(self, o: int) -> None:
        stage, lease = self.stage, self.stage.plan("small/hidden").lease
        self._insist(self._audits.reveal_canary(1, lease, 0, o, _ALL_BUT_LAST, b"c" * 32))
        page = opened(stage.exchange, GRID, [stage.org("up")], Span(o, o))[stage.org("up"), o].page()
        self._insist(self._audits.miss_canary(1, page))

    def _ask(self, epoch: int) -> None:
        """Audit a round of who should have receipts."""
        stage, calls = self.stage, []
        for liar, honest in (("forging", "h1"), ("lazy", "h3")):
            lease = stage.plan(f"small/{liar}").lease
            calls += [self._audits.audit(stage.org(name), epoch, lease, 0, 5) for name in (liar, honest)]
        for call in calls:
            self._insist(call)

    def _denounce(self, o: int) -> None:
        """Show the two leaves of who has two, and twice who is an outlier."""
        stage, cast = self.stage, self.stage.cast
        both = _two_faced(cast["equivocating"].folder / "state", o - 1)
        plan = stage.plan("small/equivocating")
        published, rooted = both.published(plan.lease, 0), both.rooted(plan.lease, 0)
        assert published and rooted
        calls = [self._audits.unlike_root(stage.org("equivocating"), o - 1, published, rooted)]
        plan = stage.plan("small/down")
        for epoch in (o - 1, o):
            orgs = judges(stage.exchange)[0].committee(plan.lease, 0).seats
            told = opened(stage.exchange, GRID, orgs, Span(epoch, epoch))
            pages = [told[org, epoch].page() for org in orgs if told[org, epoch].is_whole]
            calls.append(self._audits.outlier(stage.org("down"), plan.lease, 0, epoch, pages))
        for call in calls:
            self._insist(call)


_ALL_BUT_LAST = places_of(range(GRID.rounds - 1))


def _two_faced(state: Path, epoch: int) -> TwoFaced:
    """What the equivocating witness committed to, from its own files."""
    with sqlite3.connect(f"file:{state / 'witness.db'}?mode=ro", uri=True) as db:
        rows = db.execute("SELECT lease, place, measured, down, samples FROM leaf WHERE epoch = ?", (epoch,))
        leaves = [
            Leaf(lease, place, *(int.from_bytes(bits, "big") for bits in (measured, down)), bytes(samples))
            for lease, place, measured, down, samples in rows
        ]
    with sqlite3.connect(f"file:{state / 'seals.db'}?mode=ro", uri=True) as db:
        [(salt,)] = db.execute("SELECT salt FROM seal WHERE epoch = ?", (epoch,))
    return TwoFaced(tuple(leaves), bytes(salt))


# ---- W14: n - Q change no verdict --------------------------------------------------------------------------


@pytest.mark.timeout(420)
@pytest.mark.parametrize("name", [*(f"small/{liar}" for liar in LIARS), *(f"large/{liar}" for liar in LARGE)])
def test_one_liar_among_three_or_five_changes_no_verdict(history: History, name: str) -> None:
    stage, plan = history.stage, history.stage.plan(name)
    assert stage.verdicts_on(plan, "out") == {history.o: BAD}
    assert stage.verdicts_on(plan, "good") == {}


def test_servers_in_trouble_are_judged_by_what_their_users_saw(history: History) -> None:
    stage, plan = history.stage, history.stage.plan("faults")
    told = {spot: stage.verdicts_on(plan, spot) for spot in ZOO}
    assert told == {name: {history.o: BAD} if bad else {} for name, (_, bad) in ZOO.items()}


def test_machines_were_proven_by_the_honest_alone(history: History) -> None:
    proven = {event.lease: event for event in history.stage.events(ledger.DeliveryProven)}
    wanted = [history.stage.plan(name) for name in ("faults", "small/forging", "small/lazy")]
    assert {plan.lease for plan in wanted} <= set(proven)
    for plan in wanted[1:]:
        assert all(int(guest, 16) for guest in proven[plan.lease].guests)


# ---- W14: Q - 1 invent none, partitions included -----------------------------------------------------------


def test_fewer_than_a_quorum_invent_no_breach(history: History) -> None:
    stage = history.stage
    assert stage.verdicts_on(stage.plan("large/breach?"), "good") == {}
    assert stage.verdicts_on(stage.plan("lots"), "good") == {}


def test_a_server_that_some_do_not_see_is_up(history: History) -> None:
    stage = history.stage
    assert stage.verdicts_on(stage.plan("faults"), "split") == {}
    assert stage.verdicts_on(stage.plan("large/down"), "split") == {}


def test_no_verdict_is_given_on_an_epoch_without_an_outage(history: History) -> None:
    assert {epoch for _, _, epoch in history.verdicts} == {history.o}


def test_a_breach_is_reached_where_the_outage_was_and_nowhere_else(history: History) -> None:
    reached = {
        (event.lease, event.place, event.epoch) for event in history.stage.events(ledger.BreachReached)
    }
    assert reached == set(history.verdicts)


# ---- W14: n - Q + 1 hide one -------------------------------------------------------------------------------


@pytest.mark.parametrize("size", ["small", "large"])
def test_enough_liars_hide_an_outage(history: History, size: str) -> None:
    stage, plan = history.stage, history.stage.plan(f"{size}/hidden")
    assert stage.verdicts_on(plan, "out") == {}
    witnesses, _ = judges(stage.exchange)
    told = opened(stage.exchange, GRID, [stage.org("h1")], Span(history.o, history.o))
    seen = told[stage.org("h1"), history.o].leaf(plan.lease, 0)
    assert seen is not None and seen.down.bit_count() >= 8, "who was honest said so in public"


def test_hiding_costs_the_one_that_says_up_half_its_stake_by_a_canary(history: History) -> None:
    assert b"canary" in history.slashed()["up"]
    assert history.stakes["up"] == STAKE // 2


def test_the_honest_pass_the_canary(history: History) -> None:
    stage = history.stage
    page = opened(stage.exchange, GRID, [stage.org("h1")], Span(history.o, history.o))
    call = history.audits.miss_canary(1, page[stage.org("h1"), history.o].page())
    with pytest.raises(Refused):
        stage.exchange.rpc.eth_call(call.to, call.data)


def test_without_a_quorum_of_ticks_nothing_is_determined_and_the_fines_are_the_buyers(
    history: History,
) -> None:
    stage = history.stage
    assert stage.verdicts_on(stage.plan("small/too few"), "out") == {}
    absent = {stage.org("silent"), stage.org("late")}
    fined = [event for event in stage.events(ledger.TickMissed) if event.org in absent]
    fined = [event for event in fined if history.o - 1 <= event.epoch <= history.o]
    assert len(fined) == 4
    assert {event.to for event in fined} == {stage.buyer.org}


# ---- W12: each is fined, or not, as the rules say ----------------------------------------------------------


def test_who_does_not_tick_in_time_is_fined_for_each_epoch_once_and_nobody_else(history: History) -> None:
    stage, every = history.stage, range(history.joined, history.o + 1)
    fined = stage.fined(history.o)
    assert len(fined) == len(set(fined))
    assert set(fined) == stage.missed(history.joined, history.o)
    assert {(name, epoch) for name in ("silent", "late") for epoch in every} <= set(fined)
    for name in ("silent", "late", *HONEST, "copying"):  # who was slashed has lost more
        assert history.stakes[name] == STAKE - 1_000 * history.fines(name)


def test_who_is_killed_between_two_ticks_opens_what_it_committed_to(history: History) -> None:
    witnesses, _ = judges(history.stage.exchange)
    told = [(name, epoch) for name, epoch in history.killed if epoch <= history.o + 1]
    assert any(name in HONEST for name, _ in told)
    assert all(witnesses.ticked(history.stage.org(name), epoch) for name, epoch in told)


def test_late_ticks_reached_the_chain_and_were_refused(history: History) -> None:
    said = history.stage.cast["late"].log()
    assert "ticks of this epoch are accepted in the epoch after it only" in said


def test_liars_are_slashed_for_what_is_shown_and_the_honest_for_nothing(history: History) -> None:
    assert history.slashed() == {
        "up": {b"canary"},
        "down": {b"outlier"},
        "equivocating": {b"unlike root"},
        "forging": {b"receipt"},
        "lazy": {b"receipt"},
    }


def test_forged_and_missing_receipts_fail_audits_and_real_ones_pass(history: History) -> None:
    stage = history.stage
    opened_ = {event.audit: stage.name_of(event.org) for event in stage.events(ledger.AuditOpened)}
    failed = {opened_[event.audit] for event in stage.events(ledger.AuditFailed)}
    passed = {opened_[event.audit] for event in stage.events(ledger.AuditPassed)}
    assert failed == {"forging", "lazy"}
    assert passed == {"h1", "h3"}


# ---- the lot, and what anybody can check -------------------------------------------------------------------


def test_five_of_seven_are_drawn_by_a_lot_that_anybody_can_repeat_and_judge_rightly(history: History) -> None:
    stage, plan = history.stage, history.stage.plan("lots")
    witnesses, _ = judges(stage.exchange)
    committee = witnesses.committee(plan.lease, 0)
    signed = GRID.epoch_of(stage.exchange.leases.lease(plan.lease).signed_at)
    eligible = [stage.org(name) for name in plan.seats]
    assert committee.quorum == 4 and committee.drawn == signed + 2
    assert committee.seats == seats(witnesses.seed_of(signed + 1), plan.lease, 0, eligible, 5)
    assert stage.verdicts_on(plan, "out") == {history.o: BAD}


@pytest.mark.parametrize("name", ["small/up", "small/equivocating", "large/down"])
def test_the_verdict_can_be_worked_out_again_from_what_is_published(history: History, name: str) -> None:
    stage, plan = history.stage, history.stage.plan(name)
    checked = recompute(stage.exchange, plan.lease, plan.place("out"), history.o)
    assert checked.problems == () and checked.verdict is not None
    assert checked.verdict.penalty_ppm == checked.best.ppm == BAD
