"""What an operator sees of a running agent: one JSON document, on a loopback port and in a file.

Made from copies of what the agent holds; no chain or cloud is asked, so it answers when they do not. It says
nothing of tenants' machines besides their numbers and keys of operation.
"""

from __future__ import annotations

import http.server
import json
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from market.errors import Permanent
from provisioner.agent import Agent
from provisioner.secrets import redact

__all__ = ["HealthServer", "report", "write"]

_STALE = 30.0


def report(agent: Agent, now: float) -> dict[str, Any]:
    """The document; `ok` is False when a call hangs, or the last good cycle is 30 s or ten cycles old."""
    ticks = agent.monotonic()
    age = round(ticks - agent.last_good, 3) if agent.last_good else None
    limit = max(_STALE, 10 * agent.settings.cycle)
    hung = agent.operations.hung()
    leases = agent.snapshot()
    return {
        "ok": age is not None and age <= limit and not hung,
        "account": agent.address,
        "organisation": agent.org,
        "cycles": agent.cycles,
        "last_good_cycle_age": age,
        "cycle_error": agent.cycle_error,
        "head": agent.head.number if agent.head else None,
        "head_lag_seconds": round(now - agent.head.timestamp, 3) if agent.head else None,
        "endpoints": agent.exchange.rpc.endpoints(),
        "leases": leases,
        "tenders": agent.tenders(),
        "award_to_provision_ms": {
            lease: award for lease, (award, _) in sorted(agent.first_calls.copy().items())
        },
        "hung": [
            {
                "operation": f"{item.kind} {item.key}",
                "hung_since": int(now - ticks + item.hung_at),
                "since": int(now - ticks + item.since),
            }
            for item in hung
        ],
        "errors": [
            {
                "what": key,
                "message": item.message,
                "times": item.times,
                "needs_a_person": item.retry_at is None,
            }
            for key, item in agent.retries.troubles().items()
        ],
        "unforeseen_errors": agent.retries.unforeseen,
        "strangers": sorted(agent.strangers),
        "free_balance": agent.free_balance,
        "at": int(now),
    }


def write(path: Path, document: dict[str, Any]) -> None:
    """Put the document into a file, whole or not at all."""
    temporary = path.with_name(f".{path.name}.new")
    temporary.write_text(redact(json.dumps(document, indent=1, sort_keys=True)) + "\n", "utf-8")
    os.replace(temporary, path)


class HealthServer:
    """The document on `http://127.0.0.1:<port>/`: 200 when ok, else 503. `port` 0 takes a free one."""

    def __init__(self, port: int, make: Callable[[], dict[str, Any]]) -> None:
        class Handler(http.server.BaseHTTPRequestHandler):
            """Answers every GET with the document."""

            timeout = 10

            def do_GET(self) -> None:
                """Send the document."""
                document = make()
                body = redact(json.dumps(document, sort_keys=True)).encode()
                self.send_response(200 if document["ok"] else 503)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        try:
            self._server = http.server.ThreadingHTTPServer(("127.0.0.1", port), Handler)
        except OSError as error:
            raise Permanent(
                f"the health port {port} cannot be used: {error.strerror}", hint="Choose another health_port."
            ) from error
        self._server.daemon_threads = True
        self.port = int(self._server.server_address[1])
        self._thread = threading.Thread(target=self._server.serve_forever, name="health", daemon=True)

    def start(self) -> None:
        """Serve."""
        self._thread.start()

    def stop(self) -> None:
        """End it."""
        self._server.shutdown()
        self._server.server_close()
