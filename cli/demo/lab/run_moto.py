"""EC2 for the lab: moto in server mode, made as slow, shared and fallible as EC2 where a lease would notice.

Runs in the lab's own virtual environment as a script: `python run_moto.py CONFIG`, a JSON file with `port`,
`access_key` and `block` (the first half of the public addresses, `127.64`). Beside stock moto:

- an instance is `pending`, `stopping` or `shutting-down` until the farm says that its guest is up or gone;
- public addresses are loopback addresses that guests can listen at; the console shows what the guest printed;
- a security group that an instance is in cannot be deleted;
- one access key and the sessions of roles named `ocx...` are let in, nobody else;
- on request, launches honour their ClientToken, and new instances stay invisible for a while.

`/_lab/...` is for the farm and for tests (see `Control`); it is not part of EC2.
"""

# mypy: disable-error-code="import-not-found,misc,no-untyped-call"

from __future__ import annotations

import base64
import io
import itertools
import json
import re
import sys
import threading
import time
import urllib.parse
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from moto.ec2.exceptions import EC2ClientError
from moto.ec2.models import ec2_backends, elastic_network_interfaces, instances, security_groups
from moto.ec2.responses import general
from moto.server import DomainDispatcherApplication, create_backend_app
from moto.sts.models import sts_backends
from werkzeug.serving import WSGIRequestHandler, make_server

_CODES = {"pending": 0, "running": 16, "shutting-down": 32, "terminated": 48, "stopping": 64, "stopped": 80}
_DONE = {"pending": "running", "stopping": "stopped", "shutting-down": "terminated"}
_EC2_ERROR = "<Response><Errors><Error><Code>{}</Code><Message>{}</Message></Error></Errors></Response>"
_STS_ERROR = "<ErrorResponse><Error><Code>{}</Code><Message>{}</Message></Error></ErrorResponse>"
_CHANGED = threading.Condition()
_options: dict[str, Any] = {"client_tokens": False, "hide_seconds": 0.0}
_version = 0


def _notify() -> None:
    global _version
    with _CHANGED:
        _version += 1
        _CHANGED.notify_all()


def _set_state(instance: Any, name: str) -> None:
    instance._state.name, instance._state.code = name, _CODES[name]


def _every_instance() -> Iterator[Any]:
    """All instances of all accounts and regions, the invisible ones included."""
    for account in list(ec2_backends.values()):
        for backend in list(account.values()):
            for reservation in list(backend.reservations.values()):
                yield from reservation.instances


def _find(instance_id: str) -> Any:
    return next(i for i in _every_instance() if i.id == instance_id)


# ---- moto made truer ---------------------------------------------------------------------------------------


def _transition(name: str, allowed: tuple[str, ...], during: str) -> None:
    """Let a verb of moto's instances lead to `during`, from the states that EC2 allows it in."""
    stock = getattr(instances.Instance, name)
    already = (during, _DONE[during])

    def verb(self: Any) -> Any:
        if self._state.name in already:
            return self._state
        if self._state.name not in allowed:
            text = f"The instance '{self.id}' is not in a state from which it can be {name}ed."
            raise EC2ClientError("IncorrectInstanceState", text)
        before = stock(self)
        _set_state(self, during)
        return before

    setattr(instances.Instance, name, verb)


def _make_truer(block: str) -> None:
    numbers = itertools.count(1)
    stock_run = instances.InstanceBackend.run_instances
    stock_delete = security_groups.SecurityGroupBackend.delete_security_group
    stock_all = instances.InstanceBackend.all_reservations

    def public_ip() -> str:
        number = next(numbers)
        return f"{block}.{number // 250}.{number % 250 + 1}"

    def run(self: Any, *args: Any, **kwargs: Any) -> Any:
        reservation = stock_run(self, *args, **kwargs)
        for instance in reservation.instances:
            instance.hidden_until = time.monotonic() + _options["hide_seconds"]
            _set_state(instance, "pending")
        return reservation

    def reboot(self: Any) -> None:
        self.boots = getattr(self, "boots", 0) + 1

    def visible(self: Any, filters: Any = None) -> Any:
        now = time.monotonic()
        shown = stock_all(self, filters)
        for reservation in shown:  # copies; the backend's own keep everything
            kept = [i for i in reservation.instances if getattr(i, "hidden_until", 0.0) <= now]
            reservation.instances = kept
        return [reservation for reservation in shown if reservation.instances]

    def delete(self: Any, name: str | None = None, group_id: str | None = None) -> Any:
        for instance in _every_instance():
            nics = [group.id for nic in instance.nics.values() for group in nic.group_set]
            if group_id in nics and instance.state != "terminated":
                raise EC2ClientError("DependencyViolation", f"resource {group_id} has a dependent object")
        return stock_delete(self, name, group_id)

    elastic_network_interfaces.random_public_ip = public_ip
    instances.InstanceBackend.run_instances = run
    instances.InstanceBackend.all_reservations = visible
    security_groups.SecurityGroupBackend.delete_security_group = delete
    instances.Instance.reboot = reboot
    _transition("start", ("stopped",), "pending")
    _transition("stop", ("running",), "stopping")
    _transition("terminate", ("pending", "running", "stopping", "stopped"), "shutting-down")
    general.General.get_console_output = _console


