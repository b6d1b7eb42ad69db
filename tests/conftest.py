"""What holds for every test: nothing outside this machine is reached, and tests share the two cores well."""

from __future__ import annotations

import contextvars
import ipaddress
import os
import signal
import sys
import tempfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

from chain.nodes.engine import find_engine
from market.errors import OcxError
from tests import validators

collect_ignore = ["brownie"]
"""Run by Brownie's own pytest (tools/brownie)."""

_ROOT = Path(__file__).resolve().parents[1]
_PURE = "tests/market/"
_CONFORMANCE = "tests/provisioner/conformance/"
_LONG = (
    "lab",
    "tests/provisioner/conformance/ansible",
    "tests/cli/demo/test_demo.py",
    "tests/provisioner/conformance/test_agent_kills.py",
    "tests/provisioner/chaos/test_agents.py",
    "tests/provisioner/conformance/aws",
    "tests/provisioner/plugins/test_ansible.py",
    "tests/chain/nodes/test_network.py",
    "tests/chain/nodes/admission/test_join.py",
    "tests/chain/nodes/consensus/test_votes.py",
    "tests/provisioner/chaos/test_chain.py",
    "tests/provisioner/chaos/test_cloud.py",
    "tests/provisioner/agent/test_committees.py",
    "tests/provisioner/test_no_secret_leaks.py",
    "tests/provisioner/test_rotate_operator.py",
    "tests/provisioner/conformance/test_soak.py",
    "tests/provisioner/agent/test_bidder.py",
    "tests/provisioner/chaos/test_clock.py",
    "tests/provisioner/chaos/test_disk.py",
    "tests/witness/test_node.py",
    "tests/witness/test_measure.py",
    "tests/agreement/test_leases.py",
    "tests/agreement/test_tenders.py",
    "tests/agreement/test_verdicts.py",
    "tests/provisioner/plugins/test_aws.py",
    "tests/provisioner/plugins/test_aws_trouble.py",
    "tests/cli/test_deploy.py",
    "tests/ansible/test_process.py",
    "tests/cli/test_rotate.py",
    "tests/cli/test_access.py",
    "tests/cli/test_new_plugin.py",
)
"""Groups of half a minute and more, the longest first; `--durations` at the end of a run tells them."""

_SPLIT = ("tests/provisioner/agent/test_loop.py", "tests/cli/test_market.py")
"""On validators, where waiting takes the time: files that two workers share."""

_pure_now: contextvars.ContextVar[bool] = contextvars.ContextVar("pure_now", default=False)

# The same examples each time; HYPOTHESIS_PROFILE=explore looks for new ones.
settings.register_profile("steady", deadline=None, derandomize=True, print_blob=True)
settings.register_profile("explore", deadline=None, max_examples=2000, print_blob=True)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "steady"))


def pytest_addoption(parser: pytest.Parser) -> None:
    """Which chain the suites are played on."""
    said = "the chain of tests that need no other: anvil, or four validators (see tests/engine.py)"
    parser.addoption("--engine", choices=("anvil", "clique"), default="anvil", help=said)


def pytest_configure(config: pytest.Config) -> None:
    """Find the chain engine, hear Ctrl-C and guard the sockets, in each worker process."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # as in a background job, whose children inherit it
        signal.signal(signal.SIGINT, signal.default_int_handler)
    os.environ["PATH"] = f"{_ROOT / 'node_modules' / '.bin'}{os.pathsep}{os.environ['PATH']}"
    sys.addaudithook(_refuse_foreign_connections)
    if config.getoption("--engine") == "clique" and not hasattr(config, "workerinput"):
        try:
            find_engine()
        except OcxError as error:
            pytest.exit(str(error), returncode=int("OCX_REQUIRE_ENGINE" in os.environ))
        validators.start(Path(tempfile.mkdtemp(prefix="ocx-validators-")))


def pytest_unconfigure() -> None:
    """The validators end with the run; before, whoever started them is asked nothing more."""
    if "PYTEST_XDIST_WORKER" not in os.environ:
        validators.stop()


def pytest_collection_finish() -> None:
    """As in production: tests that import `eth_account` themselves raise the limit (see `chain.imports`)."""
    sys.setrecursionlimit(1000)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """With several workers: what shares a lab or a file stays on one worker; what takes long starts first.

    Workers take groups in this order (`--no-loadscope-reorder`), so that none is left with a long one at
    the end while the others have nothing to do. First, as xdist reads the marks in the same hook.
    """
    for item in items:
        item.add_marker(pytest.mark.xdist_group(_group(item)))
        if validators.FOLDER in os.environ:
            _play_for_real(item)
    ranks = {name: rank for rank, name in enumerate(_LONG)}
    items.sort(key=lambda item: ranks.get(_group(item), len(ranks)))


def _play_for_real(item: pytest.Item) -> None:
    """On validators nothing warps time, and everything takes longer."""
    if (warps := item.get_closest_marker("warps")) is not None:
        item.add_marker(pytest.mark.skip(f"no real chain can {warps.args[0]}"))
    item.add_marker(pytest.mark.timeout(600), append=False)


def _group(item: pytest.Item) -> str:
    """Tests of one group run on one worker: those of one lab, else those of one file."""
    if item.get_closest_marker("lab") is not None:
        return "lab"
    file = item.nodeid.split("::")[0]
    call = getattr(item, "callspec", None)
    cloud = call.params.get("bench") if call is not None and file.startswith(_CONFORMANCE) else None
    if validators.FOLDER in os.environ and file in _SPLIT:
        return f"{file} {zlib.crc32(item.nodeid.encode()) % 2}"
    return f"{_CONFORMANCE}{cloud}" if cloud else file


def pytest_runtest_setup(item: pytest.Item) -> None:
    """What needs the engine skips where it is not built, or fails where OCX_REQUIRE_ENGINE is set."""
    if item.get_closest_marker("engine") is None:
        return
    try:
        find_engine()
    except OcxError as error:
        if os.environ.get("OCX_REQUIRE_ENGINE"):
            pytest.fail(f"OCX_REQUIRE_ENGINE is set, but {error}", pytrace=False)
        pytest.skip(str(error))


@pytest.fixture(autouse=True)
def _no_sockets_in_pure_tests(request: pytest.FixtureRequest) -> Iterator[None]:
    """The judgement (`market`) is pure: its tests may not connect anywhere at all."""
    token = _pure_now.set(request.node.nodeid.startswith(_PURE))
    yield
    _pure_now.reset(token)


def _refuse_foreign_connections(event: str, arguments: tuple[Any, ...]) -> None:
    if event != "socket.connect":
        return
    address = arguments[1]
    if _pure_now.get():
        raise RuntimeError(f"a pure test tried to connect to {address!r}")
    if isinstance(address, tuple) and isinstance(address[0], str) and not _is_loopback(address[0]):
        raise RuntimeError(f"a test tried to reach {address!r}; only this machine's loopback is allowed")


def _is_loopback(host: str) -> bool:
    if host in ("", "localhost"):
        return True
    try:
        return ipaddress.ip_address(host.partition("%")[0]).is_loopback
    except ValueError:
        return False
