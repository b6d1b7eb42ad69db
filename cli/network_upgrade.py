"""`ocx network upgrade`: new rules beside the old ones, which see what began under them to its end."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from cli.act import Plan, apply, confirm, finish, working
from cli.app import App, Command, pass_app
from market.errors import InvalidInput

if TYPE_CHECKING:
    from chain.exchange import Exchange

__all__ = ["COMMANDS"]


@click.command(cls=Command)
@click.option("--to", "number", type=click.IntRange(2), required=True, help="The generation to put in force.")
@click.option(
    "--params",
    "params_file",
    type=click.Path(path_type=Path, dir_okay=False),
    required=True,
    help="YAML file of deployment constants, as for ocx network deploy; slots stay as they are.",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    required=True,
    help="Where to write the record of what was deployed.",
)
@pass_app
def upgrade(app: App, number: int, params_file: Path, out: Path) -> None:
    """Deploy the next generation of the contracts and have the time lock put it in force (council).

    The first run deploys and announces; the same command carries it out when the time lock allows. Leases
    that run are seen to their end by the contracts that opened them; offers of the old generation are to be
    published anew, SLAs registered anew, and witnesses stake in the new one. Agents serve both once they are
    started again. Of a council of several one runs it, the others approve by number (ocx council approve):
    their own run would deploy contracts of its own.
    """
    from chain.upgrade import deploy_next
    from cli.network import params_of

    exchange = app.exchange(sign=True)
    _require_next(exchange, number)
    params = params_of(params_file, demo=False)
    facts = {
        "stays": "directory, members, credits, escrow, inventory",
        "deployed anew": "all others; what runs goes on where it began",
        "slot": f"{params.slot} s",
    }
    confirm(app, f"Deploy generation {number} of {exchange.connection.network}.", facts)
    with working("deploying"):
        made = deploy_next(exchange, params)
    record, _ = made.record.write(out)
    step, call = made.next_step(exchange)
    word = "Announce" if step == "announced" else "Put in force"
    plan = Plan(f"{word} generation {number}.", [call], {"numbers": f"from {made.base + 1} on"})
    done = apply(app, exchange, plan)
    result = {"generation": number, "step": step, "first_number": made.base + 1, "record": str(record)}
    finish(app, done, result, value="step")


def _require_next(exchange: Exchange, number: int) -> None:
    known = exchange.generations
    if number <= known:
        raise InvalidInput(
            f"generation {number} is in force; the newest is {known}", hint="see: ocx network show"
        )
    if number > known + 1:
        raise InvalidInput(f"generation {known + 1} comes next", hint=f"give --to {known + 1}")


COMMANDS = (upgrade,)
