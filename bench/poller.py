"""A plain timer beside the agent: every so many seconds, all new leases of one provider, each to the plugin.

What a service like esi-leap does, with a shorter timer. It takes no fence and signs nothing, so a second one
would build the same machine again; it is here to be measured against, not to be used.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

from chain.connection import load
from chain.exchange import Exchange, decode_logs
from chain.generated import events
from provisioner.plugin import Order
from provisioner.plugins.fake import FakePlugin

__all__ = ["poll"]


def poll(connection: Path, org: int, cloud: Path, machines: int, every: float) -> None:
    """Until killed; writes one line per lease: its number and when the plugin was called (unix seconds)."""
    exchange = Exchange(load(connection))
    names = [{"name": f"m{n}", "ssh_port": 1, "http_port": 1} for n in range(machines)]
    plugin = FakePlugin.from_settings({"state": str(cloud), "machines": names})
    free = [found.local_id for found in plugin.inspect()]
    ours = [events.LeaseOpened.TOPIC, None, org.to_bytes(32, "big")]
    read = exchange.rpc.head().number
    print("ready", flush=True)
    tick = time.monotonic()
    while True:
        tick += every
        time.sleep(max(0.0, tick - time.monotonic()))
        head = exchange.rpc.head().number
        if head <= read:
            continue
        for event in decode_logs(exchange.rpc.get_logs([exchange.leases.address], read + 1, head, ours)):
            if not isinstance(event, events.LeaseOpened):
                continue
            called = time.time()
            start, end = (slot * exchange.slot for slot in (event.start, event.end))
            key = f"timer-{event.lease}"
            hostname = f"lease-{event.lease}"
            plugin.provision(Order(key, free.pop(), hostname, ("ssh-ed25519 AAAA",), start, end))
            print(json.dumps([event.lease, called]), flush=True)
        read = head


if __name__ == "__main__":
    connection, org, cloud, machines, every = sys.argv[1:]
    poll(Path(connection), int(org), Path(cloud), int(machines), float(every))
