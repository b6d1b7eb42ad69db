"""`ocx provider new-plugin`: what it writes is a plugin that works before anything is changed in it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from cli.main import cli
from tests.cli.conftest import Person

_ORDERS = """
import json, sys
from provisioner.plugin import Order, load
plugin = load("acme_cloud", {"folder": sys.argv[1], "site": "here", "machines": ["m1", "m2"]})
order = Order("ocx-1-abc-1-1", "m1", "web", ("ssh-ed25519 AAAA",), 0, 3600)
first, again = plugin.provision(order), plugin.provision(order)
owned = [key for key in plugin.list_owned()]
evidence = plugin.release(order.key)
told = {"same": first == again, "owned": owned, "left": list(plugin.list_owned()), "check": plugin.check()}
told |= {"evidence": evidence == plugin.release(order.key), "class": type(plugin).__name__}
print(json.dumps(told))
"""


@pytest.fixture
def somebody(tmp_path: Path) -> Person:
    """Somebody who has no network yet."""
    return Person("author", tmp_path)


def test_a_new_plugin_installs_is_found_by_its_name_and_works(somebody: Person, tmp_path: Path) -> None:
    folder = tmp_path / "acme"
    told = somebody.does("provider new-plugin acme_cloud --out", str(folder))
    assert told["files"] == ["ocx_acme_cloud.py", "pyproject.toml"]
    site = tmp_path / "site"
    tool = shutil.which("uv", path=str(Path(sys.executable).parent))
    assert tool is not None
    words = [tool, "pip", "install", "--quiet", "--no-deps", "--no-build-isolation", "--offline"]
    words += ["--python", sys.executable, "--target", str(site), str(folder)]
    subprocess.run(words, check=True)
    environment = os.environ | {"PYTHONPATH": f"{site}:{Path(__file__).parents[2]}"}
    words = [sys.executable, "-c", _ORDERS, str(tmp_path / "cloud")]
    done = subprocess.run(words, env=environment, check=True, capture_output=True, text=True)
    assert json.loads(done.stdout) == {
        "same": True,
        "owned": ["ocx-1-abc-1-1"],
        "left": [],
        "evidence": True,
        "class": "AcmeCloudPlugin",
        "check": [],
    }


def test_nothing_that_exists_is_written_over(somebody: Person, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "work.py").write_text("months of it")
    line = somebody.is_refused("provider new-plugin mine --out", str(tmp_path / "mine"))
    assert "cannot be made" in line
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["work.py"]


@pytest.mark.parametrize("name", ["Acme", "2fast", "a-b", "../x", "a__b", ""])
def test_a_name_that_python_could_not_use_is_refused(name: str) -> None:
    result = CliRunner().invoke(cli, ["provider", "new-plugin", "--", name])
    assert result.exit_code == 1 and "cannot be named" in result.stderr
