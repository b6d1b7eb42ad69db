"""How a program is configured: one YAML file, one model, a variable for every field.

A variable's name is the program's prefix and the field's name, `__` between levels, for instance
`OCX_PROVIDER_GATEWAY__PORT=8443`. Relative paths count from the file's folder. This module must not open what
the settings name, and must not contact anything.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Generic, TypeVar

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from chain.forms import fill
from chain.wallet import DEFAULT_VARIABLE
from daemons.secrets import SecretSource
from market.errors import InvalidInput

__all__ = ["Form", "Frozen", "Program", "WalletSettings"]


class Frozen(BaseModel):
    """A part of a configuration: unknown names are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid")


def _secret_form(value: Any) -> Any:
    """Refuse what names no place; never repeats it: it may be the secret itself."""
    try:
        SecretSource.parse(value, "passphrase")
    except InvalidInput as error:
        raise ValueError(f"{error.message}: {error.hint}") from None
    return value


class WalletSettings(Frozen):
    """The key a program signs with."""

    keystore: Path = Field(description="Keystore file (version 3)")
    passphrase_file: Path | None = Field(
        default=None, description="File of mode 0600 with its passphrase; short for passphrase: {file: PATH}"
    )
    passphrase: Annotated[dict[str, Any], BeforeValidator(_secret_form)] | None = Field(
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


class Program(Frozen):
    """What every program needs to know; each adds its own."""

    connection: Path = Field(description="Connection file of the network")
    wallet: WalletSettings = Field(description="The key it signs with")
    state_dir: Path = Field(description="Folder for what it has to remember")
    generation: int | None = Field(
        default=None, ge=1, description="Generation of the contracts it serves alone; by default the newest"
    )


Model = TypeVar("Model", bound=Program)


@dataclass(frozen=True)
class Form(Generic[Model]):
    """One program's kind of configuration."""

    model: type[Model]
    what: str
    """As errors call it, for instance `provider configuration`."""
    prefix: str
    """Of the variables that override fields."""
    template: str
    """The shipped form to fill in, a file of templates/."""
    command: str
    """The command that prints one."""

    def load(self, path: Path | str, environment: Mapping[str, str] | None = None) -> Model:
        """Read the YAML file; relative paths in it count from its folder. InvalidInput, in one line."""
        path = Path(path)
        try:
            raw = yaml.safe_load(path.read_text("utf-8"))
        except FileNotFoundError:
            raise InvalidInput(f"there is no {self.what} {path}", hint=f"Make one: {self.command}") from None
        except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
            raise InvalidInput(f"{self.what} {path} cannot be read: {error}") from error
        if not isinstance(raw, dict):
            raise InvalidInput(f"{self.what} {path} must be a mapping of names to values")
        self._override(raw, os.environ if environment is None else environment)
        return _absolute(self._validate(raw, f"{self.what} {path}"), path.resolve().parent)

    def render(self, **fields: Any) -> str:
        """The text of a configuration from the shipped template; the fields are those of the model.

        Paths are written as given. The result is parsed again before it is returned.
        """
        settings = self._validate(fields, self.what)
        text = fill(self.template, settings.model_dump(mode="json"))
        self._validate(yaml.safe_load(text), f"rendered {self.what}")
        return text

    def _override(self, raw: dict[str, Any], environment: Mapping[str, str]) -> None:
        for name, text in environment.items():
            if not name.startswith(self.prefix):
                continue
            *sections, last = name.removeprefix(self.prefix).lower().split("__")
            place = raw
            for section in sections:
                place = place.setdefault(section, {})
                if not isinstance(place, dict):
                    raise InvalidInput(f"{name} names no setting: {section} has no fields")
            try:
                place[last] = yaml.safe_load(text)
            except yaml.YAMLError as error:
                raise InvalidInput(f"{name} is not a YAML value: {error}") from error

    def _validate(self, raw: Any, what: str) -> Model:
        try:
            return self.model.model_validate(raw)
        except ValidationError as error:
            problems = error.errors(include_input=False, include_url=False)
            told = "; ".join(_problem(item) for item in problems)
            raise InvalidInput(f"{what} is wrong: {told}") from None


def _problem(item: Any) -> str:
    place = ".".join(str(part) for part in item["loc"]) or "file"
    return f"{place}: {item['msg'].removeprefix('Value error, ')}"


Part = TypeVar("Part", bound=BaseModel)


def _absolute(part: Part, folder: Path) -> Part:
    """The same with every path made absolute, those of secrets' files too."""
    update: dict[str, Any] = {}
    for name in type(part).model_fields:
        value = getattr(part, name)
        if isinstance(value, Path):
            update[name] = folder / value.expanduser()
        elif isinstance(value, BaseModel):
            update[name] = _absolute(value, folder)
    if isinstance(part, WalletSettings) and part.passphrase and "file" in part.passphrase:
        update["passphrase"] = {"file": str(folder / Path(part.passphrase["file"]).expanduser())}
    return part.model_copy(update=update)
