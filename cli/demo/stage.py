"""Where the demo plays: its processes, and how they end.

Every party is an operating-system process of its own, started by command. Whatever ends the demo, nothing it
started outlives it: children die with their parent, and leaving the stage ends the whole tree.
"""

from __future__ import annotations

import json
import os
import selectors
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from pathlib import Path
from queue import SimpleQueue
from types import FrameType, TracebackType
from typing import Any, Self

from market.errors import Permanent
from provisioner.keeper import become_reaper, die_with_parent, end_tree

__all__ = ["Party", "Stage", "Step", "poll", "together"]

_ANSWER_LIMIT = 180.0


@dataclass(frozen=True)
class Step:
    """One thing a party did: who, what, how long it took in seconds, and by which transactions."""

    party: str
    name: str
    seconds: float
    transactions: tuple[str, ...] = ()


@dataclass
class Stage:
    """A context manager that owns the demo's processes and hears of every step.

    Start processes from the thread that entered it: they die with it.
    """

    folder: Path
    say: Callable[[float, Step], None]
    steps: list[Step] = field(default_factory=list)
    _processes: dict[str, subprocess.Popen[Any]] = field(default_factory=dict)
    _begun: float = field(default_factory=time.monotonic)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _aborted: threading.Event = field(default_factory=threading.Event)
    _broken_off: bool = False

    def __enter__(self) -> Self:
        """Become the reaper of all that is started here."""
        become_reaper()
        (self.folder / "logs").mkdir(parents=True, exist_ok=True)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End every process below this one."""
        if not end_tree():
            print("ocx: some processes of the demo could not be ended", file=sys.stderr)
        if self._broken_off and error is not None and not isinstance(error, KeyboardInterrupt):
            raise KeyboardInterrupt from error

    def break_off(self, _number: int, _frame: FrameType | None) -> None:
        """What a signal that ends the demo does.

        Python drops an exception that is raised while it starts a process: then whoever waits next gives up,
        and leaving the stage raises it again.
        """
        self._broken_off = True
        self.abort()
        raise KeyboardInterrupt

    def start(
        self,
        name: str,
        command: Sequence[object],
        env: Mapping[str, str] | None = None,
        *,
        talk: bool = False,
    ) -> subprocess.Popen[str]:
        """Start a process; its output goes to `logs/NAME.log`, or with `talk` through pipes."""
        log = (self.folder / "logs" / f"{name}.log").open("wb")
        process = subprocess.Popen(
            [str(part) for part in command],
            stdin=subprocess.PIPE if talk else subprocess.DEVNULL,
            stdout=subprocess.PIPE if talk else log,
            stderr=log,
            env={**os.environ, **(env or {})},
            text=True,
            start_new_session=True,
            preexec_fn=die_with_parent(),
        )
        log.close()
        self._processes[name] = process
        return process

    def abort(self) -> None:
        """The play is over before its end: whoever waits for something gives up."""
        self._aborted.set()

    def check_alive(self) -> None:
        """Permanent if the play was broken off, or a process ended that should not have."""
        if self._aborted.is_set():
            raise Permanent("the demo was broken off")
        for name, process in list(self._processes.items()):  # others may be started meanwhile
            if process.poll() is not None:
                raise Permanent(
                    f"the demo's process '{name}' ended with code {process.returncode}",
                    hint=f"its log is {self.folder / 'logs' / (name + '.log')}",
                )

    def note(self, party: str, name: str, seconds: float, transactions: Sequence[str] = ()) -> None:
        """Record a step and show it."""
        step = Step(party, name, round(seconds, 3), tuple(transactions))
        with self._lock:
            self.steps.append(step)
            self.say(time.monotonic() - self._begun, step)

    def elapsed(self) -> float:
        """Seconds since the stage was made."""
        return time.monotonic() - self._begun


class Party:
    """A party of the exchange: a process that runs `ocx` with this party's keys and nobody else's.

    It may have several `clerks`, processes with the same keys, for what is asked of it at the same time.
    """

    def __init__(self, stage: Stage, name: str, clerks: int = 1) -> None:
        self.name, self._stage = name, stage
        self.folder = stage.folder / name
        self.folder.mkdir(mode=0o700, exist_ok=True)
        self.connection = self.folder / "connection.yaml"
        env = {
            "OCX_CONNECTION": str(self.connection),
            "OCX_WALLET": str(self.wallet("admin")),
            "OCX_PASSPHRASE_FILE": str(self.folder / "passphrase"),
            "OCX_STATE": str(self.folder / "state"),
            "OCX_FORMAT": "json",
            "OCX_YES": "1",
        }
        passphrase = self.folder / "passphrase"
        passphrase.touch(mode=0o600)
        passphrase.write_text(os.urandom(16).hex() + "\n")
        self._idle: SimpleQueue[subprocess.Popen[str]] = SimpleQueue()
        for number in range(1, clerks + 1):
            called = name if number == 1 else f"{name}-{number}"
            self._idle.put(stage.start(called, [sys.executable, "-m", "cli.main", "batch"], env, talk=True))

    def wallet(self, key: str) -> Path:
        """The keystore of one of the party's keys."""
        return self.folder / f"{key}.json"

    def ocx(self, command: str, *, step: str | None = None, key: str = "admin") -> Any:
        """Run `ocx COMMAND` in the party's process; its result. Permanent with its error if it fails.

        With `step` it is one of the report's steps.
        """
        began = time.monotonic()
        line = command if key == "admin" else f"{command} --wallet {self.wallet(key)}"
        answer = self._ask(line)
        if answer["exit_code"] != 0:
            raise Permanent(f"{self.name}: 'ocx {command}' failed: {answer['error']}")
        if step:
            result = answer["result"]
            listed = result.get("transactions", []) if isinstance(result, dict) else []
            hashes = [entry["tx_hash"] if isinstance(entry, dict) else entry for entry in listed]
            self._stage.note(self.name, step, time.monotonic() - began, hashes)
        return answer["result"]

    def _ask(self, line: str) -> dict[str, Any]:
        process = self._idle.get()
        stdin, stdout = process.stdin, process.stdout
        assert stdin is not None and stdout is not None  # noqa: S101  started with pipes
        try:
            stdin.write(line + "\n")
            stdin.flush()
            with selectors.DefaultSelector() as selector:
                selector.register(stdout, selectors.EVENT_READ)
                poll(
                    f"an answer to 'ocx {line}'", lambda: selector.select(0.1), self._stage, _ANSWER_LIMIT, 0
                )
            answer = stdout.readline()
        finally:
            self._idle.put(process)
        if not answer:
            raise Permanent(f"{self.name}'s process ended", hint=f"see {self._stage.folder / 'logs'}")
        parsed: dict[str, Any] = json.loads(answer)
        return parsed


def poll(what: str, ready: Callable[[], Any], stage: Stage, limit: float, pause: float = 0.1) -> Any:
    """Wait until `ready` gives something true, and return it; Permanent after `limit` seconds."""
    deadline = time.monotonic() + limit
    while not (found := ready()):
        stage.check_alive()
        if time.monotonic() > deadline:
            raise Permanent(f"waited {limit:.0f} s for {what} in vain", hint=f"see {stage.folder / 'logs'}")
        time.sleep(pause)
    return found


def together(pool: ThreadPoolExecutor, *acts: Callable[[], None]) -> None:
    """Do several things at the same time; the first error of any of them is raised as soon as it happens."""
    running = [pool.submit(act) for act in acts]
    done, _ = wait(running, return_when=FIRST_EXCEPTION)
    for one in done:
        one.result()
