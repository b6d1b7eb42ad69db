"""Two agents of one provider at one Ironic: whose request is late does no harm to the next lease."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from market.errors import Permanent, Temporary
from provisioner.plugin import Conflict, State
from provisioner.plugins.ironic import IronicPlugin
from provisioner.plugins.ironic import nodes as marks
from provisioner.plugins.ironic.api import Busy
from tests.provisioner.plugins.ironic_fakes import Bare, until

pytestmark = [pytest.mark.lab, pytest.mark.timeout(120)]


Change = dict[str, Any]


class Late:
    """Holds an agent's PATCHes that are meant, just before they are sent, until they are let go."""

    def __init__(self, plugin: IronicPlugin, is_meant: Callable[[Change], bool]) -> None:
        self.arrived, self.go, self.refused = threading.Event(), threading.Event(), 0
        self._meant, self._patch = is_meant, plugin._api.patch
        plugin._api.patch = self  # type: ignore[method-assign]

    def __call__(
        self, uuid: str, changes: Change, removals: list[str] | None = None, guard: Any = None
    ) -> None:
        """In place of `IronicApi.patch`."""
        if self._meant(changes):
            self.arrived.set()
            assert self.go.wait(60)
        try:
            self._patch(uuid, changes, removals, guard)
        except Busy:
            self.refused += 1
            raise


def is_leaving(changes: Change) -> bool:
    """The PATCH that begins a release."""
    return "extra/ocx_leaving" in changes


def is_claim(changes: Change) -> bool:
    """The PATCH that takes a clean node to free it."""
    return "ocx_freeing" in changes.get("instance_info", {})


def is_last(changes: Change) -> bool:
    """The PATCH that takes the marks off."""
    return "extra/ocx_wiped" in changes


def test_two_agents_release_one_key_and_tell_the_same(bare: Bare) -> None:
    wanted = bare.order()
    bare.plugin().provision(wanted)
    with ThreadPoolExecutor(4) as pool:
        told = list(pool.map(lambda plugin: plugin.release(wanted.key), [bare.plugin() for _ in range(4)]))
    assert all(one == told[0] for one in told) and told[0].facts["cleaned"] is True
    assert len(bare.node()["extra"]["ocx_wiped"]) >= 1


@pytest.mark.parametrize("held", [is_leaving, is_claim, is_last])
def test_a_release_that_is_late_leaves_the_next_lease_alone(
    bare: Bare, held: Callable[[Change], bool]
) -> None:
    slow, quick = bare.plugin(claim_timeout=0.2), bare.plugin(claim_timeout=0.2)
    first, second = bare.order(), bare.order()
    quick.provision(first)
    late = Late(slow, held)
    with ThreadPoolExecutor(1) as pool:
        slow_release = pool.submit(slow.release, first.key)
        assert late.arrived.wait(60)
        evidence = quick.release(first.key)
        connection = quick.provision(second)
        before = bare.node()
        late.go.set()
        assert slow_release.result(60) == evidence
    assert late.refused >= 1, "the late request was let in"
    after = bare.node()
    assert after["extra"] == before["extra"] and after["instance_uuid"] == before["instance_uuid"]
    assert quick.provision(second) == connection


def test_a_release_that_is_late_gives_back_what_it_took_from_a_wiped_node(bare: Bare) -> None:
    """Its claim falls between the wipe of the next lease and that one's own claim."""
    slow, quick = bare.plugin(claim_timeout=0.2), bare.plugin(claim_timeout=30)
    first, second = bare.order(), bare.order()
    quick.provision(first)
    late, mine = Late(slow, is_claim), Late(quick, lambda c: is_claim(c) and second_began.is_set())
    second_began = threading.Event()
    with ThreadPoolExecutor(2) as pool:
        slow_release = pool.submit(slow.release, first.key)
        assert late.arrived.wait(60)
        evidence = quick.release(first.key)
        quick.provision(second)
        second_began.set()
        second_release = pool.submit(quick.release, second.key)
        assert mine.arrived.wait(60)
        late.go.set()
        assert slow_release.result(60) == evidence
        mine.go.set()
        assert second_release.result(60).key == second.key
    assert bare.node()["instance_uuid"] is None


def test_an_old_extra_that_comes_back_takes_no_key_off_a_lease(bare: Bare) -> None:
    """Ironic writes `extra` as a whole: a request it kept waiting may undo what came after it was made."""
    plugin, first, second = bare.plugin(), bare.order(), bare.order()
    plugin.provision(first)
    old = bare.node()["extra"]
    plugin.release(first.key)
    node = plugin._api.node(bare.uuid)
    assert node is not None
    plugin._builder.reserve(node, second)
    bare.set("extra", old)
    assert plugin.status(second.key).state is State.BUILDING and set(plugin.list_owned()) >= {second.key}
    assert plugin.status(first.key).state is State.ABSENT
    connection = plugin.provision(second)
    bare.set("extra", old)
    assert bare.plugin().provision(second) == connection
    bare.set("extra", old)
    assert plugin.release(second.key).facts["cleaned"] is True
    assert plugin.status(second.key).state is State.ABSENT


