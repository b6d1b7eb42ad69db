"""The AWS plugin: capacity units of EC2, each an instance that is made when it is leased.

What it makes and how names that EC2 keeps unique guard it stands in `instances`; the steps up are in `build`,
the steps down in `takedown`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any, Self

from market.errors import Permanent, Temporary
from provisioner.capabilities import Console, ConsoleAccess, Power, PowerAction
from provisioner.plugin import (
    Connection,
    Inspected,
    Order,
    Provisioner,
    State,
    Status,
    WipeEvidence,
    read_settings,
)
from provisioner.plugins.aws import instances as marks
from provisioner.plugins.aws.api import Item
from provisioner.plugins.aws.build import Build
from provisioner.plugins.aws.checks import problems
from provisioner.plugins.aws.cloud import Cloud
from provisioner.plugins.aws.measure import inspected
from provisioner.plugins.aws.settings import AwsSettings
from provisioner.plugins.aws.takedown import Takedown

__all__ = ["AwsPlugin"]


class AwsPlugin(Provisioner, Power, Console):
    """EC2 on demand; see the module's docstring."""

    def __init__(
        self,
        settings: AwsSettings,
        *,
        clock: Callable[[], float] = time.time,
        wait: Callable[[float], None] = time.sleep,
    ) -> None:
        self._settings = settings
        self._cloud = Cloud(settings, clock, wait)

    @classmethod
    def from_settings(cls, settings: Mapping[str, Any]) -> Self:
        """See `Provisioner.from_settings`; the settings are those of `AwsSettings`."""
        return cls(read_settings(AwsSettings, "aws", settings))

    # ---- the interface ---------------------------------------------------------------------------------

    def inspect(self) -> list[Inspected]:
        """See `Provisioner.inspect`; units come in the order of the settings, each with its price."""
        kinds = self._cloud.api.instance_types([p.instance_type for p in self._settings.products])
        account = self._cloud.api.account()
        try:
            return [
                inspected(kinds[product.instance_type], product, ordinal, account, self._settings)
                for product in self._settings.products
                for ordinal in range(product.count)
            ]
        except KeyError as error:
            raise Temporary(f"AWS gave half an answer about instance types: no {error}") from error

    def provision(self, order: Order) -> Connection:
        """See `Provisioner.provision`.

        A key whose instance ended before anybody was given it is built again; one whose instance was up and
        then ended is `Permanent`; an instance that somebody else stopped is started, at another address.
        """
        return Build(self._cloud, order).run()

    def status(self, key: str) -> Status:
        """See `Provisioner.status`. An instance that ended, or that somebody else stopped, is `FAILED`."""
        return marks.status_of(self._cloud.look(key), self._settings.ssh_user)

    def release(self, key: str) -> WipeEvidence:
        """See `Provisioner.release`. A key that nothing carries is not remembered as released."""
        return Takedown(self._cloud, key).run()

    def list_owned(self) -> dict[str, Status]:
        """See `Provisioner.list_owned`."""
        found = {k: marks.status_of(v, self._settings.ssh_user) for k, v in self._cloud.views().items()}
        return {key: status for key, status in found.items() if status.state is not State.ABSENT}

    def check(self) -> list[str]:
        """See `Provisioner.check`; asks AWS for dry runs."""
        return list(problems(self._settings, self._cloud.api))

    # ---- power -----------------------------------------------------------------------------------------

    def set_power(self, key: str, action: PowerAction) -> None:
        """See `Power.set_power`.

        The root volume keeps everything. An instance that was off may come back at another public address:
        `status` then tells the new one.
        """
        instance = self._machine(key)
        deadline = self._cloud.clock() + self._settings.request_timeout * 10
        on = marks.state_name(instance) == "running"
        if action is PowerAction.REBOOT and on:
            self._cloud.api.act("reboot_instances", InstanceIds=[instance["InstanceId"]])
            return
        wanted = "stopped" if action is PowerAction.OFF else "running"
        self._note_power(instance, "off" if action is PowerAction.OFF else "on")
        while (state := marks.state_name(instance)) != wanted:
            if state in ("running", "stopped"):
                method = "stop_instances" if wanted == "stopped" else "start_instances"
                self._cloud.api.act(method, InstanceIds=[instance["InstanceId"]])
            if self._cloud.clock() > deadline:
                raise Temporary(f"{instance['InstanceId']} is still {state}", retry_after=10)
            self._cloud.wait(self._settings.poll)
            instance = self._machine(key)

    def is_on(self, key: str) -> bool:
        """See `Power.is_on`."""
        return marks.state_name(self._machine(key)) in ("pending", "running")

    def _machine(self, key: str) -> Item:
        """The instance its tenant has; `Permanent` if there is none."""
        view = self._cloud.look(key)
        if view.tombstone is None and view.live and marks.READY in marks.tags_of(view.live[0]):
            return view.live[0]
        status = marks.status_of(view, self._settings.ssh_user)
        raise Permanent(f"no tenant has a machine of {key}: {status.detail}", key=key)

    def _note_power(self, instance: Item, wish: str) -> None:
        """Write down what the tenant wants, so that a machine it switched off is not taken for broken."""
        tag = {"Key": marks.POWER, "Value": wish}
        self._cloud.api.act("create_tags", Resources=[instance["InstanceId"]], Tags=[tag])

    # ---- console ---------------------------------------------------------------------------------------

    def open_console(self, key: str) -> ConsoleAccess:
        """See `Console.open_console`: the console's output as EC2 has it."""
        return ConsoleAccess("log", text=self._cloud.api.console(self._machine(key)["InstanceId"]))

    def close_console(self, key: str) -> None:
        """See `Console.close_console`: a log needs no closing."""
