"""Health and metrics of a witness."""

from __future__ import annotations

import ast
import json
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from daemons.health_page import HealthServer
from market.errors import Permanent
from market.rounds import Grid
from witness.clock import Clock
from witness.health import Condition, Health
from witness.log import Log
from witness.measure import Engine
from witness.settings import MeasureSettings


class Node:
    """What health looks at."""

    def __init__(self, folder: Path) -> None:
        self.off = 0.0
        self.more: list[Condition] = []
        self.log = Log(folder / "witness.db")
        self.clock = Clock(5, 5, 600, wall=lambda: time.time() + self.off)
        self.engine = Engine(
            MeasureSettings(), Grid(60, 10), bytes(32), "0x" + "00" * 20, self.log, self.clock
        )
        self.health = Health(
            self.engine,
            self.log,
            self.clock,
            late_ms=1000,
            more=lambda: {"ticked_epoch": 7, "organisation": "acme"},
            conditions=lambda: self.more,
        )
        self.server = HealthServer(0, self.health.document, self.health.metrics)
        self.server.start()

    def see_blocks(self) -> None:
        for number in range(1, 5):
            self.clock.observe(number, int(time.time()), time.monotonic() - 0.1, time.monotonic())

    def get(self, path: str = "/") -> tuple[int, bytes]:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.server.port}{path}", timeout=10) as answer:
                return answer.status, answer.read()
        except urllib.error.HTTPError as error:
            return error.code, error.read()


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    made = Node(tmp_path)
    yield made
    made.server.stop()
    made.log.stop()


def names(node: Node) -> list[str]:
    return [item["name"] for item in node.health.document()["conditions"]]


def test_a_node_that_is_well_says_so(node: Node) -> None:
    node.see_blocks()
    status, body = node.get()
    assert status == 200
    told = json.loads(body)
    assert told["ok"] is True
    assert told["conditions"] == []
    assert told["ticked_epoch"] == 7
    assert told["clock"]["state"] == "right"


def test_a_clock_that_is_not_known_is_told_and_one_that_is_wrong_is_ill(node: Node) -> None:
    assert names(node) == ["clock-unknown"]
    node.see_blocks()
    node.off = -900
    status, body = node.get()
    assert status == 503
    (condition,) = json.loads(body)["conditions"]
    assert condition["name"] == "clock-wrong"
    assert "-9" in condition["message"]


def test_conditions_of_the_other_half_are_told_with_ours(node: Node) -> None:
    node.see_blocks()
    node.more = [Condition("tick-missed", "epoch 7 was not ticked", "See the log.", ill=True)]
    assert node.get()[0] == 503
    assert names(node) == ["tick-missed"]


def test_every_condition_has_a_line_in_the_book_of_faults() -> None:
    root = Path(__file__).parents[2]
    named, parts = set(), set()
    for source in ("health.py", "loop.py"):
        for call in ast.walk(ast.parse((root / "witness" / source).read_text())):
            if not isinstance(call, ast.Call):
                continue
            if ast.unparse(call.func) == "Condition":
                named |= {node.value for node in ast.walk(call.args[0]) if isinstance(node, ast.Constant)}
            if ast.unparse(call.func) in ("self._part", "self._note"):
                parts |= {f"trouble-{item.value}" for item in call.args if isinstance(item, ast.Constant)}
    assert {"trouble-", "audit-"} < named and "trouble-cycle" in parts
    book = (root / "docs" / "faults.md").read_text()
    wanted = (named - {"trouble-", "audit-"}) | parts | {"audit-N"}
    assert sorted(name for name in wanted if f"`{name}`" not in book) == []


def test_metrics_are_what_prometheus_reads(node: Node) -> None:
    node.see_blocks()
    families = {
        family.name: family for family in text_string_to_metric_families(node.get("/metrics")[1].decode())
    }
    assert families["ocx_witness_ok"].samples[0].value == 1
    assert families["ocx_witness_ticked_epoch"].samples[0].value == 7
    assert "ocx_witness_measured" in families
    assert "ocx_witness_late_seconds" in families
    assert "ocx_witness_clock_offset_low_seconds" in families


def test_a_port_that_is_taken_is_refused_in_words(node: Node) -> None:
    with pytest.raises(Permanent, match="health port"):
        HealthServer(node.server.port, node.health.document)
