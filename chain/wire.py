"""What a node says and means: blocks, logs, receipts, errors, and one HTTP connection to one node.

It exists so that `chain.rpc` can be about trust alone. It must not decide which node to ask, and it must not
show what is in a URL besides scheme, host and port.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import unquote, urlsplit, urlunsplit

from chain.abi import checksum, decode_revert
from chain.connection import redact
from market.errors import OcxError, Permanent, Refused, Temporary

if TYPE_CHECKING:
    from chain.line import Line

__all__ = [
    "Block",
    "BlockId",
    "BroadcastReply",
    "ChainStale",
    "Endpoint",
    "Log",
    "Receipt",
    "RpcBusy",
    "RpcRefused",
    "RpcUnreachable",
    "WrongNetwork",
    "as_block",
    "as_bytes",
    "as_log",
    "as_number",
    "as_topic",
    "block_id",
    "broadcast_reply",
    "node_error",
    "result",
    "results",
]

_KNOWN = ("already known", "already imported", "known transaction")
_NONCE_USED = ("nonce too low", "nonce is too low")
_NEVER = (
    "insufficient funds",
    "upfront cost exceeds",
    "intrinsic gas",
    "exceeds block gas limit",
    "gas limit exceeded",
    "gas price below",
    "less than block base fee",
    "not authorized",
    "invalid sender",
)
BlockId = int | str
_NOT_FOUND = -32601
_STARTING = "indexing is in progress"
"""What geth says of receipts right after its start."""
_LIMIT = -32005


class RpcUnreachable(Temporary):
    """No endpoint answered; evidence: `endpoints` (without credentials) and what each said."""


class ChainStale(Temporary):
    """Every endpoint that answers has a head that is too old; evidence: `age` in seconds, `block`."""


class RpcBusy(Temporary):
    """The node asks to be called less often, or is not done with starting."""


class WrongNetwork(Permanent):
    """An endpoint belongs to another chain or deployment; evidence: `what`, `expected`, `got`."""


class RpcRefused(Refused):
    """The node answered with an error that is no revert; evidence: `code`, `method`, `data`."""

    @property
    def code(self) -> int:
        """The JSON-RPC error code."""
        return cast(int, self.evidence["code"])


class BroadcastReply(Enum):
    """What a node means when it does not simply take a transaction; nodes only differ in their words."""

    KNOWN = "it has it already"
    NONCE_USED = "a mined transaction has the nonce"
    NEVER = "it will not take it as it is"
    NOT_NOW = "anything else: it may take it later"


@dataclass(frozen=True)
class Block:
    """A block's header, as far as we need it; `timestamp` in unix seconds, `base_fee` in wei per gas."""

    number: int
    hash: bytes
    parent_hash: bytes
    timestamp: int
    gas_limit: int
    base_fee: int | None


@dataclass(frozen=True)
class Log:
    """One entry of a transaction's log; `block_time` in unix seconds where the node tells it."""

    address: str
    topics: tuple[bytes, ...]
    data: bytes
    block_number: int
    block_hash: bytes
    tx_hash: bytes
    log_index: int
    block_time: int | None = None


@dataclass(frozen=True)
class Receipt:
    """A mined transaction; `status` is 1 for success, 0 for reverted; `block_time` in unix seconds."""

    tx_hash: bytes
    block_number: int
    block_hash: bytes
    block_time: int
    gas_used: int
    status: int
    logs: tuple[Log, ...]
    contract_address: str | None = None


class Endpoint:
    """One URL: its session, whether it proved itself, its last head and how long to leave it in peace."""

    def __init__(self, url: str, timeout: float) -> None:
        parts = urlsplit(url)
        host = parts.netloc.rpartition("@")[2]
        self._url = urlunsplit(parts._replace(netloc=host))
        self._auth = (unquote(parts.username), unquote(parts.password or "")) if parts.username else None
        self._timeout = timeout
        self._making = threading.Lock()
        self._made: Line | None = None
        self._singly = False
        self.shown = redact(url)
        self.head: Block | None = None
        self.checked_at = float("-inf")
        self.rest_until = float("-inf")
        self.rest = 0.0
        self.fault: OcxError | None = None

    def request(self, method: str, params: Sequence[Any]) -> Any:
        """The whole answer (`result` or `error`); RpcUnreachable when there is none."""
        [answer] = self.request_many([(method, params)])
        return answer

    def request_many(self, requests: Sequence[tuple[str, Sequence[Any]]]) -> list[Any]:
        """The whole answers to several requests, in order, in one message where the node takes that."""
        from http.client import HTTPException

        from chain.line import HttpStatus

        try:
            answers = self._ask([(method, list(params)) for method, params in requests])
        except (HttpStatus, HTTPException, ValueError, TypeError, KeyError, OSError) as error:
            why = str(error) if isinstance(error, HttpStatus) else type(error).__name__
            # Not chained: the cause's text holds the whole URL, and so perhaps a key.
            raise RpcUnreachable(f"{self.shown} does not answer ({why})") from None
        if len(answers) != len(requests) or not all(isinstance(answer, dict) for answer in answers):
            raise RpcUnreachable(f"{self.shown} does not speak JSON-RPC")
        return answers

    def _ask(self, requests: list[tuple[Any, Any]]) -> list[Any]:
        line = self._line()
        if len(requests) > 1 and not self._singly:
            together: Any = line.make_batch_request(requests)
            if isinstance(together, list):
                return together
            self._singly = True  # this node takes one request at a time
        return [line.make_request(*request) for request in requests]

    def _line(self) -> Line:
        """Made at the first request."""
        with self._making:
            if self._made is None:
                from chain.line import Line

                self._made = Line(self._url, self._auth, min(3.0, self._timeout), self._timeout)
            return self._made


