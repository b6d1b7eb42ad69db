"""That the faults `make prove` plants are still faults of the sources; halmos itself is not run here."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from market.errors import Permanent
from tools.prove import FAULTS, Fault, plant

_ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: Path(fault.file).stem)
def test_a_fault_is_planted_in_the_copy_only(fault: Fault, tmp_path: Path) -> None:
    before = (_ROOT / fault.file).read_text("utf-8")
    plant(fault, tmp_path / "planted")
    after = (tmp_path / "planted" / fault.file).read_text("utf-8")
    assert (fault.new in after) and (fault.old not in after)
    assert (_ROOT / fault.file).read_text("utf-8") == before


def test_a_fault_without_its_one_place_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Permanent, match="has no one place"):
        plant(dataclasses.replace(FAULTS[0], old="what is not there"), tmp_path / "planted")


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: Path(fault.file).stem)
def test_the_proof_that_must_find_a_fault_is_there(fault: Fault) -> None:
    contract, function = fault.proof
    source = (_ROOT / "tests" / "proofs" / f"{contract}.t.sol").read_text("utf-8")
    assert f"contract {contract} " in source and f"function {function}(" in source
