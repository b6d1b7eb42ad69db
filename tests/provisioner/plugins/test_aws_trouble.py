"""The aws plugin while EC2 is slow, forgetful, full, or ends what a tenant has; and wrong credentials."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from market.errors import Permanent, Temporary
from provisioner.plugin import Order, State
from provisioner.plugins.aws.errors import NoCapacity
from tests.provisioner.plugins.aws_bench import Bench, until

LOST = {"action": "RunInstances", "code": "InternalError", "when": "after", "status": 500}
"""The launch happens; its answer is lost."""


def launches(bench: Bench) -> int:
    """How often a launch was asked for, dry runs included."""
    return bench.lab.calls().count("RunInstances")


def test_a_launch_whose_answer_was_lost_is_found_again(bench: Bench) -> None:
    wanted = bench.order("lost")
    bench.lab.inject(LOST)
    with pytest.raises(Temporary):
        bench.usual.provision(wanted)
    asked = launches(bench)
    connection = bench.usual.provision(wanted)
    assert launches(bench) == asked
    assert [i["address"] for i in bench.instances(wanted.key)] == [connection.host]


def test_a_killed_agents_launch_that_shows_late_is_joined_by_its_client_token(bench: Bench) -> None:
    wanted = bench.order("late")
    bench.lab.options(client_tokens=True, hide_seconds=2.0)
    with bench.process("provision", wanted) as first:
        until(lambda: bench.instances(wanted.key))
        first.kill()
    assert bench.usual.status(wanted.key).state is State.BUILDING
    connection = bench.plugin(patience=0.1).provision(wanted)
    assert [i["address"] for i in bench.instances(wanted.key)] == [connection.host]


def test_without_client_tokens_patience_avoids_a_second_launch(bench: Bench) -> None:
    wanted = bench.order("patient")
    bench.lab.options(hide_seconds=1.0)
    bench.lab.inject(LOST)
    with pytest.raises(Temporary):
        bench.usual.provision(wanted)
    bench.plugin(patience=15.0).provision(wanted)
    assert len(bench.instances(wanted.key)) == 1


def test_of_two_launched_without_tokens_all_agree_on_one_and_end_the_other(bench: Bench) -> None:
    wanted = bench.order("double")
    bench.lab.options(hide_seconds=1.5)
    bench.lab.inject(LOST)
    with pytest.raises(Temporary):
        bench.usual.provision(wanted)
    hasty = [bench.plugin(patience=0.0) for _ in range(2)]
    with ThreadPoolExecutor(2) as pool:
        first, second = pool.map(lambda p: p.provision(wanted), hasty)
    assert len(bench.instances(wanted.key)) > 1, "the test made no double"
    # Without patience what is launched late may show late, too; whoever looks next ends it.
    until(lambda: bench.usual.provision(wanted) == first and bench.lab.servers(wanted.key) == 1)
    assert first == second


def test_two_calls_that_both_launch_again_hand_over_only_when_nothing_hidden_is_left(bench: Bench) -> None:
    wanted = bench.order("hidden")
    bench.lab.options(hide_seconds=1.5)
    bench.lab.inject(LOST)
    with pytest.raises(Temporary):
        bench.usual.provision(wanted)
    patient = [bench.plugin(patience=3.0) for _ in range(2)]
    with ThreadPoolExecutor(2) as pool:
        first, second = pool.map(lambda p: p.provision(wanted), patient)
    assert first == second
    assert bench.lab.servers(wanted.key) == 1


def test_a_launch_that_ended_before_anybody_had_it_is_repeated_under_another_token(bench: Bench) -> None:
    wanted = bench.order("again")
    bench.lab.options(client_tokens=True)
    bench.lab.inject(LOST)
    with pytest.raises(Temporary):
        bench.usual.provision(wanted)
    [failed] = bench.instances(wanted.key)
    bench.lab.interrupt(failed["id"], code="Server.InternalError")
    status = bench.usual.status(wanted.key)
    assert status.state is State.FAILED and "Server.InternalError" in status.detail
    connection = bench.usual.provision(wanted)
    assert bench.lab.servers(wanted.key) == 1
    assert connection.host == bench.instances(wanted.key)[-1]["address"]


def test_a_token_whose_instance_ended_unseen_leads_to_the_next_attempt(bench: Bench) -> None:
    wanted = bench.order("unseen")
    bench.lab.options(client_tokens=True, hide_seconds=3600)
    bench.lab.inject(LOST)
    with pytest.raises(Temporary):
        bench.usual.provision(wanted)
    [failed] = bench.instances(wanted.key)
    bench.lab.interrupt(failed["id"])
    bench.lab.options(client_tokens=True)
    assert bench.plugin(patience=0.1).provision(wanted).host
    assert bench.lab.servers(wanted.key) == 1


def test_a_launch_with_settings_that_changed_since_joins_the_first_one(bench: Bench) -> None:
    wanted = bench.order("changed")
    bench.lab.options(client_tokens=True, hide_seconds=2.0)
    bench.lab.inject(LOST)
    with pytest.raises(Temporary):
        bench.usual.provision(wanted)
    products = [dict(p, root_gib=33) for p in bench.lab.settings()["products"]]
    connection = bench.plugin(products=products, patience=0.3).provision(wanted)
    assert [i["address"] for i in bench.instances(wanted.key)] == [connection.host]


@pytest.mark.parametrize(
    ("code", "status", "says"),
    [
        ("InsufficientInstanceCapacity", 500, "AWS has none left"),
        ("VcpuLimitExceeded", 400, "quota"),
    ],
)
def test_no_capacity_is_temporary_and_says_so(bench: Bench, code: str, status: int, says: str) -> None:
    wanted = bench.order("full")
    bench.lab.inject({"action": "RunInstances", "code": code, "status": status})
    with pytest.raises(NoCapacity, match=says) as refusal:
        bench.usual.provision(wanted)
    assert refusal.value.retry_after >= 30
    assert bench.usual.status(wanted.key).state is State.BUILDING
    assert bench.usual.release(wanted.key).facts["instances"] == []


def test_throttling_is_outlasted_or_temporary(bench: Bench) -> None:
    plugin = bench.usual
    throttled = {"action": "DescribeInstances", "code": "RequestLimitExceeded", "status": 503}
    bench.lab.inject(throttled)
    assert plugin.status("nobody").state is State.ABSENT
    bench.lab.inject(throttled | {"times": 99})
    with pytest.raises(Temporary, match="RequestLimitExceeded"):
        plugin.status("nobody")


@pytest.mark.parametrize("action", ["DescribeInstances", "DescribeSecurityGroups", "DescribeKeyPairs"])
def test_half_an_answer_never_means_absent(bench: Bench, action: str) -> None:
    bench.lab.inject({"action": action, "code": "", "when": "half", "times": 99})
    for call in (lambda p: p.status("nobody"), lambda p: p.release("nobody"), lambda p: p.list_owned()):
        with pytest.raises(Temporary):
            call(bench.plugin(retries=1))


def test_an_instance_that_aws_ended_is_failed_and_not_built_again(bench: Bench) -> None:
    wanted, plugin = bench.order("interrupted"), bench.usual
    plugin.provision(wanted)
    bench.lab.interrupt(bench.instances(wanted.key)[0]["id"], code="Server.SpotInstanceTermination")
    status = plugin.status(wanted.key)
    assert status.state is State.FAILED and "Server.SpotInstanceTermination" in status.detail
    with pytest.raises(Permanent, match="not built again"):
        plugin.provision(wanted)
    [fact] = plugin.release(wanted.key).facts["instances"]
    assert fact["code"] == "Server.SpotInstanceTermination"


def test_an_instance_that_aws_stopped_is_failed_and_started_again_with_its_disk(bench: Bench) -> None:
    wanted, plugin = bench.order("stopped"), bench.usual
    before = plugin.provision(wanted)
    bench.lab.interrupt(bench.instances(wanted.key)[0]["id"], to="stopped", code="Server.ScheduledStop")
    until(lambda: bench.instances(wanted.key)[0]["state"] == "stopped")
    assert plugin.status(wanted.key).state is State.FAILED
    after = plugin.provision(wanted)
    assert after.host_key == before.host_key and after.host != before.host
    assert bench.login(after, "true").returncode == 0


def test_a_host_key_that_the_console_does_not_show_is_not_believed(bench: Bench) -> None:
    wanted = bench.order("impostor")
    bench.lab.inject(LOST)
    with pytest.raises(Temporary):
        bench.usual.provision(wanted)
    [instance] = until(lambda: [i for i in bench.instances(wanted.key) if i["state"] == "running"])
    other = "-----BEGIN SSH HOST KEY KEYS-----\nssh-ed25519 AAAAother\n-----END SSH HOST KEY KEYS-----\n"
    bench.lab.show_on_console(instance["id"], other)
    with pytest.raises(Temporary, match="another host key"):
        bench.usual.provision(wanted)
    bench.lab.show_on_console(instance["id"], "Linux version 6.1\n")
    with pytest.raises(Temporary, match="its console shows no SSH host key"):
        bench.plugin(host_key_from="console", console_timeout=0.0, launch_timeout=0.5).provision(wanted)
    assert bench.usual.status(wanted.key).state is State.BUILDING
    assert bench.plugin(console_timeout=0.0).provision(wanted).host == instance["address"]


@pytest.mark.parametrize(
    "action", ["ImportKeyPair", "TerminateInstances", "DeleteSecurityGroup", "CreateTags", "DeleteKeyPair"]
)
def test_a_release_goes_on_where_a_lost_answer_left_it(bench: Bench, action: str) -> None:
    wanted = bench.order("release")
    bench.lab.inject(LOST)
    with pytest.raises(Temporary):
        bench.usual.provision(wanted)
    bench.lab.inject({"action": action, "code": "InternalError", "when": "after", "status": 500})
    with pytest.raises(Temporary):
        bench.plugin(retries=1).release(wanted.key)
    evidence = bench.usual.release(wanted.key)
    assert evidence == bench.usual.release(wanted.key)
    assert evidence.facts["volumes_gone"]
    assert bench.lab.servers(wanted.key) == 0
    assert wanted.key not in bench.usual.list_owned()


def test_an_instance_that_shows_late_does_not_survive_its_release(bench: Bench) -> None:
    wanted = bench.order("hidden")
    bench.lab.options(hide_seconds=1.5)
    bench.lab.inject(LOST)
    with pytest.raises(Temporary):
        bench.usual.provision(wanted)
    evidence = bench.usual.release(wanted.key)
    assert [i["id"] for i in evidence.facts["instances"]] == [i["id"] for i in bench.instances(wanted.key)]
    assert bench.lab.servers(wanted.key) == 0


# ---- credentials -------------------------------------------------------------------------------------------


def credentials(tmp_path: Path, text: str) -> dict[str, Any]:
    """The setting for credentials in a file of the test's own."""
    path = tmp_path / "credentials.json"
    path.touch(mode=0o600)
    path.write_text(text)
    return {"credentials": {"file": str(path)}}


