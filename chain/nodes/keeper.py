"""Keeps the nodes of one folder running: `python -m chain.nodes.keeper FOLDER [--while-pid PID]`.

One process per network. It starts every node, has those seal whom the chain names (`consensus.sealing`),
ends ties (`consensus.untie`, `.scout`), keeps their allow-list once there is a connection file
(`admission.agent`), hears what to do over `keeper.sock`, and ends when told to, on SIGTERM or SIGINT, or
with process PID. No node and no namespace outlives it, whatever ends it: nodes get SIGKILL from the kernel
when it dies, namespaces are its open files.
It does not start again what ended: who counts on a node must see that it is gone (`ocx network status`), and
`ocx network up` starts it.
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import fcntl
import json
import logging
import os
import selectors
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence, Set
from pathlib import Path
from typing import Any

from chain.nodes import geth, layout
from chain.nodes.consensus.scout import Scout
from chain.nodes.consensus.sealing import Sealer
from chain.nodes.consensus.untie import Watch
from chain.nodes.description import Node, load
from chain.nodes.engine import find_engine
from chain.nodes.forward import Forward
from chain.nodes.line import listening
from chain.nodes.space import Spaces, enter
from market.errors import InvalidInput, OcxError

__all__ = ["Keeper", "main"]

log = logging.getLogger(__name__)

_PR_SET_PDEATHSIG = 1
_GRACE = 20.0
"""Seconds a node may take to end by itself."""
_LOOK = 1.0
"""Seconds between two looks at a node."""


class _Kept:
    """One node: its process, and what became of it."""

    def __init__(self, node: Node, folder: Path, space: int | None) -> None:
        self.node, self.folder, self.space = node, folder, space
        self.process: subprocess.Popen[bytes] | None = None
        self.told_to_end = False
        self.ready = threading.Event()
        self.hands = threading.Lock()
        """Held by whoever has the node do something, so that two do not at once."""
        self.note = ""

    @property
    def state(self) -> str:
        if self.process is None:
            return "stopped"
        code = self.process.poll()
        if code is None:
            return "running" if self.ready.is_set() else "starting"
        return "stopped" if self.told_to_end else f"ended by itself ({code})"

    def report(self) -> dict[str, Any]:
        alive = self.process is not None and self.process.poll() is None
        pid = self.process.pid if alive and self.process else None
        return {"state": self.state, "pid": pid, "note": self.note if alive else ""}

    def look_after(self, scout: Scout, here: Callable[[], Set[str]]) -> None:
        """In a thread of its own: make gas free once the node answers, have it seal by the chain, end ties.

        `here` names those the keeper holds.
        """
        process, ready = self.process, self.ready
        sealer = Sealer(self.folder, self.node.address)
        while process is not None and process.poll() is None:
            try:
                with self.hands, contextlib.suppress(OcxError):
                    if not ready.is_set():
                        geth.prepare(self.folder)
                        ready.set()
                    scout.take_back()
                    seen = sealer.look()
                    self.note = sealer.note
                    scout.look(seen, here())
            except Exception:
                log.exception("%s cannot be looked after", self.node.name)
            time.sleep(_LOOK if ready.is_set() else 0.1)


class Keeper:
    """Everything one keeper holds; used from its main thread alone."""

    def __init__(self, folder: Path, engine: Path) -> None:
        self._folder, self._engine = folder, engine
        description = load(layout.description_path(folder))
        nodes = [node for node in description.nodes if layout.node_folder(folder, node).is_dir()]
        self._spaces = _spaces(nodes)
        self._kept = {
            node.name: _Kept(node, layout.node_folder(folder, node), self._space(node)) for node in nodes
        }
        self._patience = 4.0 + 3 * description.block_time
        self._watch = Watch(self._patience, lambda name: self._kept[name].hands)
        self._closed = threading.Event()
        for work in (self._look, self._keep_list):
            threading.Thread(target=work, daemon=True, name=work.__name__).start()
        self._forwards = [
            Forward(k.node.rpc_port, k.space) for k in self._kept.values() if k.space is not None
        ]

    def _here(self) -> Set[str]:
        """Addresses, in small letters, of the nodes that run."""
        return {kept.node.address.lower() for kept in self._kept.values() if kept.state == "running"}

    def _look(self) -> None:
        """Every second, in a thread of its own, until closed."""
        while not self._closed.wait(_LOOK):
            self._watch.look({name: kept.folder for name, kept in self._kept.items() if kept.ready.is_set()})

    def _keep_list(self) -> None:
        """In a thread of its own: the allow-list's agent, once there is a connection file."""
        connection = self._folder / "connection.yaml"
        while not connection.exists():
            if self._closed.wait(_LOOK):
                return
        from chain.nodes.admission.agent import follow  # it knows contracts, which most keepers never need

        follow(self._folder, connection, self._closed)

    def _space(self, node: Node) -> int | None:
        return None if self._spaces is None else self._spaces.of(node.name)

    def answer(self, message: dict[str, Any]) -> dict[str, Any]:
        """Do what a message asks and say how all nodes are; what is wrong with it stands under `error`."""
        actions: dict[str, Callable[[Sequence[_Kept]], None]] = {
            "status": lambda kept: None,
            "start": self._start,
            "stop": lambda kept: self._end(kept, signal.SIGTERM),
            "kill": lambda kept: self._end(kept, signal.SIGKILL),
        }
        try:
            named = message.get("nodes")
            actions[message["do"]]([self._kept[name] for name in (self._kept if named is None else named)])
        except KeyError as error:
            return {"error": f"the keeper knows no {error}"}
        except OcxError as error:
            return {"error": error.message}
        return {"nodes": {name: kept.report() for name, kept in self._kept.items()}}

    def _start(self, some: Sequence[_Kept]) -> None:
        idle = [kept for kept in some if kept.process is None or kept.process.poll() is not None]
        fresh = [kept for kept in idle if not geth.is_initialised(kept.folder)]
        for kept, first in [(kept, self._spawn(kept, geth.init_command(self._engine))) for kept in fresh]:
            if first.wait() != 0:
                raise InvalidInput(
                    f"block 0 of node {kept.node.name} could not be written: {kept.folder}/geth.log"
                )
        for kept in idle:
            kept.told_to_end, kept.ready, kept.note = False, threading.Event(), ""
            kept.process = self._spawn(kept, geth.run_command(self._engine, kept.node.address))
            with_ = (Scout(self._folder, kept.node, self._patience), self._here)
            threading.Thread(target=kept.look_after, args=with_, daemon=True, name=kept.node.name).start()

    def _spawn(self, kept: _Kept, command: Sequence[str]) -> subprocess.Popen[bytes]:
        with (kept.folder / "geth.log").open("ab") as log:
            return subprocess.Popen(
                command,
                cwd=kept.folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                preexec_fn=_bound_to_us(kept.space),
            )

    def _end(self, some: Sequence[_Kept], how: signal.Signals) -> None:
        alive = [(kept, kept.process) for kept in some if kept.process and kept.process.poll() is None]
        for kept, process in alive:
            kept.told_to_end = True
            process.send_signal(how)
        deadline = time.monotonic() + _GRACE
        for _, process in alive:
            try:
                process.wait(max(0.0, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def close(self) -> None:
        """End every node and let go of ports and namespaces."""
        self._closed.set()
        self._end(list(self._kept.values()), signal.SIGTERM)
        for forward in self._forwards:
            forward.close()
        if self._spaces is not None:
            self._spaces.close()


def _spaces(nodes: Sequence[Node]) -> Spaces | None:
    if not layout.has_spaces(nodes):
        return None
    return Spaces([node.name for node in nodes], [node.host for node in nodes])


def _bound_to_us(space: int | None) -> Callable[[], None]:
    """A `preexec_fn`: the child goes into its namespace and dies with this process's main thread."""
    keeper = os.getpid()

    def prepare() -> None:
        if space is not None:
            enter(space)
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, ctypes.c_ulong(signal.SIGKILL), 0, 0, 0)
        if os.getppid() != keeper:
            os._exit(1)

    return prepare


class _Ears:
    """What the main thread listens to: the socket, signals, and the process it lives with."""

    def __init__(self, folder: Path, while_pid: int | None) -> None:
        self._selector = selectors.DefaultSelector()
        self._server = listening(layout.keeper_socket(folder))
        self._woken, waker = socket.socketpair()
        self._waker = waker
        waker.setblocking(False)
        signal.set_wakeup_fd(waker.fileno())
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, lambda *_: None)
        self._selector.register(self._server, selectors.EVENT_READ)
        self._selector.register(self._woken, selectors.EVENT_READ)
        if while_pid is not None:
            self._selector.register(os.pidfd_open(while_pid), selectors.EVENT_READ)

    def hear(self, keeper: Keeper) -> bool:
        """Wait for one thing and see to it; False when it is time to end."""
        heard = [key.fileobj for key, _ in self._selector.select()]
        if any(each is not self._server for each in heard):
            return False
        line, _ = self._server.accept()
        with line, contextlib.suppress(OSError, ValueError, TypeError):
            line.settimeout(5)
            message = dict(json.loads(line.makefile("rb").readline()))
            if message.get("do") == "end":
                keeper.close()
                line.sendall(b"{}\n")
                return False
            line.sendall(json.dumps(keeper.answer(message)).encode() + b"\n")
        return True


def main(argv: Sequence[str] | None = None) -> int:
    """The command line described at the top of this module."""
    parser = argparse.ArgumentParser(prog="python -m chain.nodes.keeper", description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--while-pid", type=int, help="live no longer than this process")
    args = parser.parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    folder = args.folder.absolute()
    lock = os.open(folder / "keeper.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)  # until this process is gone: it is never closed
        return _keep(folder, args.while_pid)
    except BlockingIOError:
        print("keeper: another one keeps this folder", file=sys.stderr)
        return 3
    except (OcxError, OSError) as error:
        print(f"keeper: {error}", file=sys.stderr)
        return 1


def _keep(folder: Path, while_pid: int | None) -> int:
    keeper = Keeper(folder, find_engine())
    try:
        ears = _Ears(folder, while_pid)
        if "error" in (done := keeper.answer({"do": "start"})):
            raise InvalidInput(done["error"])
        while ears.hear(keeper):
            pass
    finally:
        layout.keeper_socket(folder).unlink(missing_ok=True)
        keeper.close()
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
