"""An invitation: what a newcomer needs to join with its one node, signed by who invites. Nothing secret.

It holds the network's description, whose nodes are the first to call, the hash of block 0, the exchange's
Directory with the hash of its code, for whom it is, until when, and the signature (EIP-191) of the inviter's
wallet over all of that. Whether the inviter may invite is for the chain to say, once the newcomer has it: who
gets an invitation from strangers must know by other means whose signature to expect.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from chain import connection as connection_file
from chain.abi import checksum
from chain.fields import Address
from chain.messages import signer
from chain.nodes.description import NetworkDescription, Node
from chain.nodes.render import block_0
from chain.wallet import Wallet
from market.errors import InvalidInput, OcxError, Refused

__all__ = ["Invitation", "load", "require_valid", "sign"]

_MOST_BYTES = 8 << 20
_BYTES32 = "^0x[0-9a-f]{64}$"


class Invitation(BaseModel):
    """The fields are those of the file. Times are unix seconds."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    version: Literal[1] = Field(default=1, description="Of this format")
    network: NetworkDescription = Field(description="network.yaml with the newcomer's node in it")
    genesis_hash: str = Field(pattern=_BYTES32, description="Hash of block 0")
    directory: Address = Field(description="Address of the Directory contract")
    directory_code_hash: str = Field(pattern=_BYTES32, description="keccak256 of the code there")
    slot: int = Field(gt=0, strict=True, description="Seconds per slot, as deployed")
    gas_price: int | None = Field(ge=0, description="Wei per gas; null where the fee market decides")
    confirmations: int = Field(ge=0, strict=True, description="Blocks on top before a block counts")
    node: Address = Field(description="Address of the node that is invited")
    organisation: str = Field(min_length=1, max_length=64, description="Whose node it is")
    roles: tuple[str, ...] = Field(description="What the organisation may be, at the time of signing")
    issued: int = Field(gt=0, strict=True, description="When it was signed")
    expires: int = Field(gt=0, strict=True, description="From when on it is worth nothing")
    inviter: Address = Field(description="The wallet that signed")
    signature: str = Field(default="0x", pattern="^0x([0-9a-f]{130})?$", description="Of all of the above")

    @model_validator(mode="after")
    def _names_its_node(self) -> Invitation:
        if self.node not in {checksum(node.address) for node in self.network.nodes}:
            raise ValueError("the invited node is not in its network")
        return self

    @property
    def message(self) -> bytes:
        """What is signed: a purpose nothing else has, and every field in one fixed form."""
        fields = self.model_dump(mode="json", exclude={"signature"})
        text = json.dumps(fields, sort_keys=True, separators=(",", ":"))
        return b"OCX invitation to a network\n" + text.encode("ascii")

    @property
    def text(self) -> str:
        """The file's text."""
        return json.dumps(self.model_dump(mode="json"), indent=2) + "\n"

    @property
    def own(self) -> Node:
        """The node that is invited."""
        return next(node for node in self.network.nodes if checksum(node.address) == self.node)

    def connection(self, urls: list[str]) -> str:
        """The connection file for whoever reaches the chain at these endpoints."""
        return connection_file.render(
            network=self.network.network,
            chain_id=self.network.chain_id,
            genesis_hash=self.genesis_hash,
            directory=self.directory,
            directory_code_hash=self.directory_code_hash,
            rpc_urls=urls,
            gas_price=self.gas_price,
            block_time=float(self.network.block_time),
            slot=self.slot,
            confirmations=self.confirmations,
        )


def sign(invitation: Invitation, wallet: Wallet) -> Invitation:
    """The same with the wallet's signature; its `inviter` must be the wallet."""
    if invitation.inviter != wallet.address:
        raise InvalidInput(f"the invitation is {invitation.inviter}'s to sign, not {wallet.address}'s")
    signature = wallet.sign_message(invitation.message)
    return invitation.model_copy(update={"signature": "0x" + signature.hex()})


def load(path: Path) -> Invitation:
    """Read an invitation; InvalidInput, in one line, says what is wrong with its form."""
    try:
        with path.open("rb") as file:
            raw: Any = json.loads(file.read(_MOST_BYTES))
    except FileNotFoundError:
        raise InvalidInput(f"there is no invitation {path}") from None
    except (OSError, ValueError, RecursionError) as error:
        raise InvalidInput(f"invitation {path} cannot be read: {error}") from error
    if not isinstance(raw, dict):
        raise InvalidInput(f"invitation {path} must be a mapping of names to values")
    try:
        return Invitation.model_validate(raw)
    except ValidationError as error:
        items = error.errors(include_input=False, include_url=False)
        said = "; ".join(
            f"{'.'.join(map(str, item['loc'])) or 'all of it'}: {item['msg'].removeprefix('Value error, ')}"
            for item in items
        )
        raise InvalidInput(f"invitation {path} is wrong: {said}") from None


def require_valid(invitation: Invitation, now: float, inviter: str | None = None) -> None:
    """Refused unless it is whole, in time, of one network, and of the inviter that was named, if one was."""
    if signer(invitation.message, bytes.fromhex(invitation.signature[2:])) != invitation.inviter:
        raise Refused(
            f"{invitation.inviter} did not sign this invitation, or it was changed afterwards",
            hint="ask for the file again, and take it from nobody else",
        )
    if inviter is not None and checksum(inviter) != invitation.inviter:
        raise Refused(
            f"the invitation was signed by {invitation.inviter} and not by {checksum(inviter)}",
            hint="find out who sent it before you use it",
        )
    if now >= invitation.expires:
        ended = datetime.fromtimestamp(invitation.expires, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
        raise Refused(f"the invitation ended at {ended}", hint="ask for a new one, and look at your clock")
    try:
        found = "0x" + block_0(invitation.network).hex()
    except OcxError as error:
        raise Refused(f"the invitation's network cannot be joined from here: {error.message}") from error
    if found != invitation.genesis_hash:
        raise Refused(
            f"the invitation's network begins with block {found} and not with {invitation.genesis_hash}",
            hint="whoever wrote it mixed two networks; ask for another",
        )
