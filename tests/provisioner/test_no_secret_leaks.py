"""Distinctive secrets are planted, a whole lease is run with everything going wrong, and all that was told is
searched for them: logs at the level debug, health, metrics, command lines, outputs, errors, tracebacks."""

from __future__ import annotations

import base64
import contextlib
import http.client
import json
import os
import re
import signal
import socket
import sqlite3
import ssl
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml
from eth_utils.crypto import keccak

from chain import wallet as wallets
from chain.gateway import GatewayClient
from chain.generated.enums import BidStatus
from tests.chain.network import die_with_parent, wallet
from tests.provisioner.world import OPERATOR, Buyer, Provider, Proxy, World, health_file, wait_for

pytestmark = pytest.mark.timeout(240)

ROOT = Path(__file__).parents[2]
PASSPHRASES = {
    "operator passphrase": "Zebra-operator-passphrase-41",
    "buyer passphrase": "Zebra-buyer-passphrase-42",
    "cloud password": 'Zebra"cloud/pass word-43',
}
AT_REST = {
    ("tender salt", "agent.db"),
    ("tender salt", "sender/"),  # in the transaction that reveals it to everybody
    ("SSH key the provider made", "agent.db"),
    ("gateway TLS key", "gateway.key"),
}
"""What may lie in which file of the state folder; docs/keys.md says the same."""

PLUGIN = """
import logging

from market.errors import Permanent, Temporary
from provisioner.plugins.fake import FakePlugin
from daemons.secrets import SecretSource


class Leaky(FakePlugin):
    calls = 0

    @classmethod
    def from_settings(cls, settings):
        rest = dict(settings)
        source = SecretSource.parse(rest.pop("password"), "leaky.password")
        made = super().from_settings(rest)
        made.source = source
        return made

    def check(self):
        return [f"nobody logs in with {self.source.read()}"]

    def provision(self, order):
        password = self.source.read()
        type(self).calls += 1
        logging.getLogger("urllib3.connectionpool").debug("POST https://admin:%s@cloud/", password)
        logging.getLogger("keystoneauth").warning("%s was refused", password)
        if self.calls == 1:
            raise RuntimeError(f"401 for https://admin:{password}@cloud/")
        if self.calls == 2:
            raise Temporary(f"the cloud is busy; it was asked with {password!r}", retry_after=0.1)
        return super().provision(order)

    def release(self, key):
        password = self.source.read()
        type(self).calls += 100
        if self.calls < 200:
            raise Temporary(f"not with {password}", retry_after=0.1, password=password)
        return super().release(key)
"""


# ---- searching -----------------------------------------------------------------------------------------


def forms(secret: str | bytes) -> list[bytes]:
    """What a secret may look like in a text or a file."""
    raw = secret.encode() if isinstance(secret, str) else secret
    text = (
        [] if isinstance(secret, bytes) else [json.dumps(secret)[1:-1].encode(), repr(secret)[1:-1].encode()]
    )
    return [raw, raw.hex().encode(), base64.b64encode(raw).rstrip(b"="), *text]


def pem_forms(pem: str) -> list[bytes]:
    """The lines of a private key that are its own, and not every key's."""
    lines = [line.strip() for line in pem.splitlines() if line.strip() and not line.startswith("-----")]
    return [line.encode() for line in lines[1:] if len(line) >= 40] or [lines[-1].encode()]


def leaks(secrets: Mapping[str, Sequence[bytes]], places: Mapping[str, bytes]) -> list[str]:
    """Which secret is in which place, by name; tables may break a line anywhere."""
    found = []
    for place, content in places.items():
        joined = re.sub(rb"\s+", b"", content)
        for name, looks in secrets.items():
            if any(look in content or re.sub(rb"\s+", b"", look) in joined for look in looks):
                found.append(f"{name} in {place}")
    return found


@pytest.mark.parametrize("look", range(5))
def test_the_search_finds_a_planted_leak_in_every_form_and_names_it_without_its_value(look: int) -> None:
    secret = PASSPHRASES["cloud password"]
    log = b"12:00 DEBUG ... " + forms(secret)[look] + b" ...\n"
    assert leaks({"cloud password": forms(secret)}, {"log": log, "other": b"calm"}) == [
        "cloud password in log"
    ]
    broken = log[:24] + b"\n  " + log[24:]
    assert leaks({"cloud password": forms(secret)}, {"table": broken}) == ["cloud password in table"]
    assert not re.search("Zebra", str(leaks({"cloud password": forms(secret)}, {"log": log})))


