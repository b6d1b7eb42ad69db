"""What measuring 10,000 machines every minute costs one witness: lateness, CPU, memory, log.

The engine (`witness.measure.Engine`), with its log on disk, runs in a process of its own against servers in
another: half accept TCP, four in ten show an SSH banner, one in ten speaks TLS. Beside it, in the same run
and against the same servers, the bound: a bare asyncio loop that does nothing but connect at the same moments
and close. It keeps no log, looks for no answer and computes no time, so nothing that measures can cost less.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import math
import os
import resource
import ssl
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bench.probe import Usage
from bench.report import Report, Row, percentile
from tests.chain.network import die_with_parent

__all__ = ["run"]

_PORTS = 50
"""Ports of each kind of server: machines share them, so that the number of ports does not matter."""
_HOST = "127.0.0.1"
_WARM = 5.0
_CPU, _RSS = 50.0, 300.0
"""The design's targets: per cent of a processor, megabytes."""


def run(argv: Sequence[str] | None = None) -> Report:
    """Measure and show."""
    parser = argparse.ArgumentParser(prog="python -m bench witness", description=__doc__)
    parser.add_argument("--machines", type=int, default=10_000, help="endpoints (default 10000)")
    parser.add_argument("--round", type=int, default=60, help="seconds of a round (default 60)")
    parser.add_argument("--rounds", type=int, default=2, help="rounds to watch (default 2)")
    parser.add_argument("--profile", help="write a profile of the engine to this file (it costs CPU)")
    parser.add_argument("--role", choices=("servers", "engine", "bare"), help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args(argv)
    if options.role:
        asyncio.run({"servers": _servers, "engine": _engine, "bare": _bare}[options.role](options))
        sys.exit(0)
    report = _measure(options)
    report.show()
    return report


def _measure(options: argparse.Namespace) -> Report:
    report = Report("witness")
    seconds = options.round * options.rounds
    report.notes.append(
        f"{options.machines} endpoints every {options.round} s for {seconds} s: "
        "50 % TCP, 40 % SSH banner, 10 % TLS"
    )
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        servers = _start("servers", options, folder)
        try:
            _wait_for(folder / "ports.json", servers)
            ours = _watch("engine", options, folder)
            bare = _watch("bare", options, folder)
        finally:
            servers.kill()
            servers.wait()
        _rows(report, options, ours, bare)
        _append_rate(report, folder)
    return report


def _rows(report: Report, options: argparse.Namespace, ours: dict[str, Any], bare: dict[str, Any]) -> None:
    expected = options.machines * options.rounds
    bound = "a bare connect loop"
    report.rows += [
        Row("CPU, of one processor", ours["cpu"], "%", _CPU, bare["cpu"], bound),
        Row("peak resident memory", ours["rss"], "MB", _RSS, bare["rss"], bound),
        Row("began late, p50", ours["p50"], "ms", None, bare["p50"], bound),
        Row("began late, p99", ours["p99"], "ms", None, bare["p99"], bound),
        Row("began late, worst", ours["worst"], "ms", None, bare["worst"], bound),
        Row("measured, of what was due", 100 * ours["count"] / max(1, expected), "%"),
        Row("called other than up (all are)", ours["not_up"], ""),
        Row("syncs of the disk", ours["syncs"] / (options.round * options.rounds), "a second"),
        Row("closing the epoch: seconds", ours["close"], "s"),
        Row("began late while the epoch was closed, p99", ours["close_p99"], "ms"),
    ]
    if abs(ours["count"] - expected) > 0.02 * expected:
        report.notes.append(f"{ours['count']} measurements counted, {expected} were due")
        report.complete = False


def _append_rate(report: Report, folder: Path) -> None:
    """How fast the log takes measurements, each batch synced; beside SQLite without any of it."""
    import sqlite3

    from witness.log import Log, Measurement

    count, path = 50_000, folder / "append.db"
    log = Log(path)
    rows = [Measurement(1, 1 + n // 60, 0, n % 60, n, 1, "answers") for n in range(count)]
    began = time.perf_counter()
    futures = [log.add(row) for row in rows]
    futures[-1].result()
    ours = count / (time.perf_counter() - began)
    log.stop()
    plain = sqlite3.connect(folder / "plain.db", isolation_level=None)
    plain.execute("CREATE TABLE sample (a, b, c, d, e, f, g, PRIMARY KEY (a, b, c, d)) WITHOUT ROWID")
    began = time.perf_counter()
    plain.execute("BEGIN")
    plain.executemany(
        "INSERT INTO sample VALUES (1, ?, ?, 0, ?, 1, 'answers')",
        ((n % 60, n // 60, n) for n in range(count)),
    )
    plain.execute("COMMIT")
    bound = count / (time.perf_counter() - began)
    report.rows.append(Row("log append rate", ours, "a second", None, bound, "one SQLite transaction"))


# ---- processes ---------------------------------------------------------------------------------------------


def _start(role: str, options: argparse.Namespace, folder: Path) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-c", "import sys; from bench.witness import run; run(sys.argv[1:])"]
    command += ["--role", role, "--folder", str(folder), "--machines", str(options.machines)]
    command += ["--round", str(options.round), "--rounds", str(options.rounds)]
    command += ["--profile", options.profile] if options.profile and role == "engine" else []
    return subprocess.Popen(command, preexec_fn=die_with_parent, cwd=Path(__file__).resolve().parents[1])


def _wait_for(file: Path, process: subprocess.Popen[bytes], seconds: float = 60.0) -> Any:
    """What a process writes when it is ready, or done; RuntimeError if it ends without."""
    deadline = time.monotonic() + seconds
    while not file.exists():
        if process.poll() is not None and not file.exists():
            raise RuntimeError(f"the process for {file.name} ended with {process.returncode}")
        if time.monotonic() > deadline:
            raise RuntimeError(f"{file.name} did not come")
        time.sleep(0.05)
    return json.loads(file.read_text("utf-8"))


def _watch(role: str, options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Run one of the two that measure, and return what it found; CPU from its first to its last second."""
    with _start(role, options, folder) as process:
        _wait_for(folder / f"{role}.begun", process)
        before, began = Usage.of(process.pid), time.monotonic()
        _wait_for(folder / f"{role}.ended", process, options.round * (options.rounds + 2) + 60)
        used = Usage.of(process.pid).cpu - before.cpu
        share = 100 * used / (time.monotonic() - began)
        (folder / f"{role}.go").touch()
        found: dict[str, Any] = _wait_for(folder / f"{role}.json", process, 300)
    return {**found, "cpu": share}


def _say(folder: Path, name: str, document: Any = None) -> None:
    partial = folder / f".{name}"
    partial.write_text(json.dumps(document), "utf-8")
    partial.rename(folder / name)


async def _servers(options: argparse.Namespace) -> None:
    """All servers, for ever."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(_certificate(options.folder))

    async def accept(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    async def say(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"SSH-2.0-OpenSSH_9.9\r\n")
        writer.close()

    ports: dict[str, list[int]] = {"tcp": [], "ssh": [], "tls": []}
    kept = []
    for kind, treat, tls in (("tcp", accept, None), ("ssh", say, None), ("tls", accept, context)):
        for _ in range(_PORTS):
            server = await asyncio.start_server(treat, _HOST, 0, ssl=tls, backlog=4096)
            kept.append(server)
            ports[kind].append(server.sockets[0].getsockname()[1])
    _say(options.folder, "ports.json", ports)
    await asyncio.Event().wait()


def _certificate(folder: Path) -> Path:
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
    file = folder / "server.pem"
    command += ["-keyout", str(file), "-out", str(folder / "cert.pem"), "-subj", "/CN=bench", "-days", "2"]
    subprocess.run(command, check=True, capture_output=True)
    file.write_text(file.read_text("utf-8") + (folder / "cert.pem").read_text("utf-8"), "utf-8")
    return file


def _kinds(machines: int) -> list[str]:
    """Which machine is of which kind: 5, 4 and 1 of ten."""
    return [
        ("tcp", "ssh", "tcp", "ssh", "tcp", "ssh", "tcp", "ssh", "tcp", "tls")[n % 10]
        for n in range(machines)
    ]


async def _engine(options: argparse.Namespace) -> None:
    """The witness's engine; reads its own log for how late each measurement began."""
    from market.rounds import Grid
    from witness.clock import Clock
    from witness.log import Log
    from witness.measure import Engine
    from witness.settings import MeasureSettings
    from witness.targets import Endpoint, Kind, Reference, Target

    ports = json.loads((options.folder / "ports.json").read_text("utf-8"))
    grid = Grid(options.round * 60, 60)
    log, clock = Log(options.folder / "witness.db"), Clock(5.0, 5.0, 7200.0)
    for number in range(4):  # as blocks would
        clock.observe(number + 1, int(time.time()), time.monotonic() - 0.5, time.monotonic())
    settings = MeasureSettings(loopback=True)
    engine = Engine(settings, grid, bytes(32), "0x" + "00" * 20, log, clock)
    start = int(time.time()) + int(_WARM)
    first = math.ceil(start / options.round) * options.round  # whole rounds only
    end = first + options.round * options.rounds
    engine.set_targets(
        [
            Target(1 + n, 0, 1, Endpoint(_HOST, ports[kind][n // 10 % _PORTS], Kind(kind)), first, end)
            for n, kind in enumerate(_kinds(options.machines))
        ]
    )
    engine.set_references([Reference(_HOST, ports["tcp"][0])])
    running = asyncio.create_task(engine.run())
    await asyncio.sleep(first - time.time())
    profile = None
    if options.profile:
        import cProfile

        profile = cProfile.Profile()
        profile.enable()
    _say(options.folder, "engine.begun")
    await asyncio.sleep(end - time.time())
    _say(options.folder, "engine.ended")
    if profile is not None:
        profile.disable()
        profile.dump_stats(options.profile)
    while not (options.folder / "engine.go").exists():
        await asyncio.sleep(0.05)
    await asyncio.sleep(6)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    late, not_up, gauges = _lateness(log, engine, grid, first, end), 0, engine.gauges()
    not_up = sum(count for (outcome, _), count in gauges.outcomes.items() if outcome != "up")
    closing = await _close(engine, log, grid.epoch_of(first), options)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    result = {
        "count": len(late),
        "rss": peak,
        "not_up": not_up,
        "syncs": log.synced,
        **_summary(late),
        **closing,
    }
    log.stop()
    _say(options.folder, "engine.json", result)


def _lateness(log: Any, engine: Any, grid: Any, first: int, end: int) -> list[float]:
    found = []
    for epoch in range(grid.epoch_of(first), grid.epoch_of(end) + 1):
        for lease, place, round_, at in log._read(
            "SELECT lease, place, round, at FROM sample WHERE epoch = ?", (epoch,)
        ):
            found.append(float(at - engine.times.due((lease, place), epoch, round_)))
    return found


async def _close(engine: Any, log: Any, epoch: int, options: argparse.Namespace) -> dict[str, float]:
    """Close the epoch in a thread, while a ticker sees how late the loop runs."""
    late: list[float] = []

    async def tick() -> None:
        while True:
            due = time.monotonic() + 0.01
            await asyncio.sleep(0.01)
            late.append((time.monotonic() - due) * 1000)

    ticker = asyncio.create_task(tick())
    began = time.monotonic()
    await asyncio.to_thread(log.close, epoch)
    took = time.monotonic() - began
    ticker.cancel()
    return {"close": took, "close_p99": percentile(late, 0.99) if late else 0.0}


async def _bare(options: argparse.Namespace) -> None:
    """The bound: connect at evenly drawn moments, and close."""
    import random

    ports = json.loads((options.folder / "ports.json").read_text("utf-8"))
    seconds, draw, late = options.round * options.rounds, random.Random(1), []  # noqa: S311
    first = time.monotonic() + 1
    moments = sorted(
        (first + number * options.round + draw.random() * options.round, ports[kind][n // 10 % _PORTS])
        for n, kind in enumerate(_kinds(options.machines))
        for number in range(options.rounds)
    )

    async def connect(port: int) -> None:
        _, writer = await asyncio.open_connection(_HOST, port)
        writer.close()

    tasks = set()
    await asyncio.sleep(first - time.monotonic())
    _say(options.folder, "bare.begun")
    for moment, port in moments:
        if (left := moment - time.monotonic()) > 0:
            await asyncio.sleep(left)
        late.append(max(0.0, time.monotonic() - moment) * 1000)
        task = asyncio.create_task(connect(port))
        tasks.add(task)
        task.add_done_callback(tasks.discard)
    await asyncio.sleep(max(0.0, first + seconds - time.monotonic()))
    _say(options.folder, "bare.ended")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    while not (options.folder / "bare.go").exists():
        await asyncio.sleep(0.05)
    _say(options.folder, "bare.json", {"rss": peak, **_summary(late)})


def _summary(late: Sequence[float]) -> dict[str, float]:
    if not late:
        return {"p50": math.inf, "p99": math.inf, "worst": math.inf}
    return {"p50": percentile(late, 0.5), "p99": percentile(late, 0.99), "worst": max(late)}


if __name__ == "__main__":
    os.environ.setdefault("PYTHONUNBUFFERED", "1")
    run()
