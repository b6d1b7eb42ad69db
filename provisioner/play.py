"""Runs one playbook through ansible-runner, in a process of its own that a keeper ends with its caller.

For the ansible plugin and `ocx deploy`; not in the plugin's package, which loads a second's worth of others.
`python -m provisioner.play` reads one JSON object from its input (see `main`) and prints
one JSON object a line: what happens, of its results only what `--diff` asked for, and at the end how it
went. Passwords come over the input and go to Ansible's own questions; they are in no argument, environment
or file. What Ansible prints and returns is not kept unless asked for: it repeats the messages even of tasks
marked `no_log` (2.19).

This module must not decide anything.
"""

from __future__ import annotations

import json
import os
import sys
from typing import Any

__all__ = ["main"]

_RESULTS = {
    "runner_on_ok": "ok",
    "runner_on_skipped": "skipped",
    "runner_on_failed": "failed",
    "runner_on_unreachable": "unreachable",
}


def _told(event: dict[str, Any]) -> dict[str, Any] | None:
    """What the agent is told of an event of ansible-runner; None: nothing."""
    kind, data = event.get("event"), event.get("event_data") or {}
    if kind == "playbook_on_task_start":
        return {"event": "task", "name": str(data.get("task", "")), "handler": False}
    if kind == "playbook_on_handler_task_start":
        return {"event": "task", "name": str(data.get("task", "")), "handler": True}
    if kind == "playbook_on_stats":
        counts = {name: data.get(name) or {} for name in _RECAP}
        recap = {name: sum(found.values()) for name, found in counts.items()}
        return {"event": "stats", "recap": recap, "counts": counts, "facts": data.get("artifact_data") or {}}
    if kind not in _RESULTS:
        return None
    result = data.get("res") or {}
    told = {
        "event": _RESULTS[kind],
        "host": str(data.get("host", "")),
        "role": str(data.get("role", "")),
        "name": str(data.get("task", "")),
        "changed": bool(result.get("changed")),
        "hidden": _hidden(result),
    }
    if diff := _diff(result):
        told["diff"] = diff
    if kind in ("runner_on_failed", "runner_on_unreachable") and not data.get("ignore_errors"):
        told["message"] = _message(result)
    return told


_RECAP = ("ok", "changed", "failures", "dark", "skipped", "rescued", "ignored")


def _hidden(result: dict[str, Any]) -> bool:
    """Whether the play keeps it to itself (no_log); whether anything changed is then not told either."""
    return "censored" in result or bool(result.get("_ansible_no_log"))


def _diff(result: dict[str, Any]) -> list[dict[str, Any]]:
    """What Ansible says of before and after, if it was asked to (`--diff`) and the play does not hide it."""
    if _hidden(result):
        return []
    found = result.get("diff") or []
    own = [found] if isinstance(found, dict) else list(found)
    items = [item for item in result.get("results") or [] if isinstance(item, dict)]
    return [each for each in own if isinstance(each, dict)] + [each for item in items for each in _diff(item)]


def _message(result: dict[str, Any]) -> str:
    """Why a task failed; what a play marks `no_log` stays out of it."""
    if _hidden(result):
        return "the play keeps the reason to itself (no_log)"
    words = [str(result[name]) for name in ("msg", "stderr", "module_stderr") if result.get(name)]
    for item in result.get("results") or []:
        if isinstance(item, dict) and item.get("failed"):
            words.append(_message(item))
    return " ".join(words)[:2000]


def main() -> int:
    """Run the play that stdin describes: dir, ident, playbook, project, inventory, extravars, passwords,
    questions, forks, environment, keep_output."""
    import ansible_runner

    told = os.fdopen(os.dup(1), "w", encoding="utf-8", buffering=1)
    os.dup2(2, 1)
    request = json.load(sys.stdin)
    keep = bool(request["keep_output"])
    settings = {"suppress_ansible_output": True, "suppress_output_file": not keep, "pexpect_timeout": 1}
    with open(os.path.join(request["dir"], "env", "settings"), "w", encoding="utf-8") as file:
        json.dump(settings, file)  # as an argument, ansible-runner 2.4 takes them only beside such a file

    began = False

    def handle(event: dict[str, Any]) -> bool:
        nonlocal began
        line = _told(event)
        began = began or (line is not None and line["event"] == "task")
        if line is None and not began and event.get("stdout"):
            line = {"event": "text", "text": str(event["stdout"])[:2000]}
        if line is not None:
            print(json.dumps(line), file=told, flush=True)
        return keep

    run = ansible_runner.run(
        private_data_dir=request["dir"],
        ident=request["ident"],
        project_dir=request["project"],
        playbook=request["playbook"],
        inventory=request["inventory"],
        extravars=request["extravars"],
        cmdline=request["questions"],
        passwords=request["passwords"],
        envvars=request["environment"],
        forks=request["forks"],
        event_handler=handle,
        suppress_env_files=True,
        quiet=True,
    )
    print(json.dumps({"event": "end", "status": run.status, "code": run.rc}), file=told, flush=True)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
