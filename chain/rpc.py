"""JSON-RPC with a memory of whom it speaks to.

Each endpoint must prove, before it is used and again every few seconds, that it is the network of the
connection file and that its head is fresh (`chain.endpoints`); else the next one is asked. It must not sign
anything, and it must not show what is in a URL besides scheme, host and port.

Errors: `RpcUnreachable`, `ChainStale` and `RpcBusy` are temporary, `WrongNetwork` is permanent,
`RpcRefused` is the node's own "no", and a contract's "no" is the typed error behind its revert data.
"""

from __future__ import annotations

import secrets
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Any

from eth_utils.crypto import keccak

from chain.abi import ZERO_ADDRESS, checksum
from chain.connection import ConnectionFile
from chain.endpoints import Endpoints, Fault, Freshness
from chain.pulse import Pulse
from chain.wire import (
    Block,
    BlockId,
    ChainStale,
    Endpoint,
    Log,
    Receipt,
    RpcBusy,
    RpcRefused,
    RpcUnreachable,
    WrongNetwork,
    as_block,
    as_bytes,
    as_log,
    as_number,
    as_topic,
    block_id,
    node_error,
    result,
)
from market.errors import OcxError, Temporary

__all__ = [
    "CHAIN_AWAY",
    "Block",
    "BlockId",
    "ChainStale",
    "Log",
    "Receipt",
    "Rpc",
    "RpcBusy",
    "RpcRefused",
    "RpcUnreachable",
    "WrongNetwork",
]

CHAIN_AWAY = (RpcUnreachable, ChainStale, RpcBusy, WrongNetwork)
"""The errors that mean "no endpoint can be used now", and not "this one question failed"."""

_BATCH = 100
"""The most requests in one message; nodes take ten times that."""


