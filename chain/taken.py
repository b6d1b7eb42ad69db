"""Whether a nonce is gone for good: used by another transaction than ours, so that ours can never be mined.

Taken for gone too early, an act is done twice. So the count of an account and receipts are asked of one
endpoint in one message, as two may stand on different branches, and the count is that of the newest block
that counts, as what is above may be taken back. This module must not send anything.
"""

from __future__ import annotations

from typing import Any

from chain.nonces import Entry
from chain.rpc import Rpc
from chain.wire import as_number
from market.errors import OcxError

__all__ = ["is_taken"]


def is_taken(rpc: Rpc, address: str, entry: Entry) -> bool:
    """Whether `address` has used the entry's nonce in a block that counts, and for none of its forms.

    False also where the endpoint cannot say, being behind.
    """
    wanted = rpc.connection.confirmations
    block = hex(max(0, rpc.head().number - wanted)) if wanted else "latest"
    asked: list[tuple[str, list[Any]]] = [("eth_getTransactionCount", [address, block])]
    asked += [("eth_getTransactionReceipt", ["0x" + attempt.hash.hex()]) for attempt in entry.attempts]
    count, *receipts = answers = rpc.call_many(asked)
    if any(isinstance(answer, OcxError) for answer in answers):
        return False
    return as_number(count) > entry.nonce and not any(receipts)
