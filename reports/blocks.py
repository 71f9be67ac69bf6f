"""What a section of a document is made of: texts, charts, flips, lineages, rules and tables.

Other modules take these from :mod:`steelyard.reports.document`.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from steelyard.harness.records import Record
from steelyard.reports.table import Change, Number, Sense, Table


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
    note: str | None = None
    """What the verdicts are claims about."""


Block = Annotated[
    Table | Paragraph | Notice | Code | Chart | HeatMap | Flips | Lineage | Rules,
    Field(discriminator="type"),
]
