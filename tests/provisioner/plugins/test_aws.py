"""The aws plugin against a real moto server with real SSH guests: leases, hardware, power, and release."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from chain.lease_endpoints import host_port
from market.errors import Permanent, Temporary
from market.specs import Spec, canonical_document
from provisioner.capabilities import PowerAction
from provisioner.plugin import Conflict, Connection, Order, State, load
from tests.provisioner.plugins.aws_bench import Bench, until
from tests.provisioner.responding import answers


@pytest.fixture(scope="module")
def leased(bench: Bench) -> tuple[Order, Connection]:
    """A machine that was provisioned and that the tests only look at."""
    wanted = bench.order("looked-at")
    return wanted, bench.usual.provision(wanted)


def test_units_are_measured_and_carry_the_price_of_the_configuration(bench: Bench) -> None:
    plugin = load("aws", bench.lab.settings())
    units = plugin.inspect()
    first, large = units[0], units[40]
    assert (first.local_id, large.local_id) == ("vm.small/0", "vm.large/0")
    assert (first.rate_per_hour, large.rate_per_hour) == (20_000, 96_000)
    assert first.spec == Spec(cores=2, memory_mib=2048, disk_gib=20, gpus=0, network_mbps=128)
    assert large.spec.disk_gib == 50
    assert first.hardware_id == "lab/123456789012/eu-central-1/vm.small/0"
    assert len({unit.hardware_id for unit in units}) == 80
    again = bench.plugin(
        products=[dict(p, rate_per_hour=1) for p in bench.lab.settings()["products"]]
    ).inspect()
    assert canonical_document(again[0].document) == canonical_document(first.document)


def test_the_tenant_logs_in_at_the_address_with_the_host_key_of_the_console(
    bench: Bench, leased: tuple[Order, Connection]
) -> None:
    wanted, connection = leased
    done = bench.login(connection, "hostname")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.strip() == (wanted.hostname if os.geteuid() == 0 else done.stdout.strip())
    log = bench.usual.open_console(wanted.key)
    assert log.kind == "log" and connection.host_key in (log.text or "")


def test_a_second_provision_and_the_status_tell_the_same_connection(
    bench: Bench, leased: tuple[Order, Connection]
) -> None:
    wanted, connection = leased
    plugin = bench.plugin()
    assert plugin.provision(wanted) == connection
    status = plugin.status(wanted.key)
    assert (status.state, status.connection, status.local_id) == (State.READY, connection, wanted.local_id)
    assert plugin.list_owned()[wanted.key] == status
    assert bench.lab.servers(wanted.key) == 1


def test_another_hostname_another_key_and_another_unit_are_refused(
    bench: Bench, leased: tuple[Order, Connection]
) -> None:
    wanted, _ = leased
    plugin = bench.plugin()
    for changed in (
        bench.order("x", key=wanted.key, local_id=wanted.local_id),
        bench.order("x", key=wanted.key, hostname=wanted.hostname),
    ):
        with pytest.raises(Permanent, match="first used with|holds"):
            plugin.provision(changed)
    with pytest.raises(Conflict, match="carries another key"):
        plugin.provision(bench.order("thief", local_id=wanted.local_id))
    with pytest.raises(Permanent, match="no capacity"):
        plugin.provision(bench.order("nowhere", local_id="vm.small/4000"))
    assert bench.lab.servers(wanted.key) == 1


def test_what_was_made_is_closed_tagged_and_encrypted(bench: Bench, leased: tuple[Order, Connection]) -> None:
    wanted, connection = leased
    ec2 = bench.client()
    mine = [{"Name": "tag:ocx:key", "Values": [wanted.key]}]
    [group] = ec2.describe_security_groups(Filters=mine)["SecurityGroups"]
    [rule] = group["IpPermissions"]
    assert (rule["FromPort"], rule["ToPort"]) == (connection.port, connection.port)
    assert [r["CidrIp"] for r in rule["IpRanges"]] == ["127.0.0.0/8"]
    [volume] = ec2.describe_volumes(Filters=mine)["Volumes"]
    assert (volume["Size"], volume["VolumeType"], volume["Encrypted"]) == (20, "gp3", True)
    [pair] = ec2.describe_key_pairs(Filters=mine)["KeyPairs"]
    [instance] = ec2.describe_instances(Filters=mine)["Reservations"][0]["Instances"]
    assert instance["KeyName"] == pair["KeyName"]
    assert [m["Ebs"]["DeleteOnTermination"] for m in instance["BlockDeviceMappings"]] == [True]
    assert instance["MetadataOptions"]["HttpTokens"] == "required"
    assert {"Key": "ocx:unit", "Value": wanted.local_id} in instance["Tags"]


def test_two_threads_and_two_processes_at_once_make_one_server(bench: Bench) -> None:
    wanted = bench.order("race")
    processes = [bench.process("provision", wanted) for _ in range(2)]
    plugin = bench.plugin()
    with ThreadPoolExecutor(3) as pool:
        told = list(pool.map(lambda p: p.provision(wanted), [plugin, plugin, bench.plugin()]))
    printed = [process.communicate(timeout=60)[0].strip() for process in processes]
    assert set(map(str, told)) == set(printed) == {str(told[0])}
    assert bench.lab.servers(wanted.key) == 1


def test_power_off_keeps_the_lease_and_power_on_tells_the_new_address(bench: Bench) -> None:
    wanted, plugin = bench.order("power"), bench.usual
    before = plugin.provision(wanted)
    plugin.set_power(wanted.key, PowerAction.OFF)
    plugin.set_power(wanted.key, PowerAction.OFF)
    assert not plugin.is_on(wanted.key)
    status = bench.plugin().status(wanted.key)
    assert (status.state, status.connection) == (State.READY, before)
    assert bench.login(before, "true").returncode != 0
    plugin.set_power(wanted.key, PowerAction.ON)
    assert plugin.is_on(wanted.key)
    after = plugin.provision(wanted)
    assert after.host != before.host and after.host_key == before.host_key
    assert plugin.status(wanted.key).connection == after
    assert bench.login(after, "true").returncode == 0
    plugin.set_power(wanted.key, PowerAction.REBOOT)
    [instance] = bench.instances(wanted.key)
    assert instance["boots"] == 1
    until(lambda: bench.login(after, "true").returncode == 0)


def test_power_and_console_of_a_key_nobody_has_are_refused(bench: Bench) -> None:
    plugin = bench.plugin()
    calls: list[Any] = [
        lambda: plugin.set_power("never-heard", PowerAction.ON),
        lambda: plugin.is_on("never-heard"),
        lambda: plugin.open_console("never-heard"),
    ]
    for call in calls:
        with pytest.raises(Permanent, match="no tenant"):
            call()
    plugin.close_console("never-heard")


def test_release_leaves_nothing_and_proves_it(bench: Bench) -> None:
    wanted, plugin = bench.order("release"), bench.usual
    connection = plugin.provision(wanted)
    evidence = plugin.release(wanted.key)
    [instance] = bench.instances(wanted.key)
    assert instance["state"] == "terminated"
    assert bench.login(connection, "true").returncode != 0
    facts = evidence.facts
    assert [i["id"] for i in facts["instances"]] == [instance["id"]]
    assert facts["instances"][0]["state"] == "terminated"
    assert facts["instances"][0]["code"] == "Client.UserInitiatedShutdown"
    assert len(facts["volumes_gone"]) == len(facts["security_groups_gone"]) == 1
    assert canonical_document({"facts": facts})
    ec2 = bench.client()
    mine = [{"Name": "tag:ocx:key", "Values": [wanted.key]}]
    assert ec2.describe_security_groups(Filters=mine)["SecurityGroups"] == []
    assert ec2.describe_volumes(Filters=mine)["Volumes"] == []
    names = [pair["KeyName"] for pair in ec2.describe_key_pairs(Filters=mine)["KeyPairs"]]
    assert [name[:13] for name in names] == ["ocx-released-"]
    assert plugin.status(wanted.key).state is State.ABSENT
    assert wanted.key not in plugin.list_owned()


def test_a_released_key_gives_its_evidence_again_and_is_never_used_again(bench: Bench) -> None:
    wanted, plugin = bench.order("over"), bench.plugin()
    plugin.provision(wanted)
    with ThreadPoolExecutor(2) as pool:
        first, second = pool.map(lambda p: p.release(wanted.key), [plugin, bench.plugin()])
    assert first == second == bench.plugin().release(wanted.key)
    with pytest.raises(Permanent, match="was released"):
        bench.plugin().provision(wanted)
    next_one = bench.order("next", local_id=wanted.local_id)
    assert bench.usual.provision(next_one).host


def test_an_absent_key_is_released_at_once(bench: Bench) -> None:
    plugin = bench.usual
    evidence = plugin.release("never-heard")
    assert (evidence.local_id, evidence.facts["absent"]) == (None, True)
    assert plugin.status("never-heard").state is State.ABSENT


def test_a_release_while_it_is_built_ends_the_build(bench: Bench) -> None:
    wanted = bench.order("dropped")
    bench.lab.inject({"action": "GetConsoleOutput", "code": "InternalError", "times": 9999, "status": 500})
    building, releasing = bench.plugin(), bench.plugin()
    with ThreadPoolExecutor(1) as pool:
        held = pool.submit(_insist, building, wanted)
        until(lambda: bench.lab.servers(wanted.key))
        assert releasing.status(wanted.key).state is State.BUILDING
        evidence = releasing.release(wanted.key)
        error = held.exception()
    assert isinstance(error, Permanent) and "released" in str(error)
    assert evidence.facts["instances"]
    assert bench.lab.servers(wanted.key) == 0


def _insist(plugin: Any, wanted: Order) -> Connection:
    """Provision as an agent does: again after each `Temporary`."""
    while True:
        try:
            connection: Connection = plugin.provision(wanted)
        except Temporary:
            continue
        return connection


def test_strangers_are_not_listed_and_not_touched(bench: Bench) -> None:
    wanted, ec2 = bench.order("ours"), bench.client()
    image, kind = bench.lab.settings()["products"][0]["image"], "t3.small"
    ids = []
    for tags in ({}, {"ocx:provider": "other", "ocx:key": wanted.key, "ocx:unit": wanted.local_id}):
        listed = [{"Key": key, "Value": value} for key, value in tags.items()]
        specification = [{"ResourceType": "instance", "Tags": listed}] if tags else []
        run = ec2.run_instances(
            ImageId=image, InstanceType=kind, MinCount=1, MaxCount=1, TagSpecifications=specification
        )
        ids.append(run["Instances"][0]["InstanceId"])
    plugin = bench.plugin()
    assert plugin.status(wanted.key).state is State.ABSENT
    plugin.provision(wanted)
    plugin.release(wanted.key)
    states = {i["id"]: i["state"] for i in bench.lab.instances()}
    assert [states[i] for i in ids] in (["running"] * 2, ["pending", "running"])
    assert set(plugin.list_owned()) <= {key for key in plugin.list_owned() if key.startswith("ocx-1-test-")}
    ec2.terminate_instances(InstanceIds=ids)


def test_a_group_of_the_units_name_that_is_not_ours_is_a_conflict(bench: Bench) -> None:
    wanted, ec2 = bench.order("foreign"), bench.client()
    group = ec2.create_security_group(GroupName=f"ocx/lab/{wanted.local_id}", Description="somebody's")
    with pytest.raises(Conflict, match="does not know"):
        bench.plugin().provision(wanted)
    assert bench.usual.status(wanted.key).state is State.ABSENT
    ec2.delete_security_group(GroupId=group["GroupId"])
    assert bench.usual.provision(wanted).host


def test_a_machine_whose_lease_is_witnessed_answers_for_itself_and_only_there(bench: Bench) -> None:
    wanted = bench.order("witnessed", responder=True)
    connection = bench.usual.provision(wanted)
    guest = host_port(connection.details["guest"])
    until(lambda: answers(guest))
    assert bench.plugin().provision(wanted) == connection
    group = {"Name": "tag:ocx:key", "Values": [wanted.key]}
    [found] = bench.client().describe_security_groups(Filters=[group])["SecurityGroups"]
    opened = {rule["FromPort"]: [r["CidrIp"] for r in rule["IpRanges"]] for rule in found["IpPermissions"]}
    assert opened == {connection.port: ["127.0.0.0/8"], guest[1]: ["0.0.0.0/0"]}
    assert bench.usual.status(wanted.key).power is True
    bench.usual.set_power(wanted.key, PowerAction.OFF)
    assert bench.usual.status(wanted.key).power is False and not answers(guest)
    bench.usual.release(wanted.key)
