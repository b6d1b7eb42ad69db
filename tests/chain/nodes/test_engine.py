"""Where the engine is looked for, and what its builder says."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from chain.nodes.engine import RELEASE, find_engine
from market.errors import InvalidInput, Permanent

TOOL = Path(__file__).parents[3] / "tools" / "engine"


def _program(path: Path) -> Path:
    path.write_text("#!/bin/sh\n")
    path.chmod(0o755)
    return path


def test_a_program_that_is_named_is_taken(tmp_path: Path) -> None:
    program = _program(tmp_path / "geth")
    assert find_engine({"OCX_ENGINE": str(program), "OCX_ENGINE_CACHE": "/nowhere"}) == program
    with pytest.raises(InvalidInput, match="OCX_ENGINE"):
        find_engine({"OCX_ENGINE": str(tmp_path / "none")})


def test_what_was_built_is_found_in_the_cache_and_else_the_way_to_build_it_is_said(tmp_path: Path) -> None:
    with pytest.raises(Permanent, match="make engine"):
        find_engine({"OCX_ENGINE_CACHE": str(tmp_path)})
    (tmp_path / f"geth-{RELEASE}").symlink_to(_program(tmp_path / "built"))
    assert find_engine({"OCX_ENGINE_CACHE": str(tmp_path)}) == tmp_path / "built"


def test_without_go_the_builder_says_what_to_do(tmp_path: Path) -> None:
    for tool in ("bash", "dirname", "env"):
        (tmp_path / tool).symlink_to(
            f"/usr/bin/{tool}" if Path(f"/usr/bin/{tool}").exists() else f"/bin/{tool}"
        )
    done = subprocess.run(
        [str(TOOL)],
        env={"PATH": str(tmp_path), "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "no Go in PATH" in done.stderr and "OCX_ENGINE" in done.stderr


@pytest.mark.engine
def test_what_is_built_is_not_built_again_and_needs_no_network() -> None:
    if "OCX_ENGINE" in os.environ:
        pytest.skip("OCX_ENGINE names an engine that was built elsewhere")
    offline = os.environ | {"GOPROXY": "off", "GOFLAGS": "-mod=readonly"}
    done = subprocess.run([str(TOOL)], env=offline, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    assert Path(done.stdout.strip()).resolve() == find_engine()
    assert "building" not in done.stderr


@pytest.mark.engine
def test_it_is_the_release_that_is_pinned() -> None:
    said = subprocess.run([str(find_engine()), "version"], capture_output=True, text=True, check=True).stdout
    assert f"Version: {RELEASE}-stable" in said
