"""CSV and TSV as RFC 4180 has them: a cell is the text between its separators, never a guess.

No cell is read as a number, a date or a missing value: ``007``, ``NA`` and ``True`` stay what
they are. What the standard does not allow is refused by its line, where a lenient reader would
lose rows.
"""

from __future__ import annotations

import csv
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain

from steelyard.harness.errors import DataError
from steelyard.harness.files.text_lines import MAX_LINE_CHARACTERS, TextLines

#: Excel's own first line, which says what separates the cells.
_EXCEL_SEPARATOR = re.compile(r'"?sep=(.)"?\s*')
_SEPARATORS = (",", ";", "\t")
#: A column without a name gets the one that pandas gives it: ``to_csv`` writes its index so.
UNNAMED = "Unnamed: {}"


def csv_rows(lines: TextLines, separator: str) -> Iterator[tuple[str, Mapping[str, str]]]:
    """(where, cells by column) of every row below the header; the place is the row's first line.

    Another separator than the file's kind has counts where the first line says so (``sep=;``), or
    where the header holds it and not the usual one. Spaces at the ends of a column's name are no
    part of it; where the header has one behind every separator, so have the rows.

    Raises:
        DataError: a column stands twice; a quote is never closed, or text follows one that is; a
            row has not as many cells as the header, or is the header again. Each with its line.
    """
    # The standard library's limit is for the whole process, and smaller than many documents.
    csv.field_size_limit(max(csv.field_size_limit(), MAX_LINE_CHARACTERS))
    first = next(lines, "")
    excel = _EXCEL_SEPARATOR.fullmatch(first)
    if excel is not None:
        separator, first = excel[1], next(lines, "")
    else:
        separator = _separator(first, separator)
    header: Sequence[str] | None = None
    spaced = _is_spaced(first, separator)
    for line, cells, physical in _records(lines, first, separator, spaced=spaced):
        if header is None:
            header = _header(cells, line)
            continue
        if len(header) > 1 and len(cells) == 1 and not cells[0].strip() and len(physical) == 1:
            continue  # a line of nothing but spaces
        if len(cells) != len(header):
            what = f"line {line} has not as many cells as the header ({len(cells)}, {len(header)})"
            raise DataError(what, fix="quote cells that hold the separator")
        if cells == header:  # two files, one behind the other
            fix = "take the second header out"
            raise DataError(f"line {line} is the header once more", fix=fix)
        _refuse_quotes_behind_spaces(cells, physical, separator, line)
        if separator == "\t" and len(physical) > 1:
            _refuse_two_readings(physical, line, len(header))
        yield f"line {line}", dict(zip(header, cells, strict=True))


def _records(
    lines: TextLines, first: str, separator: str, *, spaced: bool
) -> Iterator[tuple[int, Sequence[str], Sequence[str]]]:
    """First line, cells, and the lines that they stand on, of the header and every row."""
    physical: list[str] = []

    def remembered() -> Iterator[str]:
        for text in chain([first] if first else [], lines):
            physical.append(text)
            yield text

    reader = csv.reader(remembered(), delimiter=separator, strict=True, skipinitialspace=spaced)
    while True:
        physical.clear()
        start = lines.number + 1 if reader.line_num else lines.number
        try:
            cells = next(reader, None)
        except csv.Error as error:
            raise _as_data_error(str(error), start, lines.number) from error
        if cells is None:
            return
        if cells:  # an empty line is no row
            yield start, cells, physical


def _as_data_error(problem: str, start: int, end: int) -> DataError:
    if "expected after" in problem:
        ends = "" if end == start else f" and ends in line {end}, where"
        what = f"line {start}: a quoted cell begins{ends or ','} and more text follows its quote"
        fix = 'close the quote, and write "" for a quote inside a quoted cell'
        return DataError(what, fix=fix)
    if "unexpected end" in problem:
        what = f"line {start}: a quote is opened and never closed"
        return DataError(what, fix="close it, or the rows below it would be one cell")
    return DataError(f"line {start} is not CSV: {problem}")


def _header(cells: Sequence[str], line: int) -> Sequence[str]:
    names = [name.strip() or UNNAMED.format(at) for at, name in enumerate(cells)]
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        what = f"line {line}: the column '{twice[0]}' stands twice in the header"
        raise DataError(what, fix="rename one, or take it out")
    return names


def _separator(header: str, usual: str) -> str:
    """``usual``, or the one other separator that a header without it holds."""
    others = [mark for mark in _SEPARATORS if mark != usual and mark in header]
    return others[0] if usual not in header and len(others) == 1 else usual


def _is_spaced(header: str, separator: str) -> bool:
    """Whether a space stands behind every separator of the header: ``prompt, completion``."""
    names = next(csv.reader([header], delimiter=separator), [])
    return len(names) > 1 and all(name.startswith(" ") for name in names[1:])


def _refuse_quotes_behind_spaces(
    cells: Sequence[str], physical: Sequence[str], separator: str, line: int
) -> None:
    """Raise ``DataError`` for ``, "a cell"``: a quote behind a space quotes nothing.

    Its marks would be learnt as a part of the text, and a separator within would part it.
    """
    for at, cell in enumerate(cells):
        begins = cell.lstrip(" ")
        if begins is cell or not begins.startswith('"'):
            continue
        text = "".join(physical)
        if text.startswith(cell) if at == 0 else separator + cell in text:
            what = f"line {line}: a space stands in front of a quoted cell: {cell.strip()[:40]}"
            raise DataError(what, fix="take the space out, or have one behind every separator")


def _refuse_two_readings(physical: Sequence[str], line: int, columns: int) -> None:
    """Raise ``DataError`` where a TSV row of several lines is as many whole rows without quotes.

    Many a TSV file of sentences has no quoting at all: there a sentence that begins with a
    quotation mark would take in the rows up to the next one that ends with it.
    """
    if all(text.count("\t") == columns - 1 for text in physical):
        last = line + len(physical) - 1
        what = (
            f"lines {line} to {last} are one row or {len(physical)}: a quotation mark begins a cell"
        )
        raise DataError(what, fix="write the file as CSV or JSONL, where this is clear")
