"""Twelve witness organisations, of which eight lie, judge machines behind faults: W12 and W14, played.

One exchange for both sizes of committees: (3,2) among three eligible, (5,4) among five or more; five of seven
by lot. All leases are judged at once. Who measures honestly is `ocx witness run`. Witnesses, servers, the
gateway and the chain's node are killed or started anew at some moment. One history is played for all tests
here; it leaps over what nobody measures, and goes on as soon as what is due is on the chain, so that a busy
machine makes it longer and changes no verdict.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from chain.generated import events as ledger
from chain.lots import seats
from chain.published import judges
from chain.recompute import recompute
from market.errors import Refused
from tests.witness.byzantine.cast import ABSENT, BAD, DEPOSIT, GRID, HONEST, LIARS, STAKE
from tests.witness.byzantine.history import FEE, SILENCE, ZOO, History
from tests.witness.byzantine.theatre import played

pytestmark = pytest.mark.timeout(600)
SIZES = ("small", "large")
HALF = STAKE // 2
FINE = 1_000


@pytest.fixture(scope="module")
def history(tmp_path_factory: pytest.TempPathFactory) -> Iterator[History]:
    """The whole history, and its chain for questions."""
    with played(tmp_path_factory.mktemp("byzantine")) as found:
        yield found


# ---- W14: n - Q change no verdict --------------------------------------------------------------------------


@pytest.mark.parametrize("liar", LIARS)
@pytest.mark.parametrize("size", SIZES)
def test_one_liar_among_three_or_five_changes_no_verdict(history: History, size: str, liar: str) -> None:
    stage, plan = history.stage, history.stage.plan(f"{size}/{liar}")
    committee = judges(stage.exchange)[0].committee(plan.lease, 0)
    assert (len(committee.seats), committee.quorum) == {"small": (3, 2), "large": (5, 4)}[size]
    assert liar in map(stage.name_of, committee.seats)
    assert stage.verdicts_on(plan, "out") == {history.o: BAD}
    assert stage.verdicts_on(plan, "good") == {}


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("fault", ZOO)
def test_a_server_in_trouble_is_judged_by_what_its_users_saw(history: History, size: str, fault: str) -> None:
    stage, plan = history.stage, history.stage.plan(f"{size}/faults")
    outcome, reasons = ZOO[fault][1]
    assert stage.verdicts_on(plan, fault) == ({history.o: BAD} if reasons is SILENCE else {})
    for name in ("h1", "h2"):
        seen = history.seen(name, plan, fault, history.o)
        fits = [reason in reasons for found, reason in seen if found == outcome]
        assert len(fits) >= 3 and len(fits) > len(seen) / 2 and all(fits), (name, seen)


def test_machines_were_proven_by_the_honest_alone(history: History) -> None:
    stage = history.stage
    proven = {event.lease: event for event in stage.events(ledger.DeliveryProven)}
    wanted = [stage.plan(f"small/{name}") for name in ("forging", "lazy")]
    assert {plan.lease for plan in wanted} <= set(proven)
    assert {stage.name_of(event.org) for event in stage.events(ledger.DeliverySeen)} <= set(HONEST)
    for plan in wanted:
        assert all(int(guest, 16) for guest in proven[plan.lease].guests)


# ---- W14: Q - 1 invent none, partitions included -----------------------------------------------------------


def test_fewer_than_a_quorum_invent_no_breach(history: History) -> None:
    """Three of five say so in public; two of three do invent one, so it is the quorum that stops them."""
    stage, inventors = history.stage, ("down", "equivocating", "copying")
    plan = stage.plan("large/breach?")
    assert all(history.down(name, plan, "good", history.o) >= 10 for name in inventors)
    assert stage.verdicts_on(plan, "good") == {}
    assert stage.verdicts_on(stage.plan("lots"), "good") == {}
    plan = stage.plan("small/breach!")
    assert history.down("h1", plan, "good", history.o) < GRID.rounds // 2
    assert stage.verdicts_on(plan, "good")[history.o] == BAD


@pytest.mark.parametrize(
    ("size", "spot", "blind"), [("small", "one", ("h3",)), ("large", "two", ("h3", "h4", "down"))]
)
def test_a_server_that_fewer_than_a_quorum_miss_is_up(
    history: History, size: str, spot: str, blind: tuple[str, ...]
) -> None:
    stage, plan = history.stage, history.stage.plan(f"{size}/split")
    assert all(history.down(name, plan, spot, history.o) >= 5 for name in blind)
    assert stage.verdicts_on(plan, spot) == {}


@pytest.mark.parametrize("size", SIZES)
def test_a_server_that_a_quorum_misses_is_down_whoever_else_sees_it(history: History, size: str) -> None:
    stage, plan = history.stage, history.stage.plan(f"{size}/split")
    assert history.down("h1", plan, "most", history.o) < GRID.rounds // 2
    assert stage.verdicts_on(plan, "most") == {history.o: BAD}


def test_every_claim_and_every_pay_is_an_honest_witness_s_doing(history: History) -> None:
    honest = {history.stage.cast[name].signer for name in HONEST}
    assert history.stage.senders(ledger.VerdictGiven) <= honest
    assert history.stage.senders(ledger.WitnessPaid) <= honest


def test_a_breach_is_reached_where_the_outage_was_and_nowhere_else(history: History) -> None:
    stage, invented = history.stage, history.stage.plan("small/breach!").lease
    given = {key: ppm for key, ppm in stage.verdicts().items() if key[0] != invented}
    assert set(given.values()) == {BAD} and {epoch for *_, epoch in given} == {history.o}
    reached = {(event.lease, event.place, event.epoch) for event in stage.events(ledger.BreachReached)}
    assert {key for key in reached if key[0] != invented} == set(given)


# ---- W14: n - Q + 1 hide one -------------------------------------------------------------------------------


@pytest.mark.parametrize("size", SIZES)
def test_enough_liars_hide_an_outage(history: History, size: str) -> None:
    stage, plan = history.stage, history.stage.plan(f"{size}/hidden")
    assert len(set(plan.seats) - set(HONEST)) == 2, "n - Q + 1"
    assert stage.verdicts_on(plan, "out") == {}
    for name in set(plan.seats) & set(HONEST):
        assert history.down(name, plan, "out", history.o) >= 5, "who was honest said so in public"


def test_hiding_costs_half_a_stake_by_a_canary_and_every_tick_that_is_not_sent(history: History) -> None:
    """Who said up: a canary. Who said nothing: a fine and the pay of each epoch. The honest: nothing."""
    [canary] = history.stage.events(ledger.CanaryMissed)
    assert canary.org == history.stage.org("up")
    cost = {name: STAKE - stake for name, stake in history.stage.stakes().items()}
    epochs = history.o - history.joined + 1
    assert cost["up"] == HALF and cost["silent"] >= epochs * FINE and cost["h1"] == 0
    paid = history.paid()
    assert all((f"{size}/hidden", "silent") not in paid for size in SIZES)
    assert paid["small/hidden", "up"] == paid["small/hidden", "h1"]


def test_the_honest_pass_the_canary(history: History) -> None:
    page = history.told("h1", history.o).page()
    call = history.audits.miss_canary(1, page)
    with pytest.raises(Refused):
        history.stage.exchange.rpc.eth_call(call.to, call.data)


def test_who_only_copies_says_of_an_epoch_what_was_true_of_the_one_before(history: History) -> None:
    for size in SIZES:
        plan = history.stage.plan(f"{size}/copying")
        assert history.down("copying", plan, "out", history.o) <= 1  # it began in the last round before
        assert history.down(plan.seats[0], plan, "out", history.o) >= 5


def test_without_a_quorum_of_ticks_nothing_is_determined(history: History) -> None:
    stage, plan = history.stage, history.stage.plan("small/too few")
    assert stage.verdicts_on(plan, "out") == {}
    assert history.down("h2", plan, "out", history.o) >= 5


# ---- W12: each is fined, or not, as the rules say ----------------------------------------------------------


def test_who_does_not_tick_in_time_is_fined_for_each_epoch_once_and_nobody_else(history: History) -> None:
    """Where it left a lease without a quorum, the fine is the buyer's; else the fund's."""
    stage = history.stage
    fines = [event for event in stage.events(ledger.TickMissed) if event.epoch <= history.o]
    told = {(stage.name_of(event.org), event.epoch): event.to for event in fines}
    assert len(fines) == len(told) and {event.fine for event in fines} == {FINE}
    assert told == history.fines()
    assert set(told) == stage.missed(history.joined, history.o)
    assert stage.senders(ledger.TickMissed) & {stage.cast[name].signer for name in HONEST}


def test_liars_are_slashed_once_for_what_is_shown_and_the_honest_for_nothing(history: History) -> None:
    assert history.slashed() == {
        "up": [b"canary"],
        "down": [b"outlier"],
        "copying": [b"unanswered"],
        "equivocating": [b"unlike root"],
        "forging": [b"receipt"],
        "lazy": [b"receipt"],
    }


def test_every_stake_is_what_fines_and_slashes_leave_of_it(history: History) -> None:
    stage, wanted = history.stage, dict.fromkeys(LIARS, STAKE - HALF) | dict.fromkeys(HONEST, STAKE)
    for name in ABSENT:  # on a slow machine the epoch after the outage is fined, too
        wanted[name] = STAKE - FINE * len([who for who, _ in stage.fined(history.o + 3) if who == name])
    assert stage.stakes() == wanted


def test_who_was_fined_or_slashed_is_barred_from_draws_and_nobody_else(history: History) -> None:
    stage = history.stage
    many = judges(stage.exchange)[0].many([each.org for each in stage.cast.values()])
    assert {stage.name_of(org) for org, each in many.items() if each.barred_until} == set(LIARS)


def test_pay_is_flat_for_each_tick_and_the_same_for_either_verdict(history: History) -> None:
    """Who lied, who was right, who was outvoted: the same. Who did not tick: nothing."""
    paid = history.paid()
    assert paid == history.owed()
    epochs = history.o - history.s + 1
    seats_ = {(plan.name, name) for plan in history.stage.plans if not plan.by_lot for name in plan.seats}
    assert {key for key in paid if key[0] != "lots"} == {key for key in seats_ if key[1] not in ABSENT}
    assert {told for (lease, _), told in paid.items() if lease != "lots"} == {(epochs, epochs * FEE)}


def test_what_each_has_is_its_deposit_less_its_stake_and_its_pay(history: History) -> None:
    stage, paid = history.stage, history.paid()
    for name, each in stage.cast.items():
        pay = sum(amount for (_, whose), (_, amount) in paid.items() if whose == name)
        assert stage.exchange.escrow.free(each.org) == DEPOSIT - STAKE + pay, name
        assert bool(pay) is (name not in ABSENT)


def test_late_ticks_reached_the_chain_and_were_refused(history: History) -> None:
    said = history.stage.cast["late"].log()
    assert "ticks of this epoch are accepted in the epoch after it only" in said


def test_forged_and_missing_receipts_fail_audits_and_real_ones_pass(history: History) -> None:
    stage = history.stage
    asked = {event.audit: stage.name_of(event.org) for event in stage.events(ledger.AuditOpened)}
    failed = {(asked[event.audit], event.why.rstrip(b"\0")) for event in stage.events(ledger.AuditFailed)}
    passed = [asked[event.audit] for event in stage.events(ledger.AuditPassed)]
    assert failed == {("forging", b"receipt"), ("lazy", b"receipt"), ("copying", b"unanswered")}
    assert passed.count("h1") == passed.count("h3") == 3


# ---- restarts ----------------------------------------------------------------------------------------------


def test_who_is_killed_between_two_ticks_opens_what_it_committed_to(history: History) -> None:
    witnesses = judges(history.stage.exchange)[0]
    told = [(name, epoch) for name, epoch in history.killed if name not in ABSENT]
    assert {name for name, _ in told} & set(HONEST) and {name for name, _ in told} - set(HONEST)
    for name, epoch in told:
        if epoch <= history.o:
            assert witnesses.ticked(history.stage.org(name), epoch), (name, epoch)


def test_every_server_the_gateway_and_the_chain_were_started_anew(history: History) -> None:
    assert sorted(history.restarted) == ["chain", "chain", "gateway", "guest", "ssh", "web"]


# ---- the lot, and what anybody can check -------------------------------------------------------------------


def test_five_of_seven_are_drawn_by_a_lot_that_anybody_can_repeat_and_judge_rightly(history: History) -> None:
    stage, plan = history.stage, history.stage.plan("lots")
    witnesses = judges(stage.exchange)[0]
    committee = witnesses.committee(plan.lease, 0)
    eligible = [stage.org(name) for name in plan.seats]
    assert len(eligible) == 7 and committee.quorum == 4 and committee.drawn == history.s + 2
    assert committee.seats == seats(witnesses.seed_of(history.s + 1), plan.lease, 0, eligible, 5)
    liars = [name for name in map(stage.name_of, committee.seats) if name not in HONEST]
    # As many as the lot gave it: one changes nothing, two or three hide it, and none invents one.
    assert stage.verdicts_on(plan, "out") == ({history.o: BAD} if len(liars) < 2 or _agree(history) else {})


def _agree(history: History) -> bool:
    """Whether a quorum of those that the lot seated published the outage: liars may say down, too."""
    stage, plan = history.stage, history.stage.plan("lots")
    seats_ = judges(stage.exchange)[0].committee(plan.lease, 0).seats
    return sum(history.down(stage.name_of(org), plan, "out", history.o) >= 5 for org in seats_) >= 4


@pytest.mark.parametrize("name", ["small/up", "small/equivocating", "large/down"])
def test_the_verdict_can_be_worked_out_again_from_what_is_published(history: History, name: str) -> None:
    stage, plan = history.stage, history.stage.plan(name)
    checked = recompute(stage.exchange, plan.lease, plan.place("out"), history.o)
    assert checked.problems == () and checked.verdict is not None
    assert checked.verdict.penalty_ppm == checked.best.ppm == BAD
