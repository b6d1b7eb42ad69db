"""network.yaml: the one description of a chain of the members' own, from which every other file is made.

It says who founded the chain, which nodes may take part and where they are. It holds nothing secret. What the
chain itself decides later (who is a validator today) is asked of the chain and never written here.
"""

from __future__ import annotations

import ipaddress
import re
from pathlib import Path
from typing import Any, Literal

import yaml
from eth_utils.crypto import keccak
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from chain.abi import checksum
from chain.wallet import write_private
from market.errors import InvalidInput

__all__ = [
    "Engine",
    "NetworkDescription",
    "Node",
    "address_of_public_key",
    "checked_name",
    "endpoint",
    "load",
    "parse",
    "save",
]

Engine = Literal["clique", "qbft"]

_NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?")
_HOST = re.compile(r"(?=.{1,253}$)[a-zA-Z0-9]([a-zA-Z0-9.-]*[a-zA-Z0-9])?")
_PUBLIC_KEY = re.compile(r"[0-9a-f]{128}")


def address_of_public_key(public_key: bytes) -> str:
    """The address that belongs to an uncompressed secp256k1 key of 64 bytes."""
    return checksum("0x" + keccak(public_key)[12:].hex())


def checked_name(name: str) -> str:
    """The same, if it can be a node's name; else InvalidInput."""
    if not _NAME.fullmatch(name):
        raise InvalidInput(
            f"{name!r} cannot be a node's name",
            hint="give 1 to 32 small letters, digits and hyphens, no hyphen at either end",
        )
    return name


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Node(_Model):
    """One machine that runs the engine. Its key names it to its peers and, if it is a validator, seals."""

    name: str = Field(description="Unique in the network: small letters, digits, hyphens")
    organisation: str = Field(min_length=1, max_length=64, description="Whose node it is")
    address: str = Field(description="Address that belongs to `public_key`; as a validator it signs with it")
    public_key: str = Field(description="The node key's public half, 128 hexadecimal digits")
    host: str = Field(description="Where its peers reach it: an IP address or a DNS name")
    p2p_port: int = Field(default=30303, ge=1, le=65535, description="TCP port for peers")
    rpc_host: str = Field(default="127.0.0.1", description="Where JSON-RPC listens; never a public interface")
    rpc_port: int = Field(default=8545, ge=1, le=65535, description="Port of JSON-RPC")

    @field_validator("name")
    @classmethod
    def _is_name(cls, value: str) -> str:
        if not _NAME.fullmatch(value):
            raise ValueError("must be 1 to 32 small letters, digits and hyphens, no hyphen at either end")
        return value

    @field_validator("organisation")
    @classmethod
    def _is_one_line(cls, value: str) -> str:
        if not value.isprintable():
            raise ValueError("must be printable text: it stands in configuration files")
        return value

    @field_validator("public_key")
    @classmethod
    def _is_public_key(cls, value: str) -> str:
        value = value.lower().removeprefix("0x")
        if not _PUBLIC_KEY.fullmatch(value):
            raise ValueError("must be 128 hexadecimal digits")
        return value

    @field_validator("host", "rpc_host")
    @classmethod
    def _is_host(cls, value: str) -> str:
        try:
            return str(ipaddress.ip_address(value))
        except ValueError:
            if not _HOST.fullmatch(value):
                raise ValueError("must be an IP address or a DNS name") from None
            return value.lower()

    @model_validator(mode="after")
    def _address_fits(self) -> Node:
        expected = address_of_public_key(bytes.fromhex(self.public_key))
        if self.address.lower() != expected.lower():
            raise ValueError(f"the address of that public key is {expected}")
        return self

    @property
    def enode(self) -> str:
        """How peers name and find it."""
        return f"enode://{self.public_key}@{endpoint(self.host, self.p2p_port)}"

    @property
    def rpc_url(self) -> str:
        """Its JSON-RPC endpoint."""
        return f"http://{endpoint(self.rpc_host, self.rpc_port)}"


