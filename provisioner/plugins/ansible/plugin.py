"""The Ansible plugin: a playbook that hands a machine to a tenant, and one that takes it back.

The machine itself is the truth. Before a setup begins, the key is marked on it; after a cleanup, the mark is
the last thing to go, and a record of the wipe stays. A play runs only while its connection holds the lock
on the machine, and a lock's connection lasts as long as any process of its play, so never do two plays run
on one machine, whoever started them and however they ended. Plays are idempotent: one that was cut short is
run again. The state folder holds what is convenient, nothing that matters.
"""

from __future__ import annotations

import dataclasses
import logging
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Self

from market.errors import OcxError, Permanent, Temporary
from provisioner.plugin import (
    Connection,
    Inspected,
    Order,
    Provisioner,
    State,
    Status,
    WipeEvidence,
    read_settings,
)
from provisioner.plugins.ansible import marks
from provisioner.plugins.ansible.checks import problems
from provisioner.plugins.ansible.door import Door, Keys, Unreachable, open_keys
from provisioner.plugins.ansible.memory import Memory
from provisioner.plugins.ansible.runs import Play, Result, fingerprint, run_ident, run_play
from provisioner.plugins.ansible.settings import AnsibleSettings, Machine, Product

__all__ = ["AnsiblePlugin"]

log = logging.getLogger(__name__)

_LOCK_TRY = 2.0


