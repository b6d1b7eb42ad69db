"""The ansible plugin without a host: its settings, what its plays must say, and what is never repeated."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path
from typing import Any

import pytest

from market.errors import InvalidInput, Permanent, Temporary
from market.specs import Spec, canonical_document
from provisioner.plugin import Conflict, Order
from provisioner.plugins.ansible import AnsiblePlugin, AnsibleSettings, marks
from provisioner.plugins.ansible.door import open_keys
from provisioner.plugins.ansible.on_host import Marks, measure
from provisioner.plugins.ansible.runs import fingerprint, run_ident

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIKK1Vf0xc0DbAuR2GrsPcA5kKR2l2Lntic6gtFU8puG3"
MACHINE = {"name": "m-1", "class": "ssh.small", "host": "192.0.2.1", "host_key": KEY}
ORDER = Order("k-1", "m-1", "node-1", ("ssh-ed25519 AAAA",), 0, 3600)


def given(**more: Any) -> dict[str, Any]:
    """Settings that are right, and `more`."""
    return {
        "site": "lab",
        "state": "/nowhere",
        "machines": [MACHINE],
        "ssh_private_key": {"file": "/nowhere/key"},
        **more,
    }


def machine(**more: Any) -> Any:
    """The machine of the settings."""
    return AnsibleSettings(**given(machines=[{**MACHINE, **more}])).machine_list[0]


def test_the_shipped_product_needs_no_settings() -> None:
    settings = AnsibleSettings(**given())
    product = settings.product_of(settings.machine_list[0])
    assert settings.playbook(product, "setup").is_file() and settings.playbook(product, "cleanup").is_file()


@pytest.mark.parametrize(
    ("more", "word"),
    [
        ({"nonsense": 1}, "nonsense"),
        ({"ssh_private_key": "-----BEGIN"}, "ssh_private_key"),
        ({"become_password": "hunter2"}, "become_password"),
        ({"machines": [{**MACHINE, "colour": "red"}]}, "colour"),
        ({"machines": [{"name": "m-1", "class": "x"}]}, "host"),
        ({"machines": [MACHINE, {**MACHINE, "host": "192.0.2.2"}]}, "two machines"),
        ({"machines": [MACHINE, {**MACHINE, "name": "m-2"}]}, "two machines"),
        ({"machines": [{**MACHINE, "name": "../m"}]}, "name of a machine"),
        ({"machines": [{**MACHINE, "host": "-oProxyCommand=x"}]}, "host"),
        ({"machines": [{**MACHINE, "user": "-x"}]}, "user"),
        ({"machines": [{**MACHINE, "port": 0}]}, "port"),
        ({"machines": [{**MACHINE, "host_key": "ssh-ed25519"}]}, "host_key"),
        ({"machines": [{**MACHINE, "spec": {"cores": 1.5}}]}, "spec"),
        ({"machines": [{**MACHINE, "product": "vm"}]}, "vm"),
        ({"products": {}}, "products"),
        ({"products": {"vm": {"setup": "a.yml"}}}, "cleanup"),
        ({"mark_dir": "ocx"}, "mark_dir"),
        ({"parallel": 0}, "parallel"),
    ],
)
def test_bad_settings_are_refused_by_name(more: dict[str, Any], word: str) -> None:
    with pytest.raises(InvalidInput, match=word):
        AnsiblePlugin.from_settings(given(**more))


def test_a_run_is_named_after_its_key() -> None:
    assert run_ident("k", "setup", 1) == run_ident("k", "setup", 1)
    assert len({run_ident("k", "setup", 1), run_ident("k", "setup", 2), run_ident("q", "setup", 1)}) == 3


@pytest.mark.parametrize(
    ("said", "word"),
    [
        ({}, "gives no ocx_connection"),
        ({"ocx_connection": {"host_key": KEY}}, "no user"),
        ({"ocx_connection": {"user": "a"}}, "no host_key"),
        ({"ocx_connection": {"user": "a", "host_key": KEY, "port": "ssh"}}, "wrong port"),
        ({"ocx_connection": {"user": "a", "host_key": KEY, "password": "x"}}, "nobody knows: password"),
    ],
)
def test_a_connection_that_is_not_one_is_permanent_and_says_what_to_write(
    said: dict[str, Any], word: str
) -> None:
    with pytest.raises(Permanent, match=f"{word}.*set_stats"):
        marks.connection_said(said, machine())


def test_a_connection_is_completed_from_the_machine() -> None:
    said = {
        "ocx_connection": {"user": "a", "host_key": f"{KEY} comment", "port": "2222", "details": {"n": 1}}
    }
    found = marks.connection_said(said, machine())
    assert (found.host, found.port, found.host_key, found.details) == ("192.0.2.1", 2222, KEY, {"n": "1"})


def test_evidence_has_one_canonical_form_and_is_bounded() -> None:
    assert canonical_document(marks.evidence_said({"ocx_evidence": {"a": [0.5, 1 << 60]}}, machine()))
    with pytest.raises(Permanent, match="longer than"):
        marks.evidence_said({"ocx_evidence": {"a": "x" * 70000}}, machine())


def test_hardware_is_told_apart_by_what_there_is() -> None:
    measured = {**measure(), "system_uuid": "ab-cd", "serial": "S1"}
    nameless = {**measured, "system_uuid": "", "serial": ""}
    assert _hardware(machine(), measured) == "ab-cd/S1"
    assert _hardware(machine(), nameless) == f"ssh/{KEY}"
    assert _hardware(machine(hardware_id="rack-7"), measured) == "rack-7"
    assert _hardware(dataclasses.replace(machine(), host_key=None), nameless) is None
    told = marks.inspected(machine(spec={"cores": 3}), measured, "lab")
    assert told is not None and told.spec == Spec(cores=3) and canonical_document(told.document)


def _hardware(which: Any, measured: dict[str, Any]) -> str | None:
    told = marks.inspected(which, measured, "lab")
    return None if told is None else told.hardware_id


# ---- the marks on a machine ------------------------------------------------------------


def lease(key: str = "k-1") -> dict[str, Any]:
    """A mark."""
    return marks.new_lease(dataclasses.replace(ORDER, key=key), "small", None)


def test_only_one_connection_holds_the_lock_and_without_it_nothing_is_marked(tmp_path: Path) -> None:
    first, second = Marks(str(tmp_path / "ocx")), Marks(str(tmp_path / "ocx"))
    assert first.lock(0)["locked"] and not second.lock(0)["locked"]
    assert not second.mark(lease())["marked"] and first.mark(lease())["marked"]


def test_a_machine_is_marked_for_one_key_until_its_wipe_is_recorded(tmp_path: Path) -> None:
    here = Marks(str(tmp_path))
    here.lock(0)
    assert here.mark(lease())["marked"] and not here.mark(lease("k-2"))["marked"]
    record = {"key": "k-1", "machine": "m-1", "wiped_at": 7, "facts": {"a": 1}}
    assert here.want("k-1")["wanted"] and not here.want("k-2")["released"]
    assert here.free(record)["released"] == record
    assert here.free({**record, "wiped_at": 9})["released"] == record
    assert here.read("k-1") == {"lease": None, "wanted": False, "released": record}
    assert not here.mark(lease())["marked"] and here.mark(lease("k-2"))["marked"]


def test_old_records_are_shortened_and_never_forgotten(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("provisioner.plugins.ansible.on_host._KEPT_RECORDS", 2)
    here = Marks(str(tmp_path))
    here.lock(0)
    for number in range(5):
        here.free({"key": f"k-{number}", "machine": "m-1", "wiped_at": number, "facts": {"long": "x" * 99}})
        os.utime(tmp_path / "released", (number, number))
    assert len(list((tmp_path / "released").glob("*.json"))) == 2
    records = [here.read(f"k-{number}")["released"] for number in range(5)]
    assert sorted(record["wiped_at"] for record in records) == [0, 1, 2, 3, 4]


def test_a_mark_that_cannot_be_read_is_a_conflict(tmp_path: Path) -> None:
    (tmp_path / "lease.json").write_text("{half")
    here = Marks(str(tmp_path))
    with pytest.raises(Conflict, match="cannot be read"):
        marks.holds(here.read("k-1"), machine(), ORDER)
    here.lock(0)
    assert not here.mark(lease())["marked"]


def test_a_mark_of_another_version_is_never_taken_for_a_connection() -> None:
    found = {
        "lease": {**lease(), "phase": "ready", "connection": {"url": "x"}},
        "wanted": False,
        "released": None,
    }
    with pytest.raises(Temporary, match="another version"):
        marks.holds(found, machine(), ORDER)


# ---- secrets ------------------------------------------------------------


def test_the_private_key_is_a_file_that_ends_with_the_call_and_is_scrubbed(tmp_path: Path) -> None:
    key = tmp_path / "key"
    key.touch(mode=0o600)
    key.write_text("-----BEGIN X-----\nc2VjcmV0LWxpbmU=\n-----END X-----\n")
    settings = AnsibleSettings(**given(ssh_private_key={"file": str(key)}))
    with open_keys(settings) as keys:
        path = Path(keys.private_key_path)
        assert path.read_text() == key.read_text() and path.stat().st_mode & 0o777 == 0o600
        assert keys.scrub("no: c2VjcmV0LWxpbmU= \n yes") == "no: *** yes"
    assert not path.exists()


def test_the_fingerprint_changes_with_a_role(tmp_path: Path) -> None:
    play = tmp_path / "products/a/cleanup.yml"
    role = tmp_path / "roles/r/tasks/main.yml"
    for path in (play, role):
        path.parent.mkdir(parents=True)
        path.write_text("[]")
    before = fingerprint(tmp_path, play)
    role.write_text("[{}]")
    after = fingerprint(tmp_path, play)
    assert before["playbook_sha256"] == after["playbook_sha256"]
    assert before["project_sha256"] != after["project_sha256"]
