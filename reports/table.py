"""A table of a document: cells with numbers, words and changes, columns and rows.

Every number keeps its full precision, its unit and the ``source`` it was read from. Missing is
``None``. Other modules take these from :mod:`steelyard.reports.document`.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from steelyard.harness.records import Grade, Record

Sense = Literal["good", "bad", "neutral", "unknown"]
"""How a word is meant; a renderer may colour it, but the word says it already."""

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
    reason: str | None = None
    """Why this test was taken."""
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
