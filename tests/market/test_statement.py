"""A month of credits: half-open, adding up whatever happened, and never quietly wrong."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from market.billing import Accrual, Delivery
from market.errors import Bug, InvalidInput
from market.statement import Balance, Bill, Kind, Posting, Role, Statement, month_of, statement
from market.windows import MAX_TIME, Window

MONTH = month_of("2026-11")
LATER = MONTH.end + 100 * 86_400
HOUR = 3_600


def lock(time: int, amount: int, lease: int = 0, role: Role | None = None) -> Posting:
    """Free credits that become locked."""
    return Posting(time, time.to_bytes(32, "big"), Kind.LOCKED, amount, -amount, amount, lease, role)


def deposit(time: int, amount: int) -> Posting:
    """Credits from outside."""
    return Posting(time, time.to_bytes(32, "big"), Kind.DEPOSIT, amount, amount)


def stated(postings: list[Posting], bills: dict[int, Bill] | None = None, as_of: int = LATER) -> Statement:
    """The statement of November, with the free balance that the postings come to."""
    return statement(MONTH, as_of, postings, bills or {}, Balance().after(postings).free)


# ---- months ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text", ["2026-13", "2026-00", "2026-1", "26-11", "2026-11-01", "", "1969-12", "٢٠٢٦-11"]
)
def test_what_is_no_month_is_refused_in_one_line(text: str) -> None:
    with pytest.raises(InvalidInput, match="is not a month"):
        month_of(text)


@given(st.integers(1970, 9998), st.integers(1, 12))
def test_month_ends_where_the_next_one_begins(year: int, number: int) -> None:
    window = month_of(f"{year}-{number:02d}")
    begin, last = (datetime.fromtimestamp(at, UTC) for at in (window.start, window.end - 1))
    assert (begin.year, begin.month, begin.day, begin.hour) == (year, number, 1, 0)
    assert (last.year, last.month, last.hour, last.second) == (year, number, 23, 59)
    assert month_of(f"{year + number // 12}-{number % 12 + 1:02d}").start == window.end


def test_last_month_there_is_ends_with_time() -> None:
    assert month_of("9999-12").end == MAX_TIME


def test_month_that_has_not_begun_is_refused() -> None:
    with pytest.raises(InvalidInput, match="has not begun"):
        stated([], as_of=MONTH.start - 1)


@pytest.mark.parametrize(
    ("as_of", "complete"), [(MONTH.start, False), (MONTH.end - 1, False), (MONTH.end, True)]
)
def test_month_is_complete_from_its_end_on(as_of: int, complete: bool) -> None:
    assert stated([], as_of=as_of).complete is complete


# ---- sums ------------------------------------------------------------------------------------------------


def test_first_second_is_in_the_month_and_the_end_is_not() -> None:
    made = stated([deposit(at, 1) for at in (MONTH.start - 1, MONTH.start, MONTH.end - 1, MONTH.end)])
    assert [posting.time for posting in made.others] == [MONTH.start, MONTH.end - 1]
    assert (made.opening, made.closing) == (Balance(1), Balance(3))


kinds = st.sampled_from(
    ["deposit", "withdraw", "lock", "return", "pay", "earn", "penalty", "fee", "given", "mint"]
)
acts = st.lists(
    st.tuples(kinds, st.integers(1, 10**12), st.integers(0, 3), st.integers(0, 60 * 86_400)), max_size=40
)


def played(moves: list[tuple[str, int, int, int]]) -> list[Posting]:
    """Postings an honest ledger could show: nothing is spent that is not there."""
    free, locked, found = 0, dict.fromkeys(range(4), 0), []
    for what, wanted, lease, after in sorted(moves, key=lambda move: move[3]):
        held = locked[lease]
        amount = (
            wanted
            if what in ("deposit", "earn", "penalty", "given", "mint")
            else min(wanted, free if what in ("withdraw", "lock") else held)
        )
        of_free, of_locked, kind = {
            "deposit": (amount, 0, Kind.DEPOSIT),
            "withdraw": (-amount, 0, Kind.WITHDRAWAL),
            "mint": (0, 0, Kind.MINT),
            "lock": (-amount, amount, Kind.LOCKED),
            "return": (amount, -amount, Kind.RETURNED),
            "pay": (0, -amount, Kind.PAID),
            "earn": (amount, 0, Kind.EARNED),
            "penalty": (amount, 0, Kind.PENALTY),
            "fee": (0, -amount, Kind.FEE),
            "given": (0, 0, Kind.GIVEN_BACK),
        }[what]
        free, locked[lease] = free + of_free, held + of_locked
        role = None if what in ("deposit", "withdraw", "mint") or not lease else Role.BUYER
        at = MONTH.start - 15 * 86_400 + after
        number = lease if role else 0
        found.append(Posting(at, bytes([lease] * 32), kind, amount, of_free, of_locked, number, role))
    return found


@given(acts)
def test_rows_lead_from_the_opening_to_the_closing_balance_whatever_happened(
    moves: list[tuple[str, int, int, int]],
) -> None:
    postings = played(moves)
    made = stated(postings)
    free = sum(line.change.free for line in made.leases) + sum(row.free for row in made.others)
    locked = sum(line.change.locked for line in made.leases) + sum(row.locked for row in made.others)
    assert made.closing == Balance(made.opening.free + free, made.opening.locked + locked)
    assert sum(len(line.postings) for line in made.leases) + len(made.others) == sum(
        MONTH.contains(posting.time) for posting in postings
    )
    for line in made.leases:
        told = line.sum_of(Kind.EARNED) - line.sum_of(Kind.PAID)
        told += line.change_of(Kind.PENALTY) + line.change_of(Kind.FEE)
        assert told == line.change.total


@given(acts)
def test_one_month_opens_with_what_the_one_before_closed_with(moves: list[tuple[str, int, int, int]]) -> None:
    postings = played(moves)
    free = Balance().after(postings).free
    names = ("2026-10", "2026-11", "2026-12")
    made = [statement(month_of(name), LATER, postings, {}, free) for name in names]
    assert made[0].opening == Balance()
    assert [month.opening for month in made[1:]] == [month.closing for month in made[:-1]]
    assert made[-1].closing == Balance().after(postings)


@given(acts, st.integers().filter(bool))
def test_movements_that_are_not_all_the_ledger_has_are_an_error(
    moves: list[tuple[str, int, int, int]], off: int
) -> None:
    postings = played(moves)
    with pytest.raises(Bug, match="add up"):
        statement(MONTH, LATER, postings, {}, Balance().after(postings).free + off)


@given(acts, st.data())
def test_a_posting_that_is_missing_is_an_error(
    moves: list[tuple[str, int, int, int]], data: st.DataObject
) -> None:
    postings = played(moves)
    telling = [place for place, posting in enumerate(postings) if posting.free]
    assume(telling)
    place = data.draw(st.sampled_from(telling))
    with pytest.raises(Bug):
        statement(MONTH, LATER, postings[:place] + postings[place + 1 :], {}, Balance().after(postings).free)


def test_more_paid_than_was_locked_is_an_error() -> None:
    postings = [deposit(MONTH.start, 10), lock(MONTH.start, 5, 1, Role.BUYER)]
    postings.append(Posting(MONTH.start, bytes(32), Kind.PAID, 6, 0, -6, 1, Role.BUYER))
    with pytest.raises(Bug, match="below nothing"):
        stated(postings)


@pytest.mark.parametrize(
    ("kind", "free", "locked"), [(Kind.DEPOSIT, 4, 0), (Kind.LOCKED, -5, 4), (Kind.PAID, 5, 0)]
)
def test_posting_that_does_not_add_up_in_itself_is_an_error(kind: Kind, free: int, locked: int) -> None:
    with pytest.raises(Bug, match="a posting of 5"):
        Posting(0, bytes(32), kind, 5, free, locked)


def test_lease_names_each_of_its_transactions_once() -> None:
    both = lock(MONTH.start, 5, 1, Role.BUYER)
    made = stated([deposit(0, 20), both, both, lock(MONTH.start + 1, 5, 1, Role.BUYER)])
    assert made.leases[0].transactions == (both.tx, (MONTH.start + 1).to_bytes(32, "big"))


# ---- time ------------------------------------------------------------------------------------------------

deliveries = st.lists(
    st.builds(Delivery, st.integers(1, 8), st.integers(MONTH.start - 10**6, MONTH.end + 10**6)), max_size=3
).map(lambda found: tuple(sorted(found, key=lambda delivery: delivery.billed_from)))
bills = st.builds(
    Bill,
    deliveries,
    st.integers(MONTH.start - 10**6, MONTH.end + 10**6),
    st.booleans(),
    st.sampled_from([1, 60, HOUR]),
    st.integers(0, 10**9),
)


@given(bills, st.integers(MONTH.start - 2 * 10**6, MONTH.end + 2 * 10**6))
def test_time_of_two_months_is_the_time_of_both_together(bill: Bill, cut: int) -> None:
    whole = Window(MONTH.start - 3 * 10**6, MONTH.end + 3 * 10**6)
    parts = (Window(whole.start, cut), Window(cut, whole.end))
    assert sum(bill.seconds(part) for part in parts) == bill.seconds(whole)
    assert sum(bill.started_hours(part) for part in parts) == bill.started_hours(whole)
    assert all(bill.seconds(part) >= 0 and bill.started_hours(part) >= 0 for part in parts)


@given(deliveries, st.integers(MONTH.start, MONTH.end), st.sampled_from([1, 60, HOUR]), st.integers(1, 10**9))
def test_billed_seconds_are_those_the_contract_charges_for(
    found: tuple[Delivery, ...], until: int, quantum: int, rate: int
) -> None:
    assume(all(delivery.billed_from <= until for delivery in found))
    accrual = Accrual(rate, quantum, until, 10**30, found)
    bill = Bill(found, until, True, quantum, 10**12)
    seconds = bill.seconds(Window(0, LATER))
    assert accrual.accrued(until, final=True) == -(-rate * seconds // HOUR)


@pytest.mark.parametrize(("seconds", "hours"), [(0, 0), (1, 1), (HOUR, 1), (HOUR + 1, 2), (25 * HOUR, 25)])
def test_a_started_hour_counts_as_one_for_every_machine(seconds: int, hours: int) -> None:
    begin = MONTH.start + 77
    bill = Bill((Delivery(3, begin),), begin + seconds, True, 1, 10**9)
    assert (bill.seconds(MONTH), bill.started_hours(MONTH)) == (3 * seconds, 3 * hours)


def test_an_hour_counts_in_the_month_it_began_in() -> None:
    bill = Bill((Delivery(1, MONTH.end - 600),), MONTH.end + 600, True, 1, 10**9)
    assert (bill.seconds(MONTH), bill.started_hours(MONTH)) == (600, 1)
    after = month_of("2026-12")
    assert (bill.seconds(after), bill.started_hours(after)) == (600, 0)


def test_lease_that_runs_and_moves_no_credits_has_its_row() -> None:
    bill = Bill((Delivery(2, 0),), LATER, False, 60, 10**12)
    before = lock(MONTH.start - 5, 10, 7, Role.BUYER)
    made = stated([deposit(0, 50), before], {7: bill})
    [line] = made.leases
    assert (line.lease, line.seconds, line.change) == (7, 2 * MONTH.seconds, Balance())


def test_started_hours_change_no_amount() -> None:
    postings = [deposit(MONTH.start, 50), lock(MONTH.start, 5, 7, Role.BUYER)]
    bill = Bill((Delivery(1, MONTH.start),), MONTH.end, False, 1, 10**12)
    with_time, without = stated(postings, {7: bill}), stated(postings)
    assert with_time.leases[0].hours == MONTH.seconds // HOUR
    assert replace(with_time.leases[0], seconds=0, hours=0) == without.leases[0]
