"""The clouds the suite runs against, and the process its victims are forked from."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from cli.demo.lab import Lab
from cli.demo.lab.ec2 import Ec2Lab
from cli.demo.lab.host import HostLab
from tests.provisioner.conformance.benches import Bench, FakeBench
from tests.provisioner.conformance.network_benches import AnsibleBench, AwsBench, IronicBench
from tests.provisioner.conformance.warm import Warm

_PLUGINS = ["fake", "aws", "ansible", pytest.param("ironic", marks=pytest.mark.lab)]
"""Every plugin of the product. The rest of the suite knows no names."""


@pytest.fixture(scope="session")
def warm() -> Iterator[Warm]:
    """Forks children that have imported everything."""
    with Warm(
        "openstack.connection", "boto3", "provisioner.plugins.aws", "provisioner.plugins.ironic"
    ) as running:
        yield running


@pytest.fixture(scope="module")
def fake_bench(tmp_path_factory: pytest.TempPathFactory) -> FakeBench:
    """The fake cloud."""
    return FakeBench(tmp_path_factory.mktemp("fake"), machines=4)


@pytest.fixture(scope="session")
def ironic_bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[IronicBench]:
    """A real Ironic with machines of fake-hardware."""
    with Lab(tmp_path_factory.mktemp("ironic"), machines=0, fake_machines=4, first_clean=False) as lab:
        yield IronicBench(lab)


@pytest.fixture(scope="session")
def aws_bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AwsBench]:
    """An EC2 whose instances are guests."""
    with Ec2Lab(tmp_path_factory.mktemp("ec2"), units=4) as lab:
        yield AwsBench(lab)


@pytest.fixture(scope="session")
def ansible_bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AnsibleBench]:
    """Hosts over SSH; skipped where there cannot be any."""
    if (missing := HostLab.missing()) is not None:
        pytest.skip(f"the ansible plugin is not tried for real: {missing}")
    with HostLab(tmp_path_factory.mktemp("hosts"), hosts=3) as lab:
        yield AnsibleBench(lab, tmp_path_factory.mktemp("states"))


@pytest.fixture(scope="module", params=_PLUGINS)
def bench(request: pytest.FixtureRequest) -> Iterator[Bench]:
    """One plugin with its cloud; whatever a module leaves in it is released."""
    made: Bench = request.getfixturevalue(f"{request.param}_bench")
    yield made
    made.clean()
    assert made.all_keys() == set()