class Rpc:
    """The network of one connection file, through whichever of its endpoints is right and fresh.

    Safe to share between threads. `stale_after` (seconds a head may be old; None: no limit) defaults to the
    larger of 30 s and 20 block times, and to no limit on a network whose blocks come only with transactions.
    `pace_span` defaults to the larger of 10 s and 5 block times. See `chain.endpoints.Freshness`.
    """

    def __init__(
        self,
        connection: ConnectionFile,
        *,
        timeout: float = 10.0,
        recheck: float = 5.0,
        max_lag_blocks: int = 5,
        stale_after: float | None = -1.0,
        pace_span: float | None = None,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.connection = connection
        default = max(30.0, 20 * connection.block_time) if connection.block_time else None
        limits = Freshness(
            recheck=recheck,
            stale_after=default if stale_after is not None and stale_after < 0 else stale_after,
            max_lag=max_lag_blocks,
            pace_span=max(10.0, 5 * connection.block_time) if pace_span is None else pace_span,
        )
        self._endpoints = Endpoints(connection, timeout, limits, clock, monotonic)
        self.pulse = Pulse(self, monotonic)
        self._lock = threading.Lock()
        self._times: OrderedDict[bytes, int] = OrderedDict()
        self._buried: tuple[Block, Block] | None = None

    @classmethod
    def for_deployment(
        cls,
        urls: Sequence[str],
        *,
        network: str = "new",
        gas_price: int | None = 0,
        block_time: float = 1.0,
        confirmations: int = 0,
    ) -> Rpc:
        """For the one program that creates a deployment: believe the first URL's chain id and genesis.

        There is no Directory yet, so none is checked. Everybody else uses a connection file.
        """
        first = Endpoint(urls[0], 10.0)
        connection = ConnectionFile(
            network=network,
            chain_id=as_number(result(first, "eth_chainId")),
            genesis_hash=str(result(first, "eth_getBlockByNumber", "0x0", False)["hash"]),
            directory=ZERO_ADDRESS,
            directory_code_hash="0x" + keccak(b"").hex(),
            rpc_urls=tuple(urls),
            gas_price=gas_price,
            block_time=block_time,
            confirmations=confirmations,
        )
        return cls(connection)

    def call(self, method: str, params: Sequence[Any] = ()) -> Any:
        """The result of any JSON-RPC method, from the first endpoint that is right, fresh and answers."""
        [answer] = self._ask([(method, params)])
        if answer.get("error") is not None:
            raise node_error(method, answer["error"])
        return answer.get("result")

    def call_many(self, requests: Sequence[tuple[str, Sequence[Any]]]) -> list[Any]:
        """The results of several methods, in order, from one endpoint and mostly in one message.

        Where the node said no, the error that `call` would raise stands in the result's place.
        """
        results: list[Any] = []
        for start in range(0, len(requests), _BATCH):
            part = requests[start : start + _BATCH]
            for (method, _), answer in zip(part, self._ask(part), strict=True):
                error = answer.get("error")
                results.append(answer.get("result") if error is None else node_error(method, error))
        return results

    def _ask(self, requests: Sequence[tuple[str, Sequence[Any]]]) -> list[Any]:
        """The answers of the first endpoint that is right, fresh and answers."""
        faults: list[Fault] = []
        for endpoint in self._endpoints.usable(faults):
            try:
                return endpoint.request_many(requests)
            except RpcUnreachable as error:
                self._endpoints.put_to_rest(endpoint, error)
                faults.append((endpoint, error))
        raise self._endpoints.verdict(faults)

    def others(
        self, requests: Sequence[tuple[str, Sequence[Any]]], most: int | None = None
    ) -> list[list[Any]]:
        """The whole answers of endpoints beside the one that `call` asks, in an order of chance.

        Of all that are right and fresh, or of at most so many.
        """
        further = self._endpoints.usable([])[1:]
        heard: list[list[Any]] = []
        for endpoint in secrets.SystemRandom().sample(further, len(further)):
            if len(heard) == most:
                break
            try:
                heard.append(endpoint.request_many(requests))
            except RpcUnreachable as error:
                self._endpoints.put_to_rest(endpoint, error)
        return heard

    def doubt(self, why: str) -> None:
        """Leave the endpoint that `call` asks in peace for a moment, so that others are asked."""
        for endpoint in self._endpoints.usable([])[:1]:
            self._endpoints.put_to_rest(endpoint, RpcUnreachable(f"{endpoint.shown}: {why}"))

    def verify(self) -> Block:
        """Examine all endpoints now; the freshest good head. Raises what `call` would raise."""
        self._endpoints.distrust()
        faults: list[Fault] = []
        heads = [endpoint.head for endpoint in self._endpoints.usable(faults) if endpoint.head]
        if not heads:
            raise self._endpoints.verdict(faults)
        return max(heads, key=lambda block: block.number)

    def block(self, number: BlockId = "latest") -> Block:
        """A block by number or tag; Temporary if the node does not have it (yet)."""
        raw = self.call("eth_getBlockByNumber", [block_id(number), False])
        if raw is None:
            raise Temporary(f"block {number} is not known to the node yet", block=number)
        return self._remember(as_block(raw))

    def head(self) -> Block:
        """The newest block."""
        return self.block("latest")

    def heads(self) -> tuple[Block, Block]:
        """The newest block, and the newest that counts: the one with `confirmations` blocks on top of it.

        Who acts on what cannot be taken back goes by the second; it is what the first was a little earlier.
        """
        newest, wanted = self.head(), self.connection.confirmations
        if wanted == 0:
            return newest, newest
        kept = self._buried
        if kept is None or kept[0].hash != newest.hash:
            kept = self._buried = newest, self.block(max(0, newest.number - wanted))
        return kept

    def are_buried(self, receipts: Sequence[Receipt]) -> list[bool]:
        """Whether each receipt's block is on the chain of one node, with `confirmations` blocks on top.

        The block is compared by its hash: a node on a branch that was given up hands out receipts, too.
        """
        wanted = self.connection.confirmations
        if wanted == 0 or not receipts:
            return [True] * len(receipts)
        numbers = sorted({receipt.block_number for receipt in receipts})
        asked = [("eth_getBlockByNumber", [tag, False]) for tag in ("latest", *map(hex, numbers))]
        head, *blocks = (raw and as_block(raw) for raw in map(_sound, self.call_many(asked)))
        deep = {
            block.number: block.hash for block in blocks if block and head.number >= block.number + wanted
        }
        return [deep.get(receipt.block_number) == receipt.block_hash for receipt in receipts]

    def chain_time(self) -> int:
        """Unix seconds of the newest block: the clock the contracts go by."""
        return self.head().timestamp

    def eth_call(
        self,
        to: str | None,
        data: bytes,
        block: BlockId = "latest",
        sender: str | None = None,
        value: int = 0,
        gas: int | None = None,
    ) -> bytes:
        """What a call would return, without sending it; a revert raises its typed error.

        `to` None tries a deployment. `gas`: what it may use, by default the most the node allows.
        """
        request = _call_request(to, data, sender, value)
        if gas is not None:
            request["gas"] = hex(gas)
        return as_bytes(self.call("eth_call", [request, block_id(block)]))

    def eth_calls(
        self, calls: Sequence[tuple[str, bytes]], block: BlockId = "latest"
    ) -> list[bytes | OcxError]:
        """What several calls (to, data) would return at one block; a refused one's error in its place."""
        at = block_id(block)
        asked = [("eth_call", [_call_request(to, data, None, 0), at]) for to, data in calls]
        return [item if isinstance(item, OcxError) else as_bytes(item) for item in self.call_many(asked)]

    def estimate_gas(self, to: str | None, data: bytes, sender: str, value: int = 0) -> int:
        """The gas a transaction would need now; a revert raises its typed error."""
        return as_number(self.call("eth_estimateGas", [_call_request(to, data, sender, value)]))

    def try_out(self, to: str | None, data: bytes, sender: str, value: int = 0) -> tuple[int, Block]:
        """Call and estimate at once: the gas a transaction would need now, and the newest block.

        A revert raises its typed error.
        """
        request = _call_request(to, data, sender, value)
        _, gas, block = (
            _sound(item)
            for item in self.call_many(
                [
                    ("eth_call", [request, "latest"]),
                    ("eth_estimateGas", [request]),
                    ("eth_getBlockByNumber", ["latest", False]),
                ]
            )
        )
        return as_number(gas), self._remember(as_block(block))

    def get_code(self, address: str, block: BlockId = "latest") -> bytes:
        """The runtime code at `address`; empty if there is no contract."""
        return as_bytes(self.call("eth_getCode", [address, block_id(block)]))

    def get_logs(
        self,
        addresses: Sequence[str],
        from_block: int,
        to_block: int,
        topics: Sequence[bytes | Sequence[bytes] | None] = (),
    ) -> list[Log]:
        """Logs of `addresses` in the blocks from `from_block` to `to_block`, both included, in order."""
        span = {"fromBlock": hex(from_block), "toBlock": hex(to_block)}
        return self._logs({"address": list(addresses), **span, "topics": [as_topic(item) for item in topics]})

    def logs_of_block(self, addresses: Sequence[str], block_hash: bytes) -> list[Log]:
        """Logs of `addresses` in this very block; RpcRefused if the node does not have it (any more)."""
        return self._logs({"address": list(addresses), "blockHash": "0x" + block_hash.hex()})

    def _logs(self, query: dict[str, Any]) -> list[Log]:
        logs = [as_log(raw) for raw in self.call("eth_getLogs", [query])]
        return sorted(logs, key=lambda entry: (entry.block_number, entry.log_index))

    def receipt(self, tx_hash: bytes) -> Receipt | None:
        """The receipt of a mined transaction, or None while it is not mined."""
        return self.receipts([tx_hash])[0]

    def receipts(self, tx_hashes: Sequence[bytes]) -> list[Receipt | None]:
        """The receipts of several transactions, None for each that is not mined."""
        asked = [("eth_getTransactionReceipt", ["0x" + hash_.hex()]) for hash_ in tx_hashes]
        return [self._receipt(_sound(raw)) for raw in self.call_many(asked)]

    def _receipt(self, raw: Any) -> Receipt | None:
        if raw is None or raw.get("blockNumber") is None:
            return None
        contract = raw.get("contractAddress")
        block_hash, number = as_bytes(raw["blockHash"]), as_number(raw["blockNumber"])
        return Receipt(
            tx_hash=as_bytes(raw["transactionHash"]),
            block_number=number,
            block_hash=block_hash,
            block_time=self.block_time(number, block_hash),
            gas_used=as_number(raw["gasUsed"]),
            status=as_number(raw["status"]),
            logs=tuple(as_log(entry) for entry in raw["logs"]),
            contract_address=checksum(contract) if contract else None,
        )

    def transaction_count(self, address: str, block: BlockId = "latest") -> int:
        """How many transactions `address` has sent, up to `block` (`pending` counts the waiting ones)."""
        return as_number(self.call("eth_getTransactionCount", [address, block_id(block)]))

    def transaction_counts(self, address: str) -> tuple[int, int]:
        """The same for the newest block, and with the waiting ones."""
        asked = [("eth_getTransactionCount", [address, tag]) for tag in ("latest", "pending")]
        latest, pending = (as_number(_sound(raw)) for raw in self.call_many(asked))
        return latest, pending

    def balance(self, address: str, block: BlockId = "latest") -> int:
        """Wei held by `address`: what pays for gas, not credits."""
        return as_number(self.call("eth_getBalance", [address, block_id(block)]))

    def block_time(self, number: int, block_hash: bytes) -> int:
        """Unix seconds of the block with that number and hash; remembered."""
        with self._lock:
            known = self._times.get(block_hash)
        if known is not None:
            return known
        return self.block(number).timestamp

    def _remember(self, block: Block) -> Block:
        with self._lock:
            self._times[block.hash] = block.timestamp
            while len(self._times) > 4096:
                self._times.popitem(last=False)
        return block

    def endpoints(self) -> list[dict[str, Any]]:
        """For health pages: see `Endpoints.report`."""
        return self._endpoints.report()


def _sound(item: Any) -> Any:
    """One result of `call_many`; the error is raised if it is one."""
    if isinstance(item, OcxError):
        raise item
    return item


def _call_request(to: str | None, data: bytes, sender: str | None, value: int) -> dict[str, str]:
    request = {"data": "0x" + data.hex()}
    if to:
        request["to"] = to
    if sender:
        request["from"] = sender
    if value:
        request["value"] = hex(value)
    return request
