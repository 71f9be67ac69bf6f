"""Tables too long to draw at once: cells as JSON, drawn row by row where they are looked at."""

from __future__ import annotations

from functools import lru_cache

from steelyard.reports import words
from steelyard.reports.document import Cell, Change, Document, Flips, Number, Table, Word
from steelyard.reports.renderers.visible import visible

#: From here on a table is drawn by pages; a browser lays out some ten thousand cells a second.
LONG_CELLS = 3000
#: As many cells of a wide table are laid out in the blink of an eye.
PAGE_CELLS = 800
PAGE_ROWS = 40
WIDE_COLUMNS = 16

Scale = tuple[float, float] | None


def is_long(table: Table) -> bool:
    """Whether the table is drawn by pages."""
    return len(table.rows) > PAGE_ROWS and len(table.rows) * len(table.columns) > LONG_CELLS


def is_wide(table: Table) -> bool:
    """Whether the columns have one width each, so that no cell has to be measured to lay it out."""
    columns = sum(column.primary for column in table.columns)
    return columns > WIDE_COLUMNS and len(table.rows) * columns > PAGE_CELLS // 2


def page_rows(table: Table) -> int:
    """How many rows are drawn at a time: fewer where there are many columns."""
    columns = sum(column.primary for column in table.columns)
    return max(10, min(PAGE_ROWS, PAGE_CELLS // max(1, columns)))


def is_normalisable(block: Table) -> bool:
    """Whether any score on the table has a normalised form."""
    return any(
        isinstance(cell, Number) and cell.normalised is not None
        for row in block.rows
        for cell in row.cells
    )


def is_large(document: Document) -> bool:
    """Whether there is more on the page than a browser lays out in the blink of an eye."""
    blocks = [block for _, block in document.blocks()]
    cells = sum(len(b.rows) * len(b.columns) for b in blocks if isinstance(b, Table))
    return cells > LONG_CELLS or any(len(b.items) > 400 for b in blocks if isinstance(b, Flips))


def long_tables(document: Document) -> dict[str, object]:
    """For each long table its rows; texts are formatted here, so that a script formats none."""
    return {
        block.id: _packed_rows(block)
        for _, block in document.blocks()
        if isinstance(block, Table) and is_long(block)
    }


def _packed_rows(table: Table) -> list[dict[str, object]]:
    scales = [bar_scale(table, index) for index in range(len(table.columns))]
    return [
        {
            "tags": [_kept(tag) for tag in row.tags],
            "cells": [
                _scoreless(cell) if scale is None else _packed_cell(cell, scale)
                for cell, scale in zip(row.cells, scales, strict=True)
            ],
        }
        for row in table.rows
    ]


@lru_cache(maxsize=50_000)
def _kept(text: str) -> str:
    """Names and dates, of which a table repeats a few."""
    return visible(text)


@lru_cache(maxsize=50_000)
def _scoreless(cell: Cell) -> dict[str, object]:
    """Names, costs and dates of a run stand on many pages of a site."""
    return _packed_cell(cell, None)


def _packed_cell(cell: Cell, scale: Scale) -> dict[str, object]:
    """Only what is there, under the names that the style sheet knows."""
    shown: dict[str, object]
    if isinstance(cell, Number):
        shown = _packed_number(cell, scale)
    elif isinstance(cell, Word):
        shown = {"text": visible(cell.word), "sense": cell.sense}
    else:
        shown = {"text": visible(cell.text)}
        if cell.link:
            shown["link"] = cell.link
        if cell.badges:
            shown["badges"] = [visible(badge) for badge in cell.badges]
    if cell.note:
        shown["note"] = visible(cell.note)
    return shown


def _packed_number(cell: Number, scale: Scale) -> dict[str, object]:
    shown: dict[str, object] = {"text": words.shown(cell)}
    if cell.value is not None:
        shown["value"] = cell.value
    if cell.low is not None and cell.high is not None:
        shown["interval"] = words.interval(cell)
        if bar := bar_style(cell, scale):
            shown["bar"] = bar
    if (other := cell.normalised) is not None:
        interval = words.normalised_interval(cell)
        shown["normalised"] = [other.value, words.normalised(cell), interval]
    if cell.grade:
        shown["grade"] = cell.grade
    if cell.changes:
        shown["changes"] = [_change(change) for change in cell.changes]
    return shown


def _change(change: Change) -> list[str]:
    text = f"{words.SIGNS[change.sense]} {change.word} {words.change_value(change)}"
    return [visible(change.against), change.sense, text, words.change_interval(change)]


def bar_scale(table: Table, column: int) -> Scale:
    """The range of a column's intervals, for bars that share one scale; None: no bars."""
    if not table.columns[column].bars or not table.columns[column].numeric:
        return None
    lows, highs = [], []
    for row in table.rows:
        cell = row.cells[column]
        if isinstance(cell, Number) and cell.low is not None and cell.high is not None:
            lows.append(cell.low)
            highs.append(cell.high)
    return (min(lows), max(highs)) if lows and max(highs) > min(lows) else None


def bar_style(number: Number, scale: Scale) -> str | None:
    """Where the interval and the value lie on the column's scale, in percent."""
    if scale is None or number.value is None or number.low is None or number.high is None:
        return None
    start, width = scale[0], scale[1] - scale[0]

    factor = 100 / width
    low, high = round(factor * (number.low - start)), round(factor * (number.high - start))
    value = min(100, max(0, round(factor * (number.value - start))))
    return f"--low:{low}%;--high:{high}%;--value:{value}%"
