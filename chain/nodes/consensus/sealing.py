"""Whether a node makes blocks: by what the chain says of it, looked at about every second.

A node seals while the validators at its newest block name it: founders from block 0 on, others once they are
voted in, and none after being voted out. It begins only once it has met a quorum, as validators that seal
before they have met make branches that may tie (`consensus.untie`). One that was restored from a back-up
begins only once the chain has shown that nobody else seals with its key (`RESTORED`), and none goes on beside
another that does: each start of a node puts a mark of its own into its blocks, so a block by its key with
another mark is somebody else's. This module must not start or end processes.
"""

from __future__ import annotations

import logging
import secrets
import time
from collections.abc import Callable
from pathlib import Path

from chain.nodes import geth
from chain.nodes.consensus.view import View, view_over
from chain.nodes.consensus.votes import tidy
from chain.nodes.line import IpcLine
from chain.wire import as_bytes, as_number

__all__ = ["RESTORED", "Sealer"]

log = logging.getLogger(__name__)

RESTORED = "restored"
"""A file in the folder of a node from a back-up, until it is known that its key is used nowhere else."""

_STANDS = 60.0
"""Seconds after which a chain that stands tells nothing more: who is waited for is not there."""
_MOST = 64
"""Blocks looked at in one go."""


class Sealer:
    """Looks after one start of one node's process; made anew for the next."""

    def __init__(self, folder: Path, address: str, clock: Callable[[], float] = time.time) -> None:
        self._folder, self._own, self._clock = folder, address.lower(), clock
        self._mark = secrets.token_hex(16)
        """32 characters: as many as a block's vanity holds."""
        self._seen = -1
        """Newest block looked at; -1 until a quorum has been met."""
        self._since = 0.0
        """Only blocks made after this tell of others with the same key."""
        self._fresh = 0
        """Blocks by other validators since then, without one by this key."""
        self._head, self._moved = "", 0.0
        self.note = ""
        """Why a validator does not seal, if that is no matter of seconds; else empty."""

    def look(self) -> View:
        """Have the node seal or stop as the chain says; what it knows. RpcUnreachable if it is silent."""
        with IpcLine(self._folder / geth.IPC) as line:
            seen = view_over(line)
            wanted = self._own in seen.signers and self._may(line, seen)
            if seen.seals and not wanted:
                log.info("%s seals no more", self._folder.name)
                line.call("miner_stop")
            elif wanted and not seen.seals and geth.is_open(line):
                line.call("miner_setExtra", self._mark)
                line.call("miner_start")
                log.info("%s seals", self._folder.name)
            tidy(line, seen)
        return seen

    def _may(self, line: IpcLine, seen: View) -> bool:
        """Whether nothing but the chain's word is missing; what does not seal yet must have met a quorum."""
        if self._seen < 0:
            if not seen.has_met(self._own):
                return False
            self._seen, self._since = seen.number, self._clock()
        self._learn(line, seen)
        restored = self._folder / RESTORED
        if not restored.exists():
            return not self.note and (seen.seals or seen.has_met(self._own))
        if not self._is_silent(seen):
            return False
        log.info("nobody else seals as %s, which was restored", self._folder.name)
        restored.unlink()
        self.note = ""
        return True

    def _learn(self, line: IpcLine, seen: View) -> None:
        """Look at every block that has come since."""
        if seen.hash != self._head:
            self._head, self._moved = seen.hash, self._clock()
        numbers = range(max(self._seen + 1, seen.number - _MOST + 1), seen.number + 1)
        self._seen = max(self._seen, seen.number)
        for number in map(hex, numbers):
            block = line.call("eth_getBlockByNumber", number, False)
            if block is None:  # another branch, heavier and shorter
                break
            signer = line.call("clique_getSigner", number)
            if as_number(block["timestamp"]) <= self._since:
                continue
            self._fresh += 1
            ours = as_bytes(block["extraData"]).startswith(self._mark.encode())
            if str(signer).lower() == self._own and not ours:
                self._fresh = 0
                self.note = "does not seal: another node seals with its key"
                log.warning("block %d was sealed with the key of %s elsewhere", int(number, 16), self._folder)

    def _is_silent(self, seen: View) -> bool:
        """Whether all others have sealed twice and this key has not, or nothing has moved for long."""
        if not self.note:
            self.note = "does not seal yet: it was restored, and its key may be in use elsewhere"
        stands = self._clock() - self._moved >= _STANDS
        met = seen.has_met(self._own)
        return met and not seen.syncing and (self._fresh >= 2 * len(seen.signers) or stands)
