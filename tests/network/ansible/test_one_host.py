"""A provider agent is set up on a host, looked at, and taken away, by `ocx deploy`; nothing else is used."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from chain.ports import free_ports
from tests.network.ansible.one_host import PASSPHRASE, Site

pytestmark = pytest.mark.timeout(900)


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    """A site with nothing on its host; what still runs at the end is ended."""
    (tmp_path / "tmp").mkdir()
    found = Site(tmp_path, next(free_ports()))
    yield found
    if found.supervisor:
        os.killpg(found.supervisor, signal.SIGKILL)


def alive(pid: int) -> bool:
    """Whether a process is there."""
    return pid > 0 and Path(f"/proc/{pid}").exists()


def test_an_agents_life_on_a_host(site: Site) -> None:
    # Only looked at, a host without anything stays so, and what would change is told.
    told = site.told("--check", "--diff")
    assert told["hosts"][0]["changed"] and told["check"] and not site.host.exists()
    [configuration] = [each for each in told["changes"] if each["task"].endswith("it is configured")]
    assert "+# Configuration of one provider agent" in configuration["diff"]

    # Set up, it runs; what it lacks ends the play with the agent's own words, and is not done again.
    site.variables = {"provider_agent_verify": True, "provider_agent_verify_tries": 1}
    done = site.deploy(code=1)
    last = done.stderr.splitlines()[-1]
    assert last.startswith("ocx: agent-1: provider_agent: verify | Ensure it lacks nothing: ")
    assert "no endpoint" in last and "give the same command again" in last
    supervisor = site.supervisor
    assert alive(supervisor)
    folder = site.host / "etc" / "provider"
    assert (folder / "passphrase").read_text() == f"{PASSPHRASE}\n"
    modes = {path.name: oct(path.stat().st_mode & 0o777) for path in [folder, *folder.iterdir()]}
    assert modes == {
        "provider": "0o750",
        "connection.yaml": "0o640",
        "passphrase": "0o600",
        "provider.yaml": "0o640",
        "wallet.json": "0o600",
    }

    # A second time nothing changes, and the agent is the same process.
    site.variables = {}
    told = site.told()
    assert (told["hosts"], told["changes"]) == ([{**told["hosts"][0], "changed": 0, "failed": 0}], [])
    assert site.supervisor == supervisor and alive(supervisor)

    # Taken away, keys and process are gone, and what it remembers stays.
    site.deploy("--state", "absent")
    assert not alive(supervisor) and not folder.exists()
    assert (site.host / "var" / "provider" / "agent.db").exists()
    assert not list((site.folder / "tmp").glob("ocx-deploy-*"))
