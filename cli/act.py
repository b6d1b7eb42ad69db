"""Plan, confirm, apply: how every command that changes the exchange goes about it.

The plan is on standard error, the result on standard output, so that a program can read the one and a person
both. Every call is tried on the newest block before anybody is asked, so a "no" costs nothing.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

import click

from cli.render import hex_text, show
from market.errors import Bug, InvalidInput, Refused

if TYPE_CHECKING:
    from chain.codec import Event
    from chain.contracts.base import Call
    from chain.exchange import Exchange
    from chain.rpc import Receipt
    from cli.app import App

__all__ = [
    "Done",
    "Plan",
    "apply",
    "confirm",
    "finish",
    "run",
    "through_council",
    "waits_for_council",
    "working",
]

_E = TypeVar("_E", bound="Event")


@dataclass(frozen=True)
class Plan:
    """What is about to happen.

    `title` is one sentence, `facts` label and text of what it means, `calls` the transactions in order. With
    `chained` the later ones only work after the earlier ones, so they cannot be tried beforehand. `hint` is
    what to do if the chain refuses and its error does not say it.
    """

    title: str
    calls: Sequence[Call]
    facts: Mapping[str, str] = field(default_factory=dict)
    chained: bool = False
    hint: str | None = None


@dataclass(frozen=True)
class Done:
    """What came of a plan: its receipts and the decoded events in them, both in order."""

    receipts: tuple[Receipt, ...]
    events: tuple[Event, ...]
    labels: tuple[str, ...]

    def find(self, kind: type[_E]) -> list[_E]:
        """The events of one kind."""
        return [event for event in self.events if isinstance(event, kind)]

    def one(self, kind: type[_E]) -> _E:
        """The one event of that kind; Bug if it is not there."""
        found = self.find(kind)
        if not found:
            raise Bug(f"the transaction was mined, but left no {kind.__name__} event")
        return found[0]

    def transactions(self) -> list[dict[str, Any]]:
        """The receipts as plain data."""
        return [
            {
                "label": label,
                "tx_hash": hex_text(receipt.tx_hash),
                "block": receipt.block_number,
                "block_time": receipt.block_time,
                "gas_used": receipt.gas_used,
            }
            for label, receipt in zip(self.labels, self.receipts, strict=True)
        ]


def apply(
    app: App, exchange: Exchange, plan: Plan, *, before_sending: Callable[[], object] | None = None
) -> Done:
    """Show the plan with its cost, ask, send one after the other; `before_sending` runs in between."""
    calls = list(plan.calls)
    refuse_twins(exchange, calls)
    tried = 1 if plan.chained else len(calls)
    with _hinted(plan.hint), working("estimating"):
        sent = [through_council(exchange, call) for call in calls[:tried]]
    gas = sum(gas for _, gas in sent)
    calls[:tried] = [call for call, _ in sent]
    more = " for the first, the rest when it is sent" if tried < len(calls) else ""
    cost = f"{gas:,}{more}, {_price(exchange, gas)}"
    confirm(app, plan.title, {**plan.facts, "transactions": str(len(calls)), "gas": cost})
    if before_sending is not None:
        before_sending()
    receipts, events = [], []
    for place, call in enumerate(calls):
        with _hinted(plan.hint), working(f"{call.label}: waiting for the chain"):
            receipt = _send(exchange, call if place < tried else through_council(exchange, call)[0])
        receipts.append(receipt)
        events += exchange.events(receipt)
        _stop_if_proposed(app, exchange, receipt)
    return Done(tuple(receipts), tuple(events), tuple(call.label for call in calls))


def through_council(exchange: Exchange, call: Call) -> tuple[Call, int]:
    """What to send so that the call is made, and its gas: itself, or a council member's proposal of it.

    Where another member proposed the very same call already, it is that proposal's approval.
    """
    try:
        return call, exchange.estimate(call)
    except Refused as no:
        from chain.governing import is_councils, motion_for

        motion = motion_for(exchange, call, exchange.sender.address) if is_councils(no) else None
        if motion is None:
            raise
        return motion.call, exchange.estimate(motion.call)


def waits_for_council(exchange: Exchange, receipt: Receipt) -> int:
    """The proposal that a transaction made or approved and that others must approve, too; else 0."""
    from chain.generated.events import Approved, Executed

    events = exchange.events(receipt)
    if any(isinstance(event, Executed) for event in events):
        return 0
    return next((event.proposal for event in events if isinstance(event, Approved)), 0)


def _stop_if_proposed(app: App, exchange: Exchange, receipt: Receipt) -> None:
    """A command whose call waits for others ends here, with what they have to do."""
    number = waits_for_council(exchange, receipt)
    if not number:
        return
    click.echo(f"Others of the council must approve it: ocx council approve {number}", err=True)
    show(
        app,
        {"proposal": number, "waits_for": "council", "tx_hash": hex_text(receipt.tx_hash)},
        value="proposal",
    )
    raise click.exceptions.Exit(0)


def _send(exchange: Exchange, call: Call) -> Receipt:
    from chain.sender import NotMined

    try:
        return exchange.send(call)
    except NotMined as error:
        error.hint = "it goes on by itself: do not repeat the command, look at it with: ocx wallet pending"
        raise


def refuse_twins(exchange: Exchange, calls: Sequence[Call]) -> None:
    """Refuse what is under way already, so that an impatient or interrupted user does not pay twice.

    Also what was mined after the command that sent it had ended: that is said once, then it is known.
    """
    from chain.nonces import Status

    found = exchange.sender.recover()
    live = {(entry.recipient, entry.data): entry for entry in exchange.sender.journal.live()}
    news = {(entry.recipient, entry.data): entry for entry in found.mined if entry.status is Status.MINED}
    for call in calls:
        twin = live.get((call.to, call.data))
        if twin is not None:
            raise Refused(
                f"the same transaction is under way already ({hex_text(twin.latest.hash)})",
                hint="wait until it is mined and see what became of it: ocx wallet pending",
                tx_hash=twin.latest.hash,
            )
        done = news.get((call.to, call.data))
        if done is not None:
            raise Refused(
                f"an earlier command sent this very transaction; it is mined ({hex_text(done.latest.hash)})",
                hint="it has happened; repeat the command only if you want it a second time",
                tx_hash=done.latest.hash,
            )


def confirm(app: App, title: str, facts: Mapping[str, str]) -> None:
    """Show what will happen and ask, unless `--yes`; without a terminal to ask, InvalidInput."""
    if app.format == "table" or not app.yes:
        click.echo(title, err=True)
        width = max((len(label) for label in facts), default=0)
        for label, text in facts.items():
            click.echo(f"  {label:<{width}}  {text}", err=True)
    if app.yes:
        return
    if not sys.stdin.isatty():
        raise InvalidInput(
            "there is no terminal to confirm this at", hint="give --yes (or set OCX_YES=1) if you mean it"
        )
    if not click.confirm("Go on?", err=True):
        raise click.Abort


def finish(app: App, done: Done, result: Mapping[str, Any], *, value: str = "") -> None:
    """Print what came of it, the transactions last; `value` as in `show`, by default their hashes."""
    if app.format == "value" and not value:
        for receipt in done.receipts:
            click.echo(hex_text(receipt.tx_hash))
        return
    show(app, {**result, "transactions": done.transactions()}, value=value)


@contextlib.contextmanager
def working(text: str) -> Iterator[None]:
    """Show that something is going on, where somebody watches."""
    if not sys.stderr.isatty():
        yield
        return
    from rich.console import Console

    with Console(stderr=True).status(text):
        yield


@contextlib.contextmanager
def _hinted(hint: str | None) -> Iterator[None]:
    try:
        yield
    except Refused as no:
        no.hint = no.hint or hint
        raise


def _price(exchange: Exchange, gas: int) -> str:
    from chain.fees import suggest

    per_gas = suggest(exchange.rpc).price
    return f"at most {gas * per_gas:,} wei" if per_gas else "free on this network"


def run(
    app: App,
    exchange: Exchange,
    title: str,
    call: Call,
    result: Mapping[str, Any],
    facts: Mapping[str, str] = {},
) -> None:
    """The common case: one call whose result is known before it is sent."""
    finish(app, apply(app, exchange, Plan(title, [call], facts)), result)
