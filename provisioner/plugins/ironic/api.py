"""Ironic's API as the plugin uses it: raw calls through openstacksdk, and errors a caller can act on.

This module must not know about keys, orders and leases.
"""

from __future__ import annotations

import json
import re
import threading
import urllib.parse
from typing import Any

import keystoneauth1.exceptions
import openstack.connection
import openstack.exceptions

from market.errors import Permanent, Temporary
from provisioner.plugins.ironic.settings import IronicSettings

__all__ = ["Busy", "IronicApi", "Node"]

Node = dict[str, Any]
"""A node as Ironic describes it."""

_MICROVERSION = "1.82"
"""Ironic 2023.1: node history (1.78) and inventory (1.81)."""

_FIRMWARE_MICROVERSION = "1.86"
"""Ironic 2023.2."""

_LOOK_AGAIN = ("couldn't apply patch", "can not be performed on node", "can't be performed on node")
"""Words in a 400 that say: the node is not what it was when it was looked at."""


class Busy(Temporary):
    """The node is locked, or no longer as it was looked at. Look again, then decide."""


class IronicApi:
    """Calls to one Ironic; connects at the first one. Safe to use from several threads.

    Every method raises `Temporary` if Ironic cannot be reached or is in trouble, `Busy` on conflicts, and
    `Permanent` if it refuses.

    On what is atomic: Ironic knows no JSON-patch `test`. It sets an `instance_uuid` only on a node that has
    none at that moment, whatever it was when the request was made; a `remove` of a path that is not there
    fails the whole PATCH. The plugin's guards are made of these two.
    """

    def __init__(self, settings: IronicSettings) -> None:
        self._settings = settings
        self._lock = threading.Lock()
        self._connection: Any = None

    def nodes(self, fields: str, **filters: str) -> list[Node]:
        """All nodes that match, page by page."""
        query = urllib.parse.urlencode({"fields": fields, **filters})
        result: list[Node] = []
        path: str | None = f"/nodes?{query}"
        while path:
            page = self._call("GET", path)
            result += page["nodes"]
            following = page.get("next")
            path = f"/nodes?{urllib.parse.urlsplit(following).query}" if following else None
        return result

    def node(self, uuid: str) -> Node | None:
        """One node; None if Ironic says there is none."""
        answer: Node | None = self._call("GET", f"/nodes/{uuid}", absent=None)
        return answer

    def inventory(self, uuid: str) -> dict[str, Any] | None:
        """What the last inspection found; None if the node was never inspected."""
        answer = self._call("GET", f"/nodes/{uuid}/inventory", absent=None)
        return None if answer is None else dict(answer["inventory"])

    def traits(self, uuid: str) -> list[str]:
        """The node's traits, sorted."""
        return sorted(self._call("GET", f"/nodes/{uuid}/traits")["traits"])

    def history(self, uuid: str) -> list[dict[str, Any]]:
        """The node's history, oldest first."""
        entries = self._call("GET", f"/nodes/{uuid}/history?detail=true")["history"]
        return sorted(entries, key=lambda entry: str(entry["created_at"]))

    def firmware(self, uuid: str) -> dict[str, str]:
        """Versions of the node's firmware by component, as its controller told Ironic; empty if unknown."""
        path = f"/nodes/{uuid}/firmware"
        answer = self._call("GET", path, microversion=_FIRMWARE_MICROVERSION, absent=None)
        parts = answer["firmware"] if answer else []
        return {str(part["component"]): str(part["current_version"]) for part in parts}

    def vifs(self, uuid: str) -> list[str]:
        """Ids of the networks attached to the node, sorted."""
        return sorted(str(vif["id"]) for vif in self._call("GET", f"/nodes/{uuid}/vifs")["vifs"])

    def detach_vif(self, uuid: str, vif: str) -> None:
        """Take a network off the node; nothing happens if it is off."""
        self._call("DELETE", f"/nodes/{uuid}/vifs/{vif}", absent=None)

    def patch(
        self,
        uuid: str,
        changes: dict[str, Any],
        removals: list[str] | None = None,
        guard: tuple[str, Any] | None = None,
    ) -> None:
        """Remove and set fields (`extra/x` is inside one) of a node in one step, removals first.

        Raises `Busy`, and nothing is changed, if one of the removals is not there, or nothing is at the path
        of the `guard`, whose value stays there.
        """
        body: list[dict[str, Any]] = []
        if guard is not None:
            path, value = f"/{guard[0]}", guard[1]
            body += [{"op": "remove", "path": path}, {"op": "add", "path": path, "value": value}]
        body += [{"op": "remove", "path": f"/{path}"} for path in removals or []]
        body += [{"op": "add", "path": f"/{path}", "value": value} for path, value in changes.items()]
        self._call("PATCH", f"/nodes/{uuid}", body)

    def set_provision_state(self, uuid: str, target: str, **more: Any) -> None:
        """Ask for a transition: `active`, `deleted`, `manage`, `provide`."""
        self._call("PUT", f"/nodes/{uuid}/states/provision", {"target": target, **more})

    def set_power(self, uuid: str, target: str) -> None:
        """Ask for a power state: `power on`, `power off`, `rebooting`."""
        self._call("PUT", f"/nodes/{uuid}/states/power", {"target": target})

    def set_console(self, uuid: str, enabled: bool) -> None:
        """Ask for the console to be opened or closed."""
        self._call("PUT", f"/nodes/{uuid}/states/console", {"enabled": enabled})

    def console(self, uuid: str) -> dict[str, Any] | None:
        """What Ironic tells of an open console, perhaps nothing; None if it is closed."""
        answer = self._call("GET", f"/nodes/{uuid}/states/console")
        return dict(answer["console_info"] or {}) if answer["console_enabled"] else None

    def end_maintenance(self, uuid: str) -> None:
        """Take the node out of maintenance."""
        self._call("DELETE", f"/nodes/{uuid}/maintenance")

    def version(self) -> str:
        """The newest microversion Ironic speaks."""
        return str(self._call("GET", "/")["version"]["version"])

    def _call(
        self, method: str, path: str, body: Any = None, *, microversion: str = _MICROVERSION, **absent: Any
    ) -> Any:
        """One request. `absent=VALUE`: what 404, or an Ironic too old, means; else they are refusals."""
        what = f"{method} {path.partition('?')[0]}"
        try:
            response = self._adapter().request(
                path,
                method,
                json=body,
                microversion=microversion,
                raise_exc=False,
                connect_retries=0,
                status_code_retries=0,
                timeout=self._settings.request_timeout,
            )
        except (
            keystoneauth1.exceptions.Unauthorized,
            keystoneauth1.exceptions.MissingRequiredOptions,
            openstack.exceptions.ConfigException,
        ) as error:
            raise Permanent(
                f"cannot log in to Ironic: {_short(error)}", hint="Check the plugin's settings."
            ) from error
        except (
            keystoneauth1.exceptions.ClientException,
            openstack.exceptions.SDKException,
            OSError,
        ) as error:
            self._forget()
            raise Temporary(f"Ironic cannot be reached ({what}): {_short(error)}", retry_after=5) from error
        return _result(response, what, absent)

    def _adapter(self) -> Any:
        with self._lock:
            if self._connection is None:
                self._connection = _connect(self._settings)
            return self._connection.baremetal

    def _forget(self) -> None:
        """Connect anew at the next call: a connection made while Ironic was down may be half-made."""
        with self._lock:
            self._connection = None


