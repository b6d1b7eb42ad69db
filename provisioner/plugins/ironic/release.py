"""From a leased node to a free one, and the proof that nothing of the tenant is left.

Console, deployment, networks and marks go one after the other; Ironic's own node history is the evidence of
the wipe. A cleaning that did not run, or ran without any of the steps that erase, is no wipe: the key then
stays on the node, which nobody else gets.

The marks come off in two PATCHes, so that an agent whose request is late can do no harm to the next lease:
the first sets an `instance_uuid` of this call's own, which Ironic lets in only on a node without one, and
whoever holds that takes the marks, and it, off again.
"""

from __future__ import annotations

import datetime
import re
import uuid
from dataclasses import dataclass, field
from typing import Any

from market.errors import Permanent, Temporary
from provisioner.plugin import WipeEvidence
from provisioner.plugins.ironic import nodes as marks
from provisioner.plugins.ironic.api import Node
from provisioner.plugins.ironic.walk import Step, Walk

__all__ = ["Releaser"]

_MAX_EVENTS = 8
_MAX_WORDS = 300
_UNDEPLOYABLE = (
    "active",
    "deploy failed",
    "wait call-back",
    "deploy hold",
    "error",
    "rescue",
    "rescue failed",
    "unrescue failed",
)
_WRITABLE = tuple(state for state in _UNDEPLOYABLE if state not in ("wait call-back", "deploy hold"))
"""States in which Ironic lets fields be set; see its UPDATE_ALLOWED_STATES."""
_FAILED = ("clean failed", "error")
_STEP = re.compile(r"'step': '([^']+)'")


@dataclass
class _Call:
    """What one call to `release` did and saw so far."""

    key: str
    deadline: float
    claim: str = field(default_factory=lambda: str(uuid.uuid4()))
    """The `instance_uuid` this call takes the marks off with."""
    seen: list[str] = field(default_factory=list)
    steps: list[str] = field(default_factory=list)
    """Cleaning steps seen under way, in order."""
    repaired: bool = False
    """A failed or missing cleaning was started again, once."""
    console_asked: float | None = None
    other: tuple[str, float] | None = None
    """Another call's claim, and since when it stands."""


