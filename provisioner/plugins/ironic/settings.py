"""The settings of the Ironic plugin."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from typing import Any

from daemons.secrets import SecretSource
from market.errors import InvalidInput
from provisioner.responder import PORT

__all__ = ["Image", "IronicSettings"]

_DIGEST = re.compile(r"[0-9a-f]{64}")
_FORMATS = ("raw", "qcow2")


@dataclasses.dataclass(frozen=True)
class Image:
    """One operating system a tenant may have."""

    source: str
    """URL the image is at; Ironic's ramdisk downloads it."""
    sha256: str
    """SHA-256 of it, 64 hexadecimal digits; the ramdisk refuses anything else."""
    disk_format: str = "raw"
    """`raw` or `qcow2`."""
    ssh_user: str | None = None
    """User it lets in with the tenant's key; None: the plugin's `ssh_user`."""


@dataclasses.dataclass(frozen=True)
class IronicSettings:
    """The `settings` section of an agent that uses the Ironic plugin.

    Either `endpoint` (a standalone Ironic) or `cloud` (an entry of `clouds.yaml`, for Keystone) is given.
    """

    site: str
    """Data centre or region the machines stand in."""
    image_source: str
    """URL of the operating system image of whoever chooses none; Ironic's ramdisk downloads it."""
    image_sha256: str
    """SHA-256 of the image, 64 hexadecimal digits; the ramdisk refuses anything else."""
    image_disk_format: str = "raw"
    """`raw` or `qcow2`."""
    images: dict[str, Any] = dataclasses.field(default_factory=dict)
    """What else a tenant may choose, by the name it gives as property `image`: `{source, sha256, disk_format,
    ssh_user}` each, see `Image`."""
    endpoint: str | None = None
    """URL of a standalone Ironic, without the version."""
    username: str | None = None
    """User of a standalone Ironic with `auth_strategy = http_basic`; None: it wants no credentials."""
    password: Any = None
    """Where that user's password is: `{env: NAME}`, `{file: PATH}` or `{command: [PROGRAM, ...]}`."""
    password_file: str | None = None
    """The same as `password: {file: PATH}`."""
    cloud: str | None = None
    """Name of an entry in `clouds.yaml`."""
    connect: dict[str, Any] = dataclasses.field(default_factory=dict)
    """More keyword arguments for `openstack.connect`, for example `region_name`. No secrets."""
    classes: list[str] | None = None
    """Only nodes of these resource classes are for sale; None: all that have one."""
    ssh_user: str = "root"
    """User the image lets in with the tenant's key."""
    wipe_steps: list[str] = dataclasses.field(
        default_factory=lambda: ["erase_devices", "erase_devices_express", "erase_devices_metadata"]
    )
    """Cleaning steps that make a machine wiped: at least one of them must have run. Empty: any cleaning that
    came to its end will do, even one without steps; only for machines without disks."""
    responder_port: int = PORT
    """Where the responder listens in a machine whose lease is witnessed (docs/responder.md); a node's own
    `ocx_guest_port` goes before it. 0: these images cannot start one."""
    protect: bool = True
    """Make a delivered node `protected` in Ironic: nothing takes it down but the release of its key."""
    lessees: bool = False
    """Let a tenant name its Keystone project by the property `project`: it is the node's lessee meanwhile."""
    deploy_timeout: float = 3600.0
    """Seconds a deployment may take."""
    clean_timeout: float = 7200.0
    """Seconds taking down and cleaning may take."""
    ssh_timeout: float = 900.0
    """Seconds from the end of the deployment until SSH answers."""
    power_timeout: float = 180.0
    """Seconds switching a machine's power, or its console, may take."""
    claim_timeout: float = 60.0
    """Seconds after which another agent's half-done freeing of a clean node is taken over; longer than Ironic
    may keep one request waiting."""
    request_timeout: float = 60.0
    """Seconds Ironic may take to answer one request."""
    poll: float = 0.3
    """Seconds between two looks at a node that is changing."""

    def __post_init__(self) -> None:
        """Refuse settings that contradict each other."""
        if (self.endpoint is None) == (self.cloud is None):
            raise InvalidInput("the ironic plugin needs one of the settings endpoint and cloud")
        if self.password is not None and self.password_file is not None:
            raise InvalidInput("the ironic plugin takes one of the settings password and password_file")
        if self.username and self.password is None and not self.password_file:
            raise InvalidInput("the ironic plugin needs password or password_file where there is a username")
        if self.password is not None:
            SecretSource.parse(self.password, "password of the ironic plugin")
        if type(self.responder_port) is not int or not 0 <= self.responder_port < 1 << 16:
            raise InvalidInput("responder_port of the ironic plugin must be a port, or 0 for none")
        if not _DIGEST.fullmatch(self.image_sha256):
            raise InvalidInput("image_sha256 of the ironic plugin must be 64 lower-case hexadecimal digits")
        for name, entry in self.images.items():
            _image(name, entry)

    @property
    def secret(self) -> SecretSource:
        """Where the password is."""
        if self.password is not None:
            return SecretSource.parse(self.password, "password of the ironic plugin")
        return SecretSource(file=self.password_file)

    def image(self, name: str | None) -> Image | None:
        """The image a tenant chose by name (None: it chose none); None if there is none of that name."""
        if name is None:
            return Image(self.image_source, self.image_sha256, self.image_disk_format)
        return _image(name, self.images[name]) if name in self.images else None


def _image(name: str, entry: Any) -> Image:
    known = [field.name for field in dataclasses.fields(Image)]
    wrong = (
        not isinstance(entry, Mapping) or not {"source", "sha256"} <= set(entry) or set(entry) - set(known)
    )
    if (
        wrong
        or not _DIGEST.fullmatch(str(entry["sha256"]))
        or entry.get("disk_format", "raw") not in _FORMATS
    ):
        raise InvalidInput(
            f"the image {name} of the ironic plugin is not described well",
            hint=f"Give it {', '.join(known)}; sha256 in 64 lower-case hexadecimal digits, a disk_format of "
            f"{' or '.join(_FORMATS)}.",
        )
    return Image(**entry)
