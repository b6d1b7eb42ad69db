"""A standalone Ironic for the lab: its configuration, its database, and the few calls that enrol machines."""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from importlib.metadata import distributions
from pathlib import Path
from typing import Any

from cli.demo.lab.service import environment
from market.errors import Permanent, Temporary

__all__ = ["IronicClient", "lab_venv", "prepare_database", "write_config", "write_htpasswd"]

_CHECKOUT = Path(__file__).resolve().parents[3]
_INTERFACES = {
    "power": "redfish,fake",
    "management": "redfish,fake",
    "boot": "redfish-virtual-media,fake",
    "deploy": "direct,fake",
    "inspect": "redfish,no-inspect,fake",
    "network": "noop",
    "bios": "no-bios",
    "console": "no-console,redfish-graphical,fake,fake-graphical",
    "firmware": "redfish,no-firmware",
    "raid": "no-raid",
    "rescue": "no-rescue",
    "storage": "noop",
    "vendor": "no-vendor",
}


def lab_venv() -> Path:
    """The virtual environment with Ironic and sushy-tools: OCX_LAB_VENV, or `.venv-lab` in the checkout."""
    venv = Path(os.environ.get("OCX_LAB_VENV") or _CHECKOUT / ".venv-lab").absolute()
    if not (venv / "bin/ironic").exists():
        raise Permanent(f"there is no Ironic in {venv}", hint="Run `make setup`, or set OCX_LAB_VENV.")
    return venv


def write_htpasswd(venv: Path, path: Path, username: str, password: str) -> None:
    """Write a one-line htpasswd file; bcrypt at its lowest cost, as it is checked at every call."""
    program = (
        "import bcrypt, sys; p = sys.stdin.buffer.read(); print(bcrypt.hashpw(p, bcrypt.gensalt(4)).decode())"
    )
    argv = [str(venv / "bin/python"), "-c", program]
    digest = subprocess.run(argv, input=password.encode(), check=True, capture_output=True).stdout.decode()
    path.write_text(f"{username}:{digest}")


