"""What witnessing pays, and how often a verdict is false: the numbers of docs/witness-model.md.

Closed forms beside a seeded simulation with the exchange's own quorum rule (`market.rounds.agreed`), and
beside the report game of the INFOCOM'19 witness contracts, whose equilibria are found by trying every
profile. Nothing here is timed; all of it is arithmetic and one seed.

It must not know how contracts work: it takes the deployment's defaults and the rules' numbers.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from itertools import product
from math import comb
from random import Random

from bench.report import Report, Row
from chain.deploy import DeployParams

__all__ = ["Behaviour", "Economy", "report_game", "run"]

Profile = tuple[str, ...]


# ---- the game of others ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class ReportGame:
    """`needed` of `witnesses` reports confirm a violation; each payoff is one witness's for one round.

    The order confirmed_report > rejected_silent > confirmed_silent > rejected_report is the published one;
    the equilibria depend on nothing else.
    """

    witnesses: int = 3
    needed: int = 2
    confirmed_report: int = 10
    confirmed_silent: int = 0
    rejected_silent: int = 1
    rejected_report: int = -1

    def payoff(self, profile: Profile, who: int) -> int:
        """What one witness gets."""
        confirmed = profile.count("report") >= self.needed
        if profile[who] == "report":
            return self.confirmed_report if confirmed else self.rejected_report
        return self.confirmed_silent if confirmed else self.rejected_silent


def report_game(game: ReportGame) -> list[Profile]:
    """Every pure equilibrium: profiles from which nobody gains by changing alone.

    The truth is no argument of it: that is the trouble.
    """
    moves = ("silent", "report")
    found = []
    for profile in product(moves, repeat=game.witnesses):
        stays = all(
            game.payoff(profile, who) >= game.payoff(profile[:who] + (move,) + profile[who + 1 :], who)
            for who in range(game.witnesses)
            for move in moves
        )
        found += [profile] if stays else []
    return found


# ---- ours --------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Behaviour:
    """What finds a witness that behaves so, as chances per epoch: an audit it cannot answer, a canary it does
    not report, a quorum of others that says otherwise. `cost` is what it spends on measuring, microcredits.
    """

    audit: float = 0.0
    canary: float = 0.0
    outlier: float = 0.0
    cost: int = 0
    ticks: bool = True


@dataclass(frozen=True)
class Economy:
    """One witness's epoch; money in microcredits, chances per epoch.

    `leases` it sits for, each paying `fee`; `cost` of measuring them all; `guests`: the share of leases
    whose SLA asks for the responder; `audits`: the chance that an auditor asks it for a sample; `canaries`:
    that one of its leases is a canary with an outage now; `outages`: that one of its leases has a real one
    that it would be alone in not seeing.
    """

    fee: int
    stake: int
    slash_ppm: int
    tick_fine: int
    outlier_epochs: int
    leases: int = 100
    cost: int = 500_000
    guests: float = 0.5
    audits: float = 0.01
    canaries: float = 0.002
    outages: float = 0.2

    @property
    def slashed(self) -> float:
        """What being found out once costs."""
        return self.stake * self.slash_ppm / 1_000_000

    def behaviours(self) -> dict[str, Behaviour]:
        """Every way to behave, and what finds it, by the rules: whatever the others of the committee do but
        honest measuring by a quorum of them, which makes an outlier one.

        Not one of them depends on which verdict comes out: the pay is flat.
        """
        return {
            "honest": Behaviour(cost=self.cost),
            "lazy, says up": Behaviour(self.audits * self.guests, self.canaries, self.outages),
            "lazy, says nothing": Behaviour(self.audits, self.canaries, self.outages),
            'lazy, says "cannot tell"': Behaviour(0.0, self.canaries, self.outages),
            "always down": Behaviour(outlier=1.0),
            "silent": Behaviour(ticks=False),
        }

    def gain(self, how: Behaviour) -> float:
        """Expected gain of an epoch."""
        if not how.ticks:
            return -float(self.tick_fine)
        found = how.audit + how.canary + how.outlier / self.outlier_epochs
        return self.leases * self.fee - how.cost - found * self.slashed

    def play(self, how: Behaviour, epochs: int, rng: Random) -> float:
        """The mean gain of so many epochs, lived one by one: its stake is filled up again after each slash.

        What audits and canaries show of one epoch is slashed once; outliers count by themselves, and start
        anew after a slash (W11, W12).
        """
        if not how.ticks:
            return -float(self.tick_fine)
        gain, odd = 0.0, 0
        for _ in range(epochs):
            gain += self.leases * self.fee - how.cost
            audited, missed = rng.random() < how.audit, rng.random() < how.canary
            gain -= self.slashed * (audited or missed)
            odd += rng.random() < how.outlier
            if odd == self.outlier_epochs:
                gain, odd = gain - self.slashed, 0
        return gain / epochs

    def least_found(self) -> float:
        """The chance of an audit that the lazy fail, or of a canary they miss, from which honest measuring
        beats not measuring even if nobody is ever an outlier."""
        return self.cost / self.slashed


def seats_at_least(pool: int, members: int, size: int, wanted: int) -> float:
    """The chance that a coalition of `members` organisations of a pool gets `wanted` of `size` seats drawn
    by lot.
    """
    ways = sum(
        comb(members, got) * comb(pool - members, size - got)
        for got in range(wanted, min(size, members) + 1)
        if size - got <= pool - members
    )
    return ways / comb(pool, size)


def with_choice(pool: int, members: int, size: int, wanted: int, *, may_sit: bool) -> float:
    """The chance of `wanted` seats after choosing the best of the seeds that withholding reveals gives
    (W2).

    The last `members` to reveal see 2 ** members seeds, one for each set of them that keeps silent.
    `may_sit`: whether who kept silent can still be drawn by that seed. (Chances as if the seeds were
    independent, which they are but for a hash function that is broken.)
    """
    missed = 1.0
    for silent in range(members + 1):
        left = (pool, members) if may_sit else (pool - silent, members - silent)
        chance = seats_at_least(*left, size, wanted) if left[0] >= size else 0.0
        missed *= (1.0 - chance) ** comb(members, silent)
    return 1.0 - missed


def falsely_down(size: int, quorum: int, error: float) -> float:
    """The chance that a round of a good machine is called down by a quorum, each erring alone."""
    return sum(comb(size, k) * error**k * (1 - error) ** (size - k) for k in range(quorum, size + 1))


def bribe_per_epoch(economy: Economy, seats: int) -> float:
    """What hiding a provider's outages must pay a coalition of so many seats to be worth the canaries among
    them.
    """
    return seats * economy.canaries * economy.slashed


def simulate(
    size: int, quorum: int, error: float, byzantine: int, spans: int, rng: Random
) -> tuple[int, int, int]:
    """(spans, false verdicts, hidden breaches) of the exchange's own quorum rule on random epochs.

    Every second span has a real outage of 20 of 60 rounds. Byzantine seats lie about all of it: they call a
    good machine down and a bad one good. Honest ones err in each round alone.
    """
    from market.rounds import agreed

    rounds, outage = 60, (1 << 40) - (1 << 20)
    false = hidden = 0
    for span in range(spans):
        truth = outage if span % 2 else 0
        leaves = [truth ^ _errors(rounds, error, rng) for _ in range(size - byzantine)]
        leaves += [(1 << rounds) - 1 - truth] * byzantine
        down = agreed(leaves, quorum)
        false += not truth and down != 0
        hidden += bool(truth) and (down & truth).bit_count() * 2 < truth.bit_count()
    return spans, false, hidden


def _errors(rounds: int, error: float, rng: Random) -> int:
    return sum(1 << i for i in range(rounds) if rng.random() < error)


# ---- the report --------------------------------------------------------------------------------------------

_COMMITTEES = ((3, 2), (5, 4))


def run(argv: list[str]) -> Report:
    """Print the model's numbers; `--spans`, `--epochs` and `--seed` are the simulations'."""
    parser = argparse.ArgumentParser(prog="bench witness_model")
    parser.add_argument("--spans", type=int, default=20_000)
    parser.add_argument("--epochs", type=int, default=200_000)
    parser.add_argument("--seed", type=int, default=2026)
    options = parser.parse_args(argv)
    lived = f"{options.spans} spans a committee, {options.epochs} epochs a behaviour"
    report = Report("witness_model", notes=[f"seed {options.seed}, {lived}"])
    economy = _of(DeployParams())
    rng = Random(options.seed)  # noqa: S311  a simulation wants its seed again
    _equilibria(report)
    _gains(report, economy, options.epochs, rng)
    _coalitions(report, economy)
    _verdicts(report, options.spans, rng)
    report.show()
    return report


def _of(p: DeployParams) -> Economy:
    return Economy(
        fee=p.seat_fee,
        stake=p.min_stake,
        slash_ppm=p.slash_ppm,
        tick_fine=p.tick_fine,
        outlier_epochs=p.outlier_epochs,
    )


def _equilibria(report: Report) -> None:
    found = report_game(ReportGame())
    report.notes.append("pure equilibria of the 2-of-3 report game: " + "; ".join(" ".join(p) for p in found))
    best = max(found, key=lambda profile: ReportGame().payoff(profile, 0))
    report.notes.append(f"the one that pays more, with or without a violation: {' '.join(best)}")


def _gains(report: Report, economy: Economy, epochs: int, rng: Random) -> None:
    for name, how in economy.behaviours().items():
        lived, exact = economy.play(how, epochs, rng) / 1e6, economy.gain(how) / 1e6
        report.rows.append(Row(f"an epoch's gain: {name}", lived, "credits", peer=exact, peer_is="exact"))
    seldom, guests = 1 / economy.least_found(), economy.guests
    for what, least in (
        ("canaries that keep measuring worth it", seldom),
        ('audits that find who "says up"', seldom * guests),
    ):
        report.rows.append(Row(f"epochs between {what}", least, "epochs"))


def _coalitions(report: Report, economy: Economy) -> None:
    for pool, (size, quorum) in ((11, (3, 2)), (12, (5, 4)), (30, (5, 4))):
        for what, wanted in (("hide", size - quorum + 1), ("invent", quorum)):
            for members in (2, 4):
                by_lot = seats_at_least(pool, members, size, wanted)
                chosen = with_choice(pool, members, size, wanted, may_sit=False)
                name = f"{members} of {pool} may {what} breaches, ({size},{quorum}), by lot"
                report.rows.append(Row(name, by_lot * 100, "%"))
                free = with_choice(pool, members, size, wanted, may_sit=True)
                report.rows.append(
                    Row(
                        "  when they withhold reveals",
                        chosen * 100,
                        "%",
                        peer=free * 100,
                        peer_is="if the silent could sit",
                    )
                )
        least = bribe_per_epoch(economy, size - quorum + 1) / 1e6
        report.rows.append(Row(f"least bribe an epoch to hide, ({size},{quorum})", least, "credits"))


def _verdicts(report: Report, spans: int, rng: Random) -> None:
    for size, quorum in _COMMITTEES:
        for error in (0.01, 0.05, 0.1):
            exact = 1 - (1 - falsely_down(size, quorum, error)) ** 60
            done, false, _ = simulate(size, quorum, error, 0, spans, rng)
            report.rows.append(
                Row(
                    f"good epochs with a round falsely down, ({size},{quorum}), error {error}",
                    false / (done // 2),
                    "share",
                    peer=exact,
                    peer_is="exact",
                )
            )
        for byzantine, what in (
            (size - quorum, "hidden by n - Q"),
            (size - quorum + 1, "hidden by n - Q + 1"),
        ):
            done, _, hidden = simulate(size, quorum, 0.0, byzantine, 1_000, rng)
            report.rows.append(
                Row(f"breaches {what} seats, ({size},{quorum})", hidden / (done // 2) * 100, "%")
            )
        done, false, _ = simulate(size, quorum, 0.0, quorum - 1, 1_000, rng)
        report.rows.append(
            Row(f"breaches invented by Q - 1 seats, ({size},{quorum})", false / (done // 2) * 100, "%")
        )
