"""A document's numbers as one long CSV: a line for each cell, at full precision."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from typing import ClassVar

from steelyard.harness.files import csv_safe
from steelyard.harness.plugins import Plugin
from steelyard.reports.document import Cell, Document, Rules, Table, Text, Word

COLUMNS = (
    "section",
    "table",
    "row",
    "column",
    "text",
    "value",
    "low",
    "high",
    "unit",
    "grade",
    "against",
    "delta",
    "delta_low",
    "delta_high",
    "p_value",
    "p_adjusted",
    "verdict",
    "note",
    "source",
)


class Csv(Plugin):
    """RFC 4180; texts that a spreadsheet would take for a formula are neutralised."""

    suffix: ClassVar[str] = ".csv"

    def render(self, document: Document) -> str:
        """One line for each cell and each of its changes; the header names the columns."""
        out = io.StringIO()
        writer = csv.DictWriter(out, COLUMNS, restval="", lineterminator="\r\n")
        writer.writeheader()
        for section, block in document.blocks():
            if isinstance(block, Table):
                lines = _table_lines(block)
            elif isinstance(block, Rules):
                lines = _rule_lines(block)
            else:
                continue
            for line in lines:
                writer.writerow({k: _safe(v) for k, v in {"section": section.id, **line}.items()})
        return out.getvalue()


def _safe(value: object) -> str:
    """Text neutralised; numbers as Python writes them, so that they read back exactly."""
    if value is None:
        return ""
    return csv_safe(value) if isinstance(value, str) else repr(value)


def _table_lines(table: Table) -> Iterator[dict[str, object]]:
    for row in table.rows:
        heading = _heading(row.cells[0])
        for column, cell in zip(table.columns[1:], row.cells[1:], strict=True):
            detail = f" ({column.detail})" if column.detail else ""
            where = {"table": table.id, "row": heading, "column": f"{column.title}{detail}"}
            yield from ({**where, **line} for line in _cell_columns(cell))


def _heading(cell: Cell) -> str:
    if isinstance(cell, Text):
        return cell.text
    return cell.word if isinstance(cell, Word) else str(cell.value)


def _cell_columns(cell: Cell) -> Iterator[dict[str, object]]:
    if isinstance(cell, Text):
        yield {"text": cell.text, "note": cell.note}
    elif isinstance(cell, Word):
        yield {"verdict": cell.word, "note": cell.note, "source": cell.source}
    else:
        number: dict[str, object] = {
            "value": cell.value,
            "low": cell.low,
            "high": cell.high,
            "unit": cell.unit,
            "grade": cell.grade,
            "note": cell.note,
            "source": cell.source,
        }
        yield number
        for change in cell.changes:
            yield {
                "against": change.against,
                "delta": change.delta,
                "delta_low": change.low,
                "delta_high": change.high,
                "p_value": change.p_value,
                "p_adjusted": change.p_adjusted,
                "verdict": change.word,
                "unit": cell.unit,
                "note": change.note,
                "source": change.source,
            }


def _rule_lines(rules: Rules) -> Iterator[dict[str, object]]:
    for rule in rules.items:
        numbers = rule.numbers
        yield {
            "table": rules.id,
            "row": rule.candidate,
            "column": rule.rule,
            "text": rule.tier,
            "against": rule.baseline,
            "verdict": rule.word,
            "note": rule.why,
            "delta": numbers.delta if numbers else None,
            "delta_low": numbers.low if numbers else None,
            "delta_high": numbers.high if numbers else None,
            "p_value": numbers.p_value if numbers else None,
            "p_adjusted": numbers.p_adjusted if numbers else None,
            "source": numbers.source if numbers else None,
        }
