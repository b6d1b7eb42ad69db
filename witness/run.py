"""Starts one witness node with everything around it.

`run` blocks until SIGTERM or SIGINT. One key and one state folder serve one node; a second one on the same
folder is refused by the log, one elsewhere with the same key by the chain, which takes one tick per epoch.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from chain.exchange import Exchange
from chain.published import judges
from chain.wallet import write_private
from daemons.health_page import HealthServer
from daemons.opening import open_exchange, open_wallet
from daemons.signals import stop_on_signals
from market.errors import InvalidInput, OcxError, Permanent, Temporary
from witness.clock import Clock
from witness.health import Health
from witness.log import Log
from witness.loop import Node
from witness.measure import Engine
from witness.schedule import Times, master_secret
from witness.settings import Settings

__all__ = ["run"]

log = logging.getLogger(__name__)


def organisation_of(exchange: Exchange, signer: str) -> int:
    """Which witness a key signs for; Temporary while it signs for none."""
    org = judges(exchange)[0].signer_of(signer)
    if org == 0:
        raise Temporary(
            f"the key {signer} signs for no witness yet",
            hint="Join with it: ocx witness join --signer ADDRESS, by an admin of the organisation.",
            retry_after=5.0,
        )
    return org


def run(
    settings: Settings,
    *,
    ready: Callable[[dict[str, object]], None] | None = None,
    on_step: Callable[[str], None] = lambda step: None,
) -> None:
    """Run the node and its health page until SIGTERM or SIGINT.

    `ready` is told once where they are: organisation, signer, health_port. Waits while the key signs for no
    witness. Permanent if another node has this state folder.
    """
    settings.state_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    exchange = open_exchange(settings, open_wallet(settings))
    over = threading.Event()
    hooks: list[Callable[[], None]] = [over.set]

    def stop() -> None:
        for hook in list(hooks):
            hook()

    with stop_on_signals(stop):
        org = _wait_for_org(exchange, over)
        if org is not None:
            asyncio.run(_serve(settings, exchange, org, over, hooks, ready, on_step))
    log.info("stopped")


def _wait_for_org(exchange: Exchange, over: threading.Event) -> int | None:
    """The organisation, as soon as the chain names it; None if told to stop before."""
    assert exchange.wallet is not None  # noqa: S101  opened with one
    said = ""
    while not over.is_set():
        try:
            return organisation_of(exchange, exchange.wallet.address)
        except Permanent:
            raise
        except OcxError as error:
            if str(error) != said:
                log.warning("waiting: %s", error)
            said = str(error)
            over.wait(min(2.0, getattr(error, "retry_after", 2.0)))
    return None


async def _serve(
    settings: Settings,
    exchange: Exchange,
    org: int,
    over: threading.Event,
    hooks: list[Callable[[], None]],
    ready: Callable[[dict[str, object]], None] | None,
    on_step: Callable[[str], None],
) -> None:
    witnesses = judges(exchange)[0]
    network = exchange.connection
    identity = {"chain": str(network.chain_id), "contract": witnesses.address, "org": str(org)}
    assert exchange.wallet is not None  # noqa: S101  opened with one
    signer = exchange.wallet.address
    with contextlib.ExitStack() as stack:
        measurements = Log(settings.database, batch=settings.log.batch, identity=identity)
        stack.callback(measurements.stop)
        times = Times(witnesses.grid(), master_secret(settings.master_key))
        clock = Clock(settings.clock.bound, settings.clock.transit, settings.clock.max_age)
        holder: list[Node] = []

        async def token(gateway: Any, lease: int) -> str | None:
            return await holder[0].gateways.token(gateway, lease) if holder else None

        secret = master_secret(settings.master_key)
        engine = Engine(settings.measure, times.grid, secret, signer, measurements, clock, tokens=token)
        loop = asyncio.get_running_loop()
        node = Node(settings, exchange, org, engine, measurements, clock, times, loop, on_step=on_step)
        stack.callback(node.close)
        holder.append(node)
        hooks.append(node.stop)
        health = Health(
            engine,
            measurements,
            clock,
            late_ms=settings.measure.late_ms,
            more=node.report,
            conditions=node.conditions,
        )
        page = HealthServer(settings.health_port, health.document, health.metrics)
        page.start()
        stack.callback(page.stop)
        log.info("witness %d as %s, health at http://127.0.0.1:%d/", org, signer, page.port)
        where: dict[str, object] = {"organisation": org, "signer": signer, "health_port": page.port}
        stack.enter_context(_told_in(settings.ready_file, where))
        if ready is not None:
            ready(where)
        if not over.is_set():
            await _until_stopped(engine, node)


@contextlib.contextmanager
def _told_in(path: Path, where: dict[str, object]) -> Iterator[None]:
    """While inside, a file says where the node is; a node runs without it, too."""
    try:
        write_private(path, json.dumps(where) + "\n", replace=True)
    except InvalidInput as error:
        log.warning("%s", error)
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            path.unlink()


async def _until_stopped(engine: Engine, node: Node) -> None:
    """Measure while the node runs; an engine that breaks ends the node, so that it is started anew."""
    measuring = asyncio.create_task(engine.run())
    measuring.add_done_callback(lambda _: node.stop())
    try:
        await asyncio.to_thread(node.run)
    finally:
        broken = measuring.done()
        measuring.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await measuring
        if broken:
            log.error("measuring ended by itself")
