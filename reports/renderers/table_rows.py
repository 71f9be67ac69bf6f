"""The rows of a table as HTML: the one part of a page that there may be a hundred thousand of.

Jinja draws everything else; cell by cell it takes eight times as long.
"""

from __future__ import annotations

from functools import lru_cache

from markupsafe import Markup, escape

from steelyard.reports import words
from steelyard.reports.document import Change, Column, Number, Row, Table, Text, Word
from steelyard.reports.renderers.long_tables import Scale, bar_scale, bar_style, is_long, page_rows
from steelyard.reports.renderers.visible import visible

_LONGEST_KEPT = 200


def html_rows(table: Table, baseline: str | None) -> Markup:
    """Every row, or the first ones of a long table; everything foreign is escaped."""
    scales = [bar_scale(table, index) for index in range(len(table.columns))]
    rows = table.rows[: page_rows(table)] if is_long(table) else table.rows
    drawn = (_row_html(row, table, scales, baseline) for row in rows)
    return Markup("\n".join(drawn))  # noqa: S704 - every text in it went through `_text`


def _escaped_text(text: str) -> str:
    """Foreign text: what hides becomes a sign, what is markup is escaped."""
    return _kept(text) if len(text) <= _LONGEST_KEPT else str(escape(visible(text)))


@lru_cache(maxsize=50_000)
def _kept(text: str) -> str:
    return str(escape(visible(text)))


def _row_html(row: Row, table: Table, scales: list[Scale], baseline: str | None) -> str:
    is_baseline = row.run is not None and row.run == baseline
    classes = "baseline" if is_baseline else "emphasis" if row.emphasis else ""
    parts = ["<tr"]
    parts += [f' class="{classes}"'] if classes else []
    parts += [f' data-run="{_escaped_text(row.run)}"'] if row.run is not None else []
    parts += [f' data-tags="{_escaped_text(chr(31).join(row.tags))}"'] if row.tags else []
    parts.append(">")
    titled = table.against is not None  # a phone shows each such cell under its title
    for index, (cell, column) in enumerate(zip(row.cells, table.columns, strict=True)):
        if isinstance(cell, Number):
            inner = _number_html(cell, scales[index] if index else None, column.scores)
            values = _value_attributes(cell)
        else:
            inner, values = _word_html(cell), ""
        if index == 0:
            mark = '<span class="tag">baseline</span>' if row.run is not None else ""
            parts.append(f'<th scope="row">{inner}{mark}</th>')
        else:
            title = f' data-title="{_escaped_text(column.title)}"' if titled else ""
            parts.append(f"<td{_classes(column)}{title}{values}>{inner}</td>")
    parts.append("</tr>")
    return "".join(parts)


def _classes(column: Column) -> str:
    names = ["num"] if column.numeric else []
    names += ["line"] if column.one_line else []
    names += [] if column.primary else ["secondary"]
    return f' class="{" ".join(names)}"' if names else ""


def _value_attributes(cell: Number) -> str:
    if cell.value is None:
        return ""
    ends = ""
    if cell.low is not None and cell.high is not None:
        ends = f' data-low="{cell.low}" data-high="{cell.high}"'
    scaled = "" if cell.normalised is None else f' data-normalised="{cell.normalised.value}"'
    return f' data-value="{cell.value}"{ends}{scaled}'


def _word_html(cell: Text | Word) -> str:
    note = f'<span class="note"><bdi>{_escaped_text(cell.note)}</bdi></span>' if cell.note else ""
    if isinstance(cell, Word):
        text = f"<bdi>{_escaped_text(cell.word)}</bdi>"
        if cell.word != words.NONE:
            text = f'<span aria-hidden="true">{words.SIGNS[cell.sense]}</span> {text}'
        return f'<span class="word {cell.sense}">{text}</span>{note}'
    code = ' class="code"' if cell.code else ""
    name = f"<bdi{code}>{_escaped_text(cell.text)}</bdi>"
    if cell.link:
        name = f'<a href="{_escaped_text(cell.link)}">{name}</a>'
    if cell.badges:
        marks = " ".join(
            f'<span class="badge"><span aria-hidden="true">◆</span> {_escaped_text(badge)}</span>'
            for badge in cell.badges
        )
        name += f'<span class="badges">{marks}</span>'
    return name + note


def _number_html(cell: Number, scale: Scale, scores: bool) -> str:
    parts = [_valued(words.shown(cell), words.interval(cell))]
    if scale is not None and (style := bar_style(cell, scale)):
        parts.append(f'<span class="bar" style="{style}" aria-hidden="true"></span>')
    if scores:
        other = _valued(words.normalised(cell), words.normalised_interval(cell))
        parts = ['<span class="raw">', *parts, f'</span><span class="normal">{other}</span>']
    if cell.grade:
        parts.append(f' <span class="grade {cell.grade}">{cell.grade}</span>')
    parts += [_change(change, first=i == 0) for i, change in enumerate(cell.changes)]
    if cell.note:
        parts.append(f'<span class="note"><bdi>{_escaped_text(cell.note)}</bdi></span>')
    return "".join(parts)


def _valued(value: str, interval: str) -> str:
    shown = f'<span class="value">{_escaped_text(value)}</span>'
    return f'{shown} <span class="interval">{_escaped_text(interval)}</span>' if interval else shown


def _change(change: Change, *, first: bool) -> str:
    text = (
        f'<span aria-hidden="true">{words.SIGNS[change.sense]}</span> {_escaped_text(change.word)}'
    )
    interval = ""
    if change.delta is not None:
        text += f" {words.change_value(change)}"
        interval = f' <span class="interval">{words.change_interval(change)}</span>'
    delta = "" if change.delta is None else f' data-delta="{change.delta}"'
    hidden = "" if first else " hidden"
    title = f' title="{_escaped_text(_method(change))}"' if change.method else ""
    note = f'<span class="note">{_escaped_text(change.note)}</span>' if change.note else ""
    return (
        f'<span class="change {change.sense}" data-against="{_escaped_text(change.against)}"'
        f'{delta}{hidden}{title}><span class="part">{text}</span>{interval}{note}</span>'
    )


def _method(change: Change) -> str:
    parts = [f"{change.method}, n = {change.n}"]
    parts += [change.reason] if change.reason else []
    parts += [] if change.p_value is None else [f"p = {change.p_value:.2g}"]
    parts += [] if change.mde is None else [f"smallest detectable {words.plain(change.mde)}"]
    return ", ".join(parts)
