"""When the chain is asked for its next block, by a clock that is set by hand."""

from __future__ import annotations

import pytest

from chain.wire import Block
from provisioner.agent.heads import Heads

CYCLE = 0.2


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def block(number: int, fork: int = 0) -> Block:
    return Block(number, bytes([fork]) + number.to_bytes(31, "big"), b"", 0, 0, None)


def rhythm(clock: Clock, block_time: float = 1.0, blocks: int = 3) -> Heads:
    """As after some regular blocks, the last one seen now."""
    heads = Heads(block_time, CYCLE, clock)
    for number in range(blocks):
        heads.seen(block(number))  # still the one before
        clock.now += 0.01
        heads.seen(block(number + 1))
        if number < blocks - 1:
            clock.now += block_time - 0.01
    return heads


def test_nothing_is_asked_while_no_block_can_have_come() -> None:
    heads = rhythm(Clock())
    assert heads.pause() == pytest.approx(0.95, abs=0.02)


def test_a_block_that_is_due_is_asked_for_often_but_not_for_ever() -> None:
    clock = Clock()
    heads = rhythm(clock)
    clock.now += 1.0
    assert heads.pause() == 0.0
    heads.seen(block(3))
    assert heads.pause() == pytest.approx(0.02)
    clock.now += 0.6
    heads.seen(block(3))
    assert heads.pause() == pytest.approx(CYCLE), "the chain stands still"


def test_without_a_rhythm_the_chain_is_asked_at_every_look() -> None:
    clock = Clock()
    heads = Heads(1.0, CYCLE, clock)
    assert heads.pause() == 0.0
    for number, step in enumerate((0.1, 5.0, 0.3, 2.0)):
        clock.now += step
        heads.seen(block(number))
        assert heads.pause() == pytest.approx(CYCLE)


def test_blocks_that_come_with_transactions_have_no_rhythm() -> None:
    assert rhythm(Clock(), block_time=0.0).pause() == pytest.approx(CYCLE)


@pytest.mark.parametrize("head", [block(2, fork=1), block(7)])
def test_a_chain_that_jumps_has_to_find_its_rhythm_again(head: Block) -> None:
    clock = Clock()
    heads = rhythm(clock)
    clock.now += 1.0
    heads.seen(head)
    assert heads.pause() == pytest.approx(CYCLE)


def test_a_rhythm_seen_late_is_found_in_a_few_blocks() -> None:
    """Blocks come half a second before they were expected: asking begins earlier until it is right."""
    clock = Clock()
    heads = rhythm(clock)
    true_block, number = clock.now + 0.9, 3
    delays = []
    for _ in range(30):
        while True:
            pause = heads.pause()
            if pause > 0:
                clock.now += pause
                continue
            if clock.now >= true_block:
                number += 1
                heads.seen(block(number))
                delays.append(clock.now - true_block)
                true_block += 1.0
                break
            heads.seen(block(number))
            clock.now += 0.001
    assert max(delays[-10:]) <= 0.03
