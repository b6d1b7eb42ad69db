"""Everything an operator can set for one provider agent: one YAML file, one model, one docstring per field.

`templates/provider.yaml.j2` is the form to fill in, `load` reads it. Every field can be overridden by an
environment variable: `OCX_PROVIDER_` and the field's name, `__` between levels, for instance
`OCX_PROVIDER_GATEWAY__PORT=8443`. Secrets are named by where they are, never written here.

This module must not open what the settings name, and must not contact anything.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import jinja2
import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from chain.data import data_path
from chain.wallet import DEFAULT_VARIABLE
from market.errors import InvalidInput
from provisioner.secrets import SecretSource

__all__ = [
    "BiddingSettings",
    "GatewaySettings",
    "PluginSettings",
    "Settings",
    "WalletSettings",
    "load",
    "render",
]

_PREFIX = "OCX_PROVIDER_"
_TEMPLATE = "provider.yaml.j2"


def _secret_form(value: Any) -> Any:
    """Refuse what names no place; never repeats it: it may be the secret itself."""
    try:
        SecretSource.parse(value, "passphrase")
    except InvalidInput as error:
        raise ValueError(f"{error.message}: {error.hint}") from None
    return value


SecretForm = Annotated[dict[str, Any], BeforeValidator(_secret_form)]
"""The setting `SecretSource.parse` reads."""


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class WalletSettings(_Model):
    """The operator key: a member of the provider's organisation with OFFER, SIGN, DELIVER and RELEASE."""

    keystore: Path = Field(description="Keystore file (version 3)")
    passphrase_file: Path | None = Field(
        default=None, description="File of mode 0600 with its passphrase; short for passphrase: {file: PATH}"
    )
    passphrase: SecretForm | None = Field(
        default=None,
        description="Where its passphrase is: {env: NAME}, {file: PATH} or {command: [PROGRAM, ...]}; "
        "without this and passphrase_file: the variable OCX_PASSPHRASE",
    )

    @model_validator(mode="after")
    def _one_passphrase(self) -> WalletSettings:
        if self.passphrase is not None and self.passphrase_file is not None:
            raise ValueError("give passphrase or passphrase_file, not both")
        return self

    @property
    def passphrase_source(self) -> SecretSource:
        """Where the passphrase is read from, each time the keystore is opened."""
        if self.passphrase is not None:
            return SecretSource.parse(self.passphrase, "wallet.passphrase")
        file = self.passphrase_file
        return SecretSource(file=str(file)) if file is not None else SecretSource(env=DEFAULT_VARIABLE)


class GatewaySettings(_Model):
    """Where buyers fetch their connection data."""

    host: str = Field(default="127.0.0.1", description="Address to listen on")
    port: int = Field(default=0, ge=0, le=65535, description="Port to listen on; 0 takes a free one")
    url: str | None = Field(
        default=None, description="URL registered in Members; none: https://<host>:<port>"
    )
    cert: Path | None = Field(default=None, description="TLS certificate; made at the first start if absent")
    key: Path | None = Field(default=None, description="TLS private key; made with the certificate")


class PluginSettings(_Model):
    """One cloud."""

    name: str = Field(description="Name in the entry-point group ocx.provisioners, e.g. ironic")
    settings: dict[str, Any] = Field(default_factory=dict, description="The plugin's own settings")


class BiddingSettings(_Model):
    """Whether and how the agent bids in sealed tenders; rates in microcredits per resource and hour."""

    enabled: bool = Field(default=True, description="Bid in tenders that fit an open offer of ours")
    aim: Literal["rate", "total"] = Field(
        default="rate", description="rate: the price stays; total: it falls towards cost_rate"
    )
    ask_rate: int = Field(
        default=0, ge=0, description="Rate asked far from the start; never below the offer's floor"
    )
    cost_rate: int = Field(default=0, ge=0, description="Never bid less than this (aim total)")
    lead: int = Field(
        default=86_400, ge=0, description="Seconds before the start when the price begins to fall"
    )
    slas: tuple[int, ...] = Field(
        default=(),
        description="SLAs, by number, to agree to besides those our offers promise; a bid is consent",
    )