def _console(self: Any) -> Any:
    """GetConsoleOutput: what the guest printed so far."""
    instance = self.ec2_backend.get_instance(self._get_param("InstanceId"))
    text = base64.b64encode(getattr(instance, "console", "").encode()).decode()
    output = general.Base64EncodedString.from_encoded_bytes(text.encode())
    return general.ActionResult({"InstanceId": instance.id, "Timestamp": general.utcnow(), "Output": output})


# ---- what the farm and the tests may ask -------------------------------------------------------------------


class Control:
    """The answers below `/_lab/`; bodies and answers are JSON.

    `GET instances?after=N`: all instances, once something changed since version N, at most 2 s later.
    `PUT instances/ID` {state?, console?}: the farm says how far it is. `POST interrupt` {id, to, code,
    message}: AWS ends or stops an instance by itself. `PUT options` {client_tokens?, hide_seconds?}.
    `PUT faults` [{action, code, message?, status?, when?, skip?, times?}]: the next `times` requests whose
    action matches the pattern, after `skip` of them, get that error; `when` is `before` (nothing happens),
    `after` (it happens all the same) or `half` (it happens, half the answer arrives). `GET calls`: every
    request so far, as `Action` and account.
    """

    def __init__(self) -> None:
        self.faults: list[dict[str, Any]] = []
        self.calls: list[dict[str, str]] = []
        self._lock = threading.Lock()

    def answer(self, method: str, path: str, query: dict[str, str], body: Any) -> Any:
        """One request below `/_lab/`; KeyError if there is no such thing."""
        match [method, *path.strip("/").split("/")[1:]]:
            case ["GET", "instances"]:
                return self._instances(int(query.get("after", "-1")))
            case ["PUT", "instances", instance]:
                return self._progress(_find(instance), body)
            case ["POST", "interrupt"]:
                return self._interrupt(_find(body["id"]), body)
            case ["PUT", "options"]:
                _options.update({name: body[name] for name in body if name in _options})
                return _options
            case ["PUT", "faults"]:
                with self._lock:
                    self.faults = [{"skip": 0, "times": 1, "when": "before", **fault} for fault in body]
                return {}
            case ["GET", "faults"]:
                return self.faults
            case ["GET", "calls"]:
                return self.calls
        raise KeyError(path)

    def fault(self, action: str) -> dict[str, Any] | None:
        """The fault this request suffers, used up by it."""
        with self._lock:
            for fault in self.faults:
                if fault["times"] > 0 and re.fullmatch(fault["action"], action):
                    if fault["skip"] > 0:
                        fault["skip"] -= 1
                        continue
                    fault["times"] -= 1
                    return fault
        return None

    def _instances(self, after: int) -> Any:
        with _CHANGED:
            _CHANGED.wait_for(lambda: _version > after, 2.0)
            version = _version
        return {"version": version, "instances": [_shown(i) for i in _every_instance()]}

    def _progress(self, instance: Any, body: dict[str, Any]) -> Any:
        if "console" in body:
            instance.console = body["console"]
        if "state" in body and _DONE.get(instance.state) == body["state"]:
            _set_state(instance, body["state"])
            _notify()
        return _shown(instance)

    def _interrupt(self, instance: Any, body: dict[str, Any]) -> Any:
        hidden, instance.hidden_until = instance.hidden_until, 0.0  # moto must find it to end it
        instance.terminate() if body["to"] == "terminated" else instance.stop()
        instance.hidden_until = hidden
        code, message = body["code"], body.get("message", "")
        instance.state_reason = instances.StateReason(f"{code}: {message}", code)
        instance._reason = f"{code} ({instances.utcnow():%Y-%m-%d %H:%M:%S} GMT)"
        _notify()
        return _shown(instance)


def _shown(instance: Any) -> dict[str, Any]:
    data = instance.user_data
    return {
        "id": instance.id,
        "account": instance.owner_id,
        "region": instance.region_name,
        "state": instance.state,
        "address": instance.public_ip or instance.private_ip,
        "boots": getattr(instance, "boots", 0),
        "tags": {tag["key"]: tag["value"] for tag in instance.get_tags()},
        "user_data": "" if data is None else str(getattr(data, "encoded_string", data)),
    }


# ---- the server --------------------------------------------------------------------------------------------