def test_wrong_credentials_are_permanent_and_found_by_the_check(bench: Bench, tmp_path: Path) -> None:
    wrong = json.dumps({"AccessKeyId": "AKIAWRONG", "SecretAccessKey": "very-secret-word"})
    plugin = bench.plugin(**credentials(tmp_path, wrong))
    with pytest.raises(Permanent, match="AuthFailure.*Check the credentials") as refusal:
        plugin.list_owned()
    assert "very-secret-word" not in str(refusal.value)
    [finding] = plugin.check()
    assert "InvalidClientTokenId" in finding


def test_new_credentials_in_the_file_count_after_a_refusal(bench: Bench, tmp_path: Path) -> None:
    wrong = json.dumps({"AccessKeyId": "AKIAWRONG", "SecretAccessKey": "x"})
    plugin = bench.plugin(**credentials(tmp_path, wrong))
    with pytest.raises(Permanent):
        plugin.status("nobody")
    right = Path(bench.lab.settings()["credentials"]["file"]).read_text()
    (tmp_path / "credentials.json").write_text(right)
    assert plugin.status("nobody").state is State.ABSENT


def test_what_is_no_credential_is_said_without_repeating_it(bench: Bench, tmp_path: Path) -> None:
    plugin = bench.plugin(**credentials(tmp_path, "hunter2"))
    with pytest.raises(Permanent, match="is not AWS credentials") as refusal:
        plugin.inspect()
    assert "hunter2" not in str(refusal.value)


