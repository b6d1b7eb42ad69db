"""Three real nodes watch a real machine: from the draw to the witnesses' pay."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from chain.contracts.inquiries import Result
from chain.contracts.members import Role
from chain.generated import events as ledger
from chain.published import judges
from chain.recompute import recompute
from market.verdicts import Sla, Tier
from provisioner.plugins.fake import FakePlugin
from tests.engine import begun
from tests.provisioner.world import FAR, Buyer, Party, Provider, Running, World, wait_for
from tests.witness.node_world import EPOCH, PARAMS, Witnessing, epoch_now, wait_epoch, witness

SLA = Sla((Tier(990_000, 100_000), Tier(500_000, 500_000, 0)), guest=True)


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[tuple[World, Provider, Buyer, list[Witnessing], Party]]:
    """A provider with real guests, a buyer, and three witnesses that have joined and run."""
    with begun(FAR) as node:
        world = World(node, tmp_path / "world", PARAMS)
        found = [witness(world, number) for number in range(3)]
        auditor = world.admit("auditor", Role.AUDITOR)
        _, verdicts = judges(world.council)
        world.do(verdicts.register_sla(SLA))
        buyer, provider = world.buyer(), world.provider("bm.seen", sla=1)
        try:
            found[0].start(die_at="tick")
            for one in found[1:]:
                one.start()
            world.begin()
            for one in found:
                wait_for("the node to wait", lambda one=one: "waiting" in one.log())
            for one in found:
                one.join()
            yield world, provider, buyer, found, auditor
        finally:
            for one in found:
                one.kill()


@pytest.mark.timeout(240)
def test_an_outage_is_seen_claimed_and_paid_back_and_the_witnesses_are_paid(
    stage: tuple[World, Provider, Buyer, list[Witnessing], Party],
) -> None:
    world, provider, buyer, witnesses, auditor = stage
    contract, verdicts = judges(world.council)
    joined = max(contract.witness(one.org).joined for one in witnesses)
    settings = provider.settings(cloud={"guests": True})
    with Running(settings) as running:
        world.send(
            provider.exchange.members.set_gateway(running.server.url, running.server.key_hash),
            provider.exchange,
        )
        doomed = witnesses[0].process
        assert doomed
        assert wait_for("kill -9 between seal and tick", doomed.poll) == -signal.SIGKILL
        witnesses[0].start()
        wait_epoch(joined + 1)
        lease = buyer.buy(provider, 5 * EPOCH + 5)
        wait_for("the committee", lambda: contract.committee(lease, 0).seats, limit=20)
        wait_for("the proof", lambda: contract.guests_of(lease), limit=30)
        assert any(int(guest, 16) for guest in contract.guests_of(lease))
        record = buyer.exchange.leases.lease(lease)
        assert record.accepted == record.delivered
        epoch = epoch_now() + 2
        wait_epoch(epoch, 0.5)
        machine = provider.machines[0]["name"]
        plugin = FakePlugin.from_settings(provider.fake | {"guests": True})
        plugin.cut_power(machine)
        wait_epoch(epoch + 1)
        plugin.restore_power(machine)
        inquiries = world.council.inquiries
        assert inquiries
        wait_for("the chain's clock", lambda: world.council.now() >= (epoch + 1) * EPOCH)
        asked = inquiries.ask(lease, 0, (epoch - 1) * EPOCH, (epoch + 1) * EPOCH, 900_000)
        buyer.send(asked)
        no = wait_for(
            "the answer", lambda: events_of(world, inquiries.address, ledger.InquiryCommitted), limit=20
        )[0]
        assert no.result == Result.NO
        verdict = wait_for(
            "the verdict", lambda: events_of(world, verdicts.address, ledger.VerdictGiven), limit=60
        )[0]
        assert (verdict.lease, verdict.epoch, verdict.penalty_ppm) == (lease, epoch, 500_000)
        assert 6 <= verdict.counted <= 9 and verdict.judged == 10
        audits = world.council.audits
        assert audits
        for one in witnesses:
            for when, round_ in ((epoch, 5), (epoch - 1, 2)):
                world.send(audits.audit(one.org, when, lease, 0, round_), auditor.exchange)
        wait_for(
            "the answers", lambda: len(events_of(world, audits.address, ledger.AuditPassed)) == 6, limit=15
        )
        assert recompute(world.council, lease, 0, epoch).right
        paid = wait_for(
            "the pay",
            lambda: len(found := events_of(world, verdicts.address, ledger.WitnessPaid)) == 3 and found,
            limit=90,
        )
        assert {event.org for event in paid} == {one.org for one in witnesses}
        assert len({event.amount for event in paid}) == 1
    for one in witnesses:
        assert contract.witness(one.org).stake == 5_000_000


def events_of(world: World, address: str, kind: type) -> list:
    """All events of a kind."""
    rpc = world.council.rpc
    logs = rpc.get_logs([address], 0, rpc.head().number, [kind.TOPIC])
    return [ledger.decode(entry.topics, entry.data) for entry in logs]