def write_config(
    folder: Path, port: int, files_url: str, options: Mapping[str, Mapping[str, Any]] | None = None
) -> Path:
    """Write `ironic.conf` below `folder`, where `htpasswd` and `http/` are or will be; returns its path.

    `options` are more of Ironic's own, by section, for example `{"fake": {"deploy_delay": 2}}`.
    """
    url = f"http://127.0.0.1:{port}"
    for name in ("http/redfish", "images", "tftp"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    sections: dict[str, dict[str, Any]] = {
        "DEFAULT": {
            "auth_strategy": "http_basic",
            "http_basic_auth_user_file": folder / "htpasswd",
            "rpc_transport": "none",
            "host": "localhost",
            "my_ip": "127.0.0.1",
            "state_path": folder,
            "log_file": folder / "ironic.log",
            "enabled_hardware_types": "redfish,fake-hardware",
            "default_network_interface": "noop",
            **{f"enabled_{kind}_interfaces": names for kind, names in _INTERFACES.items()},
        },
        "api": {"host_ip": "127.0.0.1", "port": port, "api_workers": 1},
        "database": {"connection": f"sqlite:///{folder}/ironic.sqlite"},
        "conductor": {"automated_clean": "true", "sync_power_state_interval": 0, "heartbeat_interval": 10},
        "dhcp": {"dhcp_provider": "none"},
        "oslo_messaging_notifications": {"driver": "noop"},
        "pxe": {"tftp_root": folder / "tftp", "images_path": folder / "images"},
        "deploy": {
            "http_root": folder / "http",
            "http_url": files_url,
            "ramdisk_image_download_source": "http",
            "erase_devices_priority": 0,
            "erase_devices_metadata_priority": 10,
        },
        "agent": {
            "require_tls": "false",
            "image_download_source": "http",
            "deploy_logs_collect": "never",
            "post_deploy_get_power_state_retry_interval": 1,
            "post_deploy_get_power_state_retries": 30,
            "command_wait_interval": 1,
        },
        "redfish": {"auth_type": "basic", "connection_attempts": 1, "connection_retry_interval": 1},
        "service_catalog": {"endpoint_override": url},
        "vnc": {"container_provider": "fake", "public_url": "http://127.0.0.1:6090/vnc_lite.html"},
    }
    for section, more in (options or {}).items():
        sections[section] = {**sections.get(section, {}), **more}
    lines: list[str] = []
    for section, values in sections.items():
        lines += [f"[{section}]", *(f"{name} = {value}" for name, value in values.items()), ""]
    config = folder / "ironic.conf"
    config.write_text("\n".join(lines))
    return config


def prepare_database(venv: Path, config: Path) -> None:
    """Put an empty database beside `config`: made once per version of Ironic (2.3 s), then copied."""
    cache = Path(os.environ.get("OCX_LAB_CACHE") or _CHECKOUT / "build/lab-cache")
    database, template = config.with_name("ironic.sqlite"), cache / f"ironic-{_version(venv)}.sqlite"
    if template.exists():
        shutil.copy(template, database)
        return
    argv = [str(venv / "bin/ironic-dbsync"), "--config-file", str(config), "create_schema"]
    subprocess.run(argv, check=True, capture_output=True, env=environment())
    cache.mkdir(parents=True, exist_ok=True)
    partial = template.with_suffix(f".{os.getpid()}")
    shutil.copy(database, partial)
    partial.rename(template)


def _version(venv: Path) -> str:
    packages = [str(path) for path in venv.glob("lib/python3*/site-packages")]
    return next(d.version for d in distributions(name="ironic", path=packages))


class IronicClient:
    """The calls the lab makes to its own Ironic. Raises `Temporary` and `Permanent`."""

    def __init__(self, url: str, username: str, password: str) -> None:
        self._url = url
        basic = base64.b64encode(f"{username}:{password}".encode()).decode()
        self._headers = {
            "Authorization": f"Basic {basic}",
            "Content-Type": "application/json",
            "X-OpenStack-Ironic-API-Version": "1.86",
        }

    def call(self, method: str, path: str, body: Any = None) -> Any:
        """One request. Raises `Permanent` with Ironic's words if it is refused."""
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self._url + path, data, self._headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=60) as response:
                answer = response.read()
        except urllib.error.HTTPError as error:
            raise Permanent(f"Ironic refuses {method} {path}: {error.read().decode()[:500]}") from error
        except OSError as error:
            raise Temporary(f"Ironic does not answer {method} {path}: {error}") from error
        return json.loads(answer) if answer else None

    def enrol(
        self, body: Mapping[str, Any], *, first_clean: bool, inspect: bool = True, ports: Sequence[str] = ()
    ) -> dict[str, Any]:
        """Create a node, inspect it if asked, and bring it to `available`, cleaned unless told otherwise.

        `ports` are MAC addresses to be known of it beside what an inspection finds.
        """
        node = self.call("POST", "/v1/nodes", {**body, "automated_clean": first_clean})
        for address in ports:
            self.call("POST", "/v1/ports", {"node_uuid": node["uuid"], "address": address})
        self._move(node["uuid"], "manage", "manageable")
        if inspect:
            self._move(node["uuid"], "inspect", "manageable")
        else:  # a machine whose power state nobody ever set cannot be allocated
            self.call("PUT", f"/v1/nodes/{node['uuid']}/states/power", {"target": "power off"})
            self._settle(node["uuid"], "power off")
        self._move(node["uuid"], "provide", "available")
        self._patch(node["uuid"], "automated_clean", True)
        answer: dict[str, Any] = self.call("GET", f"/v1/nodes/{node['uuid']}")
        return answer

    def _settle(self, node: str, power: str, timeout: float = 60.0) -> None:
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            now = self.call("GET", f"/v1/nodes/{node}?fields=power_state,reservation")
            if now["power_state"] == power and not now["reservation"]:
                return
            time.sleep(0.05)
        raise Permanent(f"node {node} did not reach {power} within {timeout:.0f} s")

    def _patch(self, node: str, field: str, value: Any) -> None:
        self.call("PATCH", f"/v1/nodes/{node}", [{"op": "add", "path": f"/{field}", "value": value}])

    def _move(self, node: str, verb: str, wanted: str, timeout: float = 120.0) -> None:
        self.call("PUT", f"/v1/nodes/{node}/states/provision", {"target": verb})
        deadline = time.monotonic() + timeout
        fields = "provision_state,target_provision_state,reservation,last_error"
        while time.monotonic() < deadline:
            now = self.call("GET", f"/v1/nodes/{node}?fields={fields}")
            if not now["reservation"] and not now["target_provision_state"]:
                if now["provision_state"] == wanted and not now["last_error"]:
                    return
                if now["last_error"] or now["provision_state"].endswith("failed"):
                    raise Permanent(f"node {node} cannot {verb}: {now['last_error']}")
            time.sleep(0.1)
        raise Permanent(f"node {node} did not reach {wanted} within {timeout:.0f} s of {verb}")
