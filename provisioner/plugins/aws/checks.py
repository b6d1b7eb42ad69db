"""Testing an installation: what is missing or wrong between this agent and its account, a line each."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from typing import Any

from market.errors import OcxError
from provisioner.plugins.aws.api import Ec2Api
from provisioner.plugins.aws.errors import code_of
from provisioner.plugins.aws.settings import AwsSettings, Product

__all__ = ["problems"]

_MOST_SKEW = 60.0
_RIGHTS: dict[str, dict[str, Any]] = {
    "terminate_instances": {"InstanceIds": ["i-00000000000000000"]},
    "start_instances": {"InstanceIds": ["i-00000000000000000"]},
    "stop_instances": {"InstanceIds": ["i-00000000000000000"]},
    "reboot_instances": {"InstanceIds": ["i-00000000000000000"]},
    "create_security_group": {"GroupName": "ocx-check", "Description": "ocx check"},
    "import_key_pair": {"KeyName": "ocx-check", "PublicKeyMaterial": b"ssh-ed25519 AAAA"},
}
"""Calls that are asked as dry runs, for things that do not exist: only a missing right counts."""


def problems(settings: AwsSettings, api: Ec2Api) -> Iterator[str]:
    """One line per thing that is wrong and what to do about it; changes nothing."""
    if shutil.which("ssh-keyscan") is None:
        yield "ssh-keyscan is missing; install openssh-client"
    try:
        arn, skew = api.identity()
        api.describe("describe_regions", "Regions", RegionNames=[settings.region])
    except OcxError as error:
        yield str(error)
        return
    if abs(skew) > _MOST_SKEW:
        yield (
            f"this machine's clock is {abs(skew):.0f} s {'behind' if skew > 0 else 'ahead of'} AWS's;"
            " AWS refuses requests that are five minutes off: set it by NTP"
        )
    for method, parameters in _RIGHTS.items():
        refusal = api.refusal(method, **parameters)
        if refusal is not None and code_of(refusal) == "UnauthorizedOperation":
            yield f"{arn} may not {method.replace('_', ' ')}; give it that right"
    for product in settings.products:
        yield from _guarded(settings, api, product)


def _guarded(settings: AwsSettings, api: Ec2Api, product: Product) -> Iterator[str]:
    try:
        yield from _of_product(settings, api, product)
    except OcxError as error:
        yield f"{product.class_name}: {error}"


def _of_product(settings: AwsSettings, api: Ec2Api, product: Product) -> Iterator[str]:
    """What is wrong with one product: type, image, network, and whether a launch would be allowed."""
    name = product.class_name
    wanted = [{"Name": "instance-type", "Values": [product.instance_type]}]
    if not api.describe("describe_instance_type_offerings", "InstanceTypeOfferings", Filters=wanted):
        yield f"{name}: {settings.region} does not offer {product.instance_type}; choose another type"
        return
    kind = api.instance_types([product.instance_type])[product.instance_type]
    yield from _of_image(api, product, kind.get("ProcessorInfo", {}).get("SupportedArchitectures") or [])
    if product.subnet:
        found = api.describe("describe_subnets", "Subnets", SubnetIds=[product.subnet])
        if found and product.public and not found[0].get("AvailableIpAddressCount", 1):
            yield f"{name}: the subnet {product.subnet} has no address left; choose another"
    elif not api.describe("describe_vpcs", "Vpcs", Filters=[{"Name": "is-default", "Values": ["true"]}]):
        yield f"{name}: {settings.region} has no default VPC; set subnet"
    refusal = api.refusal(
        "run_instances",
        MinCount=1,
        MaxCount=1,
        ImageId=product.image,
        InstanceType=product.instance_type,
        **({"SubnetId": product.subnet} if product.subnet else {}),
    )
    if refusal is not None:
        yield f"{name}: a launch would fail: {refusal}"


def _of_image(api: Ec2Api, product: Product, architectures: list[str]) -> Iterator[str]:
    name = product.class_name
    images = api.describe("describe_images", "Images", ImageIds=[product.image])
    if not images or images[0].get("State", "available") != "available":
        yield f"{name}: the image {product.image} is not there; choose another"
        return
    image = images[0]
    if architectures and image.get("Architecture") not in (None, *architectures):
        yield (
            f"{name}: {product.instance_type} cannot run {product.image}, which is for "
            f"{image['Architecture']}; choose another image"
        )
    if image.get("RootDeviceName") not in (None, product.root_device):
        yield f"{name}: {product.image} has the root device {image['RootDeviceName']}; set root_device"
    sizes = [m.get("Ebs", {}).get("VolumeSize") or 0 for m in image.get("BlockDeviceMappings") or []]
    if max(sizes, default=0) > product.root_gib:
        yield f"{name}: {product.image} needs {max(sizes)} GiB; set root_gib to that at least"
