"""JSON-RPC with a memory of whom it speaks to.

Each endpoint must prove, before it is used and again every few seconds, that it is the network of the
connection file (chain id, genesis hash, code at Directory) and that its head is fresh; else the next one is
asked. It must not sign anything, and it must not show what is in a URL besides scheme, host and port.

Errors: `RpcUnreachable`, `ChainStale` and `RpcBusy` are temporary, `WrongNetwork` is permanent,
`RpcRefused` is the node's own "no", and a contract's "no" is the typed error behind its revert data.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Any

from eth_utils.crypto import keccak

from chain.abi import ZERO_ADDRESS, checksum
from chain.connection import ConnectionFile
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

log = logging.getLogger(__name__)

CHAIN_AWAY = (RpcUnreachable, ChainStale, RpcBusy, WrongNetwork)
"""The errors that mean "no endpoint can be used now", and not "this one question failed"."""

_LONGEST_REST = 30.0


class Rpc:
    """The network of one connection file, through whichever of its endpoints is right and fresh.

    Safe to share between threads. `stale_after` (seconds a head may be old; None: no limit) defaults to the
    larger of 30 s and 20 block times, and to no limit on a network whose blocks come only with transactions.
    """

    def __init__(
        self,
        connection: ConnectionFile,
        *,
        timeout: float = 10.0,
        recheck: float = 5.0,
        max_lag_blocks: int = 5,
        stale_after: float | None = -1.0,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.connection = connection
        default = max(30.0, 20 * connection.block_time) if connection.block_time else None
        self._stale_after = default if stale_after is not None and stale_after < 0 else stale_after
        self._recheck = recheck
        self._max_lag = max_lag_blocks
        self._clock = clock
        self._monotonic = monotonic
        self._lock = threading.RLock()
        self._endpoints = [Endpoint(url, timeout) for url in connection.rpc_urls]
        self._times: OrderedDict[bytes, int] = OrderedDict()

    @classmethod
    def for_deployment(
        cls, urls: Sequence[str], *, network: str = "new", gas_price: int | None = 0, block_time: float = 1.0
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
        )
        return cls(connection)

    def call(self, method: str, params: Sequence[Any] = ()) -> Any:
        """The result of any JSON-RPC method, from the first endpoint that is right, fresh and answers."""
        faults: list[tuple[Endpoint, OcxError]] = []
        for endpoint in self._usable(faults):
            try:
                answer = endpoint.request(method, params)
            except RpcUnreachable as error:
                self._put_to_rest(endpoint, error)
                faults.append((endpoint, error))
                continue
            if answer.get("error") is not None:
                raise node_error(method, answer["error"])
            return answer.get("result")
        raise self._verdict(faults)

    def verify(self) -> Block:
        """Examine all endpoints now; the freshest good head. Raises what `call` would raise."""
        with self._lock:
            for endpoint in self._endpoints:
                endpoint.checked_at = float("-inf")
        faults: list[tuple[Endpoint, OcxError]] = []
        heads = [endpoint.head for endpoint in self._usable(faults) if endpoint.head]
        if not heads:
            raise self._verdict(faults)
        return max(heads, key=lambda block: block.number)

    def block(self, number: BlockId = "latest") -> Block:
        """A block by number or tag; Temporary if the node does not have it (yet)."""
        raw = self.call("eth_getBlockByNumber", [block_id(number), False])
        if raw is None:
            raise Temporary(f"block {number} is not known to the node yet", block=number)
        return as_block(raw)

    def head(self) -> Block:
        """The newest block."""
        return self.block("latest")

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
    ) -> bytes:
        """What a call would return, without sending it; a revert raises its typed error.

        `to` None tries a deployment.
        """
        request = _call_request(to, data, sender, value)
        return as_bytes(self.call("eth_call", [request, block_id(block)]))

    def estimate_gas(self, to: str | None, data: bytes, sender: str, value: int = 0) -> int:
        """The gas a transaction would need now; a revert raises its typed error."""
        return as_number(self.call("eth_estimateGas", [_call_request(to, data, sender, value)]))

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
        query = {
            "address": list(addresses),
            "fromBlock": hex(from_block),
            "toBlock": hex(to_block),
            "topics": [as_topic(item) for item in topics],
        }
        logs = [as_log(raw) for raw in self.call("eth_getLogs", [query])]
        return sorted(logs, key=lambda entry: (entry.block_number, entry.log_index))

    def receipt(self, tx_hash: bytes) -> Receipt | None:
        """The receipt of a mined transaction, or None while it is not mined."""
        raw = self.call("eth_getTransactionReceipt", ["0x" + tx_hash.hex()])
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

    def balance(self, address: str, block: BlockId = "latest") -> int:
        """Wei held by `address`: what pays for gas, not credits."""
        return as_number(self.call("eth_getBalance", [address, block_id(block)]))

    def block_time(self, number: int, block_hash: bytes) -> int:
        """Unix seconds of the block with that number and hash; remembered."""
        with self._lock:
            known = self._times.get(block_hash)
        if known is not None:
            return known
        block = self.block(number)
        with self._lock:
            self._times[block.hash] = block.timestamp
            while len(self._times) > 4096:
                self._times.popitem(last=False)
        return block.timestamp

    def endpoints(self) -> list[dict[str, Any]]:
        """For health pages: each endpoint's URL (redacted), last head and what is wrong with it."""
        return [
            {"url": e.shown, "block": e.head.number if e.head else None, "fault": e.fault and str(e.fault)}
            for e in self._endpoints
        ]

    def _usable(self, faults: list[tuple[Endpoint, OcxError]]) -> list[Endpoint]:
        """The endpoints to ask, best first; why not the others goes to `faults`.

        Endpoints at rest after a failure are left out, unless none other is usable.
        """
        with self._lock:
            now = self._monotonic()
            good = self._sift([e for e in self._endpoints if e.rest_until <= now], faults)
            if not good:
                resting = [
                    e for e in self._endpoints if e.rest_until > now and e not in [f[0] for f in faults]
                ]
                good = self._sift(resting, faults)
            return good

    def _sift(self, asked: list[Endpoint], faults: list[tuple[Endpoint, OcxError]]) -> list[Endpoint]:
        for endpoint in asked:
            if self._monotonic() - endpoint.checked_at >= self._recheck:
                self._examine(endpoint)
        right = [e for e in asked if e.fault is None and e.head is not None]
        best = max((e.head.number for e in right if e.head), default=0)
        for endpoint in right:
            self._judge_head(endpoint, best)
        faults += [(e, e.fault) for e in asked if e.fault is not None]
        return [e for e in right if e.fault is None]

    def _examine(self, endpoint: Endpoint) -> None:
        """Ask who it is and how far; the answer is kept as `head` or as `fault`."""
        previous = endpoint.fault
        try:
            self._check_identity(endpoint)
            endpoint.head = as_block(result(endpoint, "eth_getBlockByNumber", "latest", False))
        except RpcUnreachable as error:
            self._put_to_rest(endpoint, error)
            return
        except OcxError as error:
            endpoint.fault = error
            if str(previous) != str(error):
                log.warning("not using %s: %s", endpoint.shown, error)
        else:
            endpoint.fault = None
            if previous is not None:
                log.info("%s is good again", endpoint.shown)
        endpoint.rest, endpoint.rest_until = 0.0, float("-inf")
        endpoint.checked_at = self._monotonic()

    def _check_identity(self, endpoint: Endpoint) -> None:
        want = self.connection
        _expect(endpoint, "chain id", want.chain_id, as_number(result(endpoint, "eth_chainId")))
        genesis = result(endpoint, "eth_getBlockByNumber", "0x0", False)
        _expect(endpoint, "genesis hash", want.genesis_hash, genesis and genesis["hash"])
        if want.directory != ZERO_ADDRESS:
            code = as_bytes(result(endpoint, "eth_getCode", want.directory, "latest"))
            got = "0x" + keccak(code).hex() if code else "no contract"
            _expect(endpoint, f"code at Directory {want.directory}", want.directory_code_hash, got)

    def _judge_head(self, endpoint: Endpoint, best: int) -> None:
        head = endpoint.head
        if head is None:
            return
        age = self._clock() - head.timestamp - (self._monotonic() - endpoint.checked_at)
        if best - head.number > self._max_lag:
            endpoint.fault = ChainStale(
                f"{endpoint.shown} is at block {head.number}, {best - head.number} behind another endpoint",
                block=head.number,
            )
        elif self._stale_after is not None and age > self._stale_after:
            endpoint.fault = ChainStale(
                f"the newest block of {endpoint.shown} ({head.number}) is {age:.0f} s old",
                hint="The chain stands still or the node has lost its peers; an operator should look.",
                retry_after=self._recheck,
                age=int(age),
                block=head.number,
            )

    def _put_to_rest(self, endpoint: Endpoint, error: RpcUnreachable) -> None:
        with self._lock:
            if endpoint.fault is None:
                log.warning("%s; trying the next endpoint", error)
            endpoint.fault = error
            endpoint.rest = min(_LONGEST_REST, max(1.0, endpoint.rest * 2))
            endpoint.rest_until = self._monotonic() + endpoint.rest
            endpoint.checked_at = float("-inf")

    def _verdict(self, faults: Sequence[tuple[Endpoint, OcxError]]) -> OcxError:
        """The one error that sums up why no endpoint can be used."""
        kinds = {type(fault) for _, fault in faults}
        if len(kinds) == 1 and kinds != {RpcUnreachable}:
            return faults[0][1]
        told = {endpoint.shown: str(fault) for endpoint, fault in faults}
        return RpcUnreachable(
            f"no endpoint of network {self.connection.network!r} can be used: {'; '.join(told.values())}",
            hint="Start the node or add another to rpc_urls; nothing is lost meanwhile.",
            retry_after=2.0,
            endpoints=told,
        )


def _call_request(to: str | None, data: bytes, sender: str | None, value: int) -> dict[str, str]:
    request = {"data": "0x" + data.hex()}
    if to:
        request["to"] = to
    if sender:
        request["from"] = sender
    if value:
        request["value"] = hex(value)
    return request


def _expect(endpoint: Endpoint, what: str, expected: object, got: object) -> None:
    if expected != got:
        raise WrongNetwork(
            f"{endpoint.shown} is not the connection file's network: {what} is {got}, not {expected}",
            hint="Use the connection file of the network you mean, or correct rpc_urls.",
            what=what,
            expected=expected,
            got=got,
        )
