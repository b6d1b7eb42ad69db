"""A well-formed list that leaves things out: the agent does not take it for a proof that nothing is left."""

from __future__ import annotations

import pytest

from market.errors import Temporary
from provisioner.agent.hands import release
from provisioner.plugin import WipeEvidence
from provisioner.plugins.fake import FakePlugin
from tests.provisioner.conformance.benches import FakeBench


class Forgetful(FakePlugin):
    """Believes, at its first release, a cloud that left the machine out of its list."""

    believed = 0

    def release(self, key: str) -> WipeEvidence:
        """Absent the first time, the truth afterwards."""
        self.believed += 1
        return super().release("nothing carries this" if self.believed == 1 else key)


def test_an_absence_that_the_next_reading_contradicts_is_no_evidence(fake_bench: FakeBench) -> None:
    plugin, order = Forgetful.from_settings(fake_bench.settings()), fake_bench.order()
    plugin.provision(order)
    with pytest.raises(Temporary, match="and then that something does"):
        release(plugin, order.key)
    assert fake_bench.servers(order.key) == 1
    assert not release(plugin, order.key).facts.get("absent")
    assert fake_bench.servers(order.key) == 0


def test_an_absence_that_the_next_reading_confirms_is_evidence(fake_bench: FakeBench) -> None:
    assert release(fake_bench.plugin(), fake_bench.key()).facts["absent"] is True
