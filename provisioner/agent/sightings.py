"""What the clouds show of leases, and which leases are to be looked at because of it.

Only says where to look; what is done there follows from the chain and the cloud, read again. What carries a
key of ours that the chain knows nothing of is a stranger: it is told, and never touched.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping

from provisioner.agent.clouds import Clouds
from provisioner.agent.reports import LeaseReport
from provisioner.store.store import Store

__all__ = ["Sightings"]

log = logging.getLogger(__name__)

_HANDED_OVER = ("active", "delivered")


class Sightings:
    """The clouds' word on the leases of one agent; `strangers`: keys in the clouds that are of no lease."""

    def __init__(
        self,
        store: Store,
        clouds: Clouds,
        lease_of: Callable[[str], int | None],
        key_of: Callable[[int, int], str],
    ) -> None:
        self._store, self._clouds = store, clouds
        self._lease_of, self._key_of = lease_of, key_of
        self.strangers: set[str] = set()
        self._seen = 0

    def concerned(self, reports: Mapping[int, LeaseReport], *, measured: bool) -> list[int]:
        """After a cloud was read: leases that are over may have waited for it; measured: any may have."""
        return [
            lease
            for lease, report in reports.items()
            if report.step == "Wait" and (measured or self._may_wait(lease, report))
        ]

    def _may_wait(self, lease: int, report: LeaseReport) -> bool:
        """Whether the reading may mean something for a lease: it is over, or a machine of it looks broken."""
        if not report.state.startswith(("awarded", *_HANDED_OVER)):
            return True
        if not report.state.startswith(_HANDED_OVER):
            return False
        return any(not self._clouds.shows(self._key_of(lease, resource)) for resource in report.machines)

    def reopen(self) -> None:
        """Whatever in a cloud carries the key of a lease we thought finished is looked at again.

        Only after a new reading: the one before has said all that it can say.
        """
        if self._clouds.readings == self._seen:
            return
        self._seen = self._clouds.readings
        open_ = set(self._store.open_leases())
        for name, key, _ in self._clouds.owned():
            lease = self._lease_of(key)
            if lease is None or lease in open_:
                continue
            if key in self._store.evidence(lease) and not self._clouds.carries(name, key)[0]:
                continue  # the reading is older than the wipe
            if self._store.lease_window(lease) is None:
                if key not in self.strangers:
                    log.warning(
                        "%s is in the cloud, but the chain has no such lease of ours; left alone", key
                    )
                self.strangers.add(key)
                continue
            self._store.set_done(lease, False)
            open_.add(lease)
