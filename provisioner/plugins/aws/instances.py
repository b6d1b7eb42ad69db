"""What EC2's objects mean to the exchange: which key they carry, its state, its measure. Pure functions.

Everything the plugin makes carries the tags `ocx:provider`, `ocx:key` and `ocx:unit` from its creation on:

- a **key pair** named after the key reserves the key: names are unique in a region, so only one is made.
  `ocx:order` is the digest of the order it was made for; `ocx:ready` says that a machine of it was up;
- a **security group** named after the capacity unit reserves the unit: names are unique in a VPC. EC2 neither
  starts an instance in a group that is gone, nor deletes one that an instance is in: deleting it is the fence
  behind which no late launch of a released key can come;
- the **instance** and its volumes. `ocx:ready`, the host key, and `ocx:address` are set once SSH answered;
  `ocx:power` is `off` while its tenant wants it off;
- a **tombstone**, a key pair that opens nothing, says for `remember_days` that the key was released:
  `ocx:released` (unix seconds), `ocx:volumes`, and `ocx:evidence:N`, base64 of the evidence's facts.

A key whose machine was up is not built a second time: what its tenant had on it would be missing, and nobody
would say so. A machine that was stopped is started again, as its EBS root kept everything.
"""

from __future__ import annotations

import base64
import dataclasses
import datetime
import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from typing import Any

from market.errors import Temporary
from provisioner.plugin import Connection, Order, State, Status, WipeEvidence
from provisioner.plugins.aws.api import Item
from provisioner.responder import cloud_config, detail

__all__ = [
    "ADDRESS",
    "GUEST",
    "KEY",
    "ORDER",
    "POWER",
    "PROVIDER",
    "READY",
    "RELEASED",
    "UNIT",
    "VOLUMES",
    "View",
    "address_of",
    "client_token",
    "connection_of",
    "console_host_key",
    "evidence_of",
    "evidence_tags",
    "group_name",
    "key_name",
    "off_by_tenant",
    "order_digest",
    "reason_of",
    "state_name",
    "status_of",
    "tags_of",
    "tombstone_name",
    "unix",
    "user_data",
    "views",
]

PROVIDER, KEY, UNIT, ORDER = "ocx:provider", "ocx:key", "ocx:unit", "ocx:order"
READY, ADDRESS, POWER, GUEST = "ocx:ready", "ocx:address", "ocx:power", "ocx:guest"
RELEASED, VOLUMES, _EVIDENCE = "ocx:released", "ocx:volumes", "ocx:evidence:"

_TAG_SIZE = 256
_ENDED = re.compile(r"\((\d{4}-\d\d-\d\d \d\d:\d\d:\d\d) (?:GMT|UTC)\)")
_DEAD = ("shutting-down", "terminated")
_OFF = ("stopping", "stopped")
_KEYS_BEGIN, _KEYS_END = "BEGIN SSH HOST KEY KEYS", "END SSH HOST KEY KEYS"


def tags_of(item: Item) -> dict[str, str]:
    """The tags of anything EC2 describes."""
    return {tag["Key"]: tag.get("Value", "") for tag in item.get("Tags") or []}


def state_name(instance: Item) -> str:
    """EC2's word for the instance's state; `Temporary` if half an answer has none."""
    if not (name := instance["State"].get("Name")):
        raise Temporary("AWS described an instance without its state", retry_after=2)
    return str(name)


@dataclasses.dataclass(frozen=True)
class View:
    """All that carries one key, as EC2 showed it in one look."""

    key: str
    instances: tuple[Item, ...] = ()
    groups: tuple[Item, ...] = ()
    reservation: Item | None = None
    tombstone: Item | None = None

    @property
    def live(self) -> tuple[Item, ...]:
        """Instances that run or could again, the one that counts first: all who look agree on it."""
        return tuple(sorted((i for i in self.instances if state_name(i) not in _DEAD), key=_rank))

    @property
    def dead(self) -> tuple[Item, ...]:
        """Instances that have ended, or are about to, the last one first."""
        ended = (i for i in self.instances if state_name(i) in _DEAD)
        return tuple(sorted(ended, key=lambda i: (i["LaunchTime"], i["InstanceId"]), reverse=True))

    @property
    def was_ready(self) -> bool:
        """Whether a machine of this key was up once."""
        marked = [self.reservation] if self.reservation else []
        return any(READY in tags_of(item) for item in [*self.instances, *marked])

    @property
    def exists(self) -> bool:
        """Whether anything carries the key: a tombstone does not, nor an instance that ended under one."""
        left = any(state_name(i) != "terminated" for i in self.instances)
        unburied = bool(self.instances) and self.tombstone is None
        return left or unburied or bool(self.groups) or self.reservation is not None

    @property
    def unit(self) -> str | None:
        """The capacity unit that carries the key."""
        marked = [item for item in (self.reservation, self.tombstone) if item]
        for item in [*marked, *self.groups, *self.instances]:
            if unit := tags_of(item).get(UNIT):
                return unit
        return None


