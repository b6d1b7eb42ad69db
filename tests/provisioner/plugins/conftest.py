"""The labs, each started once for all tests that need a real Ironic or an EC2."""

from __future__ import annotations

import itertools
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from cli.demo.lab import Lab
from cli.demo.lab.ec2 import Ec2Lab
from tests.provisioner.plugins.aws_bench import Bench
from tests.provisioner.plugins.ironic_fakes import Bare

_turns = itertools.count()


@pytest.fixture(scope="session")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """A real Ironic with three machines whose disks are new, and eight of fake-hardware."""
    directory: Path = tmp_path_factory.mktemp("lab")
    with Lab(directory, machines=3, fake_machines=8, first_clean=False, say=print) as running:
        yield running


@pytest.fixture(scope="session")
def ec2(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ec2Lab]:
    """An EC2 whose instances are guests."""
    with Ec2Lab(tmp_path_factory.mktemp("ec2"), units=40, say=print) as running:
        yield running


@pytest.fixture(scope="session")
def bench(ec2: Ec2Lab, tmp_path_factory: pytest.TempPathFactory) -> Bench:
    """The EC2 lab with a tenant."""
    path = tmp_path_factory.mktemp("tenant") / "id"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(path)], check=True)
    return Bench(ec2, path)


@pytest.fixture(autouse=True)
def calm(request: pytest.FixtureRequest) -> Iterator[None]:
    """Whatever trouble a test planted in EC2 ends with it."""
    yield
    if "bench" in request.fixturenames:
        lab = request.getfixturevalue("ec2")
        lab.inject()
        lab.options()


@pytest.fixture
def bare(lab: Lab) -> Iterator[Bare]:
    """A free node of fake-hardware, brought back afterwards."""
    fakes = lab.description["fake_machines"]
    node = Bare(lab, fakes[next(_turns) % len(fakes)]["node_uuid"])
    yield node
    node.tidy()
