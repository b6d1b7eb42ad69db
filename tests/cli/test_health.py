"""`ocx provider status`, `check` and `retry`: what an agent says of itself, and what a person tells it."""

from __future__ import annotations

import json
import sqlite3
import time
from typing import Any

from daemons.health_page import HealthServer
from provisioner.store.store import Store
from tests.cli.conftest import Market, Person, config_of

SICK: dict[str, Any] = {
    "ok": False,
    "conditions": [
        {"name": "disk-full", "since": 1, "message": "no room", "hint": "Make room.", "ill": True},
    ],
    "leases": [{"lease": 4, "state": "signed", "step": "Wait", "why": "waiting for room"}],
}


def written(person: Person, **changes: Any) -> None:
    """The health file of a person's agent."""
    folder = person.folder / "agent"
    folder.mkdir(exist_ok=True)
    (folder / "health.json").write_text(json.dumps(SICK | {"at": time.time()} | changes))


def test_status_tells_conditions_in_words_and_exits_1_while_the_agent_is_not_well(market: Market) -> None:
    written(market.south)
    result = market.south.run(f"provider status --config {config_of(market.south)}")
    assert result.exit_code == 1
    for words in ("disk-full", "no room", "Make room.", "waiting for room"):
        assert words in result.stdout
    assert "not well" in result.stderr
    written(market.south, ok=True, conditions=[])
    result = market.south.run(f"provider status --config {config_of(market.south)}")
    assert result.exit_code == 0 and "all is well" in result.stdout + result.stderr


def test_status_asks_the_health_page_where_the_file_is_old_as_on_a_full_disk(market: Market) -> None:
    page = HealthServer(0, lambda: SICK | {"at": time.time(), "ok": True})
    page.start()
    written(market.south, at=1, health_port=page.port)
    told = market.south.does(f"provider status --config {config_of(market.south)}")
    page.stop()
    assert told["ok"] and told["conditions"][0]["name"] == "disk-full"
    assert "last word" in market.south.is_refused(f"provider status --config {config_of(market.south)}")


def test_retry_leaves_word_for_every_agent_of_the_store(market: Market) -> None:
    config = config_of(market.south)
    database = market.south.folder / "agent" / "agent.db"
    if not database.exists():
        assert "has the agent ever run" in market.south.is_refused(f"provider retry --config {config}")
        Store(database)
    assert market.south.does(f"provider retry --config {config}") == {"asked": "everything"}
    market.south.does(f"provider retry 12 --config {config}")
    market.south.does(f"provider retry lease/13 --config {config}")
    with sqlite3.connect(database) as db:
        told = [what for (what,) in db.execute("SELECT what FROM try_again ORDER BY id")]
    assert told == ["", "12", "13"]


def test_check_tells_what_must_and_what_should_be_put_right(market: Market) -> None:
    config = config_of(market.south)
    result = market.south.run(f"provider check --config {config}", OCX_FORMAT="json")
    told = json.loads(result.stdout)
    assert result.exit_code == 1 and {item["severity"] for item in told} == {"missing", "advice"}
    assert all(item["finding"] and item["to_do"] for item in told)
