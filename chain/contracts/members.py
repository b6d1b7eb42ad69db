"""`Members`: organisations, roles, member accounts and limits (contracts/interfaces/IMembers.sol)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntFlag

from eth_utils.crypto import keccak

from chain.abi import checksum
from chain.contracts.base import Call, Contract, struct
from chain.wire import BlockId
from market.specs import class_id

__all__ = ["UNLIMITED", "ListedNode", "Member", "MemberRight", "Members", "Organisation", "Place", "Role"]

UNLIMITED = (1 << 96) - 1
"""A member's limit that is none and is not counted."""
_PAGE = 50
"""Nodes in one answer."""


class Role(IntFlag):
    """Roles the council gives an organisation."""

    SELLER = 1
    BUYER = 2
    WITNESS = 4
    AUDITOR = 8
    OPERATOR = 16


class MemberRight(IntFlag):
    """What an account may do for its organisation."""

    ADMIN = 1
    BUY = 2
    OFFER = 4
    SIGN = 8
    DELIVER = 16
    RELEASE = 32


@dataclass(frozen=True, slots=True)
class Organisation:
    """IMembers.Organisation; `roles` are bits of `Role` that count, less what one above lacks; `handle` is
    32 bytes."""

    handle: bytes
    group: int
    roles: int
    suspended: bool
    payout: str
    encryption_key: bytes
    gateway_key_hash: bytes
    gateway_url: str


@dataclass(frozen=True, slots=True)
class Place:
    """IMembers.Place: where an organisation stands. `roles` are those it was given, budget and used
    microcredits."""

    parent: int
    party: int
    level: int
    department: bool
    roles: int
    by_council: bool
    by_parent: bool
    budget: int
    used: int


@dataclass(frozen=True, slots=True)
class Member:
    """IMembers.Member; `rights` are bits of `MemberRight`, limit and spent are microcredits."""

    org: int
    rights: int
    limit: int
    spent: int


@dataclass(frozen=True, slots=True)
class ListedNode:
    """IMembers.Node: a node of the chain and the halves of its public key; `endpoint` is unchecked text."""

    org: int
    key_x: bytes
    key_y: bytes
    endpoint: str

    @property
    def public_key(self) -> bytes:
        """The uncompressed key, 64 bytes."""
        return self.key_x + self.key_y

    @property
    def address(self) -> str:
        """What names the node."""
        return checksum("0x" + keccak(self.public_key)[12:].hex())


class Members(Contract):
    """Who may do what, for whom, within which limit."""

    NAME = "Members"

    def count(self, *, block: BlockId = "latest") -> int:
        return int(self._view("count", block=block))

    def organisation(self, org: int, *, block: BlockId = "latest") -> Organisation:
        return struct(Organisation, self._view("organisation", org, block=block))

    def many(self, orgs: Sequence[int], *, block: BlockId = "latest") -> dict[int, Organisation]:
        """Several organisations in few messages; what the chain refuses is left out."""
        found = self._views("organisation", orgs, block=block)
        return {org: struct(Organisation, item) for org, item in found.items()}

    def member(self, account: str, *, block: BlockId = "latest") -> Member:
        return struct(Member, self._view("member", account, block=block))

    def member_of(self, org: int, account: str, *, block: BlockId = "latest") -> Member:
        """What an account is in that organisation, as its member or by its grant."""
        return struct(Member, self._view("memberOf", org, account, block=block))

    def current_of(self, org: int, account: str, *, block: BlockId = "latest") -> str:
        """The key that an account's rights moved to in the end."""
        return str(self._view("currentOf", org, account, block=block))

    def place_of(self, org: int, *, block: BlockId = "latest") -> Place:
        return struct(Place, self._view("placeOf", org, block=block))

    def places(self, orgs: Sequence[int], *, block: BlockId = "latest") -> dict[int, Place]:
        """Several places in few messages; what the chain refuses is left out."""
        return {org: struct(Place, item) for org, item in self._views("placeOf", orgs, block=block).items()}

    def party_of(self, org: int, *, block: BlockId = "latest") -> int:
        return int(self._view("partyOf", org, block=block))

    def is_within(self, org: int, ancestor: int, *, block: BlockId = "latest") -> bool:
        return bool(self._view("isWithin", org, ancestor, block=block))

    def by_handle(self, handle: str, *, block: BlockId = "latest") -> int:
        return int(self._view("byHandle", class_id(handle), block=block))

    def affiliated(self, a: int, b: int, *, block: BlockId = "latest") -> bool:
        return bool(self._view("affiliated", a, b, block=block))

    def node_count(self, *, block: BlockId = "latest") -> int:
        return int(self._view("nodeCount", block=block))

    def nodes(self, *, block: int) -> tuple[ListedNode, ...]:
        """Every node that is listed at the end of a block: pages of one block fit together."""
        found: list[ListedNode] = []
        while True:
            page = self._view("nodes", len(found), _PAGE, block=block)
            found += [struct(ListedNode, item) for item in page]
            if len(page) < _PAGE:
                return tuple(found)

    def set_node(self, org: int, public_key: bytes, endpoint: str, signature: bytes) -> Call:
        return self._call("setNode", org, public_key[:32], public_key[32:], endpoint, signature)

    def remove_node(self, node: str) -> Call:
        return self._call("removeNode", node)

    def admit(self, handle: str, admin: str, roles: int, group: int = 0) -> Call:
        return self._call("admit", class_id(handle), admin, int(roles), group)

    def admit_under(self, parent: int, handle: str, admin: str, roles: int, department: bool) -> Call:
        return self._call("admitUnder", parent, class_id(handle), admin, int(roles), department)

    def set_budget(self, org: int, budget: int) -> Call:
        return self._call("setBudget", org, budget)

    def grant(self, org: int, account: str, rights: int, limit: int = UNLIMITED) -> Call:
        return self._call("grant", org, account, int(rights), limit)

    def revoke(self, org: int, account: str) -> Call:
        return self._call("revoke", org, account)

    def rotate(self, org: int, account: str, replacement: str) -> Call:
        return self._call("rotate", org, account, replacement)

    def recover(self, org: int, lost: str, replacement: str) -> Call:
        """For the council's time lock."""
        return self._call("recover", org, lost, replacement)

    def set_roles(self, org: int, roles: int) -> Call:
        return self._call("setRoles", org, int(roles))

    def set_group(self, org: int, group: int) -> Call:
        return self._call("setGroup", org, group)

    def set_suspended(self, org: int, suspended: bool) -> Call:
        return self._call("setSuspended", org, suspended)

    def set_member(self, account: str, rights: int, limit: int = UNLIMITED) -> Call:
        return self._call("setMember", account, int(rights), limit)

    def remove_member(self, account: str) -> Call:
        return self._call("removeMember", account)

    def leave(self) -> Call:
        return self._call("leave")

    def set_payout(self, payout: str) -> Call:
        return self._call("setPayout", payout)

    def set_encryption_key(self, key: bytes) -> Call:
        return self._call("setEncryptionKey", key)

    def set_gateway(self, url: str, key_hash: bytes) -> Call:
        return self._call("setGateway", url, key_hash)
