"""What Ironic's nodes go through when a lease ends, on many machines of fake-hardware in a real Ironic."""

from __future__ import annotations

from typing import Any

import pytest

from market.errors import Permanent, Temporary
from market.specs import canonical_document
from provisioner.plugin import State
from provisioner.plugins.ironic import nodes as marks
from tests.provisioner.plugins.ironic_fakes import Bare, until

pytestmark = [pytest.mark.lab, pytest.mark.timeout(120)]


def test_a_release_leaves_nothing_of_the_tenant_and_says_so(bare: Bare) -> None:
    plugin, wanted = bare.plugin(), bare.order()
    plugin.provision(wanted)
    plugin.open_console(wanted.key)
    used = bare.node()
    assert used["instance_info"] and used["console_enabled"] and used["protected"]
    evidence = plugin.release(wanted.key)
    left = bare.node()
    assert (left["instance_uuid"], left["instance_info"], left["console_enabled"]) == (None, {}, False)
    assert (left["protected"], left["lessee"]) == (False, None)
    assert set(left["extra"]) == {"ocx_address", "ocx_guest_port", "ocx_ssh_port", "ocx_wiped"}
    facts = evidence.facts
    assert facts["cleaned"] and facts["deployed"]
    assert (facts["networks"], facts["console"], facts["instance_info"]) == ([], False, [])
    assert canonical_document(facts)


def test_the_history_that_counts_began_with_the_release(bare: Bare) -> None:
    plugin, wanted = bare.plugin(), bare.order()
    bare.move("manage", "manageable")
    bare.move("provide", "available")  # a cleaning that is not the lease's
    plugin.provision(wanted)
    kinds = [event["event_type"] for event in plugin.release(wanted.key).facts["history"]]
    assert "automated_cleaning_end" in kinds and not [kind for kind in kinds if kind.startswith("deployment")]
    assert kinds.count("automated_cleaning_end") == 1


def test_a_wipe_that_ironic_skips_is_no_wipe(bare: Bare) -> None:
    plugin, wanted = bare.plugin(), bare.order()
    plugin.provision(wanted)
    bare.set("automated_clean", False)
    with pytest.raises(Permanent, match="without cleaning it"):
        plugin.release(wanted.key)
    assert bare.node()["provision_state"] == "available" and bare.lab.servers(wanted.key) == [bare.uuid]
    assert plugin.status(wanted.key).state is State.RELEASING
    with pytest.raises(Temporary, match="still being wiped") as blocked:
        plugin.provision(bare.order())
    assert blocked.value.evidence["holder"] == wanted.key
    assert any("would not be wiped" in line for line in plugin.check())
    bare.set("automated_clean", True)
    assert plugin.release(wanted.key).facts["cleaned"] is True


def test_a_node_that_would_not_be_wiped_is_not_let(bare: Bare) -> None:
    bare.set("automated_clean", False)
    with pytest.raises(Permanent, match="automated_clean is off"):
        bare.plugin().provision(bare.order())
    assert bare.node()["instance_uuid"] is None


def cleanings(bare: Bare) -> list[dict[str, Any]]:
    """The node's cleanings that came to their end."""
    history = bare.client.call("GET", f"/v1/nodes/{bare.uuid}/history?detail=true")["history"]
    return [event for event in history if event["event_type"] == "automated_cleaning_end"]


def test_a_cleaning_without_a_step_that_erases_is_no_wipe(bare: Bare) -> None:
    strict = bare.plugin(wipe_steps=["erase_devices_metadata"])
    wanted = bare.order()
    strict.provision(wanted)
    began = len(cleanings(bare))
    with pytest.raises(Permanent, match=r"without erasing it \(steps: none\)"):
        strict.release(wanted.key)
    assert len(cleanings(bare)) == began + 2, "cleaned again, and watched, before it says so"
    assert strict.status(wanted.key).state is State.RELEASING
    with pytest.raises(Permanent, match="without erasing it"):
        strict.release(wanted.key)


def test_a_node_in_maintenance_by_hand_is_not_touched(bare: Bare) -> None:
    plugin, wanted = bare.plugin(), bare.order()
    plugin.provision(wanted)
    bare.client.call("PUT", f"/v1/nodes/{bare.uuid}/maintenance", {"reason": "new fan"})
    before = bare.node()
    with pytest.raises(Temporary, match=r"by hand \(new fan\)"):
        plugin.release(wanted.key)
    assert bare.node() == before
    assert "in maintenance" in plugin.status(wanted.key).detail
    bare.client.call("DELETE", f"/v1/nodes/{bare.uuid}/maintenance")
    assert plugin.release(wanted.key).facts["cleaned"] is True


def test_a_node_protected_by_a_person_is_not_taken_down(bare: Bare) -> None:
    plugin, wanted = bare.plugin(), bare.order()
    plugin.provision(wanted)
    bare.set("protected_reason", "evidence for the auditor")
    with pytest.raises(Permanent, match="evidence for the auditor"):
        plugin.release(wanted.key)
    assert bare.node()["provision_state"] == "active"


