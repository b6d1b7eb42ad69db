"""The roles as files: what they say of their variables, their secrets and the project's own forms."""

from __future__ import annotations

import importlib.util
import json
import os
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml

from chain.data import data_path
from provisioner import settings as provider
from witness import settings as witness

ROOT = data_path("ansible")
ROLES = ["chain_node", "docker", "ocx", "provider_agent", "witness_node"]
SECRET = ("_passphrase", "_secrets", "_keystore")
WALLET = {"keystore": "/etc/ocx/x/wallet.json", "passphrase_file": "/etc/ocx/x/passphrase"}


def read(role: str, path: str) -> Any:
    """A YAML file of a role."""
    return yaml.safe_load((ROOT / "roles" / role / path).read_text("utf-8"))


def tasks(role: str) -> list[dict[str, Any]]:
    """Every task of a role."""
    files = sorted((ROOT / "roles" / role / "tasks").glob("*.yml"))
    return [task for file in files for task in yaml.safe_load(file.read_text("utf-8"))]


def filters() -> ModuleType:
    """The filters the roles use."""
    spec = importlib.util.spec_from_file_location(
        "ocx_filters", ROOT / "roles" / "ocx" / "filter_plugins" / "ocx.py"
    )
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("role", ROLES)
def test_every_variable_of_a_role_has_its_prefix_and_is_described(role: str) -> None:
    defaults = read(role, "defaults/main.yml")
    points = read(role, "meta/argument_specs.yml")["argument_specs"]
    described = {name: spec for point in points.values() for name, spec in point["options"].items()}
    assert all(name.startswith(f"{role}_") for name in [*defaults, *described])
    assert set(defaults) == set(described)
    assert all(spec["description"].endswith(".") for spec in described.values())


@pytest.mark.parametrize("role", ROLES)
def test_what_a_specification_calls_a_default_is_one(role: str) -> None:
    defaults = read(role, "defaults/main.yml")
    points = read(role, "meta/argument_specs.yml")["argument_specs"]
    described = {name: spec for point in points.values() for name, spec in point["options"].items()}
    told = {name: spec["default"] for name, spec in described.items() if "default" in spec}
    assert told == {name: defaults[name] for name in told}


@pytest.mark.parametrize("role", ROLES)
def test_a_role_can_be_set_up_and_taken_away(role: str) -> None:
    assert read(role, "defaults/main.yml")[f"{role}_state"] == "present"
    assert {"setup.yml", "cleanup.yml", "main.yml"} <= set(os.listdir(ROOT / "roles" / role / "tasks"))
    names = {"deploy.yml": "present", "cleanup.yml": "absent"}
    for file, state in names.items():
        plays = yaml.safe_load((ROOT / file).read_text("utf-8"))
        roles = {entry["role"]: entry[f"{entry['role']}_state"] for play in plays for entry in play["roles"]}
        if role != "ocx" or file == "cleanup.yml":  # the others bring it
            assert roles[role] == state


@pytest.mark.parametrize("role", ["provider_agent", "witness_node"])
def test_tasks_that_handle_secrets_say_nothing(role: str) -> None:
    telling = [
        task["name"]
        for task in tasks(role)
        if "ansible.builtin.copy" in task
        and any(word in json.dumps(task) for word in SECRET)
        and task.get("no_log") != "{{ ocx_hide_secrets }}"
    ]
    assert not telling
    spec = read(role, "meta/argument_specs.yml")["argument_specs"]["main"]["options"]
    assert all(spec[name].get("no_log") for name in spec if name.endswith(("_passphrase", "_secrets")))


def test_no_task_gives_a_secret_to_a_command() -> None:
    kinds = ("ansible.builtin.command", "ansible.builtin.shell", "ocx_process")
    for role in ROLES:
        for task in tasks(role):
            given = json.dumps([task.get(kind) for kind in kinds])
            assert not any(word in given for word in ("_passphrase", "_secrets"))


def test_configurations_are_the_programs_own_forms_and_can_be_loaded(tmp_path: Path) -> None:
    fields = {"connection": "/etc/ocx/connection.yaml", "wallet": WALLET, "state_dir": "/var/lib/ocx/x"}
    plugins = [{"name": "fake", "settings": {"state": "<a & b>"}}]
    path = tmp_path / "program.yaml"
    path.write_text(filters().provider_configuration({**fields, "plugins": plugins}))
    loaded = provider.load(path, {})
    assert loaded.plugins[0].settings == {"state": "<a & b>"}
    assert loaded.bidding == provider.BiddingSettings()
    path.write_text(filters().witness_configuration({**fields, "references": ("192.0.2.1:443",)}))
    assert witness.load(path, {}).references == ("192.0.2.1:443",)


def test_a_wrong_field_is_told_in_the_programs_words() -> None:
    from ansible.errors import AnsibleFilterError

    with pytest.raises(AnsibleFilterError, match=r"provider configuration is wrong: .*wallet"):
        filters().provider_configuration({"connection": "x", "state_dir": "y", "plugins": [{"name": "z"}]})


@pytest.mark.parametrize("form", ["ocx-provider.service.j2", "ocx-witness.service.j2"])
def test_units_are_the_projects_own(form: str) -> None:
    names = "name user ocx config state_dir"
    text = filters().unit({name: f"/the/{name}" for name in names.split()}, form)
    assert "ExecStart=/the/ocx" in text and "ReadWritePaths=/the/state_dir" in text


def test_the_example_inventory_has_every_group_and_only_known_variables() -> None:
    inventory = yaml.safe_load((data_path("templates") / "inventory.yml").read_text("utf-8"))
    plays = yaml.safe_load((ROOT / "deploy.yml").read_text("utf-8"))
    assert {play["hosts"] for play in plays} == set(inventory) - {"all"}
    known = {name for role in ROLES for name in read(role, "defaults/main.yml")}
    used = {name for group in inventory.values() for name in group.get("vars", {})}
    used |= {
        name for group in inventory.values() for host in group.get("hosts", {}).values() for name in host
    }
    assert {name for name in used if not name.startswith("ansible_")} <= known
