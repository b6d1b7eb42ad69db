"""What commands that buy and sell have to say of a lease's SLA and of its witnesses' fees."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cli.render import credits_text
from market.errors import InvalidInput

if TYPE_CHECKING:
    from chain.exchange import Exchange

__all__ = ["fee_fact", "require_sla", "sla_text"]


def require_sla(exchange: Exchange, sla: int) -> None:
    """Refuse an SLA that is not registered: somebody else might register that number, with other terms.

    0 promises nothing and is always taken. Raises InvalidInput, or the contract's `Verdicts_UnknownSla`.
    """
    if not sla:
        return
    if exchange.verdicts is None:
        raise InvalidInput("this exchange has no witnesses, so there are no SLAs", hint="leave --sla out")
    exchange.verdicts.sla(sla)


def sla_text(sla: int) -> str:
    """What people read of an SLA's number."""
    return f"{sla} (see: ocx sla show {sla})" if sla else "none"


def fee_fact(fees: int) -> dict[str, str]:
    """What a buyer is told of its half of the witness fees, if there are any."""
    if not fees:
        return {}
    return {"witnesses": f"{credits_text(fees)} credits besides; what they are not paid comes back"}
