"""The Ironic plugin against a real Ironic: leases, crashes, conflicts, failures.

The long stories run at the same time, each on its own machine of the lab, and the tests look at what they
brought.
"""

from __future__ import annotations

import dataclasses
import hashlib
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from chain.lease_endpoints import host_port
from cli.demo.lab import Lab
from cli.demo.lab.ironic_setup import IronicClient
from market.errors import InvalidInput, Permanent, Temporary
from market.specs import Spec, canonical_document
from provisioner.agent.handover import changes
from provisioner.capabilities import PowerAction
from provisioner.plugin import Conflict, Order, State, load
from provisioner.plugins.ironic import IronicPlugin
from tests.provisioner.responding import answers, ask, question

pytestmark = pytest.mark.lab
ROOT = Path(__file__).parents[3]


def settings_of(lab: Lab, **more: Any) -> dict[str, Any]:
    """Settings of the plugin for a lab."""
    return lab.settings(**more)


def order(lab: Lab, machine: int, key: str, public_key: str, **properties: str) -> Order:
    """An order for one machine of the lab."""
    node = lab.description["machines"][machine]["node_uuid"]
    return Order(key, node, f"tenant-{machine + 1}", (public_key,), 0, 3600, properties)


def until(condition: Callable[[], Any], seconds: float = 60) -> Any:
    """Wait for a condition with a deadline; returns its value."""
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < deadline, "the condition did not come true in time"
        time.sleep(0.05)
    return value


def ssh(connection: Any, key: Path, command: str) -> subprocess.CompletedProcess[str]:
    """Log in, checking the host key the plugin told."""
    known = key.with_name("known_hosts")
    known.write_text(f"[{connection.host}]:{connection.port} {connection.host_key}\n")
    options = ["-o", "BatchMode=yes", "-o", f"UserKnownHostsFile={known}", "-o", "StrictHostKeyChecking=yes"]
    argv = ["ssh", "-i", str(key), "-p", str(connection.port), *options, "-o", "LogLevel=ERROR"]
    target = f"{connection.user}@{connection.host}"
    return subprocess.run([*argv, target, command], capture_output=True, text=True, timeout=30, check=False)


def disk_of(lab: Lab, machine: int) -> Path:
    """The folder that is a machine's disk."""
    return Path(lab.description["machines"][machine]["disk"])


@pytest.fixture(scope="module")
def key_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tenant's SSH key."""
    path = tmp_path_factory.mktemp("tenant") / "id"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(path)], check=True)
    return path


def whole_lease(lab: Lab, key_file: Path) -> dict[str, Any]:
    """A lease whose agent is killed -9 while Ironic deploys, taken up by another process, used, released."""
    settings = settings_of(lab, images=lab.description["images"])
    plugin = IronicPlugin.from_settings(settings)
    wanted = order(lab, 0, "lease-whole", key_file.with_suffix(".pub").read_text(), image="other")
    wanted = dataclasses.replace(wanted, responder=True)
    found: dict[str, Any] = {"before": plugin.status(wanted.key)}
    script = (
        "from provisioner.plugin import Order; from provisioner.plugins.ironic import IronicPlugin;"
        f"IronicPlugin.from_settings({settings!r}).provision({wanted!r})"
    )
    with subprocess.Popen([sys.executable, "-c", script], cwd=ROOT) as first:
        until(lambda: "wait" in plugin.status(wanted.key).detail)
        first.send_signal(signal.SIGKILL)
    found["after the kill"] = plugin.status(wanted.key)
    found["connection"] = plugin.provision(wanted)
    found["status"] = plugin.status(wanted.key)
    found["again"] = plugin.provision(wanted)
    guest = host_port(found["connection"].details["guest"])
    until(lambda: answers(guest))
    found["guest"] = ask(guest, question())["guest"]
    found["login"] = ssh(found["connection"], key_file, "hostname; sleep 600 >/dev/null 2>&1 & echo $!")
    with urllib.request.urlopen(found["connection"].details["http"], timeout=5) as page:
        found["web"] = page.read().decode()
    found["disk in use"] = sorted(p.name for p in disk_of(lab, 0).iterdir())
    found["image"] = hashlib.sha256((disk_of(lab, 0) / "image.raw").read_bytes()).hexdigest()
    found["console"] = plugin.open_console(wanted.key)
    found["firmware"] = plugin.firmware(wanted.local_id), document_of(plugin, wanted.local_id)
    switched_off_and_on(plugin, wanted, found, key_file)
    lab.set_firmware(0, bios_version="1.3", secure_boot=True)  # its tenant flashes it
    found["evidence"] = plugin.release(wanted.key)
    found["evidence again"] = IronicPlugin.from_settings(settings_of(lab)).release(wanted.key)
    found["disk after"] = list(disk_of(lab, 0).iterdir())
    found["after"] = plugin.status(wanted.key)
    found["firmware after"] = plugin.firmware(wanted.local_id), document_of(plugin, wanted.local_id)
    return found