def _rank(instance: Item) -> tuple[bool, Any, str]:
    """Which of two instances of one key counts: one that was handed over, then the elder."""
    return READY not in tags_of(instance), instance["LaunchTime"], str(instance["InstanceId"])


def views(instances: Iterable[Item], groups: Iterable[Item], key_pairs: Iterable[Item]) -> dict[str, View]:
    """Everything of one provider, by key."""
    found: dict[str, View] = {}
    for instance in instances:
        view = _view(found, instance)
        found[view.key] = dataclasses.replace(view, instances=(*view.instances, instance))
    for group in groups:
        view = _view(found, group)
        found[view.key] = dataclasses.replace(view, groups=(*view.groups, group))
    for pair in key_pairs:
        view = _view(found, pair)
        field = "tombstone" if RELEASED in tags_of(pair) else "reservation"
        found[view.key] = dataclasses.replace(view, **{field: pair})  # type: ignore[arg-type]
    found.pop("", None)
    return found


def _view(found: Mapping[str, View], item: Item) -> View:
    key = tags_of(item).get(KEY, "")
    return found.get(key, View(key))


# ---- names that EC2 keeps unique ---------------------------------------------------------------------------


def key_name(provider: str, key: str) -> str:
    """Name of the key pair that reserves a key."""
    return f"ocx-{_digest(provider, key)[:40]}"


def tombstone_name(provider: str, key: str) -> str:
    """Name of the key pair that says a key was released."""
    return f"ocx-released-{_digest(provider, key)[:40]}"


def group_name(provider: str, unit: str) -> str:
    """Name of the security group that reserves a capacity unit."""
    return f"ocx/{provider}/{unit}"


def client_token(provider: str, key: str, attempt: int) -> str:
    """The ClientToken of a key's launch: the same for every agent that makes this attempt."""
    return _digest(provider, key, str(attempt))


def order_digest(order: Order) -> str:
    """What must not change between two uses of a key; the window may."""
    return _digest(order.local_id, order.hostname, *sorted(order.ssh_public_keys))


def _digest(*words: str) -> str:
    return hashlib.sha256(json.dumps(words).encode()).hexdigest()


# ---- what an instance is told, and tells -------------------------------------------------------------------


def user_data(order: Order, user: str, more: Mapping[str, Any], responder: int = 0) -> str:
    """The cloud-config of an order that lets `user` in, JSON being YAML; the same for every attempt.

    `responder`: where the order's responder listens, 0 if these machines have none.
    """
    told = {
        **(cloud_config(responder, more) if order.responder and responder else more),
        "hostname": order.hostname,
        "preserve_hostname": False,
        "ssh_pwauth": False,
        "disable_root": user != "root",
        "ssh_authorized_keys": [line.strip() for line in order.ssh_public_keys],
    }
    return "#cloud-config\n" + json.dumps(told, sort_keys=True) + "\n"


def console_host_key(text: str) -> str | None:
    """The ed25519 host key cloud-init printed last, `ssh-ed25519 AAAA...`; None if it has printed none."""
    found, inside = None, False
    for line in text.splitlines():
        if _KEYS_BEGIN in line or _KEYS_END in line:
            inside = _KEYS_BEGIN in line
        elif inside and "ssh-ed25519 " in line:
            words = line[line.index("ssh-ed25519 ") :].split()
            found = " ".join(words[:2]) if len(words) >= 2 else found
    return found


