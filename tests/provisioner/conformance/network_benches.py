"""The benches of plugins whose cloud is reached over a network: Ironic, EC2, hosts over SSH."""

from __future__ import annotations

import contextlib
import functools
import itertools
import json
import urllib.parse
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

from cli.demo.lab import Lab
from cli.demo.lab.ec2 import Ec2Lab
from cli.demo.lab.host import HostLab
from provisioner.plugins.aws.instances import group_name
from tests.provisioner.conformance.benches import NetworkBench, When
from tests.provisioner.conformance.proxy import Fault, FaultProxy, Kind

__all__ = ["AnsibleBench", "AwsBench", "IronicBench"]


_SETUP = """
- hosts: all
  gather_facts: false
  tasks:
    - name: Hand the host over
      ansible.builtin.raw: mkdir -p /srv/tenant && echo "{{ ocx_hostname }}" > /srv/tenant/name
    - name: Say how the tenant comes in
      ansible.builtin.set_stats:
        data: {ocx_connection: {user: tenant, port: "{{ door }}", host_key: "{{ host_key }}"}}
"""
_CLEANUP = """
- hosts: all
  gather_facts: false
  tasks:
    - name: Take the host back
      ansible.builtin.raw: rm -rf /srv/tenant
    - name: Say what was removed
      ansible.builtin.set_stats: {data: {ocx_evidence: {removed: /srv/tenant}}}
"""


def _place(url: str) -> tuple[str, int]:
    parts = urllib.parse.urlsplit(url)
    return parts.hostname or "", parts.port or 80


class IronicBench(NetworkBench):
    """A real Ironic with machines of fake-hardware."""

    name = "ironic"
    lanes = 4
    tries = 5
    slow: ClassVar = {"deploy_timeout": 0.0}

    def __init__(self, lab: Lab) -> None:
        self._lab, self._client = lab, lab.client()
        self.targets = [_place(lab.description["ironic_url"])]

    def settings(self, through: FaultProxy | None = None, **more: Any) -> dict[str, Any]:
        """See `Bench.settings`."""
        place = {} if through is None else {"endpoint": f"http://127.0.0.1:{through.ports[0]}"}
        return self._lab.settings(fake=True) | {"request_timeout": 10.0, "poll": 0.1} | place | more

    def servers(self, key: str) -> int:
        """See `Bench.servers`."""
        carrying = [node for node in self._nodes() if node["extra"].get("ocx_key") == key]
        return sum(node["provision_state"] == "active" for node in carrying)

    def all_keys(self) -> set[str]:
        """See `Bench.all_keys`."""
        return {node["extra"]["ocx_key"] for node in self._nodes() if "ocx_key" in node["extra"]}

    @contextlib.contextmanager
    def foreign(self, local_id: str) -> Iterator[None]:
        """See `Bench.foreign`: an instance that somebody else's Nova put there."""
        theirs = {"op": "add", "path": "/instance_uuid", "value": "11111111-2222-4333-8444-555555555555"}
        self._client.call("PATCH", f"/v1/nodes/{local_id}", [theirs])
        try:
            yield
        finally:
            gone = {"op": "remove", "path": "/instance_uuid"}
            self._client.call("PATCH", f"/v1/nodes/{local_id}", [gone])

    def _nodes(self) -> list[dict[str, Any]]:
        path = "/v1/nodes?fields=uuid,extra,provision_state&limit=1000"
        nodes: list[dict[str, Any]] = self._client.call("GET", path)["nodes"]
        return nodes


