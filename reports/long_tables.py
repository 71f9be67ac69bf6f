"""Tables too long to draw at once: cells as JSON, drawn row by row where they are looked at."""

from __future__ import annotations

from typing import Any

from reports import words
from reports.document import Cell, Change, Document, Flips, Number, Table, Text, Word
from reports.visible import visible

#: From here on a table is drawn by pages; a browser lays out some ten thousand cells a second.
LONG_CELLS = 3000
#: As many cells of a wide table are laid out in the blink of an eye.
PAGE_CELLS = 1200
PAGE_ROWS = 40

Scale = tuple[float, float] | None


def is_long(table: Table) -> bool:
    """Whether the table is drawn by pages."""
    return len(table.rows) > PAGE_ROWS and len(table.rows) * len(table.columns) > LONG_CELLS


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


def long_tables(document: Document) -> dict[str, Any]:
    """For each long table its rows; texts are formatted here, so that a script formats none."""
    return {
        block.id: _rows(block)
        for _, block in document.blocks()
        if isinstance(block, Table) and is_long(block)
    }


def _rows(table: Table) -> list[dict[str, Any]]:
    scales = [bar_scale(table, index) for index in range(len(table.columns))]
    return [
        {
            "run": row.run,
            "tags": [visible(tag) for tag in row.tags],
            "cells": [_cell(cell, scale) for cell, scale in zip(row.cells, scales, strict=True)],
        }
        for row in table.rows
    ]


def _cell(cell: Cell, scale: Scale) -> dict[str, Any]:
    """Only what is there, under the names that the style sheet knows."""
    found: dict[str, Any]
    match cell:
        case Text():
            found = {
                "text": visible(cell.text),
                "link": cell.link,
                "badges": [visible(badge) for badge in cell.badges],
            }
        case Word():
            found = {"text": visible(cell.word), "sense": cell.sense}
        case Number():
            found = {
                "value": cell.value,
                "text": words.shown(cell),
                "interval": words.interval(cell),
                "bar": bar_style(cell, scale),
                "normalised": _normalised(cell),
                "grade": cell.grade,
                "changes": [_change(change) for change in cell.changes],
            }
    found["note"] = visible(cell.note) if cell.note else None
    return {name: value for name, value in found.items() if value not in (None, "", [])}


def _normalised(number: Number) -> list[Any]:
    if number.normalised is None:
        return []
    return [
        number.normalised.value,
        words.normalised(number),
        words.normalised_interval(number),
    ]


def _change(change: Change) -> list[str]:
    told = f"{words.SIGNS[change.sense]} {change.word} {words.change_value(change)}"
    return [visible(change.against), change.sense, told, words.change_interval(change)]


def bar_scale(table: Table, column: int) -> Scale:
    """The range of a column's intervals, for bars that share one scale; None: no bars."""
    if not table.columns[column].bars:
        return None
    cells = [row.cells[column] for row in table.rows if column < len(row.cells)]
    ends = [
        end
        for cell in cells
        if isinstance(cell, Number) and cell.low is not None and cell.high is not None
        for end in (cell.low, cell.high)
    ]
    return (min(ends), max(ends)) if ends and max(ends) > min(ends) else None


def bar_style(number: Number, scale: Scale) -> str | None:
    """Where the interval and the value lie on the column's scale, in percent."""
    if scale is None or number.value is None or number.low is None or number.high is None:
        return None
    start, width = scale[0], scale[1] - scale[0]

    def at(value: float) -> str:
        return f"{100 * min(1.0, max(0.0, (value - start) / width)):.0f}%"

    return f"--low:{at(number.low)};--high:{at(number.high)};--value:{at(number.value)}"