def result(endpoint: Endpoint, method: str, *params: Any) -> Any:
    """The result from this one endpoint; raises what the answer's error means."""
    return results(endpoint, [(method, params)])[0]


def results(endpoint: Endpoint, requests: Sequence[tuple[str, Sequence[Any]]]) -> list[Any]:
    """The same for several requests in one message; the first error is raised."""
    found = []
    for (method, _), answer in zip(requests, endpoint.request_many(requests), strict=True):
        if answer.get("error") is not None:
            raise node_error(method, answer["error"])
        found.append(answer.get("result"))
    return found


def node_error(method: str, error: Any) -> OcxError:
    """The exception for a JSON-RPC error object: a revert's own type, else what the node said."""
    if not isinstance(error, dict):
        error = {"code": 0, "message": str(error)}
    code, message, data = error.get("code", 0), str(error.get("message", "")), error.get("data")
    if isinstance(data, dict):
        data = data.get("data") or data.get("result")
    revert = bytes.fromhex(data[2:]) if isinstance(data, str) and data.startswith("0x") else b""
    if code == 3 or "revert" in message.lower():
        return decode_revert(revert, message)
    if code == _LIMIT:
        return RpcBusy(f"the node asks to be called less often: {message}", retry_after=2.0)
    if _STARTING in message.lower():
        return RpcBusy(f"the node has only just started: {message}", retry_after=0.5)
    if code == _NOT_FOUND:
        return Permanent(f"the node does not offer {method}", hint="Enable the eth namespace.", method=method)
    return RpcRefused(f"the node refused {method}: {message}", code=code, method=method, data=data)


def broadcast_reply(error: RpcRefused) -> BroadcastReply:
    """Sort a node's answer to eth_sendRawTransaction, in the words of geth, Quorum, Besu and anvil."""
    said = error.message.lower()
    if any(text in said for text in _KNOWN):
        return BroadcastReply.KNOWN
    if any(text in said for text in _NONCE_USED):
        return BroadcastReply.NONCE_USED
    return BroadcastReply.NEVER if any(text in said for text in _NEVER) else BroadcastReply.NOT_NOW


def as_block(raw: Any) -> Block:
    """A block from its JSON."""
    if not isinstance(raw, dict):
        raise RpcUnreachable("the node gave no block")
    base_fee = raw.get("baseFeePerGas")
    return Block(
        number=as_number(raw["number"]),
        hash=as_bytes(raw["hash"]),
        parent_hash=as_bytes(raw["parentHash"]),
        timestamp=as_number(raw["timestamp"]),
        gas_limit=as_number(raw["gasLimit"]),
        base_fee=None if base_fee is None else as_number(base_fee),
    )


def as_log(raw: Any) -> Log:
    """A log entry from its JSON."""
    time_ = raw.get("blockTimestamp")
    return Log(
        address=checksum(raw["address"]),
        topics=tuple(as_bytes(topic) for topic in raw["topics"]),
        data=as_bytes(raw["data"]),
        block_number=as_number(raw["blockNumber"]),
        block_hash=as_bytes(raw["blockHash"]),
        tx_hash=as_bytes(raw["transactionHash"]),
        log_index=as_number(raw["logIndex"]),
        block_time=None if time_ is None else as_number(time_),
    )


def as_number(value: Any) -> int:
    """A JSON-RPC quantity; Permanent if it is none."""
    try:
        return int(value, 16) if isinstance(value, str) else int(value)
    except (TypeError, ValueError) as error:
        raise _nonsense("a number", value) from error


def as_bytes(value: Any) -> bytes:
    """JSON-RPC data; Permanent if it is none."""
    try:
        if value[:2] == "0x":
            return bytes.fromhex(value[2:])
    except (TypeError, ValueError, KeyError) as error:
        raise _nonsense("hexadecimal data", value) from error
    raise _nonsense("hexadecimal data", value)


def _nonsense(wanted: str, value: object) -> Permanent:
    return Permanent(
        f"the node gave {type(value).__name__} where {wanted} belongs",
        hint="Is that URL really the JSON-RPC port of a node?",
    )


def block_id(block: BlockId) -> str:
    """A block number or tag as JSON-RPC wants it."""
    return hex(block) if isinstance(block, int) else block


def as_topic(item: bytes | Sequence[bytes] | None) -> Any:
    """One position of a topic filter: a topic, alternatives, or None for anything."""
    if item is None or isinstance(item, bytes):
        return None if item is None else "0x" + item.hex()
    return ["0x" + one.hex() for one in item]
