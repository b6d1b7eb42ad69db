"""Provisioning: from an order to an instance somebody can log in to, one idempotent step at a time.

Every step looks first, so a call may join, at any point, what another thread, process or agent began. Who
makes the unit's security group launches at once; who finds it made waits `patience` for that launch to show
and then repeats it with the same ClientToken, which on EC2 makes nothing new. On a cloud that honours no
ClientToken, or where an instance showed late, there may be two for a moment: all who look agree which one
counts, and end the other.
"""

from __future__ import annotations

import re
from typing import Any

from market.errors import Permanent, Temporary
from provisioner.plugin import Connection, Order
from provisioner.plugins.aws import instances as marks
from provisioner.plugins.aws.api import Item
from provisioner.plugins.aws.cloud import Cloud
from provisioner.plugins.aws.errors import AwsRefusal, AwsTrouble, code_of
from provisioner.plugins.aws.reserve import drop_reservation, require_same_order, reserve
from provisioner.ssh import host_key_at

__all__ = ["Build"]

_KEY = re.compile(r"[A-Za-z0-9._:/=+@-]{1,200}")
_USER_DATA_SIZE = 16384
_MOST_ATTEMPTS = 20
_NOT_YET = ("InvalidGroup.NotFound", "InvalidKeyPair.NotFound")


