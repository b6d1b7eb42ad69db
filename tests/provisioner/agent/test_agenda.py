"""When things are looked at next: no look and no wake-up is lost."""

from __future__ import annotations

from chain.wire import Block
from provisioner.agent.agenda import Agenda


class Clock:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def head(number: int = 10, timestamp: int = 500) -> Block:
    """A head."""
    return Block(number, b"", b"", timestamp, 0, None)


def test_what_was_never_planned_is_due() -> None:
    assert Agenda(Clock()).is_due(7, head())


def test_a_look_comes_at_the_first_of_its_times() -> None:
    clock = Clock()
    agenda = Agenda(clock)
    agenda.plan(7, "soon", after=[None, 1005.0, 1003.0], chain=600)
    assert not agenda.is_due(7, head(timestamp=599))
    assert agenda.is_due(7, head(timestamp=600))
    clock.now = 1003.0
    assert agenda.is_due(7, head(timestamp=599))


def test_without_any_time_it_waits_for_a_touch() -> None:
    clock = Clock()
    agenda = Agenda(clock)
    agenda.plan(7, "an event", after=[])
    clock.now = 1e12
    assert not agenda.is_due(7, head(timestamp=1 << 40))
    agenda.touch(7, "it came")
    assert agenda.is_due(7, head()) and agenda.why(7) == "it came"


def test_a_look_that_needs_a_block_does_not_come_before_it() -> None:
    agenda = Agenda(Clock())
    agenda.touch(7, "mined", block=12)
    assert not agenda.is_due(7, head(11))
    agenda.touch(7, "an event")  # does not forget which block counts
    assert not agenda.is_due(7, head(11)) and agenda.is_due(7, head(12))


def test_a_wake_up_while_something_is_looked_at_counts_for_the_next_round() -> None:
    agenda = Agenda(Clock())
    agenda.begin()
    assert agenda.is_due(7, head())
    agenda.wake()  # from the gateway's thread, after the look read the old state
    agenda.plan(7, "the buyer's key is not here yet", after=[9999.0])
    assert not agenda.is_due(7, head())
    agenda.begin()
    assert agenda.is_due(7, head())
    agenda.plan(7, "seen", after=[9999.0])
    agenda.begin()
    assert not agenda.is_due(7, head())


def test_what_is_forgotten_is_due_when_it_comes_up_anew() -> None:
    agenda = Agenda(Clock())
    agenda.plan(7, "later", after=[9999.0])
    agenda.forget(7)
    assert agenda.is_due(7, head()) and agenda.why(7) == "never looked at"
