"""What the aws plugin makes of words: settings, errors, consoles, names. No network."""

from __future__ import annotations

import datetime
import subprocess
import sys
from typing import Any

import botocore.exceptions
import pytest

from market.errors import InvalidInput, Permanent, Temporary
from provisioner.plugin import Order, State, WipeEvidence
from provisioner.plugins.aws import AwsPlugin
from provisioner.plugins.aws import instances as marks
from provisioner.plugins.aws.errors import NoCapacity, translate
from provisioner.plugins.aws.measure import network_mbps

PRODUCT = {"class": "vm.small", "instance_type": "t3.small", "image": "ami-1"}
SETTINGS: dict[str, Any] = {"provider": "north", "region": "eu-central-1", "products": [PRODUCT]}
ORDER = Order("key", "vm.small/0", "host", ("ssh-ed25519 AAAA me",), 0, 3600)


def instance(name: str, state: str, launched: int = 0, **tags: str) -> dict[str, Any]:
    """An instance as EC2 describes it."""
    listed = {"ocx:key": "key", "ocx:unit": "vm.small/0"} | {f"ocx:{k}": v for k, v in tags.items()}
    return {
        "InstanceId": name,
        "State": {"Name": state},
        "LaunchTime": datetime.datetime.fromtimestamp(launched, datetime.UTC),
        "Tags": [{"Key": k, "Value": v} for k, v in listed.items()],
    }


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"provider": "two words"}, "provider"),
        ({"products": []}, "products"),
        ({"products": [PRODUCT, PRODUCT]}, "a class of its own"),
        ({"products": [PRODUCT | {"price": 1}]}, "no setting price"),
        ({"products": [{"class": "a", "image": "b"}]}, "needs instance_type"),
        ({"products": [PRODUCT | {"count": 0}]}, "count of 1"),
        ({"products": [PRODUCT | {"count": "3"}]}, "whole number"),
        ({"products": [PRODUCT | {"rate_per_hour": -1}]}, "less than nothing"),
        ({"products": [PRODUCT | {"rate_per_hour": 0.5}]}, "whole number"),
        ({"products": [PRODUCT | {"spec": {"speed": 1}}]}, "no size speed"),
        ({"products": [PRODUCT | {"extra": {"UserData": "x"}}]}, "cannot set UserData"),
        ({"products": [PRODUCT | {"class": "a/b"}]}, "letters, digits"),
        ({"role_arn": "admin"}, "role_arn"),
        ({"host_key_from": "nowhere"}, "host_key_from"),
        ({"credentials": "AKIA"}, "where the secret is"),
        ({"credentials": {"env": "A"}, "profile": "b"}, "not both"),
        ({"regoin": "x"}, "no setting regoin"),
    ],
)
def test_settings_that_cannot_be_right_are_refused(change: dict[str, Any], says: str) -> None:
    with pytest.raises(InvalidInput, match=says):
        AwsPlugin.from_settings(SETTINGS | change)


def error(code: str, status: int = 400) -> botocore.exceptions.ClientError:
    """An error as EC2 answers it."""
    answer = {"Error": {"Code": code, "Message": "words"}, "ResponseMetadata": {"HTTPStatusCode": status}}
    return botocore.exceptions.ClientError(answer, "RunInstances")


@pytest.mark.parametrize(
    ("code", "status", "kind"),
    [
        ("InsufficientInstanceCapacity", 500, NoCapacity),
        ("InstanceLimitExceeded", 400, NoCapacity),
        ("VcpuLimitExceeded", 400, NoCapacity),
        ("RequestLimitExceeded", 503, Temporary),
        ("Throttling", 400, Temporary),
        ("ExpiredToken", 400, Temporary),
        ("SomethingNew", 500, Temporary),
        ("Unsupported", 400, Permanent),
        ("InvalidAMIID.NotFound", 400, Permanent),
        ("InvalidGroup.NotFound", 400, Temporary),
        ("UnauthorizedOperation", 403, Permanent),
        ("AuthFailure", 401, Permanent),
        ("SignatureDoesNotMatch", 403, Permanent),
    ],
)
def test_each_refusal_says_whether_to_try_again_and_what_to_do(
    code: str, status: int, kind: type[Exception]
) -> None:
    told = translate(error(code, status), "RunInstances")
    assert type(told) is not Exception and isinstance(told, kind)
    assert code in str(told) and "RunInstances" in str(told)
    assert isinstance(told, Temporary) or told.hint