class AnsiblePlugin(Provisioner):
    """Machines that Ansible can log in to; see the module's docstring."""

    def __init__(
        self,
        settings: AnsibleSettings,
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._settings, self._clock = settings, clock
        self._machines = {machine.name: machine for machine in settings.machine_list}
        self._memory = Memory(settings)

    @classmethod
    def from_settings(cls, settings: Mapping[str, Any]) -> Self:
        """See `Provisioner.from_settings`; the settings are those of `AnsibleSettings`."""
        return cls(read_settings(AnsibleSettings, "ansible", settings))

    # ---- reading ---------------------------------------------------------------------------------------

    def inspect(self) -> list[Inspected]:
        """See `Provisioner.inspect`.

        Every machine measures itself now. One that cannot be reached is told as it was last measured; one
        that never could be is left out, so it is not sold. None can be reached: `Temporary`.
        """
        with open_keys(self._settings) as keys:
            measured = self._each(keys, lambda door: door.ask("measure"))
        lost = [answer for answer in measured.values() if isinstance(answer, OcxError)]
        if lost and len(lost) == len(measured):
            raise lost[0]
        result = []
        for name, answer in measured.items():
            if isinstance(answer, OcxError):
                log.warning("%s is told as it was last measured: %s", name, answer)
            else:
                self._memory.measured(name, answer)
            facts = self._memory.last_measured(name) if isinstance(answer, OcxError) else answer
            machine = self._machines[name]
            if facts and (told := marks.inspected(machine, facts, self._settings.site)):
                result.append(told)
        return result

    def status(self, key: str) -> Status:
        """See `Provisioner.status`."""
        with open_keys(self._settings) as keys:
            machine, found, _ = self._find(key, keys)
        if machine is None or found is None:
            return Status(State.ABSENT, "no machine carries this key")
        return marks.status_of(found, machine)

    def list_owned(self) -> dict[str, Status]:
        """See `Provisioner.list_owned`. One machine that cannot be read makes it `Temporary`."""
        with open_keys(self._settings) as keys:
            answers = self._each(keys, lambda door: door.ask("read"))
        owned = {}
        for name, found in answers.items():
            if isinstance(found, OcxError):
                raise found
            if found["lease"] and found["lease"]["key"]:
                owned[str(found["lease"]["key"])] = marks.status_of(found, self._machines[name])
        return owned

    def check(self) -> list[str]:
        """See `Provisioner.check`. Takes about a second for each playbook."""
        return problems(self._settings)

    def _each(
        self, keys: Keys, ask: Callable[[Door], dict[str, Any]], but: str = ""
    ) -> dict[str, dict[str, Any] | OcxError]:
        """Ask every machine, some at once; the answer or why there is none, by name."""

        def one(machine: Machine) -> dict[str, Any] | OcxError:
            try:
                with Door(keys, machine) as door:
                    return ask(door)
            except OcxError as error:
                return error

        machines = [machine for name, machine in self._machines.items() if name != but]
        with ThreadPoolExecutor(self._settings.parallel) as pool:
            return dict(zip([m.name for m in machines], pool.map(one, machines), strict=True))

    def _find(
        self, key: str, keys: Keys
    ) -> tuple[Machine | None, dict[str, Any] | None, WipeEvidence | None]:
        """The machine that carries a key and its marks; else the evidence of the key's wipe, if there is any.

        Raises `Unreachable` unless every machine that may carry it was read.
        """
        likely = self._memory.where(key)
        if likely is not None and likely not in self._machines:
            hint = f"Put {likely} back into the settings until its lease is over."
            raise Unreachable(f"{key} is on {likely}, which the settings do not name", hint=hint)
        if likely is not None:
            with Door(keys, self._machines[likely]) as door:
                found = door.ask("read", key=key)
            if found["lease"] and found["lease"]["key"] == key:
                return self._machines[likely], found, None
        evidence, lost = None, None
        for name, answer in self._each(keys, lambda door: door.ask("read", key=key)).items():
            if isinstance(answer, OcxError):
                lost = answer
            elif answer["lease"] and answer["lease"]["key"] == key:
                return self._machines[name], answer, None
            elif answer["released"]:
                evidence = marks.wiped(answer["released"])
        if lost is not None and evidence is None:
            raise lost
        return None, None, evidence

    # ---- provision -------------------------------------------------------------------------------------

    def provision(self, order: Order) -> Connection:
        """See `Provisioner.provision`. A setup that had failed is started again once per call."""
        machine = self._machines.get(order.local_id)
        if machine is None:
            raise Permanent(f"the settings name no machine {order.local_id}", key=order.key)
        product = self._settings.product_of(machine).name
        for phase in ("setup", "cleanup"):
            self._playbook(product, phase)
        deadline = time.monotonic() + self._settings.setup_timeout
        with open_keys(self._settings) as keys, Door(keys, machine) as door:
            before = door.ask("read", key=order.key)
            if connection := marks.holds(before, machine, order):
                return connection
            if before["lease"] is None:
                self._must_be_nowhere_else(order, machine, keys)
            self._lock(door, machine, deadline, order.key)
            found = door.ask("read", key=order.key)
            if connection := marks.holds(found, machine, order):
                return connection
            lease = found["lease"]
            if lease and lease["phase"] == "failed" and lease["attempt"] > _attempt(before):
                raise Temporary(f"the setup of {machine.name} failed: {lease.get('detail')}", retry_after=10)
            self._memory.note(order.key, machine.name)
            return self._set_up(keys, door, machine, marks.new_lease(order, product, lease), deadline)

    def _must_be_nowhere_else(self, order: Order, machine: Machine, keys: Keys) -> None:
        """Refuse a key that is, or was, on another machine.

        A machine that cannot be read does not stop the others, unless the key was last known to be there.
        """
        known = self._memory.where(order.key)
        answers = self._each(keys, lambda door: door.ask("read", key=order.key), but=machine.name)
        for name, found in answers.items():
            if isinstance(found, OcxError):
                if name == known:
                    raise found
                log.warning("%s cannot be asked whether it carries %s: %s", name, order.key, found)
            elif found["released"]:
                raise Permanent(f"{order.key} was released already and cannot be used again", key=order.key)
            elif found["lease"] and found["lease"]["key"] == order.key:
                raise Permanent(f"{order.key} holds {name}, not {machine.name}", key=order.key)

    def _set_up(
        self, keys: Keys, door: Door, machine: Machine, lease: dict[str, Any], deadline: float
    ) -> Connection:
        """Mark the machine, run the setup, and write down the connection; the caller holds the lock."""
        lease["run"] = run_ident(lease["key"], "setup", lease["attempt"])
        self._mark(door, machine, lease)
        result, _ = self._play(keys, door, machine, lease, "setup", deadline)
        if result.status == "stopped":
            raise _released(lease["key"], machine)
        try:
            _must_be_well(result, machine, "setup")
            connection = marks.connection_said(result.facts, machine)
        except OcxError as error:
            self._note_failure(door, machine, {**lease, "phase": "failed"}, error)
            raise
        up = dataclasses.asdict(connection)
        self._mark(door, machine, {**lease, "phase": "ready", "connection": up})
        if door.ask("read")["wanted"]:
            raise _released(lease["key"], machine)
        return connection

    # ---- release ---------------------------------------------------------------------------------------

    def release(self, key: str) -> WipeEvidence:
        """See `Provisioner.release`. Stops a setup that runs for the key.

        The evidence is what the cleanup play says by `set_stats`, how its tasks went, and which playbook it
        was. Raises `Permanent` if the play says nothing or cannot be run at all; the key stays.
        """
        deadline = time.monotonic() + self._settings.cleanup_timeout
        with open_keys(self._settings) as keys:
            machine, found, evidence = self._find(key, keys)
            if machine is None or found is None:
                facts = {"plugin": "ansible", "absent": True}
                return evidence or WipeEvidence(key, None, int(self._clock()), facts)
            with Door(keys, machine) as door:
                if not found["released"]:
                    door.ask("want", key=key)
                self._lock(door, machine, deadline, key)
                found = door.ask("read", key=key)
                if found["released"] is None:
                    lease = found["lease"]
                    if lease is None or lease["key"] != key:
                        raise Unreachable(f"the marks on {machine.name} changed while they were read")
                    record = self._clean_up(keys, door, machine, lease, deadline)
                else:
                    record = found["released"]
                freed = door.ask("free", record=record)
            self._memory.forget(key)
            return marks.wiped(freed["released"])

    def _clean_up(
        self, keys: Keys, door: Door, machine: Machine, lease: dict[str, Any], deadline: float
    ) -> dict[str, Any]:
        """Run the cleanup and return the record of the wipe; the caller holds the lock."""
        attempt = int(lease["attempt"]) + 1
        run = run_ident(lease["key"], "cleanup", attempt)
        lease = {**lease, "phase": "releasing", "attempt": attempt, "run": run, "detail": ""}
        self._mark(door, machine, lease)
        result, playbook = self._play(keys, door, machine, lease, "cleanup", deadline)
        try:
            _must_be_well(result, machine, "cleanup")
            said = marks.evidence_said(result.facts, machine)
        except OcxError as error:
            self._note_failure(door, machine, lease, error)
            raise
        facts = {
            "plugin": "ansible",
            "machine": machine.name,
            "product": lease["product"],
            "run": run,
            **playbook,
            "recap": result.recap,
            "changed": result.changed,
            "cleanup": said,
        }
        return {
            "key": lease["key"],
            "machine": machine.name,
            "wiped_at": int(self._clock()),
            "facts": facts,
        }

    # ---- helpers ---------------------------------------------------------------------------------------

    def _play(
        self, keys: Keys, door: Door, machine: Machine, lease: dict[str, Any], phase: str, deadline: float
    ) -> tuple[Result, dict[str, str]]:
        """Run a phase's playbook; returns how it went, and which playbook it was."""
        product, playbook = self._playbook(lease["product"], phase)
        proof = {"playbook": product.setup if phase == "setup" else product.cleanup}
        proof |= fingerprint(self._settings.project_dir, playbook)
        play = Play(
            ident=lease["run"],
            playbook=playbook,
            variables={**product.vars, **machine.vars},
            strange=marks.variables(lease),
            timeout=max(1.0, deadline - time.monotonic()),
        )

        def stop() -> bool:
            wanted = bool(door.ask("read")["wanted"])
            return wanted and phase == "setup"

        log.info("%s: run %s begins", machine.name, play.ident)
        result = run_play(keys, machine, play, keep_open=door.line_fd, stop=stop, monotonic=time.monotonic)
        log.info("%s: run %s: %s %s", machine.name, play.ident, result.status, result.detail)
        return result, proof

    def _lock(self, door: Door, machine: Machine, deadline: float, key: str) -> None:
        """Wait until no play runs on the machine, and keep it that way while the connection lasts."""
        while not door.ask("lock", wait=_LOCK_TRY)["locked"]:
            if time.monotonic() > deadline:
                raise Temporary(f"another run on {machine.name} does not end", retry_after=10, key=key)

    def _playbook(self, name: str, phase: str) -> tuple[Product, Path]:
        """A product and its playbook of a phase; `Permanent` if one of them is not there."""
        product = self._settings.product_list.get(name)
        if product is None:
            raise Permanent(f"the settings have no product {name}", hint="Put it back; a lease needs it.")
        playbook = self._settings.playbook(product, phase)
        if not playbook.is_file():
            hint = f"Write it, or correct `{phase}` of the product {name}."
            raise Permanent(f"there is no playbook {playbook}", hint=hint)
        return product, playbook

    def _note_failure(self, door: Door, machine: Machine, lease: dict[str, Any], why: OcxError) -> None:
        """Write down, on the machine, why a run failed; where that is not possible, it is found half-done."""
        try:
            self._mark(door, machine, {**lease, "detail": why.message[:400]})
        except Temporary as error:
            log.warning("%s could not be told that its run failed: %s", machine.name, error)

    def _mark(self, door: Door, machine: Machine, lease: dict[str, Any]) -> None:
        answer = door.ask("mark", lease=lease)
        if not answer["marked"]:
            raise Temporary(f"{machine.name} was taken by another key just now", holder=answer.get("lease"))


def _attempt(found: Mapping[str, Any]) -> int:
    return int(found["lease"]["attempt"]) if found["lease"] else 0


def _released(key: str, machine: Machine) -> Permanent:
    return Permanent(f"{key} was released while {machine.name} was being set up", key=key)


def _must_be_well(result: Result, machine: Machine, phase: str) -> None:
    """Raise what a run that did not go well means to the caller."""
    text = f"the {phase} of {machine.name} is {result.status}: {result.detail}"
    if result.status == "refused":
        raise Permanent(text, hint="Try it by hand: ansible-playbook --syntax-check.")
    if result.status != "ok":
        raise Temporary(text, retry_after=10)
