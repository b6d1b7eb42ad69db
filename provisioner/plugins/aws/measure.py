"""What a capacity unit is: the facts EC2 states of its instance type, and what the product makes of it."""

from __future__ import annotations

import re
from typing import Any

from market.specs import Spec
from provisioner.plugin import Inspected
from provisioner.plugins.aws.api import Item
from provisioner.plugins.aws.settings import AwsSettings, Product

__all__ = ["inspected", "network_mbps", "spec_of"]

_SPEED = re.compile(r"([\d.]+) (Gigabit|Megabit)")


def inspected(kind: Item, product: Product, ordinal: int, account: str, settings: AwsSettings) -> Inspected:
    """What the exchange is told of one unit of a product, `kind` being what EC2 says of its type."""
    unit = f"{product.class_name}/{ordinal}"
    return Inspected(
        name=unit,
        local_id=unit,
        class_name=product.class_name,
        spec=spec_of(kind, product),
        site=settings.site_name,
        hardware_id=f"{settings.provider}/{account}/{settings.region}/{unit}",
        document=_document(kind, product, ordinal, account, settings),
        rate_per_hour=product.rate_per_hour,
    )


def spec_of(kind: Item, product: Product) -> Spec:
    """Sizes as EC2 states them, with the product's own promises on top; the disk is the root volume."""
    gpus = (kind.get("GpuInfo") or {}).get("Gpus") or []
    measured = {
        "cores": int(kind["VCpuInfo"]["DefaultVCpus"]),
        "memory_mib": int(kind["MemoryInfo"]["SizeInMiB"]),
        "disk_gib": product.root_gib,
        "gpus": sum(int(gpu.get("Count") or 0) for gpu in gpus),
        "network_mbps": network_mbps(kind.get("NetworkInfo") or {}),
    }
    return Spec(**{**measured, **product.spec})


def network_mbps(network: Item) -> int:
    """What a type may always send: its baseline, else the speed AWS names without "up to", else 0."""
    cards = network.get("NetworkCards") or []
    baseline = sum(float(card.get("BaselineBandwidthInGbps") or 0) for card in cards)
    if baseline:
        return int(baseline * 1000)
    named = str(network.get("NetworkPerformance") or "")
    found = _SPEED.fullmatch(named)
    return int(float(found[1]) * (1000 if found[2] == "Gigabit" else 1)) if found else 0


def _document(
    kind: Item, product: Product, ordinal: int, account: str, settings: AwsSettings
) -> dict[str, Any]:
    """Facts that stay while the unit stays what it is: no price, no address, no instance."""
    gpus = (kind.get("GpuInfo") or {}).get("Gpus") or []
    processor, network = kind.get("ProcessorInfo") or {}, kind.get("NetworkInfo") or {}
    return {
        "kind": "aws",
        "provider": settings.provider,
        "account": account,
        "region": settings.region,
        "class": product.class_name,
        "ordinal": ordinal,
        "instance_type": product.instance_type,
        "image": product.image,
        "architectures": sorted(processor.get("SupportedArchitectures") or []),
        "bare_metal": bool(kind.get("BareMetal")),
        "hypervisor": str(kind.get("Hypervisor") or ""),
        "vcpus": int(kind["VCpuInfo"]["DefaultVCpus"]),
        "cores": int(kind["VCpuInfo"].get("DefaultCores") or 0),
        "memory_mib": int(kind["MemoryInfo"]["SizeInMiB"]),
        "network": str(network.get("NetworkPerformance") or ""),
        "gpus": sorted(
            f"{gpu.get('Count') or 0} x {gpu.get('Manufacturer') or ''} {gpu.get('Name') or ''}"
            for gpu in gpus
        ),
        "root": {"gib": product.root_gib, "type": product.root_type, "encrypted": product.encrypted},
        "promised": {name: int(size) for name, size in sorted(product.spec.items())},
    }
