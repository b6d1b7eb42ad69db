"""Ironic's API as the plugin uses it: raw calls through openstacksdk, and errors a caller can act on.

This module must not know about keys, orders and leases.
"""

from __future__ import annotations

import json
import threading
import urllib.parse
from pathlib import Path
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


class Busy(Temporary):
    """Ironic says 409: the node is locked, or not in a state that allows it. Look again, then decide."""


class IronicApi:
    """Calls to one Ironic; connects at the first one. Safe to use from several threads.

    Every method raises `Temporary` if Ironic cannot be reached or is in trouble, `Busy` on conflicts, and
    `Permanent` if it refuses.
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

    def patch(self, uuid: str, changes: dict[str, Any], removals: list[str] | None = None) -> None:
        """Set and remove fields (`extra/x` is inside one) of a node in one step."""
        body: list[dict[str, Any]] = [{"op": "remove", "path": f"/{path}"} for path in removals or []]
        body += [{"op": "add", "path": f"/{path}", "value": value} for path, value in changes.items()]
        self._call("PATCH", f"/nodes/{uuid}", body)

    def set_provision_state(self, uuid: str, target: str, **more: Any) -> None:
        """Ask for a transition: `active`, `deleted`, `manage`, `provide`."""
        self._call("PUT", f"/nodes/{uuid}/states/provision", {"target": target, **more})

    def end_maintenance(self, uuid: str) -> None:
        """Take the node out of maintenance."""
        self._call("DELETE", f"/nodes/{uuid}/maintenance")

    def version(self) -> str:
        """The newest microversion Ironic speaks."""
        return str(self._call("GET", "/")["version"]["version"])

    def _call(self, method: str, path: str, body: Any = None, **absent: Any) -> Any:
        """One request. `absent=VALUE` is what 404 means; without it 404 is a refusal."""
        what = f"{method} {path.partition('?')[0]}"
        try:
            response = self._adapter().request(
                path,
                method,
                json=body,
                microversion=_MICROVERSION,
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
                f"cannot log in to Ironic: {error}", hint="Check the plugin's settings."
            ) from error
        except (
            keystoneauth1.exceptions.ClientException,
            openstack.exceptions.SDKException,
            OSError,
        ) as error:
            self._forget()
            raise Temporary(f"Ironic cannot be reached ({what}): {error}", retry_after=5) from error
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
        auth |= {"username": settings.username, "password": _password(settings)}
    return openstack.connection.Connection(
        auth_type="http_basic" if settings.username else "none",
        auth=auth,
        baremetal_endpoint_override=f"{(settings.endpoint or '').rstrip('/')}/v1",
        **settings.connect,
    )


def _password(settings: IronicSettings) -> str:
    path = Path(settings.password_file or "")
    try:
        return path.read_text().strip()
    except OSError as error:
        hint = "Check the setting `password_file` of the ironic plugin."
        raise Permanent(f"the password file {path} cannot be read: {error.strerror}", hint=hint) from error


def _result(response: Any, what: str, absent: dict[str, Any]) -> Any:
    """The answer's JSON, or the error that says what the caller can do."""
    code = response.status_code
    if code < 300:
        return response.json() if response.content else None
    if code == 404 and "absent" in absent and "/v1/" in response.url:
        return absent["absent"]
    text = f"Ironic answers {code} to {what}: {_words(response)}"
    if code == 409:
        raise Busy(text, retry_after=1)
    if code >= 500 or code in (408, 429):
        raise Temporary(text, retry_after=5)
    if code in (401, 403):
        raise Permanent(text, hint="Check the credentials in the ironic plugin's settings and their roles.")
    raise Permanent(text)


def _words(response: Any) -> str:
    """Ironic's own explanation, without its wrapping."""
    try:
        wrapped = response.json().get("error_message") or response.json()
        fault = wrapped if isinstance(wrapped, dict) else json.loads(wrapped)
        return str(fault.get("faultstring") or fault)
    except (ValueError, AttributeError):
        return str(response.text)[:300]