def switched_off_and_on(plugin: IronicPlugin, wanted: Order, found: dict[str, Any], key_file: Path) -> None:
    """Its tenant does this; the agent may ask for the machine meanwhile."""
    plugin.set_power(wanted.key, PowerAction.OFF)
    found["off"] = plugin.is_on(wanted.key), plugin.status(wanted.key).state
    found["off login"] = ssh(found["connection"], key_file, "true").returncode
    found["off again"] = plugin.provision(wanted)
    plugin.set_power(wanted.key, PowerAction.ON)
    until(lambda: ssh(found["connection"], key_file, "true").returncode == 0)
    guest = host_port(found["connection"].details["guest"])
    until(lambda: answers(guest))
    found["guest after a reboot"] = ask(guest, question())["guest"]
    found["on"] = plugin.is_on(wanted.key)


def document_of(plugin: IronicPlugin, local_id: str) -> dict[str, Any]:
    """A machine's document as it is measured now."""
    return next(machine.document for machine in plugin.inspect() if machine.local_id == local_id)


def failed_twice(lab: Lab, key_file: Path) -> dict[str, Any]:
    """An image with the wrong hash, then a disk that cannot be cleaned, repaired at last."""
    wanted = order(lab, 1, "lease-failed", key_file.with_suffix(".pub").read_text())
    wrong = IronicPlugin.from_settings(settings_of(lab, image_sha256="0" * 64))
    found: dict[str, Any] = {}
    with pytest.raises(Temporary) as failure:
        wrong.provision(wanted)
    found["error"], found["status"] = str(failure.value), wrong.status(wanted.key)
    disk, aside = disk_of(lab, 1), disk_of(lab, 1).with_suffix(".aside")
    found["disk"] = (disk / "image.raw").exists()
    disk.rename(aside)
    disk.write_text("a disk that does not answer")
    with pytest.raises(Temporary) as failure:
        wrong.release(wanted.key)
    found["wipe error"], found["wipe status"] = str(failure.value), wrong.status(wanted.key)
    disk.unlink()
    aside.rename(disk)
    found["evidence"] = wrong.release(wanted.key)
    return found


def released_while_building(lab: Lab, key_file: Path) -> dict[str, Any]:
    """A release that comes while Ironic deploys."""
    plugin = IronicPlugin.from_settings(settings_of(lab))
    wanted = order(lab, 2, "lease-dropped", key_file.with_suffix(".pub").read_text())
    found: dict[str, Any] = {}
    with ThreadPoolExecutor(1) as pool:
        building = pool.submit(plugin.provision, wanted)
        until(lambda: "wait call-back" in plugin.status(wanted.key).detail)
        with pytest.raises(Conflict) as conflict:
            plugin.provision(order(lab, 2, "lease-thief", "ssh-ed25519 AAAA"))
        found["conflict"] = str(conflict.value)
        found["evidence"] = plugin.release(wanted.key)
        found["building"] = building.exception()
    return found


@pytest.fixture(scope="module")
def stories(lab: Lab, key_file: Path) -> Iterator[dict[str, Future[dict[str, Any]]]]:
    """All stories, running at the same time."""
    tales = (whole_lease, failed_twice, released_while_building)
    with ThreadPoolExecutor(len(tales)) as pool:
        yield {tale.__name__: pool.submit(tale, lab, key_file) for tale in tales}


def test_inspection_shows_what_redfish_measured(lab: Lab) -> None:
    plugin = load("ironic", settings_of(lab))
    assert plugin.check() == []
    machines = plugin.inspect()
    assert [m.name for m in machines] == ["node-1", "node-2", "node-3"]
    assert machines[0].class_name == "bm.large" and machines[0].site == "lab"
    assert machines[0].spec == Spec(cores=64, memory_mib=1048576, disk_gib=4320, gpus=0, network_mbps=25000)
    system, serial = machines[0].hardware_id.split("/")
    assert serial == f"LAB-{system[:8].upper()}"
    assert len({m.hardware_id for m in machines}) == 3
    assert canonical_document(machines[0].document) == canonical_document(plugin.inspect()[0].document)


