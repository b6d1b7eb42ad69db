"""Deployment of the exchange on a chain, and its record.

The founder (one key, the council's) deploys, grants each contract its rights and hands the Directory over to
a time lock, all in the open. Each transaction carries an intent, so a deployment that was cut short goes on
where it stopped when it is run again with the same sender.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from eth_utils.crypto import keccak

from chain import connection as connection_file
from chain.abi import ZERO_ADDRESS, Abi, checksum
from chain.contracts.directory import Directory
from chain.nodes.extra import rlp
from chain.nonces import Entry
from chain.rpc import Rpc
from chain.sender import Sender
from market.errors import InvalidInput, Permanent
from market.rounds import Grid

__all__ = ["GRANTS", "DeployParams", "Deployment", "Founding", "deploy"]

GRANTS = (
    ("Escrow", "members.charge"),
    ("Settlement", "escrow.move"),
    ("Book", "escrow.move"),
    ("SealedTender", "escrow.move"),
    ("EnglishAuction", "escrow.move"),
    ("Leases", "inventory.book"),
    ("Leases", "settlement.report"),
    ("Awards", "leases.open"),
    ("Book", "awards.open"),
    ("SealedTender", "awards.open"),
    ("EnglishAuction", "awards.open"),
    ("Orders", "awards.open"),
    ("SealedTender", "book.record"),
    ("EnglishAuction", "book.freeze"),
    ("Witnesses", "escrow.move"),
    ("Verdicts", "escrow.move"),
    ("Witnesses", "leases.witness"),
    ("Verdicts", "leases.witness"),
    ("Verdicts", "settlement.judge"),
    ("Audits", "witnesses.slash"),
    ("Awards", "leases.amend"),
    ("Amendments", "leases.amend"),
    ("Amendments", "awards.open"),
)
"""Who may ask what of whom; the same list stands in tests/contracts/Exchange.sol."""

_LIMITS = {
    "seat_fee": (1 << 64) - 1,
    "min_stake": (1 << 96) - 1,
    "tick_fine": (1 << 96) - 1,
    "appeal_bond": (1 << 96) - 1,
    "small_size": 6,
    "large_size": 6,
    "large_pool": 64,
}
_POSITIVE = ("slot", "quantum", "sign_time", "fence_time", "deliver_time", "max_open_orders", "min_stake")


@dataclass(frozen=True)
class DeployParams:
    """Deployment constants; the defaults suit a consortium (T4).

    Times are seconds (`slot`, `quantum`, `epoch` too; `tolerance_ms` milliseconds), `_ppm` parts per million,
    money microcredits: `seat_fee` a seat and epoch, `min_stake` what a witness stakes at least, `tick_fine`
    for an epoch without a tick, `appeal_bond` for an appeal. A lease is taken back with at least
    `reclaim_notice`, for `reclaim_ppm` of the price not served: less than `default_ppm` (L5). `rounds` are
    those of an epoch. A committee has `small_size` seats of which `small_quorum` agree while fewer than
    `large_pool` are eligible (W1).
    """

    slot: int = 3600
    quantum: int = 60
    sign_time: int = 1800
    fence_time: int = 900
    deliver_time: int = 3600
    accept_time: int = 3600
    wipe_time: int = 7200
    notice: int = 3600
    default_ppm: int = 200_000
    sign_miss_ppm: int = 100_000
    reserve_ppm: int = 50_000
    wipe_ppm: int = 100_000
    deposit_ppm: int = 10_000
    order_deposit_ppm: int = 1_000
    max_open_orders: int = 1_000
    timelock_delay: int = 172_800
    epoch: int = 3600
    rounds: int = 60
    restore_time: int = 600
    power_time: int = 600
    seat_fee: int = 10_000
    small_size: int = 3
    small_quorum: int = 2
    large_size: int = 5
    large_quorum: int = 4
    large_pool: int = 12
    min_stake: int = 1_000_000_000
    tick_fine: int = 10_000_000
    slash_ppm: int = 500_000
    appeal_bond: int = 10_000_000
    appeal_time: int = 2_592_000
    reclaim_notice: int = 86_400
    reclaim_ppm: int = 100_000
    tolerance_ms: int = 2_000
    outlier_epochs: int = 6

    def __post_init__(self) -> None:
        """Refuse what would make no exchange."""
        for name, value in asdict(self).items():
            limit = 1_000_000 if name.endswith("_ppm") else _LIMITS.get(name, (1 << 32) - 1)
            if not isinstance(value, int) or not 0 <= value <= limit:
                raise InvalidInput(f"{name} of {value!r} is not a whole number from 0 to {limit}")
        for name in _POSITIVE:
            if getattr(self, name) == 0:
                raise InvalidInput(f"{name} must be at least 1")
        if self.tolerance_ms == 0 or self.outlier_epochs < 2:
            raise InvalidInput(
                "no witness measures to the millisecond, and none is slashed for one epoch's disagreement",
                hint="Give a tolerance_ms of at least 1 and outlier_epochs of at least 2",
            )
        if self.reclaim_ppm and self.reclaim_ppm >= self.default_ppm:
            raise InvalidInput(
                f"a lease taken back for {self.reclaim_ppm} ppm costs no less than a default",
                hint="Give a reclaim_ppm below default_ppm",
            )
        Grid(self.epoch, self.rounds)
        for kind in ("small", "large"):
            size, quorum = getattr(self, f"{kind}_size"), getattr(self, f"{kind}_quorum")
            if not size < 2 * quorum <= 2 * size:
                raise InvalidInput(
                    f"a quorum of {quorum} in a committee of {size} is no majority",
                    hint=f"Give {kind}_quorum more than half of {kind}_size, and not more than it",
                )
        if not 3 <= self.small_size <= self.large_size <= self.large_pool:
            raise InvalidInput(
                f"committees of {self.small_size} and {self.large_size} out of {self.large_pool} are none",
                hint="Give 3 <= small_size <= large_size <= large_pool",
            )

    @classmethod
    def demo(cls) -> DeployParams:
        """Small enough to watch (rule T4)."""
        return cls(
            slot=10,
            quantum=1,
            sign_time=20,
            fence_time=60,
            deliver_time=60,
            accept_time=20,
            wipe_time=60,
            notice=2,
            timelock_delay=2,
            epoch=10,
            rounds=10,
            restore_time=3,
            power_time=60,
            seat_fee=1_000,
            min_stake=1_000_000,
            tick_fine=1_000,
            appeal_bond=1_000,
            appeal_time=60,
            reclaim_notice=20,
        )

    @classmethod
    def load(cls, values: dict[str, Any]) -> DeployParams:
        """From a file's mapping; InvalidInput names what is not a parameter."""
        unknown = set(values) - set(asdict(cls()))
        if unknown:
            raise InvalidInput(f"unknown deployment parameters: {', '.join(sorted(unknown))}")
        return replace(cls(), **values)


