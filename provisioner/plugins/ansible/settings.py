"""The settings of the Ansible plugin."""

from __future__ import annotations

import dataclasses
import functools
import re
from pathlib import Path
from typing import Any

from chain.data import data_path
from daemons.secrets import SecretSource
from market.errors import InvalidInput, OcxError
from market.specs import Spec, class_id

__all__ = ["AnsibleSettings", "Machine", "Product"]

_SHIPPED: dict[str, dict[str, Any]] = {
    "ssh_host": {"setup": "products/ssh_host/setup.yml", "cleanup": "products/ssh_host/cleanup.yml"}
}
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")
_HOST_KEY = re.compile(r"(ssh-ed25519|ssh-rsa|ecdsa-sha2-nistp(256|384|521)) [A-Za-z0-9+/]+=*")


@dataclasses.dataclass(frozen=True)
class Machine:
    """One machine that is for sale: an entry of the setting `machines`."""

    name: str
    """Its name for people and agents, and its `local_id`: letters, digits, dots, hyphens, underscores."""
    class_name: str
    """Class it is offered under; in the settings, `class`."""
    host: str
    """Address at which its operator logs in."""
    port: int = 22
    """Port at which its operator logs in."""
    user: str = "root"
    """User its operator logs in as; where that is not root, it may become root with sudo."""
    host_key: str | None = None
    """The host key it must present, `ssh-ed25519 AAAA...`; None: it stands in the file `known_hosts`."""
    product: str = ""
    """Name of the product it is sold as; may be left out where there is only one."""
    spec: dict[str, int] | None = None
    """Its size (cores, memory_mib, disk_gib, gpus, network_mbps); None: as it measures itself."""
    hardware_id: str | None = None
    """What makes it unique in the world; None: its system uuid and serial, without those its host key."""
    vars: dict[str, Any] = dataclasses.field(default_factory=dict)
    """Variables of its plays. No secrets: those belong into files encrypted with ansible-vault."""
    python: str = "python3"
    """Python on the machine, 3.8 or later."""

    def __post_init__(self) -> None:
        """Refuse what could not be a machine."""
        if not isinstance(self.name, str) or not _NAME.fullmatch(self.name):
            raise InvalidInput(f"{self.name!r} cannot be the name of a machine", hint="Use a host name.")
        class_id(self.class_name)
        if not isinstance(self.host, str) or not re.fullmatch(r"[A-Za-z0-9.:_%-]+", self.host):
            raise InvalidInput(f"the machine {self.name} needs the address of a host, not {self.host!r}")
        if not isinstance(self.port, int) or not 0 < self.port < 65536:
            raise InvalidInput(f"the machine {self.name} has no port {self.port!r}")
        if self.host_key is not None and not _HOST_KEY.fullmatch(self.host_key):
            hint = "Write it as in the machine's /etc/ssh/ssh_host_ed25519_key.pub, without the comment."
            raise InvalidInput(f"the host_key of the machine {self.name} is not one", hint=hint)
        if not re.fullmatch(r"[a-z_][a-z0-9_.-]*", str(self.user)):
            raise InvalidInput(f"the machine {self.name} has no user {self.user!r}")
        if self.spec is not None:
            self._check_spec(self.spec)

    def _check_spec(self, spec: Any) -> None:
        try:
            good = all(type(size) is int for size in spec.values()) and Spec(**spec)
        except (AttributeError, TypeError):
            good = False
        if not good:
            names = ", ".join(f.name for f in dataclasses.fields(Spec))
            raise InvalidInput(
                f"the spec of the machine {self.name} is wrong", hint=f"Whole numbers: {names}."
            )


@dataclasses.dataclass(frozen=True)
class Product:
    """What a machine is sold as: an entry of the setting `products`."""

    name: str
    setup: str
    """Playbook that hands the machine to a tenant; a path, relative to the project."""
    cleanup: str
    """Playbook that takes it back and wipes it."""
    vars: dict[str, Any] = dataclasses.field(default_factory=dict)
    """Variables of both plays; those of a machine win."""


