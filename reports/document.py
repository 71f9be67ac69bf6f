"""The nouns of a document: sections of tables, charts, flips and facts, and never a run.

A renderer draws what stands here and decides nothing. Every number keeps its full precision, its
unit and the ``source`` it was read from, so that a page, the JSON and the record can be held
against each other. Missing is ``None``.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar, Literal, Protocol, runtime_checkable

from steelyard.harness.records import Record, RuleResult, RuleVerdict
from steelyard.reports.answer import ScoreRow
from steelyard.reports.blocks import (
    Axis,
    Block,
    Chart,
    Code,
    FlipItem,
    Flips,
    HeatMap,
    Lineage,
    LineageNode,
    Notice,
    Paragraph,
    Point,
    Rule,
    Rules,
    Series,
    Span,
)
from steelyard.reports.table import (
    Cell,
    Change,
    Column,
    Link,
    Normalised,
    Number,
    Range,
    Row,
    Sense,
    Table,
    Text,
    Word,
)

__all__ = [
    "ANSWERS",
    "SCHEMA_VERSION",
    "Answer",
    "Axis",
    "Block",
    "CandidateVerdict",
    "Cell",
    "Change",
    "Chart",
    "Code",
    "Column",
    "Document",
    "FlipItem",
    "Flips",
    "HeatMap",
    "Lineage",
    "LineageNode",
    "Link",
    "Normalised",
    "Notice",
    "Number",
    "Page",
    "Paragraph",
    "Point",
    "Range",
    "Renderer",
    "Row",
    "Rule",
    "Rules",
    "ScoreRow",
    "Section",
    "Sense",
    "Series",
    "Span",
    "Table",
    "Text",
    "Word",
]

Answer = Literal["pass", "fail", "error", "not_comparable", "inconclusive"]
#: A key that is added leaves it; a key that goes or changes its meaning raises it (docs/json.md).
SCHEMA_VERSION = 2
#: Exit code of a command -> the word for it; any other code is an ``error``.
ANSWERS: dict[int, Answer] = {
    0: "pass",
    1: "fail",
    3: "not_comparable",
    4: "inconclusive",
}


class CandidateVerdict(Record):
    """What the gate says of one candidate."""

    candidate: str
    verdict: RuleVerdict
    exit_code: int
    summary: str
    attempt: int
    """Which checkpoint of this candidate's name it is, of those that were tried at this suite."""
    attempts: int
    """How many of them there are."""


class Section(Record):
    """A heading, a sentence on what to look for, and blocks."""

    id: str
    title: str
    short: str
    """The title in a word or two, for a list of sections."""
    lead: str | None = None
    blocks: tuple[Block, ...]


class Page(Record):
    """A neighbouring page of the same site."""

    title: str
    link: Link


class Document(Record):
    """A report or a leaderboard, ready to be drawn."""

    schema_version: int = SCHEMA_VERSION
    kind: Literal["report", "leaderboard"]
    title: str
    subtitle: str
    headline: str
    """The answer in one sentence."""
    sense: Sense = "neutral"
    verdict: Answer | None = None
    """The gate's over all candidates; None where no gate was held."""
    exit_code: int | None = None
    """What the command exits with; None of a document that no command ends with."""
    verdicts: tuple[CandidateVerdict, ...] = ()
    rules: tuple[RuleResult, ...] = ()
    """Every rule against every candidate, passed ones too."""
    scores: tuple[ScoreRow, ...] = ()
    """Every score of every run, flat."""
    facts: tuple[tuple[str, str], ...] = ()
    """Name and value, beside the headline."""
    baselines: tuple[str, ...] = ()
    """What the reader may hold the numbers against; the first is shown."""
    sections: tuple[Section, ...]
    pages: tuple[Page, ...] = ()
    """Other pages of the site that this one belongs to."""
    marker: str | None = None
    """A hidden name in Markdown, by which a bot finds and updates its one comment."""

    def ended(self, exit_code: int) -> Document:
        """The document of a command that exits with ``exit_code``."""
        is_gated = bool(self.verdicts or self.rules)
        verdict = ANSWERS.get(exit_code, "error") if is_gated else None
        return self.model_copy(update={"exit_code": exit_code, "verdict": verdict})

    def blocks(self) -> Iterator[tuple[Section, Block]]:
        """Every block with its section, in order."""
        for section in self.sections:
            for block in section.blocks:
                yield section, block

    def shown(self, block: Block) -> bool:
        """Whether the block speaks of no baseline, or of the one that is shown first."""
        against = block.against if isinstance(block, Table) else None
        return against is None or against in self.baselines[:1]


@runtime_checkable
class Renderer(Protocol):
    """Draws a document; never sees a run."""

    suffix: ClassVar[str]

    def render(self, document: Document) -> str:
        """The document as text in this renderer's format."""