class NetworkDescription(_Model):
    """The whole network; the fields are those of network.yaml. Times are seconds."""

    network: str = Field(min_length=1, max_length=64, description="Name of the network, for people")
    engine: Engine = Field(description="clique: geth 1.13; qbft: Hyperledger Besu")
    chain_id: int = Field(gt=0, lt=1 << 53, strict=True, description="EIP-155 chain id, also the network id")
    founded: int = Field(gt=0, strict=True, description="Unix seconds; the time stamp of block 0")
    block_time: int = Field(default=1, ge=1, le=60, strict=True, description="Seconds between blocks")
    slot: int = Field(default=3600, gt=0, strict=True, description="Seconds per slot the exchange is to have")
    gas_limit: int = Field(default=30_000_000, ge=10_000_000, strict=True, description="Gas of a block")
    epoch_length: int = Field(default=30_000, ge=1, strict=True, description="Blocks until open votes lapse")
    validators: tuple[Node, ...] = Field(min_length=1, description="Who founded it: named in block 0")
    followers: tuple[Node, ...] = Field(
        default=(), description="Nodes admitted since; whether one is a validator now, the chain says"
    )
    left: tuple[str, ...] = Field(default=(), description="Names of founders who are let in no more")

    @model_validator(mode="after")
    def _nobody_twice(self) -> NetworkDescription:
        for what in ("name", "public_key"):
            values = [getattr(node, what) for node in self.nodes]
            if len(set(values)) != len(values):
                raise ValueError(f"two nodes have the same {what.replace('_', ' ')}")
        places = [(node.host, node.p2p_port) for node in self.nodes]
        if len(set(places)) != len(places):
            raise ValueError("two nodes have the same host and p2p_port")
        if strange := set(self.left) - {node.name for node in self.validators}:
            raise ValueError(f"left: {', '.join(sorted(strange))} is no founder")
        return self

    @property
    def nodes(self) -> tuple[Node, ...]:
        """Every node there is."""
        return self.validators + self.followers

    @property
    def admitted(self) -> tuple[Node, ...]:
        """Everybody who may connect: all but the founders that have left."""
        return tuple(node for node in self.nodes if node.name not in self.left)

    @property
    def is_local(self) -> bool:
        """Whether all nodes share one machine's loopback."""
        return all(_is_loopback(node.host) for node in self.nodes)

    @property
    def quorum(self) -> int:
        """How many of the founding validators must work for blocks to go on."""
        n = len(self.validators)
        return n // 2 + 1 if self.engine == "clique" else -(-2 * n // 3)

    @property
    def confirmations(self) -> int:
        """Blocks on top before a block counts: QBFT's are final at once, Clique's are not.

        In Clique a validator signs once in any n/2+1 blocks, so those cut off with half the network or less
        make at most n/2 blocks before they stop. A block with one more on top has a majority behind it.
        """
        return len(self.validators) // 2 + 1 if self.engine == "clique" else 0

    def node(self, name: str) -> Node:
        """The node of that name; InvalidInput if there is none."""
        for node in self.nodes:
            if node.name == name:
                return node
        raise InvalidInput(
            f"network {self.network} has no node {name!r}",
            hint=f"its nodes are {', '.join(node.name for node in self.nodes)}",
        )

    def others(self, node: Node) -> tuple[Node, ...]:
        """Whom that node lets in and calls."""
        return tuple(each for each in self.admitted if each.name != node.name)


def parse(raw: object, what: str = "network description") -> NetworkDescription:
    """Check plain data; InvalidInput, in one line, says what is wrong with it."""
    if not isinstance(raw, dict):
        raise InvalidInput(f"{what} must be a mapping of names to values")
    try:
        return NetworkDescription.model_validate(raw)
    except ValidationError as error:
        problems = [_problem(item) for item in error.errors(include_input=False, include_url=False)]
        raise InvalidInput(f"{what} is wrong: {'; '.join(problems)}") from None


def load(path: Path) -> NetworkDescription:
    """Read network.yaml; InvalidInput says what is wrong with it."""
    try:
        raw = yaml.safe_load(path.read_text("utf-8"))
    except FileNotFoundError:
        raise InvalidInput(f"there is no network description {path}") from None
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise InvalidInput(f"network description {path} cannot be read: {error}") from error
    return parse(raw, f"network description {path}")


def save(path: Path, text: str) -> None:
    """Write network.yaml whole or not at all; what is in it is checked before."""
    parse(yaml.safe_load(text))
    write_private(path, text, replace=True)


def _problem(item: Any) -> str:
    place = ".".join(str(part) for part in item["loc"]) or "file"
    return f"{place}: {item['msg'].removeprefix('Value error, ')}"


def endpoint(host: str, port: int) -> str:
    """Host and port as URLs have them: IPv6 addresses in brackets."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
