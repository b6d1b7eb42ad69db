"""Reserving: names that EC2 keeps unique see to it that a key is used once and a unit carries one key."""

from __future__ import annotations

import contextlib

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from market.errors import Permanent, Temporary
from provisioner.plugin import Conflict, Order
from provisioner.plugins.aws import instances as marks
from provisioner.plugins.aws.api import Item
from provisioner.plugins.aws.cloud import Cloud
from provisioner.plugins.aws.errors import AwsRefusal, code_of
from provisioner.plugins.aws.settings import Product

__all__ = ["drop_reservation", "require_same_order", "reserve", "useless_public_key"]

_IMPORTABLE = ("ssh-ed25519 ", "ssh-rsa ")


def require_same_order(view: marks.View, order: Order) -> None:
    """Raise unless the key was first used with this order, or not at all, and was never released."""
    if view.tombstone is not None:
        raise Permanent(f"{order.key} was released and cannot be used again")
    if view.unit not in (None, order.local_id):
        raise Permanent(f"{order.key} holds {view.unit}, not {order.local_id}")
    kept = marks.tags_of(view.reservation).get(marks.ORDER) if view.reservation else None
    if kept not in (None, marks.order_digest(order)):
        raise Permanent(f"{order.key} was first used with another hostname or other SSH keys")


def reserve(cloud: Cloud, order: Order, product: Product) -> bool:
    """Reserve key and unit for the order, or find them reserved; True if this call made the unit's group.

    Raises `Conflict` if the unit carries another key or a group of its name is not ours, `Temporary` if that
    key is being released, `Permanent` if the key was released or first used for another order.
    """
    view = cloud.look(order.key)
    require_same_order(view, order)
    group = view.groups[0] if view.groups else None
    if group is None and (holder := _group_of(cloud, order.local_id, product)) is not None:
        group = _ours(cloud, order, holder)
    imported = view.reservation is None and _import_key(cloud, order)
    if view.reservation is None and not imported:
        require_same_order(cloud.look(order.key), order)
    made = group is None
    if group is None:
        group = _make_group(cloud, order, product, imported)
    _keep_rules(cloud, group, product, order)
    return made


def drop_reservation(cloud: Cloud, key: str) -> None:
    """Delete the key pair that reserves the key; nothing happens if there is none."""
    cloud.api.act("delete_key_pair", KeyName=marks.key_name(cloud.settings.provider, key))


def useless_public_key() -> bytes:
    """A public key whose private half was never kept."""
    public = Ed25519PrivateKey.generate().public_key()
    return public.public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH)


def _import_key(cloud: Cloud, order: Order) -> bool:
    """Reserve the key by a key pair of the tenant's first key EC2 can hold; False if it is there already."""
    own = [line.strip() for line in order.ssh_public_keys if line.startswith(_IMPORTABLE)]
    tags = cloud.tags(order.key, order.local_id) | {marks.ORDER: marks.order_digest(order)}

    def ask(material: bytes) -> None:
        cloud.api.act(
            "import_key_pair",
            KeyName=marks.key_name(cloud.settings.provider, order.key),
            PublicKeyMaterial=material,
            TagSpecifications=[cloud.specification("key-pair", tags)],
        )

    try:
        try:
            ask(own[0].encode() if own else useless_public_key())
        except AwsRefusal as error:
            if code_of(error) != "InvalidKey.Format" or not own:
                raise
            ask(useless_public_key())  # the keys that count are in the user data
    except AwsRefusal as error:
        if code_of(error) != "InvalidKeyPair.Duplicate":
            raise
        return False
    return True