@dataclass
class Deployment:
    """What was deployed where, by which transactions."""

    network: str
    chain_id: int
    genesis_hash: str
    founder: str
    params: DeployParams
    rpc_urls: tuple[str, ...]
    gas_price: int | None
    block_time: float
    confirmations: int = 0
    addresses: dict[str, str] = field(default_factory=dict)
    transactions: dict[str, str] = field(default_factory=dict)
    gas_used: dict[str, int] = field(default_factory=dict)
    directory_code_hash: str = ""

    def connection(self) -> str:
        """The text of the connection file for everybody else."""
        return connection_file.render(
            network=self.network,
            chain_id=self.chain_id,
            genesis_hash=self.genesis_hash,
            directory=self.addresses["Directory"],
            directory_code_hash=self.directory_code_hash,
            rpc_urls=list(self.rpc_urls),
            gas_price=self.gas_price,
            block_time=self.block_time,
            slot=self.params.slot,
            confirmations=self.confirmations,
        )

    def write(self, folder: Path) -> tuple[Path, Path]:
        """Write `deployment.json` and `connection.yaml` into a folder; returns both paths."""
        folder.mkdir(parents=True, exist_ok=True)
        record, connection = folder / "deployment.json", folder / "connection.yaml"
        connection.write_text(self.connection(), "utf-8")
        record.write_text(json.dumps(asdict(self), indent=2, sort_keys=True) + "\n", "utf-8")
        return record, connection


def deploy(
    rpc: Rpc,
    sender: Sender,
    params: DeployParams,
    *,
    council: str | None = None,
    seats: Sequence[str] = (),
    threshold: int = 1,
    progress: Callable[[str], None] = lambda step: None,
) -> Deployment:
    """Deploy everything, grant the rights, hand over to the time lock.

    `council` defaults to the founder's own address; with `seats`, a contract of theirs is the council, of
    whom `threshold` must agree. `progress` is told each step before it begins. Raises the chain's typed
    errors; run again with the same sender to go on.
    """
    return Founding(rpc, sender, params, council or sender.address, progress).run(seats, threshold)


