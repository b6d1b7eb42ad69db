"""The stage on which some witnesses lie: organisations, machines behind faults, leases.

Who sits is chosen by affiliation: whoever shall not sit is of the provider's group at the moment of the draw,
and where no more are eligible than there are seats all of them sit. The provider signs and delivers by hand,
so that it can name any endpoint; its gateway is the real one. Epochs in which something is measured take
their time; any other ends as soon as all that is due in it is on the chain, by the clock that all programs
share (`hour`).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from chain.abi import checksum
from chain.connection_data import delivery_hash
from chain.contracts.base import Call
from chain.contracts.leases import Delivery
from chain.contracts.members import Role
from chain.exchange import Exchange
from chain.generated import events as ledger
from chain.lease_endpoints import Told, canonical_bytes, host_key_hash
from chain.published import judges
from chain.sealed import BoxKey, sealed_hash
from chain.wire import Log
from market.windows import SlotWindow
from provisioner.gateway.server import GatewayServer
from provisioner.store.records import Blob
from provisioner.store.store import Store
from tests.chain.network import Anvil, free_port
from tests.provisioner.world import Buyer, Provider, World, wait_for
from tests.witness.byzantine.cast import (
    ABSENT,
    GRID,
    HONEST,
    LIARS,
    PARAMS,
    SLAS,
    STAKE,
    Plan,
    Sworn,
)
from tests.witness.byzantine.hour import Hour
from tests.witness.node_world import witness

_APART = 7


@dataclass
class Stage:
    """Everything that takes part."""

    world: World
    provider: Provider
    buyer: Buyer
    cast: dict[str, Sworn]
    hour: Hour
    edge: Edge
    store: Store
    offers: dict[int, int]
    plans: list[Plan] = field(default_factory=list)
    spare: dict[int, list[int]] = field(default_factory=dict)

    @property
    def exchange(self) -> Exchange:
        """The council's view."""
        return self.world.council

    def org(self, name: str) -> int:
        """A witness's organisation."""
        return self.cast[name].org

    def name_of(self, org: int) -> str:
        """The other way round."""
        return next(name for name, each in self.cast.items() if each.org == org)

    def plan(self, name: str) -> Plan:
        """A lease by its name."""
        return next(plan for plan in self.plans if plan.name == name)

    @property
    def tickers(self) -> list[str]:
        """Those who tick."""
        return [name for name in self.cast if name not in ABSENT]

    # ---- time ----------------------------------------------------------------------------------------------

    def now(self) -> float:
        """Unix seconds, on the stage."""
        return self.hour.now()

    def leap(self, second: int) -> None:
        """It is that second now, for the chain and all programs, if that was still to come."""
        if second > self.now():
            self.world.node.ask("evm_setTime", second)
            self.world.node.mine()  # a block of that second, before anybody finds the last one old
            self.hour.leap(second)

    def reach(self, second: float) -> None:
        """Wait until it is that second."""
        limit = max(5.0, second - self.now() + 5.0)
        wait_for(f"second {second}", lambda: self.now() >= second, limit=limit)

    def join(self) -> int:
        """All join within one epoch, the last but one before this one; the epoch they owe the first tick for.

        From then on the chain keeps the stage's time, in the first second of the epoch after that.
        """
        now = GRID.epoch_of(int(self.now())) + 1
        self.world.node.ask("evm_setNextBlockTimestamp", GRID.start(now - 2))
        witnesses = judges(self.exchange)[0]
        for each in self.cast.values():
            self.world.do(witnesses.join(each.signer, STAKE), each.exchange)
        wait_for("all to have joined", lambda: len(witnesses.pool()) == len(self.cast))
        assert {witnesses.witness(each.org).joined for each in self.cast.values()} == {now - 1}
        self.leap(GRID.start(now))
        self.world.node.ask("evm_setIntervalMining", 1)
        return now - 1

    def restart_chain(self) -> None:
        """The chain's node ends, and starts again with what it has on disk."""
        node = self.world.node
        assert isinstance(node, Lasting)
        node.restart(int(self.now()) + 1)

    # ---- the life of the leases ----------------------------------------------------------------------------

    def buy(self, plans: Iterable[Plan], until: int) -> None:
        """Buy them all, up to a second that is the begin of an epoch."""
        self.plans = list(plans)
        first = int(self.now()) // PARAMS.slot
        window = SlotWindow(first, until // PARAMS.slot)
        calls = []
        for plan in self.plans:
            machines = [self.spare[plan.sla].pop() for _ in plan.spots]
            calls.append(self.exchange.book.buy_now(self.offers[plan.sla], machines, window))
        for plan, told in zip(self.plans, batch(self.buyer.exchange, calls), strict=True):
            plan.lease = next(event.lease for event in told if isinstance(event, ledger.LeaseOpened))

    def sign_and_draw(self) -> None:
        """Sign them, and draw each committee among those who shall sit, all in one block."""
        leases, witnesses = self.exchange.leases, judges(self.exchange)[0]
        batch(self.provider.exchange, [leases.sign(plan.lease) for plan in self.plans])
        calls, groups = [], self._groups()
        for plan in sorted(self.plans, key=lambda plan: plan.by_lot):
            calls += self._seat(plan.seats, groups)
            if not plan.by_lot:
                calls.append(witnesses.draw(plan.lease, 0))
        self._in_one_block(calls)
        for plan in self.plans:
            if not plan.by_lot:
                found = witnesses.committee(plan.lease, 0).seats
                assert sorted(found) == sorted(self.org(name) for name in plan.seats), plan.name

    def _in_one_block(self, calls: Sequence[Call]) -> None:
        """By the council, in this order; none can be tried before, as each needs the ones before it."""
        rpc, council = self.world.node.rpc(), self.exchange.wallet
        assert council
        nonce = int(rpc.call("eth_getTransactionCount", [council.address, "latest"]), 16)
        rpc.call("anvil_impersonateAccount", [council.address])
        rpc.call("evm_setIntervalMining", [0])
        for number, call in enumerate(calls, nonce):
            fields = {"from": council.address, "to": call.to, "data": "0x" + call.data.hex()}
            fields |= {"nonce": hex(number), "gas": hex(1_500_000), "gasPrice": "0x0"}
            rpc.call("eth_sendTransaction", [fields])
        rpc.call("anvil_mine", ["0x1"])
        rpc.call("evm_setIntervalMining", [1])
        rpc.call("anvil_stopImpersonatingAccount", [council.address])

    def _groups(self) -> dict[str, int]:
        many = self.exchange.members.many([each.org for each in self.cast.values()])
        return {name: many[each.org].group for name, each in self.cast.items()}

    def _seat(self, seats: Sequence[str], groups: dict[str, int]) -> list[Call]:
        """What makes these the eligible ones, from the groups as they are; changes `groups`."""
        calls = []
        for name in self.cast:
            wanted = 0 if name in seats else _APART
            if groups[name] != wanted:
                groups[name] = wanted
                calls.append(self.exchange.members.set_group(self.org(name), wanted))
        return calls

    def deliver(self) -> None:
        """Hand over all machines, and have those accepted that nobody can prove."""
        calls = [self._delivery(plan) for plan in self.plans]
        batch(self.provider.exchange, calls)
        leases = self.exchange.leases
        by_hand = [plan for plan in self.plans if plan.by_hand]
        accepts = [leases.accept(plan.lease, (1 << len(plan.spots)) - 1) for plan in by_hand]
        batch(self.buyer.exchange, accepts)

    def _delivery(self, plan: Plan) -> Call:
        endpoints = tuple(spot.endpoint(place) for place, spot in enumerate(plan.spots.values()))
        sealed, spec = b"sealed %d" % plan.lease, b"s" * 32
        told = Told(sealed_hash(sealed), endpoints)
        bits = (1 << len(endpoints)) - 1
        hashes = (told.connection_hash, host_key_hash(endpoints), spec)
        blob = Blob(bits, sealed, canonical_bytes(endpoints), *hashes)
        self.store.keep_sealed(plan.lease, delivery_hash(*hashes), spec, blob, int(self.now()))
        return self.exchange.leases.deliver(plan.lease, Delivery(bits, *hashes))

    # ---- what came of it -----------------------------------------------------------------------------------

    def events(self, kind: type[Any]) -> list[Any]:
        """All events of a kind, of witnesses, verdicts and audits."""
        return [ledger.decode(entry.topics, entry.data) for entry in self._logs(kind)]

    def senders(self, kind: type[Any]) -> set[str]:
        """Whose transactions they were, by account."""
        rpc = self.exchange.rpc
        hashes = {"0x" + entry.tx_hash.hex() for entry in self._logs(kind)}
        return {checksum(rpc.call("eth_getTransactionByHash", [each])["from"]) for each in hashes}

    def _logs(self, kind: type[Any]) -> list[Log]:
        witnesses, verdicts = judges(self.exchange)
        told = [witnesses, verdicts, self.exchange.audits]
        rpc = self.exchange.rpc
        addresses = [contract.address for contract in told if contract is not None]
        return rpc.get_logs(addresses, 0, rpc.head().number, [kind.TOPIC])

    def verdicts(self) -> dict[tuple[int, int, int], int]:
        """Penalties, ppm, by lease, place and epoch; those that cost nothing are none."""
        given = self.events(ledger.VerdictGiven)
        return {
            (event.lease, event.place, event.epoch): event.penalty_ppm for event in given if event.penalty_ppm
        }

    def verdicts_on(self, plan: Plan, spot: str) -> dict[int, int]:
        """Those on one machine, by epoch."""
        key = (plan.lease, plan.place(spot))
        return {epoch: ppm for (*of, epoch), ppm in self.verdicts().items() if tuple(of) == key}

    def missed(self, first: int, last: int) -> set[tuple[str, int]]:
        """Who has no complete tick for which of these epochs, as the chain says."""
        witnesses, epochs = judges(self.exchange)[0], range(first, last + 1)
        return {
            (name, epoch)
            for name, each in self.cast.items()
            for epoch in epochs
            if not witnesses.ticked(each.org, epoch)
        }

    def fined(self, last: int) -> list[tuple[str, int]]:
        """Who was fined for which epoch, up to one, each as often as it was."""
        events = self.events(ledger.TickMissed)
        return [(self.name_of(event.org), event.epoch) for event in events if event.epoch <= last]

    def has_ticked(self, name: str, epoch: int) -> bool:
        """Whether a witness has committed to what it found in an epoch."""
        return any(judges(self.exchange)[0].commitment_of(self.org(name), epoch))

    def have_opened(self, epoch: int) -> bool:
        """Whether all who tick have completed their ticks of an epoch."""
        witnesses = judges(self.exchange)[0]
        return all(witnesses.ticked(self.org(name), epoch) for name in self.tickers)

    def have_ticked(self, epoch: int) -> bool:
        """Whether all who tick have committed to an epoch."""
        return all(self.has_ticked(name, epoch) for name in self.tickers)

    def stakes(self) -> dict[str, int]:
        """What each has at stake now."""
        witnesses = judges(self.exchange)[0]
        many = witnesses.many([each.org for each in self.cast.values()])
        return {name: many[each.org].stake for name, each in self.cast.items()}

    def close(self) -> None:
        """End every program."""
        for each in self.cast.values():
            each.kill()
        self.edge.stop()


class Lasting(Anvil):
    """A node that keeps its chain in a file while it is not there; `begin`: the first block's second."""

    def __init__(self, folder: Path, begin: int) -> None:
        # The first block is made at each start, and has to be the same.
        self._same = ("--state", str(folder / "chain.json"), "--timestamp", str(begin))
        self._same += ("--gas-limit", "300000000")
        super().__init__(*self._same)

    def restart(self, second: int) -> None:
        """SIGTERM, and start anew; its blocks come at that second and each one after it."""
        assert self._process
        self._process.terminate()
        self._process.wait(30)
        self._options = (*self._same, "--no-mining")
        self.start()
        self.ask("evm_setTime", second)
        self.ask("evm_setIntervalMining", 1)


class Edge:
    """The provider's gateway, that can go away and come back at its place."""

    def __init__(self, provider: Provider, store: Store, hour: Hour) -> None:
        settings = provider.settings()
        gateway = settings.gateway.model_copy(update={"port": free_port()})
        self._settings = settings.model_copy(update={"gateway": gateway})
        self._exchange, self._store, self._hour = provider.exchange, store, hour
        self.server = self._made()

    def stop(self) -> None:
        """It goes away."""
        self.server.stop()

    def start(self) -> None:
        """It is there again."""
        self.server = self._made()

    def _made(self) -> GatewayServer:
        server = GatewayServer(self._settings, self._exchange, self._store, clock=self._hour.now)
        server.start()
        return server


def batch(exchange: Exchange, calls: Sequence[Call], gas: int = 1_500_000) -> list[list[Any]]:
    """Send them all and wait; the events of each."""
    sender = exchange.sender
    sent = [sender.send(call.to, call.data, gas=gas, wait=False) for call in calls]
    return [exchange.events(sender.wait(entry)) for entry in sent]


def found(node: Anvil, folder: Path, machines: dict[int, int]) -> Stage:
    """Found the exchange, with so many machines on offer by SLA; all programs run, and nobody has joined."""
    world = World(node, folder, PARAMS)
    hour = Hour(folder / "hour")
    _, verdicts = judges(world.council)
    for sla in SLAS:
        world.do(verdicts.register_sla(sla))
    cast = {name: _sworn(world, number, name) for number, name in enumerate((*HONEST, *LIARS))}
    for each in cast.values():
        each.hour = folder / "hour"
        each.start()
    party = world.admit("buyer", Role.BUYER | Role.AUDITOR)
    buyer = Buyer(party.org, party.exchange, BoxKey.generate())
    world.do(party.exchange.members.set_encryption_key(buyer.key.public), party.exchange)
    provider = world.provider("bm.spare")
    offers, spare = {}, {}
    for sla, count in machines.items():
        names = [f"bm.sla{sla}-{n}" for n in range(count)]
        provider.machines += [{"name": name, "class": f"bm.sla{sla}"} for name in names]
        before = len(provider.resources)
        world.sell(provider, names, sla=sla)
        offers[sla], spare[sla] = provider.offer, provider.resources[before:]
    world.do(world.council.members.set_group(provider.org, _APART))
    settings = provider.settings()
    settings.state_dir.mkdir(parents=True, exist_ok=True)
    store = Store(settings.database)
    edge = Edge(provider, store, hour)
    world.do(provider.exchange.members.set_gateway(edge.server.url, edge.server.key_hash), provider.exchange)
    return Stage(world, provider, buyer, cast, hour, edge, store, offers, spare=spare)


def _sworn(world: World, number: int, name: str) -> Sworn:
    made = witness(world, number)
    fields = json.loads(made.settings.read_text())
    fields["cycle"] = 1.0
    fields["measure"] |= {"host_key_every": 3, "late_ms": 1900}  # as late as audits bear
    fields["clock"] = {"bound": 3600.0}
    made.settings.write_text(json.dumps(fields))
    return Sworn(made.org, made.exchange, made.folder, made.signer, name=name)
