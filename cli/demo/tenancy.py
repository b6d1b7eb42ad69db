"""What the customer does with its leases: logs in, accepts, switches machines, and lives through an outage.

Whatever is awaited is read from the chain, or asked of the provider's gateway.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial

from chain.exchange import Exchange
from chain.generated.enums import LeaseState
from chain.published import judges
from cli.demo.outage import Outage
from cli.demo.stage import Party, Stage, poll
from cli.demo.watch import Watch
from market.errors import Permanent
from market.rounds import LEAST_ROUNDS, Grid

__all__ = ["Tenancy"]


@dataclass
class Tenancy:
    """The customer's leases; `name_of` tells an organisation's name by its number."""

    stage: Stage
    customer: Party
    observer: Exchange
    witnesses: Watch
    name_of: Callable[[int], str]
    sessions: dict[int, str] = field(default_factory=dict)
    """What each server answered over SSH."""

    def use_up(self, lease: int) -> None:
        """A lease without an SLA: accepted, used, given back early."""
        customer = self.customer
        self.receive(lease)
        customer.ocx(f"lease accept {lease}", step=f"lease {lease}: accepts; it bills since delivery")
        customer.ocx(f"lease end {lease}", step=f"lease {lease}: ends early")

    def receive(self, lease: int) -> None:
        """The buyer's side of a delivery: its key to the provider, a login."""
        customer, began = self.customer, self.stage.elapsed()
        customer.ocx(f"lease setup {lease}", step=f"lease {lease}: sends its fresh SSH key to the provider")
        self.await_state(lease, LeaseState.DELIVERED, 240)
        provider = self.name_of(self.observer.leases.lease(lease).provider)
        self.stage.note(
            provider, f"lease {lease}: signed, provisioned, delivered", self.stage.elapsed() - began
        )
        answer = customer.ocx(
            f"lease connect {lease} --run 'echo I am $(hostname), lease {lease}'",
            step=f"lease {lease}: opens the sealed data and logs in over SSH",
        )
        self.sessions[lease] = str(answer["output"]).strip()

    def suffer(self, lease: int, outage: Outage) -> None:
        """A lease whose machine loses its power for two epochs, through nobody's wish."""
        grid = judges(self.observer)[0].grid()
        self.witnesses.await_proof(lease)
        at = self._outage_begins(lease, grid)
        poll("the moment for an outage", lambda: self.observer.now() >= at, self.stage, 120)
        for act in (outage.cut, outage.try_on):
            began = self.stage.elapsed()
            self.stage.note("north", f"lease {lease}: {act()}", self.stage.elapsed() - began)
        dark = self.observer.now()
        back = dark + 2 * grid.epoch
        poll("half of an outage", lambda: self.observer.now() >= dark + grid.epoch, self.stage, 120)
        self.witnesses.ask(lease, self.customer, dark, dark + grid.epoch)
        poll("the power to be back", lambda: self.observer.now() >= back, self.stage, 120)
        self.stage.note("north", f"lease {lease}: {outage.restore()}", 0)

    def _outage_begins(self, lease: int, grid: Grid) -> int:
        """With an epoch; where one has too few rounds to be judged alone, with the last two of the lease."""
        if grid.rounds >= LEAST_ROUNDS:
            return grid.end(grid.epoch_of(self.observer.now()))
        return self.observer.leases.lease(lease).end * self.observer.slot - 2 * grid.epoch

    def switch(self, lease: int, actions: Sequence[str]) -> None:
        """A lease whose buyer switches its machine, once the witnesses have seen it."""
        self.witnesses.await_proof(lease)
        for action in actions:
            began = self.stage.elapsed()
            self.customer.ocx(f"lease power {lease} {action} --no-wait")
            poll(
                f"the power of lease {lease} to be {action}",
                partial(self._is_switched, lease, action),
                self.stage,
                60,
                0.4,
            )
            words = f"lease {lease}: switches its machine {action}; its signed request is on the chain"
            self.stage.note("customer", words, self.stage.elapsed() - began)

    def _is_switched(self, lease: int, action: str) -> bool:
        told = self.customer.ocx(f"lease power {lease} status")
        return bool(told["action"] == action and told["state"] == "done")

    def await_state(self, lease: int, least: LeaseState, limit: float) -> None:
        def reached() -> bool:
            state = self.observer.leases.state_of(lease)
            if state in (LeaseState.DEFAULTED, LeaseState.CANCELLED):
                raise Permanent(f"lease {lease} is {state.name.lower()}")
            return state >= least

        poll(f"lease {lease} to be {least.name.lower()}", reached, self.stage, limit)
