"""A node's card: all that others must know to let it in, and its key's word that this is so. Nothing secret.

The word ("consent") names the organisation and the endpoint, and `Members` asks for it, so that nobody can
list somebody else's key. It must not touch the network.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from eth_abi.abi import encode
from eth_utils.crypto import keccak
from pydantic import Field, ValidationError, model_validator

from chain.abi import checksum
from chain.fields import Address
from chain.messages import signer
from chain.nodes import keys
from chain.nodes.description import Node, checked_name, endpoint
from market.errors import InvalidInput
from market.specs import class_id

__all__ = ["Card", "agreement", "load", "make", "node_name"]

_MOST_BYTES = 1 << 16
_LONGEST_ENDPOINT = 128


def node_name(handle: str, address: str, digits: int = 6) -> str:
    """What a node is called where nobody chose a name: its organisation's handle, its address's digits."""
    plain = re.sub(r"[^a-z0-9]+", "-", handle.lower()).strip("-")[: 31 - digits].strip("-")
    return f"{plain or 'node'}-{address.removeprefix('0x')[:digits].lower()}"


def agreement(handle: str, place: str) -> bytes:
    """The 32 bytes a node's key signs (EIP-191) to say that it is that organisation's, at `place`."""
    return keccak(encode(["string", "bytes32", "string"], ["ocx node", class_id(handle), place]))


class Card(Node):
    """A node, whom its organisation's wallet shall be, and the consent of the node's key."""

    account: Address | None = Field(
        default=None,
        description="Wallet that shall be the organisation's first admin, if it is to be admitted",
    )
    signature: str = Field(
        description="The node key's consent: 0x and 130 hexadecimal digits", pattern="^0x[0-9a-f]{130}$"
    )

    @model_validator(mode="after")
    def _agreed(self) -> Card:
        try:
            agreed = agreement(self.organisation, self.place)
        except InvalidInput as error:
            raise ValueError(f"organisation: {error.message}") from error
        if len(self.place.encode()) > _LONGEST_ENDPOINT:
            raise ValueError(f"host and port have more than {_LONGEST_ENDPOINT} bytes")
        if signer(agreed, self.consent) != checksum(self.address):
            raise ValueError("the node's key did not sign this organisation, host and p2p_port")
        return self

    @property
    def place(self) -> str:
        """Where its peers reach it, as `Members` has it."""
        return endpoint(self.host, self.p2p_port)

    @property
    def consent(self) -> bytes:
        """The signature, 65 bytes."""
        return bytes.fromhex(self.signature[2:])

    @property
    def node(self) -> Node:
        """The node alone, as network.yaml has it."""
        return Node(**{name: getattr(self, name) for name in Node.model_fields})

    @property
    def text(self) -> str:
        """The file's text."""
        return json.dumps(self.model_dump(mode="json"), indent=2) + "\n"


def make(folder: Path, *, organisation: str, account: str | None, name: str | None, **where: Any) -> Card:
    """The card of an organisation's node, whose key is made in `folder`/nodes unless it is there.

    `where` is host, p2p_port, rpc_host and rpc_port. Repeated without a name, it is the same node.
    """
    class_id(organisation)
    if name is not None:
        home = folder / "nodes" / checked_name(name)
        key = keys.create(home)
    else:
        home, key = _unnamed(folder / "nodes", organisation)
    fields = {
        "name": home.name,
        "organisation": organisation,
        "address": key.address,
        "public_key": key.public_key.hex(),
        "account": account,
        **where,
    }
    # Hosts may be written in several ways; what is signed is how a node has it.
    node = _checked(Node, {k: v for k, v in fields.items() if k != "account"}, "the card")
    signature = keys.sign(home, agreement(organisation, endpoint(node.host, node.p2p_port)))
    whole = {**node.model_dump(), "account": account, "signature": "0x" + signature.hex()}
    card = _checked(Card, whole, "the card")
    assert isinstance(card, Card)  # noqa: S101  for the type checker
    return card


def load(path: Path) -> Card:
    """Read card.json; InvalidInput, in one line, says what is wrong with it, a false signature too."""
    try:
        with path.open("rb") as file:
            raw = json.loads(file.read(_MOST_BYTES))
    except FileNotFoundError:
        raise InvalidInput(f"there is no card {path}") from None
    except (OSError, ValueError, RecursionError) as error:
        raise InvalidInput(f"card {path} cannot be read: {error}") from error
    card = _checked(Card, raw, f"card {path}")
    assert isinstance(card, Card)  # noqa: S101  for the type checker
    return card


def _unnamed(nodes: Path, organisation: str) -> tuple[Path, keys.NodeKey]:
    """The node of that organisation that nobody named; its key is made elsewhere and then moved."""
    for home in sorted(nodes.glob("*")):
        if (home / "nodekey").exists():
            key = keys.at(home)
            if home.name == node_name(organisation, key.address):
                return home, keys.create(home)
    fresh = nodes / ".new"
    key = keys.create(fresh)
    home = nodes / node_name(organisation, key.address)
    fresh.rename(home)
    return home, key


def _checked(kind: type[Node], raw: object, what: str) -> Node:
    if not isinstance(raw, dict):
        raise InvalidInput(f"{what} must be a mapping of names to values")
    try:
        return kind.model_validate(raw)
    except ValidationError as error:
        items = error.errors(include_input=False, include_url=False)
        said = "; ".join(f"{'.'.join(map(str, i['loc'])) or 'all of it'}: {_plain(i['msg'])}" for i in items)
        raise InvalidInput(f"{what} is wrong: {said}") from None


def _plain(message: str) -> str:
    return message.removeprefix("Value error, ")
