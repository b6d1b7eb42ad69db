"""Which resources a request takes: the tree that stands behind its root, and the proofs that bids need.

A buyer judges documents by an expression and posts the root over the resources that pass, each with its
document's hash, together with expression and list. Anybody else builds the same tree from that event and the
inventory's history. Twin of `Book.leafOf` and `Book.requireBid`; hashes are the chain's, so it stands here.

This module must not judge documents: that is `market.expressions`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from eth_utils.crypto import keccak

from chain.contracts.book import Bid, Eligible, Request
from chain.generated import events
from chain.history import Entry, history
from chain.leaves import Tree
from market.errors import InvalidInput, Refused

if TYPE_CHECKING:
    from chain.exchange import Exchange

__all__ = [
    "MAX_LISTED",
    "MAX_TOLD",
    "EligibleTree",
    "eligible_ids",
    "expression_of",
    "leaf",
    "proofs_of",
    "tree_of",
]

MAX_TOLD = 4096
"""Longest expression, and longest list, that a request may carry, in bytes."""
MAX_LISTED = MAX_TOLD // 4
"""Most resources that a request may list."""


def leaf(resource: int, document_hash: bytes) -> bytes:
    """The leaf of a resource with a document (Book.leafOf)."""
    return keccak(keccak(resource.to_bytes(32, "big") + document_hash))


class EligibleTree:
    """Resources with the hashes of their documents, as leaves by resource number."""

    def __init__(self, hashes: Mapping[int, bytes]) -> None:
        self.hashes = dict(hashes)
        self.resources = tuple(sorted(hashes))
        self._tree = Tree([leaf(resource, hashes[resource]) for resource in self.resources])

    @property
    def root(self) -> bytes:
        """Zeros if there are no resources."""
        return self._tree.root

    def proof(self, resource: int) -> tuple[bytes, ...]:
        """The proof of a resource; InvalidInput if it is not eligible."""
        if resource not in self.resources:
            raise InvalidInput(
                f"node {resource} is not eligible", hint="see: ocx request show", resource=resource
            )
        return self._tree.proof(self.resources.index(resource))

    def terms(self, expression: bytes) -> Eligible:
        """What a request posts of it; `expression` in canonical form. InvalidInput if it cannot be posted."""
        if not self.resources:
            raise InvalidInput("no node is eligible", hint="ask for less; nobody could bid")
        if len(self.resources) > MAX_LISTED:
            raise InvalidInput(
                f"{len(self.resources)} nodes are eligible, and a request can list {MAX_LISTED}",
                hint="ask for more, or for another class",
            )
        if len(expression) > MAX_TOLD:
            raise InvalidInput(
                f"the expression has {len(expression)} bytes, and a request can carry {MAX_TOLD}",
                hint="write it shorter",
            )
        listed = b"".join(resource.to_bytes(4, "big") for resource in self.resources)
        return Eligible(self.root, expression, listed)


def tree_of(exchange: Exchange, number: int) -> EligibleTree:
    """The tree of a request that has a root, with the documents that its buyer judged.

    Refused if what the buyer listed does not give the root: then nobody can bid.
    """
    posted, told = _posted(exchange, number)
    resources = _numbers(told.listed)
    tree = EligibleTree(exchange.inventory.document_hashes(resources))
    if tree.root != told.eligible:
        tree = EligibleTree(tree.hashes | _before(exchange, resources, posted))
    if tree.root != told.eligible:
        raise Refused(
            f"the nodes that request {number} lists do not give its root",
            hint="its buyer made it wrong; nobody can bid on it",
            request=number,
        )
    return tree


def eligible_ids(exchange: Exchange, number: int, request: Request) -> frozenset[int] | None:
    """The resources that may be bid on a request, None for any; none at all if its list is wrong.

    One whose document changed since is among them no more.
    """
    if not any(request.eligible):
        return None
    try:
        tree = tree_of(exchange, number)
    except Refused:
        return frozenset()
    now = exchange.inventory.document_hashes(tree.resources)
    return frozenset(resource for resource in tree.resources if now.get(resource) == tree.hashes[resource])


def expression_of(exchange: Exchange, number: int) -> str:
    """The expression that a request carries, as its buyer posted it; nothing says that it was canonical."""
    return _posted(exchange, number)[1].expression.decode(errors="replace")


def proofs_of(exchange: Exchange, number: int, bid: Bid) -> Sequence[Sequence[bytes]]:
    """The proofs that a bid needs to be revealed; none for a request that takes any resource."""
    if not any(exchange.book.request(number).eligible):
        return ()
    tree = tree_of(exchange, number)
    return [tree.proof(resource) for resource in bid.resources]


def _numbers(listed: bytes) -> tuple[int, ...]:
    numbers = tuple(int.from_bytes(listed[at : at + 4], "big") for at in range(0, len(listed), 4))
    return tuple(sorted(set(numbers)))


def _posted(exchange: Exchange, number: int) -> tuple[Entry, events.RequestExpression]:
    """What a request told of eligible resources, and where; InvalidInput if it told nothing."""
    found = history(exchange, [exchange.book], "request", number, kinds=[events.RequestExpression])
    for entry in found:
        if isinstance(entry.event, events.RequestExpression):
            return entry, entry.event
    raise InvalidInput(f"request {number} takes any node", hint="it needs no proofs", request=number)


def _before(exchange: Exchange, resources: Iterable[int], posted: Entry) -> dict[int, bytes]:
    """The documents' hashes when a request was posted, of the resources that were measured anew since."""
    kinds = [events.ResourceRemeasured]
    inventory, all_of_them = [exchange.inventory], list(resources)
    anew = {
        entry.event.resource
        for entry in history(exchange, inventory, "resource", all_of_them, kinds=kinds)
        if isinstance(entry.event, events.ResourceRemeasured) and _place(entry) > _place(posted)
    }
    known: dict[int, bytes] = {}
    for entry in history(exchange, inventory, "resource", sorted(anew)) if anew else ():
        told = entry.event
        if not isinstance(told, events.ResourceRegistered | events.ResourceRemeasured):
            continue
        if _place(entry) < _place(posted):
            known[told.resource] = told.document_hash
    return known


def _place(entry: Entry) -> tuple[int, int]:
    return entry.block, entry.log_index
