"""What every operation on the cloud needs: the settings, the API, the clock, and one look at a key."""

from __future__ import annotations

import threading
import zlib
from collections.abc import Callable

from market.errors import Permanent
from provisioner.plugins.aws import instances as marks
from provisioner.plugins.aws.api import Ec2Api, Item
from provisioner.plugins.aws.settings import AwsSettings, Product

__all__ = ["Cloud"]


class Cloud:
    """One provider's part of one region."""

    def __init__(
        self, settings: AwsSettings, clock: Callable[[], float], wait: Callable[[float], None]
    ) -> None:
        self.settings, self.clock, self.wait = settings, clock, wait
        self.api = Ec2Api(settings)
        self._locks = [threading.Lock() for _ in range(64)]

    def step(self, key: str) -> threading.Lock:
        """Held while one thread looks at a key and acts on what it saw."""
        return self._locks[zlib.crc32(key.encode()) % len(self._locks)]

    def look(self, key: str) -> marks.View:
        """All that carries the key, read now."""
        return self.views({f"tag:{marks.KEY}": key}).get(key, marks.View(key))

    def views(self, filters: dict[str, str] | None = None) -> dict[str, marks.View]:
        """All of ours that match, by key.

        The instances are read last: what was launched before its reservation was read is then seen as well.
        """
        ours = {f"tag:{marks.PROVIDER}": self.settings.provider, **(filters or {})}
        pairs, groups = self.api.key_pairs(ours), self.api.groups(ours)
        return marks.views(self.api.instances(ours), groups, pairs)

    def tags(self, key: str, unit: str | None) -> dict[str, str]:
        """The tags that mark something as ours."""
        unit_tag = {marks.UNIT: unit} if unit else {}
        return {marks.PROVIDER: self.settings.provider, marks.KEY: key, **unit_tag}

    def product(self, unit: str) -> Product:
        """The product a capacity unit is one of; `Permanent` if there is no such unit."""
        name, _, ordinal = unit.rpartition("/")
        for product in self.settings.products:
            known = ordinal.isdecimal() and str(int(ordinal)) == ordinal and int(ordinal) < product.count
            if product.class_name == name and known:
                return product
        raise Permanent(
            f"the aws plugin has no capacity {unit}", hint="Its settings no longer list it, or fewer of it."
        )

    @staticmethod
    def specification(kind: str, tags: dict[str, str]) -> Item:
        """A TagSpecification."""
        return {"ResourceType": kind, "Tags": [{"Key": k, "Value": v} for k, v in tags.items()]}