class Build:
    """One call of `provision`."""

    def __init__(self, cloud: Cloud, order: Order) -> None:
        self._cloud, self._order = cloud, order
        self._settings, self._api = cloud.settings, cloud.api
        self._product = cloud.product(order.local_id)
        self._guest_port = self._product.responder_port if order.responder else 0
        self._user_data = marks.user_data(
            order, self._settings.ssh_user, self._product.cloud_config, self._guest_port
        )
        if not _KEY.fullmatch(order.key):
            raise Permanent(
                f"EC2 cannot carry the key {order.key!r}", hint="It takes 200 letters, digits, ._:/=+@-"
            )
        if len(self._user_data) > _USER_DATA_SIZE:
            raise Permanent(
                "EC2 takes no more than 16 KiB of user data", hint="Give fewer or shorter SSH keys."
            )
        now = cloud.clock()
        self._deadline, self._patient_until = now + self._settings.launch_timeout, now
        self._launched: str | None = None
        self._first = True
        self._settled_at = now
        self._restarted = self._unproven = False
        self._answered_at: float | None = None
        self._seen: tuple[str, str] | None = None

    def run(self) -> Connection:
        """Do it; see `Provisioner.provision`."""
        with self._cloud.step(self._order.key):
            self._first = reserve(self._cloud, self._order, self._product)
            if not self._first:
                self._patient_until += self._settings.patience
        while True:
            with self._cloud.step(self._order.key):
                view = self._look()
                instance = self._advance(view)
                up = instance is not None and self._is_up(instance)
                if instance and up and self._cloud.clock() >= self._settled_at:
                    return marks.connection_of(instance, self._settings.ssh_user)
                noted = instance is not None and not up and self._note_ready(view, instance)
            if instance and not noted and not up:
                self._seen = self._see(instance)
            if self._cloud.clock() > self._deadline:
                raise Temporary(self._overdue(view), retry_after=10)
            if up or (not noted and self._seen is None):
                self._cloud.wait(self._settings.poll)

    def _is_up(self, instance: Item) -> bool:
        """Whether the tenant may have it as it is: it answered, or its tenant switched it off."""
        if marks.READY not in marks.tags_of(instance):
            return False
        state = marks.state_name(instance)
        if state in ("stopping", "stopped"):
            return marks.off_by_tenant(instance)
        return state == "running" and not self._unproven

    def _look(self) -> marks.View:
        """What carries the key, if it is still ours to build."""
        view = self._cloud.look(self._order.key)
        if view.tombstone is not None:
            self._end([i for i in view.live if i["InstanceId"] == self._launched])
            if not view.instances and not view.groups:
                drop_reservation(self._cloud, self._order.key)
            raise Permanent(f"{self._order.key} was released and cannot be used again")
        require_same_order(view, self._order)
        return view

    def _advance(self, view: marks.View) -> Item | None:
        """Take the one step that leads on; the instance that counts, if there is one."""
        if not view.live:
            self._launch(view)
            return None
        instance, *doubles = view.live
        self._end(doubles)
        ready = marks.READY in marks.tags_of(instance)
        if marks.state_name(instance) == "stopped" and not (ready and marks.off_by_tenant(instance)):
            self._start_again(instance)
        return instance

    # ---- launching -------------------------------------------------------------------------------------

    def _launch(self, view: marks.View) -> None:
        """Run an instance, unless one is on its way."""
        dead = [i["InstanceId"] for i in view.dead]
        if ended := [i for i in view.dead if i["InstanceId"] == self._launched]:
            why = marks.reason_of(ended[0])
            raise Temporary(f"EC2 ended {self._launched} while it started: {why}", retry_after=30)
        if view.was_ready:
            why = marks.reason_of(view.dead[0]) if view.dead else "EC2 remembers no more of it"
            raise Permanent(
                f"the instance of {self._order.key} has ended: {why}",
                hint="What its tenant had on it is gone, so it is not built again; release the key.",
            )
        if self._launched is not None or self._cloud.clock() < self._patient_until:
            return
        groups = [
            group for group in view.groups if marks.tags_of(group).get(marks.UNIT) == self._order.local_id
        ]
        if not groups:
            return  # made a moment ago, it will show
        parameters = self._parameters(groups[0]["GroupId"])
        for attempt in range(len(dead), len(dead) + _MOST_ATTEMPTS):
            token = marks.client_token(self._settings.provider, self._order.key, attempt)
            try:
                self._launched = self._api.launch(ClientToken=token, **parameters)
            except AwsRefusal as error:
                if code_of(error) != "IdempotentInstanceTerminated":
                    raise
            except AwsTrouble as error:
                # Launched before, with settings that have changed since; or what it needs does not show yet.
                if code_of(error) not in ("IdempotentParameterMismatch", *_NOT_YET):
                    raise
                self._patient_until = self._cloud.clock() + self._settings.patience
                return
            else:
                # Another call may have launched just now, and what it launched may not show yet.
                if not self._first:
                    self._settled_at = self._cloud.clock() + self._settings.patience
                return
        raise Temporary(f"EC2 ended every launch of {self._order.key}", retry_after=60)

    def _parameters(self, group: str) -> dict[str, Any]:
        """What to ask of RunInstances: the same for every agent and attempt, but for the token."""
        product, tags = self._product, self._cloud.tags(self._order.key, self._order.local_id)
        card: dict[str, Any] = {
            "DeviceIndex": 0,
            "Groups": [group],
            "AssociatePublicIpAddress": product.public,
            "DeleteOnTermination": True,
        }
        root = {
            "VolumeSize": product.root_gib,
            "VolumeType": product.root_type,
            "Encrypted": product.encrypted,
            "DeleteOnTermination": True,
        }
        kinds = [
            ("instance", {**tags, "Name": self._order.hostname}),
            ("volume", tags),
            ("network-interface", tags),
        ]
        return {
            "MetadataOptions": {"HttpTokens": "required", "HttpEndpoint": "enabled"},
            "InstanceInitiatedShutdownBehavior": "stop",
            "BlockDeviceMappings": [{"DeviceName": product.root_device, "Ebs": root}],
            **product.extra,
            "ImageId": product.image,
            "InstanceType": product.instance_type,
            "KeyName": marks.key_name(self._settings.provider, self._order.key),
            "UserData": self._user_data,
            "NetworkInterfaces": [card | ({"SubnetId": product.subnet} if product.subnet else {})],
            "TagSpecifications": [self._cloud.specification(kind, kept) for kind, kept in kinds],
        }

    def _end(self, doubles: list[Item]) -> None:
        """Terminate instances of our key that nobody was given."""
        if doubles:
            self._api.act("terminate_instances", InstanceIds=[i["InstanceId"] for i in doubles])

    def _start_again(self, instance: Item) -> None:
        """Start an instance that somebody else stopped; once per call."""
        if self._restarted:
            raise Temporary(
                f"{instance['InstanceId']} stopped again: {marks.reason_of(instance)}", retry_after=30
            )
        self._restarted = self._unproven = True
        try:
            self._api.act("start_instances", InstanceIds=[instance["InstanceId"]])
        except AwsTrouble as error:
            if code_of(error) != "IncorrectInstanceState":  # which says that another call was quicker
                raise

    # ---- handing over ----------------------------------------------------------------------------------

    def _see(self, instance: Item) -> tuple[str, str] | None:
        """The instance's id and the host key it presents, once it does and can be believed.

        EC2's console is read through AWS's own API, so what cloud-init prints there did not cross the network
        between the agent and the machine; what merely answers at the address did.
        """
        name, host = str(instance["InstanceId"]), marks.address_of(instance, public=self._product.public)
        if host is None or marks.state_name(instance) != "running":
            return None
        seen = host_key_at(host, self._product.ssh_port, seconds=3)
        if seen is None or self._settings.host_key_from == "network":
            return (name, seen) if seen else None
        now = self._cloud.clock()
        if self._answered_at is None:
            self._answered_at = now
        told = marks.console_host_key(self._api.console(name))
        if told is not None and told != seen:
            raise Temporary(
                f"at {host} another host key answers than {name} shows on its console",
                hint="Another machine may hold that address.",
                retry_after=30,
            )
        late = now >= self._answered_at + self._settings.console_timeout
        return (name, seen) if told or (late and self._settings.host_key_from != "console") else None

    def _note_ready(self, view: marks.View, instance: Item) -> bool:
        """Write down, on instance and reservation, that its tenant may have it; False if it is not up yet."""
        up = marks.state_name(instance) == "running"
        if not up or self._seen is None or self._seen[0] != instance["InstanceId"]:
            return False
        host = marks.address_of(instance, public=self._product.public)
        tags = {marks.READY: self._seen[1], marks.ADDRESS: f"{host}:{self._product.ssh_port}"}
        tags |= {marks.GUEST: str(self._guest_port)} if self._guest_port else {}
        listed = [{"Key": name, "Value": value} for name, value in tags.items()]
        marked = [instance["InstanceId"], *([view.reservation["KeyPairId"]] if view.reservation else [])]
        self._api.act("create_tags", Resources=marked, Tags=listed)
        self._seen, self._unproven = None, False
        return True

    def _overdue(self, view: marks.View) -> str:
        """Why it took too long, in a line."""
        if not view.live:
            return f"no instance of {self._order.key} shows in EC2"
        instance = view.live[0]
        name, shown = instance["InstanceId"], marks.state_name(instance)
        if shown != "running":
            return f"{name} is still {shown}"
        at = f"{marks.address_of(instance, public=self._product.public)}:{self._product.ssh_port}"
        if self._answered_at is not None:
            return f"{name} answers at {at}, but its console shows no SSH host key"
        return f"{name} runs but no SSH answers at {at}; does ssh_cidrs let the agent in?"
