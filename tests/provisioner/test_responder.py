"""The responder in a guest: its arithmetic is that of others, and nobody can hang it."""

from __future__ import annotations

import ast
import contextlib
import gzip
import hashlib
import importlib.util
import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from base64 import b64decode
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml
from eth_keys.datatypes import PrivateKey, Signature

from chain.lease_endpoints import host_port
from chain.leaves import guest_digest
from cli.demo.lab.service import free_ports
from provisioner.plugin import Order
from provisioner.plugins.fake import FakePlugin
from provisioner.responder import PROGRAM, UNIT, cloud_config, program_path, unit_text
from tests.chain.network import die_with_parent
from tests.provisioner.responding import WITNESS, answers, ask, question, wait_for


@pytest.fixture(scope="module")
def program() -> ModuleType:
    """The one file, imported."""
    spec = importlib.util.spec_from_file_location("ocx_responder", program_path())
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class Running:
    """A responder as its own process."""

    def __init__(self, state: Path) -> None:
        self.state, self.port = state, next(free_ports())
        words = [sys.executable, "-I", str(program_path()), "--host", "127.0.0.1", "--port", str(self.port)]
        self.process = subprocess.Popen(
            [*words, "--state", str(state)], stdout=subprocess.PIPE, text=True, preexec_fn=die_with_parent
        )
        assert self.process.stdout
        self.guest = self.process.stdout.readline().split()[2]

    def connect(self) -> socket.socket:
        """A connection nothing was sent on yet."""
        return socket.create_connection(("127.0.0.1", self.port), 5)

    def ask(self, line: bytes | dict[str, Any]) -> dict[str, Any]:
        """One line in, one line out."""
        return ask(("127.0.0.1", self.port), line)


@pytest.fixture
def responder(tmp_path: Path) -> Iterator[Running]:
    """One that runs."""
    running = Running(tmp_path / "state")
    yield running
    running.process.kill()
    running.process.wait(10)


# ---- arithmetic ----------------------------------------------------------------------------------------


def test_signatures_and_addresses_are_those_of_eth_keys(program: ModuleType) -> None:
    edges = [1, 2, program.N - 1, program.N // 2]
    for number in [*edges, *(1 + secrets.randbelow(program.N - 1) for _ in range(12))]:
        key = PrivateKey(number.to_bytes(32, "big"))
        assert program.address(number) == key.public_key.to_canonical_address()
        for digest in (secrets.token_bytes(32), b"\0" * 32, b"\xff" * 32):
            ours, theirs = program.sign(number, digest), key.sign_msg_hash(digest).to_bytes()
            assert ours == theirs[:64] + bytes([theirs[64] + 27])


def test_a_signature_of_rfc_6979_for_this_curve_is_the_published_one(program: ModuleType) -> None:
    digest = hashlib.sha256(b"Satoshi Nakamoto").digest()
    r = "934b1ea10a4b3c1757e2b0c017d0b6143ce3c9a7e6a4a49860d7a6ab210ee3d8"
    s = "2442ce9d2b916064108014783e923ec36b49743e2ffa1c4496f01a512aafd9e5"
    assert program.sign(1, digest)[:64].hex() == r + s


# ---- protocol ------------------------------------------------------------------------------------------


def test_an_answer_is_the_guests_signature_of_exactly_that_question(responder: Running) -> None:
    asked = question()
    told = responder.ask(asked)
    nonce, signature = bytes.fromhex(asked["nonce"][2:]), bytes.fromhex(told["signature"][2:])
    digest = guest_digest(7, 2, 482113, 59, WITNESS, nonce)
    plain = Signature(signature[:64] + bytes([signature[64] - 27]))
    assert plain.recover_public_key_from_msg_hash(digest).to_address() == told["guest"] == responder.guest


def test_the_key_is_born_once_and_only_its_owner_reads_it(responder: Running) -> None:
    assert (responder.state / "key").stat().st_mode & 0o777 == 0o600
    assert [path.name for path in responder.state.iterdir()] == ["key"]
    responder.process.send_signal(signal.SIGKILL)
    responder.process.wait(10)
    again = Running(responder.state)
    assert again.guest == responder.guest
    again.process.kill()
    again.process.wait(10)


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"GET / HTTP/1.1",
        b"\xff\xfe",
        b"[" * 900,
        b"1" * 900,
        b'{"ocx":1}',
        json.dumps(question(ocx=2)).encode(),
        json.dumps(question(lease=True)).encode(),
        json.dumps(question(lease=1 << 32)).encode(),
        json.dumps(question(round=-1)).encode(),
        json.dumps(question(epoch=1.0)).encode(),
        json.dumps(question(witness="0x12")).encode(),
        json.dumps(question(nonce="0x" + "0" * 63 + "g")).encode(),
        json.dumps(question(more=1)).encode(),
    ],
    ids=[
        *("empty", "http", "no text", "brackets", "digits", "too little", "version", "lease", "large lease"),
        *("round", "epoch", "witness", "nonce", "too much"),
    ],
)
def test_what_is_no_question_is_never_signed(responder: Running, line: bytes) -> None:
    told = responder.ask(line)
    assert set(told) == {"error"}
    assert "signature" in responder.ask(question())