class Releaser:
    """Carries out `Provisioner.release`."""

    def __init__(self, walk: Walk) -> None:
        self._walk = walk

    def release(self, key: str) -> WipeEvidence:
        """See `Provisioner.release`.

        Raises `Permanent` if Ironic freed the node without wiping it. A cleaning that failed, or did not
        take place, is started again once per call.
        """
        walk = self._walk
        found = walk.find(key)
        if found is None:
            return self._former_evidence(key)
        call = _Call(key, walk.monotonic() + walk.settings.clean_timeout)
        while True:
            with walk.step(found["uuid"]) as step:
                node = walk.api.node(found["uuid"])
                if node is None or self._is_over(node, key):
                    self._give_back(node, call)
                    return self._former_evidence(key)
                walk.must_be_in_service(node)
                state = node["provision_state"]
                call.seen += [state] if state not in call.seen[-1:] else []
                call.steps = list(dict.fromkeys([*call.steps, *_steps_under_way(node)]))
                if state == "available" and not node["reservation"]:
                    if evidence := self._free(node, call):
                        return evidence
                else:
                    self._push_down(node, call, step)
            if walk.monotonic() > call.deadline:
                raise Temporary(f"{marks.label(found)} is still {(call.seen or ['?'])[-1]}", retry_after=10)
            walk.pause()

    def _is_over(self, node: Node, key: str) -> bool:
        """Whether the node is no longer the key's. It may be claimed for it once more, by a late request."""
        freed_before = marks.evidence_of(node, key) and node["extra"].get("ocx_key") != key
        return marks.key_of(node) != key or bool(freed_before)

    # ---- down ------------------------------------------------------------------------------------------

    def _push_down(self, node: Node, call: _Call, step: Step) -> None:
        """Start whatever leads from the node's state to a clean one; `step` is the look it was seen in."""
        api, state = self._walk.api, node["provision_state"]
        if state in _FAILED and call.repaired:
            raise Temporary(
                f"the wipe of {marks.label(node)} failed: {self._walk.last_error(node)}", retry_after=30
            )
        ours = node["instance_uuid"] == marks.instance_of(call.key) and state in _WRITABLE
        if ours and (not marks.mark_of(node, "ocx_leaving") or self._protected(node, call.key)):
            step.must_be_fresh()
            self._note_leaving(node, call.key)
        elif state in _UNDEPLOYABLE:
            if self._console_is_off(node, call):
                step.must_be_fresh()
                api.set_provision_state(node["uuid"], "deleted")
        elif state == "clean failed":
            if node["fault"] == "clean failure":
                api.end_maintenance(node["uuid"])
            step.must_be_fresh()
            api.set_provision_state(node["uuid"], "manage")
        elif state == "manageable":
            step.must_be_fresh()
            api.set_provision_state(node["uuid"], "provide")
        call.repaired = call.repaired or state in _FAILED

    def _protected(self, node: Node, key: str) -> bool:
        """Whether we protect the node for this key; `Permanent` if somebody else does."""
        if not node["protected"]:
            return False
        if node["protected_reason"] == marks.protection_of(key):
            return True
        reason = " ".join(str(node["protected_reason"] or "no reason given").split())[:200]
        raise Permanent(
            f"{marks.label(node)} is protected in Ironic ({reason})",
            hint=f"Whoever did that must end it: baremetal node unset {marks.label(node)} --protected",
        )

    def _note_leaving(self, node: Node, key: str) -> None:
        """From here on the key builds nothing, and the history counts as the release's."""
        began = {"since": node["provision_updated_at"], "event": self._walk.last_event(node["uuid"])}
        leaving = marks.mark_of(node, "ocx_leaving") or {"key": key, **began}
        changes: dict[str, Any] = {"extra/ocx_key": key, "extra/ocx_leaving": leaving}
        if self._protected(node, key):
            changes["protected"] = False
        changes |= _lessee_before(node)
        self._walk.api.patch(node["uuid"], changes, guard=marks.guard_of(key))

    def _console_is_off(self, node: Node, call: _Call) -> bool:
        """Whether the console is closed; asks for it once, and raises if it does not happen in time."""
        if not node["console_enabled"]:
            return True
        walk = self._walk
        if call.console_asked is None:
            walk.api.set_console(node["uuid"], False)
            call.console_asked = walk.monotonic()
        elif walk.monotonic() - call.console_asked > walk.settings.power_timeout:
            why = walk.last_error(node)
            raise Temporary(f"the console of {marks.label(node)} cannot be closed: {why}", retry_after=30)
        return False

    # ---- free ------------------------------------------------------------------------------------------

    def _free(self, node: Node, call: _Call) -> WipeEvidence | None:
        """One step towards a free node that leaves its evidence behind; the evidence once that is done."""
        if node["instance_uuid"] == marks.instance_of(call.key):
            return self._finish(node, call, {"deployed": False, "cleaned": False, "steps": []})
        freer = marks.freer_of(node)
        if freer is None:
            if node["instance_uuid"] is not None:
                raise Temporary(f"{marks.label(node)} was given to another tenant by hand", retry_after=60)
            if marks.lost_reservation(node):
                return self._finish(node, call, {"deployed": False, "cleaned": False, "steps": []})
            if self._proof(node, call) is not None:
                self._claim(node, call)
            return None
        if freer == call.claim and node["instance_uuid"] == call.claim:
            proof = self._proof(node, call)
            if proof is None:
                raise Temporary(f"the history of {marks.label(node)} is gone", retry_after=10)
            return self._finish(node, call, proof)
        self._await(node, call, freer)
        return None

    def _claim(self, node: Node, call: _Call) -> None:
        held = {marks.instance_of(call.key): call.key}
        info = {"ocx_key": held, "ocx_freeing": {call.claim: int(self._walk.clock())}}
        self._walk.api.patch(node["uuid"], {"instance_uuid": call.claim, "instance_info": info})

    def _await(self, node: Node, call: _Call, freer: str) -> None:
        """Let another call finish; take its claim off if it stood still too long."""
        walk = self._walk
        if call.other is None or call.other[0] != freer:
            call.other = (freer, walk.monotonic())
        elif walk.monotonic() - call.other[1] > walk.settings.claim_timeout:
            self._unclaim(node, freer)

    def _unclaim(self, node: Node, claim: str) -> None:
        removals = [f"instance_info/ocx_freeing/{claim}", "instance_info"]
        removals += ["instance_uuid"] if node["instance_uuid"] == claim else []
        self._walk.api.patch(node["uuid"], {}, removals)

    def _give_back(self, node: Node | None, call: _Call) -> None:
        """Undo a claim that came too late: the node is no longer the key's."""
        if node is not None and marks.freer_of(node) == call.claim:
            self._unclaim(node, call.claim)

    def _finish(self, node: Node, call: _Call, proof: dict[str, Any]) -> WipeEvidence:
        """Take the marks off a node that is clean, and leave the evidence on it in the same step."""
        left = self._leftovers(node)
        history = self._since_release(node, self._walk.api.history(node["uuid"]))
        facts = {
            "plugin": "ironic",
            "node": node["uuid"],
            "instance": marks.instance_of(call.key),
            **proof,
            **left,
            "provision_state": node["provision_state"],
            "power_state": node["power_state"],
            "since": marks.release_began(node)["since"],
            "history": [_shown(entry) for entry in history[-_MAX_EVENTS:]],
        }
        at = proof.get("wiped_at") or _unix(node["provision_updated_at"])
        facts.pop("wiped_at", None)
        evidence = WipeEvidence(call.key, node["uuid"], at, facts)
        claim = marks.freer_of(node)
        guard = f"ocx_freeing/{claim}" if claim else f"ocx_key/{marks.instance_of(call.key)}"
        removals = [f"instance_info/{guard}"] if node["instance_uuid"] else []
        removals += [f"extra/{mark}" for mark in marks.MARKS if mark in node["extra"]]
        removals += [name for name in ("instance_uuid", "instance_info") if node[name]]
        changes = {"extra/ocx_wiped": marks.wipes_with(node, evidence), **_lessee_before(node)}
        self._walk.api.patch(node["uuid"], changes, removals)
        return evidence

    def _leftovers(self, node: Node) -> dict[str, Any]:
        """Take off what Ironic may have left on a clean node, and say what is there: nothing."""
        api = self._walk.api
        for vif in api.vifs(node["uuid"]):
            api.detach_vif(node["uuid"], vif)
        attached = api.vifs(node["uuid"])
        if attached:
            raise Temporary(f"{marks.label(node)} is still attached to {', '.join(attached)}", retry_after=10)
        if node["console_enabled"]:
            api.set_console(node["uuid"], False)
            raise Temporary(f"the console of {marks.label(node)} is still open", retry_after=5)
        claimed, info = marks.freer_of(node) is not None, node["instance_info"] or {}
        rest = sorted(set(info) - {"ocx_key", "ocx_freeing"}) if claimed else []
        return {"networks": attached, "console": False, "instance_info": rest}

    # ---- proof -----------------------------------------------------------------------------------------

    def _since_release(self, node: Node, history: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """The events of a node's history since its release began, oldest first."""
        began = marks.release_began(node)
        places = [place for place, entry in enumerate(history) if entry["uuid"] == began["event"]]
        if places:
            return history[places[0] + 1 :]
        return [entry for entry in history if str(entry["created_at"]) > began["since"]]

    def _proof(self, node: Node, call: _Call) -> dict[str, Any] | None:
        """The cleaning that wiped the node; None if one was started again because there was none.

        Raises `Permanent` if Ironic does not clean the node, or cleans it without erasing anything.
        """
        name, ramdisk = marks.label(node), _ramdisk_at(node)
        at_work = bool(ramdisk or "clean wait" in call.seen)  # Ironic waited for a ramdisk
        whole = self._walk.api.history(node["uuid"])
        ends = [entry for entry in self._since_release(node, whole) if _is_cleaning_end(entry)]
        tells = any(str(entry["event_type"]).endswith("_end") for entry in whole)
        if not ends and (tells or not at_work):
            self._clean_again(node, call)
            return None
        told = _STEP.findall(str(ends[-1]["event"])) if ends else []
        steps, wanted = list(dict.fromkeys([*call.steps, *told])), self._walk.settings
        if wanted.wipe_steps and not set(steps) & set(wanted.wipe_steps):
            if not steps and not call.repaired:  # nobody watched: Ironic forgets which steps it ran
                self._clean_again(node, call)
                return None
            raise Permanent(
                f"Ironic cleaned {name} without erasing it (steps: {', '.join(steps) or 'none'})",
                hint=f"Give one of {', '.join(wanted.wipe_steps)} a priority in Ironic, then `manage` and "
                f"`provide` {name}; the release goes on.",
            )
        at = _unix(str(ends[-1]["created_at"] if ends else node["provision_updated_at"]))
        return {"deployed": True, "cleaned": True, "steps": steps, "ramdisk": ramdisk, "wiped_at": at}

    def _clean_again(self, node: Node, call: _Call) -> None:
        """Have Ironic clean a node that it made available as it was; `Permanent` if it would not."""
        if node["automated_clean"] is False or call.repaired:
            raise Permanent(
                f"Ironic made {marks.label(node)} available without cleaning it",
                hint="Set automated_clean on the node or in Ironic, then `manage` and `provide` the node; "
                "the release goes on.",
            )
        call.repaired = True
        self._walk.api.set_provision_state(node["uuid"], "manage")

    def _former_evidence(self, key: str) -> WipeEvidence:
        """Evidence of a key nothing carries: from the node it was on, or that there is none."""
        for node in self._walk.api.nodes(marks.FIELDS):
            if evidence := marks.evidence_of(node, key):
                return evidence
        return WipeEvidence(key, None, int(self._walk.clock()), {"plugin": "ironic", "absent": True})


def _lessee_before(node: Node) -> dict[str, Any]:
    """What gives the node back to whom it was lent before the lease, if the lease changed that."""
    order = marks.mark_of(node, "ocx_order")
    return {"lessee": order["lessee_before"]} if "lessee_before" in order else {}


def _steps_under_way(node: Node) -> list[str]:
    """The steps of the cleaning that runs. Ironic forgets them at its end."""
    internal = _internal(node)
    return [
        str(step["step"])
        for step in [*(internal.get("clean_steps") or []), node.get("clean_step") or {}]
        if step
    ]


def _internal(node: Node) -> dict[str, Any]:
    """What Ironic notes for itself; empty for an account that may not see it."""
    internal = node.get("driver_internal_info")
    return internal if isinstance(internal, dict) else {}


def _is_cleaning_end(entry: dict[str, Any]) -> bool:
    return bool(entry["event_type"] == "automated_cleaning_end" and entry["severity"] == "INFO")


def _ramdisk_at(node: Node) -> str | None:
    """When a ramdisk last told which steps clean the machine, if that was since the release began."""
    internal = _internal(node)
    at, since = internal.get("agent_cached_clean_steps_refreshed"), marks.release_began(node)["since"]
    return str(at) if at and since and _unix(str(at)) >= _unix(since) else None


def _shown(entry: dict[str, Any]) -> dict[str, str]:
    """An event as evidence: bounded, as it is kept on the node."""
    names = ("uuid", "created_at", "severity", "event_type")
    return {**{name: str(entry[name]) for name in names}, "event": str(entry["event"])[:_MAX_WORDS]}


def _unix(text: str) -> int:
    """Unix seconds of one of Ironic's times, which are UTC whether they say so or not."""
    at = datetime.datetime.fromisoformat(text)
    return int((at if at.tzinfo else at.replace(tzinfo=datetime.UTC)).timestamp())
