"""What the clouds of the demo say when they are asked directly, past every agent and plugin."""

from __future__ import annotations

import base64
import json
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any

__all__ = ["CLEAN", "machines"]

CLEAN = ("available, unowned", "terminated", "unowned")
"""What is said of a machine that nobody has: by Ironic, by EC2, by a host itself."""


def machines(labs: Mapping[str, dict[str, Any]]) -> dict[str, str]:
    """What is said of every machine, by its name; `labs` is what each provider's lab described."""
    ask = {"north": _nodes, "south": _instances, "east": _hosts}
    return {name: said for provider, lab in labs.items() for name, said in ask[provider](lab).items()}


def _nodes(lab: dict[str, Any]) -> dict[str, str]:
    """Ironic's word: state and owner's mark of every node."""
    password = Path(lab["password_file"]).read_text("utf-8").strip()
    login = base64.b64encode(f"{lab['username']}:{password}".encode()).decode()
    request = urllib.request.Request(
        f"{lab['ironic_url']}/v1/nodes?detail=true",
        headers={"Authorization": f"Basic {login}", "X-OpenStack-Ironic-API-Version": "1.78"},
    )
    with urllib.request.urlopen(request, timeout=10) as answer:
        nodes = json.load(answer)["nodes"]
    return {node["name"]: f"{node['provision_state']}, {_mark(node)}" for node in nodes}


def _mark(node: dict[str, Any]) -> str:
    key = node["extra"].get("ocx_key") or node["instance_uuid"]
    return f"carries {key}" if key else "unowned"


def _instances(lab: dict[str, Any]) -> dict[str, str]:
    """EC2's word: the state of every instance there ever was."""
    import boto3

    settings = lab["settings"]
    keys = json.loads(Path(settings["credentials"]["file"]).read_text("utf-8"))
    ec2 = boto3.client(
        "ec2",
        region_name=settings["region"],
        endpoint_url=settings["endpoint_url"],
        aws_access_key_id=keys["AccessKeyId"],
        aws_secret_access_key=keys["SecretAccessKey"],
    )
    reservations = ec2.describe_instances()["Reservations"]
    found = [instance for entry in reservations for instance in entry["Instances"]]
    return {instance["InstanceId"]: instance["State"]["Name"] for instance in found}


def _hosts(lab: dict[str, Any]) -> dict[str, str]:
    """The hosts' own word: whether their mark of a lease is there."""
    marks = {host["name"]: Path(f"/proc/{host['pid']}/root/etc/ocx/lease.json") for host in lab["hosts"]}
    return {name: "marked" if mark.exists() else "unowned" for name, mark in marks.items()}
