"""The main job, played for real: from tender to paid leases, on wall-clock time.

The council founds an exchange; North (an Ironic with Redfish machines), South (instances of an EC2) and East
(a host that a playbook makes ready) offer servers; Customer puts two requests to sealed tender and buys a
third server at once. Three witnesses watch what came of the tenders: the power of North's machine fails in
the middle of its lease, South's is switched off and on by the customer itself. What is awaited is awaited by
looking at the chain, never by sleeping for a guess.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path
from threading import Event
from typing import Any

from chain.exchange import Exchange
from chain.generated.enums import LeaseState
from cli.demo.cast import (
    EC2_RATE,
    GRANT,
    OPERATOR_RIGHTS,
    PARTIES,
    PROVIDERS,
    SLA,
    WITNESSES,
    Timing,
    agent_settings,
    params,
)
from cli.demo.chains import Chain
from cli.demo.lab.service import free_ports
from cli.demo.market import Market
from cli.demo.outage import FakeOutage, Outage, RedfishOutage
from cli.demo.stage import Party, Stage, poll, together
from cli.demo.tenancy import Tenancy
from cli.demo.watch import Watch
from cli.render import credits_text

__all__ = ["Play"]


@dataclass
class Play:
    """One run of the demo; `labs` is what each provider's lab described, none of them with the fake cloud."""

    stage: Stage
    fake: bool
    chain: Chain
    labs: dict[str, dict[str, Any]] = field(default_factory=dict)
    parties: dict[str, Party] = field(default_factory=dict)
    orgs: dict[str, int] = field(default_factory=dict)
    addresses: dict[str, str] = field(default_factory=dict)
    balances_before: dict[str, int] = field(default_factory=dict)
    _admitted: dict[str, Event] = field(default_factory=lambda: {name: Event() for name in PARTIES})
    _funded: dict[str, Event] = field(default_factory=lambda: {name: Event() for name in PARTIES})

    @property
    def connection(self) -> Path:
        """What the exchange was founded with; every party has a copy, with the node it asks first."""
        return self.stage.folder / "network" / "connection.yaml"

    @cached_property
    def observer(self) -> Exchange:
        """A reader without a key, as anybody could be one."""
        return Exchange.open(self.connection)

    @cached_property
    def tenancy(self) -> Tenancy:
        """What the customer does with its leases."""
        return Tenancy(self.stage, self.parties["customer"], self.observer, self.witnesses, self.name_of)

    @cached_property
    def witnesses(self) -> Watch:
        """The witnesses' part."""
        return Watch(self.stage, self.parties, lambda: self.observer)

    def run(self) -> None:
        """Play it from the first block to the last settlement."""
        self._raise_curtain()
        with ThreadPoolExecutor(24) as pool:
            try:
                self._play(pool)
            except BaseException:
                self.stage.abort()
                raise

    def _play(self, pool: ThreadPoolExecutor) -> None:
        self.stage.note("everybody", "makes its keys, in a process of its own", 0)
        together(pool, *(partial(self._make_keys, party) for party in self.parties.values()))
        self._found()
        entrants: list[Callable[[], None]] = [partial(self._admit, pool), self._customer_enters]
        entrants += [self._open_eyes, *(partial(self._join, name) for name in WITNESSES)]
        entered = pool.submit(together, pool, *entrants)
        # The slowest lab last: agents and nodes start from this thread, whose end would end them.
        for name in WITNESSES:
            self.witnesses.start(name)
        sellers = [self._start_agent(self.parties[name]) for name in reversed(PROVIDERS)]
        together(pool, *sellers, entered.result)
        self._trade(pool)
        self._close(pool)

    # ---- before the market opens -----------------------------------------------------------------------

    def _raise_curtain(self) -> None:
        """Start the chain, the labs and the parties."""
        self._ports = free_ports()
        self.chain.begin(self.stage, self._ports)
        if not self.fake:
            for name, seller in PROVIDERS.items():
                folder = self._lab_folder(name)
                self.stage.start(f"{name}-lab", [sys.executable, "-m", *seller.lab, "--dir", folder])
        self.parties["council"] = Party(self.stage, "council", self.chain.clerks)
        for name in PARTIES:
            self.parties[name] = Party(self.stage, name)

    def _make_keys(self, party: Party) -> None:
        keys = ["admin"]
        keys += ["operator"] if party.name in PROVIDERS else []
        keys += ["signer"] if party.name in WITNESSES else []
        for key in keys:
            made = party.ocx(f"wallet create {party.wallet(key)} --light")
            self.addresses[f"{party.name}/{key}"] = made["address"]
        if party.name == "customer":
            party.ocx("wallet key-create --light")

    def _found(self) -> None:
        council = self.parties["council"]
        file = self.stage.folder / "params.yaml"
        file.write_text(json.dumps(params(self.fake, self.chain.name)), "utf-8")
        council.ocx(
            f"network deploy {self.chain.options} --name demo --params {file} --out {self.connection.parent}",
            step="the contracts are deployed and handed to the council's time lock",
        )
        self.chain.share(self.connection, [party.connection for party in self.parties.values()])
        self.witnesses.register_sla(SLA, council)

    def _open_eyes(self) -> None:
        """Open the observer while there is time: its first look loads much."""
        self.observer.now()

    def _admit(self, pool: ThreadPoolExecutor) -> None:
        """Let the members in and give each its first credits, which it deposits at once."""
        self._by_the_council(pool, PARTIES, self._admit_one)
        # Who witnesses can be drawn an epoch after it has joined; the others' agents still start.
        deposits: list[Future[None]] = []
        first_witnesses = sorted(PARTIES, key=lambda name: name not in WITNESSES)
        self._by_the_council(pool, first_witnesses, partial(self._endow, pool, deposits))
        for deposit in deposits:
            deposit.result()
        # Offers rest with a deposit already; what counts is what everybody owns.
        self.balances_before = dict.fromkeys(PARTIES, GRANT * 1000000) | {"fund": 0}

    def _by_the_council(
        self, pool: ThreadPoolExecutor, names: Sequence[str], act: Callable[[str], None]
    ) -> None:
        """Do the same for each party, as many at a time as the council has clerks."""
        clerks = self.chain.clerks

        def work(first: int) -> None:
            for name in names[first::clerks]:
                act(name)

        together(pool, *(partial(work, number) for number in range(clerks)))

    def _admit_one(self, name: str) -> None:
        admin = self.addresses[f"{name}/admin"]
        roles = "buyer" if name == "customer" else "witness" if name in WITNESSES else "seller"
        council = self.parties["council"]
        admitted = council.ocx(f"member admit {name} {admin} --roles {roles}", step=f"admits {name}")
        self.orgs[name] = int(admitted["org"])
        self._admitted[name].set()

    def _endow(self, pool: ThreadPoolExecutor, deposits: list[Future[None]], name: str) -> None:
        admin, council = self.addresses[f"{name}/admin"], self.parties["council"]
        council.ocx(f"credits mint {admin} {GRANT}", step=f"mints {GRANT} credits for {name}")
        deposits.append(pool.submit(self._deposit, self.parties[name]))

    def _deposit(self, party: Party) -> None:
        party.ocx(f"credits deposit {GRANT}", step="deposits its credits")
        self._funded[party.name].set()

    def _join(self, name: str) -> None:
        """A witness's first and only act; its node does the rest."""
        poll(f"the deposit of {name}", self._funded[name].is_set, self.stage, 120)
        self.witnesses.join(name, self.addresses[f"{name}/signer"])

    # ---- providers -------------------------------------------------------------------------------------

    def _start_agent(self, party: Party) -> Callable[[], None]:
        """Configure and start a provider's agent (from this thread: it lives as long); what is left to do."""
        url = f"https://127.0.0.1:{next(self._ports)}"
        if not self.fake:
            self.labs[party.name] = self._await_lab(party.name)
        config = party.folder / "provider.yaml"
        lab = self.labs.get(party.name)
        config.write_text(agent_settings(party.name, party.folder, party.connection, url, lab), "utf-8")
        command = [sys.executable, "-m", "cli.main", "provider", "run", "--config", config]
        self.stage.start(f"{party.name}-agent", command)
        return partial(self._settle_in, party, config, url)

    def _lab_folder(self, name: str) -> Path:
        return self.stage.folder / f"{name}-lab"

    def _await_lab(self, name: str) -> dict[str, Any]:
        path = self._lab_folder(name) / PROVIDERS[name].described
        poll(f"{name}'s lab", path.exists, self.stage, 120)
        self.stage.note("lab", f"{name}: {PROVIDERS[name].up}", self.stage.elapsed())
        described: dict[str, Any] = json.loads(path.read_text("utf-8"))
        return described

    def _settle_in(self, party: Party, config: Path, url: str) -> None:
        """A provider's first acts: its agent's key, its gateway, its machines, its offers."""
        poll(f"{party.name}'s admission", self._admitted[party.name].is_set, self.stage, 120)
        operator = self.addresses[f"{party.name}/operator"]
        party.ocx(
            f"member set {operator} --rights {OPERATOR_RIGHTS} --limit 50", step="appoints its agent's key"
        )
        cert = party.folder / "agent" / "gateway.crt"
        poll(f"{party.name}'s gateway", cert.exists, self.stage, 120)
        party.ocx(f"member gateway {url} --tls-cert {cert}", step="pins its gateway's key")
        registered = party.ocx(
            f"node register --config {config}", step="registers what its cloud measured", key="operator"
        )
        poll(f"{party.name}'s deposit", self._funded[party.name].is_set, self.stage, 120)
        nodes = sorted(int(node["resource"]) for node in registered["registered"])
        for node, terms in zip(nodes, self._terms(party.name, config), strict=True):
            asked = terms.replace(f"--config {config}", "at its plugin's price").replace("--", "")
            party.ocx(
                f"offer publish --node {node} --start now --for 1h {terms}",
                step=f"offers node {node} ({asked})",
                key="operator",
            )

    def _terms(self, name: str, config: Path) -> list[str]:
        """The terms of a provider's offers; the fake cloud knows no price of its own."""
        own = f"--floor {credits_text(EC2_RATE)}" if self.fake else f"--config {config}"
        return [terms.replace("--config {config}", own) for terms in PROVIDERS[name].offers]

    # ---- the customer --------------------------------------------------------------------------------

    def _customer_enters(self) -> None:
        customer = self.parties["customer"]
        poll("the customer's admission", self._admitted["customer"].is_set, self.stage, 120)
        customer.ocx("member encryption-key", step="publishes the key its connection data are sealed to")

    def _trade(self, pool: ThreadPoolExecutor) -> None:
        """Two tenders and a buy-now, each followed to a working login, all at once."""
        timing = Timing.of(self.fake, self.chain.name, self.stage.elapsed())
        self.witnesses.await_drawable(self.orgs, timing.commit + timing.reveal)
        market = Market(self.stage, self.parties["customer"], self.observer, timing)
        requests = [market.post() for _ in range(2)]
        bought = market.buy_now()
        follow = [partial(self._follow, market, request) for request in requests]
        together(pool, partial(self.tenancy.use_up, bought), *follow)

    def _follow(self, market: Market, request: int) -> None:
        """Wait until the tender is awarded, then use the lease it made."""
        began = self.stage.elapsed()
        lease = market.lease_of(request)
        won = self.observer.leases.lease(lease)
        winner = self.name_of(won.provider)
        self.stage.note("chain", f"tender {won.request} is won by {winner}", self.stage.elapsed() - began)
        self.tenancy.receive(lease)
        if winner == "north":
            self.tenancy.suffer(lease, self._outage())
        else:
            # An instance of EC2 comes back at another address, which is no longer the one that was delivered.
            self.tenancy.switch(lease, ("off", "on") if self.fake else ("off",))

    def _outage(self) -> Outage:
        """A power failure at North's."""
        if self.fake:
            return FakeOutage(self.parties["north"].folder / "provider.yaml")
        return RedfishOutage(self.labs["north"])

    # ---- the end -------------------------------------------------------------------------------------

    def _close(self, pool: ThreadPoolExecutor) -> None:
        """Leases end, machines are wiped, money is settled, offers are taken down, deposits come back."""
        began = self.stage.elapsed()
        sellers = [self.parties[name] for name in PROVIDERS]
        leases = list(range(1, self.observer.leases.count() + 1))
        hearing = pool.submit(self.witnesses.follow, leases, self.parties["customer"])
        together(pool, self._see_leases_out, *(partial(self._withdraw_offers, seller) for seller in sellers))
        poll("every deposit to come back", self._nothing_locked, self.stage, 120)
        self.witnesses.over.set()
        hearing.result()
        self.stage.note("chain", "all leases are over, wiped and settled", self.stage.elapsed() - began)

    def _see_leases_out(self) -> None:
        for lease in range(1, self.observer.leases.count() + 1):
            self.tenancy.await_state(lease, LeaseState.COMPLETED, 200)
            poll(f"lease {lease} to be settled", partial(self._is_settled, lease), self.stage, 120)

    def _is_settled(self, lease: int) -> bool:
        account = self.observer.settlement.account(lease)
        return account.closed and account.bond == 0

    def _withdraw_offers(self, party: Party) -> None:
        book = self.observer.book
        for number in range(1, book.offer_count() + 1):
            offer = book.offer(number)
            if offer.org == self.orgs[party.name] and not offer.closed:
                party.ocx(f"offer cancel {number}", step=f"takes offer {number} down", key="operator")

    def _nothing_locked(self) -> bool:
        """Whether everything in escrow is somebody's free balance again."""
        escrow = self.observer.escrow
        staked = sum(self.witnesses.stakes(self.orgs).values())
        return escrow.total() == staked + sum(escrow.free(org) for org in range(len(PARTIES) + 1))

    # ---- facts ---------------------------------------------------------------------------------------

    def balances(self) -> dict[str, int]:
        """What each party has, free and at stake, and the council's fund; microcredits."""
        escrow, stakes = self.observer.escrow, self.witnesses.stakes(self.orgs)
        owned = {name: escrow.free(org) + stakes.get(name, 0) for name, org in self.orgs.items()}
        return owned | {"fund": escrow.free(0)}

    def plugin_of(self, provider: str) -> str:
        """Which plugin a provider's agent uses here."""
        return "fake" if self.fake else PROVIDERS[provider].plugin

    def name_of(self, org: int) -> str:
        return next(name for name, number in self.orgs.items() if number == org)
