"""Calls that hang, crash or come back, and when they are tried again."""

from __future__ import annotations

import threading

import pytest

from market.errors import Permanent, Refused, Temporary
from provisioner.agent.operations import Operations, Retries
from tests.provisioner.world import wait_for


class Clock:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_a_call_that_hangs_holds_up_nothing_else_and_is_told() -> None:
    clock, free, ended = Clock(), threading.Event(), threading.Event()
    operations = Operations(1, ended.set, clock)
    assert operations.start("a", "provision", free.wait, timeout=5)
    assert not operations.start("a", "provision", free.wait, timeout=5)
    assert not operations.start("b", "provision", lambda: 1, timeout=5)
    assert operations.hung() == []
    clock.now += 5
    [hung] = operations.hung()
    assert (hung.key, hung.kind, hung.since, hung.hung_at) == ("a", "provision", 1000.0, 1005.0)
    assert operations.start("b", "provision", lambda: 2, timeout=5)
    assert ended.wait(5)
    [outcome] = operations.ended()
    assert (outcome.key, outcome.value) == ("b", 2)
    free.set()
    wait_for("the end", lambda: operations.running("a") is None)


def test_a_release_may_start_beside_a_build_that_hangs() -> None:
    free = threading.Event()
    operations = Operations(4, lambda: None, Clock())
    assert operations.start("a", "provision", free.wait, timeout=5)
    assert operations.start("a", "release", free.wait, timeout=5)
    free.set()
    wait_for("both", lambda: len(operations.ended()) == 2 or operations.running("a") is None)


def test_a_signature_does_not_wait_for_the_builds_that_fill_every_worker() -> None:
    free = threading.Event()
    operations = Operations(2, lambda: None, Clock())
    assert operations.start("a", "provision", free.wait, timeout=1800)
    assert operations.start("b", "provision", free.wait, timeout=1800)
    assert not operations.start("c", "provision", free.wait, timeout=1800)
    assert operations.start("lease/1", "sign", lambda: 1, timeout=120)
    assert operations.start("a", "release", free.wait, timeout=1800)
    free.set()
    wait_for("the end", lambda: operations.running("a") is None)


def test_a_call_that_got_no_thread_may_be_started_later(monkeypatch: pytest.MonkeyPatch) -> None:
    operations = Operations(1, lambda: None, Clock())
    with monkeypatch.context() as patched:

        def refuse(_: threading.Thread) -> None:
            raise RuntimeError("can't start new thread")

        patched.setattr(threading.Thread, "start", refuse)
        assert not operations.start("a", "provision", lambda: 1, timeout=5)
    assert operations.running("a") is None
    assert operations.start("a", "provision", lambda: 1, timeout=5)


def test_what_a_call_raises_becomes_an_outcome() -> None:
    ended = threading.Event()
    operations = Operations(1, ended.set, Clock())

    def crash() -> None:
        raise ZeroDivisionError("nobody foresaw this")

    operations.start("a", "provision", crash, timeout=5)
    assert ended.wait(5)
    [outcome] = operations.ended()
    assert isinstance(outcome.error, ZeroDivisionError)


def test_after_close_nothing_is_started() -> None:
    operations = Operations(1, lambda: None, Clock())
    assert operations.close(0.1) == []
    assert not operations.start("a", "provision", lambda: 1, timeout=5)


def test_failures_are_tried_again_later_each_time() -> None:
    clock = Clock()
    retries = Retries(clock)
    waits = []
    for _ in range(12):
        trouble = retries.failed("a", Temporary("busy", retry_after=2.0))
        assert trouble.retry_at is not None
        waits.append(trouble.retry_at - clock.now)
        assert retries.blocked("a") == "busy"
        clock.now = trouble.retry_at
        assert retries.blocked("a") is None
    assert waits[:5] == [2, 4, 8, 16, 32] and max(waits) == 60
    retries.succeeded("a")
    assert retries.troubles() == {}


@pytest.mark.parametrize(
    ("error", "final", "again"),
    [
        (Refused("no"), True, True),
        (Permanent("never"), True, False),
        (Permanent("never"), False, True),
        (KeyError("what"), True, True),
    ],
)
def test_only_a_final_failure_waits_for_a_person(error: Exception, final: bool, again: bool) -> None:
    trouble = Retries(Clock()).failed("a", error, final=final)
    assert (trouble.retry_at is not None) == again


def test_an_unforeseen_error_is_counted_and_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    retries = Retries(Clock())
    for _ in range(3):
        retries.failed("a", KeyError("x"))
    assert retries.unforeseen == 3
    assert len(caplog.records) == 1
