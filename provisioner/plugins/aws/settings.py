"""The settings of the AWS plugin."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from typing import Any

from daemons.secrets import SecretSource
from market.errors import InvalidInput
from market.specs import Spec
from provisioner.responder import PORT

__all__ = ["HOST_KEY_SOURCES", "AwsSettings", "Product"]

HOST_KEY_SOURCES = ("console", "network", "console-or-network")
"""Where a machine's SSH host key may be learnt from; see `AwsSettings.host_key_from`."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,30}")
_ROLE = re.compile(r"arn:[a-z-]+:iam::\d{12}:role/.+")
_SIZES = frozenset(field.name for field in dataclasses.fields(Spec))
_OURS = frozenset(
    ("ImageId", "InstanceType", "MinCount", "MaxCount", "ClientToken", "TagSpecifications", "KeyName")
    + ("UserData", "NetworkInterfaces", "SecurityGroups", "SecurityGroupIds", "SubnetId", "DryRun")
)


@dataclasses.dataclass(frozen=True)
class Product:
    """One kind of capacity that is for sale: `count` instances of one type, made when they are leased."""

    class_name: str
    """Class offered on the exchange, for example `vm.large`; in the settings it is written `class`."""
    instance_type: str
    """For example `m6i.large`."""
    image: str
    """AMI id; the image runs cloud-init and prints its SSH host keys on the console, as stock ones do."""
    count: int = 1
    """How many may be leased at a time; they are numbered 0 to count - 1."""
    rate_per_hour: int | None = None
    """What one costs at least, in microcredits per hour: the default floor of its offers."""
    root_gib: int = 20
    """Size of the EBS root volume."""
    root_device: str = "/dev/xvda"
    """The AMI's root device name; `ocx provider check` compares."""
    root_type: str = "gp3"
    """EBS volume type."""
    encrypted: bool = True
    """Encrypt the root volume with the account's default EBS key."""
    subnet: str | None = None
    """Subnet id; None: a default subnet of the default VPC."""
    public: bool = True
    """Give each instance a public address; without, the tenant gets the private one."""
    ssh_port: int = 22
    """Port the image's SSH server listens at."""
    responder_port: int = PORT
    """Where the responder listens in a machine whose lease is witnessed (docs/responder.md); 0: the image
    cannot start one."""
    spec: Mapping[str, int] = dataclasses.field(default_factory=dict)
    """Sizes promised in place of the measured ones, for example `{network_mbps: 5000}`."""
    cloud_config: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    """More cloud-config for every instance; hostname and SSH keys are the order's. No secrets."""
    extra: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    """More parameters of `RunInstances`, for example `{"Placement": {"Tenancy": "dedicated"}}`."""

    def __post_init__(self) -> None:
        """Refuse what EC2 could not keep."""
        named = f"the aws product {self.class_name!r}"
        if not _NAME.fullmatch(self.class_name):
            raise InvalidInput(f"{named} needs a class of 1 to 31 letters, digits, '.', '_' and '-'")
        if not 1 <= self.count <= 10_000 or not 1 <= self.root_gib <= 65_536:
            raise InvalidInput(f"{named} needs a count of 1 to 10000 and root_gib of 1 to 65536")
        if self.rate_per_hour is not None and self.rate_per_hour < 0:
            raise InvalidInput(f"{named} cannot cost less than nothing; rate_per_hour is in microcredits")
        if unknown := sorted(set(self.spec) - _SIZES):
            raise InvalidInput(
                f"{named} has no size {unknown[0]}", hint=f"Known: {', '.join(sorted(_SIZES))}."
            )
        if taken := sorted(set(self.extra) & _OURS):
            raise InvalidInput(f"{named} cannot set {taken[0]} in extra: the plugin sets it")

    @classmethod
    def parse(cls, value: Any) -> Product:
        """From an entry of the setting `products`; `InvalidInput` says what is wrong with it."""
        if isinstance(value, cls):
            return value
        if not isinstance(value, Mapping):
            raise InvalidInput("an aws product must be a mapping", hint="See docs/aws.md.")
        given = {("class_name" if name == "class" else str(name)): kept for name, kept in value.items()}
        fields = {field.name: field for field in dataclasses.fields(cls)}
        shown = ", ".join("class" if name == "class_name" else name for name in fields)
        if unknown := sorted(set(given) - set(fields)):
            raise InvalidInput(f"an aws product has no setting {unknown[0]}", hint=f"Known: {shown}.")
        if missing := [name for name in ("class_name", "instance_type", "image") if not given.get(name)]:
            raise InvalidInput(f"an aws product needs {missing[0].removesuffix('_name')}")
        for name in ("count", "root_gib", "ssh_port", "rate_per_hour", "responder_port"):
            if name in given and type(given[name]) is not int and given[name] is not None:
                raise InvalidInput(f"{name} of an aws product must be a whole number")
        return cls(**given)


