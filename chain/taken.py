"""Whether a nonce is gone for good: used by another transaction than ours, so that ours can never be mined.

Taken for gone too early, an act is done twice. So the count of an account and receipts are asked of one
endpoint in one message, as two may stand on different branches; the count is that of the newest block that
counts, as what is above may be taken back; and a second endpoint, chosen by chance, must say the same, as the
first may lie. This module must not send anything.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from chain.nonces import Entry
from chain.rpc import Rpc
from chain.wire import as_number
from market.errors import OcxError

__all__ = ["is_taken"]


def is_taken(rpc: Rpc, address: str, entry: Entry) -> bool:
    """Whether `address` has used the entry's nonce in a block that counts, and for none of its forms.

    False also where an endpoint cannot say, being behind.
    """
    wanted = rpc.connection.confirmations
    block = hex(max(0, rpc.head().number - wanted)) if wanted else "latest"
    asked: list[tuple[str, list[Any]]] = [("eth_getTransactionCount", [address, block])]
    asked += [("eth_getTransactionReceipt", ["0x" + attempt.hash.hex()]) for attempt in entry.attempts]
    told = rpc.call_many(asked)
    if any(isinstance(result, OcxError) for result in told) or not _is_gone(told, entry):
        return False
    for answers in rpc.others(asked, 1):
        if any("result" not in answer for answer in answers):
            return False
        if not _is_gone([answer["result"] for answer in answers], entry):
            rpc.doubt("another endpoint contradicts it about a nonce")
            return False
    return True


def _is_gone(told: Sequence[Any], entry: Entry) -> bool:
    """By one endpoint's count and receipts."""
    count, *receipts = told
    return as_number(count) > entry.nonce and not any(receipts)
