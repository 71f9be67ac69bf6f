"""A document as one self-contained HTML page: no network, no data that a browser could run."""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import groupby
from pathlib import Path
from typing import ClassVar

from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template
from markupsafe import Markup

from steelyard.harness.plugins import Plugin
from steelyard.reports import words
from steelyard.reports.document import Chart, Column, Document, HeatMap, Rules
from steelyard.reports.renderers.long_tables import (
    is_large,
    is_long,
    is_normalisable,
    is_wide,
    long_tables,
    page_rows,
)
from steelyard.reports.renderers.plotly_figures import figure
from steelyard.reports.renderers.table_rows import html_rows
from steelyard.reports.renderers.visible import visible

_HERE = Path(__file__).parent
#: What JSON inside a script element must not contain, or the element (or a line) could end.
_ESCAPES = {ord(c): f"\\u{ord(c):04x}" for c in "<>&'\u2028\u2029"}


class Html(Plugin):
    """One file that opens from disk; Plotly is inlined once where there is a chart."""

    suffix: ClassVar[str] = ".html"

    def render(self, document: Document) -> str:
        """The page. Scripts run by their hash alone (content security policy); text is escaped."""
        blocks = list(document.blocks())
        charts = {b.id: figure(b) for _, b in blocks if isinstance(b, Chart | HeatMap)}
        plotly = _plotly() if charts else None
        script = _script(charts=bool(charts), flips=any(b.type == "flips" for _, b in blocks))
        scripts = [plotly.hash, _hash(script)] if plotly else [_hash(script)]
        # Plotly writes style elements of its own, so styles are let in; scripts are not.
        policy = (
            f"default-src 'none'; script-src {' '.join(scripts)}; style-src 'unsafe-inline'; "
            "img-src data: blob:; base-uri 'none'; form-action 'none'"
        )
        page: str = _page_template().render(
            document=document,
            policy=policy,
            style=Markup(_asset("report.css")),  # noqa: S704 - our own file
            script=Markup(script),  # noqa: S704 - our own file
            plotly=plotly.packed if plotly else "",
            charts=script_json(charts),
            long=script_json(long_tables(document)),
            large=is_large(document),
        )
        return page


def script_json(value: object) -> Markup:
    r"""JSON for a script element: ``<`` is ``\u003c``, so nothing in it ends the element."""
    return Markup(json.dumps(value, allow_nan=False, separators=(",", ":")).translate(_ESCAPES))  # noqa: S704


@dataclass(frozen=True)
class FamilyGroup:
    """Neighbouring columns of one family."""

    family: str | None
    columns: tuple[Column, ...]

    @property
    def primary(self) -> int:
        """How many of them are shown unasked."""
        return sum(column.primary for column in self.columns)


def family_groups(columns: Sequence[Column]) -> list[FamilyGroup]:
    """The columns under their families, in order."""
    groups = groupby(columns, key=lambda column: column.family)
    return [FamilyGroup(family, tuple(members)) for family, members in groups]


def outcomes(rules: Rules) -> list[tuple[str, int]]:
    """How many rules had each outcome, e.g. ``[("fail, blocking", 3), ("pass", 11)]``."""
    blocking = {"failed": ", blocking", "warned": ", warning"}
    return list(Counter(r.word + blocking.get(r.outcome, "") for r in rules.items).items())


def _escaped(value: object) -> str:
    """What ``{{ }}`` does before autoescape: foreign text made visible."""
    if isinstance(value, Markup):
        return value
    return visible(value) if isinstance(value, str) else str(value)


@lru_cache(maxsize=1)
def _page_template() -> Template:
    environment = Environment(
        loader=FileSystemLoader(_HERE / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_escaped,
    )
    environment.filters.update(groupby_runs=family_groups, outcomes=outcomes, rows=html_rows)
    environment.tests.update(long=is_long, wide=is_wide, normalisable=is_normalisable)
    environment.globals.update(
        words=words,
        signs=words.SIGNS,
        page_rows=page_rows,
    )
    return environment.get_template("page.html.j2")


@lru_cache(maxsize=8)
def _asset(name: str) -> str:
    return (_HERE / "assets" / name).read_text(encoding="utf-8")


def _script(*, charts: bool, flips: bool) -> str:
    """The parts that a page needs, in one function of their own."""
    names = ["page", "tables", *(["flips"] if flips else []), *(["charts"] if charts else [])]
    parts = "".join(_asset(f"{name}.js") for name in names)
    return f'"use strict";\n(() => {{\n{parts}}})();\n'


@dataclass(frozen=True)
class PackedScript:
    """A script that a page unpacks and runs when it first needs it, and the hash that lets it."""

    packed: str
    """Base64 of gzip: a third of the size, and nothing for the browser to parse at the start."""
    hash: str


@lru_cache(maxsize=1)
def _plotly() -> PackedScript:
    from plotly.offline import get_plotlyjs

    script = str(get_plotlyjs())
    packed = gzip.compress(script.encode(), mtime=0)
    return PackedScript(base64.b64encode(packed).decode(), _hash(script))


def _hash(script: str) -> str:
    digest = hashlib.sha256(script.encode()).digest()
    return f"'sha256-{base64.b64encode(digest).decode()}'"
