"""The nodes that `Members` lists, as whoever keeps an allow-list wants them.

What stands there is text of an organisation's admin: it names that organisation's own nodes and nothing else
can be relied on. This module only reads.
"""

from __future__ import annotations

from collections.abc import Container, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pydantic import ValidationError

from chain.nodes.admission.card import node_name
from chain.nodes.description import NetworkDescription, Node
from market.errors import InvalidInput
from market.specs import class_name

if TYPE_CHECKING:
    from chain.exchange import Exchange

__all__ = ["Registered", "counting_block", "followers", "registered"]


@dataclass(frozen=True)
class Registered:
    """One node of the list; `roles` are its organisation's (bits of `Role`), `endpoint` is unchecked."""

    name: str
    handle: str
    org: int
    roles: int
    suspended: bool
    address: str
    public_key: bytes
    endpoint: str

    @property
    def admitted(self) -> bool:
        """Whether it is to be let in: an organisation without any role is out."""
        return self.roles != 0

    @property
    def node(self) -> Node | None:
        """As network.yaml has it; None if its endpoint is no host and port."""
        return self.called(self.name)

    def called(self, name: str) -> Node | None:
        """The same under another name."""
        host, _, port = self.endpoint.rpartition(":")
        if not (port.isascii() and port.isdigit() and len(port) <= 5):
            return None
        try:
            return Node(
                name=name,
                organisation=self.handle,
                address=self.address,
                public_key=self.public_key.hex(),
                host=host[1:-1] if host.startswith("[") and host.endswith("]") else host,
                p2p_port=int(port),
            )
        except ValidationError:
            return None


def counting_block(exchange: Exchange) -> int:
    """The newest block that counts: what it says is not undone (docs/chain.md)."""
    return max(0, exchange.rpc.head().number - exchange.connection.confirmations)


def registered(exchange: Exchange, block: int | None = None) -> tuple[Registered, ...]:
    """Every node listed at the end of a block, by default of the newest that counts, sorted by address."""
    at = counting_block(exchange) if block is None else block
    listed = exchange.members.nodes(block=at)
    orgs = exchange.members.many(sorted({node.org for node in listed}), block=at)
    found = []
    for node in listed:
        org = orgs[node.org]
        handle = _word(org.handle)
        found.append(
            Registered(
                name=node_name(handle, node.address),
                handle=handle,
                org=node.org,
                roles=org.roles,
                suspended=org.suspended,
                address=node.address,
                public_key=node.public_key,
                endpoint=node.endpoint,
            )
        )
    return tuple(sorted(found, key=lambda one: one.address.lower()))


def followers(
    description: NetworkDescription, nodes: Iterable[Registered], keep: Container[str] = ()
) -> tuple[Node, ...]:
    """Whom network.yaml is to name beside its founders: who is admitted and can be reached.

    A node whose place is a founder's, or was named by one before it, is left out, so that nobody keeps
    others from being let in by listing their place. Those known already keep their names. `keep` names
    followers that stay whatever the list says: one's own.
    """
    kept = [node for node in description.followers if node.name in keep]
    taken = [*description.validators, *kept]
    keys = {node.public_key for node in taken}
    places = {(node.host, node.p2p_port) for node in taken}
    names = {node.name for node in taken}
    known = {node.public_key: node for node in description.followers}
    result = kept
    # Whom we know goes first: a newcomer cannot take a place or a name from it.
    for one in sorted(nodes, key=lambda one: one.public_key.hex() not in known):
        before = known.get(one.public_key.hex())
        node = one.called(before.name if before else one.name)
        if (
            node is None
            or not one.admitted
            or node.public_key in keys
            or (node.host, node.p2p_port) in places
        ):
            continue
        if node.name in names:
            node = node.model_copy(update={"name": node_name(one.handle, one.address, 20)})
        if before is not None:
            node = node.model_copy(update={"rpc_host": before.rpc_host, "rpc_port": before.rpc_port})
        keys.add(node.public_key)
        places.add((node.host, node.p2p_port))
        names.add(node.name)
        result.append(node)
    return tuple(result)


def _word(handle: bytes) -> str:
    try:
        return class_name(handle)
    except InvalidInput:
        return "0x" + handle.hex()
