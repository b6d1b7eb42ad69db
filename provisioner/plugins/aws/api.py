"""EC2's API as the plugin uses it: calls through boto3 that return the truth or raise an error of ours.

An answer without the list that was asked for is half an answer, never an empty list. This module must not
know about keys, orders and leases.
"""

from __future__ import annotations

import datetime
import email.utils
import threading
from collections.abc import Mapping, Sequence
from typing import Any

from market.errors import OcxError
from provisioner.plugins.aws.errors import TROUBLES, AwsRefusal, AwsTrouble, code_of, translate
from provisioner.plugins.aws.session import Clients
from provisioner.plugins.aws.settings import AwsSettings

__all__ = ["Ec2Api", "Item", "Tags"]

Item = dict[str, Any]
"""An instance, group, key pair, volume as EC2 describes it."""

Tags = Mapping[str, str]

_PAGE = 1000


class Ec2Api:
    """Calls to one region of one account; connects at the first one. Safe to use from several threads.

    Every method raises `AwsTrouble` (`NoCapacity` among them) if AWS cannot be reached or cannot do it now,
    and `AwsRefusal` if it refuses; both carry AWS's own `code`.
    """

    def __init__(self, settings: AwsSettings) -> None:
        self._settings = settings
        self._lock = threading.Lock()
        self._clients: Clients | None = None
        self._account: str | None = None

    # ---- who we are ------------------------------------------------------------------------------------

    def account(self) -> str:
        """The account's twelve digits; asked once."""
        if self._account is None:
            self._account = str(self._call("sts", "get_caller_identity", "Account")["Account"])
        return self._account

    def identity(self) -> tuple[str, float]:
        """The caller's ARN, and how many seconds AWS's clock is ahead of ours (negative: behind)."""
        answer = self._call("sts", "get_caller_identity", "Arn")
        told = answer.get("ResponseMetadata", {}).get("HTTPHeaders", {}).get("date")
        now = datetime.datetime.now(datetime.UTC)
        there = email.utils.parsedate_to_datetime(told) if told else now
        return str(answer["Arn"]), (there - now).total_seconds()

    # ---- reading ---------------------------------------------------------------------------------------

    def instances(self, filters: Tags) -> list[Item]:
        """All instances that match, terminated ones as long as EC2 shows them."""
        reservations = self._pages("describe_instances", "Reservations", filters)
        found = [instance for each in reservations for instance in each.get("Instances") or [{}]]
        return _whole(found, "InstanceId", "State", "LaunchTime")

    def groups(self, filters: Tags) -> list[Item]:
        """All security groups that match."""
        return _whole(self._pages("describe_security_groups", "SecurityGroups", filters), "GroupId")

    def key_pairs(self, filters: Tags) -> list[Item]:
        """All key pairs that match."""
        found = self.describe("describe_key_pairs", "KeyPairs", Filters=_filters(filters))
        return _whole(found, "KeyPairId")

    def volumes(self, filters: Tags) -> list[Item]:
        """All volumes that match."""
        return _whole(self._pages("describe_volumes", "Volumes", filters), "VolumeId", "State")

    def instance_types(self, names: Sequence[str]) -> dict[str, Item]:
        """What EC2 says of these instance types, by name; `AwsRefusal` for one that it does not know."""
        answer = self._call(
            "ec2", "describe_instance_types", "InstanceTypes", InstanceTypes=sorted(set(names))
        )
        return {kind["InstanceType"]: kind for kind in answer["InstanceTypes"]}

    def console(self, instance: str) -> str:
        """The console's output as far as EC2 has it; empty if there is none yet."""
        try:
            answer = self._call("ec2", "get_console_output", "InstanceId", InstanceId=instance, Latest=True)
        except AwsRefusal as error:
            if code_of(error) not in ("UnsupportedOperation", "InvalidParameterCombination"):
                raise
            answer = self._call("ec2", "get_console_output", "InstanceId", InstanceId=instance)
        return str(answer.get("Output") or "")

    def describe(self, method: str, member: str, **parameters: Any) -> list[Item]:
        """Any other description that fits one page."""
        listed: list[Item] = self._call("ec2", method, member, **parameters)[member]
        return listed

    # ---- acting ----------------------------------------------------------------------------------------

    def act(self, method: str, **parameters: Any) -> Item:
        """Any call that changes something; what botocore repeats must be idempotent."""
        return self._call("ec2", method, None, **parameters)

    def launch(self, **parameters: Any) -> str:
        """Run one instance, asked exactly once; its id."""
        answer = self._call("launch", "run_instances", "Instances", MinCount=1, MaxCount=1, **parameters)
        return str(answer["Instances"][0]["InstanceId"])

    def refusal(self, method: str, **parameters: Any) -> OcxError | None:
        """What AWS would say to a call: a dry run. None: it would do it."""
        try:
            self._call("launch", method, None, DryRun=True, **parameters)
        except OcxError as error:
            return None if code_of(error) == "DryRunOperation" else error
        return None

    # ---- inner -----------------------------------------------------------------------------------------

    def _pages(self, method: str, member: str, filters: Tags) -> list[Item]:
        found: list[Item] = []
        more: dict[str, Any] = {}
        while True:
            page = self._call("ec2", method, member, Filters=_filters(filters), MaxResults=_PAGE, **more)
            found += page[member]
            if not page.get("NextToken"):
                return found
            more = {"NextToken": page["NextToken"]}

    def _call(self, client: str, method: str, member: str | None, **parameters: Any) -> Item:
        what = "".join(word.capitalize() for word in method.split("_"))
        try:
            answer: Item = getattr(self._client(client), method)(**parameters)
        except (OcxError, *TROUBLES) as error:
            told = translate(error, what)
            if isinstance(told, AwsTrouble | AwsRefusal) and code_of(told) != "DryRunOperation":
                self._forget(told)
            raise told from (None if told is error else error)
        if member is not None and member not in answer:
            raise AwsTrouble(f"AWS gave half an answer to {what}: there is no {member} in it", retry_after=2)
        return answer

    def _client(self, name: str) -> Any:
        with self._lock:
            if self._clients is None:
                self._clients = Clients(self._settings)
            return self._clients.get(name)

    def _forget(self, error: OcxError) -> None:
        """Make the clients anew after a refusal that newer credentials may cure."""
        if code_of(error) in ("AuthFailure", "InvalidClientTokenId", "ExpiredToken", "RequestExpired", ""):
            with self._lock:
                self._clients = None


def _whole(items: list[Item], *fields: str) -> list[Item]:
    """The items, if each has these fields."""
    for item in items:
        if missing := [field for field in fields if not item.get(field)]:
            raise AwsTrouble(f"AWS gave half an answer: something without {missing[0]}", retry_after=2)
    return items


def _filters(filters: Tags) -> list[Item]:
    return [{"Name": name, "Values": [value]} for name, value in filters.items()]
