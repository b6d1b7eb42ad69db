"""Run a command so that its whole process tree ends, whatever ends the process it belongs to.

`python -m provisioner.keeper --while-pid PID -- COMMAND...` becomes the reaper of everything COMMAND
starts, daemons and their sessions included. When COMMAND exits, when process PID is gone (killed with
SIGKILL, too), or on SIGTERM or SIGINT, it kills all of it and exits: with COMMAND's own code, or 143. With
`--spare`, what is left when COMMAND exits by itself stays: daemons that were to be started.

Linux only. This module must not know what it keeps, and must import nothing outside the standard library.
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import FrameType

__all__ = ["become_reaper", "die_with_parent", "end_tree", "keep", "main", "tree_below"]

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
_REAP_EVERY_MS = 2000
STOPPED = 128 + signal.SIGTERM
"""Exit code when the keeper was told to stop."""


def _prctl(option: int, value: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(option, ctypes.c_ulong(value), 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl failed")


def become_reaper() -> None:
    """Make every orphan below this process its child, so that `tree_below` keeps seeing it."""
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)


def die_with_parent(kill_signal: signal.Signals = signal.SIGKILL) -> Callable[[], None]:
    """A `preexec_fn`: the child gets `kill_signal` when the thread that starts it ends.

    Use it only from a thread that lives as long as the child should.
    """
    parent = os.getpid()

    def prepare() -> None:
        _prctl(_PR_SET_PDEATHSIG, kill_signal)
        if os.getppid() != parent:
            os._exit(1)

    return prepare


def _parents() -> dict[int, int]:
    """Parent of every live process. Zombies are left out: nothing is left of them to end."""
    result = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError, IndexError):
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
                if fields[0] not in "ZX":
                    result[int(entry.name)] = int(fields[1])
    return result


def tree_below(pid: int) -> set[int]:
    """Process ids of all live descendants of `pid`, itself not included."""
    parents, found, level = _parents(), set[int](), {pid}
    while level:
        level = {child for child, parent in parents.items() if parent in level} - found
        found |= level
    return found


def end_tree(timeout: float = 10.0) -> bool:
    """SIGKILL every descendant of this process; True when none is left within `timeout` seconds.

    Call `become_reaper` first, or orphans escape. Reaps this process's children, zombies included.
    """
    deadline = time.monotonic() + timeout
    while True:
        for pid in tree_below(os.getpid()):
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        try:
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        except ChildProcessError:
            return True
        if time.monotonic() > deadline:
            return False
        time.sleep(0.005)


def _reap_strangers(own: Sequence[int]) -> None:
    """Reap dead orphans that became our children; the `own` processes are left to whoever started them."""
    with contextlib.suppress(ChildProcessError):
        while dead := os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT):
            if dead.si_pid in own:
                return
            os.waitpid(dead.si_pid, 0)


class _Stop(Exception):
    """Raised in the main thread by SIGTERM and SIGINT."""


def _raise_stop(_signum: int, _frame: FrameType | None) -> None:
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    raise _Stop


def _wait_for_any(own: Sequence[int], while_pid: int | None) -> None:
    """Return once one of the processes has ended (a zombie has); reap orphans meanwhile."""
    poller, fds = select.poll(), list[int]()
    try:
        for pid in [*own, *([while_pid] if while_pid else [])]:
            try:
                fds.append(os.pidfd_open(pid))
            except ProcessLookupError:
                return
            poller.register(fds[-1], select.POLLIN)
        while not poller.poll(_REAP_EVERY_MS):
            _reap_strangers(own)
    finally:
        for fd in fds:
            os.close(fd)


def keep(
    start: Callable[[], Sequence[subprocess.Popen[bytes]]], while_pid: int | None, *, spare: bool = False
) -> int:
    """Call `start`, keep its processes until one of them or `while_pid` ends, then end the whole tree.

    With `spare` the tree is left alone if it was one of them. Blocking, main thread only. Returns the exit
    code of the first process that ended, or `STOPPED`.
    """
    become_reaper()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, _raise_stop)
    code, ended = STOPPED, False
    try:
        processes = start()
        _wait_for_any([p.pid for p in processes], while_pid)
        code = next((c for p in processes if (c := p.poll()) is not None), STOPPED)
        ended = any(p.returncode is not None for p in processes)
    except _Stop:
        code = STOPPED
    finally:
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        if not (spare and ended) and not end_tree():
            print("keeper: some processes could not be ended", file=sys.stderr)
    return code if code >= 0 else 128 - code


def main(argv: Sequence[str] | None = None) -> int:
    """The command line described at the top of this module."""
    parser = argparse.ArgumentParser(prog="python -m provisioner.keeper", description=__doc__)
    parser.add_argument("--while-pid", type=int, help="live no longer than this process")
    parser.add_argument(
        "--spare", action="store_true", help="leave what is left when the command ends itself"
    )
    parser.add_argument("command", nargs="+", help="the command, after --")
    args = parser.parse_args(argv)
    return keep(
        lambda: [subprocess.Popen(args.command, preexec_fn=die_with_parent())],
        args.while_pid,
        spare=args.spare,
    )


if __name__ == "__main__":
    raise SystemExit(main())