def test_a_lease_survives_kill_9_and_ends_clean(stories: dict[str, Future[dict[str, Any]]], lab: Lab) -> None:
    found = stories["whole_lease"].result()
    assert found["before"].state is State.ABSENT
    assert found["after the kill"].state is State.BUILDING
    assert found["status"].state is State.READY and found["status"].connection == found["connection"]
    assert found["again"] == found["connection"]
    hostname, sleeper = found["login"].stdout.split()
    assert hostname == ("tenant-1" if os.geteuid() == 0 else hostname)
    assert '"hostname": "tenant-1"' in found["web"]
    assert {"config", "host", "image.raw"} <= set(found["disk in use"])
    assert found["disk after"] == [] and not Path(f"/proc/{sleeper}").exists()
    assert found["after"].state is State.ABSENT


def test_its_responder_answers_with_one_key_before_and_after_a_power_cycle(
    stories: dict[str, Future[dict[str, Any]]],
) -> None:
    found = stories["whole_lease"].result()
    assert found["guest"] == found["guest after a reboot"]


def test_the_tenants_choice_of_an_image_is_what_is_on_the_disk(
    stories: dict[str, Future[dict[str, Any]]], lab: Lab
) -> None:
    assert stories["whole_lease"].result()["image"] == lab.description["images"]["other"]["sha256"]


def test_a_machine_switched_off_is_still_its_tenants_and_comes_back(
    stories: dict[str, Future[dict[str, Any]]],
) -> None:
    found = stories["whole_lease"].result()
    assert found["off"] == (False, State.READY) and found["off login"] != 0
    assert found["off again"] == found["connection"], "and nobody switches it on for that"
    assert found["on"] is True


def test_the_console_ironic_opens_carries_a_token(stories: dict[str, Future[dict[str, Any]]]) -> None:
    """What it shows is the console container's, which cannot run here: nobody looks behind the URL."""
    console = stories["whole_lease"].result()["console"]
    assert console.kind == "vnc" and "token%3D" in console.url


def test_firmware_comes_over_redfish_and_a_tenant_that_flashed_it_is_found_out(
    stories: dict[str, Future[dict[str, Any]]],
) -> None:
    found = stories["whole_lease"].result()
    facts, before = found["firmware"]
    assert facts == before["firmware"] == {"bios_version": "1.2", "boot_mode": "uefi", "secure_boot": False}
    assert found["firmware after"][0] == {"bios_version": "1.3", "boot_mode": "uefi", "secure_boot": True}
    assert changes(before, found["firmware after"][1]) == [
        "firmware.bios_version 1.2 -> 1.3",
        "firmware.secure_boot False -> True",
    ]


def test_the_evidence_is_ironics_own_history(stories: dict[str, Future[dict[str, Any]]]) -> None:
    found = stories["whole_lease"].result()
    evidence = found["evidence"]
    assert evidence == found["evidence again"]
    assert evidence.facts["cleaned"] is True and evidence.facts["provision_state"] == "available"
    assert [e["event_type"] for e in evidence.facts["history"]][-1] == "automated_cleaning_end"
    assert evidence.facts["steps"] == ["erase_devices_metadata"] and evidence.facts["ramdisk"]
    assert (evidence.facts["networks"], evidence.facts["console"]) == ([], False)
    assert abs(evidence.wiped_at - time.time()) < 300
    assert canonical_document(evidence.facts)


def test_a_wrong_image_fails_with_a_reason_and_leaves_no_disk(
    stories: dict[str, Future[dict[str, Any]]],
) -> None:
    found = stories["failed_twice"].result()
    assert "does not match its sha256" in found["error"]
    assert found["status"].state is State.FAILED
    assert found["disk"] is False


def test_a_wipe_that_fails_keeps_the_key_and_is_repaired_by_the_next_release(
    stories: dict[str, Future[dict[str, Any]]],
) -> None:
    found = stories["failed_twice"].result()
    assert "the wipe of node-2 failed" in found["wipe error"]
    assert found["wipe status"].state is State.RELEASING
    assert found["evidence"].facts["cleaned"] is True


def test_a_release_during_a_deployment_wins_and_a_second_key_is_refused(
    stories: dict[str, Future[dict[str, Any]]],
) -> None:
    found = stories["released_while_building"].result()
    assert "carries another key" in found["conflict"]
    assert isinstance(found["building"], Permanent) and "released" in str(found["building"])
    assert found["evidence"].facts["cleaned"] is True


@pytest.fixture
def quiet(stories: dict[str, Future[dict[str, Any]]], lab: Lab) -> IronicPlugin:
    """The plugin once all stories are over."""
    for story in stories.values():
        story.exception()
    return IronicPlugin.from_settings(settings_of(lab))