def test_the_console_tells_the_last_ed25519_key_between_the_marks() -> None:
    text = (
        "ssh-ed25519 AAAAnot between the marks\n"
        "ci-info: -----BEGIN SSH HOST KEY KEYS-----\n"
        "ecdsa-sha2-nistp256 AAAAe root@a\nssh-ed25519 AAAAold root@a\n"
        "-----END SSH HOST KEY KEYS-----\nssh-ed25519 AAAAlater\n"
        "-----BEGIN SSH HOST KEY KEYS-----\n[  12.3] cloud-init: ssh-ed25519 AAAAnew root@a\n"
    )
    assert marks.console_host_key(text) == "ssh-ed25519 AAAAnew"
    assert marks.console_host_key("Linux version 6.1\n") is None


@pytest.mark.parametrize(
    ("network", "mbps"),
    [
        ({"NetworkPerformance": "25 Gigabit"}, 25_000),
        ({"NetworkPerformance": "12.5 Gigabit"}, 12_500),
        ({"NetworkPerformance": "Up to 10 Gigabit"}, 0),
        ({"NetworkPerformance": "Low"}, 0),
        (
            {"NetworkCards": [{"BaselineBandwidthInGbps": 0.75}], "NetworkPerformance": "Up to 10 Gigabit"},
            750,
        ),
        ({}, 0),
    ],
)
def test_only_a_speed_that_is_always_there_is_promised(network: dict[str, Any], mbps: int) -> None:
    assert network_mbps(network) == mbps


def test_all_agree_which_instance_counts() -> None:
    young, old = instance("i-1", "running", 20), instance("i-2", "pending", 10)
    given, ended = instance("i-3", "running", 30, ready="ssh-ed25519 A"), instance("i-0", "terminated", 1)
    for order in ([young, old, ended], [ended, old, young]):
        view = marks.views(order, [], [])["key"]
        assert [i["InstanceId"] for i in view.live] == ["i-2", "i-1"]
        assert [i["InstanceId"] for i in view.dead] == ["i-0"]
    assert marks.views([young, old, given], [], [])["key"].live[0] is given


def test_tokens_differ_by_key_attempt_and_provider_and_fit() -> None:
    tokens = {marks.client_token(p, k, n) for p in "ab" for k in ("k", "l") for n in (0, 1)}
    assert len(tokens) == 8 and {len(token) for token in tokens} == {64}


def test_user_data_never_differs_between_attempts_and_keeps_the_orders_own_words() -> None:
    more = {"packages": ["htop"], "hostname": "mine", "ssh_authorized_keys": ["intruder"]}
    told = marks.user_data(ORDER, "ubuntu", more)
    assert told == marks.user_data(ORDER, "ubuntu", dict(reversed(more.items())))
    assert "htop" in told and '"hostname": "host"' in told and "intruder" not in told
    assert '"disable_root": true' in told and '"disable_root": false' in marks.user_data(ORDER, "root", {})


def test_evidence_survives_being_kept_in_tags() -> None:
    evidence = WipeEvidence("key", "vm.small/0", 17, {"plugin": "aws", "long": "ä" * 700})
    tags = marks.evidence_tags(evidence) | {"ocx:key": "key", marks.RELEASED: "16"}
    assert max(map(len, tags.values())) <= 256 and len(tags) < 50
    view = marks.View("key", tombstone={"Tags": [{"Key": k, "Value": v} for k, v in tags.items()]})
    assert marks.evidence_of(view) == evidence
    assert marks.status_of(view, "root").state is State.ABSENT


def test_half_an_instance_is_no_word_of_its_end() -> None:
    view = marks.views([{**instance("i-1", "running"), "State": {}}], [], [])["key"]
    with pytest.raises(Temporary):
        marks.status_of(view, "root")


@pytest.mark.parametrize(
    ("program", "prints"),
    [
        ("load('fake', {'state': '/nowhere/x', 'machines': []})", "False"),
        ("sys.modules['boto3'] = None; load('aws', {})", "Permanent"),
    ],
)
def test_boto3_is_imported_by_this_plugin_alone_and_its_absence_is_told(program: str, prints: str) -> None:
    script = (
        "import sys; from provisioner.plugin import load\n"
        f"try:\n    {program}\nexcept Exception as error:\n    print(type(error).__name__, error)\n"
        "print('botocore' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert prints in done.stdout
