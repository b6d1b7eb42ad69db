"""The fake plugin keeps every promise of the plugin interface, guests and faults included."""

from __future__ import annotations

import dataclasses
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from market.errors import InvalidInput, OcxError, Permanent, Temporary
from market.specs import canonical_document
from provisioner.capabilities import PowerAction
from provisioner.plugin import Conflict, Order, State, load
from provisioner.plugins.fake import FakePlugin

PUBLIC_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIKK1Vf0xc0DbAuR2GrsPcA5kKR2l2Lntic6gtFU8puG3"
MACHINES = [{"name": "one"}, {"name": "two", "class": "bm.small", "cores": 8}]


def fake(tmp_path: Path, **settings: Any) -> FakePlugin:
    """A fake cloud in a file of this test."""
    defaults = {"state": str(tmp_path / "cloud"), "machines": MACHINES, "guest_while_pid": os.getpid()}
    return FakePlugin.from_settings({**defaults, **settings})


def order(plugin: FakePlugin, key: str = "lease-1", machine: int = 0, ssh_key: str = PUBLIC_KEY) -> Order:
    """An order for one of the machines."""
    return Order(key, plugin.inspect()[machine].local_id, "node-1", (ssh_key,), 0, 3600)


def in_thread(call: Any) -> tuple[threading.Thread, list[Any]]:
    """Run a call in a thread; its result or error is appended to the list."""
    result: list[Any] = []

    def run() -> None:
        try:
            result.append(call())
        except (OcxError, RuntimeError) as error:
            result.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    return thread, result