def address_of(instance: Item, *, public: bool) -> str | None:
    """Where the tenant reaches the instance now; None if it has no address."""
    address = instance.get("PublicIpAddress" if public else "PrivateIpAddress")
    return str(address) if address else None


def connection_of(instance: Item, user: str) -> Connection:
    """How to reach an instance that was ready: at its address of now, or the last one while it is off."""
    tags = tags_of(instance)
    last, _, port = tags.get(ADDRESS, ":22").rpartition(":")
    public = last != instance.get("PrivateIpAddress")
    host = address_of(instance, public=public) or last
    return Connection(host, int(port), user, tags[READY], detail(host, int(tags.get(GUEST, 0))))


def reason_of(instance: Item) -> str:
    """Why an instance is in its state, in EC2's words."""
    words = (instance.get("StateReason") or {}).get("Message") or instance.get("StateTransitionReason") or ""
    return " ".join(str(words).split())[:200] or "EC2 gives no reason"


def off_by_tenant(instance: Item) -> bool:
    """Whether an instance that is off is so because its tenant switched it off."""
    inside = (instance.get("StateReason") or {}).get("Code") == "Client.InstanceInitiatedShutdown"
    return inside or tags_of(instance).get(POWER) == "off"


def status_of(view: View, user: str) -> Status:
    """Where the key of a view stands."""
    if not view.exists:
        return Status(State.ABSENT, "nothing carries this key")
    if view.tombstone is not None:
        left = ", ".join(f"{i['InstanceId']} is {state_name(i)}" for i in view.instances)
        return Status(State.RELEASING, left or "its security group goes last", local_id=view.unit)
    if not view.live:
        return _without_instance(view)
    instance = view.live[0]
    name, ready = state_name(instance), READY in tags_of(instance)
    said, power = f"{instance['InstanceId']} is {name}", name == "running"
    if name in _OFF and not (ready and off_by_tenant(instance)):
        return Status(State.FAILED, f"{said}: {reason_of(instance)}", local_id=view.unit, power=power)
    if not ready:
        return Status(State.BUILDING, said, local_id=view.unit)
    return Status(State.READY, said, connection_of(instance, user), view.unit, power)


def _without_instance(view: View) -> Status:
    if view.dead:
        detail = f"{view.dead[0]['InstanceId']} has ended: {reason_of(view.dead[0])}"
        return Status(State.FAILED, detail, local_id=view.unit)
    if view.was_ready:
        return Status(State.FAILED, "its instance is gone, longer than EC2 remembers", local_id=view.unit)
    return Status(State.BUILDING, "reserved; no instance yet", local_id=view.unit)


# ---- evidence ----------------------------------------------------------------------------------------------


def evidence_tags(evidence: WipeEvidence) -> dict[str, str]:
    """The tags that keep evidence on a tombstone."""
    kept = {"at": evidence.wiped_at, "unit": evidence.local_id, "facts": evidence.facts}
    text = base64.b64encode(json.dumps(kept, sort_keys=True).encode()).decode()
    return {
        f"{_EVIDENCE}{n}": text[at : at + _TAG_SIZE] for n, at in enumerate(range(0, len(text), _TAG_SIZE))
    }


def evidence_of(view: View) -> WipeEvidence | None:
    """The evidence its tombstone keeps; None if there is none, or it is not written out yet."""
    tags = tags_of(view.tombstone) if view.tombstone else {}
    text = "".join(tags.get(f"{_EVIDENCE}{n}", "") for n in range(len(tags)))
    try:
        kept = json.loads(base64.b64decode(text, validate=True))
        return WipeEvidence(view.key, kept["unit"], int(kept["at"]), kept["facts"])
    except (ValueError, KeyError, TypeError):
        return None


def ended_at(instance: Mapping[str, Any]) -> int | None:
    """The second at which EC2 says that an instance was ended, unix; None if it does not say."""
    found = _ENDED.search(str(instance.get("StateTransitionReason") or ""))
    if found is None:
        return None
    return int(datetime.datetime.strptime(found.group(1) + "+0000", "%Y-%m-%d %H:%M:%S%z").timestamp())


def unix(moment: datetime.datetime | None) -> int | None:
    """Unix seconds of one of boto3's times."""
    return None if moment is None else int(moment.timestamp())
