"""`Audits`: finds witnesses out (contracts/interfaces/IAudits.sol)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from chain.contracts.base import Call, Contract, struct
from chain.leaves import Leaf, Opening, Published, Rooted, Sample, canary_hash
from chain.wire import BlockId

__all__ = ["Audit", "AuditTerms", "Audits", "Canary", "Page"]


@dataclass(frozen=True, slots=True)
class AuditTerms:
    """IAudits.Terms: how late a measurement may be (milliseconds), outlier epochs that are slashed."""

    tolerance_ms: int
    outlier_epochs: int


@dataclass(frozen=True, slots=True)
class Audit:
    """IAudits.Audit; `deadline` in unix seconds."""

    org: int
    epoch: int
    lease: int
    place: int
    round: int
    deadline: int
    commitment: bytes
    closed: bool


@dataclass(frozen=True, slots=True)
class Canary:
    """IAudits.Canary; lease, place, `epoch` and the rounds `down` are 0 until it is revealed."""

    auditor: int
    committed: int
    lease: int
    place: int
    epoch: int
    hash: bytes
    down: int


@dataclass(frozen=True, slots=True)
class Page:
    """IAudits.Page: all that a witness published for an epoch, so that what is absent is shown, too."""

    org: int
    root: bytes
    salt: bytes
    chunks: tuple[tuple[Leaf, ...], ...]

    def to_abi(self) -> tuple[object, ...]:
        """In the order of the Solidity struct."""
        chunks = [[leaf.to_abi() for leaf in chunk] for chunk in self.chunks]
        return (self.org, self.root, self.salt, chunks)


class Audits(Contract):
    """Audits of single measurements, canary leases, two different leaves, persistent outliers."""

    NAME = "Audits"

    def terms(self, *, block: BlockId = "latest") -> AuditTerms:
        return struct(AuditTerms, self._view("terms", block=block))

    def audit_count(self, *, block: BlockId = "latest") -> int:
        """So many audits there are; they are numbered from 1 on."""
        return int(self._view("auditCount", block=block))

    def canary_count(self, *, block: BlockId = "latest") -> int:
        """So many canaries there are; they are numbered from 1 on."""
        return int(self._view("canaryCount", block=block))

    def canary_of(self, canary: int, *, block: BlockId = "latest") -> Canary:
        return struct(Canary, self._view("canaryOf", canary, block=block))

    def audit_of(self, audit: int, *, block: BlockId = "latest") -> Audit:
        return struct(Audit, self._view("auditOf", audit, block=block))

    def outliers(self, org: int, *, block: BlockId = "latest") -> int:
        return int(self._view("outliers", org, block=block))

    def audit(self, org: int, epoch: int, lease: int, place: int, round_: int) -> Call:
        return self._call("audit", org, epoch, lease, place, round_)

    def answer(
        self,
        audit: int,
        key: bytes,
        opening: Opening,
        leaf: Rooted,
        sample: Sample,
        proof: Sequence[bytes],
    ) -> Call:
        """`proof` leads from the sample to `leaf.leaf.samples`."""
        values = (key, opening.to_abi(), leaf.to_abi(), sample.to_abi(), list(proof))
        return self._call("answer", audit, *values)

    def fail(self, audit: int) -> Call:
        return self._call("fail", audit)

    def commit_canary(self, lease: int, place: int, epoch: int, down: int, salt: bytes) -> Call:
        """Commits to the rounds `down` of a coming epoch by their hash alone."""
        return self._call("commitCanary", canary_hash(lease, place, epoch, down, salt))

    def reveal_canary(self, canary: int, lease: int, place: int, epoch: int, down: int, salt: bytes) -> Call:
        return self._call("revealCanary", canary, lease, place, epoch, down, salt)

    def miss_canary(self, canary: int, page: Page) -> Call:
        return self._call("missCanary", canary, page.to_abi())

    def two_leaves(self, org: int, epoch: int, opening: Opening, one: Rooted, other: Rooted) -> Call:
        return self._call("twoLeaves", org, epoch, opening.to_abi(), one.to_abi(), other.to_abi())

    def unlike_root(self, org: int, epoch: int, published: Published, leaf: Rooted) -> Call:
        return self._call("unlikeRoot", org, epoch, published.to_abi(), leaf.to_abi())

    def unpublished(self, epoch: int, page: Page, leaf: Rooted) -> Call:
        return self._call("unpublished", epoch, page.to_abi(), leaf.to_abi())

    def outlier(self, org: int, lease: int, place: int, epoch: int, pages: Sequence[Page]) -> Call:
        return self._call("outlier", org, lease, place, epoch, [page.to_abi() for page in pages])
