"""A deployed exchange where a whole history takes a second: unsigned senders, chosen seconds, batched views.

Blocks come with transactions, at the second the test chooses; a view can be asked at any second. What was
done is undone by `Arena.undo`. Nothing here may compute what the contracts ought to answer.
"""

from __future__ import annotations

import http.client
import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from eth_utils.crypto import keccak

from chain.abi import Abi
from chain.connection import load
from chain.contracts.base import Call, Contract
from chain.contracts.members import Role
from chain.deploy import DeployParams, deploy
from chain.exchange import Exchange, decode_logs
from chain.sender import Sender
from chain.wire import as_bytes, as_log, as_number, node_error
from market.specs import Spec
from tests.chain.network import Anvil, wallet

GENESIS = 1_800_000_000
CLASS, SITE = "bm.large", "hall-1"
SPEC = Spec(cores=8, memory_mib=1024, disk_gib=10, gpus=0, network_mbps=1000)
GAS = hex(12_000_000)

PARAMS = DeployParams(
    slot=600,
    quantum=60,
    sign_time=400,
    deliver_time=900,
    accept_time=500,
    wipe_time=700,
    notice=300,
    default_ppm=133_333,
    sign_miss_ppm=100_001,
    reserve_ppm=50_003,
    wipe_ppm=111_111,
    deposit_ppm=12_345,
    order_deposit_ppm=0,
    epoch=200,
    rounds=20,
    seat_fee=333,
)
"""Small and uneven, so that every rounding shows."""

View = tuple[Contract, str, tuple[Any, ...]]


@dataclass(frozen=True)
class Organisation:
    """A member's account and its organisation's number."""

    org: int
    account: str


class Arena:
    """One anvil, one deployment; `now` is the second of the newest block."""

    def __init__(self, node: Anvil, folder: Path, params: DeployParams = PARAMS) -> None:
        self._http = http.client.HTTPConnection("127.0.0.1", node.port, timeout=60)
        self.params = params
        self.founder = wallet(0).address
        rpc = node.rpc()
        founder = Sender(rpc, wallet(0), folder / "founder")
        self.deployment = deploy(rpc, founder, params)
        founder.close()
        _, connection = self.deployment.write(folder)
        self.exchange = Exchange(load(connection))
        self.ask("anvil_autoImpersonateAccount", True)
        self.now = self.exchange.now()
        self._saved = ""

    # ---- history ----

    def save(self) -> None:
        """Here `undo` comes back to."""
        self._saved, self._saved_now = str(self.ask("evm_snapshot")), self.now

    def undo(self) -> None:
        """Forget everything since `save`."""
        assert self.ask("evm_revert", self._saved), "the snapshot is gone"
        self.now = self._saved_now
        self.save()

    def act(self, who: str, call: Call, at: int | None = None) -> list[Any]:
        """Do it in a block of that second (default: the next); its events. Raises its typed error."""
        at = self.now + 1 if at is None else at
        self.ask("evm_setNextBlockTimestamp", hex(at))
        receipt = self.ask("eth_sendTransactionSync", _request(who, call))
        self.now = at
        if receipt["status"] != "0x1":
            self.refused(who, call, at)
            raise AssertionError(f"{call.label} reverted in its block, but not when tried again")
        assert as_number(receipt["blockTimestamp"]) == at
        return list(decode_logs(as_log(raw) for raw in receipt["logs"]))

    def refused(self, who: str, call: Call, at: int) -> None:
        """Raise what the call would revert with at that second; return if it would not."""
        self.ask("eth_call", _request(who, call), "latest", {}, {"time": hex(at)})

    # ---- views ----

    def views(self, views: Sequence[View], at: int | None = None) -> list[Any]:
        """What all of these return at that second (default: the newest block's), in one exchange of words."""
        if not views:
            return []
        over = {"time": hex(self.now if at is None else at)}
        batch = [
            _message(
                number,
                "eth_call",
                [{"to": c.address, "data": _encoded(c.NAME, fn, args)}, "latest", {}, over],
            )
            for number, (c, fn, args) in enumerate(views)
        ]
        answers = sorted(self._post(batch), key=lambda answer: answer["id"])
        return [
            contract.abi.decode_result(fn, as_bytes(_result("eth_call", answer)))
            for (contract, fn, _), answer in zip(views, answers, strict=True)
        ]

    def ask(self, method: str, *params: Any) -> Any:
        """Any JSON-RPC method; a revert raises its typed error."""
        return _result(method, self._post(_message(0, method, params)))

    def _post(self, body: Any) -> Any:
        """One exchange of words over a connection that stays; libraries would take most of the time."""
        self._http.request("POST", "/", json.dumps(body), {"Content-Type": "application/json"})
        return json.loads(self._http.getresponse().read())

    # ---- the cast ----

    def admit(self, name: str, role: Role, funds: int, group: int = 0) -> Organisation:
        """An organisation with so many microcredits in Escrow."""
        x, account = self.exchange, wallet(int.from_bytes(keccak(text=name)[:4], "big")).address
        [admitted, *_] = self.act(self.founder, x.members.admit(name, account, role, group))
        self.act(self.founder, x.credits.mint(account, funds, name))
        self.act(account, x.credits.approve(x.escrow.address, funds))
        self.act(account, x.escrow.deposit(admitted.org, funds))
        return Organisation(int(admitted.org), account)

    def register(self, seller: Organisation, turnaround: int, site: str = SITE) -> int:
        """A new machine of that seller."""
        inventory = self.exchange.inventory
        key = keccak(text=f"hardware {inventory.count()}")
        call = inventory.register(CLASS, site, SPEC, turnaround, keccak(text="document"), key)
        [registered] = self.act(seller.account, call)
        return int(registered.resource)

    def grant(self, holder: str, right: str) -> None:
        """Give an account a contract's right, as the time lock would."""
        x = self.exchange
        self.act(x.directory.timelock(), x.directory.set_right(holder, right, True))


def _request(who: str, call: Call) -> dict[str, str]:
    return {"from": who, "to": call.to, "data": "0x" + call.data.hex(), "gas": GAS, "gasPrice": "0x0"}


@lru_cache(maxsize=65536)
def _encoded(contract: str, fn: str, args: tuple[Any, ...]) -> str:
    return "0x" + Abi.load(contract).encode_call(fn, args).hex()


def _message(number: int, method: str, params: Sequence[Any]) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": number, "method": method, "params": list(params)}


def _result(method: str, answer: dict[str, Any]) -> Any:
    if answer.get("error") is not None:
        raise node_error(method, answer["error"])
    return answer.get("result")
