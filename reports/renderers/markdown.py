"""A document as Markdown for a summary or a comment; detail gives way where space is short."""

from __future__ import annotations

import hashlib
import re
from typing import ClassVar

from steelyard.harness.files.old_names import old_marker
from steelyard.harness.plugins import Plugin
from steelyard.reports import words
from steelyard.reports.document import (
    Block,
    Cell,
    Chart,
    Code,
    Document,
    Flips,
    Lineage,
    LineageNode,
    Notice,
    Number,
    Paragraph,
    Rules,
    Section,
    Table,
    Text,
    Word,
)
from steelyard.reports.renderers.fitting import fit, size
from steelyard.reports.renderers.visible import visible

_SPECIAL = re.compile(r"([\\`*_{}\[\]()#+!|~$:])")
_LINKED = re.compile(r"(@|www\.|://|^[-=]|#(?=\w)|\bgh-(?=\d))", re.IGNORECASE)
_FLIPS = 20
#: GitHub's limit on a comment is 65,536 characters; its bytes are counted here, to be safe.
COMMENT_BYTES = 63_000
SUMMARY_BYTES = 1_000_000
#: The line that says what was left out.
_FOOT_BYTES = 3_000


class Markdown(Plugin):
    """GitHub's Markdown. Long tables lose rows, later sections go; what is cut is counted."""

    suffix: ClassVar[str] = ".md"
    comment: bool = False
    """A hidden marker on top, the rules first, detail folded, and under 64 KB: for the one comment
    that a job keeps up to date."""

    def render(self, document: Document) -> str:
        """The document; what was left out for space is named and counted at its end."""
        parts = [_head(document, marked=self.comment)]
        room = (COMMENT_BYTES if self.comment else SUMMARY_BYTES) - size(parts[0]) - _FOOT_BYTES
        left_out: list[tuple[str, int]] = []
        for i, section in enumerate(document.sections):
            text, cut = _section_within(section, document, room, comment=self.comment, folded=i > 0)
            room -= size(text) + 1
            parts += [text] if text else []
            left_out += [(section.title, cut)] if cut else []
        return "\n".join([*parts, _left_out(left_out)]).rstrip() + "\n"


def escape(text: str, limit: int = 500) -> str:
    """Foreign words as one line of Markdown that draws no markup, link, mention or image."""
    line = " ".join(visible(text).split())
    if len(line) > limit:
        line = f"{line[:limit]} …"
    line = line.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    line = _SPECIAL.sub(r"\\\1", line)
    # A word joiner after the sign keeps GitHub from notifying people and linking issues or sites;
    # it looks for both in the rendered text, where a backslash is gone.
    return _LINKED.sub("\\1\u2060", line)


def quoted(text: str, limit: int = 300) -> str:
    """Foreign words as a code span, which nothing in them can end."""
    line = " ".join(visible(text).split())[:limit].replace("|", "¦")
    longest = max((len(run) for run in re.findall("`+", line)), default=0)
    fence = "`" * (longest + 1)
    return f"{fence} {line} {fence}" if line else "*empty*"


def _head(document: Document, *, marked: bool) -> str:
    markers = _markers(document.marker) if marked and document.marker else []
    lines = [f"<!-- {marker} -->" for marker in markers]
    lines += [f"# {escape(document.title)}", "", f"**{escape(document.headline)}**", ""]
    lines += [escape(document.subtitle) + ". "]
    lines[-1] += " · ".join(f"{escape(n)}: {escape(v)}" for n, v in document.facts)
    return "\n".join([*lines, ""])


def _markers(marker: str) -> list[str]:
    """The comment's own marker, then the one by which a comment of before is found again."""
    old = old_marker(marker)
    return [_marker(marker)] if old is None else [_marker(marker), _marker(old)]


def _marker(marker: str) -> str:
    """Nothing in a marker may end the comment that hides it; different markers stay different."""
    plain = re.sub(r"[^A-Za-z0-9_./ ]+", "-", marker).strip("-")[:120]
    if plain == marker:
        return plain
    return f"{plain} {hashlib.sha256(marker.encode(errors='backslashreplace')).hexdigest()[:12]}"


def _left_out(cut: list[tuple[str, int]]) -> str:
    if not cut:
        return ""
    parts = "; ".join(f"{count} of “{title}”" for title, count in cut)
    total = sum(count for _, count in cut)
    return f"\n*Left out for space: {total} tables, charts or texts ({escape(parts)}).*"