def _make_group(cloud: Cloud, order: Order, product: Product, imported: bool) -> Item:
    """Make the unit's security group, or find that another call was quicker."""
    name = marks.group_name(cloud.settings.provider, order.local_id)
    vpc = {"VpcId": _vpc_of(cloud, product.subnet)} if product.subnet else {}
    try:
        made = cloud.api.act(
            "create_security_group",
            GroupName=name,
            Description=f"OCX capacity {order.local_id}",
            TagSpecifications=[cloud.specification("security-group", cloud.tags(order.key, order.local_id))],
            **vpc,
        )
    except AwsRefusal as error:
        if code_of(error) != "InvalidGroup.Duplicate":
            raise
    else:
        return {"GroupId": made["GroupId"], "IpPermissions": [], "IpPermissionsEgress": None}
    holder = _group_of(cloud, order.local_id, product)
    if holder is None:
        raise Temporary(f"the security group {name} does not show yet", retry_after=2)
    try:
        return _ours(cloud, order, holder)
    except (Conflict, Temporary):
        if imported:
            drop_reservation(cloud, order.key)
        raise


def _group_of(cloud: Cloud, unit: str, product: Product) -> Item | None:
    """The security group of the unit's name, whoever made it."""
    where = {"vpc-id": _vpc_of(cloud, product.subnet)} if product.subnet else {}
    found = cloud.api.groups({"group-name": marks.group_name(cloud.settings.provider, unit), **where})
    return found[0] if found else None


def _ours(cloud: Cloud, order: Order, group: Item) -> Item:
    """The group, if it carries the order's key."""
    holder = marks.tags_of(group).get(marks.KEY)
    if holder == order.key:
        return group
    if holder and cloud.look(holder).tombstone is not None:
        raise Temporary(
            f"{order.local_id} is still being wiped for another lease", retry_after=10, holder=holder
        )
    what = "another key" if holder else f"a security group {group['GroupId']} the exchange does not know"
    raise Conflict(f"{order.local_id} carries {what}", key=order.key, holder=holder)


def _vpc_of(cloud: Cloud, subnet: str | None) -> str:
    """The VPC a subnet is in."""
    found = cloud.api.describe("describe_subnets", "Subnets", SubnetIds=[subnet])
    if not found:
        raise Temporary(f"AWS does not show the subnet {subnet}", retry_after=5)
    return str(found[0]["VpcId"])


def _keep_rules(cloud: Cloud, group: Item, product: Product, order: Order) -> None:
    """Let SSH in from the configured networks, and witnesses to a responder; let out what the settings
    allow. Idempotent."""
    ports = {"IpProtocol": "tcp", "FromPort": product.ssh_port, "ToPort": product.ssh_port}
    _add_rule(cloud, "authorize_security_group_ingress", group, ports, cloud.settings.ssh_cidrs)
    if order.responder and (port := product.responder_port):
        ports = {"IpProtocol": "tcp", "FromPort": port, "ToPort": port}
        _add_rule(cloud, "authorize_security_group_ingress", group, ports, cloud.settings.responder_cidrs)
    if cloud.settings.egress_cidrs is None:
        return
    everywhere = {"IpProtocol": "-1", "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}
    if "0.0.0.0/0" not in cloud.settings.egress_cidrs:
        with contextlib.suppress(AwsRefusal):  # InvalidPermission.NotFound: an earlier call took it away
            cloud.api.act(
                "revoke_security_group_egress", GroupId=group["GroupId"], IpPermissions=[everywhere]
            )
    _add_rule(
        cloud, "authorize_security_group_egress", group, {"IpProtocol": "-1"}, cloud.settings.egress_cidrs
    )


def _add_rule(cloud: Cloud, method: str, group: Item, ports: Item, networks: list[str]) -> None:
    """One rule per network, so that one that is there already keeps out no other."""
    for network in networks:
        family = (
            {"Ipv6Ranges": [{"CidrIpv6": network}]} if ":" in network else {"IpRanges": [{"CidrIp": network}]}
        )
        try:
            cloud.api.act(method, GroupId=group["GroupId"], IpPermissions=[{**ports, **family}])
        except AwsRefusal as error:
            if code_of(error) != "InvalidPermission.Duplicate":
                raise
