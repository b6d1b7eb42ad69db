"""What is sealed when a buyer opens a console: how to reach it, for one machine of one lease (rules P1, P3).

Provider and buyer, who may not import each other, agree on the form here. Unlike connection data it has no
hash on the chain: a console is opened anew each time it is asked for. Nothing here is ever logged.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass

from market.errors import InvalidInput, Permanent

__all__ = ["MOST_TEXT", "ConsoleDocument"]

MOST_TEXT = 64 * 1024
"""Bytes of a console's recent output that are handed over; older output is cut off."""
_MOST_KIND, _MOST_URL = 32, 2048


@dataclass(frozen=True, slots=True)
class ConsoleDocument:
    """The way to one console.

    `kind` is its protocol, for instance `vnc`, `shellinabox`, or `log` for a text that is read once; `url` is
    where to open it (None for a log), `text` its recent output (None for others).
    """

    lease: int
    resource: int
    kind: str
    url: str | None = None
    text: str | None = None

    def to_bytes(self) -> bytes:
        """For sealing; the text cut to its last `MOST_TEXT` bytes. Permanent if kind or URL is too long."""
        if not 0 < len(self.kind) <= _MOST_KIND or len(self.url or "") > _MOST_URL:
            raise Permanent("the cloud gave a console whose kind or URL is too long to hand on")
        fields = asdict(self)
        if self.text is not None:
            fields["text"] = self.text.encode(errors="replace")[-MOST_TEXT:].decode(errors="ignore")
        return json.dumps(fields, sort_keys=True, separators=(",", ":")).encode()

    @classmethod
    def from_bytes(cls, raw: bytes) -> ConsoleDocument:
        """From what was opened; InvalidInput if it is not such a document."""
        try:
            fields = json.loads(raw)
            url, text = fields["url"], fields["text"]
            return cls(
                int(fields["lease"]),
                int(fields["resource"]),
                str(fields["kind"]),
                None if url is None else str(url),
                None if text is None else str(text),
            )
        except (ValueError, KeyError, TypeError, OverflowError) as error:
            raise InvalidInput("the opened data are not a console of a lease") from error
