"""Draws what witnesses saw: a row for each epoch, a cell for each round; as text, and as a PNG picture.

Only what `chain.report` found is drawn; nothing is judged here. Pictures need the optional package Pillow.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from cli.render import time_text
from market.errors import InvalidInput

if TYPE_CHECKING:
    from PIL import ImageDraw

    from chain.report import Judged, Report

__all__ = ["LEGEND", "Row", "draw_png", "rows_of", "text_lines"]

LEGEND = {
    ".": "no quorum saw it down",
    "x": "down, at the provider's fault",
    "g": "down, forgiven (grace)",
    "o": "off, at the buyer's recorded wish",
    "?": "a minority saw it down (path)",
    "-": "not published, or by too few",
    " ": "not of the lease",
}
"""What a cell says, by its letter."""

_ORDER = "x?go-. "
"""Where several rounds share a cell, the first of these that is among them is shown."""
_COLOURS = {
    ".": (134, 188, 134),
    "x": (196, 60, 52),
    "g": (236, 170, 86),
    "o": (110, 146, 206),
    "?": (180, 140, 200),
    "-": (208, 208, 208),
    " ": (246, 246, 246),
}
_WIDTH = 60
_LEFT, _RIGHT, _LINE, _TOP = 250, 330, 16, 46


@dataclass(frozen=True)
class Row:
    """An epoch of a machine: a letter for each round, and beside the last epoch of a span what came of it."""

    place: int
    epoch: int
    start: int
    cells: str
    result: str


def rows_of(report: Report) -> list[Row]:
    """By machine, then by time."""
    return [row for item in report.judged for row in _rows(item)]


def _rows(item: Judged) -> Iterator[Row]:
    case, span, grid = item.case, item.case.span, item.case.grid
    for epoch, down in zip(span.epochs, item.best.down, strict=True):
        whole = grid.whole(epoch, case.window)
        off = grid.touched(epoch, case.power)
        forgiven = grid.before(epoch, item.best.record.grace_until)
        usable = [sitting for sitting in case.sittings if sitting.epoch == epoch and sitting.usable]
        known = 0 < case.quorums[epoch] <= len(usable)
        some = 0
        for sitting in usable:
            some |= sitting.leaf.down if sitting.leaf else 0
        cells = ""
        for index in range(grid.rounds):
            bit = 1 << index
            if not whole & bit:
                cells += " "
            elif off & bit:
                cells += "o"
            elif not known:
                cells += "-"
            elif down & bit:
                cells += "g" if forgiven & bit else "x"
            else:
                cells += "?" if some & bit else "."
        yield Row(case.place, epoch, grid.start(epoch), cells, _result(item) if epoch == span.last else "")


def _result(item: Judged) -> str:
    if item.stage == "measured":
        return "not published yet"
    if item.verdict is None and item.why_undetermined:
        return "undetermined"
    penalty = f"penalty {share(item.verdict.penalty_ppm)}" if item.verdict else "no penalty"
    fault = item.blame.fault.name.lower()
    said = f"{share(item.best.availability_ppm)} up, {penalty}"
    return said if fault == "nobody" else f"{said}: {fault}"


def share(ppm: int) -> str:
    """Parts per million as a percentage: `99.5 %`."""
    return f"{ppm / 10_000:.4f}".rstrip("0").rstrip(".") + " %"


def text_lines(rows: Sequence[Row]) -> Iterator[str]:
    """The plot for a terminal, with its legend."""
    shown = sorted({letter for row in rows for letter in row.cells if letter != " "}, key=_ORDER.index)
    place = None
    for row in rows:
        if row.place != place:
            place = row.place
            yield f"machine {place}"
        yield f"  {row.epoch}  {time_text(row.start)}  |{_narrow(row.cells)}|  {row.result}".rstrip()
    yield "  " + ", ".join(f"{letter} {LEGEND[letter]}" for letter in shown)


def _narrow(cells: str) -> str:
    """At most so many cells as fit; where rounds share one, the most telling is shown."""
    if len(cells) <= _WIDTH:
        return cells
    edges = [len(cells) * n // _WIDTH for n in range(_WIDTH + 1)]
    return "".join(
        min(cells[low:high], key=_ORDER.index) for low, high in zip(edges, edges[1:], strict=False)
    )


def draw_png(path: Path, title: str, rows: Sequence[Row]) -> None:
    """Write the picture; InvalidInput if Pillow is not installed or the file cannot be written."""
    try:
        from PIL import Image, ImageDraw
    except ImportError as error:
        raise InvalidInput(
            "pictures need the package Pillow, which is not installed", hint="pip install 'ocx[plot]'"
        ) from error
    if path.suffix.lower() != ".png":
        raise InvalidInput(f"{path} is no PNG file", hint="give it a name that ends in .png")
    cell = max(3, min(12, 720 // max((len(row.cells) for row in rows), default=1)))
    width = _LEFT + cell * max((len(row.cells) for row in rows), default=1) + _RIGHT
    places = len({row.place for row in rows})
    height = _TOP + _LINE * (len(rows) + places) + _LINE * (len(LEGEND) + 2)
    picture = Image.new("RGB", (width, height), (255, 255, 255))
    _draw(ImageDraw.Draw(picture), title, rows, cell)
    try:
        picture.save(path, "PNG")
    except OSError as error:
        raise InvalidInput(f"the picture {path} cannot be written: {error}") from error


def _draw(draw: ImageDraw.ImageDraw, title: str, rows: Sequence[Row], cell: int) -> None:
    from PIL import ImageFont

    font, black, y = ImageFont.load_default(11), (30, 30, 30), _TOP
    draw.text((12, 12), title, black, ImageFont.load_default(16))
    place = None
    for row in rows:
        if row.place != place:
            place = row.place
            draw.text((12, y), f"machine {place}", black, font)
            y += _LINE
        draw.text((24, y), f"{row.epoch}   {time_text(row.start)}", black, font)
        for index, letter in enumerate(row.cells):
            x = _LEFT + index * cell
            draw.rectangle((x, y + 1, x + cell - 2, y + _LINE - 3), _COLOURS[letter])
        draw.text((_LEFT + len(row.cells) * cell + 12, y), row.result, black, font)
        y += _LINE
    y += _LINE
    for letter, text in LEGEND.items():
        draw.rectangle((24, y + 1, 34, y + _LINE - 5), _COLOURS[letter], (160, 160, 160))
        draw.text((44, y), text, black, font)
        y += _LINE