def test_the_usual_chain_is_used_without_a_setting(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = bench.lab.settings()
    kept = json.loads(Path(settings["credentials"]["file"]).read_text())
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", kept["AccessKeyId"])
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", kept["SecretAccessKey"])
    assert bench.plugin(credentials=None).status("nobody").state is State.ABSENT


def test_no_credentials_at_all_is_permanent(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, str(tmp_path / "none"))
    with pytest.raises(Permanent, match="no usable AWS credentials"):
        bench.plugin(credentials=None).status("nobody")
    with pytest.raises(Permanent, match="no usable AWS credentials"):
        bench.plugin(credentials=None, profile="nobody").status("nobody")


def test_an_assumed_role_works_in_the_organisations_own_account(bench: Bench) -> None:
    as_role = {"role_arn": "arn:aws:iam::222222222222:role/ocx-provider", "external_id": "north"}
    plugin = bench.plugin(**as_role)
    assert plugin.inspect()[0].hardware_id.startswith("lab/222222222222/")
    assert plugin.check() == []
    wanted = bench.order("role")
    assert plugin.provision(wanted).host
    assert {i["account"] for i in bench.instances(wanted.key)} == {"222222222222"}
    assert bench.usual.status(wanted.key).state is State.ABSENT
    assert plugin.release(wanted.key).facts["account"] == "222222222222"


def test_a_role_that_may_not_be_assumed_is_permanent(bench: Bench) -> None:
    plugin = bench.plugin(role_arn="arn:aws:iam::222222222222:role/admin")
    with pytest.raises(Permanent, match="AccessDenied"):
        plugin.status("nobody")
    assert "AccessDenied" in plugin.check()[0]


def test_check_says_what_is_wrong_with_a_product_and_a_right(bench: Bench) -> None:
    good = bench.lab.settings()["products"][0]
    products = [
        good | {"class": "a", "image": "ami-00000000"},
        good | {"class": "b", "instance_type": "t9.huge"},
        good | {"class": "c", "subnet": "subnet-00000000"},
        good | {"class": "d", "root_gib": 1, "root_device": "/dev/sda1"},
    ]
    bench.lab.inject({"action": "StopInstances", "code": "UnauthorizedOperation", "status": 403})
    findings = bench.plugin(products=products, retries=1).check()
    assert "may not stop instances" in findings[0]
    for name, said in (("a", "InvalidAMIID"), ("b", "t9.huge"), ("c", "subnet-00000000"), ("d", "/dev/xvda")):
        assert any(f.startswith(f"{name}: ") and said in f for f in findings), findings


def test_an_unreachable_cloud_is_temporary(bench: Bench) -> None:
    plugin = bench.plugin(endpoint_url="http://127.0.0.1:9", retries=1)
    wanted: Order = bench.order("down")
    for call in (plugin.inspect, plugin.list_owned, lambda: plugin.provision(wanted)):
        with pytest.raises(Temporary, match="cannot be reached"):
            call()
    assert "cannot be reached" in plugin.check()[0]
