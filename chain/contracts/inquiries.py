"""`Inquiries`: questions to a committee about the past (contracts/interfaces/IInquiries.sol)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum

from chain.contracts.base import Call, Contract, struct
from chain.wire import BlockId

__all__ = ["Answer", "Inquiries", "Inquiry", "Result"]


class Answer(IntEnum):
    """What a seat says: was it available more than asked?"""

    YES = 1
    NO = 2
    UNKNOWN = 3


class Result(IntEnum):
    """What the committee said."""

    OPEN = 0
    YES = 1
    NO = 2
    UNKNOWN = 3


@dataclass(frozen=True, slots=True)
class Inquiry:
    """IInquiries.Inquiry; times unix seconds, `yes`, `no`, `unknown` bitmaps of seats."""

    lease: int
    place: int
    from_: int
    until: int
    above_ppm: int
    by: int
    term: int
    deadline: int
    yes: int
    no: int
    unknown: int
    result: Result


class Inquiries(Contract):
    """A party asks, the committee answers from its private data, the majority's answer is committed."""

    NAME = "Inquiries"

    def count(self, *, block: BlockId = "latest") -> int:
        return int(self._view("count", block=block))

    def inquiry(self, inquiry: int, *, block: BlockId = "latest") -> Inquiry:
        return struct(Inquiry, self._view("inquiry", inquiry, block=block))

    def many(self, inquiries: Sequence[int], *, block: BlockId = "latest") -> dict[int, Inquiry]:
        """Several inquiries in few messages; what the chain refuses is left out."""
        found = self._views("inquiry", inquiries, block=block)
        return {number: struct(Inquiry, item) for number, item in found.items()}

    def ask(self, lease: int, place: int, from_: int, until: int, above_ppm: int, *, org: int = 0) -> Call:
        """For a party; 0 is the wallet's own organisation, another one must have granted it rights."""
        return self._call("ask", org, lease, place, from_, until, above_ppm)

    def answer(self, inquiry: int, value: Answer, ppm: int, measured: int) -> Call:
        """`ppm` and `measured` (rounds) are the seat's own figures."""
        return self._call("answer", inquiry, int(value), ppm, measured)

    def close(self, inquiry: int) -> Call:
        return self._call("close", inquiry)
