"""The connection file: the one file that tells a process which network it belongs to.

It pins the chain (chain id, genesis hash) and the deployment (Directory address and the hash of its code),
so that a file of another network is refused before anything is sent. It must hold nothing secret besides,
perhaps, credentials inside an RPC URL; those never appear in messages (see `redact`).
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from chain.fields import Address
from chain.forms import fill
from market.errors import InvalidInput

__all__ = ["ConnectionFile", "load", "redact", "render"]

_TEMPLATE = "connection.yaml.j2"
_BYTES32 = re.compile(r"0x[0-9a-fA-F]{64}")


class ConnectionFile(BaseModel):
    """What every process of a network is given; the fields are those of the YAML file."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    network: str = Field(min_length=1, max_length=64, description="Name of the network, for people")
    chain_id: int = Field(gt=0, strict=True, description="EIP-155 chain id")
    genesis_hash: str = Field(description="Hash of block 0, 0x and 64 hexadecimal digits")
    directory: Address = Field(description="Address of the Directory contract")
    directory_code_hash: str = Field(description="keccak256 of the runtime code at `directory`")
    rpc_urls: tuple[str, ...] = Field(min_length=1, description="JSON-RPC endpoints, best first")
    ws_url: str | None = Field(default=None, description="Websocket endpoint; only a hint to look sooner")
    gas_price: int | None = Field(
        default=0, ge=0, description="Wei per gas for legacy transactions; null where the fee market decides"
    )
    block_time: float = Field(
        default=1.0, ge=0, description="Seconds between blocks; 0 if blocks come only with transactions"
    )
    slot: int = Field(default=3600, gt=0, description="Seconds per slot, as deployed")
    confirmations: int = Field(
        default=0, ge=0, description="Blocks on top before a block counts; 0 where blocks are final at once"
    )

    @field_validator("genesis_hash", "directory_code_hash")
    @classmethod
    def _is_bytes32(cls, value: str) -> str:
        if not _BYTES32.fullmatch(value):
            raise ValueError("must be 0x and 64 hexadecimal digits")
        return value.lower()

    @field_validator("rpc_urls")
    @classmethod
    def _are_http(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for url in value:
            _require_scheme(url, ("http", "https"))
        if len(set(value)) != len(value):
            raise ValueError("names the same endpoint twice")
        return value

    @field_validator("ws_url")
    @classmethod
    def _is_websocket(cls, value: str | None) -> str | None:
        if value is not None:
            _require_scheme(value, ("ws", "wss"))
        return value

    @property
    def genesis(self) -> bytes:
        """The genesis hash as 32 bytes."""
        return bytes.fromhex(self.genesis_hash[2:])

    @property
    def directory_code(self) -> bytes:
        """The hash of the Directory's runtime code as 32 bytes."""
        return bytes.fromhex(self.directory_code_hash[2:])


def load(path: Path | str) -> ConnectionFile:
    """Read a connection file; InvalidInput, in one line, says what is wrong with it."""
    path = Path(path)
    try:
        raw = yaml.safe_load(path.read_text("utf-8"))
    except FileNotFoundError:
        raise InvalidInput(
            f"there is no connection file {path}",
            hint="Ask an operator of the network for it, or set OCX_CONNECTION to where it lies.",
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInput(f"connection file {path} cannot be read: {error}") from error
    except yaml.YAMLError as error:
        raise InvalidInput(f"connection file {path} is not valid YAML: {error}") from error
    return _validate(raw, f"connection file {path}")


def render(**fields: Any) -> str:
    """The text of a connection file from the shipped template; the fields are those of `ConnectionFile`.

    The result is parsed again before it is returned, so that a wrong field is found here and not by a reader.
    """
    file = _validate(fields, "connection file")
    text = fill(_TEMPLATE, file.model_dump())
    _validate(yaml.safe_load(text), "rendered connection file")
    return text


def redact(url: str) -> str:
    """Scheme, host and port of `url`: what may be shown, without user, password, path or query."""
    parts = urlsplit(url)
    port = f":{parts.port}" if parts.port else ""
    return f"{parts.scheme}://{parts.hostname or '?'}{port}"


def _require_scheme(url: str, schemes: tuple[str, ...]) -> None:
    parts = urlsplit(url)
    if parts.scheme not in schemes or not parts.hostname:
        raise ValueError(f"{redact(url)} must be a URL that begins with {' or '.join(schemes)}://")
    _ = parts.port  # raises ValueError when it is no port


def _validate(raw: object, what: str) -> ConnectionFile:
    if not isinstance(raw, dict):
        raise InvalidInput(f"{what} must be a mapping of names to values")
    try:
        return ConnectionFile.model_validate(raw)
    except ValidationError as error:
        problems = "; ".join(_problem(item) for item in error.errors(include_input=False, include_url=False))
        raise InvalidInput(f"{what} is wrong: {problems}") from None


def _problem(item: Any) -> str:
    place = ".".join(str(part) for part in item["loc"]) or "file"
    return f"{place}: {item['msg'].removeprefix('Value error, ')}"
