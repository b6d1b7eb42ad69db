"""What the members do on their chain once the hosts are there: found the exchange, come in, trade."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import Any

from chain.contracts.witnesses import Witnesses
from chain.exchange import Exchange
from chain.generated.enums import LeaseState
from chain.published import judges
from cli.demo.cast import params
from cli.demo.stage import Party, poll
from tests.network.ansible.deployment import Deployment

__all__ = ["CUSTOMER", "NEWCOMER", "SELLERS", "WITNESSES", "Market"]

SELLERS = ("north", "south")
NEWCOMER = "mid"
WITNESSES = ("east", "west", NEWCOMER)
CUSTOMER = "customer"
_GRANT, _STAKE = 100, 10
_LIMIT = 400.0
_GATEWAY = 8443
_CLASS = "host.large"


@dataclass
class Market:
    """The people at the desk; each has keys of its own, and only those its agents need are on hosts."""

    site: Deployment
    parties: dict[str, Party] = field(default_factory=dict)
    addresses: dict[str, str] = field(default_factory=dict)
    orgs: dict[str, int] = field(default_factory=dict)

    def make_keys(self) -> None:
        """Wallets for everybody, and inventory variables of those whose agents will need one."""
        keys: dict[str, list[str]] = {"council": [], CUSTOMER: []}
        keys |= {name: ["operator"] for name in SELLERS} | {name: ["signer"] for name in WITNESSES}
        self.parties = {name: self.site.party(name, 3 if name == "council" else 1) for name in keys}
        self._together(*(partial(self._make_keys, name, more) for name, more in keys.items()))
        self.site.variables[NEWCOMER]["chain_node_account"] = self.addresses[f"{NEWCOMER}/admin"]

    def _make_keys(self, name: str, more: list[str]) -> None:
        party = self.parties[name]
        for key in ("admin", *more):
            made = party.ocx(f"wallet create {party.wallet(key)} --light")
            self.addresses[f"{name}/{key}"] = made["address"]
        if name == CUSTOMER:
            party.ocx("wallet key-create --light")

    def found(self) -> None:
        """The contracts, by the council; the connection file, for everybody."""
        constants = self.site.folder / "params.yaml"
        slow = {"sign_time": 120, "deliver_time": 300, "accept_time": 240, "wipe_time": 300, "epoch": 20}
        constants.write_text(json.dumps({**params(True, "clique"), **slow}))
        deployed, record = self.site.folder / "exchange", self.site.record
        council = self.parties["council"]
        council.ocx(
            f"network deploy --rpc-url http://127.0.0.1:{self.site.rpc_port} --name ours --block-time 1 "
            f"--confirmations 3 --params {constants} --out {deployed}"
        )
        council.ocx(f"network connection --dir {record} --deployment {deployed}")
        text = (record / "connection.yaml").read_text("utf-8")
        for party in self.parties.values():
            party.connection.write_text(text, "utf-8")
        council.ocx("sla register --tier 99.9:10 --guest")

    def let_in(self) -> None:
        """The council admits four organisations and the customer, and invites the newcomer with its node."""
        admissions = [partial(self._admit, name, roles) for name, roles in self._roles().items()]
        self._together(self._invite, *admissions, pool=3)
        self._together(
            *(partial(self._fund, name) for name in (*SELLERS, *WITNESSES, CUSTOMER)),
            partial(self.parties[CUSTOMER].ocx, "member encryption-key"),
        )

    @staticmethod
    def _roles() -> dict[str, str]:
        founders = dict.fromkeys(SELLERS, "seller") | dict.fromkeys(WITNESSES, "witness")
        return {name: role for name, role in founders.items() if name != NEWCOMER} | {CUSTOMER: "buyer"}

    def _admit(self, name: str, role: str) -> None:
        admin = self.addresses[f"{name}/admin"]
        admitted = self.parties["council"].ocx(f"member admit {name} {admin} --roles {role}")
        self.orgs[name] = int(admitted["org"])

    def _invite(self) -> None:
        record = self.site.record
        (record / "invitations").mkdir(exist_ok=True)
        self.parties["council"].ocx(
            f"network invite --dir {record} --card {record}/cards/{NEWCOMER}.json --role witness "
            f"--out {record}/invitations/{NEWCOMER}.json"
        )
        self.orgs[NEWCOMER] = self.exchange.members.by_handle(NEWCOMER)

    def _fund(self, name: str) -> None:
        self.parties["council"].ocx(f"credits mint {self.addresses[f'{name}/admin']} {_GRANT}")
        self.parties[name].ocx(f"credits deposit {_GRANT}")

    # ---- agents on hosts -------------------------------------------------------------------------------

    def hire(self) -> None:
        """Inventory variables by which the sellers' agents and the witnesses' nodes are set up."""
        connection = str(self.site.record / "connection.yaml")
        for name in SELLERS:
            # Guests of the fake cloud let tenants in as the agent's own user, who has no shell.
            self.site.on(name, "ln -sf /bin/sh /usr/sbin/nologin")
            self.site.variables[name] |= self._agent(name, "provider_agent", "operator", connection) | {
                "provider_agent_gateway_port": _GATEWAY,
                "provider_agent_plugins": [{"name": "fake", "settings": self._cloud(name)}],
                "provider_agent_settings": {
                    "turnaround_slots": 2,
                    "cycle": 1.0,
                    "orphan_grace": 5,
                    "bidding": {"enabled": False},
                },
            }
        for name in WITNESSES:
            self.site.variables[name] |= self._agent(name, "witness_node", "signer", connection) | {
                "witness_node_settings": {"measure": {"late_ms": 1500}, "cycle": 0.5}
            }
        self.site.groups |= {"providers": list(SELLERS), "witnesses": list(WITNESSES)}

    def _agent(self, name: str, role: str, key: str, connection: str) -> dict[str, Any]:
        party = self.parties[name]
        return {
            f"{role}_connection": connection,
            f"{role}_keystore": str(party.wallet(key)),
            f"{role}_passphrase": (party.folder / "passphrase").read_text("utf-8").strip(),
            f"{role}_verify": False,
        }

    def _cloud(self, name: str) -> dict[str, Any]:
        return {
            "state": "/var/lib/ocx/provider/cloud.db",
            "machines": [{"name": f"{name}-1", "class": _CLASS}],
            "guests": True,
            "address": self.site.hosts.address(name),
            "provision_seconds": 1.0,
            "release_seconds": 0.5,
        }

    def open(self) -> None:
        """Sellers appoint their agents' keys, pin their gateways and offer a machine each."""
        self._together(*(partial(self._settle_in, name) for name in SELLERS))

    def stake(self) -> None:
        """Witnesses enter the pool; who misses a tick then is not drawn for thirty epochs."""
        self._together(*(partial(self._stake, name) for name in WITNESSES))

    def _settle_in(self, name: str) -> None:
        party, place = self.parties[name], self.site.hosts.address(name)
        operator = self.addresses[f"{name}/operator"]
        party.ocx(f"member set {operator} --rights offer,sign,deliver,release --limit 50")
        cert = party.folder / "gateway.crt"
        cert.write_text(self.site.on(name, "cat /var/lib/ocx/provider/gateway.crt") + "\n")
        party.ocx(f"member gateway https://{place}:{_GATEWAY} --tls-cert {cert}")
        config = "--config /etc/ocx/provider/provider.yaml"
        done = self.site.ocx(name, f"node register {config}", "provider")
        [node] = [int(each["resource"]) for each in done["registered"]]
        offer = f"offer publish --node {node} --start now --for 1h --floor 7.2 --buy-now 7.2 --sla 1"
        party.ocx(offer, key="operator")

    def _stake(self, name: str) -> None:
        signer = self.addresses[f"{name}/signer"]
        self.parties[name].ocx(f"witness join --signer {signer} --stake {_STAKE}")

    # ---- one lease -------------------------------------------------------------------------------------

    @cached_property
    def exchange(self) -> Exchange:
        """A reader without a key."""
        return Exchange.open(self.parties["council"].connection)

    @property
    def witnesses(self) -> Witnesses:
        """The contract of those who measure."""
        return judges(self.exchange)[0]

    def ticks(self, name: str, lease: int) -> int:
        """How many epochs a witness has ticked since the lease began."""
        pool, first = self.witnesses, self.exchange.leases.lease(lease).start * self.exchange.slot
        since, until = (pool.grid().epoch_of(moment) for moment in (first, self.exchange.now()))
        return pool.ticks(self.orgs[name], since, until)

    def buy(self) -> int:
        """The customer rents a machine at once; the lease, once all three witnesses can be drawn for it."""
        pool = self.witnesses
        since = pool.grid().start(1 + max(pool.witness(self.orgs[name]).joined for name in WITNESSES))
        self.wait("the witnesses to be eligible", lambda: self.exchange.now() >= since)
        book = self.exchange.book
        self.wait("two offers", lambda: book.offer_count() >= 2)
        node = book.resources_of(1)[0]
        bought = self.parties[CUSTOMER].ocx(
            f"offer buy 1 --node {node} --start now --for 300s --sla 1",
        )
        return int(bought["lease"])

    def receive(self, lease: int) -> str:
        """The delivered machine's answer over SSH, from the desk."""
        customer = self.parties[CUSTOMER]
        customer.ocx(f"lease setup {lease}")
        self.await_state(lease, LeaseState.DELIVERED)
        answer = customer.ocx(f"lease connect {lease} --run {shlex.quote('echo I am $(hostname)')}")
        return str(answer["output"]).strip()

    def await_state(self, lease: int, least: LeaseState) -> None:
        """Until the lease is there; a lease that failed is told at once."""

        def reached() -> bool:
            state = self.exchange.leases.state_of(lease)
            assert state not in (LeaseState.DEFAULTED, LeaseState.CANCELLED), state
            return state >= least

        self.wait(f"lease {lease} to be {least.name.lower()}", reached)

    def wait(self, what: str, ready: Callable[[], Any]) -> Any:
        """Poll."""
        return poll(what, ready, self.site.desk, _LIMIT, 0.5)

    @staticmethod
    def _together(*acts: Callable[[], Any], pool: int = 8) -> None:
        with ThreadPoolExecutor(pool) as workers:
            for done in [workers.submit(act) for act in acts]:
                done.result()
