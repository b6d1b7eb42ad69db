"""`ocx deploy` before, beside and instead of a play that works: plans, refusals, Ctrl-C. Real ansible-runner.

What comes of a play that works is in tests/network/ansible/.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner

from chain.ports import free_ports
from cli.main import cli
from provisioner.keeper import tree_below

OCX = Path(sys.executable).with_name("ocx")


def until(condition: Callable[[], object], seconds: float = 120) -> None:
    """Wait for a condition with a deadline."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "the condition did not come true in time"
        time.sleep(0.05)


def inventory(folder: Path, port: int) -> Path:
    """Two witnesses that ssh would reach at that loopback port."""
    path = folder / "inventory.yml"
    host = {
        "ansible_host": "127.0.0.1",
        "ansible_port": port,
        "witness_node_connection": "connection.yaml",
        "witness_node_keystore": "wallet.json",
        "witness_node_passphrase": "very secret words",
    }
    path.write_text(yaml.safe_dump({"witnesses": {"hosts": {"eye-1": host, "eye-2": host}}}))
    return path


def run(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """The command as it stands, without a terminal."""
    return subprocess.run(
        [OCX, "deploy", *words],
        env=os.environ | environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )


def test_the_example_is_an_inventory() -> None:
    result = CliRunner().invoke(cli, ["deploy", "--example"])
    assert result.exit_code == 0
    assert {"chain_nodes", "providers", "witnesses", "docker_hosts"} <= set(yaml.safe_load(result.stdout))


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ([], "no inventory was given; give --inventory FILE"),
        (["--inventory", "broken.yml"], "cannot be read: YAML parsing failed"),
        (
            ["--inventory", "inventory.yml", "--limit", "eye-1", "--tags", "docker"],
            "in the groups docker_hosts",
        ),
        (["--inventory", "inventory.yml"], "there is no terminal to confirm this at; give --yes"),
    ],
)
def test_what_cannot_be_begun_is_refused_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: list[str], says: str
) -> None:
    inventory(tmp_path, 1)
    (tmp_path / "broken.yml").write_text("a: [\n")
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(cli, ["deploy", *words])
    assert result.exit_code == 1 and not result.stdout
    assert says in result.stderr.splitlines()[-1]


def test_hosts_that_cannot_be_reached_are_named_with_what_to_do(tmp_path: Path) -> None:
    done = run("--inventory", str(inventory(tmp_path, next(free_ports()))), "--yes", TMPDIR=str(tmp_path))
    assert done.returncode == 1
    assert "Set up what runs on 2 hosts.\n  witness nodes  eye-1, eye-2\n" in done.stderr
    last = done.stderr.splitlines()[-1]
    assert last.startswith("ocx: eye-") and " cannot be reached: " in last and "(and 1 more host)" in last
    assert "see whether ssh gets in as the inventory says; then give the same command again" in last
    assert "very secret words" not in done.stdout + done.stderr
    assert not list(tmp_path.glob("ocx-deploy-*"))


def test_what_is_encrypted_is_read_with_the_vaults_password_and_told_without_it(tmp_path: Path) -> None:
    path, password = inventory(tmp_path, next(free_ports())), tmp_path / "vault-pass"
    password.write_text("open sesame\n")
    vault = [OCX.with_name("ansible-vault"), "encrypt", "--vault-password-file", password]
    group = tmp_path / "group_vars" / "witnesses.yml"
    group.parent.mkdir()
    group.write_text("ansible_port: 1\n")
    subprocess.run([*vault, group], check=True, capture_output=True)
    shut = run("--inventory", str(path), "--limit", "eye-1", "--yes", "--check")
    assert shut.returncode == 1
    assert shut.stderr.splitlines()[-1].endswith("give --vault-password-file FILE")
    opened = run(
        "--inventory",
        str(path),
        "--limit",
        "eye-1",
        "--yes",
        "--check",
        "--vault-password-file",
        str(password),
    )
    assert " cannot be reached: " in opened.stderr.splitlines()[-1]
    assert "open sesame" not in opened.stdout + opened.stderr


def test_ctrl_c_ends_the_play_and_everything_it_started(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as mute:  # takes calls, says nothing: ssh waits
        path = inventory(tmp_path, mute.getsockname()[1])
        command = [OCX, "deploy", "--inventory", str(path), "--yes"]
        with subprocess.Popen(
            command,
            env=os.environ | {"TMPDIR": str(tmp_path), "ANSIBLE_TIMEOUT": "100"},
            stderr=subprocess.PIPE,
            text=True,
        ) as process:
            mute.settimeout(120)
            call, _ = mute.accept()
            below = tree_below(process.pid)
            process.send_signal(signal.SIGINT)
            said = process.communicate(timeout=60)[1]
            call.close()
    assert process.returncode == 130 and said.splitlines()[-1].startswith("ocx: stopped")
    until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in below), 30)
    assert below and not list(tmp_path.glob("ocx-deploy-*"))