def _section_within(
    section: Section, document: Document, room: int, *, comment: bool, folded: bool
) -> tuple[str, int]:
    """The section within ``room`` bytes, and how many of its blocks were left out."""
    blocks = [block for block in section.blocks if document.shown(block)]
    head, foot = [f"\n## {escape(section.title)}", ""], []
    if comment and folded:
        head = [f"\n<details><summary>{escape(section.title)}</summary>", ""]
        foot = ["</details>"]
    elif comment:
        head = []
    if section.lead and not comment:
        head += [escape(section.lead, 2000), ""]
    room -= size("\n".join([*head, *foot])) + 2
    drawn: list[str] = []
    cut = 0
    if comment and not folded:
        # What blocks is read first, and leaves a quarter of the space to the rest.
        rules = [block for block in blocks if isinstance(block, Rules)]
        blocks = [block for block in blocks if not isinstance(block, Rules)]
        drawn, cut = fit(rules, _block, room * 3 // 4)
        room -= sum(size(text) + 2 for text in drawn)
    rest, cut_too = fit(blocks, _block, room)
    drawn += rest
    cut += cut_too
    if blocks and not drawn:
        return "", cut
    return "\n".join([*head, *(f"{text}\n" for text in drawn), *foot]), cut


def _block(block: Block) -> str:
    match block:
        case Paragraph():
            return escape(block.text, 2000)
        case Notice():
            return f"> **{block.level.capitalize()}:** {escape(block.text, 2000)}"
        case Code():
            return _fenced(block)
        case Table():
            return _markdown_table(block)
        case Rules():
            return _rules_table(block)
        case Flips():
            return _flips(block)
        case Lineage():
            return "\n".join(line for node in block.roots for line in _node(node, 0))
        case Chart():
            return f"*{escape(block.caption)}.* {escape(block.alternative, 2000)}"
    return f"*{escape(block.caption)}.* {escape(block.alternative, 2000)}"


def _fenced(code: Code) -> str:
    text = visible(code.text)
    longest = max((len(run) for run in re.findall("`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}{code.language}\n{text}\n{fence}"


def _grid_lines(titles: list[str], rows: list[list[str]]) -> list[str]:
    return [
        "| " + " | ".join(titles) + " |",
        "|" + "---|" * len(titles),
        *("| " + " | ".join(row) + " |" for row in rows),
    ]


def _markdown_table(table: Table) -> str:
    shown = [i for i, column in enumerate(table.columns) if column.primary]
    titles = [
        escape(c.title) + (f"<br><sub>{escape(c.detail)}</sub>" if c.detail else "")
        for c in (table.columns[i] for i in shown)
    ]
    rows = [[_markdown_cell(row.cells[i]) for i in shown] for row in table.rows]
    lines = [f"**{escape(table.caption)}**", "", *_grid_lines(titles, rows)]
    if table.note:
        lines += ["", f"<sub>{escape(table.note, 2000)}</sub>"]
    if table.folded:
        lines = [
            f"<details><summary>{escape(table.caption)}</summary>",
            "",
            *lines,
            "",
            "</details>",
        ]
    return "\n".join(lines)


def _markdown_cell(cell: Cell) -> str:
    match cell:
        case Text():
            text = quoted(cell.text) if cell.code else escape(cell.text)
        case Word():
            text = escape(cell.word)
            if cell.word != words.NONE:
                text = f"{words.SIGNS[cell.sense]} {text}"
        case Number():
            text = _number_markdown(cell)
    return text + (f"<br><sub>{escape(cell.note)}</sub>" if cell.note else "")


def _number_markdown(cell: Number) -> str:
    parts = [words.shown(cell), escape(words.interval(cell))]
    text = " ".join(part for part in parts if part)
    if cell.grade:
        text += f" ({cell.grade})"
    for change in cell.changes[:1]:
        text += f"<br>{escape(words.change_words(change))}"
    return text


def _rules_table(rules: Rules) -> str:
    titles = ["Candidate", "Rule", "Tier", "Verdict", "Difference", "Why"]
    rows = []
    for rule in rules.items:
        difference = "–"
        if rule.numbers:
            numbers = rule.numbers
            difference = f"{words.change_value(numbers)} {words.change_interval(numbers)}"
        verdict = f"{words.SIGNS[rule.sense]} {escape(rule.word)}"
        cells = [escape(rule.candidate), escape(rule.rule), rule.tier, verdict]
        rows.append([*cells, escape(difference), escape(rule.why)])
    note = ["", escape(rules.note, 400)] if rules.note else []
    return "\n".join([f"**{escape(rules.caption)}**", "", *_grid_lines(titles, rows), *note])


def _flips(flips: Flips) -> str:
    lines = [f"{min(_FLIPS, len(flips.items))} of {flips.total} flipped samples.", ""]
    titles = ["", "Candidate", "Task", "Prompt", "Reference", "Before", "Now"]
    rows = [
        [
            "▼ right → wrong" if item.direction == "lost" else "▲ wrong → right",
            escape(item.candidate),
            escape(item.task),
            quoted(item.prompt),
            quoted(item.target),
            quoted("".join(span.text for span in item.before)),
            quoted("".join(span.text for span in item.after)),
        ]
        for item in flips.items[:_FLIPS]
    ]
    return "\n".join([*lines, *_grid_lines(titles, rows)])


def _node(node: LineageNode, depth: int) -> list[str]:
    detail = f"{escape(node.detail)}, {quoted(node.digest[:12])}"
    lines = [f"{'  ' * depth}- **{escape(node.name)}** ({detail})"]
    return lines + [line for child in node.children for line in _node(child, depth + 1)]
