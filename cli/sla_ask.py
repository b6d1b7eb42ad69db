"""`ocx sla ask`: a party asks a committee how available a machine was; each seat answers from its own data.

The answers are transactions of the witnesses, so each is signed, and the majority's is committed on chain.
No money moves by them: penalties come from published leaves alone (`ocx sla claim`).
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import click

from cli.act import Plan, apply, working
from cli.app import App, Command, pass_app
from cli.member import handles, own_org
from cli.options import place_option
from cli.parse import DURATION, past_time, percent
from cli.plot import share
from cli.render import hex_text, show, time_text
from market.errors import InvalidInput, Refused, Temporary

if TYPE_CHECKING:
    from chain.contracts.inquiries import Inquiries
    from chain.exchange import Exchange

__all__ = ["ask", "inquiry"]

_PAUSE = 0.5
_WORDS = {0: "open", 1: "yes", 2: "no", 3: "unknown"}


@click.command(cls=Command)
@click.argument("lease", type=int)
@click.option(
    "--from", "start", required=True, help="Begin of the window: -2h, or an ISO time with its zone."
)
@click.option("--to", "end", default="now", help="Its end, by default now.")
@click.option("--above", required=True, metavar="PCT", help="Was it up in more than so much of the rounds?")
@place_option
@click.option("--wait/--no-wait", default=True, help="Wait for the answers; else look with: ocx sla inquiry.")
@click.option("--timeout", type=DURATION, default="3h", help="Wait at most so long.")
@pass_app
def ask(app: App, lease: int, start: str, end: str, above: str, place: int, wait: bool, timeout: int) -> None:
    """Ask the committee of a lease whether a machine was available over a past window (provider or buyer).

    Each witness answers from its private measurements, signed; the majority's answer is kept on the ledger.
    Once per epoch. It moves no money.
    """
    from chain.generated.events import InquiryAsked

    exchange = app.exchange(sign=True)
    inquiries, now = _inquiries(exchange), exchange.now()
    first, last = past_time(start, now), past_time(end, now)
    if not first < last:
        raise InvalidInput("the window is empty", hint="give a --from before --to")
    ppm = percent(above, least=0)
    facts = {
        "window": f"{time_text(first)} to {time_text(last)}",
        "question": f"up in more than {share(ppm)} of the measured rounds?",
        "answer": f"within {2 * exchange.leases.terms().epoch} s",
    }
    plan = Plan(
        f"Ask the witnesses of lease {lease} about machine {place}.",
        [inquiries.ask(lease, place, first, last, ppm, org=own_org(app, exchange))],
        facts,
    )
    number = apply(app, exchange, plan).one(InquiryAsked).inquiry
    if wait:
        _wait(app, exchange, number, timeout)
    show(app, _answer(exchange, number), value="result")


@click.command(cls=Command)
@click.argument("number", type=int, metavar="INQUIRY")
@click.option("--close", is_flag=True, help="Close it, if its time is over without an answer (anyone).")
@pass_app
def inquiry(app: App, number: int, close: bool) -> None:
    """What a committee answered: each seat's figure with its transaction, and the majority's answer."""
    exchange = app.exchange(sign=close)
    inquiries = _inquiries(exchange)
    if not 0 < number <= inquiries.count():
        raise InvalidInput(f"there is no inquiry {number}", hint="see the lease's: ocx sla report")
    if close:
        apply(app, exchange, Plan(f"Close inquiry {number}.", [inquiries.close(number)]))
    show(app, _answer(exchange, number), value="result")


def _wait(app: App, exchange: Exchange, number: int, timeout: int) -> None:
    """Until there is an answer; each seat's is told as it comes. Past its time it is closed."""
    inquiries, names = _inquiries(exchange), handles(exchange)
    deadline, told = time.monotonic() + timeout, 0
    with working(f"inquiry {number}: waiting for the witnesses"):
        while True:
            asked = inquiries.inquiry(number)
            if (asked.yes | asked.no | asked.unknown).bit_count() > told:
                rows = _answers(exchange, number, names)
                for row in rows[told:]:
                    click.echo(f"{row['handle']}: {row['said']}", err=True)
                told = len(rows)
            if asked.result:
                return
            if exchange.now() >= asked.deadline:
                break
            if time.monotonic() > deadline:
                raise Temporary(
                    f"inquiry {number} has no answer yet", hint=f"look later: ocx sla inquiry {number}"
                )
            time.sleep(_PAUSE)
    try:
        exchange.send(inquiries.close(number))
    except Refused:
        if not inquiries.inquiry(number).result:  # else somebody else closed it meanwhile
            raise


def _answer(exchange: Exchange, number: int) -> dict[str, Any]:
    from chain.published import judges

    asked, names = _inquiries(exchange).inquiry(number), handles(exchange)
    committee = judges(exchange)[0].committee(asked.lease, asked.term)
    answers = {row["org"]: row for row in _answers(exchange, number, names)}
    silent = {"answer": "none yet", "availability": None, "measured": None, "said": "nothing yet", "tx": None}
    return {
        "inquiry": number,
        "lease": asked.lease,
        "place": asked.place,
        "start": asked.from_,
        "end": asked.until,
        "above_ppm": asked.above_ppm,
        "asked_by": names.get(asked.by, "-"),
        "result": _WORDS[int(asked.result)],
        "yes": asked.yes.bit_count(),
        "no": asked.no.bit_count(),
        "unknown": asked.unknown.bit_count(),
        "quorum": committee.quorum,
        "answers_until": time_text(asked.deadline),
        "seats": [
            answers.get(org) or {"org": org, "handle": names.get(org, "-"), **silent}
            for org in committee.seats
        ],
    }


def _answers(exchange: Exchange, number: int, names: dict[int, str]) -> list[dict[str, Any]]:
    """What seats said, in the order they did."""
    from chain.generated.events import InquiryAnswered
    from chain.history import history

    rows = []
    for entry in history(exchange, [_inquiries(exchange)], "inquiry", number, kinds=(InquiryAnswered,)):
        event = entry.event
        assert isinstance(event, InquiryAnswered)  # noqa: S101  asked for these
        figure = f"{share(event.ppm)} of {event.measured} rounds" if event.measured else "no measurements"
        rows.append(
            {
                "org": event.org,
                "handle": names.get(event.org, "-"),
                "answer": _WORDS.get(event.answer, "-"),
                "availability": event.ppm,
                "measured": event.measured,
                "said": f"{_WORDS.get(event.answer, '-')}, {figure}",
                "tx": hex_text(entry.tx_hash),
            }
        )
    return rows


def _inquiries(exchange: Exchange) -> Inquiries:
    if exchange.inquiries is None:
        raise InvalidInput("this exchange takes no questions to witnesses", hint="its Directory names none")
    return exchange.inquiries
