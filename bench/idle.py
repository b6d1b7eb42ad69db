"""What a daemon costs that has nothing to do, beside an interpreter that sleeps: agents, a witness.

Each agent (`ocx provider run`) has its plugin's cloud (the lab's: fake machines, a real Ironic, an EC2, a
host over SSH) and a chain with a block every second, and no lease. The witness (`ocx witness run`) sits on no
committee; it ticks as its epochs of an hour pass. The floor is an interpreter that has imported the same and,
for an agent, has asked the cloud once. A cloud that cannot be had here is left out, with a line.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import re
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from bench.probe import CountingRelay, Usage
from bench.report import Report, Row
from bench.seller import FAR, PARAMS, Seller, health, running_agent, settle_in, wait_for
from bench.stage import Stage, open_stage
from chain import wallet as wallets
from chain.connection import load as load_connection
from chain.contracts.members import Role
from tests.chain.network import die_with_parent, free_port
from witness.settings import render

__all__ = ["PLUGINS", "run"]

BLOCK = 1.0
_SETTLED = 8.0
"""Seconds after an agent is well until it is watched."""
_SLEEPER = """
import json, sys, time
from cli import main
from provisioner import run
from chain import line
from eth_account import Account
from provisioner.plugin import load
plugin = load(sys.argv[1], json.loads(sys.argv[2]))
plugin.list_owned()
plugin.inspect()
print("ready", flush=True)
time.sleep(3600)
"""

_SLEEPING_WITNESS = """
import time
from cli import main
from witness import run
from chain import line
from eth_account import Account
print("ready", flush=True)
time.sleep(3600)
"""


def run(argv: Sequence[str] | None = None) -> Report:
    """Measure and show; not complete if a plugin was left out."""
    parser = argparse.ArgumentParser(prog="python -m bench idle", description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0, help="how long to watch (default 60)")
    parser.add_argument("--plugins", default=",".join(PLUGINS), help="which, with commas (default all)")
    report = _measure(parser.parse_args(argv))
    report.show()
    return report


def _measure(options: argparse.Namespace) -> Report:
    """Run it; all agents at the same time."""
    report = Report("idle")
    report.notes.append(
        f"{options.seconds:.0f} s without a lease, a block every {BLOCK:.0f} s, 4 machines or fewer"
    )
    begin = str(int(time.time()) - FAR)
    with open_stage(PARAMS, "--timestamp", begin) as stage, contextlib.ExitStack() as stack:
        watched: list[tuple[str, dict[str, Any], Seller]] = []
        for name in options.plugins.split(","):
            settings = _cloud(stack, name, stage.folder / f"cloud-{name}", report)
            if settings is not None:
                connection = str(stage.folder / f"{name}.yaml")
                plugins = [{"name": name, "settings": settings}]
                seller = settle_in(stage, 0, name=name, connection=connection, plugins=plugins)
                watched.append((name, settings, seller))
        witness = _join(stage)
        stage.go_live(BLOCK)
        agents = [(name, settings, *_start(stack, stage, seller)) for name, settings, seller in watched]
        eye = _start_witness(stack, stage, witness)
        time.sleep(_SETTLED)
        watched_eye = Usage.of(eye[0].pid), eye[1].messages
        _watch(report, agents, options.seconds)
        _rows_of_witness(report, *eye, *watched_eye, options.seconds)
        for name, settings, *_ in agents:
            _floor(report, name, [_SLEEPER, name, json.dumps(settings)])
        _floor(report, "witness", [_SLEEPING_WITNESS])
    return report


def _cloud(stack: contextlib.ExitStack, name: str, folder: Path, report: Report) -> dict[str, Any] | None:
    """The settings of a plugin whose cloud runs until the stack ends; None, and a note, if there is none."""
    folder.mkdir()
    try:
        return PLUGINS[name](stack, folder)
    except Exception as error:  # noqa: BLE001  a lab that cannot be had here, for whatever reason
        report.notes.append(f"{name} left out: {type(error).__name__}: {error}")
        report.complete = False
        return None


def _fake(_stack: contextlib.ExitStack, folder: Path) -> dict[str, Any]:
    return {"state": str(folder / "cloud.db"), "machines": [{"name": f"m{n}"} for n in range(4)]}


def _ironic(stack: contextlib.ExitStack, folder: Path) -> dict[str, Any]:
    from cli.demo.lab import Lab

    lab = stack.enter_context(Lab(folder, machines=0, fake_machines=4, first_clean=False))
    return lab.settings(fake=True)


def _aws(stack: contextlib.ExitStack, folder: Path) -> dict[str, Any]:
    from cli.demo.lab.ec2 import Ec2Lab

    return stack.enter_context(Ec2Lab(folder, units=4)).settings()


def _ansible(stack: contextlib.ExitStack, folder: Path) -> dict[str, Any]:
    from cli.demo.lab.host import HostLab

    if (missing := HostLab.missing()) is not None:
        raise RuntimeError(missing)
    lab = stack.enter_context(HostLab(folder, hosts=1))
    return lab.settings(state=folder / "state")


PLUGINS: dict[str, Callable[[contextlib.ExitStack, Path], dict[str, Any]]] = {
    "fake": _fake,
    "ironic": _ironic,
    "aws": _aws,
    "ansible": _ansible,
}


def _start(
    stack: contextlib.ExitStack, stage: Stage, seller: Seller
) -> tuple[subprocess.Popen[bytes], CountingRelay, Seller]:
    """The agent's process, behind a relay that counts what it asks of the node."""
    relay = stack.enter_context(CountingRelay(stage.node.port))
    connection = load_connection(stage.connection_file).model_dump(mode="json") | {"rpc_urls": [relay.url]}
    seller.settings.connection.write_text(json.dumps(connection), "utf-8")
    return stack.enter_context(running_agent(seller.settings)), relay, seller