def until(condition: Any, seconds: float = 10) -> None:
    """Wait for a condition with a deadline."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "the condition did not come true in time"
        time.sleep(0.01)


@pytest.fixture
def ssh_key(tmp_path: Path) -> Path:
    """A fresh SSH key."""
    path = tmp_path / "id"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(path)], check=True)
    return path


@pytest.fixture
def cloud_with_guests(tmp_path: Path) -> Iterator[FakePlugin]:
    """A fake cloud whose machines can be logged in to."""
    plugin = fake(tmp_path, guests=True)
    yield plugin
    for key in plugin.list_owned():
        plugin.release(key)


def test_it_is_loaded_by_name_and_an_unknown_name_lists_the_known_ones(tmp_path: Path) -> None:
    plugin = load("fake", {"state": str(tmp_path / "cloud"), "machines": MACHINES})
    assert isinstance(plugin, FakePlugin)
    with pytest.raises(InvalidInput, match="fake"):
        load("nebula", {})


@pytest.mark.parametrize(
    "bad",
    [{"nonsense": 1}, {"machines": [{"cores": 3}]}, {"machines": [{"name": "a", "colour": "red"}]}]
    + [{"faults": {"provision": ["earthquake"]}}],
)
def test_bad_settings_are_refused(tmp_path: Path, bad: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput):
        fake(tmp_path, **bad)


def test_a_missing_setting_is_named() -> None:
    with pytest.raises(InvalidInput, match="state, machines"):
        FakePlugin.from_settings({})


def test_inspection_is_stable_and_hardware_is_unique(tmp_path: Path) -> None:
    first, again = fake(tmp_path).inspect(), fake(tmp_path).inspect()
    assert first == again
    assert [m.name for m in first] == ["one", "two"]
    assert first[1].class_name == "bm.small" and first[1].spec.cores == 8
    assert len({m.hardware_id for m in first}) == 2
    assert canonical_document(first[0].document)


def test_a_lease_runs_from_free_to_wiped(tmp_path: Path) -> None:
    plugin = fake(tmp_path)
    assert plugin.status("lease-1").state is State.ABSENT
    connection = plugin.provision(order(plugin))
    assert connection.host_key.startswith("ssh-ed25519 AAAAC3NzaC1lZDI1NTE5")
    status = plugin.status("lease-1")
    assert (status.state, status.connection) == (State.READY, connection)
    assert plugin.list_owned() == {"lease-1": status}
    evidence = plugin.release("lease-1")
    assert evidence.local_id == order(plugin).local_id
    assert evidence.facts["disk_exists"] is False
    assert canonical_document(evidence.facts)
    assert plugin.list_owned() == {}


def test_a_second_process_sees_the_same_truth_and_the_same_connection(tmp_path: Path) -> None:
    first, second = fake(tmp_path), fake(tmp_path)
    assert first.provision(order(first)) == second.provision(order(second))


def test_release_twice_gives_the_same_evidence_and_release_of_nothing_says_absent(tmp_path: Path) -> None:
    plugin = fake(tmp_path)
    plugin.provision(order(plugin))
    assert plugin.release("lease-1") == fake(tmp_path).release("lease-1")
    nothing = plugin.release("lease-9")
    assert nothing.local_id is None and nothing.facts["absent"] is True


def test_a_machine_with_another_key_is_never_touched(tmp_path: Path) -> None:
    plugin = fake(tmp_path)
    plugin.provision(order(plugin))
    before = plugin.list_owned()
    with pytest.raises(Conflict, match="another key"):
        plugin.provision(order(plugin, "lease-2"))
    assert plugin.list_owned() == before


def test_a_key_is_good_for_one_machine_and_one_lease_only(tmp_path: Path) -> None:
    plugin = fake(tmp_path)
    plugin.provision(order(plugin))
    with pytest.raises(Permanent, match="holds one, not two"):
        plugin.provision(order(plugin, machine=1))
    plugin.release("lease-1")
    with pytest.raises(Permanent, match="released already"):
        plugin.provision(order(plugin))


def test_a_key_cannot_change_its_order(tmp_path: Path) -> None:
    plugin = fake(tmp_path)
    first = order(plugin)
    plugin.provision(first)
    assert plugin.provision(dataclasses.replace(first, end=first.end + 3600))
    with pytest.raises(Permanent, match="another hostname"):
        plugin.provision(dataclasses.replace(first, hostname="other"))


def test_a_machine_that_is_being_wiped_is_worth_waiting_for(tmp_path: Path) -> None:
    plugin = fake(tmp_path, release_seconds=0.5)
    plugin.provision(order(plugin))
    thread, _ = in_thread(lambda: plugin.release("lease-1"))
    until(lambda: plugin.status("lease-1").state is State.RELEASING)
    with pytest.raises(Temporary, match="still being wiped"):
        plugin.provision(order(plugin, "lease-2"))
    thread.join(10)
    assert plugin.provision(order(plugin, "lease-2")).port


def test_an_unknown_machine_is_a_permanent_error(tmp_path: Path) -> None:
    with pytest.raises(Permanent, match="no machine"):
        fake(tmp_path).provision(Order("k", "nowhere", "h", (PUBLIC_KEY,), 0, 1))


def test_concurrent_calls_with_one_key_join_one_build(tmp_path: Path) -> None:
    plugins = [fake(tmp_path, provision_seconds=0.2) for _ in range(4)]
    wanted = order(plugins[0])
    runs = [in_thread(lambda p=p: p.provision(wanted)) for p in plugins]
    for thread, _ in runs:
        thread.join(10)
    assert len({result[0].host_key for _, result in runs}) == 1


def test_a_release_during_a_build_wins(tmp_path: Path) -> None:
    plugin = fake(tmp_path, provision_seconds=60)
    thread, result = in_thread(lambda: plugin.provision(order(plugin)))
    until(lambda: plugin.status("lease-1").state is State.BUILDING)
    assert "absent" not in plugin.release("lease-1").facts
    thread.join(10)
    assert isinstance(result[0], Permanent)
    assert plugin.list_owned() == {}


def test_a_failed_build_says_so_and_is_started_again(tmp_path: Path) -> None:
    plugin = fake(tmp_path, faults={"provision": ["fail"]})
    with pytest.raises(Temporary, match="failed"):
        plugin.provision(order(plugin))
    assert plugin.status("lease-1").state is State.FAILED
    assert plugin.provision(order(plugin)).port
    assert plugin.status("lease-1").state is State.READY


@pytest.mark.parametrize("kind", ["temporary", "permanent", "crash"])
def test_a_fault_before_the_effect_leaves_the_cloud_as_it_was(tmp_path: Path, kind: str) -> None:
    plugin = fake(tmp_path, faults={"provision": [kind]})
    with pytest.raises((Temporary, Permanent, RuntimeError)):
        plugin.provision(order(plugin))
    assert plugin.list_owned() == {}
    assert plugin.provision(order(plugin)).port


def test_a_fault_after_the_effect_loses_only_the_answer(tmp_path: Path) -> None:
    plugin = fake(tmp_path)
    plugin.inject("provision", "temporary-after")
    with pytest.raises(Temporary):
        plugin.provision(order(plugin))
    kept = plugin.status("lease-1").connection
    assert kept is not None and plugin.provision(order(plugin)) == kept


def test_a_hanging_call_goes_on_when_the_fault_is_cleared(tmp_path: Path) -> None:
    plugin = fake(tmp_path)
    plugin.inject("provision", "hang")
    thread, result = in_thread(lambda: plugin.provision(order(plugin)))
    thread.join(0.2)
    assert thread.is_alive() and plugin.list_owned() == {}
    plugin.clear_faults()
    thread.join(10)
    assert result[0].port


@pytest.mark.parametrize("kind", ["kill", "kill-after"])
@pytest.mark.parametrize("method", ["provision", "release"])
def test_a_killed_agent_finishes_with_the_same_key(tmp_path: Path, method: str, kind: str) -> None:
    plugin = fake(tmp_path)
    wanted = order(plugin)
    if method == "release":
        plugin.provision(wanted)
    plugin.inject(method, kind)
    script = (
        "import sys, pathlib; from provisioner.plugin import Order;"
        "from tests.provisioner.plugins.test_fake import fake;"
        f"p = fake(pathlib.Path(sys.argv[1])); p.{method}({'p and ' if method == 'provision' else ''}"
        + (f"{wanted!r})" if method == "provision" else "'lease-1')")
    )
    root = Path(__file__).parents[3]
    child = subprocess.run([sys.executable, "-c", script, str(tmp_path)], check=False, cwd=root)
    assert child.returncode == -signal.SIGKILL
    if method == "provision":
        assert plugin.provision(wanted) == plugin.provision(wanted)
    else:
        assert plugin.release("lease-1") == plugin.release("lease-1")
        assert plugin.list_owned() == {}


def test_an_unreadable_state_file_is_temporary_and_never_absent(tmp_path: Path) -> None:
    (tmp_path / "cloud").write_text("this is not SQLite" * 100)
    plugin = fake(tmp_path)
    for call in (plugin.inspect, plugin.list_owned, lambda: plugin.status("k"), lambda: plugin.release("k")):
        with pytest.raises(Temporary, match="cannot be read"):
            call()
    assert "cannot be read" in plugin.check()[0]


def ssh(connection: Any, key: Path, command: str) -> subprocess.CompletedProcess[str]:
    """Log in, checking the host key the plugin told."""
    known = key.with_name("known_hosts")
    known.write_text(f"[{connection.host}]:{connection.port} {connection.host_key}\n")
    options = [
        "-i",
        str(key),
        "-o",
        "BatchMode=yes",
        "-o",
        f"UserKnownHostsFile={known}",
        "-o",
        "LogLevel=ERROR",
    ]
    target = f"{connection.user}@{connection.host}"
    argv = ["ssh", "-p", str(connection.port), *options, "-o", "StrictHostKeyChecking=yes", target, command]
    return subprocess.run(argv, capture_output=True, text=True, timeout=20, check=False)


def test_the_tenant_logs_in_until_the_machine_is_wiped(
    cloud_with_guests: FakePlugin, ssh_key: Path, tmp_path: Path
) -> None:
    plugin = cloud_with_guests
    assert plugin.check() == []
    wanted = order(plugin, ssh_key=ssh_key.with_suffix(".pub").read_text())
    connection = plugin.provision(wanted)
    answer = ssh(connection, ssh_key, "echo in; sleep 300 >/dev/null 2>&1 & echo $!")
    words = answer.stdout.split()
    assert words[0] == "in", answer
    plugin.release(wanted.key)
    assert not Path(f"/proc/{words[1]}").exists(), "what the tenant started must end with the machine"
    with pytest.raises(OSError), socket.create_connection((connection.host, connection.port), 1):
        pass
    assert not list((tmp_path / "cloud.disks").iterdir())


def test_the_next_tenant_gets_a_new_host_key(cloud_with_guests: FakePlugin) -> None:
    plugin = cloud_with_guests
    first = plugin.provision(order(plugin))
    plugin.release("lease-1")
    second = plugin.provision(order(plugin, "lease-2"))
    assert first.port == second.port and first.host_key != second.host_key


def test_a_guest_that_died_is_seen_and_booted_again_with_the_same_host_key(
    cloud_with_guests: FakePlugin, tmp_path: Path
) -> None:
    plugin = cloud_with_guests
    connection = plugin.provision(order(plugin))
    (disk,) = (tmp_path / "cloud.disks").iterdir()
    os.kill(int((disk / "lock").read_text()), signal.SIGKILL)
    until(lambda: plugin.status("lease-1").state is State.FAILED)
    assert plugin.provision(order(plugin)) == connection
    assert plugin.status("lease-1").state is State.READY


def test_guests_end_with_the_process_they_belong_to(tmp_path: Path) -> None:
    with subprocess.Popen(["sleep", "300"]) as owner:
        plugin = fake(tmp_path, guests=True, guest_while_pid=owner.pid)
        plugin.provision(order(plugin))
        (disk,) = (tmp_path / "cloud.disks").iterdir()
        guest = int((disk / "lock").read_text())
        owner.kill()
    until(lambda: not Path(f"/proc/{guest}").exists())
    assert plugin.status("lease-1").state is State.FAILED


# ---- power and console -------------------------------------------------------------------------------------


def closed(port: int) -> bool:
    """Whether nobody listens at a loopback port."""
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
    except ConnectionRefusedError:
        return True
    return False


def test_power_off_ends_the_guest_and_the_machine_stays_its_tenants(cloud_with_guests: FakePlugin) -> None:
    plugin = cloud_with_guests
    connection = plugin.provision(order(plugin))
    for _ in range(2):
        plugin.set_power("lease-1", PowerAction.OFF)
        assert closed(connection.port) and not plugin.is_on("lease-1")
    status = plugin.status("lease-1")
    assert status.state is State.READY and "switched off" in status.detail
    assert status.connection == connection
    assert plugin.provision(order(plugin)) == connection, "a repeated order joins it and leaves it off"
    assert closed(connection.port)
    plugin.set_power("lease-1", PowerAction.ON)
    assert plugin.is_on("lease-1") and not closed(connection.port)
    assert plugin.status("lease-1").connection == connection


def test_each_reboot_boots_once_and_switches_on_what_was_off(cloud_with_guests: FakePlugin) -> None:
    plugin = cloud_with_guests
    connection = plugin.provision(order(plugin))
    for booted in (2, 3):
        plugin.set_power("lease-1", PowerAction.REBOOT)
        assert plugin.open_console("lease-1").text.count("Server listening") == booted  # type: ignore[union-attr]
    plugin.set_power("lease-1", PowerAction.OFF)
    plugin.set_power("lease-1", PowerAction.REBOOT)
    assert plugin.is_on("lease-1") and not closed(connection.port)


def test_power_without_guests_is_seen_in_status_and_log(tmp_path: Path) -> None:
    plugin = fake(tmp_path)
    plugin.provision(order(plugin))
    plugin.set_power("lease-1", PowerAction.REBOOT)
    plugin.set_power("lease-1", PowerAction.OFF)
    assert not plugin.is_on("lease-1")
    access = plugin.open_console("lease-1")
    assert access.kind == "log" and access.url is None
    assert access.text is not None and access.text.count("boot") == 2 and access.text.endswith("power off\n")
    plugin.close_console("lease-1")
    plugin.release("lease-1")
    plugin.provision(order(plugin, "lease-2"))
    assert plugin.is_on("lease-2"), "the next tenant gets a machine that is on"


@pytest.mark.parametrize("key", ["nobody's", "released", "failed"])
def test_only_a_machine_that_is_up_has_power_and_console(tmp_path: Path, key: str) -> None:
    plugin = fake(tmp_path, faults={"provision": ["fail"]})
    with pytest.raises(Temporary):
        plugin.provision(order(plugin, "failed"))
    plugin.provision(order(plugin, "released", machine=1))
    plugin.release("released")
    calls: list[Any] = [
        lambda: plugin.set_power(key, PowerAction.ON),
        lambda: plugin.is_on(key),
        lambda: plugin.open_console(key),
    ]
    for call in calls:
        with pytest.raises(Permanent, match="up for this key"):
            call()
    plugin.close_console(key)


def test_a_reboot_that_was_cut_short_is_finished_by_the_next_call(tmp_path: Path) -> None:
    plugin = fake(tmp_path)
    plugin.provision(order(plugin))
    plugin.inject("set_power", "temporary-during")
    with pytest.raises(Temporary):
        plugin.set_power("lease-1", PowerAction.REBOOT)
    assert plugin.status("lease-1").state is State.READY and not plugin.is_on("lease-1")
    plugin.set_power("lease-1", PowerAction.REBOOT)
    assert plugin.is_on("lease-1")
