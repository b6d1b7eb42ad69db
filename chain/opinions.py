"""What other endpoints say of what one endpoint told: nothing is final on the word of a single one.

An endpoint that proved who it is and how far it is (`chain.endpoints`) may still invent a receipt or an
event, or keep one back. So a receipt counts once a second endpoint, chosen by chance, has it in the same
block, and who is contradicted (not by one that is only behind) is not asked for a moment; events that a
second one tells otherwise are those that more than half of all tell. Where the connection file names one
endpoint, or one is left, its word is taken: name several, and one's own node first.

What a contract answers (`eth_call`) is not compared: acts on it are judged by the contracts themselves.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Sequence
from typing import Any

from chain.rpc import Rpc
from chain.wire import Block, Log, Receipt, as_bytes, as_log, as_number
from market.errors import Temporary

__all__ = ["agreed_logs", "agreed_logs_of", "are_confirmed"]

log = logging.getLogger(__name__)


def are_confirmed(rpc: Rpc, receipts: Sequence[Receipt]) -> list[bool]:
    """Whether each receipt's block is deep enough, and a second endpoint has the receipt in that block."""
    buried = rpc.are_buried(receipts)
    asked = [receipt for receipt, deep in zip(receipts, buried, strict=True) if deep]
    if not asked:
        return buried
    requests: list[tuple[str, list[Any]]] = [("eth_blockNumber", [])]
    requests += [("eth_getTransactionReceipt", ["0x" + receipt.tx_hash.hex()]) for receipt in asked]
    for answers in rpc.others(requests, 1):
        height, *told = (answer.get("result") for answer in answers)
        blocks = [raw and as_bytes(raw["blockHash"]) for raw in told]
        pairs = list(zip(asked, blocks, strict=True))
        known = as_number(height) if height else 0
        if any(block != it.block_hash for it, block in pairs if block or it.block_number <= known):
            rpc.doubt("another endpoint contradicts it about a receipt")
        seconded = {it.tx_hash for it, block in pairs if block == it.block_hash}
        return [deep and it.tx_hash in seconded for it, deep in zip(receipts, buried, strict=True)]
    return buried


def agreed_logs(rpc: Rpc, addresses: Sequence[str], first: int, last: int) -> list[Log]:
    """The logs of `addresses` in the blocks from `first` to `last`, as endpoints agree on them.

    Temporary while they do not: some may be behind, or one lies and no other two are there.
    """
    logs = rpc.get_logs(addresses, first, last)
    query = {"address": list(addresses), "fromBlock": hex(first), "toBlock": hex(last)}
    return _agreed(rpc, logs, query, last)


def agreed_logs_of(rpc: Rpc, addresses: Sequence[str], block: Block) -> list[Log]:
    """The same of this very block; RpcRefused if the endpoint asked first does not have it (any more)."""
    logs = rpc.logs_of_block(addresses, block.hash)
    query = {"address": list(addresses), "blockHash": "0x" + block.hash.hex()}
    return _agreed(rpc, logs, query, block.number)


def _agreed(rpc: Rpc, logs: list[Log], query: dict[str, Any], last: int) -> list[Log]:
    """`logs`, or what more than half tell instead; an endpoint that has no block `last` yet has no say."""
    requests: list[tuple[str, list[Any]]] = [("eth_blockNumber", []), ("eth_getLogs", [query])]
    heard = rpc.others(requests, 1)
    if not heard:
        return logs
    second = _opinion(heard[0], last)
    if second is not None and _plain(second) == _plain(logs):
        return logs
    opinions = (_opinion(answers, last) for answers in rpc.others(requests))
    told = [logs, *(each for each in opinions if each is not None)]
    ((most, votes),) = Counter(map(_plain, told)).most_common(1)
    if len(told) == 1 or 2 * votes <= len(told):
        raise Temporary(
            f"endpoints tell different events up to block {last}, or have none of it yet",
            hint="One of them lies, is behind, or has another branch; correct rpc_urls, your own node first.",
        )
    if votes < len(told):
        log.warning("%d of %d endpoints tell other events than the rest", len(told) - votes, len(told))
    return next(logs for logs in told if _plain(logs) == most)


def _opinion(answers: Sequence[Any], last: int) -> list[Log] | None:
    """What one endpoint tells; None if it refused, or is not at block `last` yet."""
    height, logs = (answer.get("result") for answer in answers)
    if height is None or as_number(height) < last or not isinstance(logs, list):
        return None
    return sorted(map(as_log, logs), key=lambda entry: (entry.block_number, entry.log_index))


def _plain(logs: Sequence[Log]) -> tuple[object, ...]:
    """What must be the same at all endpoints."""
    return tuple(
        (entry.block_hash, entry.log_index, entry.tx_hash, entry.address, tuple(entry.topics), entry.data)
        for entry in logs
    )
