"""Power, console and firmware of Ironic's nodes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from market.errors import InvalidInput, Permanent, Temporary
from provisioner.capabilities import PowerAction, capabilities_of
from provisioner.plugin import State
from provisioner.plugins.ironic import IronicPlugin
from provisioner.plugins.ironic.facts import firmware_of
from provisioner.plugins.ironic.settings import IronicSettings
from tests.provisioner.plugins.ironic_fakes import Bare

pytestmark = [pytest.mark.lab, pytest.mark.timeout(120)]


def test_the_plugin_promises_power_console_and_firmware() -> None:
    assert capabilities_of(IronicPlugin) == {"power": True, "console": True, "firmware": True}


def test_a_tenant_switches_its_machine_off_and_on(bare: Bare) -> None:
    plugin, wanted = bare.plugin(), bare.order()
    connection = plugin.provision(wanted)
    plugin.set_power(wanted.key, PowerAction.ON)  # fake-hardware leaves it off
    assert plugin.is_on(wanted.key)
    for _ in range(2):
        plugin.set_power(wanted.key, PowerAction.OFF)
        assert not plugin.is_on(wanted.key) and bare.node()["power_state"] == "power off"
    assert plugin.status(wanted.key).state is State.READY
    assert plugin.provision(wanted) == connection, "a machine that is off stays delivered"
    assert not plugin.is_on(wanted.key)
    plugin.set_power(wanted.key, PowerAction.ON)
    plugin.set_power(wanted.key, PowerAction.REBOOT)
    assert plugin.is_on(wanted.key)
    plugin.set_power(wanted.key, PowerAction.OFF)
    plugin.set_power(wanted.key, PowerAction.REBOOT)
    assert plugin.is_on(wanted.key)


def test_only_the_machine_of_a_delivered_key_can_be_switched(bare: Bare) -> None:
    plugin, wanted = bare.plugin(), bare.order()
    for call in (plugin.is_on, plugin.open_console, lambda key: plugin.set_power(key, PowerAction.OFF)):
        with pytest.raises(Permanent, match="no node carries"):
            call(wanted.key)
    node = plugin._api.node(bare.uuid)
    assert node is not None
    plugin._builder.reserve(node, wanted)
    for refused in (plugin.open_console, lambda key: plugin.set_power(key, PowerAction.OFF)):
        with pytest.raises(Permanent, match="building, not ready"):
            refused(wanted.key)
    plugin.close_console("never-heard-of")


def test_a_machine_in_maintenance_is_not_switched(bare: Bare) -> None:
    plugin, wanted = bare.plugin(), bare.order()
    plugin.provision(wanted)
    bare.client.call("PUT", f"/v1/nodes/{bare.uuid}/maintenance", {"reason": "new fan"})
    with pytest.raises(Temporary, match="new fan"):
        plugin.set_power(wanted.key, PowerAction.ON)
    assert bare.node()["power_state"] == "power off"


def test_a_console_is_opened_once_and_closed(bare: Bare) -> None:
    plugin, wanted = bare.plugin(), bare.order()
    plugin.provision(wanted)
    access = plugin.open_console(wanted.key)
    assert access.kind == "vnc" and access.url is not None and f"node%3D{bare.uuid}" in access.url
    assert plugin.open_console(wanted.key) == access
    plugin.close_console(wanted.key)
    plugin.close_console(wanted.key)
    assert bare.node()["console_enabled"] is False
    assert plugin.open_console(wanted.key) != access, "each opening has a token of its own"


def test_a_node_without_a_console_says_so(bare: Bare) -> None:
    bare.set("console_interface", "no-console")
    plugin, wanted = bare.plugin(), bare.order()
    plugin.provision(wanted)
    with pytest.raises(Permanent, match="has no console"):
        plugin.open_console(wanted.key)
    plugin.release(wanted.key)
    bare.set("console_interface", "fake-graphical")


def test_what_a_controller_does_not_tell_is_unknown_not_guessed(bare: Bare) -> None:
    plugin = bare.plugin()
    expected = {"bios_version": None, "boot_mode": "uefi", "secure_boot": None}
    assert plugin.firmware(bare.uuid) == expected
    [machine] = [one for one in plugin.inspect() if one.local_id == bare.uuid]
    assert machine.document["firmware"] == expected
    with pytest.raises(Permanent, match="no node"):
        plugin.firmware("00000000-0000-4000-8000-000000000000")


@pytest.mark.parametrize(
    ("node", "parts", "expected"),
    [
        ({"boot_mode": "bios", "secure_boot": False}, {"bios": "2.1", "bmc": "7"}, ("2.1", "bios", False)),
        ({"capabilities": "boot_mode:uefi, secure_boot:true,x:y"}, {}, (None, "uefi", True)),
        ({"boot_mode": "uefi", "capabilities": "boot_mode:bios"}, {"bios": ""}, (None, "uefi", None)),
        ({"capabilities": "secure_boot:perhaps,boot_mode:floppy"}, {}, (None, None, None)),
    ],
)
def test_what_the_controller_said_counts_before_what_the_operator_wrote(
    node: dict[str, Any], parts: dict[str, str], expected: tuple[Any, ...]
) -> None:
    shown = {"boot_mode": None, "secure_boot": None, **node}
    shown["properties"] = {"capabilities": node.get("capabilities")}
    assert tuple(firmware_of(shown, parts).values()) == expected


def settings(**more: Any) -> dict[str, Any]:
    """Settings of an Ironic nobody reaches."""
    images = {"image_source": "http://images/os", "image_sha256": "a" * 64}
    return {"site": "x", "endpoint": "http://127.0.0.1:9", **images, **more}


@pytest.mark.parametrize(
    "bad",
    [
        {"username": "u", "password": "secret-itself"},
        {"username": "u", "password": {"file": "a"}, "password_file": "b"},
        {"images": {"x": {"source": "http://x"}}},
        {"images": {"x": {"source": "http://x", "sha256": "short"}}},
        {"images": {"x": {"source": "http://x", "sha256": "a" * 64, "disk_format": "iso"}}},
        {"images": {"x": {"source": "http://x", "sha256": "a" * 64, "colour": "red"}}},
        {"images": {"x": "http://x"}},
    ],
)
def test_bad_images_and_passwords_are_refused_and_never_shown(bad: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput) as refusal:
        IronicPlugin.from_settings(settings(**bad))
    assert "secret-itself" not in str(refusal.value)


def test_a_password_comes_from_the_environment_a_file_or_a_command(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("OCX_TEST_IRONIC", "pw")
    (tmp_path / "pw").write_text("pw\n")
    (tmp_path / "pw").chmod(0o600)
    places: list[dict[str, Any]] = [
        {"password": {"env": "OCX_TEST_IRONIC"}},
        {"password": {"file": str(tmp_path / "pw")}},
        {"password": {"command": ["echo", "pw"]}},
        {"password_file": str(tmp_path / "pw")},
    ]
    for place in places:
        assert IronicSettings(**settings(username="u", **place)).secret.read() == "pw"


def test_an_ironic_nobody_answers_for_is_one_short_line() -> None:
    with pytest.raises(Temporary) as trouble:
        IronicPlugin.from_settings(settings()).list_owned()
    told = "Ironic cannot be reached (GET /nodes): no Ironic answers at http://127.0.0.1:9/v1"
    assert str(trouble.value) == told