def test_nothing_of_ours_is_left_when_all_leases_are_over(quiet: IronicPlugin, lab: Lab) -> None:
    assert quiet.list_owned() == {}
    assert len(quiet.inspect()) == 3


def client_of(lab: Lab) -> IronicClient:
    """The lab's own access to Ironic, as another user of it."""
    password = Path(lab.description["password_file"]).read_text()
    return IronicClient(lab.description["ironic_url"], lab.description["username"], password)


def test_a_node_with_an_unknown_tenant_is_not_touched_and_not_for_sale(quiet: IronicPlugin, lab: Lab) -> None:
    node = lab.description["machines"][2]["node_uuid"]
    theirs = "11111111-2222-4333-8444-555555555555"
    client = client_of(lab)
    client.call("PATCH", f"/v1/nodes/{node}", [{"op": "add", "path": "/instance_uuid", "value": theirs}])
    try:
        with pytest.raises(Conflict, match="does not know"):
            quiet.provision(order(lab, 2, "lease-x", "ssh-ed25519 AAAA"))
        assert len(quiet.inspect()) == 2
        assert client.call("GET", f"/v1/nodes/{node}")["instance_uuid"] == theirs
    finally:
        client.call("PATCH", f"/v1/nodes/{node}", [{"op": "remove", "path": "/instance_uuid"}])


def test_a_reservation_without_a_deployment_is_simply_given_back(quiet: IronicPlugin, lab: Lab) -> None:
    wanted = order(lab, 2, "lease-reserved", "ssh-ed25519 AAAA")
    node = quiet._api.node(wanted.local_id)
    assert node is not None
    quiet._builder.reserve(node, wanted)
    assert quiet.status(wanted.key).state is State.BUILDING
    with pytest.raises(Permanent, match="holds node-3, not node-2"):
        quiet.provision(order(lab, 1, wanted.key, "ssh-ed25519 AAAA"))
    facts = quiet.release(wanted.key).facts
    assert (facts["deployed"], facts["cleaned"]) == (False, False)
    assert quiet.list_owned() == {}
    with pytest.raises(Permanent, match="released already"):
        quiet.provision(wanted)


def test_unknown_nodes_and_keys(quiet: IronicPlugin) -> None:
    with pytest.raises(Permanent, match="no node"):
        quiet.provision(Order("k", "00000000-0000-4000-8000-000000000000", "h", ("ssh-ed25519 A",), 0, 1))
    evidence = quiet.release("never-heard-of")
    assert evidence.local_id is None and evidence.facts["absent"] is True


def test_wrong_credentials_are_permanent_and_never_shown(lab: Lab, tmp_path: Path) -> None:
    (tmp_path / "password").write_text("not-the-password")
    (tmp_path / "password").chmod(0o600)
    plugin = IronicPlugin.from_settings(settings_of(lab, password_file=str(tmp_path / "password")))
    with pytest.raises(Permanent) as refusal:
        plugin.status("k")
    assert "credentials" in str(refusal.value) and "not-the-password" not in str(refusal.value)
    assert "401" in plugin.check()[0]
    plugin = IronicPlugin.from_settings(settings_of(lab, password_file=str(tmp_path / "nothing")))
    with pytest.raises(Permanent, match="cannot be read"):
        plugin.list_owned()


@pytest.mark.parametrize(
    "bad", [{"endpoint": None}, {"cloud": "both"}, {"password_file": None}, {"image_sha256": "abc"}, {"x": 1}]
)
def test_bad_settings_are_refused(lab: Lab, bad: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput):
        IronicPlugin.from_settings(settings_of(lab, **bad))


def test_an_ironic_that_is_down_is_temporary_never_absent_and_comes_back(
    quiet: IronicPlugin, lab: Lab
) -> None:
    fresh = IronicPlugin.from_settings(settings_of(lab))
    lab.stop_ironic()
    try:
        for plugin in (quiet, fresh):
            for call in (plugin.inspect, plugin.list_owned, lambda p=plugin: p.status("k")):
                with pytest.raises(Temporary, match="cannot be reached"):
                    call()
        with pytest.raises(Temporary):
            quiet.release("k")
        with pytest.raises(Temporary):
            quiet.provision(order(lab, 0, "k", "ssh-ed25519 AAAA"))
        assert "cannot be reached" in quiet.check()[0]
    finally:
        lab.start_ironic()
    assert len(quiet.inspect()) == len(fresh.inspect()) == 3
