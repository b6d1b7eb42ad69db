"""`ocx witness verify`: works a verdict out again from what witnesses published."""

from __future__ import annotations

import click

from cli.act import working
from cli.app import App, Command, pass_app
from cli.member import handles
from cli.options import place_option
from cli.render import hex_text, show
from market.errors import Refused

__all__ = ["verify"]


@click.command(cls=Command)
@click.argument("lease", type=int)
@click.argument("epoch", type=int)
@place_option
@pass_app
def verify(app: App, lease: int, epoch: int, place: int) -> None:
    """Work the verdict on an epoch of a lease out again, from published data alone.

    Asks the chain's node and nobody else. Verdicts and leaves come from events; the lease, its SLA, its
    committees and recorded power requests are what the contracts say they are. Says whose fault it was, with
    each seat's leaf and its transactions. Fails if the chain's verdict does not follow from what was
    published.
    """
    from chain.recompute import recompute
    from chain.report import blame

    exchange = app.exchange()
    with working("reading what was published"):
        found = recompute(exchange, lease, place, epoch)
    names = handles(exchange)
    verdict, best = found.verdict, found.best
    whose = blame(found.case, best)
    known = verdict is not None or not whose.undetermined
    show(
        app,
        {
            "lease": lease,
            "place": place,
            "epochs": list(best.span.epochs),
            "right": found.right,
            "final": found.is_final,
            "verdict_ppm": None if verdict is None else verdict.penalty_ppm,
            "penalty": None if verdict is None else verdict.penalty,
            "worked_out_ppm": best.ppm,
            "availability_ppm": best.availability_ppm if known else None,
            "judged": best.judged,
            "counted": best.counted,
            "claim_open": found.takes and not found.is_final,
            "down": [hex_text(bits.to_bytes(32, "big")) for bits in best.down],
            "fault": whose.fault.name.lower(),
            "why": [*best.why, *whose.why, *(f"wrong: {problem}" for problem in found.problems)],
            "seats": [
                {
                    "epoch": item.epoch,
                    "org": item.org,
                    "handle": names.get(item.org, "-"),
                    "counts": item.usable,
                    "said": item.why,
                    "txs": [hex_text(tx) for tx in item.opened.txs],
                }
                for item in found.case.sittings
            ],
        },
        value="right worked_out_ppm",
    )
    if not found.right:
        raise Refused(found.problems[0], hint="appeal while the span is not final: ocx sla appeal")
