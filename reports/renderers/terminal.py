"""A document for the terminal: what ``steelyard run`` ends with. Nothing in it can drive a
terminal.
"""

from __future__ import annotations

import io
from typing import ClassVar

from rich import box
from rich.console import Console, RenderableType
from rich.markup import escape
from rich.panel import Panel
from rich.table import Table as RichTable
from rich.text import Text as RichText
from rich.tree import Tree

from steelyard.harness.files import one_line, terminal_safe
from steelyard.harness.plugins import Plugin
from steelyard.reports import words
from steelyard.reports.document import (
    Block,
    Cell,
    Chart,
    Code,
    Document,
    Flips,
    HeatMap,
    Lineage,
    LineageNode,
    Notice,
    Number,
    Rules,
    Sense,
    Table,
    Text,
    Word,
)

_STYLES: dict[Sense, str] = {"good": "green", "bad": "red", "neutral": "dim", "unknown": "yellow"}
_FLIPS = 8
#: What a screen at the end of a run has room for; ``full`` shows the rest.
_SUMMARY = (
    *("verdicts", "recipes-seeds", "scores", "hallucination", "serving", "failures"),
    *("standings-section", "releases"),
)


class Terminal(Plugin):
    """Colours where asked for; the words and signs say it all without them."""

    suffix: ClassVar[str] = ".txt"
    width: int = 120
    colour: bool = False
    full: bool = False
    """Every section, not only the verdicts, scores, probes and failures."""

    def render(self, document: Document) -> str:
        """Text, with ANSI colours where ``colour`` is set."""
        out = io.StringIO()
        console = Console(
            file=out,
            width=self.width,
            force_terminal=self.colour,
            color_system="standard" if self.colour else None,
            highlight=False,
            markup=False,
            emoji=False,
        )
        console.print(
            Panel(
                _safe_text(document.headline, "bold"),
                title=escape(one_line(document.title)),
                subtitle=escape(one_line(document.subtitle)),
                border_style=_STYLES[document.sense],
            )
        )
        for section in document.sections:
            if self.full or section.id in _SUMMARY:
                console.print(_safe_text(f"\n{section.title}", "bold underline"))
                for block in section.blocks:
                    if document.shown(block) and (self.full or not _is_detail(block)):
                        console.print(_block(block, self.full))
        return out.getvalue()


def _is_detail(block: Block) -> bool:
    return isinstance(block, Table) and block.folded


def _safe_text(text: str, style: str = "") -> RichText:
    return RichText(terminal_safe(text), style=style)


def _block(block: Block, full: bool) -> RenderableType:
    match block:
        case Table():
            return _terminal_table(block, full)
        case Rules():
            return _rules_grid(block, full)
        case Notice():
            style = {"note": "dim", "warning": "yellow", "error": "red"}[block.level]
            return _safe_text(f"{block.level}: {block.text}", style)
        case Code():
            return _safe_text(block.text, "cyan")
        case Flips():
            return _flips(block)
        case Lineage():
            tree = Tree(_safe_text(block.caption), guide_style="dim")
            for node in block.roots:
                _grow(tree, node)
            return tree
        case Chart() | HeatMap():
            return _safe_text(f"{block.caption}. {block.alternative}", "dim")
    return _safe_text(block.text)


def _empty_grid(caption: str) -> RichTable:
    return RichTable(
        title=_safe_text(caption, "bold"),
        title_justify="left",
        box=box.SIMPLE_HEAD,
        pad_edge=False,
        show_edge=False,
    )


def _terminal_table(table: Table, full: bool) -> RichTable:
    grid = _empty_grid(table.caption)
    shown = [i for i, column in enumerate(table.columns) if column.primary]
    for index in shown:
        column = table.columns[index]
        title = _safe_text(one_line(column.title), "bold")
        if column.detail and (full or column.higher_is_better is None):
            title.append(f"\n{one_line(column.detail)}", style="dim")
        elif column.higher_is_better is not None:
            title.append(" ↑" if column.higher_is_better else " ↓", style="dim")
        grid.add_column(title, overflow="fold")
    for row in table.rows:
        style = "bold" if row.emphasis else ""
        grid.add_row(*(_terminal_cell(row.cells[i], full) for i in shown), style=style)
    if table.note:
        grid.caption = _safe_text(table.note, "dim")
    return grid


def _terminal_cell(cell: Cell, full: bool) -> RichText:
    match cell:
        case Text():
            text = _safe_text(one_line(cell.text))
        case Word():
            sign = f"{words.SIGNS[cell.sense]} " if cell.word != words.NONE else ""
            text = _safe_text(f"{sign}{one_line(cell.word)}", _STYLES[cell.sense])
        case Number():
            text = _terminal_number(cell, full)
    if cell.note and (full or isinstance(cell, Word)):
        text.append(f"\n{one_line(cell.note)}", style="dim")
    return text


def _terminal_number(cell: Number, full: bool) -> RichText:
    """Short: the value and the change in words; full: both with their intervals."""
    text = _safe_text(words.shown(cell))
    span = words.interval(cell)
    if span and full:
        text.append(f" {span}", style="dim")
    if cell.grade:
        text.append(f" ({cell.grade})", style="dim")
    for change in cell.changes[:1]:
        change_text = words.change_words(change) if full else words.change_short(change)
        text.append(f"\n{change_text}", style=_STYLES[change.sense])
    return text


def _rules_grid(rules: Rules, full: bool) -> RichTable:
    shown = [rule for rule in rules.items if full or rule.outcome != "passed"]
    passed = len(rules.items) - len(shown)
    grid = _empty_grid(rules.caption + (f" ({passed} more passed)" if passed else ""))
    for title in ("Candidate", "Rule", "Tier", "Verdict", "Why"):
        grid.add_column(title, overflow="fold")
    for rule in shown:
        word = f"{words.SIGNS[rule.sense]} {rule.word}"
        plain = (one_line(rule.candidate), one_line(rule.rule), rule.tier)
        why = _safe_text(one_line(rule.why))
        grid.add_row(*(_safe_text(p) for p in plain), _safe_text(word, _STYLES[rule.sense]), why)
    if rules.note:
        grid.caption, grid.caption_justify = _safe_text(rules.note, "dim"), "left"
    return grid


def _flips(flips: Flips) -> RichTable:
    shown = flips.items[:_FLIPS]
    grid = _empty_grid(f"{len(shown)} of {flips.total} flipped samples")
    for title in ("", "Candidate", "Task", "Prompt", "Reference", "Before", "Now"):
        grid.add_column(title, overflow="fold")
    for item in shown:
        lost = item.direction == "lost"
        before = "".join(span.text for span in item.before)
        after = "".join(span.text for span in item.after)
        grid.add_row(
            _safe_text("▼ lost" if lost else "▲ gained", "red" if lost else "green"),
            *(
                _safe_text(one_line(text)[:200])
                for text in (item.candidate, item.task, item.prompt, item.target, before, after)
            ),
        )
    return grid


def _grow(tree: Tree, node: LineageNode) -> None:
    branch = tree.add(_safe_text(f"{one_line(node.name)} ({one_line(node.detail)})"))
    for child in node.children:
        _grow(branch, child)
