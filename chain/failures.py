"""Why a transaction came to nothing, or not yet to anything: the errors a sender raises. Sends nothing."""

from __future__ import annotations

from chain.abi import Reverted
from chain.nonces import Entry
from chain.rpc import Receipt, Rpc
from market.errors import OcxError, Refused, Temporary

__all__ = ["NotMined", "not_mined", "refusal", "why_reverted"]


class NotMined(Temporary):
    """Not on the chain within the time given; it is journalled and goes on. Evidence: `tx_hash`, `nonce`."""


def why_reverted(rpc: Rpc, address: str, entry: Entry, receipt: Receipt) -> OcxError:
    """The typed error of a transaction that reverted on chain, by trying it again on that block."""
    error: OcxError | None = None
    for block in (receipt.block_number, receipt.block_number - 1):
        try:
            rpc.eth_call(entry.recipient, entry.data, block, address, entry.value)
        except Refused as no:
            error = no
            break
    if error is None:
        out = receipt.gas_used >= entry.gas
        why = "it ran out of gas" if out else "the reason cannot be reproduced"
        error = Reverted(f"the transaction reverted: {why}", hint="Try again.")
    error.evidence |= {"tx_hash": receipt.tx_hash, "block_number": receipt.block_number}
    return error


def not_mined(entry: Entry) -> NotMined:
    """It takes longer than anybody wanted to wait."""
    return NotMined(
        f"transaction 0x{entry.latest.hash.hex()} (nonce {entry.nonce}) is not mined yet",
        hint="It stays in the journal and goes on; ask again with the same intent.",
        retry_after=5.0,
        tx_hash=entry.latest.hash,
        nonce=entry.nonce,
    )


def refusal(entry: Entry) -> Refused:
    """No node ever took it."""
    return Refused(
        f"no node takes the transaction: {entry.note}",
        hint="The account may lack money for gas, or gas_price in the connection file may be too low.",
        nonce=entry.nonce,
    )
