"""The nouns of a document: sections of tables, charts, flips and facts, and never a run.

A renderer draws what stands here and decides nothing. Every number keeps its full precision, its
unit and the ``source`` it was read from, so that a page, the JSON and the record can be held
against each other. Missing is ``None``.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, ClassVar, Literal, Protocol, runtime_checkable

from pydantic import Field

from steelyard.harness.records import Grade, Record

Sense = Literal["good", "bad", "neutral", "unknown"]
"""How a word is meant; a renderer may colour it, but the word says it already."""

SCHEMA_VERSION = 1


# --- cells ----------------------------------------------------------------------------------


#: Another page of the same site, by a relative path: no scheme, so a link leads nowhere else.
Link = Annotated[str, Field(pattern=r"^(\.\./)?[\w-][\w./-]*(#[\w-]+)?$")]


class Text(Record):
    """Words in a cell."""

    type: Literal["text"] = "text"
    text: str
    note: str | None = None
    link: Link | None = None
    """A page of the same site that says more; a single file has none."""
    badges: tuple[str, ...] = ()
    """Distinctions in a word or two each."""
    code: bool = False
    """A name, digest or command: shown in a fixed-width face."""


class Word(Record):
    """A verdict in words, with its sense."""

    type: Literal["word"] = "word"
    word: str
    sense: Sense
    note: str | None = None
    source: str | None = None


class Change(Record):
    """A paired difference against one baseline; positive is better, whatever the metric."""

    against: str
    delta: float | None
    low: float | None = None
    high: float | None = None
    p_value: float | None = None
    p_adjusted: float | None = None
    mde: float | None = None
    n: int = 0
    method: str | None = None
    word: str
    sense: Sense
    unit: str | None = None
    """``log ratio`` where ``delta`` is the logarithm of a ratio; else the metric's own."""
    note: str | None = None
    source: str | None = None


class Normalised(Record):
    """A score where 0 is the chance level and 1 is perfect; below 0 is worse than chance."""

    value: float
    low: float | None = None
    high: float | None = None


class Number(Record):
    """A number with its interval, unit and grade, and its changes against baselines."""

    type: Literal["number"] = "number"
    value: float | None
    low: float | None = None
    high: float | None = None
    unit: str | None = None
    grade: Grade | None = None
    signed: bool = False
    """Shown with its sign: a difference."""
    changes: tuple[Change, ...] = ()
    normalised: Normalised | None = None
    """The same on a scale from chance to perfect, where both ends are known."""
    note: str | None = None
    source: str | None = None
    """Where the number stands, e.g. ``runs/ID/scores/TASK/METRIC``; None: added up here."""


Cell = Annotated[Text | Word | Number, Field(discriminator="type")]


# --- blocks ---------------------------------------------------------------------------------


class Column(Record):
    """One column of a table."""

    title: str
    detail: str | None = None
    """A second line: the metric, its direction, its chance level."""
    numeric: bool = False
    primary: bool = True
    """False: hidden until asked for, where a renderer can hide."""
    higher_is_better: bool | None = None
    family: str | None = None
    one_line: bool = False
    """Its words are short, and stay on one line."""
    bars: bool = True
    """Its intervals share a scale, and may be drawn as bars."""
    scores: bool = False
    """It holds scores, which may be shown raw or normalised."""
    suites: tuple[str, ...] = ()
    """The suites that the column belongs to; none: to all."""
    link: Link | None = None
    """The page of what the column holds."""


class Range(Record):
    """A filter from ... to over the values of one tag."""

    name: str
    kind: Literal["date", "number"]
    unit: str | None = None
    scale: float = 1.0
    """What one unit is, in the unit of the tag."""


class Row(Record):
    """One row; its first cell is its heading."""

    cells: tuple[Cell, ...]
    run: str | None = None
    """The candidate whose row this is; the baseline's is marked."""
    emphasis: bool = False
    """A row that stands out: a sum."""
    tags: tuple[str, ...] = ()
    """What a filter may choose rows by, each ``name=value``."""


class Table(Record):
    """A table with a caption; sortable where a renderer can sort."""

    type: Literal["table"] = "table"
    id: str
    caption: str
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    note: str | None = None
    filters: tuple[str, ...] = ()
    """Names of the tags to filter by."""
    first: tuple[tuple[str, str], ...] = ()
    """Tags and the value of each that is chosen at first; the reader may choose again."""
    ranges: tuple[Range, ...] = ()
    """Tags to filter by from ... to."""
    grouped: bool = False
    """The columns stand under headings of their families, and may be chosen by them."""
    folded: bool = False
    """Detail that is shown on demand where a renderer can fold."""
    against: str | None = None
    """The baseline that the table speaks of; None: it does not depend on the choice."""


