"""Nothing of the EC2 lab outlives it; a guest lives exactly as long as its instance runs."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import boto3
import pytest

from provisioner.keeper import tree_below
from tests.cli.demo.lab.test_lab import gone, until

CONFIG = "#cloud-config\n" + json.dumps({"hostname": "guest", "ssh_authorized_keys": ["ssh-ed25519 AAAA"]})


def client(settings: dict[str, Any]) -> Any:
    """EC2 of the lab."""
    keys = json.loads(Path(settings["credentials"]["file"]).read_text())
    return boto3.client(
        "ec2",
        region_name=settings["region"],
        endpoint_url=settings["endpoint_url"],
        aws_access_key_id=keys["AccessKeyId"],
        aws_secret_access_key=keys["SecretAccessKey"],
    )


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_guests_follow_their_instances_and_end_with_the_lab(tmp_path: Path, number: signal.Signals) -> None:
    command = [sys.executable, "-m", "cli.demo.lab.ec2", "--dir", str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as lab:
        until(lambda: (tmp_path / "ec2.json").exists() or lab.poll() is not None)
        settings = json.loads((tmp_path / "ec2.json").read_text())["settings"]
        ec2 = client(settings)
        alone = tree_below(lab.pid)
        run = ec2.run_instances(
            ImageId=settings["products"][0]["image"],
            InstanceType="t3.small",
            MinCount=2,
            MaxCount=2,
            UserData=CONFIG,
        )
        first, second = (instance["InstanceId"] for instance in run["Instances"])

        def state(instance: str) -> str:
            found = ec2.describe_instances(InstanceIds=[instance])["Reservations"][0]["Instances"][0]
            return str(found["State"]["Name"])

        assert state(first) == "pending" or (tmp_path / "disks" / first).exists()
        until(lambda: state(first) == state(second) == "running")
        both = tree_below(lab.pid)
        ec2.terminate_instances(InstanceIds=[first])
        until(lambda: state(first) == "terminated")
        one = tree_below(lab.pid)
        assert alone < one < both
        assert not (tmp_path / "disks" / first).exists() and (tmp_path / "disks" / second).exists()
        lab.send_signal(number)
    until(lambda: gone(one))
