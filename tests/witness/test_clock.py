"""Our clock beside the chain's: measured, and not believed when it is off."""

from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from witness.clock import Clock, State

BOUND, TRANSIT = 5.0, 3.0


class World:
    """A chain with a block every `period` seconds, an honest clock of its own, and ours, which is `off`."""

    def __init__(self, off: float = 0.0, seed: int = 1, period: int = 1) -> None:
        self.now, self.off, self.period = 1_790_000_000.25, off, period
        self.boot = 1_789_000_000.0
        self.random = random.Random(seed)
        self.clock = Clock(BOUND, TRANSIT, 600, wall=lambda: self.now + self.off, monotonic=self.monotonic)
        self.before, self.number = self.monotonic(), 0

    def monotonic(self) -> float:
        return self.now - self.boot

    def blocks(self, count: int, lie: float = 0.0, liars: int = 0) -> World:
        """Let so many come, each seen up to a second late; every `liars`th tells a wrong time."""
        for number in range(count):
            self.now += self.period
            made = int(self.now)
            late = self.random.random()
            self.now += late
            self.number += 1
            wrong = lie if liars and number % liars == 0 else 0.0
            self.clock.observe(self.number, int(made + wrong), self.before, self.monotonic())
            self.before = self.monotonic()
            self.now -= late
        return self


def test_before_some_blocks_came_nothing_is_known_and_nothing_trusted() -> None:
    world = World()
    assert world.clock.read().state is State.UNKNOWN
    world.blocks(2)
    assert not world.clock.trusted()
    world.blocks(1)
    assert world.clock.trusted()


@given(st.floats(-4, 4), st.integers(0, 1000), st.integers(1, 10))
def test_the_true_offset_lies_between_the_bounds(off: float, seed: int, period: int) -> None:
    read = World(off, seed, period).blocks(40).clock.read()
    assert read.low is not None
    assert read.high is not None
    assert read.low - 0.01 <= off <= read.high + 0.01


@given(st.integers(0, 1000), st.floats(BOUND + TRANSIT + 3, 10_000), st.sampled_from([-1, 1]))
def test_a_clock_far_off_is_wrong_and_its_error_is_told(seed: int, far: float, sign: int) -> None:
    read = World(far * sign, seed).blocks(20).clock.read()
    assert read.state is State.WRONG
    assert read.offset is not None
    assert abs(read.offset - far * sign) < TRANSIT + 1


@given(st.integers(0, 1000), st.floats(-2, 2))
def test_a_clock_that_is_nearly_right_is_never_called_wrong(seed: int, off: float) -> None:
    assert World(off, seed).blocks(40).clock.trusted()


def test_a_step_of_the_wall_clock_shows_at_once_without_a_block() -> None:
    world = World().blocks(10)
    assert world.clock.trusted()
    world.off = 60.0
    assert world.clock.read().state is State.WRONG
    world.off = 0.0
    assert world.clock.trusted()


def test_a_third_of_the_validators_with_wrong_clocks_changes_nothing() -> None:
    assert World().blocks(60, lie=900, liars=3).clock.trusted()
    assert World().blocks(60, lie=-900, liars=3).clock.trusted()


def test_a_chain_that_stands_still_is_believed_for_a_while_only() -> None:
    world = World().blocks(10)
    world.now += 500
    assert world.clock.trusted()
    world.now += 200
    assert world.clock.read().state is State.UNKNOWN


def test_an_old_block_from_an_endpoint_that_is_behind_says_nothing() -> None:
    world = World().blocks(10)
    before = world.clock.read()
    world.clock.observe(world.number - 5, int(world.now) - 400, world.before, world.monotonic())
    assert world.clock.read() == before