def test_an_old_extra_that_comes_back_on_a_free_node_is_taken_off_again(bare: Bare) -> None:
    plugin, wanted = bare.plugin(), bare.order()
    plugin.provision(wanted)
    old = bare.node()["extra"]
    evidence = plugin.release(wanted.key)
    bare.set("extra", old)
    assert plugin.status(wanted.key).state is State.RELEASING
    assert plugin.release(wanted.key).wiped_at == evidence.wiped_at
    assert plugin.status(wanted.key).state is State.ABSENT


def test_what_an_agent_left_half_freed_is_taken_over(bare: Bare) -> None:
    slow, quick = bare.plugin(), bare.plugin(claim_timeout=0.5)
    wanted = bare.order()
    slow.provision(wanted)
    late = Late(slow, is_last)
    with ThreadPoolExecutor(1) as pool:
        dead = pool.submit(slow.release, wanted.key)
        assert late.arrived.wait(60)
        assert quick.status(wanted.key).state is State.RELEASING
        with pytest.raises(Temporary, match="being wiped for another lease"):
            quick.provision(bare.order())
        evidence = quick.release(wanted.key)
        late.go.set()
        assert dead.result(60) == evidence


def test_a_takedown_that_is_late_finds_the_next_lease_protected(bare: Bare) -> None:
    slow, quick = bare.plugin(), bare.plugin()
    first, second = bare.order(), bare.order()
    quick.provision(first)
    arrived, go, verb = threading.Event(), threading.Event(), slow._api.set_provision_state

    def held(uuid: str, target: str, **more: Any) -> None:
        arrived.set()
        assert go.wait(60)
        verb(uuid, target, **more)

    slow._api.set_provision_state = held  # type: ignore[method-assign]
    with ThreadPoolExecutor(1) as pool:
        slow_release = pool.submit(slow.release, first.key)
        assert arrived.wait(60)
        quick.release(first.key)
        connection = quick.provision(second)
        go.set()
        with pytest.raises(Permanent, match="protected"):
            slow_release.result(60)
    assert quick.status(second.key).state is State.READY and quick.provision(second) == connection
    assert slow.release(first.key).facts["cleaned"] is True, "and asked again it tells the truth"


def test_an_agent_that_stood_still_looks_again_before_it_acts(bare: Bare) -> None:
    ticks = [0.0]
    plugin = IronicPlugin(bare.plugin()._settings, monotonic=lambda: ticks[0], wait=lambda _: None)
    wanted, real = bare.order(), plugin._api.node
    plugin.provision(wanted)
    stops = iter([10.0])

    def stopped(uuid: str) -> dict[str, Any] | None:
        node = real(uuid)
        ticks[0] += next(stops, 0.0)
        return node

    seen: list[str] = []
    plugin._api.node = stopped  # type: ignore[method-assign]
    note = plugin._releaser._note_leaving
    plugin._releaser._note_leaving = lambda n, k: (seen.append("noted"), note(n, k))[1]  # type: ignore
    assert plugin.release(wanted.key).facts["cleaned"] is True
    assert seen == ["noted"] and ticks[0] == 10.0


def test_two_agents_want_one_node_for_two_leases_and_one_gets_it(bare: Bare) -> None:
    orders = [bare.order(), bare.order()]
    with ThreadPoolExecutor(2) as pool:
        builds = [pool.submit(bare.plugin().provision, wanted) for wanted in orders]
        errors = [build.exception(60) for build in builds]
    assert sorted(error is None for error in errors) == [False, True]
    [error] = [error for error in errors if error is not None]
    assert isinstance(error, Conflict)
    assert len([key for wanted in orders for key in bare.lab.servers(wanted.key)]) == 1


def test_two_agents_build_one_lease_once(bare: Bare) -> None:
    wanted = bare.order()
    with ThreadPoolExecutor(3) as pool:
        told = list(pool.map(lambda plugin: plugin.provision(wanted), [bare.plugin() for _ in range(3)]))
    assert told[0] == told[1] == told[2] and bare.lab.servers(wanted.key) == [bare.uuid]
    history = bare.client.call("GET", f"/v1/nodes/{bare.uuid}/history?detail=true")["history"]
    since = marks.release_began(bare.node())["since"]
    starts = [e for e in history if e["event_type"] == "deployment_start" and e["created_at"] > since]
    assert len(starts) == 1


def test_a_reservation_that_lost_its_instance_is_mended(bare: Bare) -> None:
    plugin, wanted = bare.plugin(), bare.order()
    node = plugin._api.node(bare.uuid)
    assert node is not None
    plugin._builder.reserve(node, wanted)
    bare.set("instance_uuid", None)
    assert plugin.status(wanted.key).state is State.BUILDING
    plugin.provision(wanted)
    assert bare.node()["instance_uuid"] == marks.instance_of(wanted.key)


def test_a_reservation_that_lost_its_instance_can_be_given_back(bare: Bare) -> None:
    plugin, wanted = bare.plugin(), bare.order()
    node = plugin._api.node(bare.uuid)
    assert node is not None
    plugin._builder.reserve(node, wanted)
    bare.set("instance_uuid", None)
    assert plugin.release(wanted.key).facts["deployed"] is False
    until(lambda: "ocx_key" not in bare.node()["extra"])