class Paragraph(Record):
    """Plain words."""

    type: Literal["paragraph"] = "paragraph"
    text: str


class Notice(Record):
    """Something that the reader must not overlook."""

    type: Literal["notice"] = "notice"
    level: Literal["note", "warning", "error"]
    text: str


class Code(Record):
    """Commands or configuration to copy."""

    type: Literal["code"] = "code"
    text: str
    language: str = ""
    caption: str | None = None


class Axis(Record):
    """One axis of a chart."""

    title: str
    unit: str | None = None
    better: Literal["higher", "lower"] | None = None
    logarithmic: bool = False


class Point(Record):
    """One point with its intervals; None leaves a gap."""

    x: float | None
    y: float | None
    x_low: float | None = None
    x_high: float | None = None
    y_low: float | None = None
    y_high: float | None = None
    note: str | None = None
    x_source: str | None = None
    y_source: str | None = None


class Series(Record):
    """The points of one candidate."""

    name: str
    points: tuple[Point, ...]
    slot: int
    """The candidate's place in the document: its colour and symbol in every chart."""
    emphasis: bool = False
    """The baseline, marked by another symbol; a level line where it has no ``x``."""
    front: bool = False
    """On the Pareto front: dominated by no other where the intervals separate."""


class Chart(Record):
    """A chart; ``alternative`` says in words what it shows."""

    type: Literal["chart"] = "chart"
    id: str
    caption: str
    kind: Literal["scatter", "line"]
    x: Axis
    y: Axis
    series: tuple[Series, ...]
    alternative: str
    note: str | None = None


class HeatMap(Record):
    """Signed differences over two categories; positive is better."""

    type: Literal["heat"] = "heat"
    id: str
    caption: str
    columns: tuple[str, ...]
    rows: tuple[str, ...]
    cells: tuple[tuple[Number, ...], ...]
    alternative: str
    note: str | None = None


class Span(Record):
    """A stretch of an answer: common to both, only before, or only after."""

    change: Literal["same", "removed", "added"]
    text: str


class FlipItem(Record):
    """One sample that changed sides, with both answers and their word-level difference."""

    candidate: str
    against: str
    task: str
    metric: str
    sample_id: str
    direction: Literal["lost", "gained"]
    prompt: str
    target: str
    before: tuple[Span, ...]
    after: tuple[Span, ...]
    slices: tuple[str, ...] = ()
    everywhere: bool = False
    """It flips the same way in every candidate."""


class Flips(Record):
    """Samples that changed sides; ``total`` counts also those left out here."""

    type: Literal["flips"] = "flips"
    id: str
    caption: str
    items: tuple[FlipItem, ...]
    total: int


class LineageNode(Record):
    """One checkpoint and what was made from it."""

    name: str
    detail: str
    digest: str
    facts: tuple[str, ...] = ()
    children: tuple[LineageNode, ...] = ()


class Lineage(Record):
    """Which checkpoint was made from which."""

    type: Literal["lineage"] = "lineage"
    id: str
    caption: str
    roots: tuple[LineageNode, ...]


class Rule(Record):
    """One gate rule held against one candidate."""

    candidate: str
    baseline: str
    rule: str
    tier: str
    outcome: Literal["passed", "warned", "failed", "undecided", "error"]
    """``undecided`` does not block; an inconclusive rule that blocks has ``failed``."""
    word: str
    sense: Sense
    why: str
    claim: str
    numbers: Change | None = None
    margin: float | None = None


class Rules(Record):
    """What the gate says, rule by rule."""

    type: Literal["rules"] = "rules"
    id: str
    caption: str
    items: tuple[Rule, ...]


Block = Annotated[
    Table | Paragraph | Notice | Code | Chart | HeatMap | Flips | Lineage | Rules,
    Field(discriminator="type"),
]


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
    facts: tuple[tuple[str, str], ...] = ()
    """Name and value, beside the headline."""
    baselines: tuple[str, ...] = ()
    """What the reader may hold the numbers against; the first is shown."""
    sections: tuple[Section, ...]
    pages: tuple[Page, ...] = ()
    """Other pages of the site that this one belongs to."""
    marker: str | None = None
    """A hidden name in Markdown, by which a bot finds and updates its one comment."""

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

    def render(self, document: Any) -> str:
        """The document as text in this renderer's format."""
