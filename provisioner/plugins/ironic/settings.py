"""The settings of the Ironic plugin."""

from __future__ import annotations

import dataclasses
import re
from typing import Any

from market.errors import InvalidInput

__all__ = ["IronicSettings"]


@dataclasses.dataclass(frozen=True)
class IronicSettings:
    """The `settings` section of an agent that uses the Ironic plugin.

    Either `endpoint` (a standalone Ironic) or `cloud` (an entry of `clouds.yaml`, for Keystone) is given.
    """

    site: str
    """Data centre or region the machines stand in."""
    image_source: str
    """URL of the operating system image; Ironic's ramdisk downloads it."""
    image_sha256: str
    """SHA-256 of the image, 64 hexadecimal digits; the ramdisk refuses anything else."""
    image_disk_format: str = "raw"
    """`raw` or `qcow2`."""
    endpoint: str | None = None
    """URL of a standalone Ironic, without the version."""
    username: str | None = None
    """User of a standalone Ironic with `auth_strategy = http_basic`; None: it wants no credentials."""
    password_file: str | None = None
    """File that holds only that user's password."""
    cloud: str | None = None
    """Name of an entry in `clouds.yaml`."""
    connect: dict[str, Any] = dataclasses.field(default_factory=dict)
    """More keyword arguments for `openstack.connect`, for example `region_name`. No secrets."""
    classes: list[str] | None = None
    """Only nodes of these resource classes are for sale; None: all that have one."""
    ssh_user: str = "root"
    """User the image lets in with the tenant's key."""
    deploy_timeout: float = 3600.0
    """Seconds a deployment may take."""
    clean_timeout: float = 7200.0
    """Seconds taking down and cleaning may take."""
    ssh_timeout: float = 900.0
    """Seconds from the end of the deployment until SSH answers."""
    request_timeout: float = 60.0
    """Seconds Ironic may take to answer one request."""
    poll: float = 0.3
    """Seconds between two looks at a node that is changing."""

    def __post_init__(self) -> None:
        """Refuse settings that contradict each other."""
        if (self.endpoint is None) == (self.cloud is None):
            raise InvalidInput("the ironic plugin needs one of the settings endpoint and cloud")
        if self.username and not self.password_file:
            raise InvalidInput("the ironic plugin needs password_file where there is a username")
        if not re.fullmatch(r"[0-9a-f]{64}", self.image_sha256):
            raise InvalidInput("image_sha256 of the ironic plugin must be 64 lower-case hexadecimal digits")
