"""Release: from whatever carries a key to nothing, and the proof of it.

The tombstone comes first, so no call builds again what this one takes down; then the instances, the volumes
that did not go with them, the unit's security group (EC2 keeps it while any instance is in it, one that does
not show yet included), and last the key's own reservation.
"""

from __future__ import annotations

import contextlib
from typing import Any

from market.errors import OcxError, Temporary
from provisioner.plugin import WipeEvidence
from provisioner.plugins.aws import instances as marks
from provisioner.plugins.aws.api import Item
from provisioner.plugins.aws.cloud import Cloud
from provisioner.plugins.aws.errors import AwsRefusal, AwsTrouble, code_of
from provisioner.plugins.aws.reserve import drop_reservation, useless_public_key

__all__ = ["Takedown"]

_PROMISE = "EC2 says the volume no longer exists; that its blocks are zeroed is AWS's promise, not measured"


class Takedown:
    """One call of `release`."""

    def __init__(self, cloud: Cloud, key: str) -> None:
        self._cloud, self._key, self._api = cloud, key, cloud.api
        self._deadline = cloud.clock() + cloud.settings.release_timeout
        self._seen: dict[str, Item] = {}
        self._groups: set[str] = set()

    def run(self) -> WipeEvidence:
        """Do it; see `Provisioner.release`."""
        while True:
            with self._cloud.step(self._key):
                view = self._cloud.look(self._key)
                if not view.exists:
                    return self._former_evidence(view)
                self._seen |= {i["InstanceId"]: i for i in view.instances}
                self._groups |= {g["GroupId"] for g in view.groups}
                left = self._advance(view)
                if not left:
                    return self._finish(view)
            if self._cloud.clock() > self._deadline:
                raise Temporary(f"the release of {self._key} is not done: {left}", retry_after=10)
            self._cloud.wait(self._cloud.settings.poll)

    def _advance(self, view: marks.View) -> str:
        """Take the steps that can be taken now; what is left, or an empty text."""
        if view.tombstone is None:
            self._bury(view)
        if view.live:
            self._api.act("terminate_instances", InstanceIds=[i["InstanceId"] for i in view.live])
        left = [i["InstanceId"] for i in view.instances if marks.state_name(i) != "terminated"]
        if left:
            return f"{', '.join(left)} not terminated yet"
        if volumes := self._delete_volumes():
            return f"{', '.join(volumes)} not deleted yet"
        if view.groups:
            # Looked at once more after the group is gone: then nothing can come any more.
            return self._delete_groups(view.groups) or "its security group was only just deleted"
        return "" if view.tombstone else "its tombstone does not show yet"

    def _bury(self, view: marks.View) -> None:
        """Write down that the key is released, and which volumes it had."""
        mapped = [m.get("Ebs", {}).get("VolumeId") for i in view.instances for m in i["BlockDeviceMappings"]]
        tagged = [volume["VolumeId"] for volume in self._volumes()]
        tags = self._cloud.tags(self._key, view.unit) | {
            marks.RELEASED: str(int(self._cloud.clock())),
            marks.VOLUMES: " ".join(sorted({v for v in [*mapped, *tagged] if v})[:11]),
        }
        try:
            self._api.act(
                "import_key_pair",
                KeyName=marks.tombstone_name(self._cloud.settings.provider, self._key),
                PublicKeyMaterial=useless_public_key(),
                TagSpecifications=[self._cloud.specification("key-pair", tags)],
            )
        except AwsRefusal as error:
            if code_of(error) != "InvalidKeyPair.Duplicate":
                raise

    def _volumes(self) -> list[Item]:
        return self._api.volumes(
            {f"tag:{marks.PROVIDER}": self._cloud.settings.provider, f"tag:{marks.KEY}": self._key}
        )

    def _delete_volumes(self) -> list[str]:
        """Delete what did not go with its instance; the ids of what is still there."""
        left = self._volumes()
        for volume in left:
            if volume.get("State") in ("available", "error"):
                self._gone(lambda v=volume["VolumeId"]: self._api.act("delete_volume", VolumeId=v))
        return [volume["VolumeId"] for volume in left]

    def _delete_groups(self, groups: tuple[Item, ...]) -> str:
        """Delete the unit's security group; why that did not work, or an empty text."""
        for group in groups:
            try:
                self._gone(lambda g=group["GroupId"]: self._api.act("delete_security_group", GroupId=g))
            except (AwsTrouble, AwsRefusal) as error:
                if code_of(error) not in ("DependencyViolation", "InvalidGroup.InUse"):
                    raise
                return f"something still uses the security group {group['GroupId']}"
        return ""

    @staticmethod
    def _gone(delete: Any) -> None:
        """Delete something that another call may have deleted meanwhile."""
        try:
            delete()
        except (AwsTrouble, AwsRefusal) as error:
            if not code_of(error).endswith(".NotFound"):
                raise

    def _finish(self, view: marks.View) -> WipeEvidence:
        """Write the evidence on the tombstone, then let the reservation go."""
        # Looked at anew: another release may have written since, and what stands there first should stay.
        evidence = marks.evidence_of(self._cloud.look(self._key))
        if evidence is None and view.tombstone is not None:
            evidence = self._evidence(view)
            listed = [{"Key": name, "Value": value} for name, value in marks.evidence_tags(evidence).items()]
            self._api.act("create_tags", Resources=[view.tombstone["KeyPairId"]], Tags=listed)
        drop_reservation(self._cloud, self._key)
        self._forget_old_keys()
        # Two releases at once may both have written; both return what stands there now.
        return self._former_evidence(self._cloud.look(self._key), evidence)

    def _evidence(self, view: marks.View) -> WipeEvidence:
        tags = marks.tags_of(view.tombstone or {})
        released = int(tags.get(marks.RELEASED, "0"))
        ended = [marks.ended_at(instance) for instance in self._seen.values()]
        facts = {
            "plugin": "aws",
            "account": self._api.account(),
            "region": self._cloud.settings.region,
            "instances": [_fact(instance) for _, instance in sorted(self._seen.items())],
            "volumes_gone": tags.get(marks.VOLUMES, "").split(),
            "volumes": _PROMISE,
            "security_groups_gone": sorted(self._groups),
            "released_at": released,
        }
        # EC2's word, not our clock's: two releases at once then write the same.
        at = max([released, *(second for second in ended if second)])
        return WipeEvidence(self._key, view.unit, at or int(self._cloud.clock()), facts)

    def _former_evidence(self, view: marks.View, known: WipeEvidence | None = None) -> WipeEvidence:
        """The evidence of a key nothing carries: from its tombstone, or that there is none."""
        found = marks.evidence_of(view) or known
        if found is not None:
            return found
        facts = {"plugin": "aws", "absent": True, "region": self._cloud.settings.region}
        return WipeEvidence(self._key, None, int(self._cloud.clock()), facts)

    def _forget_old_keys(self) -> None:
        """Delete tombstones that are older than `remember_days`."""
        settings = self._cloud.settings
        oldest = self._cloud.clock() - settings.remember_days * 86400
        with contextlib.suppress(OcxError):  # housekeeping: the next release tries it again
            for pair in self._api.key_pairs(
                {f"tag:{marks.PROVIDER}": settings.provider, "tag-key": marks.RELEASED}
            ):
                if int(marks.tags_of(pair)[marks.RELEASED]) < oldest:
                    self._api.act("delete_key_pair", KeyPairId=pair["KeyPairId"])


def _fact(instance: Item) -> dict[str, Any]:
    """What the evidence says of one instance."""
    return {
        "id": instance["InstanceId"],
        "type": instance["InstanceType"],
        "state": marks.state_name(instance),
        "launched_at": marks.unix(instance.get("LaunchTime")),
        "reason": str(instance.get("StateTransitionReason") or ""),
        "code": str((instance.get("StateReason") or {}).get("Code") or ""),
    }
