"""What a transaction offers for its gas, and how it is put into a form that can be signed.

Legacy transactions with the connection file's price (0 on a free network), fee-market ones where the file
leaves the price to the chain and the chain has a base fee. It must not send anything.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from chain.nonces import Attempt, Entry
from chain.rpc import Rpc
from chain.wallet import Wallet

__all__ = ["Fees", "bump", "gas_with_margin", "sign", "suggest"]

_DEAREST = 20
"""A replacement never offers more than so many times the first price."""


@dataclass(frozen=True)
class Fees:
    """Wei per gas: `price` is the most that is paid, `tip` the validator's part of it (None: legacy)."""

    price: int
    tip: int | None = None


def suggest(rpc: Rpc) -> Fees:
    """What to offer now, by the connection file or else by the node."""
    fixed = rpc.connection.gas_price
    if fixed is not None:
        return Fees(fixed)
    base_fee = rpc.head().base_fee
    if base_fee is None:
        return Fees(int(rpc.call("eth_gasPrice"), 16))
    tip = int(rpc.call("eth_maxPriorityFeePerGas"), 16)
    return Fees(2 * base_fee + tip, tip)


def bump(entry: Entry, now: Fees) -> Fees | None:
    """What a replacement must offer: an eighth more, and no less than what is asked now.

    None where a dearer one makes no sense: gas is free, or the price has been raised enough.
    """
    last, first = entry.latest, entry.attempts[0]
    price = max(now.price, _eighth_more_up(last.price))
    if last.price == 0 or price > _DEAREST * max(first.price, now.price):
        return None
    if last.tip is None:
        return Fees(price)
    return Fees(price, min(price, max(now.tip or 0, _eighth_more_up(last.tip))))


def sign(
    wallet: Wallet, chain_id: int, nonce: int, to: str | None, data: bytes, value: int, gas: int, fees: Fees
) -> Attempt:
    """The signed form of a transaction; `to` None deploys a contract."""
    fields: dict[str, Any] = {"chainId": chain_id, "nonce": nonce, "gas": gas, "value": value, "data": data}
    if to is not None:
        fields["to"] = to
    if fees.tip is None:
        fields["gasPrice"] = fees.price
    else:
        fields |= {"type": 2, "maxFeePerGas": fees.price, "maxPriorityFeePerGas": fees.tip}
    signed = wallet.sign_transaction(fields)
    return Attempt(signed.hash, signed.raw, fees.price, fees.tip)


def gas_with_margin(estimate: int, block_limit: int) -> int:
    """A gas limit that survives what others do until the transaction is mined; unused gas is not paid."""
    return min(estimate + estimate * 2 // 5 + 20_000, block_limit)


def _eighth_more_up(price: int) -> int:
    return price + -(-price // 8) + 1
