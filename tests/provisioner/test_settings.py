"""The configuration file, its form and its variables."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jinja2
import pytest

from chain.data import data_path
from market.errors import InvalidInput
from provisioner.settings import Settings, load, render

FIELDS: dict[str, Any] = {
    "connection": "connection.yaml",
    "wallet": {"keystore": "key.json", "passphrase_file": "secret"},
    "state_dir": "state",
    "plugins": [{"name": "fake", "settings": {"state": 'a "quoted" name', "machines": [{"name": "m"}]}}],
}


def write(folder: Path, **more: Any) -> Path:
    """A rendered file."""
    path = folder / "provider.yaml"
    path.write_text(render(**(FIELDS | more)))
    return path


def test_the_form_holds_every_field_and_reads_back(tmp_path: Path) -> None:
    settings = load(write(tmp_path, cycle=0.25, bidding={"aim": "total", "cost_rate": 5}), {})
    assert settings.cycle == 0.25 and settings.bidding.aim == "total"
    assert settings.plugins[0].settings["state"] == 'a "quoted" name'
    text = (tmp_path / "provider.yaml").read_text()
    assert all(f"{name}:" in text for name in Settings.model_fields)


def test_every_field_says_what_it_means() -> None:
    models = [Settings, *(f.annotation for f in Settings.model_fields.values())]
    described = [m for m in models if isinstance(m, type) and hasattr(m, "model_fields")]
    sections = {"gateway", "bidding"}
    for model in described:
        for name, field in model.model_fields.items():
            assert field.description or name in sections, f"{model.__name__}.{name}"


def test_relative_paths_count_from_the_file(tmp_path: Path) -> None:
    settings = load(write(tmp_path), {})
    assert settings.connection == tmp_path / "connection.yaml"
    assert settings.wallet.passphrase_file == tmp_path / "secret"
    assert settings.gateway_key == tmp_path / "state" / "gateway.key"


def test_variables_override_fields(tmp_path: Path) -> None:
    variables = {"OCX_PROVIDER_GATEWAY__PORT": "8443", "OCX_PROVIDER_CYCLE": "2.5", "OCX_OTHER": "x"}
    settings = load(write(tmp_path), variables)
    assert settings.gateway.port == 8443 and settings.cycle == 2.5


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"cycle": 0}, "cycle"),
        ({"plugins": []}, "plugins"),
        ({"unknown": 1}, "unknown"),
        ({"bidding": {"aim": "total"}}, "cost_rate"),
        ({"gateway": {"port": 70000}}, "gateway.port"),
    ],
)
def test_a_wrong_field_is_named_in_one_line(change: dict[str, Any], said: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        render(**(FIELDS | change))
    assert said in str(caught.value) and "\n" not in str(caught.value)


def test_a_missing_file_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="ocx provider config"):
        load(tmp_path / "nothing.yaml", {})


def test_the_unit_runs_the_agent_on_its_configuration() -> None:
    folder = jinja2.FileSystemLoader(data_path("templates"))
    environment = jinja2.Environment(loader=folder, undefined=jinja2.StrictUndefined, autoescape=False)  # noqa: S701
    text = environment.get_template("ocx-provider.service.j2").render(
        name="north",
        user="ocx",
        ocx="/opt/ocx/bin/ocx",
        config="/etc/ocx/provider.yaml",
        state_dir="/var/lib/ocx",
    )
    assert "ExecStart=/opt/ocx/bin/ocx provider run --config /etc/ocx/provider.yaml" in text
