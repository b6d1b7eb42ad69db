"""Starts one provider agent with everything around it.

`run` blocks until SIGTERM or SIGINT. It takes `Settings`; the command line reads them. One wallet and one
state folder serve one running agent; a second is refused.
"""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from chain.disk import DiskTrouble
from daemons.health_page import HealthServer
from daemons.opening import open_exchange, open_wallet
from daemons.signals import stop_on_signals
from market.errors import Refused
from provisioner.agent.loop import Agent
from provisioner.catalogue import load_plugins
from provisioner.gateway.server import GatewayServer
from provisioner.health.page import report, write
from provisioner.settings import Settings
from provisioner.store.store import Store

__all__ = ["health_path", "run"]

log = logging.getLogger(__name__)

_HEALTH_EVERY = 1.0
_HEALTH_SHARE = 50
"""Of a thousand leases the document is long: writing it takes at most one part in so many of the time."""


def run(settings: Settings, *, ready: Callable[[dict[str, object]], None] | None = None) -> None:
    """Run the agent, its gateway and its health page until SIGTERM or SIGINT.

    `ready` is told once where they are: url, gateway_key_hash, health_port, account. Raises `Refused` if
    another agent with this wallet runs on this state folder.
    """
    settings.state_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    wallet = open_wallet(settings)
    with _only_one(settings, wallet.address):
        exchange = open_exchange(settings, wallet)
        store = Store(settings.database)
        agent = Agent(settings, exchange, store, load_plugins(settings.plugins))
        gateway = GatewayServer(
            settings, exchange, store, on_setup=agent.asks.nudge, asks=agent.asks, control=agent.control
        )

        def tell() -> dict[str, Any]:
            return report(agent, time.time())

        health = HealthServer(settings.health_port, tell, agent.metrics.expose(tell))
        with contextlib.ExitStack() as stack:
            stack.enter_context(stop_on_signals(agent.stop))
            gateway.start()
            stack.callback(gateway.stop)
            health.start()
            stack.callback(health.stop)
            stack.enter_context(_health_file(settings, agent, health.port))
            where = {
                "url": gateway.url,
                "gateway_key_hash": "0x" + gateway.key_hash.hex(),
                "health_port": health.port,
                "account": wallet.address,
            }
            log.info("gateway at %s, health at http://127.0.0.1:%d/", gateway.url, health.port)
            if ready is not None:
                ready(where)
            agent.run()
        log.info("stopped")


@contextlib.contextmanager
def _only_one(settings: Settings, address: str) -> Iterator[None]:
    """Hold the lock of this wallet on this state folder; the kernel frees it however the process ends."""
    path = settings.state_dir / f"agent-{address.lower()}.lock"
    with path.open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Refused(
                f"an agent with the key {address} already runs on {settings.state_dir}",
                hint="Stop it first, or give the second agent a key of its own.",
            ) from None
        try:
            os.write(lock.fileno(), f"{os.getpid()}\n".encode())
        except OSError as error:  # the lock holds all the same; who holds it is only told to people
            log.warning("%s cannot be written: %s", path, error)
        yield


def health_path(settings: Settings, account: str) -> Path:
    """The health file of the agent with that account; two agents may share a state folder."""
    return settings.state_dir / f"health-{account.lower()}.json"


@contextlib.contextmanager
def _health_file(settings: Settings, agent: Agent, port: int) -> Iterator[None]:
    """Keep STATE_DIR/health-ACCOUNT.json fresh while inside, and health.json: any agent's there."""
    paths = [health_path(settings, agent.address), settings.state_dir / "health.json"]
    over = threading.Event()

    troubled = False

    def write_once() -> None:
        nonlocal troubled
        try:
            document = report(agent, time.time()) | {"health_port": port, "pid": os.getpid()}
            write(paths, document)
        except (OSError, DiskTrouble) as error:
            if not troubled:
                log.warning("the health file cannot be written: %s", error)
            troubled = True
        else:
            troubled = False

    def keep() -> None:
        took = 0.0
        while not over.wait(max(_HEALTH_EVERY, _HEALTH_SHARE * took)):
            began = time.monotonic()
            write_once()
            took = time.monotonic() - began

    write_once()
    thread = threading.Thread(target=keep, name="health file", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join(2.0)
        write_once()