def test_a_leased_node_is_not_taken_down_by_mistake(bare: Bare) -> None:
    plugin, wanted = bare.plugin(), bare.order()
    plugin.provision(wanted)
    with pytest.raises(Permanent, match=rf"leased through OCX: {wanted.key}|protected"):
        bare.move("deleted", "available")
    assert plugin.status(wanted.key).state is State.READY


def test_a_person_took_the_machine_down_and_the_release_goes_on(bare: Bare) -> None:
    plugin, wanted = bare.plugin(), bare.order()
    plugin.provision(wanted)
    bare.set("protected", False)
    bare.move("deleted", "available")
    assert plugin.status(wanted.key).state is State.RELEASING
    with pytest.raises(Permanent, match="was released"):
        plugin.provision(wanted)
    assert plugin.release(wanted.key).facts["cleaned"] is True


def test_the_last_releases_of_a_node_are_remembered_and_older_ones_absent(bare: Bare) -> None:
    plugin, first = bare.plugin(), {}
    orders = [bare.order() for _ in range(marks.KEPT_WIPES + 1)]
    for number, wanted in enumerate(orders):
        if number % 4:  # most were only reserved, which is quicker to give back
            node = plugin._api.node(bare.uuid)
            assert node is not None
            plugin._builder.reserve(node, wanted)
        else:
            plugin.provision(wanted)
        first[wanted.key] = plugin.release(wanted.key)
    again = bare.plugin()
    for wanted in orders[1:]:
        assert again.release(wanted.key) == first[wanted.key]
        with pytest.raises(Permanent, match="released already"):
            again.provision(wanted)
    assert again.release(orders[0].key).facts["absent"] is True
    assert len(canonical_document({"extra": bare.node()["extra"]})) < 60_000, "fits into a database column"


def test_networks_that_are_left_are_taken_off(bare: Bare) -> None:
    """Attaching needs Neutron, which cannot run here; so the calls for it are stood in for."""
    plugin, wanted = bare.plugin(), bare.order()
    attached = ["net-b", "net-a"]
    plugin._api.vifs = lambda uuid: sorted(attached)  # type: ignore[method-assign]
    plugin._api.detach_vif = lambda uuid, vif: attached.remove(vif)  # type: ignore[method-assign]
    plugin.provision(wanted)
    assert plugin.release(wanted.key).facts["networks"] == [] and attached == []


def test_networks_that_stay_keep_the_key_on_the_node(bare: Bare) -> None:
    plugin, wanted = bare.plugin(), bare.order()
    plugin.provision(wanted)
    plugin._api.vifs = lambda uuid: ["net-a"]  # type: ignore[method-assign]
    plugin._api.detach_vif = lambda uuid, vif: None  # type: ignore[method-assign]
    with pytest.raises(Temporary, match="still attached to net-a"):
        plugin.release(wanted.key)
    assert bare.lab.servers(wanted.key) == [bare.uuid]


def test_an_image_of_the_list_is_deployed_and_another_is_refused(bare: Bare) -> None:
    images: dict[str, Any] = {
        "rocky": {
            "source": "http://images/rocky",
            "sha256": "b" * 64,
            "disk_format": "qcow2",
            "ssh_user": "me",
        }
    }
    plugin = bare.plugin(images=images)
    with pytest.raises(Permanent, match=r"no image named 'suse' here\. Images: rocky"):
        plugin.provision(bare.order(properties={"image": "suse"}))
    with pytest.raises(Permanent, match=r"no property colour, size\. Known properties: image"):
        plugin.provision(bare.order(properties={"size": "1", "colour": "red"}))
    wanted = bare.order(properties={"image": "rocky"})
    connection = plugin.provision(wanted)
    info = bare.node()["instance_info"]
    assert (info["image_source"], info["image_os_hash_value"]) == ("http://images/rocky", "b" * 64)
    assert connection.user == "me" and plugin.status(wanted.key).connection == connection
    with pytest.raises(Permanent, match="properties"):
        plugin.provision(bare.order(wanted.key))


def test_a_tenants_project_is_the_lessee_while_it_has_the_node(bare: Bare) -> None:
    wanted = bare.order(properties={"project": "tenant-project"})
    with pytest.raises(Permanent, match="no property project"):
        bare.plugin().provision(wanted)
    bare.set("lessee", "parent-project")
    plugin = bare.plugin(lessees=True)
    plugin.provision(wanted)
    assert bare.node()["lessee"] == "tenant-project"
    plugin.release(wanted.key)
    assert bare.node()["lessee"] == "parent-project"
    bare.set("lessee", None)


def test_a_console_is_closed_before_the_machine_goes_down(bare: Bare) -> None:
    plugin, wanted = bare.plugin(), bare.order()
    plugin.provision(wanted)
    plugin.open_console(wanted.key)
    seen: list[tuple[str, bool]] = []
    verb = plugin._api.set_provision_state

    def watched(uuid: str, target: str, **more: Any) -> None:
        seen.append((target, bool(bare.node()["console_enabled"])))
        verb(uuid, target, **more)

    plugin._api.set_provision_state = watched  # type: ignore[method-assign]
    plugin.release(wanted.key)
    assert seen == [("deleted", False)]
    until(lambda: bare.is_still("available"))