class AwsBench(NetworkBench):
    """An EC2 whose instances are guests."""

    name = "aws"
    lanes = 4
    tries = 5
    changes = r"Action=(?!Describe|Get)"
    questions = r"Action=(Describe|Get)"
    slow: ClassVar = {"launch_timeout": 0.0}

    def __init__(self, lab: Ec2Lab) -> None:
        self._lab = lab
        self.targets = [_place(lab.url)]

    def settings(self, through: FaultProxy | None = None, **more: Any) -> dict[str, Any]:
        """See `Bench.settings`."""
        place = {} if through is None else {"endpoint_url": f"http://127.0.0.1:{through.ports[0]}"}
        return self._lab.settings(**(place | more))

    def servers(self, key: str) -> int:
        """See `Bench.servers`."""
        return self._lab.servers(key)

    def all_keys(self) -> set[str]:
        """See `Bench.all_keys`: of instances that are not ending, and of security groups."""
        live = ("pending", "running", "stopping", "stopped")
        found = [i["tags"] for i in self._lab.instances() if i["state"] in live]
        for group in self._client.describe_security_groups()["SecurityGroups"]:
            found.append({tag["Key"]: tag["Value"] for tag in group.get("Tags", [])})
        return {tags["ocx:key"] for tags in found if "ocx:key" in tags}

    @contextlib.contextmanager
    def foreign(self, local_id: str) -> Iterator[None]:
        """See `Bench.foreign`: somebody has made a group of the unit's name."""
        name = group_name(self.settings()["provider"], local_id)
        group = self._client.create_security_group(GroupName=name, Description="somebody's")["GroupId"]
        try:
            yield
        finally:
            self._client.delete_security_group(GroupId=group)

    def unknown_id(self) -> str:
        """See `Bench.unknown_id`."""
        return "vm.small/9999"

    @functools.cached_property
    def _client(self) -> Any:
        import boto3

        settings = self._lab.settings()
        keys = json.loads(Path(settings["credentials"]["file"]).read_text())
        return boto3.client(
            "ec2",
            region_name=settings["region"],
            endpoint_url=settings["endpoint_url"],
            aws_access_key_id=keys["AccessKeyId"],
            aws_secret_access_key=keys["SecretAccessKey"],
        )


class AnsibleBench(NetworkBench):
    """Hosts of their own, reached over SSH; each plugin is an agent of its own, with a state of its own.

    What is sold is small, as the shipped product has some thirty tasks; the plugin is the same for both.
    """

    name = "ansible"
    lanes = 2
    tries = 3
    http = False
    slow: ClassVar = {"setup_timeout": 0.5}

    def __init__(self, lab: HostLab, folder: Path) -> None:
        self._lab, self._folder, self._numbers = lab, folder, itertools.count()
        self.targets = [(host["address"], host["port"]) for host in lab.hosts]
        (folder / "setup.yml").write_text(_SETUP)
        (folder / "cleanup.yml").write_text(_CLEANUP)

    def settings(self, through: FaultProxy | None = None, **more: Any) -> dict[str, Any]:
        """See `Bench.settings`."""
        small = {"products": {"small": {"setup": "setup.yml", "cleanup": "cleanup.yml"}}}
        state = self._folder / f"state-{next(self._numbers)}"
        made = self._lab.settings(state=state, project=str(self._folder), **(small | more))
        for machine in made["machines"]:
            machine["vars"] = {"door": machine["port"], "host_key": machine["host_key"]}
        if through is not None:
            for machine, port in zip(made["machines"], through.ports, strict=True):
                machine |= {"host": "127.0.0.1", "port": port}
        return made

    def faults(self) -> dict[When, Fault]:
        """See `NetworkBench.faults`: connections are cut, early and late; nothing can be told inside them."""
        return {
            When.BEFORE: Fault(Kind.RESET),
            When.DURING: Fault(Kind.HALF, skip=1, times=2, after=6_000),
            When.AFTER: Fault(Kind.HALF, skip=2, after=20_000),
            When.HALF: Fault(Kind.HALF, times=10**6, after=3_000),
            When.DOWN: Fault(Kind.REFUSE, times=10**6),
        }

    def servers(self, key: str) -> int:
        """See `Bench.servers`."""
        return self._lab.servers(key)

    def all_keys(self) -> set[str]:
        """See `Bench.all_keys`."""
        found = set()
        for host in self._lab.hosts:
            with contextlib.suppress(FileNotFoundError):
                mark = self._lab.root(host["name"]) / "etc/ocx/lease.json"
                found.add(json.loads(mark.read_text())["key"])
        return found

    @contextlib.contextmanager
    def foreign(self, local_id: str) -> Iterator[None]:
        """See `Bench.foreign`: a mark that no plugin of ours wrote."""
        mark = self._lab.root(local_id) / "etc/ocx/lease.json"
        mark.parent.mkdir(parents=True, exist_ok=True)
        mark.write_text(json.dumps({"key": "somebody else's"}))
        try:
            yield
        finally:
            mark.unlink()

    def unknown_id(self) -> str:
        """See `Bench.unknown_id`."""
        return "no-such-host"
