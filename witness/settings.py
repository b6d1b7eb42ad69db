"""Everything an operator can set for one witness: one YAML file, one model, one docstring per field.

Every field can be overridden by an environment variable: `OCX_WITNESS_` and the field's name, `__` between
levels, for instance `OCX_WITNESS_MEASURE__TIMEOUT=3`. The passphrase is named by where it is, never written
here.

This module must not open what the settings name, and must not contact anything.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jinja2
import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from chain.data import data_path
from market.errors import InvalidInput

__all__ = ["ClockSettings", "LogSettings", "MeasureSettings", "Settings", "WalletSettings", "load", "render"]

_PREFIX = "OCX_WITNESS_"
_TEMPLATE = "witness.yaml.j2"


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class WalletSettings(_Model):
    """The signer: the key that ticks, proves and answers; never an admin's."""

    keystore: Path = Field(description="Keystore file (version 3)")
    passphrase_file: Path | None = Field(
        default=None, description="File of mode 0600 with its passphrase; none: the variable OCX_PASSPHRASE"
    )


class MeasureSettings(_Model):
    """How machines are probed."""

    timeout: float = Field(
        default=5.0, gt=0, le=60, description="Seconds a probe may take; never more than 0.4 of a round"
    )
    concurrency: int = Field(default=2000, ge=1, le=50_000, description="Machines being measured at one time")
    late_ms: int = Field(
        default=1000,
        ge=1,
        le=60_000,
        description="A measurement that begins later than this after its time leaves its round unmeasured; "
        "keep it below the audits' tolerance",
    )
    host_key_every: int = Field(
        default=10,
        ge=1,
        description="One round in so many, by lot, asks an SSH server to prove its host key",
    )
    loopback: bool = Field(
        default=False,
        description="Measure loopback and link-local addresses too; for demos. Else a machine there is down",
    )


class ClockSettings(_Model):
    """When our own clock is too wrong to measure by."""

    bound: float = Field(default=5.0, gt=0, description="Seconds it may be off, by the blocks' times")
    transit: float = Field(
        default=5.0, gt=0, description="Seconds a block may take from its timestamp until we see it"
    )
    max_age: float = Field(default=7200.0, gt=0, description="Seconds the last block's time is good for")


class LogSettings(_Model):
    """How long measurements are kept."""

    keep_samples: int = Field(
        default=96, ge=24, description="Epochs single measurements are kept (for audits)"
    )
    keep_leaves: int = Field(default=2160, ge=96, description="Epochs summaries per machine are kept")
    batch: float = Field(
        default=0.1, ge=0, le=5, description="Seconds measurements wait for others to share a sync"
    )


class Settings(_Model):
    """One witness."""

    connection: Path = Field(description="Connection file of the network")
    wallet: WalletSettings = Field(description="The signer's key")
    state_dir: Path = Field(
        description="Folder for the log, the master key and the journal; for one node alone"
    )
    measure: MeasureSettings = Field(default_factory=MeasureSettings)
    clock: ClockSettings = Field(default_factory=ClockSettings)
    log: LogSettings = Field(default_factory=LogSettings)
    references: tuple[str, ...] = Field(
        default=(),
        description="host:port of servers whose answer shows that our own network works, beside the chain's "
        "endpoints and other providers' gateways",
    )
    cycle: float = Field(
        default=1.0, gt=0, le=60, description="Longest pause between two looks at the chain, s"
    )
    health_port: int = Field(
        default=0, ge=0, le=65535, description="Loopback port of the health page; 0: free"
    )

    @property
    def database(self) -> Path:
        """The log."""
        return self.state_dir / "witness.db"

    @property
    def master_key(self) -> Path:
        """The secret the times of measurement come from; made at the first start."""
        return self.state_dir / "master.key"


def load(path: Path | str, environment: Mapping[str, str] | None = None) -> Settings:
    """Read the YAML file; relative paths in it count from its folder. InvalidInput, in one line."""
    path = Path(path)
    try:
        raw = yaml.safe_load(path.read_text("utf-8"))
    except FileNotFoundError:
        raise InvalidInput(f"there is no witness configuration {path}") from None
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise InvalidInput(f"witness configuration {path} cannot be read: {error}") from error
    if not isinstance(raw, dict):
        raise InvalidInput(f"witness configuration {path} must be a mapping of names to values")
    _override(raw, os.environ if environment is None else environment)
    return _absolute(_validate(raw, f"witness configuration {path}"), path.resolve().parent)


def render(**fields: Any) -> str:
    """The text of a configuration from the shipped template; the fields are those of `Settings`.

    Paths are written as given. The result is parsed again before it is returned.
    """
    settings = _validate(fields, "witness configuration")
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(data_path("templates")),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,  # noqa: S701  YAML, not HTML; values pass through tojson
    )
    text = environment.get_template(_TEMPLATE).render(settings.model_dump(mode="json"))
    _validate(yaml.safe_load(text), "rendered witness configuration")
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


def _validate(raw: Mapping[str, Any], what: str) -> Settings:
    try:
        return Settings.model_validate(raw)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise InvalidInput(f"{what}: {place}: {first['msg']}") from None


def _absolute(settings: Settings, folder: Path) -> Settings:
    def fix(path: Path | None) -> Path | None:
        return None if path is None else folder / path.expanduser()

    wallet = settings.wallet.model_copy(
        update={
            "keystore": fix(settings.wallet.keystore),
            "passphrase_file": fix(settings.wallet.passphrase_file),
        }
    )
    update = {"connection": fix(settings.connection), "state_dir": fix(settings.state_dir)}
    return settings.model_copy(update={**update, "wallet": wallet})
