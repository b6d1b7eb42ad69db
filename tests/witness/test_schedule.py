"""Secret times: once in every round, never outside it, the same after a restart, different for everyone."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chain.leaves import epoch_key, offset_ms
from market.errors import Permanent
from market.rounds import Grid
from witness.schedule import Agenda, Due, Times, master_secret

GRID = Grid(3600, 60)
SECRET = b"s" * 32
KEY = (7, 1)


@given(st.integers(1, 2**20), st.integers(0, 59), st.integers(1, 2**32 - 1), st.integers(0, 255))
def test_a_machine_is_measured_inside_its_round_at_the_time_an_audit_expects(
    epoch: int, round_: int, lease: int, place: int
) -> None:
    due = Times(GRID, SECRET).due((lease, place), epoch, round_)
    assert GRID.round_start(epoch, round_) * 1000 <= due < GRID.round_end(epoch, round_) * 1000
    offset = offset_ms(GRID, epoch_key(SECRET, epoch), lease, place, round_)
    assert due == GRID.round_start(epoch, round_) * 1000 + offset


def test_another_secret_has_other_times_and_the_same_one_the_same() -> None:
    def times(secret: bytes) -> list[int]:
        return [Times(GRID, secret).due(KEY, 9, round_) for round_ in range(60)]

    assert times(SECRET) == times(SECRET)
    assert times(SECRET) != times(b"t" * 32)


def test_the_lot_for_a_host_key_falls_about_as_often_as_asked() -> None:
    times = Times(GRID, SECRET)
    drawn = sum(times.drawn((lease, 0), 9, round_, 10) for lease in range(1, 101) for round_ in range(60))
    assert 450 < drawn < 750
    assert all(times.drawn(KEY, 9, round_, 1) for round_ in range(60))


def test_a_machine_is_on_the_agenda_once_a_round_for_the_rounds_wholly_in_its_window() -> None:
    window = (9 * 3600 + 61, 9 * 3600 + 3600 + 59)  # into round 1, and not to the end of the next round 0
    agenda = Agenda(Times(GRID, SECRET), lambda key: window if key == KEY else None)
    agenda.plan(KEY, 9 * 3_600_000)
    found: list[Due] = []
    while agenda.peek() is not None:
        found.append(agenda.take())
        agenda.after(found[-1], found[-1].at)
    assert [(due.epoch, due.round) for due in found] == [(9, round_) for round_ in range(2, 60)]
    assert len(agenda) == 0


def test_machines_come_in_order_of_time() -> None:
    agenda = Agenda(Times(GRID, SECRET), lambda key: (0, 10**9))
    for lease in range(1, 200):
        agenda.plan((lease, 0), 0)
    found = [agenda.take().at for _ in range(199) if agenda.peek() is not None]
    assert found == sorted(found)
    assert len(found) == 199


def test_a_machine_that_is_forgotten_or_planned_anew_is_not_measured_twice() -> None:
    agenda = Agenda(Times(GRID, SECRET), lambda key: (0, 10**9))
    agenda.plan(KEY, 0)
    agenda.plan(KEY, 0)
    agenda.plan((8, 0), 0)
    agenda.forget((8, 0))
    assert agenda.peek() is not None
    assert agenda.take().key == KEY
    assert agenda.peek() is None


def test_rounds_that_are_over_are_passed_over_in_one_step() -> None:
    agenda = Agenda(Times(GRID, SECRET), lambda key: (0, 10**12))
    agenda.plan(KEY, 0)
    agenda.peek()
    agenda.after(agenda.take(), 50 * 3_600_000)
    at = agenda.peek()
    assert at is not None
    assert 50 * 3_600_000 <= at < 50 * 3_600_000 + 120_000


def test_the_master_secret_is_made_once_and_for_our_eyes_only(tmp_path: Path) -> None:
    path = tmp_path / "master.key"
    secret = master_secret(path)
    assert len(secret) == 32
    assert master_secret(path) == secret
    assert path.stat().st_mode & 0o777 == 0o600
    path.chmod(0o640)
    with pytest.raises(Permanent, match="others may read"):
        master_secret(path)


def test_a_master_secret_cut_short_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "master.key"
    path.write_bytes(b"short")
    path.chmod(0o600)
    with pytest.raises(Permanent, match="not whole"):
        master_secret(path)