def _watch(report: Report, agents: list[Any], seconds: float) -> None:
    before = [_look(process, relay, seller) for _, _, process, relay, seller in agents]
    time.sleep(seconds)
    for (name, _, process, relay, seller), (used, messages, reads) in zip(agents, before, strict=True):
        now, later, more = _look(process, relay, seller)
        report.rows += [
            Row(f"{name}: CPU, of one processor", 100 * (now.cpu - used.cpu) / seconds, "%"),
            Row(f"{name}: resident memory", now.rss, "MB"),
            Row(f"{name}: threads", now.threads, ""),
            Row(f"{name}: messages to the node", (later - messages) / seconds, "a second"),
            Row(f"{name}: readings of the cloud", 60 * (more - reads) / seconds, "a minute"),
        ]


def _look(process: subprocess.Popen[bytes], relay: CountingRelay, seller: Seller) -> tuple[Usage, int, float]:
    return Usage.of(process.pid), relay.messages, _reads(seller)


def _reads(seller: Seller) -> float:
    """How often the agent has read or measured its cloud, as its metrics say."""
    port = health(seller.settings.state_dir)["health_port"]
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
        text = answer.read().decode()
    found = re.findall(
        r'^ocx_operation_seconds_count\{kind="(?:look|inspect)".*\} (\S+)$', text, re.MULTILINE
    )
    return sum(map(float, found))


def _join(stage: Stage) -> Path:
    """A witness in the pool; the folder with its key."""
    party = stage.admit("eye", Role.WITNESS, 10**10)
    folder = stage.folder / "witness"
    folder.mkdir()
    key = wallets.create(folder / "signer.json", "bench", light=True)
    (folder / "passphrase").touch(mode=0o600)
    (folder / "passphrase").write_text("bench\n")
    witnesses = party.client.witnesses
    if witnesses is None:
        raise RuntimeError("the stage has an exchange without witnesses")
    party.send(witnesses.join(key.address, witnesses.terms().min_stake))
    return folder


def _start_witness(
    stack: contextlib.ExitStack, stage: Stage, folder: Path
) -> tuple[subprocess.Popen[bytes], CountingRelay]:
    """The node's process, once its health page answers, behind a relay of its own."""
    relay = stack.enter_context(CountingRelay(stage.node.port))
    connection = load_connection(stage.connection_file).model_dump(mode="json") | {"rpc_urls": [relay.url]}
    (folder / "connection.yaml").write_text(json.dumps(connection), "utf-8")
    port = free_port()
    (folder / "witness.yaml").write_text(
        render(
            connection="connection.yaml",
            wallet={"keystore": "signer.json", "passphrase_file": "passphrase"},
            state_dir="state",
            health_port=port,
        )
    )
    command = [sys.executable, "-m", "cli.main", "witness", "run", "--config", str(folder / "witness.yaml")]
    log = stack.enter_context((folder / "witness.log").open("wb"))
    process = stack.enter_context(
        subprocess.Popen(command, stdout=log, stderr=log, preexec_fn=die_with_parent)
    )
    stack.callback(process.terminate)
    try:
        wait_for("the witness", lambda: _answers(port))
    except TimeoutError:
        print((folder / "witness.log").read_text("utf-8")[-4000:], file=sys.stderr)
        raise
    return process, relay


def _answers(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10):
            return True
    except OSError:
        return False


def _rows_of_witness(
    report: Report,
    process: subprocess.Popen[bytes],
    relay: CountingRelay,
    used: Usage,
    messages: int,
    seconds: float,
) -> None:
    now = Usage.of(process.pid)
    report.rows += [
        Row("witness: CPU, of one processor", 100 * (now.cpu - used.cpu) / seconds, "%"),
        Row("witness: resident memory", now.rss, "MB"),
        Row("witness: threads", now.threads, ""),
        Row("witness: messages to the node", (relay.messages - messages) / seconds, "a second"),
    ]


def _floor(report: Report, name: str, program: list[str]) -> None:
    """Set a daemon's memory beside an interpreter that has imported the same and sleeps."""
    command = [sys.executable, "-c", *program]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, preexec_fn=die_with_parent)
    try:
        if process.stdout is None or process.stdout.readline() != b"ready\n":
            raise RuntimeError(f"the sleeper for {name} did not start")
        floor = Usage.of(process.pid).rss
    finally:
        process.kill()
        process.wait()
    what = f"{name}: resident memory"
    report.rows = [
        Row(row.what, row.value, row.unit, None, floor, "the same imports, asleep")
        if row.what == what
        else row
        for row in report.rows
    ]