class Server:
    """A WSGI application around moto's."""

    def __init__(self, access_key: str) -> None:
        self._moto = DomainDispatcherApplication(create_backend_app)
        self._access_key, self.control = access_key, Control()
        self._tokens: dict[tuple[str, str], tuple[dict[str, str], str, list[bytes]]] = {}
        self._tokens_lock = threading.Lock()
        # Moto's serializer changes, while it answers, a dictionary that its other threads walk through.
        self._one_at_a_time = threading.Lock()

    def __call__(self, environ: dict[str, Any], start: Any) -> Iterable[bytes]:
        """One request."""
        size = int(environ.get("CONTENT_LENGTH") or 0)
        raw = environ["wsgi.input"].read(size)
        environ["wsgi.input"] = io.BytesIO(raw)
        if environ["PATH_INFO"].startswith("/_lab/"):
            return self._lab(environ, raw, start)
        form = dict(urllib.parse.parse_qsl(raw.decode("utf-8", "replace")))
        action, access_key, service = form.get("Action", ""), *_credential(environ)
        wanted = _EC2_ERROR if service == "ec2" else _STS_ERROR
        self.control.calls.append({"action": action, "key": access_key})
        if refusal := self._refusal(action, access_key, service, form):
            return _error(start, wanted, 403, *refusal)
        fault = self.control.fault(action)
        if fault and fault["when"] == "before":
            return _error(start, wanted, fault.get("status", 503), fault["code"], fault.get("message", "lab"))
        with self._one_at_a_time:
            answer = list(self._through(action, form, environ, start, buffer=fault is not None))
        if not action.startswith(("Describe", "Get")):
            _notify()
        if fault and fault["when"] == "half":
            start("200 OK", [("Content-Type", "text/xml")])
            whole = b"".join(answer)
            return [whole[: len(whole) // 2]]
        if fault:
            return _error(start, wanted, fault.get("status", 503), fault["code"], fault.get("message", "lab"))
        return answer

    def _through(
        self, action: str, form: dict[str, str], environ: dict[str, Any], start: Any, *, buffer: bool
    ) -> Iterable[bytes]:
        """Moto's answer; for a launch whose token was seen, and where tokens count, the first one's."""

        def silent(*_args: Any) -> None:
            """The answer is not sent as it is."""

        if action != "RunInstances" or not _options["client_tokens"] or not form.get("ClientToken"):
            answer: Iterable[bytes] = self._moto(environ, silent if buffer else start)
            return answer
        asked = {name: value for name, value in form.items() if not name.startswith("Timestamp")}
        known = (form["ClientToken"], environ.get("HTTP_AUTHORIZATION", "").split("/")[0])
        with self._tokens_lock:
            if known in self._tokens:
                first, instance_id, body = self._tokens[known]
                if first != asked:
                    return _error(start, _EC2_ERROR, 400, "IdempotentParameterMismatch", "other parameters")
                if _find(instance_id).state in ("shutting-down", "terminated"):
                    return _error(start, _EC2_ERROR, 400, "IdempotentInstanceTerminated", instance_id)
                if not buffer:
                    start("200 OK", [("Content-Type", "text/xml")])
                return body
            body = list(self._moto(environ, silent if buffer else start))
            if found := re.search(rb"<instanceId>(i-[0-9a-f]+)</instanceId>", b"".join(body)):
                self._tokens[known] = (asked, found[1].decode(), body)
            return body

    def _refusal(
        self, action: str, access_key: str, service: str, form: dict[str, str]
    ) -> tuple[str, str] | None:
        """Why this caller is not let in; None if it is."""
        roles = (r for a in list(sts_backends.values()) for b in list(a.values()) for r in b.assumed_roles)
        if access_key != self._access_key and all(r.access_key_id != access_key for r in roles):
            code = "AuthFailure" if service == "ec2" else "InvalidClientTokenId"
            return code, "AWS was not able to validate the provided access credentials"
        role = form.get("RoleArn", "")
        if action == "AssumeRole" and not role.rpartition("/")[2].startswith("ocx"):
            return "AccessDenied", f"not authorized to perform sts:AssumeRole on resource {role}"
        return None

    def _lab(self, environ: dict[str, Any], raw: bytes, start: Any) -> Iterable[bytes]:
        query = dict(urllib.parse.parse_qsl(environ.get("QUERY_STRING", "")))
        try:
            told = self.control.answer(
                environ["REQUEST_METHOD"], environ["PATH_INFO"], query, json.loads(raw or b"null")
            )
        except (KeyError, StopIteration) as error:
            start("404 Not Found", [("Content-Type", "application/json")])
            return [json.dumps({"missing": str(error)}).encode()]
        start("200 OK", [("Content-Type", "application/json")])
        return [json.dumps(told).encode()]


def _credential(environ: dict[str, Any]) -> tuple[str, str]:
    """Access key and service of a signed request."""
    found = re.search(r"Credential=([^/]+)/\d+/[^/]+/([^/]+)/", environ.get("HTTP_AUTHORIZATION", ""))
    return (found[1], found[2]) if found else ("", "ec2")


def _error(start: Any, form: str, status: int, code: str, message: str) -> list[bytes]:
    start(f"{status} Lab", [("Content-Type", "text/xml")])
    return [form.format(code, message).encode()]


class _Quiet(WSGIRequestHandler):
    """Says nothing of each request, and keeps connections open as EC2 does."""

    protocol_version = "HTTP/1.1"

    def log_request(self, *_args: Any) -> None:
        """Say nothing."""


def main() -> None:
    """Serve until killed."""
    config = json.loads(Path(sys.argv[1]).read_text())
    _make_truer(config["block"])
    server = Server(config["access_key"])
    make_server("127.0.0.1", config["port"], server, threaded=True, request_handler=_Quiet).serve_forever()


if __name__ == "__main__":
    main()