# ---- hostile clients -----------------------------------------------------------------------------------


def test_clients_that_dawdle_do_not_keep_others_out_and_are_let_go(responder: Running) -> None:
    idle = [responder.connect() for _ in range(100)]
    for connection in idle[50:]:
        connection.sendall(b"{")
    assert "signature" in responder.ask(question())
    for connection in idle:
        connection.settimeout(15)
        with connection:
            assert connection.recv(1) == b""


def test_a_line_without_end_is_cut_off(responder: Running) -> None:
    with responder.connect() as connection, pytest.raises(OSError, match="reset|Broken"):
        connection.sendall(b"x" * (64 << 20))
    assert "signature" in responder.ask(question())


def test_a_flood_gets_few_answers_and_breaks_nothing(responder: Running) -> None:
    began = time.monotonic()
    answered = 0
    for _ in range(200):
        with contextlib.suppress(OSError):
            answered += "signature" in responder.ask(question())
    assert 20 <= answered <= 20 * (time.monotonic() - began + 2)
    wait_for(lambda: "signature" in responder.ask(question()))


def test_who_hangs_up_at_once_breaks_nothing(responder: Running) -> None:
    for _ in range(50):
        connection = responder.connect()
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        connection.sendall(json.dumps(question()).encode())
        connection.close()
    assert "signature" in responder.ask(question())


# ---- first boot ----------------------------------------------------------------------------------------


def test_cloud_config_brings_program_and_unit_and_keeps_what_else_is_there() -> None:
    more = {"packages": ["jq"], "runcmd": [["true"]], "write_files": [{"path": "/x", "content": "y"}]}
    told = yaml.safe_load(yaml.safe_dump(cloud_config(9022, more)))
    assert told == cloud_config(9022, more) and told["packages"] == ["jq"]
    files = {file["path"]: file for file in told["write_files"]}
    assert gzip.decompress(b64decode(files[PROGRAM]["content"])) == program_path().read_bytes()
    assert f"{PROGRAM} --port 9022\n" in files[UNIT]["content"]
    assert files["/x"]["content"] == "y" and told["runcmd"][0] == ["true"]
    assert len(json.dumps(told)) < 10_000  # EC2 takes 16 KiB
    assert "--port 8022" in unit_text(8022)


def test_the_program_needs_nothing_that_python_3_6_lacks() -> None:
    source = program_path().read_text()
    compile(source, "responder", "exec")
    ast.parse(source, feature_version=(3, 6))
    names = {line.split()[1] for line in source.splitlines() if line.startswith("import ")}
    assert names <= {
        "argparse",
        "contextlib",
        "hashlib",
        "hmac",
        "json",
        "os",
        "re",
        "selectors",
        "socket",
        "sys",
        "time",
    }


def test_a_machine_of_the_fake_cloud_answers_for_itself_if_its_order_asks_for_it(tmp_path: Path) -> None:
    plugin = FakePlugin.from_settings(
        {
            "state": str(tmp_path / "cloud.db"),
            "machines": [{"name": "m1"}, {"name": "m2"}],
            "guests": True,
            "guest_while_pid": os.getpid(),
        }
    )
    ids = [item.local_id for item in plugin.inspect()]
    ssh = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIDBz t"
    orders = [Order(f"k{n}", id_, "h", (ssh,), 0, 1, responder=n == 0) for n, id_ in enumerate(ids)]
    with_, without = [plugin.provision(order) for order in orders]
    try:
        assert "guest" not in without.details
        address = host_port(with_.details["guest"])
        wait_for(lambda: answers(address))
        born = ask(address, question())["guest"]
        plugin.cut_power("m1")
        assert not answers(address) and not plugin.is_on("k0")
        assert plugin.status("k0").power is False
        plugin.restore_power("m1")
        wait_for(lambda: answers(address))
        assert ask(address, question())["guest"] == born
        assert plugin.status("k0").power is True
    finally:
        for order in orders:
            plugin.release(order.key)
