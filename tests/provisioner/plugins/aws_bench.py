"""What the tests of the aws plugin share: orders of unused units, a login, a look past the plugin."""

from __future__ import annotations

import dataclasses
import functools
import itertools
import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import boto3

from cli.demo.lab.ec2 import Ec2Lab
from provisioner.plugin import Connection, Order
from provisioner.plugins.aws import AwsPlugin

__all__ = ["Bench", "until"]

ROOT = Path(__file__).parents[3]


def until(condition: Callable[[], Any], seconds: float = 30) -> Any:
    """Wait for a condition with a deadline; returns its value."""
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < deadline, "the condition did not come true in time"
        time.sleep(0.03)
    return value


@dataclasses.dataclass
class Bench:
    """A lab, a tenant's key file, and a stream of unused units."""

    lab: Ec2Lab
    key_file: Path
    numbers: itertools.count[int] = dataclasses.field(default_factory=itertools.count)

    def plugin(self, **more: Any) -> AwsPlugin:
        """A fresh plugin, which remembers nothing."""
        return AwsPlugin.from_settings(self.lab.settings(**more))

    @functools.cached_property
    def usual(self) -> AwsPlugin:
        """A plugin for tests that need no fresh one: making its clients takes a tenth of a second."""
        return self.plugin()

    def order(self, name: str, **changes: Any) -> Order:
        """An order of an unused unit under a key of its own."""
        number = next(self.numbers)
        public = self.key_file.with_suffix(".pub").read_text()
        made = Order(
            f"ocx-1-test-{name}-{number}", f"vm.small/{number}", f"host-{number}", (public,), 0, 3600
        )
        return dataclasses.replace(made, **changes)

    def process(self, method: str, argument: Order | str, **more: Any) -> subprocess.Popen[str]:
        """The same call in a process of its own; it prints the result."""
        program = (
            "import sys; from provisioner.plugin import Order; from provisioner.plugins.aws import AwsPlugin;"
            f"print(AwsPlugin.from_settings({self.lab.settings(**more)!r}).{method}({argument!r}))"
        )
        return subprocess.Popen([sys.executable, "-c", program], cwd=ROOT, stdout=subprocess.PIPE, text=True)

    def login(self, connection: Connection, command: str) -> subprocess.CompletedProcess[str]:
        """Log in over SSH, checking the host key the plugin told."""
        known = self.key_file.with_name("known_hosts")
        known.write_text(f"[{connection.host}]:{connection.port} {connection.host_key}\n")
        options = [
            "BatchMode=yes",
            f"UserKnownHostsFile={known}",
            "StrictHostKeyChecking=yes",
            "LogLevel=ERROR",
        ]
        argv = ["ssh", "-i", str(self.key_file), "-p", str(connection.port)]
        argv += [word for option in options for word in ("-o", option)]
        target = f"{connection.user}@{connection.host}"
        return subprocess.run(
            [*argv, target, command], capture_output=True, text=True, timeout=30, check=False
        )

    def client(self) -> Any:
        """EC2 as a stranger in the same account sees it."""
        settings = self.lab.settings()
        keys = json.loads(Path(settings["credentials"]["file"]).read_text())
        return boto3.client(
            "ec2",
            region_name=settings["region"],
            endpoint_url=settings["endpoint_url"],
            aws_access_key_id=keys["AccessKeyId"],
            aws_secret_access_key=keys["SecretAccessKey"],
        )

    def instances(self, key: str) -> list[dict[str, Any]]:
        """All instances that ever carried a key."""
        return [i for i in self.lab.instances() if i["tags"].get("ocx:key") == key]