class Settings(_Model):
    """One provider agent."""

    connection: Path = Field(description="Connection file of the network")
    wallet: WalletSettings = Field(description="The operator key")
    state_dir: Path = Field(
        description="Folder for database, TLS key and journals; two agents of one provider share it"
    )
    gateway: GatewaySettings = Field(default_factory=GatewaySettings)
    plugins: tuple[PluginSettings, ...] = Field(min_length=1, description="The clouds, first match first")
    bidding: BiddingSettings = Field(default_factory=BiddingSettings)
    turnaround_slots: int = Field(
        default=1, ge=0, description="Slots booked after each lease, for machines registered from here"
    )
    cycle: float = Field(default=0.2, gt=0, le=60, description="Longest pause between two looks, seconds")
    resync: float = Field(
        default=30.0,
        gt=0,
        description="Longest time a lease is left unread when nothing points at it, seconds",
    )
    inspect_every: float = Field(default=300.0, gt=0, description="Seconds between two measurements")
    look_every: float = Field(default=5.0, gt=0, description="Seconds between two readings of each cloud")
    provision_timeout: float = Field(
        default=1800.0, gt=0, description="Seconds after which health calls a provisioning hung"
    )
    release_timeout: float = Field(
        default=1800.0, gt=0, description="Seconds after which health calls a release hung"
    )
    setup_wait: int = Field(
        default=60,
        ge=0,
        description="Seconds to wait for the buyer's SSH key; then the agent makes one and seals it too",
    )
    orphan_grace: int = Field(
        default=600,
        ge=0,
        description="Seconds a machine of a lease that is over is left alone before it is released",
    )
    health_port: int = Field(
        default=0, ge=0, le=65535, description="Loopback port of the health page; 0: free"
    )
    workers: int = Field(default=32, ge=1, le=512, description="Calls of one kind at one time")

    @model_validator(mode="after")
    def _total_needs_cost(self) -> Settings:
        if not self.bidding.enabled or self.bidding.aim == "rate" or self.bidding.cost_rate:
            return self
        raise ValueError("bidding.aim total needs a cost_rate")

    @property
    def database(self) -> Path:
        """The agent's SQLite file."""
        return self.state_dir / "agent.db"

    @property
    def gateway_cert(self) -> Path:
        """Where the gateway's certificate lies."""
        return self.gateway.cert or self.state_dir / "gateway.crt"

    @property
    def gateway_key(self) -> Path:
        """Where the gateway's private key lies."""
        return self.gateway.key or self.state_dir / "gateway.key"


def load(path: Path | str, environment: Mapping[str, str] | None = None) -> Settings:
    """Read the YAML file; relative paths in it count from its folder. InvalidInput, in one line."""
    path = Path(path)
    try:
        raw = yaml.safe_load(path.read_text("utf-8"))
    except FileNotFoundError:
        raise InvalidInput(
            f"there is no provider configuration {path}", hint="Make one: ocx provider config"
        ) from None
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise InvalidInput(f"provider configuration {path} cannot be read: {error}") from error
    if not isinstance(raw, dict):
        raise InvalidInput(f"provider configuration {path} must be a mapping of names to values")
    _override(raw, os.environ if environment is None else environment)
    settings = _validate(raw, f"provider configuration {path}")
    return _absolute(settings, path.resolve().parent)


def render(**fields: Any) -> str:
    """The text of a configuration from the shipped template; the fields are those of `Settings`.

    Paths are written as given. The result is parsed again before it is returned.
    """
    settings = _validate(fields, "provider configuration")
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(data_path("templates")),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,  # noqa: S701  YAML, not HTML; values pass through tojson
    )
    text = environment.get_template(_TEMPLATE).render(settings.model_dump(mode="json"))
    _validate(yaml.safe_load(text), "rendered provider configuration")
    return text


def _override(raw: dict[str, Any], environment: Mapping[str, str]) -> None:
    for name, text in environment.items():
        if not name.startswith(_PREFIX):
            continue
        *sections, last = name.removeprefix(_PREFIX).lower().split("__")
        place = raw
        for section in sections:
            place = place.setdefault(section, {})
            if not isinstance(place, dict):
                raise InvalidInput(f"{name} names no setting: {section} has no fields")
        try:
            place[last] = yaml.safe_load(text)
        except yaml.YAMLError as error:
            raise InvalidInput(f"{name} is not a YAML value: {error}") from error


def _absolute(settings: Settings, folder: Path) -> Settings:
    def fix(path: Path | None) -> Path | None:
        return None if path is None else folder / path.expanduser()

    wallet = settings.wallet.model_copy(
        update={
            "keystore": fix(settings.wallet.keystore),
            "passphrase_file": fix(settings.wallet.passphrase_file),
            "passphrase": _from_folder(settings.wallet.passphrase, folder),
        }
    )
    gateway = settings.gateway.model_copy(
        update={"cert": fix(settings.gateway.cert), "key": fix(settings.gateway.key)}
    )
    update = {"connection": fix(settings.connection), "state_dir": fix(settings.state_dir)}
    return settings.model_copy(update={**update, "wallet": wallet, "gateway": gateway})


def _from_folder(form: dict[str, Any] | None, folder: Path) -> dict[str, Any] | None:
    """A secret's place with its file's path made absolute."""
    if form is None or "file" not in form:
        return form
    return {"file": str(folder / Path(form["file"]).expanduser())}


def _validate(raw: Any, what: str) -> Settings:
    try:
        return Settings.model_validate(raw)
    except ValidationError as error:
        problems = "; ".join(_problem(item) for item in error.errors(include_input=False, include_url=False))
        raise InvalidInput(f"{what} is wrong: {problems}") from None


def _problem(item: Any) -> str:
    place = ".".join(str(part) for part in item["loc"]) or "file"
    return f"{place}: {item['msg'].removeprefix('Value error, ')}"
