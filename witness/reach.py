"""Does our own network work? Asked of others, at the moment a machine did not answer.

A witness that is cut off sees every machine down. So before it says so, it asks references: the chain's
endpoints and the edges of providers other than the machine's own. Many machines that fail at once share one
asking. This module must not judge machines.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence

from witness.targets import Reference

__all__ = ["Reach"]

Ask = Callable[[Reference], Awaitable[bool]]


class Reach:
    """The references, and what they last said; for the event loop's thread.

    `ask` tells whether a reference answers at all (a refusal is an answer), and raises nothing.
    """

    def __init__(self, ask: Ask, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._ask, self._monotonic = ask, monotonic
        self._references: tuple[Reference, ...] = ()
        self._said: dict[Reference, bool] = {}
        self._asked_at = float("-inf")
        self._asking: asyncio.Task[None] | None = None

    def set(self, references: Sequence[Reference]) -> None:
        """Whom to ask from now on."""
        if set(references) != set(self._references):
            self._references, self._asked_at = tuple(dict.fromkeys(references)), float("-inf")

    async def works(self, provider: int, since: float) -> bool | None:
        """Whether at least half of the references that are not this provider's answered, asked after `since`
        (monotonic); None if there are none."""
        while self._asked_at < since:
            if self._asking is None or self._asking.done():
                self._asking = asyncio.create_task(self._ask_all())
            await asyncio.shield(self._asking)
        others = [
            self._said[item] for item in self._references if item.org != provider and item in self._said
        ]
        return 2 * sum(others) >= len(others) if others else None

    def last(self) -> dict[str, bool]:
        """What each reference said when last asked, for health."""
        return {f"{item.host}:{item.port}": said for item, said in self._said.items()}

    async def _ask_all(self) -> None:
        began, references = self._monotonic(), self._references
        said = await asyncio.gather(*(self._ask(item) for item in references))
        self._said = dict(zip(references, said, strict=True))
        self._asked_at = began