class Founding:
    """The making of contracts, one after the other; `stem` begins the names of its acts in the journal."""

    def __init__(
        self,
        rpc: Rpc,
        sender: Sender,
        params: DeployParams,
        council: str,
        progress: Callable[[str], None],
        stem: str = "deploy",
    ) -> None:
        self._stem = stem
        network = rpc.connection
        self._rpc, self._sender, self._council, self._progress = rpc, sender, council, progress
        self._p = params
        self.record = Deployment(
            network=network.network,
            chain_id=network.chain_id,
            genesis_hash=network.genesis_hash,
            founder=sender.address,
            params=params,
            rpc_urls=network.rpc_urls,
            gas_price=network.gas_price,
            block_time=network.block_time,
            confirmations=network.confirmations,
        )
        self._sent: dict[str, Entry] = {}

    def run(self, seats: Sequence[str], threshold: int) -> Deployment:
        at = self.record.addresses
        if seats:
            self._create("Council", list(seats), threshold)
            self._council = at["Council"]
        self._create_shared()
        self.create_generation(0)
        directory = Directory(at["Directory"], self._rpc)
        steps = {f"publish {name}": directory.publish(name, at[name]) for name in at if name != "Directory"}
        for name, right in GRANTS:
            steps[f"grant {right} to {name}"] = directory.set_right(at[name], right, True)
        for step, call in steps.items():
            self._send(step, call.to, call.data)
        self._mined()
        handover = directory.set_timelock(at["TimelockController"])
        self._send("hand over to the time lock", handover.to, handover.data)
        self._mined()
        self.record.directory_code_hash = "0x" + keccak(self._rpc.get_code(at["Directory"])).hex()
        return self.record

    def _create_shared(self) -> None:
        """What is there once, whatever becomes of the rest."""
        p, council, at = self._p, self._council, self.record.addresses
        self._create("Directory", council)
        self._create("TimelockController", p.timelock_delay, [council], [council], ZERO_ADDRESS)
        directory = at["Directory"]
        self._create("Members", directory)
        self._create("Credits", directory)
        members = at["Members"]
        self._create("Escrow", directory, at["Credits"], members)
        self._create("Inventory", directory, members, p.slot)
        self._mined()

    def create_generation(self, base: int) -> None:
        """What is deployed anew together when the rules change; its leases are numbered from `base` + 1 on.

        Contracts whose making asks others come after those are mined; the rest need addresses alone.
        """
        p, at = self._p, self.record.addresses
        directory, members, escrow, inventory = (
            at[name] for name in ("Directory", "Members", "Escrow", "Inventory")
        )
        self._create("Settlement", directory, escrow, p.quantum)
        self._mined()
        terms = (
            p.sign_time,
            p.fence_time,
            p.deliver_time,
            p.accept_time,
            p.wipe_time,
            p.notice,
            p.default_ppm,
            p.sign_miss_ppm,
            p.reserve_ppm,
            p.wipe_ppm,
            p.epoch,
            p.rounds,
            p.seat_fee,
            p.large_size,
        )
        settlement = at["Settlement"]
        self._create("Leases", directory, members, inventory, settlement, terms, base)
        self._mined()
        leases = at["Leases"]
        self._create("Awards", directory, leases)
        self._mined()
        awards = at["Awards"]
        self._create("Ranking", awards, inventory, members)
        both = (directory, members, inventory, escrow)
        self._create("Book", *both, awards, p.max_open_orders, p.order_deposit_ppm)
        further = (at["Book"], awards, at["Ranking"], settlement)
        self._create("SealedTender", *both, *further, p.deposit_ppm)
        self._create("EnglishAuction", *both, at["Book"], awards, settlement, p.deposit_ppm)
        self._create("Orders", members, inventory, awards)
        self._mined()
        self._create_witnesses()

    def _create_witnesses(self) -> None:
        """Witnesses, and what judges leases and them."""
        p, at = self._p, self.record.addresses
        members, escrow, leases = at["Members"], at["Escrow"], at["Leases"]
        sizes = (p.small_size, p.small_quorum, p.large_size, p.large_quorum, p.large_pool)
        stakes = (p.min_stake, p.tick_fine, p.slash_ppm)
        base = (at["Directory"], members)
        self._create("Witnesses", *base, escrow, leases, (*sizes, *stakes))
        witnesses = at["Witnesses"]
        appeals = (p.restore_time, p.power_time, p.appeal_bond, p.appeal_time)
        self._create("Verdicts", *base, escrow, leases, at["Settlement"], witnesses, appeals)
        self._mined()
        self._create("Inquiries", *base, leases, witnesses)
        self._create("Audits", *base, leases, witnesses, at["Verdicts"], (p.tolerance_ms, p.outlier_epochs))
        amends = (p.reclaim_notice, p.reclaim_ppm)
        self._create("Amendments", *base, at["Book"], at["Awards"], at["Verdicts"], amends)
        self._mined()

    def _create(self, name: str, *args: Any) -> None:
        """Send what makes a contract; its address follows from the founder's nonce, so it is known now."""
        entry = self._send(f"deploy {name}", None, Abi.load(name).encode_deploy(args))
        self.record.addresses[name] = _made_at(self._sender.address, entry.nonce)

    def _send(self, step: str, to: str | None, data: bytes) -> Entry:
        self._progress(step)
        self._sent[step] = self._sender.send(to, data, intent=f"{self._stem}/{step}", wait=False)
        return self._sent[step]

    def _mined(self) -> None:
        """Wait for all that was sent; what was sent together needs no effect of one another."""
        for step, entry in self._sent.items():
            receipt = self._sender.wait(entry)
            expected = self.record.addresses.get(step.removeprefix("deploy "))
            if step.startswith("deploy ") and receipt.contract_address != expected:
                raise Permanent(
                    f"'{step}' made its contract at another address than was told to others",
                    hint="Something else used the founder's key meanwhile. Deploy again with a fresh one.",
                )
            self.record.transactions[step] = "0x" + receipt.tx_hash.hex()
            self.record.gas_used[step] = receipt.gas_used
        self._sent = {}


def _made_at(founder: str, nonce: int) -> str:
    """The address of the contract that an account makes with its transaction of that nonce."""
    number = nonce.to_bytes((nonce.bit_length() + 7) // 8, "big")
    return checksum("0x" + keccak(rlp([bytes.fromhex(founder[2:]), number]))[12:].hex())