def test_the_search_finds_a_line_of_a_private_key() -> None:
    body = base64.b64encode(bytes(range(150))).decode()
    lines = [body[i : i + 70] for i in range(0, len(body), 70)]
    pem = "\n".join(["-----BEGIN OPENSSH PRIVATE KEY-----", *lines, "-----END OPENSSH PRIVATE KEY-----"])
    assert leaks({"key": pem_forms(pem)}, {"log": f"x {lines[1]} y".encode()}) == ["key in log"]


# ---- watching ------------------------------------------------------------------------------------------


class CommandLines:
    """Every command line that any process of this machine shows while inside, as `ps` would see it."""

    def __init__(self) -> None:
        self.seen: set[bytes] = set()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)

    def __enter__(self) -> CommandLines:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._over.wait(0.02):
            for file in Path("/proc").glob("[0-9]*/cmdline"):
                with contextlib.suppress(OSError):
                    self.seen.add(file.read_bytes())


def the_number_of(address: str) -> int:
    """Which of the numbered wallets has this address."""
    return next(n for n in range(1001, 1500) if wallet(n).address == address)


class Stage:
    """A provider with a leaky cloud, its agent as a process at the level debug, and a buyer at its shell."""

    def __init__(self, world: World, provider: Provider, buyer: Buyer, folder: Path) -> None:
        self.provider, self.buyer, self.folder = provider, buyer, folder
        self.secrets: dict[str, list[bytes]] = {name: forms(value) for name, value in PASSPHRASES.items()}
        self.told: dict[str, bytes] = {}
        self.proxy = Proxy(world.node.port)
        self._plant_operator()
        self._plant_buyer()
        self._write_plugin()
        self.settings = provider.settings(
            "leaky",
            connection=str(self._connection()),
            wallet={"keystore": "planted.json", "passphrase": {"env": "PLANTED"}},
            plugins=[{"name": "leaky", "settings": provider.fake | {"password": self._password()}}],
            setup_wait=0,
        )
        self.config = provider.folder / "leaky.yaml"
        self.environment = os.environ | {
            "PYTHONPATH": f"{ROOT}{os.pathsep}{folder / 'plugins'}",
            "PYTHONFAULTHANDLER": "1",
            "PLANTED": PASSPHRASES["operator passphrase"],
            "OCX_PASSPHRASE": PASSPHRASES["buyer passphrase"],
            "OCX_CONNECTION": str(provider.folder / "connection.yaml"),
            "OCX_WALLET": str(folder / "buyer.json"),
            "OCX_STATE": str(folder / "buyer"),
        }

    def _plant_operator(self) -> None:
        key = os.urandom(32)
        made = wallets.import_key(
            self.provider.folder / "planted.json", key, PASSPHRASES["operator passphrase"], light=True
        )
        by = self.provider.exchange
        by.send(by.members.set_member(made.address, OPERATOR))
        self.secrets["operator key"] = forms(key)

    def _plant_buyer(self) -> None:
        key = keccak(text=f"wallet {the_number_of(self.buyer.address)}")
        phrase = PASSPHRASES["buyer passphrase"]
        wallets.import_key(self.folder / "buyer.json", key, phrase, light=True)
        self.buyer.key.save(self.folder / "buyer" / "encryption-key.json", phrase, light=True)
        self.secrets["buyer's key"] = forms(key)
        self.secrets["encryption key"] = forms(bytes(self.buyer.key._private))

    def _password(self) -> dict[str, list[str]]:
        file = self.folder / "cloud-password"
        file.touch(mode=0o600)
        file.write_text(PASSPHRASES["cloud password"])
        return {"command": ["cat", str(file)]}

    def _write_plugin(self) -> None:
        info = self.folder / "plugins" / "leaky-1.0.dist-info"
        info.mkdir(parents=True)
        (info / "METADATA").write_text("Metadata-Version: 2.1\nName: leaky\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text("[ocx.provisioners]\nleaky = leaky:Leaky\n")
        (self.folder / "plugins" / "leaky.py").write_text(PLUGIN)

    def _connection(self) -> Path:
        """The connection file, through a line that can be cut."""
        path = self.provider.folder / "cut.yaml"
        content = (self.provider.folder / "connection.yaml").read_text()
        path.write_text(re.sub(r"(127\.0\.0\.1|localhost):\d+", f"127.0.0.1:{self.proxy.port}", content))
        assert yaml.safe_load(path.read_text())
        return path

    @contextlib.contextmanager
    def agent(self) -> Iterator[subprocess.Popen[bytes]]:
        """The agent, at the level debug; what it wrote is told afterwards."""
        command = [sys.executable, "-m", "cli.main", "provider", "run", "--config", str(self.config)]
        log = self.folder / "agent.log"
        with log.open("wb") as out:
            agent = subprocess.Popen(
                [*command, "--log-level", "debug"],
                env=self.environment,
                cwd=ROOT,
                stdout=out,
                stderr=subprocess.STDOUT,
                preexec_fn=die_with_parent,
            )
            try:
                yield agent
            finally:
                if agent.poll() is None:
                    agent.send_signal(signal.SIGABRT)  # a crash, with a report of where it was
                agent.wait(20)
        self.told["agent's log"] = log.read_bytes()

    def runs(self, command: str, **environment: str) -> str:
        """A command of `ocx` as a process; what it printed is told."""
        done = subprocess.run(
            [sys.executable, "-m", "cli.main", *command.split()],
            env=self.environment | {"OCX_YES": "1"} | environment,
            cwd=ROOT,
            capture_output=True,
            timeout=60,
            check=False,
        )
        self.told[f"ocx {command} {' '.join(environment)}"] = done.stdout + done.stderr
        return (done.stdout + done.stderr).decode()

    def look_at_health(self) -> None:
        """Health as file and page, and the metrics."""
        health = health_file(self.settings)
        self.told[f"health {len(self.told)}"] = json.dumps(health).encode()
        for page in ("", "metrics"):
            with contextlib.suppress(OSError):
                url = f"http://127.0.0.1:{health['health_port']}/{page}"
                with urllib.request.urlopen(url, timeout=5) as answer:  # noqa: S310  loopback
                    self.told[f"health page {page} {len(self.told)}"] = answer.read()

    def ask_badly(self, url: str, client: GatewayClient, lease: int) -> None:
        """Requests no client of ours would make, with a good token in the wrong places."""
        client.setup(lease)
        token = str(client._token)
        self.secrets["gateway token"] = [token.encode(), token.rpartition(".")[2].encode()]
        host, port = url.removeprefix("https://").split(":")
        context = ssl._create_unverified_context()  # noqa: S323  its answers are searched, not believed
        bearer = {"Authorization": f"Bearer {token}"}
        body = json.dumps({"ssh_public_keys": [PASSPHRASES["buyer passphrase"]], "hostname": token})
        requests: list[tuple[str, str, str, dict[str, str]]] = [
            ("GET", f"/v1/leases/{token}/connection", "", bearer),
            ("GET", f"/v1/leases/999999/connection?token={token}", "", bearer),
            ("PUT", f"/v1/leases/{lease}/setup", body, bearer),
            ("PUT", f"/v1/leases/{lease}/setup", token, bearer),
            ("POST", "/v1/token", json.dumps({"signature": token}), {}),
            ("GET", f"/v1/leases/{lease}/connection", "", {"Authorization": f"Bearer {token}x"}),
        ]
        for number, (method, path, content, headers) in enumerate(requests):
            connection = http.client.HTTPSConnection(host, int(port), context=context, timeout=10)
            connection.request(method, path, content, headers)
            answer = connection.getresponse()
            assert answer.status >= 400
            self.told[f"gateway's answer {number}"] = answer.read() + str(answer.getheaders()).encode()
            connection.close()
        with socket.create_connection((host, int(port))) as plain:
            plain.sendall(f"GET /{token} HTTP/1.1\r\nAuthorization: Bearer {token}\r\n\r\n".encode())
            with contextlib.suppress(OSError):
                plain.recv(1000)

    def plant_what_was_made(self, lease: int, client: GatewayClient) -> None:
        """The secrets that were born on the way."""
        made = self.buyer.open(client, lease).ssh_private_key
        assert made is not None
        self.secrets["SSH key the provider made"] = pem_forms(made)
        # Its last line is of the public half, which stands in the certificate, too.
        self.secrets["gateway TLS key"] = pem_forms(self.settings.gateway_key.read_text())[:1]
        with contextlib.closing(sqlite3.connect(self.settings.database)) as db:
            salts = [row[0] for row in db.execute("SELECT salt FROM bid")]
            self.told["agent's journal"] = str(db.execute("SELECT * FROM journal").fetchall()).encode()
        assert salts
        self.secrets["tender salt"] = [look for salt in salts for look in forms(salt)]


def test_a_whole_lease_with_everything_going_wrong_tells_no_secret(
    world: World, buyer: Buyer, provider: Provider, tmp_path: Path
) -> None:
    stage = Stage(world, provider, buyer, tmp_path)
    network = buyer.exchange.connection
    with CommandLines() as lines:
        with stage.agent() as agent:
            health: dict[str, Any] = wait_for("the agent", lambda: health_file(stage.settings), 60)
            wait_for("a cycle", lambda: health_file(stage.settings).get("cycles"), 60)
            tender = buyer.post(provider.machines[0]["class"], 8, commit=12, reveal=300)
            lease = buyer.buy(provider, 45, places=(0,))
            wait_for("the sealed bid", lambda: has_bid(buyer, provider, tender), 40)
            stage.look_at_health()
            buyer.wait_state(lease, "delivered", limit=40)
            url = re.search(rb"https://[\d.]+:\d+", (tmp_path / "agent.log").read_bytes())
            assert url and buyer.exchange.wallet
            where = url.group().decode()
            pinned = provider.exchange.members.set_gateway(where, key_hash(stage))
            provider.exchange.send(pinned)
            client = GatewayClient(
                where, key_hash(stage), buyer.exchange.wallet, network.chain_id, network.directory
            )
            stage.ask_badly(where, client, lease)
            stage.proxy.cut()
            wait_for("the cut to be noticed", lambda: health_file(stage.settings).get("cycle_error"), 40)
            stage.look_at_health()
            stage.proxy.mend()
            stage.runs(f"lease connect {lease}")
            stage.runs(f"lease connect {lease} --json")
            stage.runs(f"lease connect {lease}", OCX_PASSPHRASE="wrong", OCX_DEBUG="1")
            stage.runs(f"lease show {lease} --why --json")
            stage.runs("wallet show --json")
            assert "[secret]" in stage.runs(f"provider check --config {stage.config}")
            stage.runs(f"provider status --config {stage.config} --json")
            stage.runs(f"provider run --config {stage.config}", OCX_DEBUG="1")  # a second one is refused
            stage.runs(f"provider run --config {stage.config}", OCX_DEBUG="1", PLANTED="wrong")
            stage.plant_what_was_made(lease, client)
            buyer.wait_state(lease, "completed", limit=60)  # silence has accepted it
            stage.look_at_health()
            assert health["pid"] == agent.pid
        assert len(lines.seen) > 10
    stage.told["command lines"] = b"\n".join(lines.seen)
    assert "Fatal Python error: Aborted" in stage.told["agent's log"].decode()
    assert b"[secret]" in stage.told["agent's log"]  # the plugin's errors were told, without what they held
    found = leaks(stage.secrets, stage.told)
    assert found == []
    assert at_rest(stage) == []


def has_bid(buyer: Buyer, provider: Provider, tender: int) -> bool:
    """Whether the provider's commitment is on the chain, so that its salt is a secret that matters."""
    return buyer.exchange.tender.bidder(tender, provider.org).status is BidStatus.COMMITTED


def key_hash(stage: Stage) -> bytes:
    """What to pin."""
    from chain.gateway import spki_hash

    return spki_hash(stage.settings.gateway_cert.read_bytes())


def at_rest(stage: Stage) -> list[str]:
    """What lies in the state folder and should not, or lies open."""
    wrong = []
    for file in sorted(path for path in stage.settings.state_dir.rglob("*") if path.is_file()):
        name = str(file.relative_to(stage.settings.state_dir))
        for found in leaks(stage.secrets, {name: file.read_bytes()}):
            secret = found.partition(" in ")[0]
            if not any(secret == kind and name.startswith(place) for kind, place in AT_REST):
                wrong.append(found)
        private = name.startswith("agent.db") or ".sqlite" in name or name.startswith("gateway.key")
        if private and file.stat().st_mode & 0o077:
            wrong.append(f"{name} is open to others")
    assert stage.settings.state_dir.stat().st_mode & 0o077 == 0
    return wrong
