"""The soak's short form: agents of two providers are killed half a hundred times."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bench.soak import main


@pytest.mark.timeout(280)
def test_half_a_hundred_kills_double_and_lose_nothing(tmp_path: Path) -> None:
    told = tmp_path / "soak.json"
    wanted = "--kills 50 --minutes 0.5 --seed 3 --providers 2 --life 3 --run-out 0"
    code = main([*wanted.split(), "--json", str(told)])
    numbers = json.loads(told.read_text())
    assert (numbers["doubles"], numbers["lost"], numbers["findings"]) == (0, 0, [])
    assert code == 0
    assert numbers["kills"] >= 20 and numbers["leases"] >= 2
    assert numbers["converged"] == numbers["leases"]
    assert numbers["orphans"]["seen"] == numbers["orphans"]["cleared"]