def _connect(settings: IronicSettings) -> Any:
    if settings.cloud:
        return openstack.connect(cloud=settings.cloud, **settings.connect)
    auth: dict[str, Any] = {"endpoint": settings.endpoint}
    if settings.username:
        auth |= {"username": settings.username, "password": settings.secret.read()}
    return openstack.connection.Connection(
        auth_type="http_basic" if settings.username else "none",
        auth=auth,
        baremetal_endpoint_override=f"{(settings.endpoint or '').rstrip('/')}/v1",
        **settings.connect,
    )


def _result(response: Any, what: str, absent: dict[str, Any]) -> Any:
    """The answer's JSON, or the error that says what the caller can do."""
    code = response.status_code
    if code < 300:
        return response.json() if response.content else None
    if code in (404, 406) and "absent" in absent and "/v1/" in response.url:
        return absent["absent"]
    words = _words(response)
    text = f"Ironic answers {code} to {what}: {words}"
    if code == 409 or (code == 400 and any(sign in words.lower() for sign in _LOOK_AGAIN)):
        raise Busy(text, retry_after=1)
    if code == 403 and "protected" in words:
        raise Permanent(text, hint="Whoever protected the node must end that.")
    if code >= 500 or code in (408, 429):
        raise Temporary(text, retry_after=5)
    if code in (401, 403):
        raise Permanent(text, hint="Check the credentials in the ironic plugin's settings and their roles.")
    raise Permanent(text)


def _words(response: Any) -> str:
    """Ironic's own explanation, without its wrapping, at most one line of it."""
    try:
        wrapped = response.json().get("error_message") or response.json()
        fault = wrapped if isinstance(wrapped, dict) else json.loads(wrapped)
        text = str(fault.get("faultstring") or fault)
    except (ValueError, AttributeError):
        text = str(response.text)
    return " ".join(text.split())[:300]


def _short(error: BaseException) -> str:
    """The last cause of a failed request, without the layers it came through."""
    text = " ".join(str(error).split())
    if found := re.findall(r"\[Errno -?\d+\] ([^'\")]+)", text):
        return str(found[-1]).strip().lower()
    if found := re.findall(r"version discovery document at (\S+?),? ", text):
        return f"no Ironic answers at {found[0]}"
    if "timed out" in text.lower():
        return "no answer in time"
    return text.partition(": ")[0].partition(" (")[0][:160] or type(error).__name__
