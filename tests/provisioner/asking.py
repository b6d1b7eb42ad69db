"""A delivered lease whose buyer asks for things, for the tests of asks."""

from __future__ import annotations

import socket
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from chain.console import ConsoleDocument
from chain.gateway import GatewayClient, spki_hash
from chain.power import Action, PowerRequest, sign
from chain.wallet import Wallet
from provisioner.agent.steps import operation_key
from provisioner.capabilities import ConsoleAccess
from provisioner.plugin import Connection, Inspected, Order, Provisioner, Status, WipeEvidence
from provisioner.plugins.fake import FakePlugin
from provisioner.settings import Settings
from tests.provisioner.world import Buyer, Provider, Running, wait_for

SECRET_URL = "https://console.invalid/?token=sesame-open"


@dataclass
class Tenancy:
    """A buyer with a delivered lease, and the gateway it asks at."""

    buyer: Buyer
    provider: Provider
    client: GatewayClient
    lease: int

    def key(self, place: int = 0) -> str:
        """The operation key of one of its machines."""
        exchange = self.buyer.exchange
        network, resource = exchange.connection, self.provider.resources[place]
        return operation_key(network.chain_id, exchange.leases.address, self.lease, resource)

    def request(self, action: Action, **changes: Any) -> PowerRequest:
        """A request of now, unless changed."""
        now = time.time()
        fields = {"lease": self.lease, "action": action, "nonce": int(now * 1000), "time": int(now)}
        return PowerRequest(**(fields | changes))

    def signed(
        self, request: PowerRequest, by: Wallet | None = None, chain: int | None = None, leases: str = ""
    ) -> bytes:
        """The buyer's signature, unless changed."""
        exchange = self.buyer.exchange
        wallet = by or exchange.wallet
        assert wallet
        return sign(wallet, request, chain or exchange.connection.chain_id, leases or exchange.leases.address)

    def ask(self, action: Action) -> dict[str, Any]:
        """Ask for power; what the gateway says at once."""
        request = self.request(action)
        told: dict[str, Any] = self.client.ask_power(request, self.signed(request))["request"]
        return told

    def power(self) -> dict[str, Any]:
        """What became of the newest power request."""
        told: dict[str, Any] = self.client.power(self.lease)["request"]
        return told

    def wait_power(self, state: str, limit: float = 20.0) -> dict[str, Any]:
        """Wait until the newest power request stands so."""
        wait_for(
            f"the power request to be {state}, is {self.power()}",
            lambda: self.power()["state"] == state,
            limit,
        )
        return self.power()

    def do(self, action: Action) -> dict[str, Any]:
        """Ask for power and wait until it is done."""
        self.ask(action)
        return self.wait_power("done")

    def console(self, place: int = 0) -> ConsoleDocument:
        """Ask for a console, wait, and open what was sealed."""
        resource = self.provider.resources[place]
        self.client.ask_console(self.lease, resource)
        sealed = wait_for("the console", lambda: self.client.console(self.lease, resource)["sealed"])
        return ConsoleDocument.from_bytes(self.buyer.key.open(sealed))

    def boots(self, place: int = 0) -> int:
        """How often a machine without a guest was booted."""
        text = self.provider.plugin().open_console(self.key(place)).text
        assert text is not None
        return text.count("boot ")


def rent(
    running: Running, provider: Provider, buyer: Buyer, seconds: int = 300, places: tuple[int, ...] = (0,)
) -> Tenancy:
    """Buy, and wait for the delivery."""
    lease = buyer.buy(provider, seconds, places=places)
    buyer.wait_state(lease, "delivered")
    client = buyer.gateway(running.server.url, running.server.key_hash)
    return Tenancy(buyer, provider, client, lease)


def client_of(settings: Settings, buyer: Buyer) -> GatewayClient:
    """A client for the gateway of an agent that is a process of its own, on a port that was chosen."""
    url = f"https://127.0.0.1:{settings.gateway.port}"
    return buyer.gateway(url, spki_hash(settings.gateway_cert.read_bytes()))


def free_port() -> int:
    """A port nobody listens at."""
    with socket.create_server(("127.0.0.1", 0)) as found:
        return int(found.getsockname()[1])


def answers(endpoint: Any) -> bool:
    """Whether an SSH server speaks at an endpoint."""
    try:
        with socket.create_connection((endpoint.host, endpoint.port), 2) as connection:
            connection.settimeout(2)
            return connection.recv(4) == b"SSH-"
    except OSError:
        return False


class WithUrl(FakePlugin):
    """A cloud whose consoles have an address."""

    def open_console(self, key: str) -> ConsoleAccess:
        """Where its console is."""
        super().open_console(key)
        return ConsoleAccess("vnc", url=SECRET_URL)


class Bare(Provisioner):
    """The fake cloud without anything beside provisioning."""

    def __init__(self, inner: FakePlugin) -> None:
        self._inner = inner

    @classmethod
    def from_settings(cls, settings: Mapping[str, Any]) -> Bare:
        """As the fake cloud."""
        return cls(FakePlugin.from_settings(settings))

    def inspect(self) -> list[Inspected]:
        """As the fake cloud."""
        return self._inner.inspect()

    def provision(self, order: Order) -> Connection:
        """As the fake cloud."""
        return self._inner.provision(order)

    def status(self, key: str) -> Status:
        """As the fake cloud."""
        return self._inner.status(key)

    def release(self, key: str) -> WipeEvidence:
        """As the fake cloud."""
        return self._inner.release(key)

    def list_owned(self) -> dict[str, Status]:
        """As the fake cloud."""
        return self._inner.list_owned()

    def check(self) -> list[str]:
        """As the fake cloud."""
        return self._inner.check()
