"""The agent's memory, killed at every statement."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

from chain.contracts.book import Bid
from provisioner.plugin import Order, WipeEvidence
from provisioner.store.records import Setup, StoredBid
from provisioner.store.store import Store
from tests.chain.network import die_with_parent

_PROGRAM = """
import os, signal, sqlite3, sys
from pathlib import Path
from chain.contracts.book import Bid
from provisioner.plugin import Order, WipeEvidence
from provisioner.store.records import Blob, Setup, StoredBid
from provisioner.store.store import Store

path, steps = Path(sys.argv[1]), int(sys.argv[2])
store = Store(path)
done = 0

def killer(statement):
    global done
    if statement.startswith(("INSERT", "UPDATE", "BEGIN", "COMMIT")):
        if done == steps:
            os.kill(os.getpid(), signal.SIGKILL)
        done += 1

store.db.set_trace_callback(killer)
store.add_bid(StoredBid(1, Bid(2, 3, 7, (4, 5)), b"s" * 32, b"c" * 32), 10)
with store.transaction():
    store.keep_setup(7, Setup(("key",), private_key="secret"), 10)
    store.keep_order(Order("k", "m", "h", ("key",), 1, 2), 7, "fake", 10)
entry = store.begin("k", "provision", 1.0)
store.finish(entry, 2.0, result="ok")
store.keep_sealed(7, b"d" * 32, b"p" * 32, Blob(1, b"x", b"[]", b"h" * 32, b"k" * 32, b"s" * 32), 10)
store.keep_evidence(7, 4, WipeEvidence("k", "m", 11, {"a": 1}))
print("done", flush=True)
"""


def run(path: Path, steps: int) -> bool:
    """Do everything, or be killed before statement number `steps`; whether it was all done."""
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[3])}
    command = [sys.executable, "-c", _PROGRAM, str(path), str(steps)]
    ended = subprocess.run(
        command, env=environment, stdout=subprocess.PIPE, preexec_fn=die_with_parent, check=False
    )
    assert ended.returncode in (0, -signal.SIGKILL)
    return ended.returncode == 0


def test_killed_anywhere_it_opens_again_and_a_second_run_completes_the_first(tmp_path: Path) -> None:
    for steps in (0, 1, 3, 4, 5, 6, 8):
        path = tmp_path / f"{steps}.db"
        assert not run(path, steps), steps
        store = Store(path)
        assert (store.setup(7) is None) == (store.order("k") is None), "order and setup are one"
        if steps == 8:
            assert store.bid(1) == StoredBid(1, Bid(2, 3, 7, (4, 5)), b"s" * 32, b"c" * 32)
    assert run(path, 1000)
    store = Store(path)
    assert store.order("k") == (Order("k", "m", "h", ("key",), 1, 2), "fake")
    assert list(store.evidence(7)) == ["k"]


def test_what_was_kept_first_stays(tmp_path: Path) -> None:
    store = Store(tmp_path / "agent.db")
    first = StoredBid(1, Bid(2, 3, 7, (4,)), b"a" * 32, b"b" * 32)
    second = StoredBid(1, Bid(2, 9, 7, (4,)), b"x" * 32, b"y" * 32)
    assert store.add_bid(first, 1) == first
    assert store.add_bid(second, 2) == first
    order = Order("k", "m", "h", ("key",), 1, 2)
    assert store.keep_order(order, 7, "fake", 1) == (order, "fake")
    assert store.keep_order(Order("k", "other", "h", (), 1, 2), 7, "ironic", 2) == (order, "fake")
    store.keep_evidence(7, 4, WipeEvidence("k", "m", 11, {}))
    store.keep_evidence(7, 4, WipeEvidence("k", "m", 99, {}))
    assert store.evidence(7)["k"]["wiped_at"] == 11


def test_a_setup_is_refused_once_an_order_is_out(tmp_path: Path) -> None:
    store = Store(tmp_path / "agent.db")
    assert store.keep_setup(7, Setup(("one",)), 1)
    assert store.keep_setup(7, Setup(("two",), "host", {"callback_url": "https://x"}), 2)
    store.keep_order(Order("k", "m", "h", ("two",), 1, 2), 7, "fake", 3)
    assert not store.keep_setup(7, Setup(("three",)), 4)
    assert store.setup(7) == Setup(("two",), "host", {"callback_url": "https://x"})
    assert store.keep_setup(8, Setup(("other lease",)), 5)


def test_the_file_is_private(tmp_path: Path) -> None:
    store = Store(tmp_path / "deep" / "agent.db")
    assert stat.S_IMODE(store.path.stat().st_mode) == 0o600


def test_the_salt_of_a_bid_is_kept_once_any_agent_was_about_to_send_its_commitment(tmp_path: Path) -> None:
    ours, theirs = Store(tmp_path / "agent.db"), Store(tmp_path / "agent.db")
    bid = StoredBid(1, Bid(2, 3, 7, (4,)), b"a" * 32, b"\xab" * 32)
    ours.add_bid(bid, 1)
    assert theirs.drop_unsent_bid(1, "tender/1")
    assert not ours.seal_bid(bid, "tender/1", 2.0), "what was dropped must not be sent"
    ours.add_bid(bid, 3)
    assert ours.seal_bid(bid, "tender/1", 4.0)
    assert not theirs.drop_unsent_bid(1, "tender/1")
    assert theirs.bid(1) == bid