@dataclasses.dataclass(frozen=True)
class AnsibleSettings:
    """The `settings` section of an agent that uses the Ansible plugin."""

    site: str
    """Data centre or region the machines stand in."""
    state: str
    """Folder for the runs of plays and what was measured; made with mode 0700. It may be lost: what a
    machine carries stands on the machine."""
    machines: list[dict[str, Any]]
    """The machines, one mapping each; see `Machine`."""
    ssh_private_key: Any
    """Where the operator's private SSH key is: `{env: NAME}`, `{file: PATH}` or `{command: [...]}`."""
    products: dict[str, dict[str, Any]] = dataclasses.field(default_factory=lambda: dict(_SHIPPED))
    """The products by name, each with `setup`, `cleanup` and `vars`; see `Product`."""
    project: str | None = None
    """Folder of the playbooks and their roles; None: the one OCX ships. Its roles can be used from any."""
    become_password: Any = None
    """Where the password for sudo is; None: sudo asks for none."""
    vault_password: Any = None
    """Where the password of ansible-vault is; None: nothing is encrypted."""
    known_hosts: str | None = None
    """File with the host keys of machines that have no `host_key`."""
    ssh_args: list[str] = dataclasses.field(default_factory=list)
    """More arguments for ssh, for example `["-o", "ProxyJump=gate"]`. The user's own ssh configuration is
    not read."""
    environment: dict[str, str] = dataclasses.field(default_factory=dict)
    """More environment for Ansible, such as `ANSIBLE_COLLECTIONS_PATH`. No secrets. `ANSIBLE_PIPELINING: "1"`
    halves the time of a play; but then the one task that runs when an agent is killed goes on to its end."""
    mark_dir: str = "/etc/ocx"
    """Folder on the machines in which their marks lie."""
    setup_timeout: float = 1800.0
    """Seconds a setup may take, waiting for another call's included."""
    cleanup_timeout: float = 1800.0
    """Seconds a cleanup may take, waiting for another call's included."""
    connect_timeout: float = 10.0
    """Seconds a machine may take to answer."""
    forks: int = 5
    """Hosts a play may work on at once (Ansible's `forks`); a lease has one."""
    parallel: int = 16
    """Machines that are read at once."""
    keep_output: bool = False
    """Keep all that Ansible prints and returns in the run's folder, to find out why a play fails. It may show
    what the plays keep secret."""
    keep_runs: int = 50
    """Runs whose record stays in the state folder."""

    def __post_init__(self) -> None:
        """Refuse settings that can never work."""
        for name in ("ssh_private_key", "become_password", "vault_password"):
            if name == "ssh_private_key" or getattr(self, name) is not None:
                object.__setattr__(self, name, SecretSource.parse(getattr(self, name), name))
        if not isinstance(self.machines, list) or not isinstance(self.products, dict) or not self.products:
            raise InvalidInput("the ansible plugin needs a list of machines and a mapping of products")
        if not all(isinstance(arg, str) for arg in self.ssh_args):
            raise InvalidInput("ssh_args of the ansible plugin must be a list of texts")
        if not self.mark_dir.startswith("/"):
            raise InvalidInput("mark_dir of the ansible plugin must be an absolute path")
        for number in ("forks", "parallel", "keep_runs"):
            if not isinstance(getattr(self, number), int) or getattr(self, number) < 1:
                raise InvalidInput(f"{number} of the ansible plugin must be a whole number above zero")
        self._check_names()

    def _check_names(self) -> None:
        seen: set[object] = set()
        for machine in self.machine_list:
            for identity in (machine.name, (machine.host, machine.port)):
                if identity in seen:
                    raise InvalidInput(f"two machines of the ansible plugin are {identity}")
                seen.add(identity)
            self.product_of(machine)

    @functools.cached_property
    def machine_list(self) -> tuple[Machine, ...]:
        """The machines, as in `machines`."""
        return tuple(_entry(Machine, "a machine", raw) for raw in self.machines)

    @functools.cached_property
    def product_list(self) -> dict[str, Product]:
        """The products by name."""
        found: dict[str, Product] = {}
        for name, raw in self.products.items():
            if not isinstance(raw, dict):
                raise InvalidInput(f"the product {name} of the ansible plugin must be a mapping")
            found[name] = _entry(Product, f"the product {name}", {"name": name, **raw})
        return found

    @functools.cached_property
    def project_dir(self) -> Path:
        """Folder of the playbooks."""
        return Path(self.project).expanduser().absolute() if self.project else data_path("ansible")

    def product_of(self, machine: Machine) -> Product:
        """What a machine is sold as."""
        names = list(self.product_list)
        name = machine.product or (names[0] if len(names) == 1 else "")
        if name not in self.product_list:
            raise InvalidInput(
                f"the machine {machine.name} is sold as {name or 'nothing'}",
                hint=f"Set its product to one of: {', '.join(names)}.",
            )
        return self.product_list[name]

    def playbook(self, product: Product, phase: str) -> Path:
        """The playbook of a phase, `setup` or `cleanup`; it may not exist."""
        return self.project_dir / (product.setup if phase == "setup" else product.cleanup)


def _entry(kind: Any, what: str, raw: Any) -> Any:
    """One of the dataclasses above from its mapping; `InvalidInput` names what is unknown or missing."""
    if not isinstance(raw, dict):
        raise InvalidInput(f"{what} of the ansible plugin must be a mapping")
    given = {"class_name" if name == "class" else name: value for name, value in raw.items()}
    fields = {f.name: f for f in dataclasses.fields(kind)}
    unknown = [name for name in given if name not in fields]
    missing = [
        n
        for n, f in fields.items()
        if n not in given and f.default is dataclasses.MISSING and f.default_factory is dataclasses.MISSING
    ]
    if unknown or missing:
        known = ", ".join("class" if name == "class_name" else name for name in fields)
        raise InvalidInput(
            f"{what} of the ansible plugin " + (f"has no {unknown[0]}" if unknown else f"needs {missing[0]}"),
            hint=f"Known: {known}.",
        )
    try:
        return kind(**given)
    except OcxError:
        raise
    except TypeError as error:
        raise InvalidInput(f"{what} of the ansible plugin is wrong: {error}") from error
