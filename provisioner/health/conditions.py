"""What is wrong with an agent, by name: one table from what it knows of itself to what people can act on.

Each rule looks at `Facts`, copied from the agent, and says in a line what is the matter, or None.
`Conditions` only remembers since when each holds. Nothing is contacted; docs/faults.md has the same names.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from chain.disk import DiskTrouble
from chain.rpc import ChainStale, RpcBusy, RpcUnreachable, WrongNetwork
from provisioner.agent.operations import Running, Trouble
from provisioner.agent.vitals import Held

__all__ = ["RULES", "Condition", "Conditions", "Facts", "Rule"]

_DISK_FULL = 4 << 20
_DISK_LOW = 64 << 20
_CLOCK_OFF = 30.0


@dataclass(frozen=True, kw_only=True)
class Facts:
    """What an agent knows of itself; times in seconds.

    `idle`: since the last good cycle, `patience`: how long that may be. `endpoints`: see `Rpc`.
    `unread`, `refusing`: clouds and what they say. `broken`: lease, resource, what became of it.
    `unproven`: leases whose delivery nobody confirmed for long, and how they stand. `stuck`:
    transactions that wait too long.
    """

    failure: Exception | None = None
    idle: float | None = None
    patience: float = 30.0
    endpoints: list[dict[str, Any]] = field(default_factory=list)
    clock_offset: float | None = None
    disk_free: int | None = None
    unread: Mapping[str, str] = field(default_factory=dict)
    refusing: Mapping[str, str] = field(default_factory=dict)
    hung: list[Running] = field(default_factory=list)
    troubles: Mapping[str, Trouble] = field(default_factory=dict)
    broken: list[tuple[int, int, str]] = field(default_factory=list)
    unproven: list[tuple[int, str]] = field(default_factory=list)
    held: list[Held] = field(default_factory=list)
    orphans: int = 0
    strangers: int = 0
    stuck: int = 0
    gas_balance: int | None = None


@dataclass(frozen=True)
class Rule:
    """One condition: its name, when it holds (a line, else None), and what to do."""

    name: str
    test: Callable[[Facts], str | None]
    hint: str
    ill: bool = False
    """Health is not ok while it holds: leases are in danger until somebody acts."""


@dataclass(frozen=True)
class Condition:
    """A condition that holds, `since` in unix seconds."""

    name: str
    since: int
    message: str
    hint: str
    ill: bool


def _failed_with(*kinds: type[Exception]) -> Callable[[Facts], str | None]:
    return lambda facts: str(facts.failure) if isinstance(facts.failure, kinds) else None


def _endpoints(state: str) -> Callable[[Facts], str | None]:
    return lambda facts: _joined(e["fault"] for e in facts.endpoints if e["state"] == state)


def _other_failure(facts: Facts) -> str | None:
    known = (RpcUnreachable, RpcBusy, ChainStale, WrongNetwork, DiskTrouble)
    if facts.failure is None or isinstance(facts.failure, known):
        return None
    return str(facts.failure) or type(facts.failure).__name__


def _stalled(facts: Facts) -> str | None:
    if facts.idle is not None and facts.idle <= facts.patience:
        return None
    ago = "never came" if facts.idle is None else f"was {facts.idle:.0f} s ago"
    return f"the last good look at the chain {ago}"


def _clock(facts: Facts) -> str | None:
    offset = facts.clock_offset
    if offset is None or abs(offset) <= _CLOCK_OFF:
        return None
    return f"our clock is {abs(offset):.0f} s {'ahead of' if offset > 0 else 'behind'} the chain's"


def _disk(facts: Facts) -> str | None:
    told = [item.message for item in facts.troubles.values() if issubclass(item.error, DiskTrouble)]
    if isinstance(facts.failure, DiskTrouble):
        told.append(str(facts.failure))
    if facts.disk_free is not None and facts.disk_free < _DISK_FULL:
        told.append(f"{facts.disk_free >> 10} KiB are free on the disk of the state folder")
    return told[-1] if told else None


def _disk_low(facts: Facts) -> str | None:
    if facts.disk_free is None or not _DISK_FULL <= facts.disk_free < _DISK_LOW:
        return None
    return f"{facts.disk_free >> 20} MiB are free on the disk of the state folder"


def _waiting(facts: Facts) -> str | None:
    return _joined(f"{key}: {item.message}" for key, item in facts.troubles.items() if item.retry_at is None)


def _broken(word: str) -> Callable[[Facts], str | None]:
    return lambda facts: _joined(
        f"lease {lease}: resource {resource} {what}"
        for lease, resource, what in facts.broken
        if what.startswith(word)
    )


def _held(facts: Facts) -> str | None:
    return _joined(
        f"resource {item.resource} is held back: {item.why}"
        + (f" (offer {', '.join(map(str, item.offers))})" if item.offers else "")
        for item in facts.held
    )


RULES: tuple[Rule, ...] = (
    Rule(
        "chain-unreachable",
        _failed_with(RpcUnreachable, RpcBusy),
        "Start the node or add another to rpc_urls; the agent goes on by itself.",
    ),
    Rule(
        "chain-stale",
        _failed_with(ChainStale),
        "See whether the chain makes blocks, the node has peers, and our clock is right.",
    ),
    Rule(
        "wrong-chain",
        lambda facts: _endpoints("wrong-network")(facts) or _failed_with(WrongNetwork)(facts),
        "Correct rpc_urls, or use the connection file of the network that is meant.",
    ),
    Rule("endpoint-down", _endpoints("unreachable"), "Start that node, or take it out of rpc_urls."),
    Rule("endpoint-behind", _endpoints("behind"), "See whether that node has peers and room on its disk."),
    Rule("cycle-failing", _other_failure, "Do what the message says; it is tried again every few seconds."),
    Rule("stalled", _stalled, "See the other conditions and the log; a restart loses nothing.", ill=True),
    Rule(
        "clock-offset",
        _clock,
        "Set the clock (chrony or the like), unless the endpoints are wrong. Leases go by the chain's time.",
    ),
    Rule("disk-full", _disk, "Make room on the disk of state_dir; the agent goes on by itself.", ill=True),
    Rule("disk-low", _disk_low, "Make room on the disk of state_dir before it is full."),
    Rule(
        "cloud-refuses",
        lambda facts: _joined(f"{name}: {said}" for name, said in facts.refusing.items()),
        "Look at that cloud's credentials and rights (ocx provider check); it goes on by itself.",
    ),
    Rule(
        "cloud-unread",
        lambda facts: _joined(f"{n}: {said}" for n, said in facts.unread.items() if n not in facts.refusing),
        "Look at that cloud; until it answers, nothing in it is taken to be gone.",
    ),
    Rule(
        "call-hung",
        lambda facts: _joined(f"{item.kind} {item.key}" for item in facts.hung),
        "Look at that cloud; if the call never ends, restart the agent.",
        ill=True,
    ),
    Rule("needs-a-person", _waiting, "Mend it, then: ocx provider retry [LEASE|KEY]."),
    Rule(
        "machine-gone",
        _broken("is gone"),
        "The buyer's machine is not in the cloud: find it, or settle with the buyer. It is not built anew.",
    ),
    Rule(
        "machine-failed",
        _broken("failed"),
        "Mend the buyer's machine in the cloud. It is not built anew.",
    ),
    Rule(
        "delivery-unproven",
        lambda facts: _joined(f"lease {lease}: {what}" for lease, what in facts.unproven),
        "Its committee must reach machine and gateway from outside: look at host, port, firewall and gateway "
        "URL, or ask the buyer to accept. Unproven it ends as your default (ocx lease show N --why).",
    ),
    Rule(
        "machine-held",
        _held,
        "Withdraw its offer (ocx offer cancel), mend the machine, then: ocx provider retry.",
    ),
    Rule(
        "orphans",
        lambda facts: f"{facts.orphans} machine(s) of leases that are over" if facts.orphans else None,
        "They are released after orphan_grace; if they stay, look at their lease's reason.",
    ),
    Rule(
        "strangers",
        lambda facts: (
            f"{facts.strangers} machine(s) carry keys of no lease of ours" if facts.strangers else None
        ),
        "Release them by hand if nobody knows them; the agent leaves them alone.",
    ),
    Rule(
        "transactions-stuck",
        lambda facts: f"{facts.stuck} transaction(s) are not mined for long" if facts.stuck else None,
        "See that the node has peers and the account can pay for gas; they are sent again by themselves.",
    ),
    Rule(
        "no-gas",
        lambda facts: (
            "the agent's account has nothing to pay for gas with" if facts.gas_balance == 0 else None
        ),
        "Send the account some of the chain's own coin.",
        ill=True,
    ),
)
"""Every condition there is."""


class Conditions:
    """Which conditions hold, and since when; may be asked from any thread."""

    def __init__(self) -> None:
        self._since: dict[str, int] = {}
        self._lock = threading.Lock()

    def update(self, facts: Facts, now: float) -> list[Condition]:
        """The conditions that hold by these facts."""
        told = [(rule, message) for rule in RULES if (message := rule.test(facts))]
        with self._lock:
            self._since = {rule.name: self._since.get(rule.name, int(now)) for rule, _ in told}
            since = dict(self._since)
        return [Condition(rule.name, since[rule.name], text, rule.hint, rule.ill) for rule, text in told]


def _joined(lines: Iterable[str]) -> str | None:
    """A few of the lines on one, None if there are none."""
    found = list(lines)
    more = f"; and {len(found) - 5} more" if len(found) > 5 else ""
    return "; ".join(found[:5]) + more if found else None
