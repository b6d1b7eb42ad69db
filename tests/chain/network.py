"""A real anvil on a free loopback port, and the little contract the tests of `chain` act on."""

from __future__ import annotations

import contextlib
import ctypes
import json
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from eth_utils.crypto import keccak

from chain.abi import Abi
from chain.connection import ConnectionFile
from chain.rpc import Rpc
from chain.sender import Sender
from chain.wallet import Wallet
from market.errors import Temporary

HERE = Path(__file__).parent
TILL = Abi.from_artifact(json.loads((HERE / "fixtures" / "Till.json").read_text()))
LIMIT = 1_000_000


def die_with_parent() -> None:
    """Ask the kernel to kill this process when the one that started it dies."""
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)


def free_port() -> int:
    """A loopback port nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wallet(number: int) -> Wallet:
    """A wallet of its own for each number; gas is free, so it needs no money."""
    return Wallet(keccak(text=f"wallet {number}"))


class Anvil:
    """One anvil process; `options` are its command line flags beside those every test needs."""

    block_time, confirmations, first_wallet = 0.0, 0, 0

    def __init__(self, *options: str, port: int | None = None, fee_market: bool = False) -> None:
        self._rules = ["--hardfork", "london" if fee_market else "berlin"]
        self._rules += [] if fee_market else ["--gas-price", "0"]
        self.port = port or free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._options = options
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it and wait until it answers."""
        command = ["anvil", *self._rules, "--silent", "--accounts", "2", "--port", str(self.port)]
        command += self._options
        self._process = subprocess.Popen(command, preexec_fn=die_with_parent)
        deadline = time.monotonic() + 20
        while True:
            with contextlib.suppress(Temporary):
                Rpc.for_deployment([self.url])
                return
            assert self._process.poll() is None, "anvil ended by itself"
            assert time.monotonic() < deadline, "anvil did not answer"
            time.sleep(0.02)

    @property
    def urls(self) -> list[str]:
        """Its one endpoint."""
        return [self.url]

    def stop(self) -> None:
        """Kill it."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def freeze(self) -> None:
        """Stop it without closing its connections; stopped for sure when this returns."""
        assert self._process
        self._process.send_signal(signal.SIGSTOP)
        threads = [task / "stat" for task in Path(f"/proc/{self._process.pid}/task").iterdir()]
        deadline = time.monotonic() + 10
        while any(") T " not in thread.read_text() for thread in threads):
            assert time.monotonic() < deadline, "the node does not stop"
            time.sleep(0.005)

    def thaw(self) -> None:
        """Let it go on."""
        assert self._process
        self._process.send_signal(signal.SIGCONT)

    def rpc(self) -> Rpc:
        """Its RPC without any check."""
        return Rpc.for_deployment([self.url], block_time=0)

    def ask(self, method: str, *params: Any) -> Any:
        """Any JSON-RPC method, anvil's own included."""
        return self.rpc().call(method, params)

    def fund(self, address: str, wei: int = 10**18) -> None:
        """Give an account money for gas."""
        self.ask("anvil_setBalance", address, hex(wei))

    def mine(self, blocks: int = 1) -> None:
        """Make blocks now."""
        self.ask("anvil_mine", hex(blocks))


class Relay:
    """Another loopback port to the same node, which can be closed (with all its connections) and opened."""

    def __init__(self, target: int) -> None:
        self._target = target
        self._port = free_port()
        self.url = f"http://127.0.0.1:{self._port}"
        self._listener: socket.socket | None = None
        self._open: list[socket.socket] = []

    def __enter__(self) -> Relay:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """Listen."""
        self._listener = socket.create_server(("127.0.0.1", self._port))
        threading.Thread(target=self._accept, args=(self._listener,), daemon=True).start()

    def stop(self) -> None:
        """Stop listening and cut every connection."""
        if self._listener is None:
            return
        for each in (self._listener, *self._open):
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()
        self._listener, self._open = None, []

    def _accept(self, listener: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while True:
                near, _ = listener.accept()
                far = socket.create_connection(("127.0.0.1", self._target))
                self._open += [near, far]
                for ends in ((near, far), (far, near)):
                    threading.Thread(target=self._pump, args=ends, daemon=True).start()

    def _pump(self, source: socket.socket, sink: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                sink.sendall(data)


@contextlib.contextmanager
def anvil(*options: str, port: int | None = None, fee_market: bool = False) -> Iterator[Anvil]:
    """A running anvil that is gone afterwards, come what may."""
    node = Anvil(*options, port=port, fee_market=fee_market)
    try:
        node.start()
        yield node
    finally:
        node.stop()


@dataclass(frozen=True)
class Network:
    """An anvil with a Till that stands in for Directory, and the connection file for it."""

    node: Anvil
    connection: ConnectionFile
    till: str

    def rpc(self, **options: Any) -> Rpc:
        """A fresh Rpc by the connection file."""
        return Rpc(self.connection, **options)

    def times(self, label: bytes) -> int:
        """How often `label` was added, asked of the chain."""
        data = self.node.rpc().eth_call(self.till, TILL.encode_call("times", [label]))
        return int(TILL.decode_result("times", data))

    def total(self) -> int:
        """The sum of all that was added."""
        data = self.node.rpc().eth_call(self.till, TILL.encode_call("total"))
        return int(TILL.decode_result("total", data))


def deploy(node: Anvil, folder: Path, block_time: float = 0, gas_price: int | None = 0) -> Network:
    """Deploy a Till with the product's own sender and write the connection file's content."""
    rpc = Rpc.for_deployment([node.url], block_time=block_time, gas_price=gas_price)
    node.fund(wallet(0).address)
    sender = Sender(rpc, wallet(0), folder / "deployer")
    receipt = sender.send(None, TILL.encode_deploy([LIMIT]))
    sender.close()
    assert receipt.contract_address
    code = rpc.get_code(receipt.contract_address)
    fields = rpc.connection.model_dump() | {
        "network": "test",
        "directory": receipt.contract_address,
        "directory_code_hash": "0x" + keccak(code).hex(),
        "rpc_urls": (node.url,),
    }
    return Network(node, ConnectionFile(**fields), receipt.contract_address)


def label(text: str) -> bytes:
    """A bytes32 out of a short text."""
    return text.encode().ljust(32, b"\0")


def add_call(amount: int, name: str) -> bytes:
    """Call data of `Till.add`."""
    return TILL.encode_call("add", [amount, label(name)])