@dataclasses.dataclass(frozen=True)
class AwsSettings:
    """The `settings` section of an agent that uses the AWS plugin.

    Without `credentials` and `profile` they come by boto3's usual chain: environment, shared files,
    container, instance profile. What carries another `provider` in its tags is another agent's.
    """

    provider: str
    """Name of this provider in tags, group names and hardware ids; it must never change."""
    region: str
    """For example `eu-central-1`."""
    products: list[Product]
    """What is for sale; see `Product`. In a file: a list of mappings."""
    site: str | None = None
    """Data centre or region as the exchange shows it; None: the region."""
    ssh_user: str = "ec2-user"
    """User the images let in with the tenant's key."""
    ssh_cidrs: list[str] = dataclasses.field(default_factory=lambda: ["0.0.0.0/0"])
    """From where SSH is let in; the agent's own address must be among them, or it never sees SSH answer."""
    responder_cidrs: list[str] = dataclasses.field(default_factory=lambda: ["0.0.0.0/0"])
    """From where witnesses may ask the responder of a machine whose lease is witnessed."""
    egress_cidrs: list[str] | None = None
    """Where an instance may connect to; None: everywhere."""
    host_key_from: str = "console-or-network"
    """`console`: only a host key the console printed counts. `network`: what answers at the address is
    believed. `console-or-network`: the console, and after `console_timeout` without one the network."""
    role_arn: str | None = None
    """Role to assume in the organisation's account; renewed before it expires."""
    external_id: str | None = None
    """The external id that role asks for."""
    role_session_name: str = "ocx"
    """Name of the session in CloudTrail."""
    profile: str | None = None
    """Name of a profile in the shared configuration files."""
    credentials: SecretSource | None = None
    """`{env: NAME}`, `{file: PATH}` or `{command: [...]}` with JSON as the CLI's `credential_process`
    prints it: AccessKeyId, SecretAccessKey, and perhaps SessionToken and Expiration."""
    endpoint_url: str | None = None
    """URL of another EC2 (moto, an EC2-compatible cloud) that also speaks STS; None: AWS."""
    launch_timeout: float = 900.0
    """Seconds from the call until somebody could log in."""
    release_timeout: float = 900.0
    """Seconds taking down may take."""
    console_timeout: float = 240.0
    """Seconds to wait, once SSH answers, for the console to tell the host key."""
    patience: float = 10.0
    """Seconds another call's launch may stay invisible before this call repeats it with the same token."""
    request_timeout: float = 30.0
    """Seconds EC2 may take to answer one request."""
    retries: int = 3
    """How often one request is tried, by botocore's standard rules; a launch is tried once."""
    poll: float = 2.0
    """Seconds between two looks at what is changing."""
    remember_days: int = 30
    """Days a released key stays refused. A tombstone each, of the 5000 key pairs a region has room for."""

    def __post_init__(self) -> None:
        """Refuse settings that contradict each other; read the nested ones."""
        object.__setattr__(self, "products", [Product.parse(entry) for entry in self.products])
        if self.credentials is not None:
            kept = SecretSource.parse(self.credentials, "credentials of the aws plugin")
            object.__setattr__(self, "credentials", kept)
        if not _NAME.fullmatch(self.provider):
            raise InvalidInput("provider of the aws plugin must be 1 to 31 letters, digits, '.', '_' and '-'")
        names = [product.class_name for product in self.products]
        if not names or len(set(names)) != len(names):
            raise InvalidInput("the aws plugin needs products, each of a class of its own")
        if self.profile and self.credentials:
            raise InvalidInput("the aws plugin takes profile or credentials, not both")
        if self.role_arn is not None and not _ROLE.fullmatch(self.role_arn):
            raise InvalidInput(
                "role_arn of the aws plugin must look like arn:aws:iam::123456789012:role/NAME"
            )
        if self.host_key_from not in HOST_KEY_SOURCES:
            raise InvalidInput(
                f"host_key_from of the aws plugin must be one of {', '.join(HOST_KEY_SOURCES)}"
            )

    @property
    def site_name(self) -> str:
        """The site the exchange is told."""
        return self.site or self.region
