"""What witnessing pays: the simulation against its closed form, and both against the page that tells it."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from random import Random

import pytest

from bench.witness_model import Economy

PAGE = Path(__file__).parents[2] / "docs" / "witness-model.md"
ECONOMY = Economy(fee=10_000, stake=1_000_000_000, slash_ppm=500_000, tick_fine=10_000_000, outlier_epochs=6)


@pytest.mark.parametrize("name", ECONOMY.behaviours())
def test_lived_epochs_gain_what_the_closed_form_says(name: str) -> None:
    """Within four standard errors of slashes that come by chance."""
    how, epochs = ECONOMY.behaviours()[name], 50_000
    slashes = how.audit + how.canary + how.outlier / ECONOMY.outlier_epochs
    error = ECONOMY.slashed * (slashes / epochs) ** 0.5
    lived = ECONOMY.play(how, epochs, Random(1))
    assert lived == pytest.approx(ECONOMY.gain(how), abs=4 * error + 10)


def test_honest_measuring_gains_most_with_the_defaults() -> None:
    gains = {name: ECONOMY.gain(how) for name, how in ECONOMY.behaviours().items()}
    assert max(gains, key=lambda name: gains[name]) == "honest"


def test_who_cannot_tell_is_found_by_canaries_and_never_by_audits() -> None:
    """So one canary in so many epochs is needed, however many audits there are."""
    quiet = replace(ECONOMY, outages=0.0, audits=1.0)
    for canaries, honest_is_best in ((0.0, False), (1.1 * quiet.least_found(), True)):
        found = replace(quiet, canaries=canaries)
        how = found.behaviours()
        assert (found.gain(how["honest"]) > found.gain(how['lazy, says "cannot tell"'])) is honest_is_best


def test_the_page_has_a_row_for_every_behaviour() -> None:
    """Who copies is as the lazy; nobody simulates it."""
    table = PAGE.read_text("utf-8").split("| behaviour |")[1].split("\n\n")[0]
    rows = re.findall(r"^\| ([^|]+?) \|", table, re.MULTILINE)
    assert sorted(rows) == sorted([*ECONOMY.behaviours(), "copies"])


def test_the_page_names_the_gains_the_model_has() -> None:
    text = PAGE.read_text("utf-8")
    assert f"{ECONOMY.gain(ECONOMY.behaviours()['honest']) / 1e6:.2f} credits for the honest" in text
    for name, how in ECONOMY.behaviours().items():
        if name not in ("honest", "silent"):
            assert re.search(rf"(?<![\d.]){ECONOMY.gain(how) / 1e6:.1f}(?!\d)", text), name
