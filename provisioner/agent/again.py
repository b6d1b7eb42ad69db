"""What failed for good and may be tried again all the same: a person said so, or its cloud is itself again.

`ocx provider retry` leaves a row in the store, which every running agent of that store takes up. A cloud that
refused everything, as with credentials that were revoked, refused what was asked of it meanwhile too; so that
is tried again once the cloud can be read. This module only lifts blocks; it begins nothing.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial

from provisioner.agent.clouds import Clouds
from provisioner.agent.operations import Retries
from provisioner.store.store import Store

__all__ = ["Again"]

log = logging.getLogger(__name__)


class Again:
    """The lifted blocks of one agent; `lease_of` tells the lease of an operation's key, None if none."""

    def __init__(
        self, store: Store, clouds: Clouds, retries: Retries, lease_of: Callable[[str], int | None]
    ) -> None:
        self._store, self._clouds, self._retries = store, clouds, retries
        self._lease_of = lease_of
        self._seen = max((number for number, _ in store.asked_again(-1)), default=0)

    def look(self) -> set[int]:
        """Lift what may be tried again; the leases concerned."""
        touched: set[int] = set()
        for number, what in self._store.asked_again(self._seen):
            self._seen = number
            log.info("asked to try again: %s", what or "everything")
            touched |= self._lift(partial(self._is_meant, what))
            self._lift_holds(what)
        for name in list(self._clouds.restored):
            since = self._clouds.restored.pop(name)
            log.info("the cloud %s can be read again", name)
            touched |= self._lift(partial(self._was_refused, name, since))
        return touched

    def _lift(self, meant: Callable[[str], bool]) -> set[int]:
        touched = set()
        for key in self._retries.troubles():
            if meant(key):
                self._retries.again(key)
                lease = self._lease_of(key.removesuffix("/release"))
                touched |= {lease} if lease is not None else set()
        return touched

    def _is_meant(self, what: str, key: str) -> bool:
        plain = key.removesuffix("/release")
        return what in ("", key, plain) or (what.isdecimal() and self._lease_of(plain) == int(what))

    def _was_refused(self, name: str, since: float, key: str) -> bool:
        """Whether a machine's call at that cloud failed for good since then."""
        trouble = self._retries.trouble(key)
        order = self._store.order(key.removesuffix("/release"))
        waits = trouble is not None and trouble.retry_at is None and trouble.at >= since
        return waits and order is not None and order[1] == name

    def _lift_holds(self, what: str) -> None:
        for name, machine in self._clouds.all_held():
            if what in ("", machine):
                self._clouds.hold(name, machine, None)
